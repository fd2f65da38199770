"""The form of a shoe in space: surfaces as grids of points, in units of the shoe's length.

A left shoe stands with its heel at x = 0 and its toe at x = 1, its inner side towards negative y, its sole at z = 0.
Every surface is a grid (rows, columns, 3) whose front, as seen from outside, is where cross(columns, rows) points.
"""

from dataclasses import dataclass

import numpy as np

from shoepair.data.synthetic.designs import Form

COLUMNS, ROWS = 33, 9  # of one side of the upper: from heel to toe, and from the sole up
SIDES = (1, -1)  # outer and inner side of a left shoe


@dataclass(frozen=True)
class Surface:
    """Part of a shoe.

    Attributes:
        points: (rows, columns, 3).
        along: (columns,), where on its skin the columns lie, from 0 to 1.
        name: of the skin that it wears.
        flipped: whether its front is the other side of the grid.
    """

    points: np.ndarray
    along: np.ndarray
    name: str
    flipped: bool


@dataclass(frozen=True)
class Last:
    """All surfaces of a left shoe, and its upper (2 sides, rows, columns, 3) for what lies on it."""

    surfaces: tuple[Surface, ...]
    upper: np.ndarray
    along: np.ndarray  # (columns,), position of the columns from 0 (heel) to 1 (toe)

    def on_upper(self, side: int, along: np.ndarray | float, up: np.ndarray | float) -> np.ndarray:
        """Points of the upper, (..., 3), at positions from heel to toe and from sole to top, both from 0 to 1."""
        along, up = np.broadcast_arrays(np.asarray(along, float), np.asarray(up, float))
        column = np.interp(along, self.along, np.arange(COLUMNS))
        row = np.clip(up, 0, 1) * (ROWS - 1)
        c, r = np.minimum(column.astype(int), COLUMNS - 2), np.minimum(row.astype(int), ROWS - 2)
        x, y = (column - c)[..., None], (row - r)[..., None]
        grid = self.upper[SIDES.index(side)]
        lower = grid[r, c] * (1 - x) + grid[r, c + 1] * x
        points: np.ndarray = lower * (1 - y) + (grid[r + 1, c] * (1 - x) + grid[r + 1, c + 1] * x) * y
        return points


def make_last(form: Form) -> Last:
    even = np.linspace(0, 1, COLUMNS)
    along = 0.45 * even + 0.55 * (0.5 - 0.5 * np.cos(np.pi * even))  # denser where the outline turns
    x = 0.35 * along + 0.65 * (0.5 - 0.5 * np.cos(np.pi * along))
    half, bend = _half_width(form, x), _bend(x)
    lift, thickness = _lift(form, x), _thickness(form, x)
    seat = lift + thickness  # height of the line where upper and sole meet
    top_x, top_half, top_z, is_ridge = _top(form, along, half)
    top_z = top_z + _lift(form, top_x) + form.sole
    surfaces, sides = [], []
    for side in SIDES:
        edge = np.stack([x, side * half * (1.0 if side == 1 else 0.94) + bend, seat], -1)  # (columns, 3)
        tangent = np.gradient(edge[:, :2], axis=0)
        outward = np.stack([-tangent[:, 1], tangent[:, 0], 0 * x], -1) * side
        outward[[0, -1]] = [[-1, 0, 0], [1, 0, 0]]  # where both sides meet
        outward /= np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-9
        top = np.stack([top_x, side * top_half + _bend(top_x), top_z], -1)
        upper = _wall(edge, top, outward, is_ridge)
        sides.append(upper)
        surfaces.append(Surface(upper, along, "upper", side < 0))
        surfaces.append(Surface(_sole_band(form, edge, outward, x, lift, thickness), along, "sole", side < 0))
        opening = along <= form.throat + 0.06
        lining = _lining(form, top[opening], x[opening], half[opening] * side)
        surfaces.append(Surface(lining, along[opening], "lining", side < 0))
        if form.heel > 0.1:
            surfaces.append(Surface(_thin_heel(form, side), np.linspace(0, 1, 9), "heel", side < 0))
    upper = np.stack(sides)
    if form.tongue > 0:
        surfaces.append(Surface(_tongue(form, top_x, top_z, along), np.linspace(0, 1, 7), "tongue", True))
    return Last(tuple(surfaces), upper, along)


