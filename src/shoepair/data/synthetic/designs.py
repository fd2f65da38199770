"""What a drawn shoe, the place it is photographed in, and one photo of it are like, as plain values.

Forms stand in lasts.py, what is painted on them in skins.py, the floor in floors.py; drawing.py makes the picture.
"""

import colorsys
import math
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

Colour = tuple[float, float, float]  # RGB from 0 to 1

KINDS = ("sneaker", "hightop", "boot", "oxford", "loafer", "slipon", "flat", "heel")
KIND_MIX = {
    "m": (0.30, 0.14, 0.18, 0.15, 0.12, 0.11, 0.00, 0.00),
    "w": (0.23, 0.09, 0.14, 0.05, 0.10, 0.09, 0.14, 0.16),
}
MATERIALS = ("leather", "suede", "canvas", "mesh", "knit", "patent")
MATERIALS_OF = {
    "sneaker": ("leather", "suede", "canvas", "mesh", "mesh", "knit", "knit"),
    "hightop": ("leather", "leather", "canvas", "canvas", "suede"),
    "boot": ("leather", "leather", "suede"),
    "oxford": ("leather", "leather", "patent", "suede"),
    "loafer": ("leather", "leather", "suede", "patent"),
    "slipon": ("canvas", "canvas", "knit", "suede", "leather"),
    "flat": ("leather", "suede", "patent", "canvas"),
    "heel": ("leather", "patent", "patent", "suede"),
}
MARKS = ("none", "stripes", "swoosh", "wave", "chevron", "disc", "band", "slash")
PRINTS = ("plain", "checks", "bars", "hoops", "dots", "camouflage", "fore", "aft", "low", "high")
PRINT_MIX = (0.28, 0.09, 0.08, 0.08, 0.07, 0.06, 0.09, 0.09, 0.08, 0.08)
FLOORS = ("planks", "parquet", "tiles", "carpet", "concrete", "mat")


@dataclass(frozen=True)
class Palette:
    """The colours of one design."""

    upper: Colour
    second: Colour  # of panels and prints
    accent: Colour  # of the mark and small parts
    sole: Colour
    lining: Colour
    laces: Colour
    stitches: Colour


@dataclass(frozen=True)
class Form:
    """The form of a left shoe, in units of its length; the right shoe is its mirror image."""

    half_width: float
    toe_height: float
    pointedness: float  # 0: round, 1: pointed
    squareness: float  # 0: round, 1: broad and flat in front
    back: float  # height of the upper at the heel
    ankle: float  # the lowest point of the opening's edge
    throat: float  # where the opening ends, from 0 (heel) to 1 (toe)
    throat_height: float
    tongue: float  # how far it stands out; 0: none
    sole: float  # thickness under the ball
    wedge: float  # how much thicker at the heel
    welt: float  # how far the sole stands out
    heel: float  # height of the heel under the sole
    block: float  # how far the heel reaches forward; 0: a thin one


@dataclass(frozen=True)
class Design:
    """One pair's design."""

    kind: str  # one of KINDS
    form: Form
    palette: Palette
    material: str  # of the upper, one of MATERIALS
    second_material: str  # of its panels
    print: str  # one of PRINTS: what the upper's main panel shows
    print_size: float
    toe: str  # "none" | "cap" | "bumper" | "wing" | "apron"
    counter: float  # length of the panel around the heel; 0: none
    foxing: float  # height of the panel above the sole; 0: none
    eyestay: bool  # the eyelets' own panel
    collar: float  # height of the padded edge; 0: none
    mark: str  # one of MARKS
    mark_at: float
    mark_size: float
    mark_slant: float
    num_stripes: int
    perforated: bool
    stitched: bool
    num_eyelets: int  # 0: no laces
    lacing: str  # "cross" | "bars"
    strap: str  # "none" | "penny" | "bit" | "bow" | "ankle" | "hook" | "elastic"
    sole_line: str  # "none" | "stripe" | "notches" | "two"
    gloss: float


