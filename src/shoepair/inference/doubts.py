"""What makes a photo unfit for a verdict: no whole shoe where the segmenter looks for one, no light, no sharpness.

The limits were set on the 558 photos of the course's training people, of which none is doubted, and on the same photos
darker, brighter, blurred, moved out of the picture and without a shoe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoepair.models.cutout import MASK_PX, largest_piece
from shoepair.models.pooling import mean_of_3x3, shrunk

SMALLEST_SHOE = 0.02  # of the square
SECOND_PIECE = 0.6  # of the largest one
CUT_OFF = 0.9  # of the square root of the shoe's area: more than its width
DARKEST_LIGHT = 0.16  # sRGB, that the brightest twentieth of a photo reaches
BLOWN_OUT, WHITE = 0.6, 0.98  # this part of the shoe is as good as white, or nearly all of the photo
BLURRED = 0.58

# What may be wrong, to be said after "the left photo", and what helps.
REMEDIES = {
    "is too dark": "take it again with more light",
    "is too bright": "take it again with less light",
    "shows no shoe": "lay one shoe on a plain floor",
    "shows more than one thing": "lay one shoe alone",
    "shows only a part of the shoe": "take it again from farther away",
    "is blurred": "take it again and hold the camera still",
}


@dataclass(frozen=True)
class Looks:
    """What is measured of photos, (B,) each.

    Attributes:
        shoe: part of the square that the shoe covers.
        second_piece: size of the second largest piece that looks like a shoe, of the largest; where all that is left
            is too little to matter, all of it may count.
        cut_off: length of the shoe's outline along the photo's edges, of the square root of its area.
        light: what the brightest twentieth of the photo reaches, from 0 to 1.
        shade: what the darkest twentieth of the photo stays below.
        white: part of the shoe that is as good as white.
        sharpness: fine detail of the shoe in units of its coarser detail, so that contrast does not matter.
    """

    shoe: Tensor
    second_piece: Tensor
    cut_off: Tensor
    light: Tensor
    shade: Tensor
    white: Tensor
    sharpness: Tensor

    def wrong(self) -> Tensor:
        """What is wrong with each photo, in the order of REMEDIES: (B, len(REMEDIES)) bool."""
        return torch.stack(
            [
                self.light < DARKEST_LIGHT,
                (self.white > BLOWN_OUT) | (self.shade > WHITE),
                self.shoe < SMALLEST_SHOE,
                self.second_piece > SECOND_PIECE,
                self.cut_off > CUT_OFF,
                self.sharpness < BLURRED,
            ],
            dim=1,
        )

    def doubts(self) -> list[str | None]:
        """The first thing that is wrong with each photo, a key of REMEDIES; None: nothing is."""
        words = list(REMEDIES)
        return [words[int(photo.int().argmax())] if photo.any() else None for photo in self.wrong()]


@torch.inference_mode()
def look(photos: Tensor, found: Tensor, extents: Sequence[tuple[float, float]]) -> Looks:
    """Measure photos.

    Args:
        photos: RGB in [-0.5, 0.5], (B, 3, H, H).
        found: how likely a shoe covers each place, as CutOut.likely gives it.
        extents: what part of the square each photo fills across and down; the rest is padding.
    """
    return measured(photos, found, torch.stack([_edge(*extent) for extent in extents]).to(photos.device))


def measured(photos: Tensor, found: Tensor, edge: Tensor) -> Looks:
    """As look(), of photos whose edges are known: which places lie along them, (B, MASK_PX, MASK_PX) bool."""
    piece = largest_piece(found) > 0.5
    covered = piece.flatten(1).sum(1)
    area = covered.clamp_min(1)
    others = (found > 0.5) & ~piece
    second = others.flatten(1).sum(1)
    if torch.compiler.is_compiling() or (second > SECOND_PIECE * area).any():  # of most photos there is no such piece
        second = (largest_piece(others.float()) > 0.5).flatten(1).sum(1)
    seen = shrunk(photos, MASK_PX) + 0.5
    grey = photos.mean(1, keepdim=True)
    smooth = mean_of_3x3(grey)
    smoother = mean_of_3x3(mean_of_3x3(smooth))
    fine, coarse = (
        (shrunk(detail.abs(), MASK_PX) * piece).sum((1, 2, 3)) for detail in (grey - smooth, smooth - smoother)
    )
    return Looks(
        shoe=covered / MASK_PX**2,
        second_piece=second / area,
        cut_off=(edge & piece[:, 0]).flatten(1).sum(1) / area.sqrt(),
        light=seen.amax(1).flatten(1).quantile(0.95, dim=1),
        shade=seen.amin(1).flatten(1).quantile(0.05, dim=1),
        white=((seen.amin(1, keepdim=True) > WHITE) & piece).flatten(1).sum(1) / area,
        sharpness=torch.where(covered > 0, fine / coarse.clamp_min(1e-6), 1.0),
    )


def _edge(across: float, down: float) -> Tensor:
    """Which places lie along the edges of a photo that fills this part of the square: (MASK_PX, MASK_PX) bool."""
    edge = torch.zeros(MASK_PX, MASK_PX, dtype=torch.bool)
    left, top = (min(round(MASK_PX * (1 - part) / 2), MASK_PX // 2 - 1) for part in (across, down))
    right, bottom = MASK_PX - 1 - left, MASK_PX - 1 - top
    edge[[top, bottom], left : right + 1] = True
    edge[top : bottom + 1, left] = edge[top : bottom + 1, right] = True
    return edge
