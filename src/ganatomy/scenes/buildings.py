"""Churches, chapels and houses, each seen from a corner or, under a dome, from the front."""

from dataclasses import dataclass

import numpy as np

from ganatomy.scenes.canvas import Bytes, Canvas
from ganatomy.scenes.draws import Draws, Plane
from ganatomy.scenes.palette import DAY, DOMES, DOORS, ROOFS, SNOW, WALLS, WINTER, Mood, mix, pick, rgb
from ganatomy.scenes.shapes import arch, box, convex, ellipse, gable

TOWERED, CHAPEL, HOUSE, DOMED = range(4)
_SHARES = (0.5, 0.1, 0.12, 0.28)
_MATERIALS = ("stone", "plaster", "brick")
_COVERS = ("tile", "slate")
Value = Plane | float


def kinds(draws: Draws) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The kind of building of each scene."""
    return draws.choice("building", _SHARES)


def draw(canvas: Canvas) -> None:
    """Draw each scene's building and the path to its door; scenes of one kind must lie side by side."""
    kind = kinds(canvas.draws)
    for each, painter in enumerate((_towered, _chapel, _house, _domed)):
        rows = np.flatnonzero(kind == each)
        if len(rows):
            painter(_Site.of(canvas.rows(slice(int(rows[0]), int(rows[-1]) + 1))))


@dataclass(frozen=True)
class _Site:
    """Where a building stands, how large it is, and what it is made of; u runs across from its middle, maybe mirrored."""

    canvas: Canvas
    mood: Mood
    x: Plane
    flip: Plane
    base: Plane
    scale: Plane
    wall: Plane
    roof: Plane
    stone: Bytes
    cover: dict[str, Bytes]

    @classmethod
    def of(cls, canvas: Canvas) -> "_Site":
        draws, mood = canvas.draws, Mood.of(canvas.draws)
        made, covered = draws.choice("wall", (0.4, 0.35, 0.25)), draws.choice("cover", (0.6, 0.4))
        wall = np.stack([mood.pick("wall colour", WALLS[m]) for m in _MATERIALS])[made, np.arange(len(made))]
        roof = np.stack([mood.pick("roof colour", ROOFS[m]) for m in _COVERS])[covered, np.arange(len(covered))]
        snowy = (mood.season == WINTER) & draws.chance("snow on roofs", 0.7)
        roof = mix(roof, rgb(SNOW)[:, :, None, None] * mood.light, 0.85 * snowy[:, None])
        cover = {
            name: np.where(snowy, canvas.made_of(name, "snow"), canvas.made_of(name, "tile", "slate", covered[:, None, None] == 1))
            for name in ("roof", "tower")
        }
        stone = np.array([canvas.made_of("building", m) for m in _MATERIALS], np.uint8)[made][:, None, None]
        return cls(
            canvas, mood, draws.uniform("building x", 0.44, 0.56), np.where(draws.chance("mirrored", 0.5), 1, -1).astype(np.float32),
            draws.uniform("building base", 0.78, 0.85), draws.uniform("building size", 1.06, 1.24), wall, roof, stone, cover,
        )

    def view(self, left: Value, top: Value, right: Value, bottom: Value) -> tuple[Canvas, Plane, Plane]:
        """The canvas around a box given in u and y, with its u and y coordinates."""
        a, b = self.x + self.flip * left, self.x + self.flip * right
        view = self.canvas.window(np.minimum(a, b) - 0.02, top - 0.02, np.maximum(a, b) + 0.02, bottom + 0.02)
        return view, (view.x - self.x) * self.flip, view.y

    def lit(self, flank: bool) -> Plane:
        """How bright the front or the flank is, [n, 1, 1, 1]."""
        towards = self.flip * self.mood.side > 0
        return np.where(towards, 1.05 if flank else 0.9, 0.76 if flank else 1.04).astype(np.float32)[:, None]

    def masonry(self, view: Canvas) -> Plane:
        """Courses of stones or bricks, as fine as the pixels can show."""
        period = np.where(self.stone == self.canvas.made_of("building", "brick"), 0.036, 0.052).astype(np.float32)
        rough = (self.stone != self.canvas.made_of("building", "plaster")) * np.float32(1)
        seen = np.clip(period * view.size / 2 - 1, 0, 1) * rough
        row = view.y / period
        joints = np.cos(2 * np.pi * (view.x / (2 * period) + 0.5 * (np.floor(row) % 2)))
        blocks = 0.05 * np.cos(2 * np.pi * row) + 0.03 * joints
        return (1 - seen * blocks + (0.025 + 0.035 * rough) * view.fine)[:, None]

    def tiling(self, view: Canvas) -> Plane:
        """Rows of tiles."""
        return (1 + 0.06 * np.cos(2 * np.pi * view.y / 0.045) + 0.05 * view.fine)[:, None]


