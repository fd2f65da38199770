"""Floors seen straight from above; the camera's view of them is drawing.py's."""

import math

import numpy as np
from PIL import Image

from shoepair.data.synthetic.designs import Scene

TILE_PX = 512
MARGIN_PX = 160  # around it, a mirror image for what the camera sees far away
TILE_LENGTHS = 3.6  # side of the painted floor, in lengths of a shoe


def paint_floor(scene: Scene) -> Image.Image:
    """(TILE_PX + 2 * MARGIN_PX, the same) RGB; the shoe stands in the middle."""
    random = np.random.default_rng(scene.floor_seed)
    x = np.arange(TILE_PX, dtype=np.float32)[None] * np.float32(TILE_LENGTHS / TILE_PX / scene.floor_scale)
    y = x.T
    one, other = (np.asarray(colour, np.float32) for colour in scene.floor_colours)
    blend = np.zeros((TILE_PX, TILE_PX), np.float32)  # 0: the first colour, 1: the second
    value = np.ones((TILE_PX, TILE_PX), np.float32)
    if scene.floor == "planks":
        row = np.floor(y / 0.3).astype(int)
        shift = random.uniform(0, 2, 64).astype(np.float32)[row % 64]
        board = np.floor((x + shift) / 1.7).astype(int) * 17 + row * 31
        blend += np.clip(0.4 + 0.22 * _grain(random), 0, 1)
        value += 0.09 * random.standard_normal(97).astype(np.float32)[board % 97]
        _gaps(value, np.minimum(_to_edge(y, 0.3), _to_edge(x + shift, 1.7)), 0.006)
    elif scene.floor == "parquet":
        cell_x, cell_y = np.floor(x / 0.36).astype(int), np.floor(y / 0.36).astype(int)
        turned = (cell_x + cell_y) % 2 > 0
        along, across = np.where(turned, x, y), np.where(turned, y, x)
        strip = np.floor(across / 0.09).astype(int) * 13 + np.floor(along / 0.36).astype(int) * 29
        blend += np.clip(0.4 + 0.22 * _grain(random, turned), 0, 1)
        value += 0.08 * random.standard_normal(89).astype(np.float32)[strip % 89]
        _gaps(value, np.minimum(_to_edge(across, 0.09), _to_edge(along, 0.36)), 0.004)
    elif scene.floor == "tiles":
        side = 0.75 if scene.floor_seed % 2 else 1.1
        tile = np.floor(x / side).astype(int) * 7 + np.floor(y / side).astype(int) * 13
        value += 0.04 * random.standard_normal(64).astype(np.float32)[tile % 64]
        blend += np.clip(0.5 + 0.35 * _cloud(random, 40) + 0.2 * _cloud(random, 9), 0, 1)
        edge = np.minimum(_to_edge(x, side), _to_edge(y, side))
        value *= np.where(edge < 0.012, 0.62 if scene.floor_seed % 3 else 1.15, 1.0)
    elif scene.floor == "carpet":
        blend += np.clip(0.5 + 0.3 * _cloud(random, 3), 0, 1)
        value += 0.1 * _cloud(random, 2) + 0.06 * _cloud(random, 60)
        if scene.floor_seed % 3 == 0:  # woven in loops
            value += 0.16 * np.sin(x * 95) * np.sin(y * 95)
    elif scene.floor == "concrete":
        blend += np.clip(0.5 + 0.3 * _cloud(random, 70) + 0.2 * _cloud(random, 12), 0, 1)
        value += 0.05 * _cloud(random, 2) - 0.25 * (_cloud(random, 5) > 2.6)
    else:
        value += 0.03 * _cloud(random, 2)
        if scene.floor_seed % 2:
            value += 0.07 * ((x * 28 % 1) < 0.5).astype(np.float32)
        else:
            blend += np.float32(0.6) * (np.hypot(x % 0.16 - 0.08, y % 0.16 - 0.08) < 0.03)
    value *= 255
    channels = [
        np.clip((blend * (b - a) + a) * value, 0, 255).astype(np.uint8) for a, b in zip(one, other, strict=True)
    ]
    mirrored = (np.pad(channel, MARGIN_PX, "symmetric") for channel in channels)
    return Image.merge("RGB", [Image.fromarray(channel) for channel in mirrored])


def _grain(random: np.random.Generator, turned: np.ndarray | None = None) -> np.ndarray:
    """(TILE_PX, TILE_PX) of wood: long lines that wander, along the rows or where `turned` along the columns."""
    small = random.standard_normal((TILE_PX // 2, 24), dtype=np.float32)
    lines = np.asarray(Image.fromarray(small).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC))
    wide = random.standard_normal((TILE_PX // 12, 9), dtype=np.float32)
    tones = np.asarray(Image.fromarray(wide).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC))
    grain: np.ndarray = 0.7 * lines + tones
    return grain if turned is None else np.where(turned, grain, grain.T)


def _gaps(value: np.ndarray, to_edge: np.ndarray, width: float) -> None:
    value *= 0.55 + 0.45 * np.clip(to_edge / width - 0.3, 0, 1)


def _to_edge(position: np.ndarray, period: float) -> np.ndarray:
    within = position - np.floor(position / np.float32(period)) * np.float32(period)  # faster than %
    nearest: np.ndarray = np.minimum(within, period - within)
    return nearest


def _cloud(random: np.random.Generator, radius_px: float) -> np.ndarray:
    """(TILE_PX, TILE_PX) noise, mean 0 and deviation about 1, smooth over a radius."""
    side = max(4, math.ceil(TILE_PX / radius_px))
    small = random.standard_normal((side, side), dtype=np.float32)
    field = np.asarray(Image.fromarray(small).resize((TILE_PX, TILE_PX), Image.Resampling.BILINEAR))
    return field / max(float(field.std()), 1e-3)
