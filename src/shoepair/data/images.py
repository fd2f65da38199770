"""Sizes of images, and contact sheets of a match, which are no photos. With pillow alone."""

import re
from pathlib import Path

from PIL import Image

WRITTEN_BY = "shoepair match"  # what a contact sheet says of itself
SHEET = re.compile(r"contact_sheet(_\d+)?\.png")


def size_within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height scaled so that the longer one is `side`; of a long strip, the shorter one is still a pixel."""
    longest = max(size)
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def scaled_to_fit(image: Image.Image, side: int) -> Image.Image:
    """The image, smaller or larger, so that its longer side is `side`."""
    return image.resize(size_within(image.size, side), Image.Resampling.BICUBIC)


def is_sheet(path: Path) -> bool:
    """Whether this is a contact sheet of a match."""
    if not SHEET.fullmatch(path.name):
        return False
    try:
        with Image.open(path) as image:
            return image.info.get("Software") == WRITTEN_BY
    except Exception:  # of whatever else is called so
        return False
