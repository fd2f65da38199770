"""Photos, names and tables as nobody expects them, among others that are good: each is used, or named and left out.

PYTHONPATH=tests python -m torture.files 60 0
"""

import csv
import io
import os
import random
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from shoepair.files import is_folder, read_rows
from torture.counts import Counts, judged, main
from torture.world import forked, world

GOOD = 4  # photos beside the strange ones
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "F")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "ICO", "TGA", "JPEG2000")
LETTERS = "abc=+-@'\" ,;|.%$#~{}[]()&\\éÜß日本\u202e\u200b\x1b\x07\t\n\r\x7f"
FORMULAS = tuple("=+-@\t\r")


def run(count: int, seed: int) -> Counts:
    """Photos."""
    counts, chance = Counts("photos"), random.Random(seed)
    kinds: list[Callable[[Path, random.Random], str]] = [any_mode, torn, no_photo, any_shape]
    with world("photos") as folder:
        for number in range(count):
            heap = good_heap(folder)
            made = chance.choice(kinds)(heap / "strange", chance)
            case = f"seed {seed}, case {number}, {made}"
            done = forked("match", "heap", "--checkpoint", folder / "outputs/run", cwd=heap.parent, seconds=60)
            counts.add(case, shown_or_named(done, heap, GOOD))
            shutil.rmtree(heap.parent)
    return counts


def run_names(count: int, seed: int) -> Counts:
    """Names of photos."""
    counts, chance = Counts("names"), random.Random(seed)
    with world("names") as folder:
        for number in range(count):
            heap = good_heap(folder)
            for photo in list(heap.iterdir()):
                photo.rename(heap / any_name(chance, photo.suffix))
            done = forked("match", "heap", "--checkpoint", folder / "outputs/run", cwd=heap.parent, seconds=60)
            ended = shown_or_named(done, heap, 0)
            if any(letter in done.stdout + done.stderr for letter in "\x1b\x07\x7f\u202e\r"):
                ended = "a name steers the terminal"
            counts.add(f"seed {seed}, case {number}, {sorted(path.name for path in heap.iterdir())!a}", ended)
            shutil.rmtree(heap.parent)
    return counts


def run_tables(count: int, seed: int) -> Counts:
    """Tables of pairs, as people and programs write them."""
    counts, chance = Counts("tables"), random.Random(seed)
    with world("tables") as folder:
        for number in range(count):
            heap = good_heap(folder)
            form: Literal["NFC", "NFD"] = "NFC" if chance.random() < 0.5 else "NFD"
            names = []
            for photo in sorted(heap.iterdir()):
                name = unicodedata.normalize(form, f"{chance.choice(['Füße', 'a b', 'x,y', 'z;1', 'é'])} {photo.name}")
                photo.rename(heap / name)
                names.append(name)
            written = write_table(heap.parent / "pairs.csv", names, chance)
            done = forked(
                "predict", "--pairs", "pairs.csv", "--checkpoint", folder / "outputs/run", cwd=heap.parent, seconds=60
            )  # fmt: skip
            ended = judged(done)
            if ended == "right":
                answers = [row["answer"] for row in csv.DictReader(io.StringIO(done.stdout))]
                ended = "right" if len(answers) == len(names) // 2 and all(answers) else f"answers {answers}"
            counts.add(f"seed {seed}, case {number}, {written}", ended if ended == "right" else f"not read: {ended}")
            shutil.rmtree(heap.parent)
    return counts


def good_heap(folder: Path) -> Path:
    """A folder with a few good photos."""
    heap = folder / "case" / "heap"
    heap.mkdir(parents=True)
    for number, photo in enumerate(sorted((folder / "heap").glob("*.png"))[:GOOD]):
        shutil.copy(photo, heap / f"good{number}.png")
    return heap


def shown_or_named(done: subprocess.CompletedProcess[str], heap: Path, num_good: int) -> str:
    """ "right" if each photo is in one of the tables under its own name or named as left out, and all good ones are."""
    ended, out = judged(done), heap.parent / "outputs/match"
    if ended != "right":
        return f"ends the whole heap: {done.stderr[-200:] if ended == 'one line' else ended}"
    found = [row[side] for _, row in read_rows(out / "pairs.csv", ("left", "right")) for side in ("left", "right")]
    found += [row["shoe"] for _, row in read_rows(out / "singles.csv", ("shoe",))]
    cells = [cell for name in ("pairs.csv", "singles.csv") for cell in cells_of(out / name)]
    if any(cell.startswith(FORMULAS) for cell in cells):
        return "a formula in a table"
    if sum(name.startswith("good") for name in found) < num_good:
        return "a good photo is missing"
    left_out = done.stderr.count("Left out ")
    there = [path.name for path in heap.iterdir() if not is_folder(path)]
    if not set(found) <= set(there):
        return f"names that are none: {sorted(set(found) - set(there))!a}"
    return "right" if len(found) + left_out == len(there) else f"{len(there)} photos, {len(found)} + {left_out} named"