def _towered(site: _Site) -> None:
    s = site.scale
    draws = site.canvas.draws
    beside = draws.chance("tower beside", 0.5)
    half = draws.uniform("tower width", 0.078, 0.095) * s
    shift = np.where(beside, 0.5 * half, 0).astype(np.float32)
    front = -0.13 * s + shift
    _path(site, front)
    _nave(site, front, 0.125 * s, 0.2 * s)
    tower = np.where(beside, front - 0.11 * s - half, front)
    _door(site, front, np.where(beside, 0.042, 0).astype(np.float32) * s, 0.145 * s, "building")
    _tower(site, tower, half, draws.uniform("tower height", 0.38, 0.43) * s, draws.uniform("spire height", 0.15, 0.2) * s)
    _door(site, front, np.where(beside, 0, 0.042).astype(np.float32) * s, 0.145 * s, "tower")


def _chapel(site: _Site) -> None:
    s = site.scale
    _path(site, -0.12 * s)
    _nave(site, -0.12 * s, 0.135 * s, 0.2 * s)
    _door(site, -0.12 * s, 0.045 * s, 0.14 * s, "building")
    _window(site, -0.12 * s, site.base - 0.285 * s, 0.036 * s, 0.072 * s, "building")


def _house(site: _Site) -> None:
    s = site.scale
    side = 0.5 * site.canvas.draws.uniform("house door", 0, 0.001)
    _path(site, -0.19 * s + side)
    _nave(site, -0.14 * s, 0.15 * s, 0.185 * s)
    _chimney(site, 0.05 * s, site.base - 0.36 * s)
    _door(site, -0.19 * s, 0.042 * s, 0.135 * s, "building")
    _window(site, -0.065 * s, site.base - 0.15 * s, 0.034 * s, 0.085 * s, "building")
    _window(site, -0.14 * s, site.base - 0.27 * s, 0.032 * s, 0.065 * s, "building")


