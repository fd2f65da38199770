"""Random changes of whole batches of training pairs, on the device they are on. They never change a label.

Photos have three channels, RGB in [-0.5, 0.5]. Cut-outs have a fourth, how much of each pixel the shoe covers: it moves
with the shoe, and outside of it colours stay 0.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, grid_sample, interpolate

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
            left, right: photos, each (B, 3, H, W), or cut-outs, (B, 4, H, W).
        Returns:
            Two of the same shape and range.
        """
        s = self.settings
        if s is None:
            return left, right
        left, right = self._moved(left, right, s)
        if left.shape[1] == 3:
            return self._coloured(left, right, s)
        covers = left[:, 3:], right[:, 3:]
        colours = self._coloured(left[:, :3], right[:, :3], s)
        left, right = (torch.cat([rgb * cover, cover], 1) for rgb, cover in zip(colours, covers, strict=True))
        return left, right

    def _moved(self, left: Tensor, right: Tensor, s: AugmentSettings) -> tuple[Tensor, Tensor]:
        """Everything that changes where things are."""
        if s.swap:
            chosen = _chance(s.swap, left)
            left, right = torch.where(chosen, right, left), torch.where(chosen, left, right)
        if s.hflip:
            chosen = _chance(s.hflip, left)
            left, right = (torch.where(chosen, x.flip(-1), x) for x in (left, right))
        if s.rot180:
            chosen = _chance(s.rot180, left)
            left, right = (torch.where(chosen, x.flip((-2, -1)), x) for x in (left, right))
        if s.rotation_deg or s.translate or s.scale or s.shear:
            left, right = _placed(left, s), _placed(right, s)
        return left, right

    def _coloured(self, left: Tensor, right: Tensor, s: AugmentSettings) -> tuple[Tensor, Tensor]:
        """Everything that changes colours, (B, 3, H, W)."""
        if s.brightness or s.contrast or s.saturation:
            left, right = _coloured(torch.stack([left, right]), s).unbind()  # (2, B, 3, H, W)
        if s.exposure:
            left, right = _exposed(left, s.exposure), _exposed(right, s.exposure)
        if s.gradient:
            left, right = _lit(left, s.gradient), _lit(right, s.gradient)
        if s.degrade:
            left, right = _degraded(left, s.degrade), _degraded(right, s.degrade)
        if s.occlude:
            left, right = _occluded(left, s.occlude), _occluded(right, s.occlude)
        return left, right

    def copies(self, images: Tensor, num: int) -> list[Tensor]:
        """Photos or cut-outs changed each for itself: not mirrored, exchanged or turned by 180 degrees.

        `degrade` says how many of the copies are degraded: then those of all shoes are, as photos of one camera.
        """
        if self.settings is None:
            return [images] * num
        num_degraded = round(num * self.settings.degrade)
        changed = []
        for copy in range(num):
            own = {"hflip": 0.0, "swap": 0.0, "rot180": 0.0, "degrade": float(copy < num_degraded)}
            changed.append(Augmentation(self.settings.model_copy(update=own))(images, images)[0])
        return changed

    def choose_views(self, left: Tensor, right: Tensor, num_copies: int) -> tuple[Tensor, Tensor]:
        """Mirroring, exchange of sides and choice of copies where shoes are vectors of their views, (B, num_views, C)
        each -> (B, C). Half of the pairs are as photographed; of a quarter both are the same copy, of a quarter any.

        Args:
            num_copies: the last so many views are changed copies. Of the others, the second one is that of the mirror
                image, or of cut-outs that of the shoe turned by 180 degrees.
        """
        s, num, num_views, device = self.settings, len(left), left.shape[1], left.device
        second = 0.0 if s is None or num_views - num_copies < 2 else max(s.hflip, s.rot180)
        views = (torch.rand(num, device=device) < second).long().expand(2, num)
        if num_copies:
            copies = num_views - 1 - torch.randint(num_copies, (2, num), device=device)
            copies = torch.where(torch.rand(num, device=device) < 0.5, copies[:1], copies)
            views = torch.where(torch.rand(num, device=device) < 0.5, copies, views)
        rows = torch.arange(num, device=device)
        left, right = left[rows, views[0]], right[rows, views[1]]
        if s is not None and s.swap:
            exchanged = _chance(s.swap, left).view(-1, 1)
            left, right = torch.where(exchanged, right, left), torch.where(exchanged, left, right)
        return left, right


def _placed(images: Tensor, s: AugmentSettings) -> Tensor:
    """Turn, shift, scale and shear every image; what comes in from outside repeats the edge."""
    num = len(images)
    angle = _uniform(num, images) * math.radians(s.rotation_deg)
    scale = (1 + s.scale) ** _uniform(num, images)
    shift = _uniform((num, 2, 1), images) * 2 * s.translate  # grid coordinates run from -1 to 1
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (B, 2, 2)
    if s.shear:
        turn = turn + _uniform((num, 2, 2), images) * s.shear
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


def _lit(images: Tensor, gradient: float) -> Tensor:
    """Light that falls off along one direction, another one for every image."""
    angle, strength = (_uniform((len(images), 1, 1, 1), images) for _ in range(2))
    x, y = (_places(images, dim) for dim in (-1, -2))
    along = (x * torch.cos(math.pi * angle) + y * torch.sin(math.pi * angle)) / math.sqrt(2)  # (B, 1, H, W)
    gain = (1 + gradient) ** (strength * along)
    return ((images + 0.5) * gain - 0.5).clamp(-0.5, 0.5)


def _degraded(images: Tensor, chance: float) -> Tensor:
    """Some images with a part of their resolution, down to a quarter, and with noise, as small photos in the dark."""
    side, shape = images.shape[-1], (len(images), 1, 1, 1)
    smaller = max(1, round(side / float(torch.empty(()).uniform_(1.5, 4.0))))
    blurred = interpolate(adaptive_avg_pool2d(images, smaller), (side, side), mode="bilinear", align_corners=False)
    blur, noise = (torch.rand(shape, device=images.device) for _ in range(2))
    worse = images.lerp(blurred, 0.3 + 0.7 * blur) + torch.randn_like(images) * (0.05 * noise)
    return torch.where(_chance(chance, images), worse.clamp(-0.5, 0.5), images)


def _occluded(images: Tensor, chance: float) -> Tensor:
    """Some images with a disc of any colour, of a radius of 5 to 18 % of the side, somewhere around the middle."""
    shape = (len(images), 1, 1, 1)
    x, y = (_places(images, dim) - 0.6 * _uniform(shape, images) for dim in (-1, -2))
    radius = 0.1 + 0.25 * torch.rand(shape, device=images.device)
    colour = _uniform((len(images), 3, 1, 1), images) / 2
    hidden = (x * x + y * y < radius * radius) & _chance(chance, images)
    return torch.where(hidden, colour, images)


def _places(images: Tensor, dim: int) -> Tensor:
    """From -1 to 1 along a dimension of (B, C, H, W)."""
    size = images.shape[dim]
    shape = [1, 1, 1, 1]
    shape[dim] = size
    return torch.linspace(-1, 1, size, device=images.device).view(shape)


def _uniform(shape: int | tuple[int, ...], like: Tensor) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(shape, device=like.device, dtype=like.dtype) * 2 - 1


def _chance(probability: float, like: Tensor) -> Tensor:
    """(B, 1, 1, 1) bool, true with this probability."""
    return torch.rand((len(like), 1, 1, 1), device=like.device) < probability