@dataclass(frozen=True)
class Scene:
    """Where and how one person takes photos: the floor, the light, the camera."""

    floor: str  # one of FLOORS
    floor_colours: tuple[Colour, Colour]
    floor_scale: float
    floor_angle: float  # radians
    floor_seed: int
    facing: float  # radians; where the toes point, 1.5 pi is towards the camera
    elevation: float  # of the camera above the floor, radians
    distance: float  # of the camera, in lengths of the shoe
    size: float  # of the shoe in the image
    light_angle: float  # radians; where the light comes from
    light_height: float  # radians above the floor
    light: float  # strength of the directed light; the rest comes from everywhere
    softness: float  # of the shadow
    tint: Colour  # white balance
    exposure: float
    noise: float
    blur: float  # pixels
    quality: int  # of the compression


@dataclass(frozen=True)
class Placement:
    """How one photo differs from the scene's others."""

    shift: tuple[float, float]  # part of the image's side
    turn: float  # radians
    scale: float
    tilt: float  # of the camera, radians
    exposure: float
    falloff: tuple[float, float]  # how much brighter the picture's right and lower edges are than its middle
    contrast: float  # of the camera's curve
    tint: Colour
    light_turn: float
    wear: float
    seed: int


@dataclass(frozen=True)
class Taste:
    """What one person's pairs have in common when they have anything in common, and how they differ."""

    kind: str
    palette: Palette
    kinds: dict[str, tuple[str, ...]]  # for "m" and "w": what the pairs are, one after the other, if not that kind
    prints: tuple[str, ...]  # of the pairs, one after the other


def draw_taste(random: np.random.Generator) -> Taste:
    """What one person likes: nobody buys the same shoes twice."""
    mixes = {sex: np.asarray(mix) for sex, mix in KIND_MIX.items()}
    return Taste(
        kind=str(random.choice(KINDS, p=0.6 * mixes["m"] + 0.4 * mixes["w"])),
        palette=draw_palette(random),
        kinds={sex: tuple(map(str, random.choice(KINDS, 4, replace=False, p=mix))) for sex, mix in mixes.items()},
        prints=tuple(map(str, random.choice(PRINTS, len(PRINTS), replace=False, p=PRINT_MIX))),
    )


def draw_design(random: np.random.Generator, sex: str, number: int, taste: Taste, hardness: float) -> Design:
    """A design for a men's ("m") or a women's ("w") shoe.

    Args:
        number: of the pair, from 0.
        taste: of the person whose shoe it is.
        hardness: how often, from 0 (never) to 1 (always), a pair has the colours that the person likes, and half as
            often the kind.
    """
    # All is drawn whatever the hardness, so that a pair at one hardness is the same pair at another.
    own, alike, same_colours = draw_palette(random), _another_lot(random, taste.palette), random.random() < hardness
    liked = random.random() < 0.5 * hardness and KIND_MIX[sex][KINDS.index(taste.kind)] > 0
    kind = taste.kind if liked else taste.kinds[sex][number % len(taste.kinds[sex])]
    design = _design(random, kind, alike if same_colours else own)
    return replace(design, print=taste.prints[number % len(taste.prints)])


def _design(random: np.random.Generator, kind: str, palette: Palette) -> Design:
    chance = random.random
    material = str(random.choice(MATERIALS_OF[kind]))
    laced = kind in ("sneaker", "hightop", "oxford") or (kind == "boot" and chance() < 0.7)
    plain = Design(
        kind=kind,
        form=_form(random, kind),
        palette=palette,
        material=material,
        second_material=str(random.choice(("leather", "suede", material))),
        print="plain",
        print_size=random.uniform(0.8, 1.7),
        toe="none",
        counter=0.0,
        foxing=0.0,
        eyestay=False,
        collar=0.0,
        mark="none",
        mark_at=random.uniform(0.4, 0.5),
        mark_size=random.uniform(0.8, 1.25),
        mark_slant=random.uniform(-0.05, 0.12),
        num_stripes=int(random.integers(2, 5)),
        perforated=bool(chance() < 0.35),
        stitched=bool(chance() < 0.6),
        num_eyelets=int(random.integers(4, 8)) if laced else 0,
        lacing=str(random.choice(("cross", "bars"))),
        strap="none",
        sole_line=str(random.choice(("none", "stripe", "notches", "two"))),
        gloss={"patent": 0.9, "leather": random.uniform(0.15, 0.5)}.get(material, 0.04),
    )
    return replace(plain, **_details(random, kind, laced=laced))


