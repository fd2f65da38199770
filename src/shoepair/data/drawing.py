"""Draws a designed shoe: a curved surface of coloured facets, seen from above at an angle, on a floor in one light."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from shoepair.data.designs import Colour, Design, Placement, Scene

DRAWN_SIZE_PX = 224
OVERSAMPLING = 2
ALONG, ACROSS = 56, 33  # facets from heel to toe, and over the top from edge to edge


def draw_shoe(design: Design, scene: Scene, placement: Placement, *, left: bool) -> np.ndarray:
    """One photo of one shoe.

    Returns:
        (DRAWN_SIZE_PX, DRAWN_SIZE_PX, 3) uint8, RGB.
    """
    random = np.random.default_rng(placement.seed)
    facets, colours = _upper(design, random, placement.wear)
    sole_facets, sole_colours = _sole(design)
    facets, colours = np.concatenate([facets, sole_facets]), np.concatenate([colours, sole_colours])
    if not left:
        facets = facets * [1, -1, 1]
    light = _unit(np.array([math.cos(scene.light_angle), math.sin(scene.light_angle), scene.light_height]))
    yaw = scene.yaw + placement.turn
    turned = _turn(facets - [0.5, 0, 0], yaw)
    colours = colours * _shading(turned, light)[:, None]

    size = DRAWN_SIZE_PX * OVERSAMPLING
    image = Image.fromarray(_floor(scene, size))
    centre = np.array([0.5, 0.55]) + placement.shift
    zoom = scene.distance * placement.scale
    screen, depth = _project(turned, scene.elevation)
    screen = (screen * zoom + centre) * size

    shadow = Image.new("L", (size, size), 0)
    cast = turned.copy()
    cast[..., :2] -= light[:2] / light[2] * turned[..., 2:] * 0.7
    cast[..., 2] = 0
    flat, _ = _project(cast, scene.elevation)
    draw = ImageDraw.Draw(shadow)
    for corners in (flat * zoom + centre) * size:
        draw.polygon([tuple(corner) for corner in corners], fill=150)
    shadow = shadow.filter(ImageFilter.BoxBlur(size * 0.012)).filter(ImageFilter.BoxBlur(size * 0.012))
    image.paste((8, 8, 12), mask=shadow)

    draw = ImageDraw.Draw(image)
    shades = (np.clip(colours, 0, 1) * 255).astype(int)
    for i in np.argsort(-depth):
        draw.polygon([tuple(corner) for corner in screen[i]], fill=tuple(shades[i]))
    for lace in _laces(design, random):
        points = lace if left else lace * [1, -1, 1]
        line, _ = _project(_turn(points - [0.5, 0, 0], yaw), scene.elevation)
        path = [tuple(point) for point in (line * zoom + centre) * size]
        draw.line(path, fill=_rgb(design.laces, 0.45), width=6, joint="curve")
        draw.line(path, fill=_rgb(design.laces, 0.95), width=4, joint="curve")

    small = image.resize((DRAWN_SIZE_PX, DRAWN_SIZE_PX), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float32) / 255
    pixels = pixels * placement.exposure * np.asarray(scene.tint, dtype=np.float32)
    pixels += random.normal(0, scene.noise, pixels.shape).astype(np.float32)
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _half_width(design: Design, u: np.ndarray) -> np.ndarray:
    """Half of the sole's width at u, from the heel (0) to the toe (1)."""
    ball = np.exp(-(((u - 0.68) / 0.3) ** 2))
    waist = 0.78 + 0.22 * ball
    heel_round = np.sqrt(np.clip(1 - ((0.13 - u) / 0.13).clip(0) ** 2, 0, 1))
    start = 0.68 - 0.1 * design.pointedness
    toe = ((u - start) / (1 - start)).clip(0, 1)
    toe_round = (1 - toe ** (2.2 - design.pointedness)) ** (0.5 + 0.35 * design.pointedness)
    return design.half_width * waist * heel_round * toe_round


def _bend(u: np.ndarray) -> np.ndarray:
    """How far the middle line of a left shoe lies to the side: the last curves inwards at the toe."""
    return 0.06 * (u - 0.45).clip(0) ** 1.5


def _lift(design: Design, u: np.ndarray) -> np.ndarray:
    """Height of the sole's underside above the floor."""
    rise = (1 - (u / 0.62)).clip(0, 1)
    return design.heel_lift * rise**1.3


