"""What is painted on a shoe: flat pieces of leather and cloth, as a shoemaker cuts them, before they go over the last.

The upper's skin runs from heel to toe (columns) and from sole to top (rows); both sides of a shoe wear the same one.
A panel is painted from its signed distance in pixels, positive inside: edge, shadow and seam follow from it.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from shoepair.data.synthetic.designs import Colour, Design, scaled

WIDTH = 384
MARGIN = 4  # rows around a skin, for what is seen of its very edge
HEIGHTS = {"upper": 128, "sole": 32, "lining": 32, "tongue": 32, "heel": 16}


@dataclass(frozen=True)
class Skin:
    """One piece.

    Attributes:
        colour: (rows, WIDTH, 3) float32, from 0 to 1.
        gloss: (rows, WIDTH) float32, from 0 to 1.
    """

    colour: np.ndarray
    gloss: np.ndarray

    @cached_property
    def rgbg(self) -> np.ndarray:
        """(rows + 2 * MARGIN, WIDTH, 4) uint8: red, green, blue, gloss; the outer rows are repeated."""
        rows = len(self.gloss)
        pixels = np.empty((rows + 2 * MARGIN, WIDTH, 4), np.uint8)
        pixels[MARGIN:-MARGIN, :, :3] = np.clip(self.colour, 0, 1) * 255
        pixels[MARGIN:-MARGIN, :, 3] = self.gloss * 255
        pixels[:MARGIN], pixels[-MARGIN:] = pixels[MARGIN], pixels[-MARGIN - 1]
        return pixels


def paint(design: Design) -> dict[str, Skin]:
    """The skins of a design by the names in HEIGHTS."""
    palette = design.palette
    dull = {name: np.full((rows, WIDTH), 0.05, np.float32) for name, rows in HEIGHTS.items()}
    heel_colour = scaled(palette.upper, 0.9) if design.kind == "heel" else palette.sole
    return {
        "upper": _upper(design),
        "sole": Skin(_sole(design), dull["sole"]),
        "lining": Skin(_lining(design), dull["lining"]),
        "tongue": Skin(_tongue(design), dull["tongue"]),
        "heel": Skin(_filled("heel", heel_colour), dull["heel"] + np.float32(design.gloss * 0.6)),
    }


def weathered(skin: Skin, random: np.random.Generator, wear: float) -> Skin:
    """The upper as one foot has worn it: creases behind the toe, dust, scuffs.

    Args:
        wear: from 0 (new) to 1.
    """
    x, y = _grid("upper")
    colour = skin.colour.copy(order="K")
    creased = np.s_[40:, round(0.55 * WIDTH) : round(0.8 * WIDTH)]
    x, y = x[creased], y[creased] / 128
    field = np.ones_like(x)
    for at in random.uniform(0.6, 0.74, 3):
        depth, bow, reach = (
            random.uniform(0.05, 0.12) * (0.3 + wear),
            random.uniform(-14, 14),
            random.uniform(0.35, 0.6),
        )
        line = np.clip(1 - np.abs(x - at * WIDTH - bow * (y - 0.5) ** 2) / 2.5, 0, 1)
        field -= depth * line * np.clip((y - reach) * 4, 0, 1)
    colour[creased] *= field[..., None]
    row, column = random.integers(0, 128, 2)
    low = colour[:64]  # dust comes from below
    cover = np.clip(0.5 * _noise(6)[row : row + 64, column : column + WIDTH] + _FADING, 0, 1) * np.float32(0.12 * wear)
    low += (np.asarray([0.5, 0.47, 0.42], np.float32) - low) * cover[..., None]
    toe = np.s_[:, round(0.78 * WIDTH) :]
    scuffs = np.clip(_noise(2)[row : row + 128, :WIDTH][toe] - 1.6, 0, 1) * np.float32(0.3 * wear)
    colour[toe] += scuffs[..., None]
    return Skin(colour, skin.gloss * np.float32(1 - 0.4 * wear))


_FADING = np.linspace(0.7, 0.0, 64, dtype=np.float32)[:, None]


class _Piece:
    """A piece of skin while it is being painted."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.x, self.y = _grid("upper")
        self.steps = (self.x + self.y) % 7
        self.colour = _filled("upper", design.palette.upper)
        self.gloss = np.full(self.x.shape, design.gloss, np.float32)

    def panel(
        self, inside: np.ndarray, colour: Colour | np.ndarray, material: str, *, thick: bool = True, seam: bool = False
    ) -> None:
        """Lay a panel where `inside` (rows, WIDTH), the distance from its edge in pixels, is positive."""
        rows, columns = (np.flatnonzero((inside > -5).any(axis)) for axis in (1, 0))
        if not len(rows):
            return
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inside = inside[window]
        mask = np.clip(inside + np.float32(0.5), 0, 1)
        below = self.colour[window]
        if thick:  # it throws a little shadow
            below *= (1 - 0.4 * np.clip(1 + inside / 5, 0, 1) * (1 - mask))[..., None]
        own = np.empty_like(below)
        flat = np.asarray(colour, np.float32) if isinstance(colour, tuple) else colour[window]
        np.multiply(texture(material)[window][..., None], flat, out=own)
        if thick:  # and catches light on its edge
            own *= (1 + 0.22 * np.clip(1 - np.abs(inside - 1) / 2, 0, 1))[..., None]
        own -= below
        own *= mask[..., None]
        below += own
        gloss = self.gloss[window]
        gloss += mask * (np.float32({"patent": 0.9, "leather": 0.3}.get(material, 0.04)) - gloss)
        if seam:
            self.seam(inside - 5, window)

    def seam(self, distance: np.ndarray, window: tuple[slice, slice] = np.s_[:, :]) -> None:
        """Stitches where `distance` is 0."""
        near, colour = np.abs(distance), self.colour[window]
        colour[near < 1.8] *= 0.82
        colour[(near < 1.1) & (self.steps[window] < 4.5)] = self.design.palette.stitches


