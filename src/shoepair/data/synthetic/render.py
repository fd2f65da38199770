"""Photographs a designed shoe: its surfaces in space, lit, seen by a camera from above at an angle, on a floor.

Pillow and numpy do it all: pillow fills some 2,000 triangles with their numbers (a microsecond each), numpy looks up
what each pixel shows. skia-python (50 MB) draws textured triangles no faster (5 ms for 4,800, and 4 ms to hand them
over), and its wheel for Linux needs the system's libGL and libEGL, which servers often lack; aggdraw knows no textures;
pycairo has no wheels for Linux.
"""

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from shoepair.data.synthetic import textures as skins
from shoepair.data.synthetic.designs import Colour, Design, Placement, Scene, scaled
from shoepair.data.synthetic.floors import MARGIN_PX, TILE_LENGTHS, TILE_PX, paint_floor
from shoepair.data.synthetic.geometry import Last, Surface, make_last

DRAWN_SIZE_PX = 224
OVERSAMPLING = 1.5
SHADOW_SCALE = 4  # shadows are soft: a quarter of the size is enough


@dataclass(frozen=True)
class DrawnShoe:
    """One photo of one shoe, and what is known of it.

    Attributes:
        picture: (DRAWN_SIZE_PX, DRAWN_SIZE_PX, 3) uint8, RGB.
        mask: (DRAWN_SIZE_PX, DRAWN_SIZE_PX) uint8: how much of each pixel the shoe covers, 255 for all of it.
    """

    picture: np.ndarray
    mask: np.ndarray


def draw_shoe(design: Design, scene: Scene, placement: Placement, *, left: bool) -> DrawnShoe:
    """One photo of one shoe."""
    random = np.random.default_rng(placement.seed)
    last, mesh, painted = _made(design)
    stand = _Stand(scene.facing + placement.turn, mirrored=not left)
    points = stand.place(mesh.points)
    camera = _frame(scene, placement, points)
    light = _Light(scene, placement)

    worn = painted | {"upper": skins.weathered(painted["upper"], random, placement.wear)}
    seen = _raster(mesh, points, stand.turn(mesh.normals), worn, camera, light, mirrored=not left)
    below = _draw_lines(seen, _laces(design, last, random) + _trimmings(design, last), stand, camera, light)
    # Colours first, (3, size, size): numpy multiplies whole planes three times as fast as triples.
    picture = _planes(_floor_seen(scene, camera))
    shoe = _planes(seen.resize((DRAWN_SIZE_PX, DRAWN_SIZE_PX), Image.Resampling.BOX))
    picture *= (1 - shoe[3] / 255) * (1 - _shadow(mesh, points, camera, light, scene.softness))
    picture += shoe[:3]
    if below is not None:
        picture *= below
    return DrawnShoe(_develop(picture, scene, placement, random), shoe[3].astype(np.uint8))


def _planes(image: Image.Image) -> np.ndarray:
    """(channels, size, size) float32, from 0 to 255."""
    return np.stack([np.asarray(channel) for channel in image.split()]).astype(np.float32)


@lru_cache(maxsize=4)
def _made(design: Design) -> tuple[Last, "_Mesh", dict[str, skins.Skin]]:
    """Both shoes of a pair are made from one last and one set of skins."""
    last = make_last(design.form)
    return last, _Mesh(last.surfaces), skins.paint(design)


@lru_cache(maxsize=2)
def _floor_of(scene: Scene) -> Image.Image:
    return paint_floor(scene)


class _Stand:
    """Puts a left shoe, or its mirror image, on the floor, pointing somewhere."""

    def __init__(self, facing: float, *, mirrored: bool) -> None:
        self.cos, self.sin = math.cos(facing), math.sin(facing)
        self.mirror = -1.0 if mirrored else 1.0

    def place(self, points: np.ndarray) -> np.ndarray:
        return self.turn(points - [0.5, 0, 0])

    def turn(self, vectors: np.ndarray) -> np.ndarray:
        x, y = vectors[..., 0], vectors[..., 1] * self.mirror
        return np.stack([x * self.cos - y * self.sin, x * self.sin + y * self.cos, vectors[..., 2]], -1)


