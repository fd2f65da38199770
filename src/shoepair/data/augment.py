"""Random changes of whole batches of training pairs, on the device they are on. They never change a label.

Photos have three channels, RGB in [-0.5, 0.5]. Cut-outs have a fourth, how much of each pixel the shoe covers: it moves
with the shoe, and their colours are those of the shoe times this, so that outside of it they stay 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, grid_sample, interpolate, pad

from shoepair.config.schema import AugmentSettings

COLOURS = ("brightness", "contrast", "saturation", "exposure", "gradient", "degrade")  # settings of what changes them
LEAST_COVER = 1e-3  # of a pixel whose colour is asked for
CHANGED, CHANGED_CUT_OUTS = 0.6, 0.4  # of pairs of embeddings, of cut-outs that train, those of changed copies
SAME_COPY = 0.25  # of all, those of one copy

# JPEG: from RGB to luma and chroma, the discrete cosine transform of 8 places, and how coarsely each wave is kept.
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_WAVE, _PLACE = torch.arange(8.0).view(-1, 1), torch.arange(8.0)
DCT = torch.cos(math.pi * (2 * _PLACE + 1) * _WAVE / 16) * torch.where(_WAVE == 0, math.sqrt(1 / 8), 0.5)
LUMA = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
CHROMA = torch.full((8, 8), 99)
CHROMA[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]])
QUANTISATION = torch.stack([LUMA, CHROMA, CHROMA]).float()


@dataclass(frozen=True)
class Camera:
    """How images are made worse: as small photos in the dark that were sent on.

    Attributes:
        shrink: by so much their resolution is reduced.
        blur: how much of that is taken, from 0 to 1, (B, 1, 1, 1), or (1, 1, 1, 1) for all alike.
        noise: its standard deviation, of the same shape.
        quality: of JPEG, from 1 to 100, of the same shape.
    """

    shrink: float
    blur: Tensor
    noise: Tensor
    quality: Tensor

    @classmethod
    def draw(cls, num: int, device: torch.device | None = None) -> "Camera":
        blur, noise, quality = torch.rand(3, num, 1, 1, 1, device=device)
        shrink = float(torch.empty(()).uniform_(1.5, 3.5))
        return cls(shrink, 0.3 + 0.7 * blur, 0.05 * noise, 20 + 70 * quality)

    def of(self, rows: Tensor) -> "Camera":
        """The same for some of the images."""
        return Camera(self.shrink, self.blur[rows], self.noise[rows], self.quality[rows])

    def take(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-0.5, 0.5]."""
        side = images.shape[-1]
        smaller = adaptive_avg_pool2d(images, max(1, round(side / self.shrink)))
        blurred = interpolate(smaller, (side, side), mode="bilinear", align_corners=False)
        blur, noise, quality = (value.to(images) for value in (self.blur, self.noise, self.quality))  # of any device
        noisy = torch.lerp(images, blurred, blur) + torch.randn_like(images) * noise
        return compressed(noisy.clamp(-0.5, 0.5), quality)


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
        if any(getattr(s, name) for name in COLOURS):
            changed = self._coloured(_colours(left), _colours(right), s)
            left, right = (_with_cover(rgb, x[:, 3:]) for rgb, x in zip(changed, (left, right), strict=True))
        if s.occlude:
            left, right = _occluded(left, s.occlude), _occluded(right, s.occlude)
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
            left, right = _degraded(left, right, s.degrade)
        return left, right

    def cameras(self, num_copies: int) -> list[Camera | None]:
        """What each of so many copies is made worse by; the part `degrade` of them is."""
        num_degraded = self.num_degraded(num_copies)
        return [Camera.draw(1) if copy < num_degraded else None for copy in range(num_copies)]

    def num_degraded(self, num_copies: int) -> int:
        """Of so many copies, those that a camera makes worse; they are the first ones."""
        degrade = 0.0 if self.settings is None else self.settings.degrade
        return max(1, math.floor(num_copies * degrade + 0.5)) if degrade and num_copies else 0

    def copies(
        self, photos: Tensor, cameras: Sequence[Camera | None], *, by_camera_alone: bool = False
    ) -> list[Tensor]:
        """Photos changed each for itself: not mirrored, exchanged or turned by 180 degrees.

        Args:
            cameras: of each copy, of all these photos: those of one camera are alike in that, whatever they show.
            by_camera_alone: nothing else is changed where there is a camera. So blurred shoes lie alike, which an
                encoder that is not trained takes for alike.
        """
        if self.settings is None:
            return [photos] * len(cameras)
        own = self.settings.model_copy(update={"hflip": 0.0, "swap": 0.0, "rot180": 0.0, "degrade": 0.0})
        changed = [
            photos if camera is not None and by_camera_alone else Augmentation(own)(photos, photos)[0]
            for camera in cameras
        ]
        return [copy if camera is None else camera.take(copy) for copy, camera in zip(changed, cameras, strict=True)]

    def choose_views(
        self, left: Tensor, right: Tensor, num_copies: int, *, cut_outs: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mirroring, exchange of sides and choice of copies where shoes are vectors of their views, (B, num_views, C)
        each -> (B, C). Two of five pairs are as photographed; of a quarter both are the same copy, of the others any.

        Args:
            num_copies: the last so many views are changed copies. Of the others, the second one is that of the mirror
                image, or of cut-outs that of the shoe turned by 180 degrees.
            cut_outs: whether they are views of cut-outs.
        Returns:
            Of each shoe one view, and the numbers of these, (B, 2), in any order.
        """
        s, num_views = self.settings, left.shape[1]
        second = 0.0
        if s is not None and num_views - num_copies > 1:
            second = s.rot180 if cut_outs else s.hflip
        left, right, views = _chosen(left, right, num_copies, second, CHANGED)
        if s is not None and s.swap:
            exchanged = _chance(s.swap, left).view(-1, 1)
            left, right = torch.where(exchanged, right, left), torch.where(exchanged, left, right)
        return left, right, views

    def choose_copies(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """As choose_views, of cut-outs, the first of the photo itself: (B, num_views, 4, H, W) -> (B, 4, H, W) each.
        Three of five pairs are as photographed."""
        return _chosen(left, right, left.shape[1] - 1, 0.0, CHANGED_CUT_OUTS)[:2]

    def as_cut_outs(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """What does not change a photo before it is cut out: mirroring, exchange of sides, of toe and heel. Cut-outs of
        changed copies are not changed any further: (B, 4, H, W) each -> the same."""
        s = self.settings
        if s is None:
            return left, right
        none = {name: 0.0 for name in ("rotation_deg", "translate", "scale", "shear")}
        return self._moved(left, right, s.model_copy(update=none))


def _chosen(
    left: Tensor, right: Tensor, num_copies: int, second: float, changed: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One view of each shoe, (B, num_views, ...) -> (B, ...): with a chance of `second` the second one, of both; of the
    part `changed` one of the copies, which are the last views; of some, the part SAME_COPY of all, the same one. And
    which views these are, (B, 2)."""
    num, num_views, device = len(left), left.shape[1], left.device
    views = (torch.rand(num, device=device) < second).long().expand(2, num)
    if num_copies:
        copies = num_views - 1 - torch.randint(num_copies, (2, num), device=device)
        copies = torch.where(torch.rand(num, device=device) < SAME_COPY / changed, copies[:1], copies)
        views = torch.where(torch.rand(num, device=device) < changed, copies, views)
    rows = torch.arange(num, device=device)
    return left[rows, views[0]], right[rows, views[1]], views.T


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


def _degraded(left: Tensor, right: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """Some pairs made worse by one camera, of half of these one of the two only."""
    chosen, alone, which = (_chance(part, left).flatten() for part in (chance, 0.5, 0.5))
    camera = Camera.draw(len(left), left.device)
    taken = []
    for images, spared in ((left, alone & which), (right, alone & ~which)):
        rows = torch.nonzero(chosen & ~spared).flatten()  # the others need not be computed
        taken.append(images.index_copy(0, rows, camera.of(rows).take(images[rows])))
    return taken[0], taken[1]


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """What JPEG of a quality from 1 to 100, (B, 1, 1, 1), leaves of images, (B, 3, H, W), chroma as fine as luma.

    With the tables of ITU-T T.81, annex K, scaled as the Independent JPEG Group's library scales them.
    """
    height, width = images.shape[-2:]
    padded = pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
    to_ycc, dct, tables = (matrix.to(images) for matrix in (TO_YCC, DCT, QUANTISATION))
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    steps = (tables * scale + 0.5).floor().clamp(1, 255)[:, :, None, :, None, :] / 255  # (B, 3, 1, 8, 1, 8)
    planes = torch.einsum("ij,bjhw->bihw", to_ycc, padded)
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # (B, 3, rows, 8, columns, 8)
    waves = torch.einsum("ik,bcrksl,jl->bcrisj", dct, blocks, dct)
    waves = (waves / steps).round() * steps
    blocks = torch.einsum("ik,bcrisj,jl->bcrksl", dct, waves, dct)
    planes = blocks.flatten(4, 5).flatten(2, 3)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), planes)
    return rgb[..., :height, :width].clamp(-0.5, 0.5)


