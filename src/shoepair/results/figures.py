"""Pictures of pairs and of curves. matplotlib is imported where it draws, since it takes a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ShownPair:
    """A pair as a picture shows it: two (3, H, W) uint8 images and what stands above them."""

    left: np.ndarray
    right: np.ndarray
    title: str
    colour: str = "black"


def draw_pairs(path: Path, rows: Sequence[tuple[str, Sequence[ShownPair]]]) -> None:
    """A PNG with one row of pairs for each heading."""
    from matplotlib.figure import Figure

    columns = max(1, *(len(pairs) for _, pairs in rows))
    figure = Figure(figsize=(2.3 * columns, 1.5 * len(rows)), dpi=110, layout="constrained")
    grid = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for subfigure, (heading, pairs) in zip(grid, rows, strict=True):
        subfigure.suptitle(heading, fontsize=9, x=0.01, ha="left", fontweight="bold")
        for axes, pair in zip(
            subfigure.subplots(1, columns, squeeze=False)[0], [*pairs, *[None] * columns], strict=False
        ):
            axes.set_axis_off()
            if pair is not None:
                gap = np.full((3, pair.left.shape[1], max(1, pair.left.shape[2] // 40)), 255, np.uint8)
                axes.imshow(np.concatenate([pair.left, gap, pair.right], axis=2).transpose(1, 2, 0))
                axes.set_title(pair.title, fontsize=8, color=pair.colour, pad=2)
    figure.savefig(path)