def _top(design: Design, u: np.ndarray) -> np.ndarray:
    """Height of the upper's middle line above the sole."""
    heights = [
        design.collar * 0.95,
        design.collar,
        design.instep,
        design.toe_height * 1.1,
        design.toe_height * 0.55,
    ]
    return np.interp(u, [0.0, design.opening * 0.6, design.opening + 0.08, 0.82, 1.0], heights)


def _surface(design: Design, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Points of the upper: u from heel to toe, w from -1 over the top (0) to 1. (..., 3): along, across, up."""
    angle = w * math.pi / 2
    across = np.sign(w) * np.abs(np.sin(angle)) ** 0.75 * _half_width(design, u) * 0.97
    up = np.abs(np.cos(angle)) ** 0.55 * _top(design, u)
    inside = _inside(design, u, w)
    up = up * (1 - 0.55 * inside)
    height = _lift(design, u) + design.sole_thickness + up
    return np.stack([u + 0 * w, across + _bend(u), height], -1)


def _inside(design: Design, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """1 where the opening is, 0 on the upper."""
    along = (u - design.opening * 0.52) / (design.opening * 0.46)
    return ((along**2 + (w / 0.42) ** 2) < 1).astype(float)


def _upper(design: Design, random: np.random.Generator, wear: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4, 3) facets of the upper and their (N, 3) colours."""
    u, w = np.linspace(0, 1, ALONG + 1), np.linspace(-1, 1, ACROSS + 1)
    grid = _surface(design, *np.meshgrid(u, w, indexing="ij"))  # (ALONG + 1, ACROSS + 1, 3)
    facets = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], 2).reshape(-1, 4, 3)
    um, wm = np.meshgrid((u[1:] + u[:-1]) / 2, (w[1:] + w[:-1]) / 2, indexing="ij")
    colours = np.empty((ALONG, ACROSS, 3))
    colours[:] = design.upper
    if design.kind == "sneaker":
        colours[(np.abs(wm) < 0.3) & (um > design.opening) & (um < 0.78)] = _mix(design.upper, design.lining, 0.35)
    if design.toe_cap:
        colours[um > 1 - design.toe_cap - 0.05 * wm**2] = design.toe
    if design.heel_tab:
        colours[(um < 0.12) & (np.abs(wm) < 0.75)] = design.accent
    for stripe in range(design.stripes):
        at = 0.42 + 0.075 * stripe + design.stripe_slant * np.abs(wm) * 2
        colours[(np.abs(um - at) < 0.02) & (np.abs(wm) > 0.38)] = design.accent
    colours[_inside(design, um, wm) > 0] = design.lining
    colours *= 1 + design.mottle * random.standard_normal((ALONG, ACROSS, 1))
    colours = colours * (1 - wear) + 0.45 * wear
    rim = np.abs(_inside(design, um, wm) - _inside(design, um, wm * 0.86)) > 0
    colours[rim] *= 0.8
    return facets, colours.reshape(-1, 3)


def _sole(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4, 3) facets of the sole's edge and of the heel, and their (N, 3) colours."""
    u = np.linspace(0, 1, ALONG + 1)
    half, bend, lift = _half_width(design, u) * 1.04, _bend(u), _lift(design, u)
    facets = []
    for side in (-1, 1):
        edge = np.stack([u, side * half + bend, lift], -1)
        top = edge + [0, 0, design.sole_thickness * 1.15]
        facets.append(np.stack([edge[:-1], edge[1:], top[1:], top[:-1]], 1))
        if design.heel_lift > 0.04:  # the block under the heel
            block = (u < 0.16) if design.kind == "heel" else (u < 0.3)
            foot = edge[block] * [1, 1, 0]
            if design.kind == "heel":
                foot = foot * [0.6, 0.55, 1] + [0.02, 0, 0]
            facets.append(np.stack([foot[:-1], foot[1:], edge[block][1:], edge[block][:-1]], 1))
    all_facets = np.concatenate(facets)
    return all_facets, np.tile(design.sole, (len(all_facets), 1))