def _occluded(images: Tensor, chance: float) -> Tensor:
    """Some images with a disc of any colour, of a radius of 5 to 18 % of the side, somewhere around the middle; of half
    of those cut-outs, where the disc is no shoe was found."""
    shape = (len(images), 1, 1, 1)
    x, y = (_places(images, dim) - 0.6 * _uniform(shape, images) for dim in (-1, -2))
    radius = 0.1 + 0.25 * torch.rand(shape, device=images.device)
    colour = _uniform((len(images), 3, 1, 1), images) / 2
    hidden = (x * x + y * y < radius * radius) & _chance(chance, images)
    found = ~(hidden & _chance(0.5, images))
    return _with_cover(torch.where(hidden, colour, _colours(images)), images[:, 3:] * found)


def _colours(images: Tensor) -> Tensor:
    """Of photos, (B, 3, H, W), they themselves; of cut-outs, (B, 4, H, W), what _with_cover was given: (B, 3, H, W)."""
    if images.shape[1] == 3:
        return images
    return (images[:, :3] / images[:, 3:].clamp_min(LEAST_COVER)).clamp(-0.5, 0.5)


def _with_cover(colours: Tensor, cover: Tensor) -> Tensor:
    """Photos, (B, 3, H, W), have no cover, (B, 0, H, W); of cut-outs, with (B, 1, H, W), colours are times it."""
    return colours if cover.shape[1] == 0 else torch.cat([colours * cover, cover], 1)


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
