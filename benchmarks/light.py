"""How well networks do when the two photos of a pair were taken in different light: the right one is changed.

python benchmarks/light.py photos/train outputs/photos/best_dual/folds outputs/photos/best_pretrained/folds

Each run of a sweep=folds judges the people that it validated on, with the pairs of its predictions.csv. Exposure is
changed in linear light, in stops (1: twice the light), as is the balance of red against blue (0.25: a quarter of a stop
more red, a quarter less blue). Nothing is trained.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from shoepair import load_classifier
from shoepair.data.photos import open_upright
from shoepair.heap import list_photos
from shoepair.results.table import markdown_table

# What is done to the right shoe's photo: (stops of exposure, stops of red against blue).
LIGHTS = {
    "as photographed": (0.0, 0.0),
    "half a stop darker": (-0.5, 0.0),
    "half a stop lighter": (0.5, 0.0),
    "a stop darker": (-1.0, 0.0),
    "a stop lighter": (1.0, 0.0),
    "warmer by a quarter of a stop": (0.0, 0.25),
    "cooler by a quarter of a stop": (0.0, -0.25),
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
    columns = [[measure(folder, photos, light) for light in LIGHTS.values()] for folder in options.folds]
    header = [
        "light of the right shoe",
        *(f"{folder.parent.name}: accuracy (same / different)" for folder in options.folds),
    ]
    lines = [[name, *(cells[i] for cells in columns)] for i, name in enumerate(LIGHTS)]
    print(markdown_table(header, lines))


def measure(folder: Path, photos: dict[str, Path], light: tuple[float, float]) -> str:
    """All folds together: the mean of the accuracies on same and on different pairs, and these, in percent."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for run in sorted(folder.glob("*/predictions.csv")):
        with run.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
        pairs = ((open_upright(photos[row["left"]]), relit(open_upright(photos[row["right"]]), *light)) for row in rows)
        for row, verdict in zip(rows, load_classifier(run.parent).compare_all(pairs), strict=True):
            right[row["label"] == "1"].append(verdict.same == (row["label"] == "1"))
    same, different = 100 * np.mean(right[True]), 100 * np.mean(right[False])
    return f"{(same + different) / 2:.1f} ({same:.1f} / {different:.1f})"


def relit(image: Image.Image, exposure: float, warmth: float) -> Image.Image:
    """A photo as if more light had fallen on it, and warmer light; both in stops. sRGB."""
    encoded = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = linear * 2.0 ** np.array([exposure + warmth, exposure, exposure - warmth])
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.uint8(np.rint(255 * encoded.clip(0, 1))))


if __name__ == "__main__":
    main()