@dataclass(frozen=True)
class _Camera:
    """Looks at the floor's origin from a distance, in lengths of the shoe."""

    elevation: float
    distance: float
    zoom: float  # pixels per unit at distance 1
    centre: tuple[float, float]  # pixels; where the origin is seen

    def see(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(..., 2) pixels, right and down, and (...,) distance."""
        sin, cos = math.sin(self.elevation), math.cos(self.elevation)
        away = self.distance + points[..., 1] * cos - points[..., 2] * sin
        up = points[..., 1] * sin + points[..., 2] * cos
        scale = self.zoom / away
        return np.stack([points[..., 0] * scale + self.centre[0], self.centre[1] - up * scale], -1), away

    @property
    def position(self) -> np.ndarray:
        return self.distance * np.array([0, -math.cos(self.elevation), math.sin(self.elevation)])


def _frame(scene: Scene, placement: Placement, points: np.ndarray) -> _Camera:
    """As a photographer would: the shoe fills most of the picture."""
    elevation = scene.elevation + placement.tilt
    seen, _ = _Camera(elevation, scene.distance, 1.0, (0.0, 0.0)).see(points)
    low, high = seen.min(0), seen.max(0)
    size = max(high - low)
    zoom = DRAWN_SIZE_PX * scene.size * placement.scale / size
    centre = DRAWN_SIZE_PX * (np.array([0.5, 0.5]) + placement.shift) - zoom * (low + high) / 2
    return _Camera(elevation, scene.distance, zoom, (float(centre[0]), float(centre[1])))


class _Light:
    """A lamp or window on one side, and the room's light from above."""

    def __init__(self, scene: Scene, placement: Placement) -> None:
        angle, height = scene.light_angle + placement.light_turn, scene.light_height
        self.direction = np.array(
            [math.cos(angle) * math.cos(height), math.sin(angle) * math.cos(height), math.sin(height)]
        )
        self.directed = scene.light
        self.ambient = 1.06 - 0.62 * scene.light

    def shine(self, points: np.ndarray, normals: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) brightness of dull skin, and of the highlight on glossy skin."""
        facing = np.clip(normals @ self.direction, 0, 1)
        diffuse = self.ambient * (0.62 + 0.38 * normals[..., 2]) + self.directed * facing
        to_eye = eye - points
        to_eye /= np.linalg.norm(to_eye, axis=-1, keepdims=True)
        half = to_eye + self.direction
        half /= np.linalg.norm(half, axis=-1, keepdims=True)
        sky = to_eye + [0, 0, 1.0]
        sky /= np.linalg.norm(sky, axis=-1, keepdims=True)
        key = np.clip((normals * half).sum(-1), 0, 1) ** 40
        window = np.clip((normals * sky).sum(-1), 0, 1) ** 14
        return diffuse, key * (0.5 + 0.6 * self.directed) + window * 0.22


@dataclass(frozen=True)
class _Topology:
    """How the points of a shoe's surfaces, one surface after the other, hang together.

    Attributes:
        rows: (num_points,), row in the skins laid under one another.
        triangles: (num_triangles, 3), numbers of points; two in a row are one quadrangle.
        two_sided: (num_triangles,), whether both sides can be seen.
        outlines: (n, 4) quadrangles that are enough for the shadow of the whole.
    """

    rows: np.ndarray
    triangles: np.ndarray
    two_sided: np.ndarray
    outlines: np.ndarray


@lru_cache
def _topology(grids: tuple[tuple[str, bool, int, int], ...]) -> _Topology:
    """Of surfaces with these names, flipped or not, and numbers of rows and columns."""
    skin_rows, triangles, two_sided, outlines = [], [], [], []
    first_point = first_row = 0
    for name, flipped, rows, columns in grids:
        height = skins.HEIGHTS[name]
        skin_rows.append(first_row + skins.MARGIN + np.linspace(0.5, height - 0.5, rows).repeat(columns))
        number = first_point + np.arange(rows * columns).reshape(rows, columns)
        quads = _quads(number)[:, ::-1] if flipped else _quads(number)
        triangles.append(np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]], 1).reshape(-1, 3))
        two_sided.append(np.full(2 * len(quads), name == "tongue"))
        if name != "lining":
            outlines.append(_quads(number[:: max(1, rows // 4), :: max(1, columns // 9)]))
        first_point += number.size
        first_row += height + 2 * skins.MARGIN
    return _Topology(*(np.concatenate(part) for part in (skin_rows, triangles, two_sided, outlines)))


class _Mesh:
    """All surfaces of a left shoe as one list of points and triangles.

    Attributes:
        points, normals: (num_points, 3).
        skin: (num_points, 2), column and row in the skins laid under one another.
        patches: the skins' names, from above.
        topology: how the points hang together.
        footprints: numbers of the points around what stands on the floor.
    """

    def __init__(self, surfaces: tuple[Surface, ...]) -> None:
        self.patches = [surface.name for surface in surfaces]
        self.topology = _topology(tuple((s.name, s.flipped, *s.points.shape[:2]) for s in surfaces))
        self.points = np.concatenate([surface.points.reshape(-1, 3) for surface in surfaces])
        self.normals = np.concatenate([_normals(surface).reshape(-1, 3) for surface in surfaces])
        columns = [np.tile(0.5 + surface.along * (skins.WIDTH - 1), len(surface.points)) for surface in surfaces]
        self.skin = np.stack([np.concatenate(columns), self.topology.rows], -1)
        rings: dict[str, list[np.ndarray]] = {}
        first_point = 0
        for surface in surfaces:
            if surface.name in ("sole", "heel"):
                near = first_point + np.flatnonzero(surface.points[0, :, 2] < 0.1)
                rings.setdefault(surface.name, []).append(near[::-1] if surface.flipped else near)
            first_point += surface.points[..., 0].size
        self.footprints = [np.concatenate(ring) for ring in rings.values()]


def _quads(number: np.ndarray) -> np.ndarray:
    """(n, 4) corners, all the same way round, of a grid of points' numbers."""
    return np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], -1).reshape(-1, 4)


