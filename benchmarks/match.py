"""How many pairs `shoepair match` finds in heaps whose names tell the truth, and how its time and memory grow.

python benchmarks/match.py photos/test_m photos/test_w --checkpoint PATH
python benchmarks/match.py photos/train --checkpoint PATH --validation
python benchmarks/match.py --checkpoint PATH --growth 500 1000 2000
"""

import argparse
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from shoepair.checkpoints import find_checkpoint
from shoepair.data.pairs import fold_of_people, split_by_person
from shoepair.data.synthetic import draw_shoes
from shoepair.heap import list_photos, read_heap, score_heap, sides_from_names
from shoepair.match import Counts, count_right
from shoepair.matching import find_matches
from shoepair.models.trained import TrainedNetwork, load_trained
from shoepair.results.table import markdown_table

DRAWS = 20  # of the shoes that are taken away


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="photos named u<person>_<pair>_<side>...")
    parser.add_argument("--checkpoint", default="latest")
    parser.add_argument("--validation", action="store_true", help="only the people that the checkpoint validated on")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--growth", nargs="+", type=int, metavar="SHOES", help="time and memory for drawn heaps")
    options = parser.parse_args()
    checkpoint = find_checkpoint(options.checkpoint, "outputs")
    if options.growth:
        print(growth(checkpoint, options.growth))
        return
    trained = load_trained(checkpoint)
    paths = list_photos(options.folders)
    if options.validation:
        people = validating_people(trained, sorted({path.name.split("_")[0] for path in paths}))
        paths = [path for path in paths if path.name.split("_")[0] in people]
    print(table(paths, trained, math.log(options.threshold / (1 - options.threshold))))


def validating_people(trained: TrainedNetwork, people: Sequence[str]) -> list[str]:
    data = trained.config["data"]
    if data["fold"] is not None:
        return fold_of_people(people, data["folds"], data["fold"])[1]
    return split_by_person(people, data["train_fraction"])[1]


def table(paths: Sequence[Path], trained: TrainedNetwork, threshold: float) -> str:
    """Precision and recall, in percent: sides known or not, all shoes or a third single, everybody's heap or one."""
    names = np.array([path.name for path in paths])
    person = np.array([name.split("_")[0] for name in names])
    rows = []
    for sides_known in (True, False):
        sides = sides_from_names(paths) if sides_known else [None] * len(paths)
        heap = read_heap(paths, sides, trained)
        assert len(heap.paths) == len(paths)
        logits = score_heap(heap, trained)
        for third_single in (False, True):
            for apart in (True, False):
                counts, draws = Counts(0, 0, 0), DRAWS if third_single else 1
                for draw in range(draws):
                    kept = without_partners(names, draw) if third_single else np.arange(len(names))
                    groups = [kept[person[kept] == who] for who in np.unique(person[kept])] if apart else [kept]
                    for group in groups:
                        found = find_matches(logits[np.ix_(group, group)], [sides[i] for i in group], threshold)
                        counts += count_right(names[group].tolist(), [(m.left, m.right) for m in found])
                rows.append(
                    [
                        f"sides {'known' if sides_known else 'unknown'}, "
                        f"{'a third of the shoes single' if third_single else 'every partner there'}, "
                        f"{'each person alone' if apart else 'all in one heap'}",
                        f"{counts.true / draws:.0f}",
                        f"{counts.right / draws:.1f} of {counts.found / draws:.1f}",
                        f"{100 * counts.precision:.1f}",
                        f"{100 * counts.recall:.1f}",
                    ]
                )
    return markdown_table(["heap", "true pairs", "right of found", "precision", "recall"], rows)


def without_partners(names: np.ndarray, seed: int) -> np.ndarray:
    """Indices of what stays when half of the pairs lose a shoe, so that a third of the shoes left are single."""
    random = np.random.default_rng(seed)
    pair = np.array([re.match(r"u\d+_\d+", name)[0] for name in names])  # type: ignore[index]
    pairs = np.unique(pair)
    taken = [random.choice(np.flatnonzero(pair == p)) for p in random.permutation(pairs)[: len(pairs) // 2]]
    return np.setdiff1d(np.arange(len(names)), taken)


def growth(checkpoint: Path, sizes: Sequence[int]) -> str:
    """Wall time and peak memory of the whole command, sides known and unknown."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        people = math.ceil(max(sizes) / 6)
        shoes = draw_shoes(num_people=people, num_test_people=0, image_size=224, seed=1, hardness=0.9)["train"]
        for size in sizes:
            folder = Path(place, str(size))
            folder.mkdir()
            for image, shoe in zip(shoes.images[:size], shoes.shoes[:size], strict=True):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{shoe.name}.jpg", quality=92)
            for sides in ("names", "unknown"):
                command = [sys.executable, "-m", "shoepair", "match", str(folder), "--checkpoint", str(checkpoint),
                           "--sides", sides, "--out", str(folder / "out"), "--score"]  # fmt: skip
                started = time.perf_counter()
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                assert process.stdout is not None
                said = process.stdout.read()
                _, status, usage = os.wait4(process.pid, 0)
                assert status == 0, said
                right = next(line for line in said.splitlines() if line.startswith("Right"))
                rows.append(
                    [f"{size} shoes, sides {'known' if sides == 'names' else sides}",
                     f"{time.perf_counter() - started:.1f} s", f"{usage.ru_maxrss / 1024:.0f} MB",
                     f"{Path(folder, 'out', 'match.html').stat().st_size / 1e6:.1f} MB", right.removeprefix("Right: ")]
                )  # fmt: skip
    return markdown_table(["drawn heap", "time", "peak memory", "page", "right"], rows)


if __name__ == "__main__":
    main()
