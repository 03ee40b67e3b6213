"""Signed distances to simple shapes, batched: negative inside, in units of the image's side.

Every function takes pixel coordinates x [1, 1, w] and y [1, h, 1] and parameters [n, 1, 1], and returns [n, h, w]
(or what broadcasts to it). Distances are exact near straight edges and good enough near curved ones for anti-aliasing.
"""

import itertools

import numpy as np

from ganatomy.scenes.arrays import Plane, Value


def box(x: Plane, y: Plane, cx: Value, top: Value, half: Value, bottom: Value) -> Plane:
    """An upright rectangle, `half` its half width."""
    distance: Plane = np.maximum(np.abs(x - cx) - half, np.abs(y - (top + bottom) * 0.5) - (bottom - top) * 0.5)
    return distance


def ellipse(x: Plane, y: Plane, cx: Value, cy: Value, rx: Value, ry: Value) -> Plane:
    """An upright ellipse."""
    distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
    np.sqrt(distance, out=distance)
    distance -= 1
    distance *= np.minimum(rx, ry)
    return distance


def arch(x: Plane, y: Plane, cx: Value, top: Value, half: Value, bottom: Value) -> Plane:
    """A rectangle whose upper end is a half circle: a church window or door."""
    spring = top + half
    across = x - cx
    above = np.minimum(y - spring, 0)
    distance: Plane = np.maximum(np.sqrt(across * across + above * above) - half, y - bottom)
    return distance


def edge(x: Plane, y: Plane, ax: Value, ay: Value, bx: Value, by: Value) -> Plane:
    """The half plane to the right of the arrow from a to b as one sees it (y points down)."""
    dx, dy = bx - ax, by - ay
    scale = 1 / np.sqrt(dx * dx + dy * dy)
    return (x - ax) * (dy * scale) - (y - ay) * (dx * scale)


def convex(x: Plane, y: Plane, *corners: tuple[Value, Value]) -> Plane:
    """A convex polygon, corners clockwise as one sees it."""
    distance = edge(x, y, *corners[-1], *corners[0])
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        distance = np.maximum(distance, edge(x, y, ax, ay, bx, by))
    return distance


def gable(x: Plane, y: Plane, cx: Value, apex: Value, half: Value, base: Value) -> Plane:
    """An upright triangle: a gable, a spire, a fir tree."""
    height = base - apex
    scale = 1 / np.sqrt(height * height + half * half)
    slope = np.abs(x - cx) * (height * scale) - (y - apex) * (half * scale)
    distance: Plane = np.maximum(slope, y - base)
    return distance


def rounded(x: Plane, y: Plane, cx: Value, top: Value, half: Value, bottom: Value, radius: float) -> Plane:
    """An upright rectangle with round corners."""
    across = np.maximum(np.abs(x - cx) - half + radius, 0)
    down = np.maximum(np.abs(y - (top + bottom) * 0.5) - (bottom - top) * 0.5 + radius, 0)
    distance: Plane = np.sqrt(across * across + down * down) - radius
    return distance


def tilted(x: Plane, y: Plane, cx: Value, cy: Value, angle: Plane) -> tuple[Plane, Plane]:
    """Coordinates about (cx, cy), turned by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin


def lens(x: Plane, y: Plane, half: Value, length: Plane) -> Plane:
    """A leaf that points up from the origin: what two circles share."""
    reach = 0.5 * length
    radius = (reach * reach + half * half) / (2 * half)
    across = np.abs(x) + radius - half
    distance: Plane = np.sqrt(across * across + (y + reach) ** 2) - radius
    return distance