def _domed(site: _Site) -> None:
    s, base = site.scale, site.base
    eaves = base - 0.2 * s
    bell = site.canvas.draws.chance("bell tower", 0.4)
    shift = np.where(bell, 0.05, 0).astype(np.float32) * s
    _path(site, shift)
    _tower(site, shift - 0.29 * s, 0.07 * s, 0.4 * s, 0.14 * s, bell)
    view, u, y = site.view(shift - 0.3 * s, base - 0.64 * s, shift + 0.3 * s, base)
    u = u - shift
    rounding = np.clip(1 + 0.9 * u * site.flip * site.mood.side / s - 0.05, 0.7, 1.2)[:, None]
    view.shade(box(u, y, 0, base - 0.01, 0.27 * s, base + 0.015), 0.2, "grass", "path")
    wall = site.wall * site.masonry(view)
    view.paint("building", box(u, y, 0, eaves, 0.23 * s, base), wall * rounding, part="facade", material=site.stone)
    tiles = site.roof * site.tiling(view)
    slope = convex(u, y, (-0.16 * s, eaves - 0.07 * s), (0.16 * s, eaves - 0.07 * s), (0.25 * s, eaves + 0.008), (-0.25 * s, eaves + 0.008))
    view.paint("roof", slope, tiles, part="pitch", material=site.cover["roof"])
    springing = eaves - 0.15 * s
    drum = box(u, y, 0, springing - 0.01, 0.135 * s, eaves - 0.045 * s)
    view.paint("dome", drum, wall * rounding * 0.97, part="drum", material=site.stone)
    copper = site.mood.pick("dome", DOMES)
    rise = site.canvas.draws.uniform("dome height", 0.15, 0.19) * s
    shell = np.maximum(ellipse(u, y, 0, springing, 0.155 * s, rise), y - springing - 0.008)
    light = 1 + 2.2 * u * site.flip * site.mood.side / s - 0.5 * (y - springing + 0.5 * rise) / s
    ribs = 0.07 * np.cos(u / s * 75) * np.clip(view.size / 64 - 0.5, 0, 1)
    lantern = np.minimum(
        box(u, y, 0, springing - rise - 0.035 * s, 0.024 * s, springing - rise + 0.02),
        gable(u, y, 0, springing - rise - 0.085 * s, 0.036 * s, springing - rise - 0.03 * s),
    )
    view.paint("dome", lantern, copper * 0.85, part="lantern", material="metal")
    view.paint("dome", shell, copper * (light + ribs + 0.05 * view.fine)[:, None], part="shell", material="metal")
    _door(site, shift, 0.048 * s, 0.15 * s, "building")
    for side in (-1, 1):
        _window(site, shift + side * 0.145 * s, base - 0.165 * s, 0.036 * s, 0.105 * s, "building")


def _nave(site: _Site, front: Plane, half: Plane, height: Plane) -> None:
    """The body: a gabled front at u = front, and a flank with two windows and the roof to its right."""
    s, base = site.scale, site.base
    length = site.canvas.draws.uniform("nave length", 0.23, 0.28) * s
    eaves, corner = base - height, front + half
    apex = eaves - site.canvas.draws.uniform("roof height", 0.13, 0.17) * s
    view, u, y = site.view(front - half - 0.03, apex, corner + length + 0.03, base)
    view.shade(box(u, y, 0.03, base - 0.01, 0.25 * s, base + 0.018), 0.25, "grass", "path")
    wall = site.wall * site.masonry(view)
    view.paint("building", box(u, y, corner + 0.5 * length, eaves, 0.5 * length, base), wall * site.lit(True),
               part="flank", material=site.stone)
    tiles = site.roof * site.tiling(view)
    top, end = apex - 0.012, length + 0.015
    slope = convex(u, y, (front, top), (front + end, top), (corner + end, eaves + 0.012), (corner, eaves + 0.012))
    view.paint("roof", slope, tiles * site.lit(True), part="pitch", material=site.cover["roof"])
    ridge = box(u, y, front + 0.5 * end, top - 0.006, 0.5 * end, top + 0.014)
    view.paint("roof", ridge, tiles * 0.8, part="ridge", material=site.cover["roof"])
    verge = gable(u, y, front, top - 0.012, half + 0.024, eaves + 0.014)
    view.paint("roof", verge, tiles * site.lit(False), part="pitch", material=site.cover["roof"])
    facade = convex(u, y, (front, apex + 0.012), (front + half, eaves + 0.008), (front + half, base), (front - half, base),
                    (front - half, eaves + 0.008))
    view.paint("building", facade, wall * site.lit(False), part="facade", material=site.stone)
    for share in (0.3, 0.74):
        _window(site, corner + share * length, eaves + 0.03 * s, 0.03 * s, 0.11 * s, "building")


