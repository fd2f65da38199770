"""How well networks do when the two photos of a pair were not taken alike: the right one is changed.

python benchmarks/conditions.py photos/train outputs/photos/best_dual/folds outputs/photos/best_pretrained/folds

Each run of a sweep=folds judges the people that it validated on, with the pairs of its predictions.csv. Exposure is
changed in linear light, in stops (1: twice the light), as is the balance of red against blue (0.25: a quarter of a stop
more red, a quarter less blue). A photo is turned, enlarged and shifted as a whole; what comes in from outside repeats
its edge. Every other photo is changed the other way: darker, cooler, ... Nothing is trained.
"""

import argparse
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import affine_grid, grid_sample

from shoepair import load_classifier
from shoepair.data.photos import open_upright
from shoepair.inference.gallery import list_photos
from shoepair.metrics.predictions import read_predictions
from shoepair.reports.tables import markdown_table


@dataclass(frozen=True)
class Condition:
    """What is done to a photo; to every other photo, the opposite."""

    exposure: float = 0.0  # stops
    warmth: float = 0.0  # stops of red against blue
    turn: float = 0.0  # degrees, clockwise
    size: float = 1.0  # of what is seen
    shift: float = 0.0  # to the right and down, part of the photo's side

    def opposite(self) -> "Condition":
        return Condition(-self.exposure, -self.warmth, -self.turn, 1 / self.size, -self.shift)

    def __call__(self, image: Image.Image) -> Image.Image:
        pixels = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
        if self.exposure or self.warmth:
            pixels = relit(pixels, self.exposure, self.warmth)
        if self.turn or self.size != 1 or self.shift:
            pixels = reframed(pixels, self.turn, self.size, self.shift)
        return Image.fromarray((255 * pixels.clamp(0, 1)).round().byte().numpy())


CONDITIONS = {
    "as photographed": Condition(),
    "a stop lighter or darker": Condition(exposure=1.0),
    "a quarter of a stop warmer or cooler": Condition(warmth=0.25),
    "turned by 10 degrees": Condition(turn=10.0),
    "turned by 20 degrees": Condition(turn=20.0),
    "a tenth larger or smaller": Condition(size=1.1),
    "a fifth larger or smaller": Condition(size=1.2),
    "shifted by 8 %, along both sides": Condition(shift=0.08),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="the folder that holds the people of train")
    parser.add_argument("folds", nargs="+", type=Path, metavar="DIR", help="of a sweep=folds")
    options = parser.parse_args()
    for folder in options.folds:
        if not list(folder.glob("*/predictions.csv")):
            parser.error(f"{folder}: there is no trained run in it")
    photos = {path.stem: path for path in list_photos([options.photos])}
    columns = [[measure(folder, photos, condition) for condition in CONDITIONS.values()] for folder in options.folds]
    header = ["the right shoe", *(f"{folder.parent.name}: accuracy (same / different)" for folder in options.folds)]
    lines = [[name, *(cells[i] for cells in columns)] for i, name in enumerate(CONDITIONS)]
    print(markdown_table(header, lines))


def measure(folder: Path, photos: dict[str, Path], condition: Condition) -> str:
    """All folds together: the mean of the accuracies on same and on different pairs, and these, in percent."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for run in sorted(folder.glob("*/predictions.csv")):
        val = read_predictions(run)["val"]
        changes = itertools.cycle((condition, condition.opposite()))
        pairs = (
            (open_upright(photos[left]), change(open_upright(photos[right])))
            for left, right, change in zip(val.left, val.right, changes, strict=False)
        )
        for same, verdict in zip(val.label == 1, load_classifier(run.parent).compare_all(pairs), strict=True):
            right[bool(same)].append(verdict.same == same)
    same, different = 100 * np.mean(right[True]), 100 * np.mean(right[False])
    return f"{(same + different) / 2:.1f} ({same:.1f} / {different:.1f})"


def relit(image: torch.Tensor, exposure: float, warmth: float) -> torch.Tensor:
    """A photo as if more light had fallen on it, and warmer light; both in stops. (H, W, 3), sRGB from 0 to 1."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    linear = linear * 2.0 ** torch.tensor([exposure + warmth, exposure, exposure - warmth])
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def reframed(image: torch.Tensor, turn: float, size: float, shift: float) -> torch.Tensor:
    """A photo turned (degrees, clockwise), enlarged and shifted (part of its side). (H, W, 3) -> (H, W, 3)."""
    height, width, _ = image.shape
    cos, sin = math.cos(math.radians(turn)) / size, math.sin(math.radians(turn)) / size
    # From where in the photo each place is taken; coordinates run from -1 to 1 along both sides.
    from_where = torch.tensor([[cos, sin * height / width, 0.0], [-sin * width / height, cos, 0.0]])
    from_where[:, 2] = -2 * shift * from_where[:, :2].sum(dim=1)
    grid = affine_grid(from_where[None], [1, 3, height, width], align_corners=False)
    moved = grid_sample(image.permute(2, 0, 1)[None], grid, padding_mode="border", align_corners=False)
    return moved[0].permute(1, 2, 0)


if __name__ == "__main__":
    main()
