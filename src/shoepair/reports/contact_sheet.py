"""Sheets of shoes to look at: pictures beside one another under a few words, in rows.

With pillow, since a run waits for two of them, and matplotlib takes half a second for each.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoepair.data.images import scaled_to_fit
from shoepair.terminal import on_one_line

MOST_LETTERS = 120  # of a heading or a title
HEADING_PX, TITLE_PX = 26, 18  # of the line above a row, and of the one above an item


@dataclass(frozen=True)
class Item:
    """Images that belong together, such as those of a pair, and what stands above them."""

    images: Sequence[Image.Image]
    title: str = ""
    colour: str = "black"


Row = tuple[str, Sequence[Item]]  # with its heading; an empty one takes no room


def contact_sheet(rows: Sequence[Row], *, gap: int = 12, between: int = 4) -> Image.Image:
    """All rows on one sheet, in columns as wide as the widest item.

    Args:
        gap: pixels around the items.
        between: pixels between the images of an item.
    """
    font = _font(14)
    rows = [(fitting(heading, MOST_LETTERS), items) for heading, items in rows]
    title_px = TITLE_PX if any(item.title for _, items in rows for item in items) else 0
    sizes = [[_size(item, title_px, between) for item in items] for _, items in rows]
    column_px = max((width for row in sizes for width, _ in row), default=0) + gap
    widths = [max(len(items) * column_px, math.ceil(font.getlength(heading)) + gap) for heading, items in rows]
    heights = [max((height + gap for _, height in row), default=0) for row in sizes]
    height = sum(heights) + HEADING_PX * sum(bool(heading) for heading, _ in rows)
    sheet = Image.new("RGB", (gap + max(widths, default=0), gap + height), "white")
    draw, top = ImageDraw.Draw(sheet), gap
    for (heading, items), row_px in zip(rows, heights, strict=True):
        if heading:
            draw.text((gap, top), heading, "black", font)
            top += HEADING_PX
        for column, item in enumerate(items):
            left = gap + column * column_px
            draw.text((left, top), fitting(item.title, MOST_LETTERS), item.colour, _font(12))
            for image in item.images:
                sheet.paste(image, (left, top + title_px))
                left += image.width + between
        top += row_px
    return sheet


def _size(item: Item, title_px: int, between: int) -> tuple[int, int]:
    """Width and height of an item, with the line above it."""
    width = sum(image.width for image in item.images) + between * (len(item.images) - 1)
    title = math.ceil(_font(12).getlength(fitting(item.title, MOST_LETTERS)))
    return max(width, title), title_px + max(image.height for image in item.images)


def fitting(text: str, length: int) -> str:
    """On one line, and without its middle if it is longer: of names, the beginning and the end tell most."""
    text = on_one_line(text)
    if len(text) <= length:
        return text
    end = length // 2
    return f"{text[: length - 1 - end]}…{text[-end:]}"


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """matplotlib's, found without importing it: Pillow's own has no letters with accents."""
    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations if found else None) or []:
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)


def in_rows(items: Sequence[Item], num_columns: int) -> list[Row]:
    """Rows without headings, so many items in each."""
    return [("", items[start : start + num_columns]) for start in range(0, len(items), num_columns)]


def beside(images: Sequence[Image.Image], between: int = 0) -> Image.Image:
    """One image of several, from left to right with so many white pixels in between."""
    width = sum(image.width for image in images) + between * (len(images) - 1)
    joined = Image.new("RGB", (width, max(image.height for image in images)), "white")
    left = 0
    for image in images:
        joined.paste(image, (left, 0))
        left += image.width + between
    return joined


def on_square(photo: Image.Image, side: int) -> Image.Image:
    """Scaled, on white, so that shoes stand in columns whatever the shape of their photos."""
    small, square = scaled_to_fit(photo, side), Image.new("RGB", (side, side), "white")
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return square


def shoe_image(pixels: np.ndarray, width_px: int = 128) -> Image.Image:
    """(3, H, W) uint8, RGB, or (4, H, W), a cut-out, scaled to a width; the height follows."""
    image = Image.fromarray(np.ascontiguousarray(pixels[:3].transpose(1, 2, 0)))
    return image.resize((width_px, round(width_px * image.height / image.width)), Image.Resampling.BICUBIC)