def cells_of(table: Path) -> list[str]:
    with table.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def any_mode(path: Path, chance: random.Random) -> str:
    """An image of any kind and format that pillow writes."""
    mode, form = chance.choice(MODES), chance.choice(FORMATS)
    size = (chance.randint(1, 90), chance.randint(1, 90))
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(values).convert("L") if mode in ("I;16", "PA") else Image.fromarray(values)
    try:
        Image.Image.save(image.convert(mode), path.with_suffix(f".{form.lower()[:4]}"), form)
    except (OSError, ValueError, KeyError):
        image.convert("RGB").save(path.with_suffix(".png"))
        return "RGB as PNG"
    return f"{mode} as {form}"


def torn(path: Path, chance: random.Random) -> str:
    """A photo that was cut off, or of which some bytes are others."""
    form = chance.choice(FORMATS)
    file = path.with_suffix(f".{form.lower()[:4]}")
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(values).save(file, form)
    content = bytearray(file.read_bytes())
    if chance.random() < 0.5:
        end = chance.randrange(len(content))
        file.write_bytes(content[:end])
        return f"{form} cut off after {end} bytes"
    for _ in range(number := chance.choice([1, 3, 30])):
        content[chance.randrange(min(len(content), chance.choice([60, 10**9])))] = chance.randrange(256)
    file.write_bytes(content)
    return f"{form} with {number} other bytes"


def no_photo(path: Path, chance: random.Random) -> str:
    """What is no regular file, or none that may be read."""
    what = chance.choice(["pipe", "loop", "broken link", "device", "folder", "forbidden", "empty", "text", "far link"])
    file = path.with_suffix(chance.choice([".jpg", ".png", ".tiff"]))
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what in ("loop", "broken link", "device", "far link"):
        goal = {"loop": file.name, "broken link": "nowhere", "device": "/dev/zero", "far link": "x" * 300}[what]
        file.symlink_to(goal)
    else:
        file.write_bytes(b"<svg/>" * 100 if what == "text" else b"")
        file.chmod(0 if what == "forbidden" else 0o644)
    return f"{what} {file.suffix}"


def any_shape(path: Path, chance: random.Random) -> str:
    """A strip, a dot, or more pixels than memory would like."""
    size = chance.choice([(1, 1), (1, 60_000), (60_000, 1), (20_000, 10), (3, 9_000), (6_000, 6_000)])
    Image.new(chance.choice(["L", "RGB"]), size).save(path.with_suffix(".png"))
    return f"{size[0]} x {size[1]}"


def any_name(chance: random.Random, suffix: str) -> str:
    """A name that a file system takes."""
    if chance.random() < 0.1:
        return os.fsdecode(bytes(chance.randint(0x80, 0xFF) for _ in range(3))) + suffix
    name = "".join(chance.choice(LETTERS) for _ in range(chance.choice([1, 4, 20, 50]))).replace("/", "").lstrip(".")
    return (name.removeprefix("~$") or "=") + f"{chance.randrange(10**6)}" + suffix


def write_table(path: Path, names: list[str], chance: random.Random) -> str:
    """The names as pairs, in any form that people have. Returns the form."""
    delimiter, line_end = chance.choice(",;\t|"), chance.choice(["\n", "\r\n", "\r"])
    encoding = chance.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
    form = "NFC" if encoding == "cp1252" else chance.choice(["NFC", "NFD"])  # which has no accents by themselves
    slash, quoted = chance.choice("/\\"), chance.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    declared, empty = chance.random() < 0.3, chance.randrange(3)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoted)  # type: ignore[arg-type]
    writer.writerow(chance.choice([["left", "right"], ["Left", " RIGHT "], ["left", "right", ""]]))
    spelled = [unicodedata.normalize(form, f"heap{slash}{name}") for name in names]  # type: ignore[arg-type]
    writer.writerows(zip(spelled[::2], spelled[1::2], strict=True))
    whole = (f"sep={delimiter}{line_end}" if declared else "") + text.getvalue() + line_end * empty
    path.write_bytes(whole.encode(encoding))
    return f"{delimiter!r}, {line_end!r}, {encoding}, {form}, {slash}, sep={declared}, {empty} empty lines"


if __name__ == "__main__":
    main(run)
