"""Reads photos that a CSV file lists, under any names, into ShoeSets, and says line by line what it left out."""

import logging
import os
from functools import partial
from pathlib import Path

from shoepair.config.schema import TABLE_COLUMNS
from shoepair.data.layout import LEFT, RIGHT, SPLITS
from shoepair.data.photos import read_shoes, refuse_person_in_two_splits
from shoepair.data.shoes import Shoe, ShoeSet
from shoepair.errors import UserError
from shoepair.files import find_file, read_rows

log = logging.getLogger(__name__)


def read_table(file: str | Path, image_size: int, cache_dir: str | Path | None = None) -> dict[str, ShoeSet]:
    """Read the photos that a CSV file lists, one row a shoe: file, person, pair, side, kind and, if it is there, split.

    Left out, each with a warning that names its line: a row without file, person or pair, another side than left or
    right, another split than train, test_m or test_w, a photo that is not there or cannot be read, a second photo of
    the same shoe, a photo that is listed twice, a shoe whose partner is missing.

    Args:
        image_size: side of the square images, in pixels.
        cache_dir: where decoded photos are kept; None for the default folder.
    Returns:
        A ShoeSet for each split that has a row: "train", "test_m", "test_w". An empty split means train.
    Raises:
        UserError: if the table cannot be read or lacks a column, if a split has no complete pair, or if a person
            stands in two splits.
    """
    table = Path(file)
    paths: dict[str, dict[Shoe, Path]] = {}
    lines: dict[tuple[str, Shoe], int] = {}  # where each shoe of a split stands
    first: dict[tuple[str, ...], int] = {}  # the line in which a shoe, or a photo, came first
    for line, row in read_rows(table, TABLE_COLUMNS):
        split, side = row.get("split") or "train", row["side"].lower()
        shoe = Shoe(row["person"], row["pair"], side, row["kind"].lower(), row["file"])
        path = find_file(table.parent, row["file"]) if row["file"] else None
        wrong = _why_unusable(row, split, side, path)
        if path is not None and wrong is None:
            keys = {
                "a second photo of the shoe": (split, shoe.person, shoe.pair, shoe.side),
                "the same photo as": (os.path.realpath(path),),
            }
            wrong = next((f"{what} in line {first[key]}" for what, key in keys.items() if key in first), None)
            if wrong is None:  # a line that is left out stands in nobody's way
                first.update(dict.fromkeys(keys.values(), line))
        if path is None or wrong is not None:
            log.warning("Left out %s, line %d (%s): %s.", table, line, row["file"], wrong)
            continue
        paths.setdefault(split, {})[shoe] = path
        lines[split, shoe] = line

    def place(split: str, shoe: Shoe) -> str:
        return f"{table}, line {lines[split, shoe]} ({shoe.name})"

    sets = {}
    for split in SPLITS:
        listed = paths.get(split, {})
        if listed or split == "train":
            sets[split] = read_shoes(
                listed,
                image_size,
                cache_dir,
                place=partial(place, split),
            )
            if not len(sets[split].images):
                raise UserError(
                    f"{table}: no complete pair of photos in {split}; expected two rows for each pair, with the sides "
                    "left and right and the same person and pair."
                )
    refuse_person_in_two_splits({split: shoes.people for split, shoes in sets.items()})
    return sets


def _why_unusable(row: dict[str, str], split: str, side: str, path: Path | None) -> str | None:
    empty = [column for column in ("file", "person", "pair") if not row[column]]
    if empty:
        return f"there is nothing in the column {empty[0]}"
    if side not in (LEFT, RIGHT):
        return f"its side is {row['side'] or 'empty'}, expected left or right"
    if split not in SPLITS:
        return f"its split is {split}, expected one of {', '.join(SPLITS)} (who of train validates, data.fold decides)"
    return "there is no such file" if path is None else None
