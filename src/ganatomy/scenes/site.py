"""Where a building stands and what it is made of; its windows, its doors, and the path to it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ganatomy.scenes.arrays import Bytes, Mask, Plane, Value, select, where
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.palette import DAY, DOORS, ROOFS, SNOW, WALLS, WINTER, mix, tone
from ganatomy.scenes.shapes import arch


@dataclass(frozen=True)
class Site:
    """One building a scene; u runs across from its middle, mirrored in half of the scenes."""

    canvas: Canvas
    x: Plane
    flip: Plane
    base: Plane
    scale: Plane
    wall: Plane
    roof: Plane
    masonry: Bytes
    tiles: Mapping[str, Bytes]

    @classmethod
    def of(cls, canvas: Canvas) -> "Site":
        """Draw the place, the size and the materials of each scene's building."""
        draws = canvas.draws
        made, covered = draws.choice("wall", (0.4, 0.35, 0.25)), draws.choice("cover", (0.6, 0.4))
        snowy = (canvas.light.season == WINTER) & draws.chance("snow on roofs", 0.7)
        roof = select(covered, [canvas.light.pick("roof colour", colours) for colours in ROOFS.values()])
        slated = canvas.made_of("roof", "tile", "slate", covered[:, None, None] == 1)
        return cls(
            canvas=canvas,
            x=draws.uniform("building x", 0.44, 0.56),
            flip=where(draws.chance("mirrored", 0.5), 1, -1),
            base=draws.uniform("building base", 0.78, 0.85),
            scale=draws.uniform("building size", 1.06, 1.24),
            wall=select(made, [canvas.light.pick("wall colour", colours) for colours in WALLS.values()]),
            roof=mix(roof, canvas.light.lit(SNOW), where(snowy, 0.85, 0)[:, None]),
            masonry=np.array([canvas.made_of("building", m) for m in WALLS], np.uint8)[made][:, None, None],
            tiles={name: np.where(snowy, canvas.made_of(name, "snow"), slated) for name in ("roof", "tower")},
        )

    def view(self, left: Value, top: Value, right: Value, bottom: Value) -> tuple[Canvas, Plane, Plane]:
        """The canvas around a box given in u and y, with its u and y coordinates."""
        a, b = self.x + self.flip * left, self.x + self.flip * right
        view = self.canvas.window(np.minimum(a, b) - 0.02, top - 0.02, np.maximum(a, b) + 0.02, bottom + 0.02)
        return view, (view.x - self.x) * self.flip, view.y

    @property
    def front(self) -> Plane:
        """How bright a wall is that faces the viewer, [n, 1, 1, 1]."""
        return where(self._flank_is_lit, 0.9, 1.04)[:, None]

    @property
    def flank(self) -> Plane:
        """How bright a wall is that faces to the right in u, [n, 1, 1, 1]."""
        return where(self._flank_is_lit, 1.05, 0.76)[:, None]

    @property
    def _flank_is_lit(self) -> Mask:
        lit: Mask = self.flip * self.canvas.light.side > 0
        return lit

    def courses(self, view: Canvas) -> Plane:
        """The wall's colour with its courses of stones or bricks, as fine as the pixels can show."""
        period = where(self.masonry == self.canvas.made_of("building", "brick"), 0.036, 0.052)
        rough = where(self.masonry == self.canvas.made_of("building", "plaster"), 0, 1)
        seen = np.clip(period * view.size / 2 - 1, 0, 1) * rough
        row = view.y / period
        joints = np.cos(2 * np.pi * (view.x / (2 * period) + 0.5 * (np.floor(row) % 2)))
        blocks = 0.05 * np.cos(2 * np.pi * row) + 0.03 * joints
        stones = 1 - seen * blocks + (0.025 + 0.035 * rough) * view.fine
        colour: Plane = self.wall * stones[:, None]
        return colour

    def rows(self, view: Canvas) -> Plane:
        """The roof's colour with its rows of tiles."""
        tiles = 1 + 0.06 * np.cos(2 * np.pi * view.y / 0.045) + 0.05 * view.fine
        colour: Plane = self.roof * tiles[:, None]
        return colour

    def trim(self, share: float) -> Plane:
        """The colour of the stone around windows and doors."""
        return mix(self.wall, self.canvas.light.tint, share)


@dataclass(frozen=True)
class Wall:
    """An upright rectangle of a building in u and y, from `top` to the building's base, which openings may stand in."""

    left: Plane
    right: Plane
    top: Plane
    present: Mask | bool = True


def paint_window(
    site: Site, middle: Value, top: Value, half: Value, height: Value, present: Mask | bool = True
) -> None:
    """An arched window, lit from within in most evenings."""
    bottom = top + height
    view, u, y = site.view(middle - half, top, middle + half, bottom)
    outer, pane = arch(u, y, middle, top - 0.01, half + 0.01, bottom + 0.01), arch(u, y, middle, top, half, bottom)
    trim = site.trim(0.45)
    view.paint("window", outer, trim, part="frame", material="stone", present=present)
    lamps = (site.canvas.light.time != DAY) & site.canvas.draws.chance("lamps", 0.8)
    glass = np.where(lamps[:, None], tone("ffcf66"), site.canvas.light.lit("35506e"))
    shine = 1 + where(lamps, 0.12, 0.5) * ((bottom - y) / height - 0.5)
    view.paint("window", pane, glass * shine[:, None], part="pane", material="glass", present=present)
    bar = np.maximum(np.abs(u - middle) - 0.004, pane)
    view.paint("window", bar, trim * 0.9, part="frame", material="stone", present=present)


def paint_door(
    site: Site, middle: Value, half: Plane, height: Value, sill: Value = 0, present: Mask | bool = True
) -> None:
    """An arched door; its foot lies `sill` before the building's."""
    base = site.base + sill
    view, u, y = site.view(middle - half, base - height, middle + half, base)
    outer, panel = (arch(u, y, middle, base - height - rim, half + rim, base) for rim in (0.013, 0))
    view.paint("door", outer, site.trim(0.4), part="frame", material="stone", present=present)
    colour = site.canvas.light.pick("door", DOORS) * (1 + 0.12 * np.cos((u - middle) * 160))[:, None]
    view.paint("door", panel, colour, part="panel", material="wood", present=present)


def paint_path(site: Site, middle: Plane, present: Mask | bool = True) -> None:
    """From a door to the lower edge of the image, wider as it comes nearer."""
    draws = site.canvas.draws
    view = site.canvas.window(0, site.base - 0.02, 1, 1)
    along = np.clip((view.y - site.base) / (1 - site.base), 0, 1)
    start = site.x + site.flip * middle
    centre = start + (draws.uniform("path end", 0.25, 0.75) - start) * along**1.4
    half = 0.045 + 0.1 * along
    distance = np.maximum(np.abs(view.x - centre) - half + 0.012 * view.rough, site.base - 0.01 - view.y)
    earth = site.canvas.light.pick("path", ("d0b184", "c4a27a", "bfb3a2"))
    colour = earth * (1 + 0.09 * view.fine - 0.03 * along)[:, None]
    view.paint("path", distance, colour, material="earth", present=present)