def _half_width(form: Form, x: np.ndarray) -> np.ndarray:
    width = curve(x, (0, 0.72), (0.12, 0.77), (0.36, 0.68), (0.52, 0.82), (0.7, 1.0), (0.84, 1.0), (1, 0.92))
    heel = np.sqrt(np.clip(1 - (np.clip(0.13 - x, 0, None) / 0.13) ** 2, 0, 1))
    start = 0.76 - 0.16 * form.pointedness + 0.1 * form.squareness
    ahead = np.clip((x - start) / (1 - start), 0, 1)
    power = 2.3 - 0.6 * form.pointedness + 0.6 * form.squareness
    toe = np.clip(1 - ahead**power, 0, 1) ** (0.5 + 0.3 * form.pointedness)
    return form.half_width * width * heel * toe


def _bend(x: np.ndarray) -> np.ndarray:
    """The last curves inwards at the toe."""
    return -0.11 * np.clip(x - 0.4, 0, None) ** 1.7 - 0.012


def _lift(form: Form, x: np.ndarray) -> np.ndarray:
    """Height of the sole's underside where it is not the heel: the toe rises a little."""
    rise = np.clip(1 - (x - 0.08) / 0.52, 0, 1)
    return form.heel * rise * rise * (3 - 2 * rise) + 0.03 * np.clip((x - 0.72) / 0.28, 0, 1) ** 2


def _thickness(form: Form, x: np.ndarray) -> np.ndarray:
    return form.sole + form.wedge * np.clip(1 - x / 0.6, 0, 1) - 0.2 * form.sole * np.clip((x - 0.6) / 0.4, 0, 1)


def _top(form: Form, along: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, ...]:
    """The upper's upper edge: the opening's rim behind the throat, the ridge in the middle before it.

    Returns:
        x, half width, height above the sole, and how much of a ridge it is (0 to 1), each (columns,).
    """
    t = form.throat
    low = form.throat_height < 0.13  # an open shoe, whose rim follows the foot's outline
    end_x = 0.9 if not low else 0.93
    tall = max(0.0, form.throat_height - 0.3)
    throat_x = t - 0.5 * tall if not low else t + 0.06
    x = curve(along, (0, 0.02), (0.1, 0.06 if not low else 0.07), (t * 0.6, throat_x * 0.62), (t, throat_x),
              (t + 0.3 * (1 - t), throat_x + 0.33 * (end_x - throat_x)), (1, end_x))  # fmt: skip
    ramp = np.clip((t - along) / (0.16 if not low else 0.3), 0, 1)
    narrow = np.sqrt(np.clip(1 - (1 - ramp) ** 2, 0, 1))
    if low:
        rim = np.minimum(0.9 * np.maximum(half, 0.7 * form.half_width), 0.88 * form.half_width)
        from_back = np.clip((x - 0.02) / 0.13, 0, 1)
    else:
        rim = curve(along, (0, 0.5), (0.5 * t, 0.56), (t, 0.46), (1, 0.46)) * form.half_width
        from_back = np.clip((x - 0.02) / 0.11, 0, 1)
    half_width = narrow * rim * np.sqrt(1 - (1 - from_back) ** 2)
    toe, high = form.toe_height, form.throat_height
    instep = toe + 0.45 * (high - toe) if high < 0.3 else toe + 0.25 * (high - toe)
    front = 0.4 * form.ankle + 0.6 * high
    z = curve(along, (0, form.back), (0.08, form.back), (t * 0.55, form.ankle), (t * 0.85, front), (t, high),
              (t + 0.3 * (1 - t), instep), (t + 0.62 * (1 - t), toe * 1.2), (1, toe))  # fmt: skip
    is_ridge = np.clip((along - t + 0.05) / 0.1, 0, 1)
    return x, half_width, z, is_ridge


def _wall(edge: np.ndarray, top: np.ndarray, outward: np.ndarray, is_ridge: np.ndarray) -> np.ndarray:
    """(ROWS, columns, 3): from the sole's edge up, steeply first; over to the ridge flatly, to a rim upright."""
    up = np.array([0, 0, 1.0])
    rise = top[:, 2:] - edge[:, 2:]
    across = np.linalg.norm((top - edge)[:, :2], axis=-1, keepdims=True)
    first = edge + outward * 0.012 + up * rise * 0.5
    flat = top + outward * across * 0.62
    upright = top + outward * across * 0.12 - up * rise * 0.4
    second = upright + (flat - upright) * is_ridge[:, None]
    t = np.linspace(0, 1, ROWS)[:, None, None]
    s = 1 - t
    points: np.ndarray = s**3 * edge + 3 * s**2 * t * first + 3 * s * t**2 * second + t**3 * top
    return points