def _upper(design: Design) -> Skin:
    piece = _Piece(design)
    palette, x, y = design.palette, piece.x, piece.y
    throat = design.form.throat * WIDTH
    _print(piece)
    piece.colour *= texture(design.material)[..., None]
    panel_colour = palette.second
    if design.mark != "none":
        piece.panel(_mark(design, x, y), palette.accent, "leather", seam=False)
    if design.foxing:
        line = design.foxing * 128 + 10 * np.cos(x / WIDTH * 9) + 30 * np.clip(x / WIDTH - 0.75, 0, 1)
        piece.panel(line - y, panel_colour, design.second_material, seam=design.stitched)
    if design.counter:
        edge = (design.counter + 0.09 * (1 - y / 128) ** 2 - 0.04 * (y / 128)) * WIDTH
        piece.panel(edge - x, panel_colour, design.second_material, seam=design.stitched)
    _toe(piece)
    if design.num_eyelets:
        _eyelets(piece, throat)
    _strap(piece)
    if design.collar:
        line = y - (1 - design.collar) * 128 - 8 * np.cos((x / throat) * 3)
        piece.panel(np.minimum(line, throat - 4 - x), palette.lining, "suede", seam=False)
    if design.kind in ("sneaker", "hightop", "slipon", "boot"):
        tab = np.minimum(16 - x, y - 82)
        piece.panel(tab, palette.accent, "leather")
    piece.colour *= (0.66 + 0.34 * np.clip(y / 14, 0, 1))[..., None]  # less light reaches the seam above the sole
    return Skin(np.clip(piece.colour, 0, 1), piece.gloss)


def _toe(piece: _Piece) -> None:
    """A cap, a bumper, a wing or an apron."""
    design, palette, x, y = piece.design, piece.design.palette, piece.x, piece.y
    if design.toe in ("cap", "bumper"):
        start = 0.84 if design.toe == "cap" else 0.9
        edge = (start - 0.09 * (y / 128 - 0.2) ** 2 * (1 if design.toe == "cap" else -1.5)) * WIDTH
        colour = palette.second if design.toe == "cap" else palette.sole
        inside = x - edge if design.toe == "cap" else 60 * np.clip((x / WIDTH - 0.72) / 0.16, 0, 1) ** 0.6 - 5 - y
        piece.panel(inside, colour, design.second_material, seam=design.stitched)
        if design.perforated and design.toe == "cap":
            _holes(piece, 0.905, 0.975, 74, 118)
    elif design.toe == "wing":
        edge = (0.86 - 0.2 * np.abs(y / 128 - 1) ** 1.3 + 0.05 * np.exp(-(((y / 128 - 1) / 0.14) ** 2)) * -1) * WIDTH
        piece.panel(x - edge, palette.second, design.second_material, seam=True)
        _holes(piece, 0.92, 0.98, 80, 120)
    elif design.toe == "apron":
        rim = np.minimum(
            y - 82 + 30 * np.clip((x / WIDTH - 0.86) / 0.1, 0, 1.5) ** 2 * -1, x - (design.form.throat - 0.1) * WIDTH
        )
        piece.panel(rim, _lighter(palette.upper, 1.04), design.material)
        piece.seam(rim + 3)


