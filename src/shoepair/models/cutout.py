"""Cuts a shoe out of its photo and lays it in one way: no floor, always as large, as turned and where it always is.

Where the shoe is says a small network, the segmenter, that learned it from drawn shoes, whose masks are known
(training/segmenter.py); its weights travel with the package. Its mask's moments say how the shoe lies. After Hu, Visual
pattern recognition by moment invariants, 1962.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoepair.models.pooling import max_of_5x5, max_pool, shrunk, sum_around

CUT_OUT_VERSION = "2"  # another one whenever the same photo and the same segmenter give another cut-out
SEGMENTER_WEIGHTS = Path(__file__).parent / "segmenter.pt"
SEEN_PX = 112  # side of the photos that the segmenter sees
MASK_PX = 56
CHANNELS = (12, 24, 32, 48)
AROUND = 31  # places along each side of the square in which a piece has the most of it
PIECE_STEPS = 40  # of two places each: the longest way through a piece that is followed
# How a shoe lies in its cut-out: its long axis as in most photos (from the upper right to the lower left; turned anyhow
# a shoe fills less of a square), and the standard deviation of its places along it, in halves of the side.
AXIS = math.radians(-47.0)
SPREAD = 0.54
LARGEST_ZOOM, SMALLEST_ZOOM = 4.0, 0.4
POSE_STEPS = 1024  # in 1, of coordinates, radians and spreads: a step is a ninth of a pixel of a photo of 224


class Segmenter(nn.Module):
    """A U-Net (Ronneberger et al., 2015) that says of each place how likely a shoe covers it."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = CHANNELS
        self.down = nn.ModuleList([_Block(3, a), _Block(a, b), _Block(b, c), _Block(c, d), _Block(d, d)])
        self.up = nn.ModuleList([_Block(2 * d, b), _Block(b + c, b), _Block(2 * b, a)])
        self.out = nn.Conv2d(a, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits: RGB in [-0.5, 0.5], (B, 3, SEEN_PX, SEEN_PX) -> (B, 1, MASK_PX, MASK_PX)."""
        x = max_pool(self.down[0](images))
        levels = [self.down[1](x)]  # at 56, 28, 14 and 7 places along each side
        for block in self.down[2:]:
            levels.append(block(max_pool(levels[-1])))
        x = levels.pop()
        for block in self.up:
            before = levels.pop()
            x = functional.interpolate(x, size=before.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, before], dim=1))
        outputs: Tensor = self.out(x)
        return outputs


class _Block(nn.Sequential):
    """Convolution -> batch norm -> ReLU; in evaluation, the norm is a part of the convolution's weights."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.compiler.is_compiling():
            outputs: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return outputs
        conv, norm = self[0], self[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight, bias = conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale
        return functional.conv2d(x, weight, bias, padding=1).relu_()


class CutOut(nn.Module):
    """From photos to cut-outs. It is not trained together with what looks at these.

    Args:
        size: side of the cut-outs, in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.segmenter = Segmenter()
        self.segmenter.load_state_dict(torch.load(SEGMENTER_WEIGHTS, weights_only=True))
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "CutOut":
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Cut-outs: RGB in [-0.5, 0.5], (B, 3, H, H) -> RGB in [-0.5, 0.5], 0 where no shoe is, and how much of each
        pixel the shoe covers, from 0 to 1: (B, 4, size, size)."""
        with torch.no_grad():
            return self.lay(images, self.masks(images))

    def masks(self, images: Tensor) -> Tensor:
        """How likely the shoe covers each place; of the largest piece only: (B, 3, H, H) -> (B, 1, 56, 56)."""
        return largest_piece(self.likely(images))

    def likely(self, images: Tensor) -> Tensor:
        """How likely any shoe covers each place: (B, 3, H, H) -> (B, 1, 56, 56)."""
        seen = images
        if images.shape[-1] > SEEN_PX:
            seen = shrunk(images, SEEN_PX)
        elif images.shape[-1] < SEEN_PX:
            seen = functional.interpolate(images, (SEEN_PX, SEEN_PX), mode="bilinear", align_corners=False)
        logits: Tensor = self.segmenter(seen.contiguous(memory_format=torch.channels_last))
        return logits.float().sigmoid()

    def lay(self, images: Tensor, masks: Tensor) -> Tensor:
        """The cut-outs of photos whose masks are known; see forward."""
        side = images.shape[-1]
        pose = pose_of(masks)
        turn = torch.remainder(pose.axis - AXIS + math.pi / 2, math.pi) - math.pi / 2
        scale = (pose.spread / SPREAD).clamp(1 / LARGEST_ZOOM, 1 / SMALLEST_ZOOM)
        cos, sin = turn.cos() * scale, turn.sin() * scale
        from_where = torch.stack([torch.stack([cos, -sin, pose.x], -1), torch.stack([sin, cos, pose.y], -1)], 1)
        cover = functional.interpolate(masks, (side, side), mode="bilinear", align_corners=False)
        cover = ((cover - 0.3) / 0.4).clamp(0, 1)  # a little larger than the shoe, with a soft edge
        finer = max(1, round(side / self.size))  # sampled as finely as the photo is, then averaged: no aliasing
        grid = _affine_grid(from_where.to(images.dtype), finer * self.size)
        cut = functional.grid_sample(torch.cat([images * cover, cover], 1), grid, align_corners=False)
        return shrunk(cut, self.size)


def _affine_grid(from_where: Tensor, side: int) -> Tensor:
    """As torch's affine_grid, whose matrix product takes as long as the sampling: (B, 2, 3) -> (B, side, side, 2)."""
    middles = ((torch.arange(side, device=from_where.device) + 0.5) * (2 / side) - 1).to(from_where.dtype)
    across, down, moved = from_where.unsqueeze(-1).unbind(2)  # (B, 2, 1) each
    columns, rows = across * middles, down * middles + moved  # (B, 2, side)
    return (columns[:, :, None] + rows[..., None]).permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Pose:
    """How shoes lie in their photos; coordinates run from -1 to 1 along both sides.

    Attributes:
        x, y: their middles, (B,) each.
        axis: direction of the longest extent, in radians from right to down; toe and heel are not told apart.
        spread: standard deviation along it.
    """

    x: Tensor
    y: Tensor
    axis: Tensor
    spread: Tensor


def pose_of(masks: Tensor) -> Pose:
    """By the moments of masks, (B, 1, H, H). A mask without a shoe has the pose that leaves the photo as it is.

    In steps of 1 / POSE_STEPS: two ways to compute, such as torch and an exported file, say the same of a photo then,
    whose cut-out would hang on their last bits otherwise.
    """
    side = masks.shape[-1]
    places = (torch.arange(side, device=masks.device, dtype=torch.float32) + 0.5) * 2 / side - 1
    x, y = places.view(1, 1, -1), places.view(1, -1, 1)
    weight = masks[:, 0].float()
    weight = weight * (weight > 0.5)
    total = weight.sum((1, 2)).clamp_min(1e-6)
    mean_x, mean_y = (weight * x).sum((1, 2)) / total, (weight * y).sum((1, 2)) / total
    dx, dy = x - mean_x.view(-1, 1, 1), y - mean_y.view(-1, 1, 1)
    xx, xy, yy = ((weight * product).sum((1, 2)) / total for product in (dx * dx, dx * dy, dy * dy))
    spread = ((xx + yy) / 2 + (((xx - yy) / 2) ** 2 + xy**2).sqrt()).sqrt()
    axis = 0.5 * torch.atan2(2 * xy, xx - yy)
    x, y, axis, spread = ((value * POSE_STEPS).round() / POSE_STEPS for value in (mean_x, mean_y, axis, spread))
    seen = spread > 0
    return Pose(x, y, torch.where(seen, axis, AXIS), torch.where(seen, spread, SPREAD))


def largest_piece(masks: Tensor) -> Tensor:
    """Masks of which all but the piece with most of it around one place is left out: (B, 1, H, H) -> (B, 1, H, H).

    Pieces that lie less than two places apart count as one.
    """
    covered = (masks > 0.5).float()
    around = sum_around(covered, AROUND) * covered
    first = around.flatten(1).argmax(1, keepdim=True)  # of equals one: the others may lie in other pieces
    piece = torch.zeros_like(around.flatten(1)).scatter(1, first, 1.0).view_as(covered) * covered
    for _ in range(PIECE_STEPS):
        wider = max_of_5x5(piece) * covered
        if not torch.compiler.is_compiling() and torch.equal(wider, piece):  # an exported graph takes all steps
            break
        piece = wider
    return masks * max_of_5x5(piece)


def turned(cut_outs: Tensor) -> Tensor:
    """Cut-outs with toe and heel exchanged: turned by 180 degrees."""
    return cut_outs.flip((-2, -1))


def mirrored(cut_outs: Tensor) -> Tensor:
    """Cut-outs about the diagonal along which shoes lie, within two degrees: of a left shoe, nearly the right one."""
    return cut_outs.transpose(-2, -1).flip((-2, -1))
