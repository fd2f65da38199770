"""A picture of what a network sees of two shoes, and of the places that it finds alike and unlike."""

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from shoepair.reports.contact_sheet import Item, contact_sheet, on_square, shoe_image
from shoepair.reports.figures import BLUE, ORANGE

SIDE_PX = 336
GAP_PX = 12
MOST_LINKS = 12
ALIKE, UNLIKE = ImageColor.getrgb(BLUE), ImageColor.getrgb(ORANGE)
UNLIKE_BELOW = 0.25  # places that are less alike, one standard deviation below the average, have none like them


def draw_explanation(
    photos: list[Image.Image], cut_outs: np.ndarray, alike: np.ndarray, links: np.ndarray, sentence: str
) -> Image.Image:
    """Both photos; below them both shoes as the network sees them, with lines between the places most like each other;
    below these how much each place is like some place of the other shoe.

    Args:
        photos: left and right.
        cut_outs, alike, links: as in inference.network.Explanation.
        sentence: what the network says.
    """
    seen = [shoe_image(cut_out, SIDE_PX) for cut_out in cut_outs]
    rows = [
        (sentence, [Item([on_square(photo, SIDE_PX) for photo in photos])]),
        (
            "Cut out and laid alike; lines join the places that are most like each other",
            [Item([_linked(seen, links, alike.shape[1])])],
        ),
        (
            "Blue places have one very like them in the other shoe, orange ones have none",
            [Item([_shaded(image, values) for image, values in zip(seen, alike, strict=True)])],
        ),
    ]
    return contact_sheet(rows, between=GAP_PX)


def shaded_shoes(cut_outs: np.ndarray, alike: np.ndarray) -> list[tuple[Image.Image, Image.Image]]:
    """Of the left and the right shoe: as the network sees it, and the same with its places shaded; for the arguments
    see draw_explanation."""
    seen = [shoe_image(cut_out, SIDE_PX) for cut_out in cut_outs]
    return [(image, _shaded(image, values)) for image, values in zip(seen, alike, strict=True)]


def _linked(seen: list[Image.Image], links: np.ndarray, side: int) -> Image.Image:
    both = Image.new("RGB", (2 * SIDE_PX + GAP_PX, SIDE_PX), "white")
    both.paste(seen[0], (0, 0))
    both.paste(seen[1], (SIDE_PX + GAP_PX, 0))
    draw = ImageDraw.Draw(both)
    for one, other, _ in links[:MOST_LINKS]:
        ends = []
        for place, left in ((int(one), 0), (int(other), SIDE_PX + GAP_PX)):
            row, column = divmod(place, side)
            ends.append((left + (column + 0.5) * SIDE_PX / side, (row + 0.5) * SIDE_PX / side))
        draw.line(ends, ALIKE, 2)
        for x, y in ends:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), ALIKE, "white")
    return both


def _shaded(image: Image.Image, alike: np.ndarray) -> Image.Image:
    """Places shaded from orange (0) to blue (1)."""
    part = alike[..., None]
    colours = np.asarray(ALIKE) * np.nan_to_num(part) + np.asarray(UNLIKE) * (1 - np.nan_to_num(part))
    shade = Image.fromarray(colours.astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)
    where = Image.fromarray((np.isfinite(alike) * 140).astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)
    return Image.composite(shade, image, where)
