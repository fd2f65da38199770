"""How `shoepair match` grows: time, memory, and pairs found, from 2,000 to 100,000 drawn shoes, into docs/results.

python benchmarks/match_scale.py --checkpoint outputs/RUN
python benchmarks/match_scale.py --checkpoint outputs/RUN --dual outputs/DUAL --pretrained outputs/PRETRAINED

Every row is one command in a process of its own. What was drawn and measured before is not done again, so that an
interrupted benchmark goes on; --table only writes the table and the plot.
"""

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from processes import measured

from shoepair import load_classifier
from shoepair.data.photos import read_square
from shoepair.data.shoes import Shoe
from shoepair.data.synthetic.collection import SHOES_PER_PERSON, draw_one, on_all_cores, shoes_of
from shoepair.files import read_json, replacing, write_json
from shoepair.reports.tables import markdown_table
from shoepair.training.environment import versions

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "match.json"
SEED, HARDNESS = 0, 0.95  # as data=synthetic and `shoepair draw` have them
SIZES = (2_000, 8_004, 20_000, 100_000)  # shoes
DRAWN_PX = 112  # what the default run sees
PEOPLE_A_PIECE = 40
STORED, NEW = 20_000, 1_000
FEW = 500
WORDS = {
    "dual": f"{SIZES[0]:,}, `ready` at 224 pixels",
    "pretrained": f"{FEW}, `best_pretrained`",
    "store": f"{NEW:,} new ones into a store of {STORED:,}",
    "12MP": "a photo of 12 megapixels is read",
}
LARGE_PHOTOS, LARGE_PX = 20, (4000, 3000)


@dataclass(frozen=True)
class Row:
    """What one command took and found.

    Attributes:
        seconds, cpu_seconds, memory_mb: see processes.Measured.
        found, right, true: pairs; None where that was not asked.
    """

    shoes: int
    seconds: float
    cpu_seconds: float
    memory_mb: float
    found: int | None = None
    right: int | None = None
    true: int | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="of the default run")
    parser.add_argument("--dual", metavar="PATH", help="of best_dual, or `ready`: for 2,000 shoes at 224 pixels")
    parser.add_argument("--pretrained", metavar="PATH", help="of best_pretrained, for the row of 500 shoes")
    parser.add_argument("--work", type=Path, default=Path("outputs/match_scale"), metavar="DIR", help="for drawn shoes")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="such as 2000, store, dual, pretrained, 12MP")
    parser.add_argument("--again", action="store_true", help="measure what was measured before as well")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE.json")
    parser.add_argument("--table", action="store_true", help="only the table and the plot of what was measured")
    options = parser.parse_args()
    rows: dict[str, Callable[[], Row]] = {}
    judges = {"dual": options.dual, "pretrained": options.pretrained, "12MP": None}  # the others: --checkpoint
    if not options.table:
        if options.checkpoint is None:
            parser.error("--checkpoint: expected the folder of a default run")
        for size in SIZES:
            rows[str(size)] = partial(match_heap, options.work, options.checkpoint, size)
        rows["store"] = partial(match_into_store, options.work, options.checkpoint)
        if options.dual is not None:
            rows["dual"] = partial(match_heap, options.work, options.dual, SIZES[0], 224)
        if options.pretrained is not None:
            rows["pretrained"] = partial(match_heap, options.work, options.pretrained, FEW, 224)
        rows["12MP"] = partial(read_large, options.work)
    for name, measure in rows.items():
        done = read_json(options.results) or {}
        if options.only and name not in options.only:
            continue
        judge = judges.get(name, options.checkpoint)
        made_by = {"network": judge and load_classifier(judge).trained.fingerprint, "versions": versions()}
        if name in done and done[name].get("network") == made_by["network"] and not options.again:
            continue
        done[name] = asdict(measure()) | made_by
        write_json(options.results, done)
        print(name, done[name], flush=True)
    done = read_json(options.results) or {}
    print(table(done))
    plot(done, options.results.with_name("match_growth.png"))


