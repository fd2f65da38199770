"""What a drawn shoe and the place it is photographed in look like, as plain values. Drawing them: see drawing.py."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]  # RGB from 0 to 1

KINDS = ("sneaker", "boot", "loafer", "heel")
KIND_MIX = {"m": (0.5, 0.25, 0.22, 0.03), "w": (0.4, 0.2, 0.2, 0.2)}
FLOORS = ("wood", "tiles", "carpet", "concrete")


@dataclass(frozen=True)
class Design:
    """One pair's design, in units of the shoe's length where it is a length."""

    kind: str  # one of KINDS
    upper: Colour
    accent: Colour  # stripes, heel tab
    toe: Colour  # toe cap
    sole: Colour
    lining: Colour
    laces: Colour
    toe_cap: float  # length of the cap; 0: none
    stripes: int
    stripe_slant: float
    heel_tab: bool
    num_laces: int  # 0: none
    collar: float  # height of the opening's edge
    instep: float  # height in the middle
    toe_height: float
    half_width: float
    pointedness: float  # 0: round toe, 1: pointed
    sole_thickness: float
    heel_lift: float
    opening: float  # how far the opening reaches forward
    mottle: float  # strength of the upper's texture


@dataclass(frozen=True)
class Scene:
    """Where and how one person takes photos: the floor, the light, the camera."""

    floor: str  # one of FLOORS
    floor_colour: Colour
    grout: Colour
    floor_scale: float
    floor_angle: float  # radians
    yaw: float  # radians; where the toes point
    elevation: float  # radians above the floor
    distance: float  # length of the shoe as part of the image's side
    light_angle: float  # radians; where the light comes from
    light_height: float
    tint: Colour
    noise: float
    floor_seed: int


@dataclass(frozen=True)
class Placement:
    """How one photo differs from the scene's others."""

    shift: tuple[float, float]  # part of the image's side
    turn: float  # radians
    scale: float
    exposure: float
    wear: float
    seed: int


def draw_design(random: np.random.Generator, kind: str) -> Design:
    """A design for a men's ("m") or a women's ("w") shoe."""
    shape = str(random.choice(KINDS, p=KIND_MIX[kind]))
    upper = _upper_colour(random)
    contrast = _any_colour(random)
    pale = _grey(random, 0.75, 0.97)
    base = Design(
        kind=shape,
        upper=upper,
        accent=contrast,
        toe=contrast if random.random() < 0.3 else pale if random.random() < 0.4 else _shade(upper, 0.8),
        sole=pale if random.random() < 0.55 else _grey(random, 0.08, 0.35),
        lining=_grey(random, 0.15, 0.8),
        laces=pale if random.random() < 0.5 else _shade(contrast, 1.0),
        toe_cap=random.uniform(0.1, 0.2) if random.random() < 0.5 else 0.0,
        stripes=int(random.integers(0, 4)),
        stripe_slant=random.uniform(-0.12, 0.12),
        heel_tab=bool(random.random() < 0.5),
        num_laces=int(random.integers(4, 7)),
        collar=random.uniform(0.26, 0.34),
        instep=random.uniform(0.22, 0.28),
        toe_height=random.uniform(0.11, 0.16),
        half_width=random.uniform(0.155, 0.185),
        pointedness=random.uniform(0.0, 0.3),
        sole_thickness=random.uniform(0.05, 0.09),
        heel_lift=0.02,
        opening=random.uniform(0.36, 0.44),
        mottle=random.uniform(0.02, 0.10),
    )
    if shape == "boot":
        return replace(
            base,
            collar=random.uniform(0.48, 0.68),
            instep=random.uniform(0.26, 0.32),
            stripes=0,
            sole=_grey(random, 0.05, 0.4),
            num_laces=int(random.integers(0, 2)) * 6,
            heel_lift=0.05,
        )
    if shape == "loafer":
        return replace(
            base,
            num_laces=0,
            stripes=int(random.integers(0, 2)),
            collar=random.uniform(0.18, 0.22),
            instep=random.uniform(0.16, 0.2),
            opening=random.uniform(0.5, 0.58),
            sole_thickness=0.03,
            sole=_grey(random, 0.05, 0.3),
            pointedness=random.uniform(0.2, 0.7),
        )
    if shape == "heel":
        return replace(
            base,
            num_laces=0,
            stripes=0,
            heel_tab=False,
            collar=random.uniform(0.15, 0.19),
            instep=random.uniform(0.1, 0.14),
            toe_height=0.09,
            half_width=random.uniform(0.125, 0.145),
            opening=random.uniform(0.62, 0.7),
            sole_thickness=0.02,
            heel_lift=random.uniform(0.14, 0.24),
            sole=_shade(upper, 0.6),
            pointedness=random.uniform(0.5, 1.0),
        )
    return base


def draw_scene(random: np.random.Generator) -> Scene:
    floor = str(random.choice(FLOORS))
    hue = random.uniform(0.04, 0.12) if floor == "wood" else random.uniform(0, 1)
    saturation = random.uniform(0.25, 0.6) if floor == "wood" else random.uniform(0.0, 0.2)
    colour = colorsys.hsv_to_rgb(hue, saturation, random.uniform(0.35, 0.8))
    warm = random.uniform(-0.08, 0.08)
    return Scene(
        floor=floor,
        floor_colour=colour,
        grout=_shade(colour, random.uniform(0.6, 1.2)),
        floor_scale=random.uniform(0.7, 1.5),
        floor_angle=random.uniform(0, np.pi),
        yaw=random.uniform(0.55, 1.0) * np.pi,
        elevation=random.uniform(0.65, 1.05),
        distance=random.uniform(0.6, 0.78),
        light_angle=random.uniform(0, 2 * np.pi),
        light_height=random.uniform(0.9, 2.0),
        tint=(1 + warm, 1.0, 1 - warm),
        noise=random.uniform(0.005, 0.025),
        floor_seed=int(random.integers(2**31)),
    )


def draw_placement(random: np.random.Generator) -> Placement:
    return Placement(
        shift=(random.uniform(-0.04, 0.04), random.uniform(-0.04, 0.04)),
        turn=random.uniform(-0.2, 0.2),
        scale=random.uniform(0.94, 1.06),
        exposure=random.uniform(0.9, 1.1),
        wear=random.uniform(0, 0.06),
        seed=int(random.integers(2**31)),
    )


def _upper_colour(random: np.random.Generator) -> Colour:
    """Black, white, grey, brown, or anything."""
    which = random.random()
    if which < 0.25:
        return _grey(random, 0.05, 0.2)
    if which < 0.4:
        return _grey(random, 0.7, 0.95)
    if which < 0.55:
        return colorsys.hsv_to_rgb(random.uniform(0.03, 0.09), random.uniform(0.4, 0.8), random.uniform(0.25, 0.6))
    return _any_colour(random)


def _any_colour(random: np.random.Generator) -> Colour:
    return colorsys.hsv_to_rgb(random.uniform(0, 1), random.uniform(0.35, 0.95), random.uniform(0.25, 0.9))


def _grey(random: np.random.Generator, low: float, high: float) -> Colour:
    value = random.uniform(low, high)
    return (value, value * random.uniform(0.95, 1.0), value * random.uniform(0.9, 1.0))


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(1.0, channel * factor) for channel in colour)
    return (red, green, blue)
