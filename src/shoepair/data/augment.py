"""Random changes of whole batches of training pairs, on the device they are on. They never change a label."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from shoepair.config.schema import AugmentSettings


class Augmentation:
    """Random mirroring, exchange of sides, placement and colour.

    Placement is drawn for each shoe, since two photos are never framed alike; brightness, contrast and saturation for
    each pair, as of photos that are taken in the same light; light for each shoe, as of photos that are not.

    Args:
        settings: None: no changes at all.
    """

    def __init__(self, settings: AugmentSettings | None) -> None:
        self.settings = settings

    def __call__(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Change a batch.

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            Two of the same shape and range.
        """
        s = self.settings
        if s is None:
            return left, right
        if s.swap:
            chosen = _chance(s.swap, left)
            left, right = torch.where(chosen, right, left), torch.where(chosen, left, right)
        if s.hflip:
            chosen = _chance(s.hflip, left)
            left, right = (torch.where(chosen, x.flip(-1), x) for x in (left, right))
        if s.rotation_deg or s.translate or s.scale:
            left, right = _placed(left, s), _placed(right, s)
        if s.brightness or s.contrast or s.saturation:
            left, right = _coloured(torch.stack([left, right]), s).unbind()  # (2, B, 3, H, W)
        if s.exposure:
            left, right = _exposed(left, s.exposure), _exposed(right, s.exposure)
        return left, right

    def choose_views(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Mirroring and exchange of sides where shoes are vectors of their views, (B, num_views, C) each -> (B, C).

        The second view, where there is one, is that of the mirror image.
        """
        s, views = self.settings, torch.zeros(len(left), dtype=torch.long, device=left.device)
        if s is not None and s.hflip:
            views = _chance(s.hflip, left).flatten().long()
        rows = torch.arange(len(left), device=left.device)
        left, right = left[rows, views], right[rows, views]
        if s is not None and s.swap:
            chosen = _chance(s.swap, left).view(-1, 1)
            left, right = torch.where(chosen, right, left), torch.where(chosen, left, right)
        return left, right


def _placed(images: Tensor, s: AugmentSettings) -> Tensor:
    """Turn, shift and scale every image; what comes in from outside repeats the edge."""
    num = len(images)
    angle = _uniform(num, images) * math.radians(s.rotation_deg)
    scale = (1 + s.scale) ** _uniform(num, images)
    shift = _uniform((num, 2, 1), images) * 2 * s.translate  # grid coordinates run from -1 to 1
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (B, 2, 2)
    grid = affine_grid(torch.cat([turn, shift], -1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _coloured(pairs: Tensor, s: AugmentSettings) -> Tensor:
    """Saturation, contrast and brightness of every pair: (2, B, 3, H, W)."""
    shape = (pairs.shape[1], 1, 1, 1)
    saturation, contrast, brightness = (
        _uniform(shape, pairs) * part for part in (s.saturation, s.contrast, s.brightness)
    )
    grey = pairs.mean(dim=2, keepdim=True)
    pairs = grey + (pairs - grey) * (1 + saturation)
    pairs = pairs * (1 + contrast) + brightness
    return pairs.clamp(-0.5, 0.5)


def _exposed(images: Tensor, exposure: float) -> Tensor:
    """Another exposure and, half as strong, more red and less blue or the other way round, of every image. Light that
    is g times as strong makes an sRGB value about g ** (1 / 2.2) times as large."""
    brighter, warmth = (_uniform((len(images), 1, 1, 1), images) for _ in range(2))
    warmer = warmth * images.new_tensor([0.5, 0.0, -0.5]).view(1, 3, 1, 1)
    gain = (1 + exposure) ** (brighter + warmer)
    return ((images + 0.5) * gain - 0.5).clamp(-0.5, 0.5)


def _uniform(shape: int | tuple[int, ...], like: Tensor) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(shape, device=like.device, dtype=like.dtype) * 2 - 1


def _chance(probability: float, like: Tensor) -> Tensor:
    """(B, 1, 1, 1) bool, true with this probability."""
    return torch.rand((len(like), 1, 1, 1), device=like.device) < probability