def _details(random: np.random.Generator, kind: str, *, laced: bool) -> dict[str, Any]:
    """What the kinds of shoes have, each in its own way."""
    chance = random.random
    if kind in ("sneaker", "hightop", "slipon"):
        return dict(
            toe=str(random.choice(("none", "cap", "bumper"), p=(0.3, 0.45, 0.25))),
            counter=random.uniform(0.1, 0.24) if chance() < 0.6 else 0.0,
            foxing=random.uniform(0.16, 0.34) if chance() < 0.5 else 0.0,
            eyestay=bool(laced and chance() < 0.65),
            collar=random.uniform(0.1, 0.2) if chance() < 0.6 else 0.0,
            mark=str(random.choice(MARKS, p=(0.12, 0.2, 0.15, 0.13, 0.1, 0.1, 0.1, 0.1))),
            strap="elastic" if kind == "slipon" else "none",
        )
    if kind == "boot":
        return dict(
            toe=str(random.choice(("none", "cap", "apron"), p=(0.5, 0.3, 0.2))),
            counter=random.uniform(0.14, 0.26) if chance() < 0.6 else 0.0,
            eyestay=bool(laced and chance() < 0.5),
            collar=random.uniform(0.06, 0.2) if chance() < 0.5 else 0.0,
            sole_line=str(random.choice(("none", "notches", "stripe"))),
        )
    if kind == "oxford":
        return dict(
            toe=str(random.choice(("none", "cap", "wing"), p=(0.3, 0.4, 0.3))),
            counter=random.uniform(0.16, 0.26) if chance() < 0.5 else 0.0,
            eyestay=bool(chance() < 0.6),
            num_eyelets=int(random.integers(3, 6)),
            lacing="bars",
            sole_line="none",
        )
    if kind == "loafer":
        return dict(
            toe=str(random.choice(("apron", "none"), p=(0.8, 0.2))),
            strap=str(random.choice(("penny", "bit", "bow", "none"), p=(0.35, 0.25, 0.25, 0.15))),
            counter=random.uniform(0.12, 0.2) if chance() < 0.4 else 0.0,
            sole_line="none",
        )
    return dict(
        toe="cap" if chance() < 0.4 else "none",
        strap=str(random.choice(("none", "bow", "ankle"), p=(0.45, 0.3, 0.25))),
        counter=random.uniform(0.12, 0.2) if chance() < 0.25 else 0.0,
        sole_line="none",
        perforated=False,
    )


def _form(random: np.random.Generator, kind: str) -> Form:
    draw = random.uniform
    form = Form(
        half_width=draw(0.175, 0.2),
        toe_height=draw(0.1, 0.13),
        pointedness=draw(0.0, 0.25),
        squareness=draw(0.0, 0.3),
        back=draw(0.235, 0.28),
        ankle=draw(0.18, 0.21),
        throat=draw(0.36, 0.41),
        throat_height=draw(0.22, 0.26),
        tongue=draw(0.06, 0.12),
        sole=draw(0.055, 0.09),
        wedge=draw(0.0, 0.04),
        welt=draw(0.006, 0.016),
        heel=0.0,
        block=0.0,
    )
    if kind == "hightop":
        return replace(form, back=draw(0.4, 0.46), ankle=draw(0.38, 0.42), throat_height=draw(0.4, 0.46))
    if kind == "boot":
        height = draw(0.44, 0.66)
        return replace(
            form, back=height, ankle=height - draw(0.0, 0.03), throat_height=height + draw(-0.02, 0.02),
            tongue=draw(0.0, 0.06), sole=draw(0.025, 0.06), wedge=0.0, welt=draw(0.008, 0.02), heel=draw(0.03, 0.07),
            block=draw(0.24, 0.3),
        )  # fmt: skip
    if kind == "oxford":
        return replace(
            form, half_width=draw(0.155, 0.175), toe_height=draw(0.08, 0.1), pointedness=draw(0.2, 0.7),
            squareness=draw(0.0, 0.6), back=draw(0.19, 0.22), ankle=draw(0.14, 0.16), throat=draw(0.38, 0.44),
            throat_height=draw(0.18, 0.21), tongue=draw(0.02, 0.05), sole=draw(0.02, 0.03), wedge=0.0,
            heel=draw(0.03, 0.05), block=draw(0.24, 0.28), welt=draw(0.008, 0.014),
        )  # fmt: skip
    if kind == "loafer":
        return replace(
            form, half_width=draw(0.16, 0.18), pointedness=draw(0.1, 0.5), back=draw(0.18, 0.21),
            ankle=draw(0.12, 0.15), throat=draw(0.5, 0.56), throat_height=draw(0.17, 0.2), tongue=0.0,
            sole=draw(0.018, 0.03), wedge=0.0, heel=draw(0.02, 0.04), block=draw(0.22, 0.28),
        )  # fmt: skip
    if kind == "slipon":
        return replace(
            form, back=draw(0.2, 0.24), ankle=draw(0.15, 0.18), throat=draw(0.45, 0.5),
            throat_height=draw(0.2, 0.23), tongue=0.0,
        )  # fmt: skip
    if kind in ("flat", "heel"):
        form = replace(
            form, half_width=draw(0.14, 0.16), toe_height=draw(0.07, 0.09), pointedness=draw(0.1, 1.0),
            back=draw(0.15, 0.18), ankle=draw(0.08, 0.1), throat=draw(0.68, 0.76), throat_height=draw(0.085, 0.1),
            tongue=0.0, sole=0.014, wedge=0.0, welt=0.003,
        )  # fmt: skip
        return form if kind == "flat" else replace(form, heel=draw(0.14, 0.26), block=draw(0.0, 0.16))
    return form


