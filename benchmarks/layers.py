"""Photos in layers, put together again as if they had been taken otherwise: the shoe, and the floor without it.

Where the shoe is says the segmenter of shoepair; a guided filter (He et al., 2010) draws its edge along the photo's.
Under the shoe, the floor is filled smoothly from around it, with the grain of other parts of it. A shoe that is turned,
scaled, tilted or laid on another floor gets a soft shadow. Numbers come from a generator that is given: the same seed,
the same photos. Images are (3, SIDE, SIDE) float32 from 0 to 1, sRGB.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, conv2d, grid_sample, interpolate, max_pool2d, pad

from shoepair.data.photos import open_upright, to_square
from shoepair.models.cutout import CutOut

SIDE = 224
FOCAL_LENGTH = 2.5  # of the camera that a shoe is tilted before, in halves of the photo's side
HOLE_PX = 7  # so much around the shoe is filled as well: most of its own shadow


@dataclass(frozen=True)
class Layers:
    """Photos, how much of each pixel the shoe covers, (1, SIDE, SIDE), and the floors without the shoes."""

    photo: Tensor
    cover: Tensor
    floor: Tensor


@dataclass(frozen=True)
class Change:
    """How one photo is to be taken. Angles in radians, light in stops."""

    turn: float = 0.0
    scale: float = 1.0
    tilt: float = 0.0
    tilt_axis: float = 0.0
    other_floor: bool = False
    light: float = 0.0  # strength from 0 to 1: exposure, light from one side, white balance
    degraded: float = 0.0  # strength from 0 to 1: blur, noise, compression
    hidden: float = 0.0  # part of the shoe


@dataclass(frozen=True)
class Condition:
    """What may happen to the photos of a pair.

    Attributes:
        one_side: it happens to one of the two, left or right, at random.
        turn, tilt: degrees; turned by up to so much, tilted by so much about any axis.
        scale: so much nearer or farther.
    """

    turn: float = 0.0
    scale: float = 1.0
    any_scale: bool = False
    tilt: float = 0.0
    other_floor: bool = False
    light: float = 0.0
    degraded: float = 0.0
    hidden: float = 0.0
    one_side: bool = field(default=False, kw_only=True)

    def draw(self, random: np.random.Generator) -> Change:
        turn, exponent = random.uniform(-1, 1), random.uniform(-1, 1)
        if not self.any_scale:
            exponent = math.copysign(1, exponent)
        return Change(
            turn=math.radians(self.turn if self.one_side else self.turn * turn),
            scale=self.scale**exponent,
            tilt=math.radians(self.tilt),
            tilt_axis=random.uniform(0, 2 * math.pi),
            other_floor=self.other_floor,
            light=self.light,
            degraded=self.degraded,
            hidden=self.hidden,
        )


AS_PHOTOGRAPHED, ALL_AT_ONCE = "as photographed", "all at once, mildly"
CONDITIONS = {
    AS_PHOTOGRAPHED: Condition(),
    "turned by up to 20 degrees": Condition(turn=20),
    "turned by 180 degrees, one of the two": Condition(turn=180, one_side=True),
    "a fifth nearer or farther": Condition(scale=1.2),
    "on another real floor": Condition(other_floor=True),
    "light from elsewhere, white balance": Condition(light=1.0),
    "blur, noise, JPEG 30": Condition(degraded=1.0),
    "perspective of 15 degrees": Condition(tilt=15),
    "a tenth hidden": Condition(hidden=0.1),
    ALL_AT_ONCE: Condition(
        turn=10, scale=1.1, any_scale=True, tilt=7, other_floor=True, light=0.5, degraded=0.5, hidden=0.05
    ),
}


@torch.inference_mode()
def take_apart(photos: Sequence[Tensor]) -> list[Layers]:
    """Photos as layers."""
    cut_out, layers = CutOut(SIDE).eval(), []
    for photo in photos:
        image = photo[None]
        mask = interpolate(cut_out.masks(image - 0.5), (SIDE, SIDE), mode="bilinear", align_corners=False)
        cover = ((_guided((mask > 0.5).float(), image) - 0.15) / 0.7).clamp(0, 1) * (_boxed(mask, 3) > 0.02)
        hole = max_pool2d((mask > 0.4).float(), 2 * HOLE_PX + 1, 1, HOLE_PX) > 0
        layers.append(Layers(photo, cover[0], _filled(image, hole)[0]))
    return layers


def layers_of(paths: Sequence[Path]) -> dict[str, Layers]:
    """Of each photo, by its name without ending."""
    squares = [torch.tensor(to_square(open_upright(path), SIDE)).float() / 255 for path in paths]
    return dict(zip((path.stem for path in paths), take_apart(squares), strict=True))


@torch.inference_mode()
def retaken(layers: Layers, change: Change, floors: Sequence[Tensor], random: np.random.Generator) -> Image.Image:
    """A photo as it would look, had it been taken otherwise.

    Args:
        floors: of other people, for what changes the floor or hides a part.
    """
    photo, cover = layers.photo[None], layers.cover[None]
    if change.turn or change.scale != 1 or change.tilt or change.other_floor:
        floor = floors[int(random.integers(len(floors)))] if change.other_floor else layers.floor
        moved = _moved(torch.cat([photo * cover, cover], 1), change)
        photo, cover = moved[:, :3], moved[:, 3:]
        shadow = 0.45 * _gaussian(cover.roll((4, int(random.integers(-4, 5))), (2, 3)), 4.0)
        photo = photo + (1 - cover) * floor[None] * (1 - shadow)
    if change.hidden:
        disc = _gaussian(_disc(cover[0, 0].numpy() > 0.5, change.hidden, random), 0.7)
        photo = photo * (1 - disc) + floors[int(random.integers(len(floors)))][None] * disc
    if change.light:
        photo = _relit(photo, change.light, random)
    if change.degraded:
        photo = _gaussian(photo, 1.3 * change.degraded)
        noise = random.standard_normal(photo.shape, dtype=np.float32)
        photo = photo + 0.03 * change.degraded * torch.from_numpy(noise)
    image = Image.fromarray((255 * photo[0].clamp(0, 1)).round().byte().permute(1, 2, 0).numpy())
    if not change.degraded:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=round(100 - 70 * change.degraded))
    return Image.open(file).convert("RGB")


def _moved(layer: Tensor, change: Change) -> Tensor:
    """A shoe, RGB times cover and cover, turned, scaled and tilted about its middle: (1, 4, SIDE, SIDE)."""
    places = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    cover = layer[0, 3]
    total = cover.sum().clamp_min(1e-6)
    x, y = float((cover * places).sum() / total), float((cover * places[:, None]).sum() / total)
    cos, sin = math.cos(change.turn) * change.scale, math.sin(change.turn) * change.scale
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    # The plane that it lies in is tilted about an axis in it, and seen by a camera above its middle (Rodrigues).
    ax, ay = math.cos(change.tilt_axis), math.sin(change.tilt_axis)
    cross = np.array([[0, 0, ay], [0, 0, -ax], [-ay, ax, 0]])
    rotation = np.eye(3) + math.sin(change.tilt) * cross + (1 - math.cos(change.tilt)) * cross @ cross
    plane = rotation @ np.diag([1.0, 1.0, 0.0])
    plane[2, 2] += FOCAL_LENGTH
    camera = np.diag([1.0, 1.0, 1 / FOCAL_LENGTH]) @ plane
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = (x, y), (-x, -y)
    from_where = torch.from_numpy(np.linalg.inv(there @ camera @ turned @ back)).float()
    grid = affine_grid(torch.eye(2, 3)[None], [1, 1, SIDE, SIDE], align_corners=False)
    seen = torch.cat([grid, torch.ones_like(grid[..., :1])], -1) @ from_where.T
    return grid_sample(layer, seen[..., :2] / seen[..., 2:], align_corners=False)


def _disc(covered: np.ndarray, part: float, random: np.random.Generator) -> Tensor:
    """A disc that hides a part of a shoe: (1, 1, SIDE, SIDE)."""
    rows, columns = np.nonzero(covered)
    if not len(rows):
        return torch.zeros(1, 1, SIDE, SIDE)
    middle = int(random.integers(len(rows)))
    radius = np.quantile(np.hypot(rows - rows[middle], columns - columns[middle]), part)
    y, x = np.mgrid[:SIDE, :SIDE]
    return torch.from_numpy(np.hypot(y - rows[middle], x - columns[middle]) <= radius).float()[None, None]


def _relit(photo: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    """Up to half a stop lighter or darker, as much again from one side to the other, a quarter of a stop warmer or
    cooler; in linear light."""
    linear = torch.where(photo <= 0.04045, photo / 12.92, ((photo + 0.055) / 1.055) ** 2.4)
    places, angle = torch.linspace(-1, 1, SIDE), random.uniform(0, 2 * math.pi)
    side = (places * math.cos(angle) + places[:, None] * math.sin(angle)) / math.sqrt(2)
    stops = random.uniform(-0.5, 0.5) + random.uniform(0.25, 0.5) * side
    warmth = random.uniform(-0.25, 0.25) * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
    linear = (linear * 2.0 ** (strength * (stops + warmth))).clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def _filled(photo: Tensor, hole: Tensor) -> Tensor:
    """A floor without the shoe: smooth from around it (push-pull, Gortler et al., 1996), with grain from elsewhere."""
    known = (~hole).float()
    smooth = _pulled(photo, known)
    smooth = known * smooth + (1 - known) * _gaussian(smooth, 4.0)
    mean = _gaussian(photo * known, 6.0) / _gaussian(known, 6.0).clamp_min(1e-3)
    grain, found, missing = (photo - mean) * known, torch.zeros_like(photo), 1 - known
    for down, right in ((0, 2), (2, 0), (2, 2), (0, 3), (3, 0), (3, 3), (4, 5)):
        by = (SIDE // down if down else 0, SIDE // right if right else 0)
        usable = missing * known.roll(by, (2, 3))
        found, missing = found + usable * grain.roll(by, (2, 3)), missing - usable
    return (known * photo + (1 - known) * (smooth + found)).clamp(0, 1)


def _pulled(photo: Tensor, known: Tensor) -> Tensor:
    if photo.shape[-1] <= 2:
        mean = (photo * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp_min(1e-6)
        return mean.expand_as(photo)
    weight = avg_pool2d(known, 2)
    smaller = _pulled(avg_pool2d(photo * known, 2) / weight.clamp_min(1e-6), (weight > 0).float())
    larger = interpolate(smaller, photo.shape[-2:], mode="bilinear", align_corners=False)
    return known * photo + (1 - known) * larger


def _guided(mask: Tensor, photo: Tensor, radius: int = 5, smoothness: float = 2e-3) -> Tensor:
    guide = photo.mean(1, keepdim=True)
    mean, mask_mean = _boxed(guide, radius), _boxed(mask, radius)
    covariance = _boxed(guide * mask, radius) - mean * mask_mean
    slope = covariance / (_boxed(guide * guide, radius) - mean * mean + smoothness)
    return (_boxed(slope, radius) * guide + _boxed(mask_mean - slope * mean, radius)).clamp(0, 1)


def _boxed(x: Tensor, radius: int) -> Tensor:
    return avg_pool2d(pad(x, [radius] * 4, mode="replicate"), 2 * radius + 1, 1)


def _gaussian(x: Tensor, std: float) -> Tensor:
    radius = max(1, int(3 * std))
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * std * std))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(x.shape[1], 1, 1, -1)
    x = conv2d(pad(x, [radius, radius, 0, 0], mode="replicate"), kernel, groups=x.shape[1])
    return conv2d(pad(x, [0, 0, radius, radius], mode="replicate"), kernel.transpose(2, 3), groups=x.shape[1])
