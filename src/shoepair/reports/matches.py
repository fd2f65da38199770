"""What `shoepair match` leaves behind: two tables, a contact sheet, and one page that needs no other file."""

import base64
import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from shoepair.data.layout import LEFT, RIGHT
from shoepair.reports.contact_sheet import Item, contact_sheet, in_rows
from shoepair.reports.tables import probability_in_percent

SHOE_PX = 112  # side of a shoe on the contact sheet
COLUMNS, TILES_A_SHEET = 5, 200  # a tile is a pair or two single shoes; what does not fit comes on another sheet


@dataclass(frozen=True)
class ShownShoe:
    """A shoe as the report shows it.

    Attributes:
        name: of its file.
        jpeg: a small picture of its photo.
        cut_out: one of what the network sees, if it sees cut-outs.
        doubt: what is wrong with its photo, to be said after "the left photo".
    """

    name: str
    jpeg: bytes
    cut_out: bytes | None = None
    doubt: str | None = None


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
    """Pairs in the order given, then single shoes: contact_sheet.png; what does not fit, contact_sheet_2.png, ..."""
    tiles: list[tuple[list[ShownShoe], str]] = []
    tiles += [([m.left, m.right], f"{i}: {probability_in_percent(m.probability)}") for i, m in enumerate(matches, 1)]
    alone = [s.shoe for s in singles]
    for start in range(0, len(alone), 2):
        two = alone[start : start + 2]
        tiles.append((two, ", ".join(["single"] * len(two))))
    for old in folder.glob("contact_sheet*.png"):
        old.unlink()
    paths: list[Path] = []
    for start in range(0, len(tiles), TILES_A_SHEET):
        items = [Item([_square(shoe) for shoe in shoes], title) for shoes, title in tiles[start:][:TILES_A_SHEET]]
        paths.append(folder / f"contact_sheet{f'_{len(paths) + 1}' if paths else ''}.png")
        contact_sheet(in_rows(items, COLUMNS)).save(paths[-1], compress_level=3)
    return paths


def _square(shoe: ShownShoe) -> Image.Image:
    """On white, so that shoes stand in columns whatever the shape of their photos."""
    photo = Image.open(io.BytesIO(shoe.jpeg))
    return ImageOps.pad(photo, (SHOE_PX, SHOE_PX), Image.Resampling.BICUBIC, "white", centering=(0.5, 0))


STYLE = """
:root { color-scheme: light dark; --line: #8888; --warn: #b35900; }
@media (prefers-color-scheme: dark) { :root { --warn: #ffb366; } }
body { font: 16px/1.4 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem;
  overflow-wrap: anywhere; }
ol, ul { list-style: none; padding: 0; display: grid; gap: 1rem; }
ol { grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); }
ul { grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
li { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem; }
li.unsure { border: 2px solid var(--warn); }
li p { margin: .4rem 0 0; }
.photos { display: flex; gap: .4rem; }
.photos img { flex: 1 1 0; min-width: 0; max-width: 144px; height: 120px; object-fit: contain; }
.cut-outs img { height: 72px; margin-top: .3rem; }
.runner-up { font-size: .9em; display: flex; gap: .5rem; align-items: center; }
.runner-up img { height: 56px; }
.unsure strong { color: var(--warn); }
"""


def write_page(
    path: Path, matches: Sequence[ShownMatch], singles: Sequence[ShownSingle], *, gallery: str, threshold: float
) -> None:
    """One HTML page with its pictures inside, to be read by eyes or ears: pairs in the order given, then singles.

    Args:
        gallery: what was matched, in words.
        threshold: the probability that a pair must reach.
    """
    unsure = sum(m.unsure for m in matches)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Pairs found in {html.escape(gallery)}</title><style>{STYLE}</style></head>",
        "<body><main>",
        f"<h1>Pairs found in {html.escape(gallery)}</h1>",
        f"<p>{counted(len(matches), 'pair')}, {counted(len(singles), 'single shoe')}. Two shoes were put together from "
        f"{probability_in_percent(threshold)} on. Most doubtful first: "
        f"{'look at those with a thick border' if unsure else 'none of them is very doubtful'}"
        f"{f', {unsure} of them' if unsure else ''}.</p>",
    ]
    if matches:
        parts += ['<h2 id="pairs">Pairs</h2>', '<ol aria-labelledby="pairs">']
        parts += [_match_item(i, m) for i, m in enumerate(matches, 1)]
        parts.append("</ol>")
    if singles:
        parts += ['<h2 id="singles">Single shoes</h2>', '<ul aria-labelledby="singles">']
        parts += [_single_item(s) for s in singles]
        parts.append("</ul>")
    parts += ["</main></body></html>", ""]
    path.write_text("\n".join(parts), encoding="utf-8")


def _match_item(number: int, m: ShownMatch) -> str:
    photos = f'<div class="photos">{_picture(m.left, "left shoe")}{_picture(m.right, "right shoe")}</div>'
    if m.left.cut_out is not None and m.right.cut_out is not None:
        photos += f'<div class="photos cut-outs">{_decoration(m.left.cut_out)}{_decoration(m.right.cut_out)}</div>'
    title = f"<strong>Pair {number}, {probability_in_percent(m.probability)}.</strong>"
    look_again = f" Look again: {html.escape(' and '.join(m.reasons))}." if m.reasons else ""
    said = f"<p>{title} Left {_name(m.left)}, right {_name(m.right)}.{look_again}</p>"
    runner_up = ""
    if m.runner_up is not None:
        picture = _picture(m.runner_up, "the next best") if m.unsure else ""  # as a picture only where it is needed
        words = f"<p>Next best: {_name(m.runner_up)}, {probability_in_percent(m.runner_up_probability)}.</p>"
        runner_up = f'<div class="runner-up">{picture}{words}</div>'
    return f"<li{' class=unsure' if m.unsure else ''}>{photos}{said}{runner_up}</li>"


def _single_item(s: ShownSingle) -> str:
    nearest = ""
    if s.nearest is not None:
        nearest = f" Nearest: {_name(s.nearest)}, {probability_in_percent(s.probability)}."
    doubt = "" if s.shoe.doubt is None else f" Its photo {html.escape(s.shoe.doubt)}."
    return (
        f'<li><div class="photos">{_picture(s.shoe, "single shoe")}</div><p>{_name(s.shoe)}.{nearest}{doubt}</p></li>'
    )


def _picture(shoe: ShownShoe, what: str) -> str:
    return _image(shoe.jpeg, f"{what}: {shoe.name}")


def _decoration(jpeg: bytes) -> str:
    """A picture that says nothing more to those who do not see it."""
    return _image(jpeg, "")


def _image(jpeg: bytes, text: str) -> str:
    data = base64.b64encode(jpeg).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(text)}">'


def _name(shoe: ShownShoe) -> str:
    return html.escape(shoe.name)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