def _eyelets(piece: _Piece, throat: float) -> None:
    """The tongue, the stay and the eyelets of a laced shoe."""
    design, palette, x, y = piece.design, piece.design.palette, piece.x, piece.y
    tongue = np.minimum(np.minimum(x - throat + 6, 0.69 * WIDTH - x), y - 110)
    if design.eyestay:
        stay = np.minimum(np.minimum(x - throat + 14, 0.72 * WIDTH - x), y - 84 + 10 * np.cos((x - throat) / 18) * 0.5)
        piece.panel(stay, palette.second, design.second_material, seam=design.stitched)
    piece.panel(tongue, scaled(_blend(palette.upper, palette.lining, 0.35), 0.85), "canvas", thick=False)
    piece.colour[(tongue < 0.5) & (tongue > -2.5)] *= 0.7
    for at in eyelets(design):
        near = np.s_[94:109, round(at * WIDTH) - 7 : round(at * WIDTH) + 8]
        spot = np.full_like(x, -99)
        spot[near] = 3.2 - np.hypot(x[near] - at * WIDTH, (y[near] - 101) * 0.9)
        piece.panel(spot, _lighter(palette.accent, 0.9) if design.kind == "boot" else (0.72, 0.7, 0.66), "patent")
        piece.colour[near][spot[near] > 1.6] *= 0.2


