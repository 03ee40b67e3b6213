"""A door and windows that stand anywhere on the walls of a building (grammars with `free_openings`)."""

from collections.abc import Sequence

import numpy as np

from ganatomy.scenes.arrays import Mask, Plane
from ganatomy.scenes.site import Site, Wall, paint_door, paint_path, paint_window

GAP, EDGE = 0.05, 0.034
"""Least distances between two openings, and from a window to the edges of its wall, in units of the image's side."""
TRIES = 4
"""Windows that are tried on each wall."""
Box = tuple[Plane, Plane, Plane, Plane, Mask]
"""left, right in u, top, bottom, and which scenes have it: each [n, 1, 1]."""


def draw_openings(site: Site, walls: Sequence[Wall]) -> None:
    """Draw a path, a door and windows in the scenes that have them; no opening overlaps another.

    The door's place is uniform over what the walls of a scene leave free for it. Each wall gets up to `TRIES` windows
    at uniform places; one that would overlap an earlier opening is left out. All of it is decided in exact
    coordinates, so a scene is the same at any size.
    """
    draws, s = site.canvas.draws, site.scale
    half, height = draws.uniform("door width", 0.041, 0.048) * s, draws.uniform("door height", 0.135, 0.15) * s
    middle, fits = _uniform_place(draws.uniform("door place"), walls, half + 0.02 * s)
    present = draws.chance("door", 0.7) & fits
    paint_path(site, middle, draws.chance("path", 0.75))
    paint_door(site, middle, half, height, present=present)
    taken: list[Box] = [(middle - half, middle + half, site.base - height, site.base, present)]
    any_windows = draws.chance("windows", 0.8)
    for i, wall in enumerate(walls):
        for j in range(TRIES):
            _try_window(site, wall, f"window {i} {j}", any_windows, taken)


def _try_window(site: Site, wall: Wall, name: str, target: Mask, taken: list[Box]) -> None:
    draws, s = site.canvas.draws, site.scale
    half = draws.uniform(name + " width", 0.027, 0.034) * s
    height = draws.uniform(name + " height", 0.075, 0.105) * s
    room = wall.right - wall.left - 2 * (half + EDGE)
    middle = wall.left + half + EDGE + room * draws.uniform(name + " place")
    highest, lowest = wall.top + EDGE, site.base - EDGE - height
    top = highest + (lowest - highest) * draws.uniform(name + " top")
    box = (middle - half, middle + half, top, top + height)
    present = target & wall.present & (room > 0) & (lowest > highest) & draws.chance(name, 0.6)
    for other in taken:
        present = present & ~_overlap(box, other)
    paint_window(site, middle, top, half, height, present)
    taken.append((*box, present))


def _overlap(box: tuple[Plane, Plane, Plane, Plane], other: Box) -> Mask:
    left, right, top, bottom = box
    across = (left < other[1] + GAP) & (right > other[0] - GAP)
    down = (top < other[3] + GAP) & (bottom > other[2] - GAP)
    return across & down & other[4]


def _uniform_place(share: Plane, walls: Sequence[Wall], margin: Plane) -> tuple[Plane, Mask]:
    """A place in u [n, 1, 1], uniform over all walls of a scene less a margin at their ends; whether there is one."""
    rooms = [np.maximum(wall.right - wall.left - 2 * margin, 0) * wall.present for wall in walls]
    ends = np.cumsum(rooms, 0)
    target = share * ends[-1]
    place = np.zeros_like(target)
    for wall, room, end in zip(walls, rooms, ends, strict=True):
        within = (target >= end - room) & (target < end)
        place = np.where(within, wall.left + margin + target - (end - room), place)
    return place.astype(np.float32), ends[-1] > 0