def _tower(site: _Site, middle: Plane, half: Plane, height: Plane, rise: Plane, present: Plane | bool = True) -> None:
    s, base = site.scale, site.base
    top = base - height
    view, u, y = site.view(middle - half - 0.03, top - rise, middle + half + 0.03, base + 0.01)
    u = u - middle
    front = np.where(u < 0.45 * half, site.lit(False)[:, 0], site.lit(True)[:, 0])[:, None]
    wall = site.wall * site.masonry(view)
    here = np.asarray(present)
    view.paint("tower", box(u, y, 0, top, half, base + 0.008), wall * front * 1.02, part="shaft", material=site.stone, present=here)
    tiles = site.roof * site.tiling(view)
    facet = np.where(u < 0.3 * half, site.lit(False)[:, 0], site.lit(True)[:, 0])[:, None]
    spire = gable(u, y, 0, top - rise, half + 0.018, top + 0.012)
    view.paint("tower", spire, tiles * facet, part="spire", material=site.cover["tower"], present=here)
    _window(site, middle - 0.0 * half, top + 0.05 * s, 0.03 * s, 0.095 * s, "tower", here)


def _window(site: _Site, middle: Value, top: Value, half: Value, height: Value, host: str, present: Plane | bool = True) -> None:
    bottom = top + height
    view, u, y = site.view(middle - half, top, middle + half, bottom)
    here = view.is_labelled(host) & np.asarray(present)
    trim = mix(site.wall, np.float32(1) * site.mood.light, 0.45)
    view.paint("window", arch(u, y, middle, top - 0.01, half + 0.01, bottom + 0.01), trim, part="frame", material="stone", present=here)
    lamps = (site.mood.time != DAY) & site.canvas.draws.chance("lamps", 0.8)
    glass = np.where(lamps[:, None], rgb("ffcf66")[:, :, None, None], rgb("35506e")[:, :, None, None] * site.mood.light)
    shine = 1 + np.where(lamps, 0.12, 0.5).astype(np.float32) * ((bottom - y) / height - 0.5)
    pane = arch(u, y, middle, top, half, bottom)
    view.paint("window", pane, glass * shine[:, None], part="pane", material="glass", present=here)
    bar = np.maximum(np.abs(u - middle) - 0.004, pane)
    view.paint("window", bar, trim * 0.9, part="frame", material="stone", present=here)


def _door(site: _Site, middle: Value, half: Plane, height: Value, host: str) -> None:
    view, u, y = site.view(middle - half, site.base - height, middle + half, site.base)
    here = half > 0
    trim = mix(site.wall, np.float32(1) * site.mood.light, 0.4)
    base = site.base + (0.008 if host == "tower" else 0)
    view.paint("door", arch(u, y, middle, base - height - 0.013, half + 0.013, base), trim, part="frame", material="stone", present=here)
    colour = site.mood.pick("door", DOORS) * (1 + 0.12 * np.cos((u - middle) * 160))[:, None]
    view.paint("door", arch(u, y, middle, base - height, half, base), colour, part="panel", material="wood", present=here)


def _chimney(site: _Site, middle: Plane, top: Plane) -> None:
    view, u, y = site.view(middle - 0.04, top - 0.06, middle + 0.04, top + 0.1)
    brick = pick(site.canvas.draws, "chimney", WALLS["brick"]) * site.mood.light
    side = np.where(u < middle + 0.008, site.lit(False)[:, 0], site.lit(True)[:, 0])[:, None]
    view.paint("chimney", box(u, y, middle, top - 0.05, 0.036, top + 0.1), brick * side, part="stack", material="brick")
    view.paint("chimney", box(u, y, middle, top - 0.06, 0.045, top - 0.032), brick * 0.75, part="cap", material="brick")


def _path(site: _Site, door: Plane) -> None:
    """From the door to the lower edge of the picture, wider as it comes nearer."""
    draws = site.canvas.draws
    view = site.canvas.window(0, site.base - 0.02, 1, 1)
    along = np.clip((view.y - site.base) / (1 - site.base), 0, 1)
    start = site.x + site.flip * door
    middle = start + (draws.uniform("path end", 0.25, 0.75) - start) * along**1.4
    half = 0.045 + 0.1 * along
    distance = np.maximum(np.abs(view.x - middle) - half + 0.012 * view.rough, site.base - 0.01 - view.y)
    colour = site.mood.pick("path", ("d0b184", "c4a27a", "bfb3a2"))
    view.paint("path", distance, colour * (1 + 0.09 * view.fine - 0.03 * along)[:, None], material="earth")
