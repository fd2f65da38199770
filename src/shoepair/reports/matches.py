"""What `shoepair match` found, as two tables and contact sheets. The page stands in match_page.py."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from shoepair.data.layout import LEFT, RIGHT
from shoepair.metrics.scores import probability_in_percent
from shoepair.reports.contact_sheet import Item, contact_sheet, in_rows

SHOE_PX = 112  # side of a shoe on the contact sheet
COLUMNS, TILES_A_SHEET = 5, 200  # a tile is a pair or two single shoes; what does not fit comes on another sheet
MOST_SHEETS = 3  # the page has all pairs, a sheet is for a glance at the most doubtful ones


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
    unsure: bool  # the runner-up would do as well, or nearly, or it is hardly above the threshold, or see reasons

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
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["left", "right", "probability", "runner_up", "runner_up_probability", "sure", "reasons"])
        for m in matches:
            runner_up = ("", "") if m.runner_up is None else (m.runner_up.name, _number(m.runner_up_probability))
            sure = "false" if m.unsure else "true"
            writer.writerow([m.left.name, m.right.name, _number(m.probability), *runner_up, sure, "; ".join(m.reasons)])
    with (folder / "singles.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["shoe", "nearest", "probability"])
        for s in singles:
            nearest = ("", "") if s.nearest is None else (s.nearest.name, _number(s.probability))
            writer.writerow([s.shoe.name, *nearest])


def draw_contact_sheets(folder: Path, matches: Sequence[ShownMatch], singles: Sequence[ShownSingle]) -> list[Path]:
    """Pairs in the order given, then single shoes: contact_sheet.png, contact_sheet_2.png, ... up to MOST_SHEETS."""
    tiles: list[tuple[list[ShownShoe], str]] = []
    tiles += [([m.left, m.right], f"{i}: {probability_in_percent(m.probability)}") for i, m in enumerate(matches, 1)]
    alone = [s.shoe for s in singles]
    for start in range(0, len(alone), 2):
        two = alone[start : start + 2]
        tiles.append((two, ", ".join(["single"] * len(two))))
    for old in folder.glob("contact_sheet*.png"):
        old.unlink()
    paths: list[Path] = []
    for start in range(0, min(len(tiles), MOST_SHEETS * TILES_A_SHEET), TILES_A_SHEET):
        items = [Item([_square(shoe) for shoe in shoes], title) for shoes, title in tiles[start:][:TILES_A_SHEET]]
        paths.append(folder / f"contact_sheet{f'_{len(paths) + 1}' if paths else ''}.png")
        contact_sheet(in_rows(items, COLUMNS)).save(paths[-1], compress_level=3)
    return paths


def _square(shoe: ShownShoe) -> Image.Image:
    """On white, so that shoes stand in columns whatever the shape of their photos."""
    photo = Image.open(io.BytesIO(shoe.jpeg))
    return ImageOps.pad(photo, (SHOE_PX, SHOE_PX), Image.Resampling.BICUBIC, "white", centering=(0.5, 0))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
