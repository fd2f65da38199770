"""What `shoepair match` found, as two tables and contact sheets. The page stands in match_page.py."""

import io
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shoepair.data.images import WRITTEN_BY, is_sheet
from shoepair.data.layout import LEFT, RIGHT
from shoepair.errors import UserError
from shoepair.files import is_file, replacing, write_rows
from shoepair.metrics.scores import probability_in_percent, rounded_probability
from shoepair.progress import progress
from shoepair.reports.contact_sheet import Item, contact_sheet, in_rows, on_square

PAIRS = ("left", "right", "probability", "runner_up", "runner_up_probability", "sure", "reasons")  # columns
SINGLES = ("shoe", "nearest", "probability")
SHOE_PX = 112  # side of a shoe on the contact sheet
COLUMNS, TILES_A_SHEET = 5, 100  # a tile is a pair or two single shoes; what does not fit comes on another sheet
MOST_SHEETS = 6  # the page has all pairs, a sheet is for a glance at the most doubtful ones
SHEETS_AT_ONCE = 2  # each takes 25 MB while it is drawn


@dataclass(frozen=True)
class ShownShoe:
    """A shoe as the report shows it.

    Attributes:
        name: of its file.
        jpeg: a small picture of its photo.
        cut_out: one of what the network sees, if it sees cut-outs.
        doubt: what is wrong with its photo, to be said after "the left photo".
        path: of the photo.
    """

    name: str
    jpeg: bytes
    cut_out: bytes | None = None
    doubt: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class ShownMatch:
    """Two shoes that were put together, and the best of the others for one of them (None: there is none)."""

    left: ShownShoe
    right: ShownShoe
    probability: float
    runner_up: ShownShoe | None
    runner_up_probability: float | None
    unsure: bool  # to be looked at again; why says the page

    @property
    def reasons(self) -> list[str]:
        """What is wrong with the photos, such as "the left photo is blurred"."""
        sides = ((LEFT, self.left), (RIGHT, self.right))
        return [f"the {side} photo {shoe.doubt}" for side, shoe in sides if shoe.doubt is not None]


@dataclass(frozen=True)
class ShownSingle:
    """A shoe that stayed single, and the nearest of the others (None: there is none)."""

    shoe: ShownShoe
    nearest: ShownShoe | None
    probability: float | None


def write_tables(folder: Path, matches: Sequence[ShownMatch], singles: Sequence[ShownSingle]) -> None:
    """pairs.csv and singles.csv."""
    write_rows(
        folder / "pairs.csv",
        PAIRS,
        (
            [
                m.left.name, m.right.name, _number(m.probability),
                *(("", "") if m.runner_up is None else (m.runner_up.name, _number(m.runner_up_probability))),
                "false" if m.unsure else "true", "; ".join(m.reasons),
            ]
            for m in matches
        ),
    )  # fmt: skip
    write_rows(
        folder / "singles.csv",
        SINGLES,
        (
            [s.shoe.name, *(("", "") if s.nearest is None else (s.nearest.name, _number(s.probability)))]
            for s in singles
        ),
    )


def draw_contact_sheets(folder: Path, matches: Sequence[ShownMatch], singles: Sequence[ShownSingle]) -> list[Path]:
    """Pairs in the order given, then single shoes: contact_sheet.png, contact_sheet_2.png, ... up to MOST_SHEETS."""
    tiles: list[tuple[list[ShownShoe], str]] = []
    tiles += [([m.left, m.right], f"{i}: {probability_in_percent(m.probability)}") for i, m in enumerate(matches, 1)]
    alone = [s.shoe for s in singles]
    for start in range(0, len(alone), 2):
        two = alone[start : start + 2]
        tiles.append((two, ", ".join(["single"] * len(two))))
    for old in folder.glob("contact_sheet*.png"):
        if is_of_match(old):
            old.unlink()
    written = PngInfo()
    written.add_text("Software", WRITTEN_BY)
    starts = range(0, min(len(tiles), MOST_SHEETS * TILES_A_SHEET), TILES_A_SHEET)
    free = (path for path in map(folder.joinpath, _sheet_names()) if not path.exists())
    paths = list(itertools.islice(free, len(starts)))

    def draw(start: int, path: Path) -> None:
        items = [
            Item([on_square(Image.open(io.BytesIO(shoe.jpeg)), SHOE_PX) for shoe in shoes], title)
            for shoes, title in tiles[start:][:TILES_A_SHEET]
        ]
        with replacing(path) as partial:
            contact_sheet(in_rows(items, COLUMNS)).save(partial, "PNG", compress_level=1, pnginfo=written)

    with ThreadPoolExecutor(SHEETS_AT_ONCE) as pool:
        list(progress(pool.map(draw, starts, paths), "Contact sheets", "sheet", len(paths)))
    return paths


def _sheet_names() -> Iterator[str]:
    return ("contact_sheet.png" if number == 1 else f"contact_sheet_{number}.png" for number in itertools.count(1))


def is_of_match(path: Path) -> bool:
    """Whether `shoepair match` has written this file, so that it may write another one in its place."""
    if not is_file(path) or path.is_symlink():
        return False
    if path.suffix == ".png":
        return is_sheet(path)
    try:
        with path.open("rb") as file:
            start = file.read(2048).decode("utf-8", "replace")
    except OSError:
        return False
    if path.suffix == ".html":
        return f'content="{WRITTEN_BY}"' in start or "<title>Pairs found in " in start  # as older ones began
    return start.startswith((",".join(PAIRS[:3]), ",".join(SINGLES)))


def refuse_others(folder: Path) -> None:
    """Raises UserError if a file or folder of somebody else's has a name that a match writes to."""
    page, photos = folder / "match.html", folder / "match_photos"
    written = [folder / "pairs.csv", folder / "singles.csv", page, *folder.glob("match_*.html")]
    others = [path for path in written if os.path.lexists(path) and not is_of_match(path)]
    if os.path.lexists(photos) and not is_of_match(page):
        others.append(photos)
    if others:
        raise UserError(
            f"--out {folder}: {others[0].name} in it is not of shoepair match, and would be lost; choose another "
            "folder."
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{rounded_probability(value, 4):.4f}"