def drawn(work: Path, num_shoes: int, image_size: int, first: int = 1) -> list[Path]:
    """Photos of drawn shoes, the pairs of each person together; drawn in pieces, those that are not there yet."""
    folder = work / f"drawn_{image_size}"
    folder.mkdir(parents=True, exist_ok=True)
    people = range(first, first + -(-num_shoes // SHOES_PER_PERSON))
    shoes = [shoe for number in people for shoe in shoes_of(f"u{number:03d}", "train", SEED)]
    missing = [shoe for shoe in shoes if not (folder / f"{shoe.name}.png").is_file()]
    for start in range(0, len(missing), PEOPLE_A_PIECE * SHOES_PER_PERSON):
        piece = missing[start : start + PEOPLE_A_PIECE * SHOES_PER_PERSON]
        for shoe, image in zip(piece, pixels_of(piece, image_size), strict=True):
            with replacing(folder / f"{shoe.name}.png") as partial_file:
                Image.fromarray(image.transpose(1, 2, 0)).save(partial_file, "PNG", compress_level=2)
        print(f"drawn {start + len(piece):,} of {len(missing):,}", file=sys.stderr, flush=True)
    return [folder / f"{shoe.name}.png" for shoe in shoes[:num_shoes]]


def pixels_of(shoes: list[Shoe], image_size: int) -> Iterator[np.ndarray]:
    draw = partial(draw_one, image_size=image_size, seed=SEED, hardness=HARDNESS)
    return on_all_cores(draw, shoes)


def heap_of(work: Path, name: str, photos: list[Path]) -> Path:
    """A folder with just these photos."""
    heap = work / name
    shutil.rmtree(heap, ignore_errors=True)
    heap.mkdir(parents=True)
    for photo in photos:
        os.link(photo, heap / photo.name)
    return heap


def match_heap(work: Path, checkpoint: str, size: int, image_size: int = DRAWN_PX) -> Row:
    heap = heap_of(work, f"heap_{size}", drawn(work, size, image_size))
    return row_of(size, "match", str(heap), "--checkpoint", checkpoint, "--score", "--out", str(work / "out"))


def match_into_store(work: Path, checkpoint: str) -> Row:
    """Left shoes of all, then right shoes of some come later."""
    photos = drawn(work, 2 * (STORED + NEW), DRAWN_PX)
    left = [photo for photo in photos if "_left_" in photo.name]
    right = [photo for photo in photos if "_right_" in photo.name]
    store = work / "stock.db"
    command = ["match", "--store", str(store), "--checkpoint", checkpoint, "--out", str(work / "out"), "--score"]
    if not store.is_file():
        row_of(STORED, *command, str(heap_of(work, "heap_stored", left[:STORED])))
    copy = work / "copy.db"
    shutil.copy(store, copy)
    command[2] = str(copy)
    return row_of(NEW, *command, str(heap_of(work, "heap_new", right[:NEW])))


def read_large(work: Path) -> Row:
    """Photos of 12 megapixels, on one core."""
    folder = work / "large"
    folder.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(drawn(work, LARGE_PHOTOS, 224)):
        file = folder / f"{number}.jpg"
        if not file.is_file():
            image = Image.open(photo).resize(LARGE_PX, Image.Resampling.BICUBIC)
            noise = np.random.default_rng(number).normal(0, 3, (LARGE_PX[1], LARGE_PX[0], 1))
            Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(file, quality=92)
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(LARGE_PHOTOS):
        read_square(folder / f"{number}.jpg", 224)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return Row(1, seconds / LARGE_PHOTOS, cpu_seconds / LARGE_PHOTOS, memory_mb=0.0)


def row_of(size: int, *arguments: str) -> Row:
    """Of a command of shoepair in a process of its own."""
    took = measured([sys.executable, "-m", "shoepair", *arguments])
    counts: list[int | None] = [None, None, None]
    with suppress(StopIteration):
        line = next(line for line in took.said if line.startswith("Right"))
        right, found, true = (
            int(number.replace(",", "")) for number in re.findall(r"(\d[\d,]*) (?:of|pairs|true)", line)
        )
        counts = [found, right, true]
    return Row(size, took.seconds, took.cpu_seconds, took.memory_mb, *counts)


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = []
    order = [*map(str, SIZES), *WORDS]
    for name, values in sorted(rows.items(), key=lambda row: order.index(row[0])):
        row = Row(**{field.name: values[field.name] for field in fields(Row)})
        precision = "" if not row.found else f"{100 * (row.right or 0) / row.found:.1f}"
        recall = "" if not row.true else f"{100 * (row.right or 0) / row.true:.1f}"
        memory = f"{row.memory_mb / 1000:.2f} GB" if row.memory_mb else ""
        what = WORDS.get(name) or f"{int(name):,}"
        lines.append([what, in_seconds(row.seconds), in_seconds(row.cpu_seconds), memory, precision, recall])
    return markdown_table(["shoes", "time", "time of all cores", "peak memory", "precision", "recall"], lines)


def in_seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def plot(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Time of all cores over the number of shoes, and the exponent that fits."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = [size for size in SIZES if str(size) in rows]
    if len(sizes) < 2:
        return
    seconds = [rows[str(size)]["cpu_seconds"] for size in sizes]
    exponent, offset = np.polyfit(np.log(sizes), np.log(seconds), 1)
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog(sizes, seconds, "o", label="measured")
    axes.loglog(sizes, np.exp(offset) * np.array(sizes) ** exponent, "-", label=f"shoes to the power of {exponent:.2f}")
    axes.set(xlabel="shoes", ylabel="seconds of all cores", title="shoepair match")
    axes.legend()
    with replacing(path) as partial_file:
        figure.savefig(partial_file, format="png", dpi=120)
    print(f"Time grows as shoes to the power of {exponent:.2f}: {path}")


if __name__ == "__main__":
    main()
