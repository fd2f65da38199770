"""How many pairs `shoepair match` finds in heaps whose names tell the truth; match_scale.py says how fast.

python benchmarks/match.py photos/test_m photos/test_w --checkpoint PATH
python benchmarks/match.py photos/train --checkpoint PATH --validation
python benchmarks/match.py photos/train --folds outputs/photos/best_pretrained/folds
python benchmarks/match.py photos/train --folds outputs/photos/best_pretrained/folds --one-floor
python benchmarks/match.py photos/train --folds outputs/photos/best_pretrained/folds --checkpoint ready --one-floor
"""

import argparse
import itertools
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from folds import runs_of
from layers import Change, layers_of, retaken

from shoepair import load_classifier
from shoepair.commands.match import DEFAULT_THRESHOLD, Counts, count_right
from shoepair.data.pairs import fold_of_people, split_by_person
from shoepair.inference.assignment import find_matches
from shoepair.inference.gallery import Gallery, list_photos, read_gallery, sides_from_names
from shoepair.inference.network import TrainedNetwork, load_trained
from shoepair.inference.scoring import candidates, score_gallery, symmetric
from shoepair.reports.tables import markdown_table
from shoepair.runs.find import find_checkpoint
from shoepair.runs.folder import best_checkpoint

ALL_THERE = "every partner there"
DRAWS = 20  # of the shoes that are taken away


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="photos named u<person>_<pair>_<side>...")
    parser.add_argument("--checkpoint", metavar="PATH", help="default: latest, or each run's own of --folds")
    parser.add_argument("--validation", action="store_true", help="only the people that the checkpoint validated on")
    parser.add_argument("--folds", type=Path, metavar="DIR", help="each run of a sweep=folds on who it validated on")
    parser.add_argument(
        "--one-floor", action="store_true", help="lay all shoes of a heap on the floor of one of its photos"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the floors; 0 to report, others to choose")
    parser.add_argument(
        "--threshold", type=float, nargs="+", default=[DEFAULT_THRESHOLD], metavar="P", help="default: that of match"
    )
    options = parser.parse_args()
    checkpoint = options.checkpoint or "latest"
    paths, _ = list_photos(options.folders)
    if options.folds:
        networks = [load_trained(best_checkpoint(run)) for run in runs_of(options.folds)]
        heaps = [(validated_on(trained, paths), trained) for trained in networks]
        if options.checkpoint:
            heaps = [(heap, load_classifier(options.checkpoint).trained) for heap, _ in heaps]
    else:
        trained = load_trained(find_checkpoint(checkpoint, "outputs"))
        heaps = [(validated_on(trained, paths) if options.validation else paths, trained)]
    with tempfile.TemporaryDirectory() as place:
        if options.one_floor:
            first = options.seed * len(heaps)
            heaps = [
                (on_one_floor(heap, Path(place, str(i)), first + i), trained) for i, (heap, trained) in enumerate(heaps)
            ]
        print(table(heaps, options.threshold, options.seed))


def on_one_floor(paths: Sequence[Path], folder: Path, seed: int) -> list[Path]:
    """Photos of the same shoes, all of them on the floor of one of the photos."""
    folder.mkdir()
    photos = list(layers_of(paths).values())
    random = np.random.default_rng(seed)
    floor = photos[int(random.integers(len(photos)))].floor
    laid = [folder / f"{path.stem}.png" for path in paths]
    for photo, file in zip(photos, laid, strict=True):
        retaken(photo, Change(other_floor=True), [floor], random).save(file)
    return laid


def validated_on(trained: TrainedNetwork, paths: Sequence[Path]) -> list[Path]:
    """Those of the photos whose people a network validated on."""
    data = trained.config["data"]
    if data["validate_on_train"]:
        raise SystemExit("this network was trained on the people that validate it.")
    people = sorted({person_of(path) for path in paths})
    if data["fold"] is not None:
        _, validating = fold_of_people(people, data["folds"], data["fold"])
    else:
        _, validating = split_by_person(people, data["train_fraction"])
    return [path for path in paths if person_of(path) in validating]


def person_of(path: Path) -> str:
    return path.name.split("_")[0]


def table(heaps: Sequence[tuple[Sequence[Path], TrainedNetwork]], thresholds: Sequence[float], seed: int) -> str:
    """Precision and recall, in percent: sides known or not, all shoes or a third single, everybody's heap or one.

    Args:
        heaps: photos, and the network that is to judge them; of several (folds), what was found is added up, and "all
            in one heap" means all of a fold.
        thresholds: probabilities.
        seed: of which shoes are single.
    """
    counts: dict[tuple[str, str, str, float], Counts] = {}
    draws = {ALL_THERE: 1, "a third of the shoes single": DRAWS}
    for paths, trained in heaps:
        names = np.array([path.name for path in paths])
        person = np.array([person_of(path) for path in paths])
        for known, sides in (("sides known", sides_from_names(paths)), ("sides unknown", [None] * len(paths))):
            heap = read_gallery(paths, sides, trained)
            assert len(heap.paths) == len(paths)
            logits = score_gallery(heap, trained, length=len(paths)).toarray()  # each heap has its own candidates
            for missing, apart in itertools.product(draws, ("each person alone", "all in one heap")):
                for draw in range(seed * draws[missing], (seed + 1) * draws[missing]):
                    kept = np.arange(len(names)) if missing == ALL_THERE else without_partners(names, draw)
                    alone = apart == "each person alone"
                    for group in [kept[person[kept] == who] for who in np.unique(person[kept])] if alone else [kept]:
                        own = part_of(heap, group)
                        pairs, _ = candidates(own, trained)
                        scores = symmetric(pairs, logits[group[pairs[:, 0]], group[pairs[:, 1]]], len(group))
                        for threshold in thresholds:
                            found = find_matches(scores, own.sides, math.log(threshold / (1 - threshold)))
                            right = count_right(names[group].tolist(), [(m.left, m.right) for m in found])
                            row = (known, missing, apart, threshold)
                            counts[row] = counts.get(row, Counts(0, 0, 0)) + right
    lines = []
    for row, of_row in counts.items():
        num_draws = draws[row[1]]
        lines.append([
            ", ".join(row[:3]),
            f"{row[3]:.3f}",
            f"{of_row.true / num_draws:.0f}",
            f"{of_row.right / num_draws:.1f} of {of_row.found / num_draws:.1f}",
            f"{100 * of_row.precision:.1f}",
            f"{100 * of_row.recall:.1f}",
        ])  # fmt: skip
    return markdown_table(["heap", "threshold", "true pairs", "right of found", "precision", "recall"], lines)


def part_of(heap: Gallery, group: np.ndarray) -> Gallery:
    """Some shoes of a heap."""
    assert heap.descriptors is not None
    return Gallery(
        [heap.paths[i] for i in group],
        [heap.sides[i] for i in group],
        [heap.thumbnails[i] for i in group],
        heap.rows(group),
        descriptors=heap.descriptors[group],
    )


def without_partners(names: np.ndarray, seed: int) -> np.ndarray:
    """Indices of what stays when half of the pairs lose a shoe, so that a third of the shoes left are single."""
    random = np.random.default_rng(seed)
    pair = np.array([re.match(r"u\d+_\d+", name)[0] for name in names])  # type: ignore[index]
    pairs = np.unique(pair)
    taken = [random.choice(np.flatnonzero(pair == p)) for p in random.permutation(pairs)[: len(pairs) // 2]]
    return np.setdiff1d(np.arange(len(names)), taken)


if __name__ == "__main__":
    main()