def _laces(design: Design, random: np.random.Generator) -> list[np.ndarray]:
    """Lines in space: the crossing laces, and a bow that falls differently each time."""
    lines = []
    rows = np.linspace(design.opening + 0.04, 0.74, design.num_laces)
    for i, row in enumerate(rows):
        w = np.linspace(-0.3, 0.3, 7)
        slant = 0.03 * (1 if i % 2 else -1)
        line = _surface(design, row + slant * w / 0.3, w)
        lines.append(line + [0, 0, 0.015])
    if design.num_laces:
        knot = _surface(design, np.array([design.opening + 0.04]), np.array([0.0]))[0] + [0, 0, 0.03]
        for side in (-1, 1):
            reach, droop = random.uniform(0.1, 0.24), random.uniform(0.02, 0.16)
            t = np.linspace(0, 1, 9)[:, None]
            end = np.array([random.uniform(-0.05, 0.22), side * reach, -droop])
            sag = np.array([random.uniform(-0.05, 0.1), 0, 0.08]) * np.sin(np.pi * t)
            lines.append(knot + end * t + sag)
    return lines


def _shading(facets: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(N,) brightness: some light from everywhere, more on what faces the lamp."""
    normal = np.cross(facets[:, 2] - facets[:, 0], facets[:, 3] - facets[:, 1])
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(length, 1e-9)
    facing = np.abs(normal @ light)
    return 0.5 + 0.6 * facing


def _turn(points: np.ndarray, yaw: float) -> np.ndarray:
    cos, sin = math.cos(yaw), math.sin(yaw)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([x * cos - y * sin, x * sin + y * cos, z], -1)


def _project(points: np.ndarray, elevation: float) -> tuple[np.ndarray, np.ndarray]:
    """Seen from the side of small y: (..., 2) screen positions, x right and y down, and (N,) mean distance."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    screen = np.stack([x, -y * math.sin(elevation) * -1 - z * math.cos(elevation)], -1)
    depth = -y * math.cos(elevation) - z * math.sin(elevation)
    return screen, depth.mean(-1) if depth.ndim > 1 else depth


def _floor(scene: Scene, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    random = np.random.default_rng(scene.floor_seed)
    coarse = size // OVERSAMPLING
    y, x = np.mgrid[:coarse, :coarse].astype(np.float32) / coarse / scene.floor_scale
    along = x * math.cos(scene.floor_angle) + y * math.sin(scene.floor_angle)
    across = -x * math.sin(scene.floor_angle) + y * math.cos(scene.floor_angle)
    value = np.ones((coarse, coarse), dtype=np.float32)
    gap = np.zeros((coarse, coarse), dtype=bool)
    if scene.floor == "wood":
        plank = np.floor(across / 0.16).astype(int)
        value += 0.12 * random.standard_normal(64).astype(np.float32)[plank % 64]
        value += 0.06 * np.sin(across * 260 + 3 * np.sin(along * 9 + plank)) * np.sin(along * 5 + plank * 2.1)
        gap = (across % 0.16) < 0.006
    elif scene.floor == "tiles":
        tile = np.floor(across / 0.34).astype(int) * 7 + np.floor(along / 0.34).astype(int) * 13
        value += 0.06 * random.standard_normal(64).astype(np.float32)[tile % 64]
        gap = ((across % 0.34) < 0.012) | ((along % 0.34) < 0.012)
    grain = {"wood": 0.03, "tiles": 0.03, "carpet": 0.16, "concrete": 0.06}[scene.floor]
    value += grain * random.standard_normal((coarse, coarse)).astype(np.float32)
    if scene.floor in ("concrete", "carpet"):
        patches = Image.fromarray(random.uniform(0, 255, (9, 9)).astype(np.uint8)).resize((coarse, coarse), 3)
        value += (np.asarray(patches, dtype=np.float32) / 255 - 0.5) * 0.25
    pixels = value[..., None] * np.asarray(scene.floor_colour, dtype=np.float32)
    pixels[gap] = scene.grout
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8).repeat(OVERSAMPLING, 0).repeat(OVERSAMPLING, 1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _mix(one: Colour, other: Colour, part: float) -> Colour:
    red, green, blue = ((1 - part) * a + part * b for a, b in zip(one, other, strict=True))
    return (red, green, blue)


def _rgb(colour: Colour, brightness: float) -> tuple[int, int, int]:
    red, green, blue = (int(255 * min(1.0, channel * brightness)) for channel in colour)
    return (red, green, blue)