def draw_palette(random: np.random.Generator) -> Palette:
    """Colours that a maker of shoes might put together."""
    upper, second = _leather_or_cloth(random), _leather_or_cloth(random)
    while abs(_luma(upper) - _luma(second)) < 0.22:  # or panels and patterns would hardly be seen
        second = _leather_or_cloth(random)
    accent = (
        _bright(random)
        if random.random() < 0.6
        else _grey(random, *((0.85, 0.97) if _luma(upper) < 0.5 else (0.05, 0.2)))
    )
    pale_sole = random.random() < 0.55
    sole = _grey(random, 0.8, 0.96) if pale_sole else _grey(random, 0.06, 0.25)
    if random.random() < 0.15:
        sole = colorsys.hsv_to_rgb(random.uniform(0.06, 0.1), random.uniform(0.4, 0.65), random.uniform(0.4, 0.7))
    laces = (upper, accent, _grey(random, 0.85, 0.97), _grey(random, 0.06, 0.15))[int(random.integers(4))]
    lining = _grey(random, 0.12, 0.85) if random.random() < 0.7 else _bright(random)
    stitches = (accent, _grey(random, 0.85, 0.95), scaled(upper, 0.6))[int(random.integers(3))]
    return Palette(upper, second, accent, sole, lining, laces, stitches)


def draw_scene(random: np.random.Generator) -> Scene:
    floor = str(random.choice(FLOORS, p=(0.3, 0.12, 0.2, 0.16, 0.12, 0.1)))
    if floor in ("planks", "parquet"):
        hue, saturation, value = random.uniform(0.03, 0.11), random.uniform(0.15, 0.65), random.uniform(0.35, 0.85)
    elif floor == "mat":
        hue, saturation, value = random.uniform(0, 1), random.uniform(0.3, 0.8), random.uniform(0.3, 0.75)
    else:
        hue, saturation, value = random.uniform(0.03, 0.14), random.uniform(0.02, 0.3), random.uniform(0.35, 0.85)
        if floor == "carpet" and random.random() < 0.3:
            hue, saturation = random.uniform(0, 1), random.uniform(0.2, 0.6)
    colour = colorsys.hsv_to_rgb(hue, saturation, value)
    other = colorsys.hsv_to_rgb(hue, saturation * 0.8, min(1.0, value * random.uniform(0.6, 1.25)))
    return Scene(
        floor=floor,
        floor_colours=(colour, other),
        floor_scale=random.uniform(0.8, 1.3),
        floor_angle=random.uniform(0, math.pi),
        floor_seed=int(random.integers(2**31)),
        facing=random.uniform(1.22, 1.36) * math.pi,
        elevation=random.uniform(0.82, 1.02),
        distance=random.uniform(2.0, 2.8),
        size=random.uniform(0.8, 0.95),
        light_angle=random.uniform(0, 2 * math.pi),
        light_height=random.uniform(0.75, 1.3),
        light=random.uniform(0.35, 0.7),
        softness=random.uniform(0.5, 1.5),
        tint=_tint(random, 0.07),
        exposure=random.uniform(0.85, 1.08),
        noise=random.uniform(0.004, 0.02),
        blur=random.uniform(0.0, 0.6),
        quality=int(random.integers(60, 93)),
    )