def _strap(piece: _Piece) -> None:
    """A strap across, or elastic at the sides."""
    design, palette, x, y = piece.design, piece.design.palette, piece.x, piece.y
    if design.strap in ("penny", "hook"):
        across = np.minimum(0.058 * WIDTH - np.abs(x - (design.form.throat + 0.07) * WIDTH), y - 30)
        if design.strap == "hook":
            across = np.minimum(0.05 * WIDTH - np.abs(x - 0.5 * WIDTH + (y - 64) * 0.2), y + 999)
        piece.panel(across, palette.second, design.material, seam=True)
        if design.strap == "penny":
            slot = np.minimum(7 - np.abs(x - (design.form.throat + 0.07) * WIDTH), y - 112)
            piece.panel(slot, scaled(palette.upper, 0.35), "suede", thick=False)
    elif design.strap == "elastic":
        at = (design.form.throat - (0.08 if design.kind != "boot" else 0.13)) * WIDTH
        elastic = np.minimum(18 - (128 - y) * 0.09 - np.abs(x - at), y - (58 if design.kind != "boot" else 40))
        ribbed = np.where((x // 3) % 2 > 0, 0.75, 1.0)[..., None].astype(np.float32) * np.asarray(
            palette.lining, np.float32
        )
        piece.panel(elastic, ribbed, "canvas")


def eyelets(design: Design) -> np.ndarray:
    """Where the eyelets are from heel to toe, from the top down."""
    start = design.form.throat + 0.015
    return np.linspace(start, 0.67 if design.kind != "oxford" else 0.58, design.num_eyelets)


EYELET_HEIGHT = 101 / 127  # from the sole to the top


def _print(piece: "_Piece") -> None:
    """The main panel's second colour, in a pattern."""
    design, x, y = piece.design, piece.x, piece.y
    one, other = np.asarray(design.palette.upper, np.float32), np.asarray(design.palette.second, np.float32)
    size = 22 * design.print_size
    if design.print == "checks":
        mask = ((x // size + y // size) % 2).astype(np.float32)
    elif design.print == "bars":
        mask = ((x + 0.25 * y) % (size * 1.3) < size * 0.55).astype(np.float32)
    elif design.print == "dots":
        shift = (y // size % 2) * size / 2
        mask = (np.hypot((x + shift) % size - size / 2, y % size - size / 2) < size * 0.27).astype(np.float32)
    elif design.print == "camouflage":
        mask = (_noise(14)[:128, :WIDTH] > 0.25).astype(np.float32)
    elif design.print == "hoops":
        mask = (y % (size * 1.2) < size * 0.6).astype(np.float32)
    elif design.print in ("fore", "aft"):
        mask = np.clip(x - 0.56 * WIDTH - 0.5 * (y - 64), 0, 1)
        mask = mask if design.print == "fore" else 1 - mask
    elif design.print in ("low", "high"):
        mask = np.clip(62 + 14 * np.cos(x / WIDTH * 7) - y, 0, 1)
        mask = mask if design.print == "low" else 1 - mask
    else:
        return
    for channel in range(3):
        piece.colour[..., channel] += (other - one)[channel] * mask


def _mark(design: Design, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance (rows, WIDTH) inside the maker's mark on the side."""
    size, at = design.mark_size, design.mark_at * WIDTH
    inside: np.ndarray
    within = np.minimum(y - 12, 88 - y)
    if design.mark == "stripes":
        gap = 21 * size
        start = at - gap * (design.num_stripes - 1) / 2 + design.mark_slant * WIDTH * (y / 128 - 0.4) * 2.2
        nearest = start + gap * np.clip(np.round((x - start) / gap), 0, design.num_stripes - 1)
        inside = np.minimum(gap * 0.26 - np.abs(x - nearest), within)
    elif design.mark == "swoosh":
        t = (x - (at - 95 * size)) / (190 * size)
        line = 70 - 150 * (t - 0.05) + 170 * (t - 0.05) ** 2
        inside = np.where(
            (t > 0) & (t < 1),
            13 * size * np.sqrt(np.clip(t, 0, 1)) * np.clip(1.15 - t, 0, 1) - 0.75 * np.abs(y - line),
            -9,
        )
    elif design.mark == "wave":
        t = (x - (at - 105 * size)) / (210 * size)
        line = 44 + 20 * size * np.sin(t * 6.3 + 0.6) * np.clip(t * 3, 0, 1)
        inside = np.where((t > 0) & (t < 1), 7 * size - 0.8 * np.abs(y - line), -9)
    elif design.mark == "chevron":
        fold = np.abs(y - 48) * 0.8
        steps = [9 * size - np.abs(x - at - shift * size - fold) * 0.8 for shift in (-34, 6)]
        inside = np.minimum(np.maximum(*steps), within)
    elif design.mark == "disc":
        away = np.hypot(x - at - 20, (y - 52) * 0.85)
        inside = np.maximum(30 * size - away - 999 * (away < 22 * size), 12 * size - away)
    elif design.mark == "band":
        inside = 13 * size - np.abs(y - 40 - design.mark_slant * (x - at))
    else:
        lean = x - at - (y - 50) * 1.1
        inside = np.maximum(16 * size - np.abs(lean), 5 * size - np.abs(lean - 34 * size))
    return inside


def _holes(piece: _Piece, start: float, end: float, low: int, high: int) -> None:
    x, y = piece.x, piece.y
    inside = (x > start * WIDTH) & (x < end * WIDTH) & (y > low) & (y < high)
    piece.colour[inside & (np.hypot(x % 9 - 4.5, (y + (x // 9 % 2) * 6) % 12 - 6) < 2.4)] *= 0.45


def _sole(design: Design) -> np.ndarray:
    x, y = _grid("sole")
    colour = _filled("sole", design.palette.sole)
    if design.sole_line in ("stripe", "two"):
        colour[np.abs(y - 10) < 2.2] = design.palette.accent
    if design.sole_line == "two":
        colour[(y < 6) & (y > 0)] = scaled(design.palette.second, 0.9)
    if design.sole_line == "notches":
        colour[(y < 9) & (x % 16 < 7)] *= 0.35
    colour *= (0.55 + 0.45 * np.clip(y / 5, 0, 1) - 0.45 * np.clip((y - 26) / 5, 0, 1))[..., None]
    if design.kind in ("boot", "oxford", "loafer") and design.stitched:
        colour[(np.abs(y - 23) < 1.5) & (x % 6 < 3)] = design.palette.stitches
    return colour


def _lining(design: Design) -> np.ndarray:
    _, y = _grid("lining")
    colour = _filled("lining", design.palette.lining)
    colour *= texture("suede")[:32, :, None]
    insole = np.clip((y - 23) / 3, 0, 1)[..., None]
    colour += insole * (np.asarray(_blend(design.palette.lining, (0.75, 0.7, 0.6), 0.4), np.float32) - colour)
    depth = 0.3 + 0.7 * np.clip(1 - y / 20, 0, 1)
    if design.form.throat_height < 0.13:
        depth = 0.75 + 0.25 * np.clip(1 - y / 14, 0, 1)
    colour *= np.maximum(depth, 0.42 * insole[..., 0])[..., None]
    return colour


def _tongue(design: Design) -> np.ndarray:
    x, y = _grid("tongue")
    colour = _filled("tongue", _blend(design.palette.upper, design.palette.lining, 0.2))
    colour *= texture("canvas")[:32, :, None]
    if design.kind in ("sneaker", "hightop"):
        label = np.minimum(np.minimum(x - 0.3 * WIDTH, 0.7 * WIDTH - x) / 5, np.minimum(y - 19, 27 - y) * 2)
        colour[label > 0] = design.palette.accent
        colour[(label > 3) & ((x // 16) % 3 > 0) & (np.abs(y - 23) < 1.6)] = design.palette.upper
    edge = np.minimum(np.minimum(x, WIDTH - x) / 6, 63 - 2 * y)
    colour[(edge < 4)] *= 0.78
    colour *= (0.6 + 0.4 * np.clip(y / 15, 0, 1))[..., None]
    return colour


@lru_cache
def texture(material: str) -> np.ndarray:
    """(128, WIDTH) float32 around 1: what multiplies a panel's colour."""
    x, y = _grid("upper")
    noise = _noise
    if material == "leather":
        field = 1 + 0.035 * noise(1.5)[:128, :WIDTH] + 0.03 * noise(9)[:128, :WIDTH]
    elif material == "suede":
        field = 1 + 0.07 * noise(1)[:128, :WIDTH] + 0.06 * noise(7)[100:228, :WIDTH]
    elif material == "canvas":
        field = 1 + 0.09 * np.sin(x * 1.4) * np.sin(y * 1.4) + 0.03 * noise(1)[:128, :WIDTH]
    elif material == "mesh":
        hole = np.hypot(x % 9 - 4.5, (y + (x // 9 % 2) * 5) % 10 - 5)
        field = 1.05 - 0.5 * np.clip(1.6 - hole / 2, 0, 1)
    elif material == "knit":
        field = 1 + 0.2 * np.sin((x + 6 * np.abs((y / 9) % 2 - 1)) * 0.9) + 0.06 * noise(2)[:128, :WIDTH]
    else:
        field = 1 + 0.012 * noise(9)[:128, :WIDTH]
    return field.astype(np.float32)


@lru_cache
def _noise(radius: float) -> np.ndarray:
    """(256, 512) float32 with mean 0 and deviation 1, smooth over `radius` pixels; always the same."""
    random = np.random.default_rng(round(radius * 10))
    small = random.standard_normal((max(4, round(256 / radius)), max(4, round(512 / radius))), dtype=np.float32)
    field = np.asarray(Image.fromarray(small).resize((512, 256), Image.Resampling.BICUBIC))
    noise: np.ndarray = (field - field.mean()) / field.std()
    return noise


@lru_cache
def _grid(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of a skin, (rows, WIDTH) float32 each."""
    y, x = np.mgrid[: HEIGHTS[name], :WIDTH].astype(np.float32)
    return x, y


def _filled(name: str, colour: Colour) -> np.ndarray:
    """(rows, WIDTH, 3) float32 of one colour.

    In memory, whole planes of red, green and blue: numpy multiplies those three times as fast as triples.
    """
    planes = np.empty((3, HEIGHTS[name], WIDTH), np.float32)
    planes[:] = np.asarray(colour, np.float32)[:, None, None]
    return planes.transpose(1, 2, 0)


def _blend(one: Colour, other: Colour, part: float) -> Colour:
    red, green, blue = ((1 - part) * a + part * b for a, b in zip(one, other, strict=True))
    return (red, green, blue)


def _lighter(colour: Colour, factor: float) -> Colour:
    return scaled(_blend(colour, (1, 1, 1), 0.06), factor)