def _sole_band(
    form: Form, edge: np.ndarray, outward: np.ndarray, x: np.ndarray, lift: np.ndarray, thickness: np.ndarray
) -> np.ndarray:
    """(5, columns, 3): underside's edge, bulge, upper edge, ledge, seam."""
    foot = lift.copy()
    if 0 < form.heel <= 0.1:
        foot = np.where(x < form.block, 0.0, lift)
    up = np.array([0, 0, 1.0])
    low = edge + outward * form.welt * 0.3
    low[:, 2] = foot
    middle = edge + outward * form.welt * 1.2
    middle[:, 2] = foot + (lift + thickness - foot) * 0.55
    high = edge + outward * form.welt + up * 0.004
    return np.stack(
        [low, middle, high, edge + outward * form.welt * 0.5 + up * 0.01, edge - outward * 0.004 + up * 0.004]
    )


def _lining(form: Form, rim: np.ndarray, x: np.ndarray, half: np.ndarray) -> np.ndarray:
    """(6, columns, 3): over the rim's padding and down to the insole's middle."""
    centre = np.stack([rim[:, 0], _bend(rim[:, 0]), rim[:, 2]], -1)
    inward = centre - rim
    floor_x = np.clip(x, 0.045, None)
    insole = _lift(form, floor_x) + form.sole + form.wedge * np.clip(1 - floor_x / 0.6, 0, 1) * 0.6 + 0.012
    bottom = np.stack([floor_x, half * 0.8 + _bend(floor_x), insole], -1)
    middle = np.stack([floor_x, _bend(floor_x), insole - 0.004], -1)
    padding = rim + inward * 0.12 + [0, 0, 0.008]
    inner = rim + inward * 0.25 - [0, 0, 0.012]
    down = inner * 0.5 + bottom * 0.5
    return np.stack([rim, padding, inner, down, bottom, middle])


def _tongue(form: Form, top_x: np.ndarray, top_z: np.ndarray, along: np.ndarray) -> np.ndarray:
    """(7, 7, 3): along the ridge from below the laces, and out of the opening."""
    t = form.throat
    at = np.array([t + 0.07, t + 0.03, t])
    ridge = np.stack([np.interp(at, along, top_x), np.interp(at, along, top_z) - [0.02, 0.008, 0]], -1)
    rise = ridge[2] - ridge[1]
    rise = rise / np.linalg.norm(rise)
    upwards = rise * 0.75 + np.array([0.05, 0.5])
    steps = np.array([0.35, 0.7, 0.9, 1.0])[:, None]
    line = np.concatenate([ridge, ridge[2] + upwards * steps * form.tongue])  # (7, 2)
    across = np.linspace(-1, 1, 7)
    width = 0.36 * form.half_width * np.array([0.8, 0.9, 1.0, 1.15, 1.2, 1.1, 0.8])[:, None]
    x = line[:, :1] - 0.01 * across**2 - 0 * width
    y = width * across + _bend(line[:, :1])
    z = line[:, 1:] - 0.022 * across**2
    return np.stack([x + 0 * y, y, z + 0 * y], -1)


def _thin_heel(form: Form, side: int) -> np.ndarray:
    """(4, 9, 3): from the floor up to the seat of the heel."""
    angle = np.linspace(np.pi, 0, 9)  # from the back round to the front
    rows = []
    for part, (length, width) in zip(
        (0.0, 0.12, 0.55, 1.0), ((1.0, 1.0), (0.95, 0.9), (1.05, 1.1), (2.2, 1.9)), strict=True
    ):
        long = (0.02 + form.block * 0.42) * (length if form.block < 0.06 else 1 + 0.25 * part)
        wide = (0.024 + form.block * 0.42) * (width if form.block < 0.06 else 1 + 0.35 * part)
        x = 0.085 + form.block * 0.22 - 0.02 * (1 - part) + long * np.cos(angle)
        y = side * wide * np.sin(angle) - 0.012
        rows.append(np.stack([x, y, part * _lift(form, x)], -1))
    return np.stack(rows)


def curve(x: np.ndarray, *knots: tuple[float, float]) -> np.ndarray:
    """A smooth line through (x, y) knots that does not overshoot them (cubic, with Fritsch and Carlson's slopes)."""
    at, value = np.asarray(knots, float).T
    step = np.diff(at)
    slope = np.diff(value) / step
    harmonic = 2 * slope[1:] * slope[:-1] / np.where(slope[1:] + slope[:-1] == 0, 1, slope[1:] + slope[:-1])
    tangent = np.concatenate([slope[:1], np.where(slope[1:] * slope[:-1] > 0, harmonic, 0), slope[-1:]])
    i = np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(step) - 1)
    t = np.clip((x - at[i]) / step[i], 0, 1)
    h = step[i]
    line: np.ndarray = (
        (1 + 2 * t) * (1 - t) ** 2 * value[i]
        + t * (1 - t) ** 2 * h * tangent[i]
        + t * t * (3 - 2 * t) * value[i + 1]
        + t * t * (t - 1) * h * tangent[i + 1]
    )
    return line