def _normals(surface: Surface) -> np.ndarray:
    along, up = _slope(surface.points, 1), _slope(surface.points, 0)
    if surface.flipped:
        along, up = up, along
    normal = np.empty_like(surface.points)  # np.cross takes five times as long
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        normal[..., i] = up[..., j] * along[..., k] - up[..., k] * along[..., j]
    if surface.name in ("upper", "sole"):
        normal[:, [0, -1], 1] = 0  # where both sides meet, neither has a say
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    return normal


def _slope(grid: np.ndarray, axis: int) -> np.ndarray:
    """The direction in which a surface runs along an axis, of any length."""
    last = grid.shape[axis] - 1
    after, before = np.minimum(np.arange(last + 1) + 1, last), np.maximum(np.arange(last + 1) - 1, 0)
    slope: np.ndarray = grid.take(after, axis) - grid.take(before, axis)
    return slope


def _raster(
    mesh: _Mesh,
    points: np.ndarray,
    normals: np.ndarray,
    painted: dict[str, skins.Skin],
    camera: _Camera,
    light: _Light,
    *,
    mirrored: bool,
) -> Image.Image:
    """The shoe alone: RGBa (multiplied by alpha), OVERSAMPLING times as large as the picture."""
    size = round(DRAWN_SIZE_PX * OVERSAMPLING)
    screen, distance = camera.see(points)
    diffuse, highlight = light.shine(points, normals, camera.position)
    # x, y on the screen; column, row of the skin; light
    vertex = np.concatenate([screen * OVERSAMPLING, mesh.skin, diffuse[:, None], highlight[:, None]], 1).astype(
        np.float32
    )
    corners = vertex[mesh.topology.triangles]
    base = corners[:, 0]
    one, two = corners[:, 1] - base, corners[:, 2] - base
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    shown = np.flatnonzero((area * (-1 if mirrored else 1) > 1e-3) | (mesh.topology.two_sided & (np.abs(area) > 1e-3)))
    depth = distance[mesh.topology.triangles].reshape(-1, 6).mean(1).repeat(2)
    shown = shown[np.argsort(-depth[shown], kind="stable")]
    base, one, two, area = base[shown], one[shown], two[shown], area[shown, None]
    # Skin and light of a triangle as linear functions of the place on the screen.
    by_x = (one[:, 2:] * two[:, 1:2] - two[:, 2:] * one[:, 1:2]) / area
    by_y = (two[:, 2:] * one[:, :1] - one[:, 2:] * two[:, :1]) / area
    start = base[:, 2:] - by_x * base[:, :1] - by_y * base[:, 1:2]
    linear = np.concatenate([by_x, by_y, start], 1).T.copy()  # (12, n)

    numbers = Image.new("I", (size, size), 0)
    fill = ImageDraw.Draw(numbers).polygon
    for number, corner in enumerate(corners[shown, :, :2].reshape(-1, 6).tolist(), 1):
        fill(corner, number)
    covered = np.asarray(numbers).reshape(-1)
    where = np.flatnonzero(covered)
    own = covered.take(where) - 1
    row, column = np.divmod(where.astype(np.int32), size)
    x, y = column.astype(np.float32) + np.float32(0.5), row.astype(np.float32) + np.float32(0.5)
    u, v, bright, shine = (
        linear[i].take(own) * x + linear[4 + i].take(own) * y + linear[8 + i].take(own) for i in range(4)
    )
    sheet = np.concatenate([painted[name].rgbg for name in mesh.patches]).reshape(-1, 4)
    # A pixel's middle may lie a little outside of its triangle, and a sliver's functions are steep: clip.
    texel_row = np.clip(v, 0, len(sheet) // skins.WIDTH - 1).astype(np.int32)
    rgbg = sheet.take(texel_row * skins.WIDTH + np.clip(u, 0, skins.WIDTH - 1).astype(np.int32), 0)
    colour = rgbg[:, :3] * bright[:, None]
    colour += (rgbg[:, 3] * shine)[:, None]
    shown_rgba = np.full((len(where), 4), 255, np.uint8)
    shown_rgba[:, :3] = np.clip(colour, 0, 255, out=colour)
    seen = np.zeros(size * size, np.uint32)
    seen[where] = shown_rgba.view(np.uint32)[:, 0]
    return Image.frombuffer("RGBa", (size, size), seen.tobytes(), "raw", "RGBa", 0, 1).copy()


def _floor_seen(scene: Scene, camera: _Camera) -> Image.Image:
    sin, cos = math.sin(camera.elevation), math.cos(camera.elevation)
    cx, cy = camera.centre
    # A pixel (x, y) shows the floor at X = (x - cx) D sin / w and Y = (cy - y) D / w, with w = zoom sin - (cy - y) cos.
    w = np.array([0.0, cos, camera.zoom * sin - cy * cos])
    floor_x = np.array([1.0, 0.0, -cx]) * camera.distance * sin
    floor_y = np.array([0.0, -1.0, cy]) * camera.distance
    turn, scale, middle = scene.floor_angle, TILE_PX / TILE_LENGTHS, MARGIN_PX + TILE_PX / 2
    u = (floor_x * math.cos(turn) + floor_y * math.sin(turn)) * scale + w * middle
    v = (-floor_x * math.sin(turn) + floor_y * math.cos(turn)) * scale + w * middle
    coefficients = np.concatenate([u, v, w[:2]]) / w[2]
    side = (DRAWN_SIZE_PX, DRAWN_SIZE_PX)
    return _floor_of(scene).transform(side, Image.Transform.PERSPECTIVE, tuple(coefficients), Image.Resampling.BILINEAR)


def _shadow(mesh: _Mesh, points: np.ndarray, camera: _Camera, light: _Light, softness: float) -> np.ndarray:
    """(size, size) float32: what the shoe takes of the floor's light."""
    side = DRAWN_SIZE_PX // SHADOW_SCALE
    taken = np.zeros((DRAWN_SIZE_PX, DRAWN_SIZE_PX), np.float32)
    slant = light.direction[:2] / light.direction[2]
    for shapes, lean, radius, strength in (
        (mesh.topology.outlines, slant, 0.7 + softness, 0.2 + 0.5 * light.directed),
        (mesh.footprints, np.zeros(2), 1.2, 0.45),
    ):
        flat = points.copy()
        flat[:, :2] -= lean * flat[:, 2:]
        flat[:, 2] = 0
        screen = camera.see(flat)[0] / SHADOW_SCALE
        image = Image.new("L", (side, side), 0)
        fill = ImageDraw.Draw(image).polygon
        for corners in shapes:
            fill(screen[corners].ravel().tolist(), 255)
        image = image.filter(ImageFilter.BoxBlur(radius)).filter(ImageFilter.BoxBlur(radius))
        seen = np.asarray(image.resize((DRAWN_SIZE_PX, DRAWN_SIZE_PX), Image.Resampling.BILINEAR))
        taken += seen * np.float32(strength / 255)
    return np.minimum(taken, 0.82)


Line = tuple[np.ndarray, Colour, float]  # points in space (n, 3), colour, thickness in lengths of the shoe


def _laces(design: Design, last: Last, random: np.random.Generator) -> list[Line]:
    """The crossing laces, and a bow that falls differently each time."""
    if not design.num_eyelets:
        return []
    rows = skins.eyelets(design)
    colour, thick = design.palette.laces, 0.021 if design.kind != "oxford" else 0.011
    above = np.concatenate([rows[:1], rows[:-1]]) if design.lacing == "cross" else rows
    steps, up = np.linspace(0, 1, 5), skins.EYELET_HEIGHT
    halfway = rows[:, None] + (above - rows)[:, None] * steps / 2  # (rows, 5), from an eyelet to the middle
    beyond = halfway + (above - rows)[:, None] / 2
    crossings = []
    for side in (1, -1) if design.lacing == "cross" else (1,):
        near = last.on_upper(side, halfway, up + (1 - up) * steps)
        far = last.on_upper(-side, beyond, 1 - (1 - up) * steps)
        paths = np.concatenate([near, far[:, 1:]], 1)  # (rows, 9, 3)
        paths[:, 1:-1, 2] += 0.012
        crossings.append(paths)
    # From the toe up, so that the upper ones lie on the lower ones.
    lines: list[Line] = [(paths[row], colour, thick) for row in range(len(rows) - 1, -1, -1) for paths in crossings]
    knot = last.on_upper(1, rows[0] + 0.01, 1.0) + [0.005, 0, 0.025]
    t = np.linspace(0, 1, 12)[:, None]
    for side in (1, -1):
        reach, ahead = random.uniform(0.1, 0.17), random.uniform(-0.02, 0.12)
        end = np.array([ahead, side * reach, -random.uniform(0.05, 0.12)])
        swing = np.array([random.uniform(0.04, 0.08), 0, random.uniform(0.0, 0.03)])
        loop = (
            end * np.sin(np.pi * t) + swing * np.sin(2 * np.pi * t) + [0, 0, 0.06] * np.sin(np.pi * t) ** 0.5 * (1 - t)
        )
        lines.append((knot + loop, colour, thick * 0.9))
        fall = np.array([random.uniform(0.02, 0.2), side * random.uniform(0.1, 0.24), -random.uniform(0.08, 0.22)])
        bow = np.array([random.uniform(-0.04, 0.08), side * random.uniform(-0.03, 0.05), 0.05]) * np.sin(np.pi * t)
        loose = knot + fall * t + bow
        loose[:, 2] = np.maximum(loose[:, 2], 0.01)
        lines.append((loose, colour, thick * 0.85))
    lines.append((knot + np.array([[-0.012, 0.012, 0.004], [0.012, -0.008, 0.004]]), colour, thick * 1.5))
    return lines


def _trimmings(design: Design, last: Last) -> list[Line]:
    """Bows, bits and straps."""
    throat, palette = design.form.throat, design.palette
    if design.strap == "bow":
        middle = last.on_upper(1, throat + (0.05 if design.kind == "loafer" else 0.12), 1.0) + [0, 0, 0.012]
        t = np.linspace(0, 2 * np.pi, 13)[:, None]
        wings = [
            middle + np.array([0.03, 0, 0.012]) * np.sin(t) + np.array([0, side * 0.038, 0.004]) * (1 - np.cos(t))
            for side in (1, -1)
        ]
        knot = middle + np.array([[-0.012, 0, 0.006], [0.014, 0, 0.006]])
        return [(wing, palette.accent, 0.02) for wing in wings] + [(knot, scaled(palette.accent, 0.85), 0.028)]
    if design.strap == "bit":
        rise = np.linspace(0.72, 1, 5)
        path = np.concatenate([last.on_upper(1, throat + 0.07, rise), last.on_upper(-1, throat + 0.07, rise[::-1])]) + [
            0,
            0,
            0.012,
        ]
        return [(path, (0.82, 0.68, 0.35), 0.016), (path[3:7:3], (0.9, 0.78, 0.45), 0.034)]
    if design.strap == "ankle":
        rise = np.linspace(0, 1, 9)[:, None]
        one, other = last.on_upper(1, throat * 0.42, 1.0), last.on_upper(-1, throat * 0.42, 1.0)
        over = one + (other - one) * rise + np.array([0.02, 0, 0.08]) * np.sin(np.pi * rise)
        return [(over, palette.upper, 0.026), (over[2:4], (0.85, 0.75, 0.5), 0.02)]
    return []


def _draw_lines(
    seen: Image.Image, lines: list[Line], stand: _Stand, camera: _Camera, light: _Light
) -> np.ndarray | None:
    """Draw laces and the like over the shoe.

    Returns:
        (size, size) float32: the light that they leave to what is below them; None if there are no lines.
    """
    if not lines:
        return None
    fill = ImageDraw.Draw(seen).polygon
    mask = Image.new("L", (DRAWN_SIZE_PX, DRAWN_SIZE_PX), 0)
    fill_mask = ImageDraw.Draw(mask).polygon
    bright = min(1.0, light.ambient + 0.55 * light.directed)
    screen, away = camera.see(stand.place(np.concatenate([points for points, _, _ in lines])))
    first = 0
    for points, colour, thickness in lines:
        part = slice(first, first + len(points))
        first += len(points)
        path = screen[part]
        half = max(0.5, 0.5 * thickness * camera.zoom / float(away[part].mean()))  # pixels
        along = np.empty_like(path)
        along[1:-1] = path[2:] - path[:-2]
        along[[0, -1]] = path[[1, -1]] - path[[0, -2]]
        across = along[:, ::-1] * [-half, half] / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-6)
        ribbon = np.concatenate([path - across, (path + across)[::-1]])
        inner = across * 0.66
        lit = np.concatenate([path - inner, (path + inner)[::-1]]) - [0.2 * half, 0.34 * half]
        fill((OVERSAMPLING * ribbon).ravel().tolist(), _ink(colour, 0.55 * bright))
        fill((OVERSAMPLING * lit).ravel().tolist(), _ink(colour, bright))
        fill_mask(ribbon.ravel().tolist(), 255)
    under = np.asarray(mask.filter(ImageFilter.BoxBlur(1.5)), np.float32)
    shade: np.ndarray = 1 - np.roll(under, (2, 1), (0, 1)) * (255 - np.asarray(mask)) * np.float32(0.5 / 255**2)
    return shade


