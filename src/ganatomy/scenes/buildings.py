"""Churches, chapels and houses, each seen from a corner or, under a dome, from the front."""

from dataclasses import replace

import numpy as np

from ganatomy.scenes.arrays import Indices, Mask, Plane, Value, where
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.openings import draw_openings
from ganatomy.scenes.palette import DOMES, WALLS
from ganatomy.scenes.seeded_random import SeededRandom
from ganatomy.scenes.shapes import box, convex, ellipse, gable
from ganatomy.scenes.site import Site, Wall, paint_door, paint_path, paint_window


def kinds(draws: SeededRandom) -> Indices:
    """The kind of building of each scene: church with a tower, chapel, house, church with a dome."""
    return draws.choice("building", (0.5, 0.1, 0.12, 0.28))


def draw(canvas: Canvas) -> None:
    """Draw each scene's building and the path to its door; scenes of one kind must lie side by side."""
    kind = kinds(canvas.draws)
    for each, painter in enumerate((_towered, _chapel, _house, _domed)):
        rows = np.flatnonzero(kind == each)
        if len(rows):
            site = Site.of(canvas.rows(slice(int(rows[0]), int(rows[-1]) + 1)))
            walls = painter(site)
            if canvas.grammar.free_openings:
                draw_openings(site, walls)


def _towered(site: Site) -> list[Wall]:
    draws, s = site.canvas.draws, site.scale
    adjacent = draws.chance("tower beside", 0.5)
    half = draws.uniform("tower width", 0.078, 0.095) * s
    height, rise = draws.uniform("tower height", 0.38, 0.43) * s, draws.uniform("spire height", 0.15, 0.2) * s
    front = where(adjacent, 0.5 * half, 0) - 0.13 * s
    _path(site, front)
    facade, flank = _nave(site, front, 0.125 * s, 0.2 * s)
    _door(site, front, 0.042 * s, 0.145 * s, present=adjacent)
    shaft = _tower(site, np.where(adjacent, front - 0.11 * s - half, front), half, height, rise)
    _door(site, front, 0.042 * s, 0.145 * s, sill=0.008, present=~adjacent)
    return [replace(facade, present=adjacent), flank, shaft]  # a tower in front hides the facade


def _chapel(site: Site) -> list[Wall]:
    s = site.scale
    _path(site, -0.12 * s)
    walls = _nave(site, -0.12 * s, 0.135 * s, 0.2 * s)
    _door(site, -0.12 * s, 0.045 * s, 0.14 * s)
    _window(site, -0.12 * s, site.base - 0.285 * s, 0.036 * s, 0.072 * s)
    return walls


def _house(site: Site) -> list[Wall]:
    s = site.scale
    _path(site, -0.19 * s)
    walls = _nave(site, -0.14 * s, 0.15 * s, 0.185 * s)
    _chimney(site, 0.05 * s, site.base - 0.36 * s)
    _door(site, -0.19 * s, 0.042 * s, 0.135 * s)
    _window(site, -0.065 * s, site.base - 0.15 * s, 0.034 * s, 0.085 * s)
    _window(site, -0.14 * s, site.base - 0.27 * s, 0.032 * s, 0.065 * s)
    return walls


def _domed(site: Site) -> list[Wall]:
    s, base = site.scale, site.base
    bell = site.canvas.draws.chance("bell tower", 0.4)
    middle = where(bell, 0.05, 0) * s
    _path(site, middle)
    shaft = _tower(site, middle - 0.29 * s, 0.07 * s, 0.4 * s, 0.14 * s, bell)
    eaves = base - 0.2 * s
    view, u, y = site.view(middle - 0.3 * s, base - 0.64 * s, middle + 0.3 * s, base)
    u = u - middle
    view.shade(box(u, y, 0, base - 0.01, 0.27 * s, base + 0.015), 0.2, "grass", "path")
    across = u * site.flip * site.canvas.light.side / s
    wall = site.courses(view) * np.clip(0.95 + 0.9 * across, 0.7, 1.2)[:, None]
    view.paint("building", box(u, y, 0, eaves, 0.23 * s, base), wall, part="facade", material=site.masonry)
    upper, lower = eaves - 0.07 * s, eaves + 0.008
    corners = ((-0.16 * s, upper), (0.16 * s, upper), (0.25 * s, lower), (-0.25 * s, lower))
    view.paint("roof", convex(u, y, *corners), site.rows(view), part="pitch", material=site.tiles["roof"])
    springing = eaves - 0.15 * s
    drum = box(u, y, 0, springing - 0.01, 0.135 * s, eaves - 0.045 * s)
    view.paint("dome", drum, wall * 0.97, part="drum", material=site.masonry)
    _dome(site, view, u, springing)
    _door(site, middle, 0.048 * s, 0.15 * s)
    for side in (-1, 1):
        _window(site, middle + side * 0.145 * s, base - 0.165 * s, 0.036 * s, 0.105 * s)
    return [Wall(middle - 0.23 * s, middle + 0.23 * s, eaves), shaft]