def draw_own_scene(random: np.random.Generator) -> Scene:
    """A scene of one photo alone: another floor, light and camera, held less carefully."""
    scene = draw_scene(random)
    return replace(
        scene,
        facing=scene.facing + random.normal(0, 0.35),
        elevation=min(max(scene.elevation + random.normal(0, 0.12), 0.7), 1.4),
        size=random.uniform(0.6, 0.95),
        exposure=scene.exposure * 2 ** random.uniform(-0.5, 0.4),
        blur=random.uniform(0.0, 1.6) ** 2 / 2,
        quality=int(random.integers(30, 93)),
    )


def draw_any_scene(random: np.random.Generator) -> Scene:
    """A scene in which a shoe may point anywhere, near or far, in any light, seen from the side or from above."""
    return replace(
        draw_scene(random),
        facing=random.uniform(0, 2 * math.pi),
        elevation=random.uniform(0.75, 1.5),
        distance=random.uniform(1.6, 3.5),
        size=random.uniform(0.5, 0.98),
        light_height=random.uniform(0.5, 1.4),
        light=random.uniform(0.2, 0.85),
        exposure=random.uniform(0.55, 1.3),
        noise=random.uniform(0.004, 0.04),
        blur=random.uniform(0.0, 2.0) ** 2 / 2,
        quality=int(random.integers(25, 93)),
    )


def draw_placement(random: np.random.Generator) -> Placement:
    return Placement(
        shift=(random.uniform(-0.02, 0.02), random.uniform(-0.02, 0.02)),
        turn=random.uniform(-0.06, 0.06),
        scale=random.uniform(0.95, 1.05),
        tilt=random.uniform(-0.025, 0.025),
        exposure=random.uniform(0.84, 1.14),
        falloff=(random.uniform(-0.25, 0.25), random.uniform(-0.25, 0.25)),
        contrast=random.uniform(0.88, 1.12),
        tint=_tint(random, 0.035),
        light_turn=random.uniform(-0.4, 0.4),
        wear=random.uniform(0.0, 1.0) ** 2,
        seed=int(random.integers(2**31)),
    )


def scaled(colour: Colour, factor: float) -> Colour:
    """Brighter or darker."""
    red, green, blue = (min(1.0, channel * factor) for channel in colour)
    return (red, green, blue)


def _luma(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def _leather_or_cloth(random: np.random.Generator) -> Colour:
    """Black, white, grey, brown, or anything."""
    which = random.random()
    if which < 0.26:
        return _grey(random, 0.06, 0.17)
    if which < 0.42:
        return _grey(random, 0.78, 0.95)
    if which < 0.55:
        return _grey(random, 0.3, 0.6)
    if which < 0.7:
        return colorsys.hsv_to_rgb(random.uniform(0.03, 0.09), random.uniform(0.4, 0.75), random.uniform(0.25, 0.65))
    if which < 0.78:  # navy
        return colorsys.hsv_to_rgb(random.uniform(0.58, 0.66), random.uniform(0.4, 0.7), random.uniform(0.18, 0.4))
    return _bright(random)


def _bright(random: np.random.Generator) -> Colour:
    return colorsys.hsv_to_rgb(random.uniform(0, 1), random.uniform(0.45, 0.9), random.uniform(0.3, 0.9))


def _grey(random: np.random.Generator, low: float, high: float) -> Colour:
    value = random.uniform(low, high)
    return (value, value * random.uniform(0.95, 1.0), value * random.uniform(0.9, 1.0))


def _tint(random: np.random.Generator, strength: float) -> Colour:
    warm, green = random.normal(0, strength), random.normal(0, strength * 0.3)
    return (1 + warm, 1 + green, 1 - warm)


def _another_lot(random: np.random.Generator, palette: Palette) -> Palette:
    """The same colours from another dyer: a little off."""
    colours = np.clip(np.asarray(astuple(palette)) + random.normal(0, 0.025, (7, 3)), 0.03, 0.97)
    return Palette(*((float(red), float(green), float(blue)) for red, green, blue in colours))