def _develop(picture: np.ndarray, scene: Scene, placement: Placement, random: np.random.Generator) -> np.ndarray:
    """The room's and the camera's part: light from one side, white balance, noise, contrast, blur, compression."""
    factor = np.asarray(scene.tint, np.float32) * np.asarray(placement.tint, np.float32)
    picture *= factor[:, None, None] * np.float32(scene.exposure * placement.exposure)
    across, down = (np.linspace(1 - edge, 1 + edge, DRAWN_SIZE_PX, dtype=np.float32) for edge in placement.falloff)
    picture *= across * down[:, None]
    grain = random.standard_normal((DRAWN_SIZE_PX, DRAWN_SIZE_PX), dtype=np.float32)
    picture += grain * np.float32(scene.noise * 255)
    channels = np.clip(picture, 0, 255, out=picture).astype(np.uint8)
    image = Image.merge("RGB", [Image.fromarray(channel) for channel in channels])
    curve = [round(255 * (value / 255) ** placement.contrast) for value in range(256)]
    image = image.point(curve * 3)
    if scene.blur > 0.15:
        image = image.filter(ImageFilter.BoxBlur(scene.blur))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=scene.quality)
    return np.asarray(Image.open(file))


def _ink(colour: Colour, brightness: float) -> tuple[int, int, int, int]:
    red, green, blue = (int(255 * min(1.0, channel * brightness)) for channel in colour)
    return (red, green, blue, 255)