def _dome(site: Site, view: Canvas, u: Plane, springing: Plane) -> None:
    s, y = site.scale, view.y
    rise = site.canvas.draws.uniform("dome height", 0.15, 0.19) * s
    top = springing - rise
    lantern = np.minimum(
        box(u, y, 0, top - 0.035 * s, 0.024 * s, top + 0.02), gable(u, y, 0, top - 0.085 * s, 0.036 * s, top - 0.03 * s)
    )
    copper = site.canvas.light.pick("dome", DOMES)
    view.paint("dome", lantern, copper * 0.85, part="lantern", material="metal")
    shell = np.maximum(ellipse(u, y, 0, springing, 0.155 * s, rise), y - springing - 0.008)
    light = 1 + 2.2 * u * site.flip * site.canvas.light.side / s - 0.5 * (y - springing + 0.5 * rise) / s
    ribs = 0.07 * np.cos(u / s * 75) * min(max(view.size / 64 - 0.5, 0), 1)
    view.paint("dome", shell, copper * (light + ribs + 0.05 * view.fine)[:, None], part="shell", material="metal")


def _nave(site: Site, front: Plane, half: Plane, height: Plane) -> list[Wall]:
    """The body: a gabled front at u = front, and a flank with two windows and the roof to its right; both walls."""
    s, base = site.scale, site.base
    length = site.canvas.draws.uniform("nave length", 0.23, 0.28) * s
    eaves, corner = base - height, front + half
    apex = eaves - site.canvas.draws.uniform("roof height", 0.13, 0.17) * s
    view, u, y = site.view(front - half - 0.03, apex, corner + length + 0.03, base)
    view.shade(box(u, y, 0.03, base - 0.01, 0.25 * s, base + 0.018), 0.25, "grass", "path")
    wall, roof, tiles = site.courses(view), site.rows(view), site.tiles["roof"]
    flank = box(u, y, corner + 0.5 * length, eaves, 0.5 * length, base)
    view.paint("building", flank, wall * site.flank, part="flank", material=site.masonry)
    top, end, lower = apex - 0.012, length + 0.015, eaves + 0.012
    pitch = convex(u, y, (front, top), (front + end, top), (corner + end, lower), (corner, lower))
    view.paint("roof", pitch, roof * site.flank, part="pitch", material=tiles)
    ridge = box(u, y, front + 0.5 * end, top - 0.006, 0.5 * end, top + 0.014)
    view.paint("roof", ridge, roof * 0.8, part="ridge", material=tiles)
    verge = gable(u, y, front, top - 0.012, half + 0.024, eaves + 0.014)
    view.paint("roof", verge, roof * site.front, part="pitch", material=tiles)
    left, right, shoulder = front - half, front + half, eaves + 0.008
    facade = convex(u, y, (front, apex + 0.012), (right, shoulder), (right, base), (left, base), (left, shoulder))
    view.paint("building", facade, wall * site.front, part="facade", material=site.masonry)
    for share in (0.3, 0.74):
        _window(site, corner + share * length, eaves + 0.03 * s, 0.03 * s, 0.11 * s)
    return [Wall(left, right, eaves), Wall(corner, corner + length, eaves)]


def _tower(site: Site, middle: Plane, half: Plane, height: Plane, rise: Plane, present: Mask | bool = True) -> Wall:
    """A shaft with a spire of height `rise`, whose right sides lie in another light than its left ones."""
    s, base = site.scale, site.base
    top = base - height
    view, u, y = site.view(middle - half - 0.03, top - rise, middle + half + 0.03, base + 0.01)
    u = u - middle
    wall = site.courses(view) * np.where((u < 0.45 * half)[:, None], site.front, site.flank) * 1.02
    shaft = box(u, y, 0, top, half, base + 0.008)
    view.paint("tower", shaft, wall, part="shaft", material=site.masonry, present=present)
    roof = site.rows(view) * np.where((u < 0.3 * half)[:, None], site.front, site.flank)
    spire = gable(u, y, 0, top - rise, half + 0.018, top + 0.012)
    view.paint("tower", spire, roof, part="spire", material=site.tiles["tower"], present=present)
    _window(site, middle, top + 0.05 * s, 0.03 * s, 0.095 * s, present)
    return Wall(middle - half, middle + half, top, present)


def _chimney(site: Site, middle: Plane, top: Plane) -> None:
    view, u, y = site.view(middle - 0.045, top - 0.06, middle + 0.045, top + 0.1)
    brick = site.canvas.light.pick("chimney", WALLS["brick"])
    lit = np.where((u < middle + 0.008)[:, None], site.front, site.flank)
    stack, cap = box(u, y, middle, top - 0.05, 0.036, top + 0.1), box(u, y, middle, top - 0.06, 0.045, top - 0.032)
    view.paint("chimney", stack, brick * lit, part="stack", material="brick")
    view.paint("chimney", cap, brick * 0.75, part="cap", material="brick")


def _window(site: Site, middle: Value, top: Value, half: Value, height: Value, present: Mask | bool = True) -> None:
    """A window at its usual place, where openings have one."""
    if not site.canvas.grammar.free_openings:
        paint_window(site, middle, top, half, height, present)


def _door(site: Site, middle: Value, half: Plane, height: Value, sill: float = 0, present: Mask | bool = True) -> None:
    """A door at its usual place, where openings have one."""
    if not site.canvas.grammar.free_openings:
        paint_door(site, middle, half, height, sill, present)


def _path(site: Site, middle: Plane) -> None:
    """The path to the door's usual place, where it has one."""
    if not site.canvas.grammar.free_openings:
        paint_path(site, middle)
