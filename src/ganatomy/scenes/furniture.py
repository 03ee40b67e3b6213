"""What stands on a living room's floor."""

import numpy as np

from ganatomy.scenes.arrays import Mask, Plane, where
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.interior import Room
from ganatomy.scenes.palette import DAY, mix, tone
from ganatomy.scenes.shapes import box, convex, ellipse, lens, rounded, tilted


def draw(room: Room) -> None:
    """Draw the furniture, back to front."""
    draws = room.canvas.draws
    base = draws.uniform("sofa base", 0.79, 0.83)
    lamp_right = draws.chance("lamp right", 0.5)
    left, right = draws.uniform("left place", 0.1, 0.14), draws.uniform("right place", 0.88, 0.91)
    rug(room)
    _sofa(room, base)
    _plant(room, where(lamp_right, left, right), base + draws.uniform("plant depth", 0, 0.04))
    _lamp(room, where(lamp_right, right, left), base - 0.01)
    _coffee_table(room)


def _shadow(view: Canvas, u: Plane, y: Plane, half: Plane, depth: float, strength: Plane) -> None:
    """A soft shadow on the floor about u = 0, which ends where the ellipse ends."""
    inside = np.clip(1 - (u / half) ** 2 - ((view.y - y) / depth) ** 2, 0, 1) * view.seen("floor", "rug")
    view.image[:] *= (1 - strength * np.sqrt(inside))[:, None]


def rug(room: Room) -> None:
    """Draw the rug of the rooms that have one."""
    draws = room.canvas.draws
    middle, centre = draws.uniform("rug x", 0.46, 0.56), draws.uniform("rug y", 0.86, 0.88)
    rx, ry = draws.uniform("rug width", 0.34, 0.42), draws.uniform("rug depth", 0.075, 0.095)
    top, bottom = centre - ry, centre + ry
    view, u, y = room.view(0, top, 1, bottom)
    corners = ((middle - 0.85 * rx, top), (middle + 0.85 * rx, top), (middle + rx, bottom), (middle - rx, bottom))
    oval = draws.chance("oval rug", 0.5)
    shape = np.where(oval, ellipse(u, y, middle, centre, rx, ry), convex(u, y, *corners))
    border = (shape > -0.022) & (shape < -0.008)
    stripes = draws.chance("striped rug", 0.4) & (np.cos((u - middle) * 55) > 0.55)
    colour = mix(room.rug, room.accent, (0.75 * (border | stripes))[:, None]) * (1 + 0.07 * view.fine)[:, None]
    view.paint("rug", shape, colour, material="carpet", present=draws.chance("rug", 0.75))


def _sofa(room: Room, base: Plane) -> None:
    draws = room.canvas.draws
    present = draws.chance("sofa", 0.97)
    middle, half = draws.uniform("sofa x", 0.47, 0.53), draws.uniform("sofa width", 0.26, 0.31)
    top = base - draws.uniform("sofa height", 0.24, 0.29)
    view, u, y = room.view(middle - half - 0.06, top, middle + half + 0.06, base + 0.05)
    u = u - middle
    _shadow(view, u, base + 0.03, half + 0.05, 0.03, 0.3 * present)
    for side in (-1, 1):
        leg = box(u, y, side * (half - 0.03), base - 0.02, 0.014, base + 0.035)
        view.paint("sofa", leg, room.wood * 0.8, part="leg", material="wood", present=present)
    cover = room.sofa * (1 + 0.03 * view.fine + 0.03 * view.rough)[:, None]
    split = 1 - 0.22 * np.exp(-((u / 0.007) ** 2))
    back = rounded(u, y, 0, top, half - 0.02, base, 0.04)
    colour = cover * (split * (0.9 - 0.53 * (y - top)))[:, None]
    view.paint("sofa", back, colour, part="back", material="fabric", present=present)
    seat = rounded(u, y, 0, base - 0.125, half - 0.05, base, 0.02)
    colour = cover * (split * (1.12 - 1.6 * np.abs(y - base + 0.11)))[:, None]
    view.paint("sofa", seat, colour, part="seat", material="fabric", present=present)
    for i, place in enumerate((-0.62 * half, 0.62 * half)):
        _cushion(room, i, middle + place, base - 0.1)
    for side in (-1, 1):
        arm = rounded(u, y, side * (half - 0.025), base - 0.17, 0.042, base + 0.008, 0.035)
        colour = cover * (1.08 - 0.7 * (y - base + 0.15) - 0.1 * side * room.flip * room.canvas.light.side)[:, None]
        view.paint("sofa", arm, colour, part="arm", material="fabric", present=present)


def _cushion(room: Room, i: int, middle: Plane, foot: Plane) -> None:
    draws = room.canvas.draws
    size = draws.uniform(f"cushion size {i}", 0.055, 0.068)
    view, u, y = room.view(middle - 1.4 * size, foot - 2.4 * size, middle + 1.4 * size, foot + 0.4 * size)
    a, b = tilted(u, y, middle, foot - size, draws.uniform(f"cushion turn {i}", -0.35, 0.35))
    colour = np.where(draws.chance(f"cushion tone {i}", 0.7)[:, None], room.accent, room.curtain)
    colour = colour * (1.02 - 2.2 * b + 0.04 * view.fine)[:, None]
    shape = rounded(a, b, 0, -size, size, size, 0.02)
    view.paint("cushion", shape, colour, material="fabric", present=draws.chance(f"cushion {i}", 0.75))


def _plant(room: Room, middle: Plane, foot: Plane) -> None:
    draws = room.canvas.draws
    present = draws.chance("plant", 0.8)
    height, half = draws.uniform("plant height", 0.3, 0.4), draws.uniform("pot width", 0.045, 0.058)
    view, u, y = room.view(middle - 0.4, foot - 0.64, middle + 0.4, foot + 0.03)
    u = u - middle
    _shadow(view, u, foot, half + 0.03, 0.02, 0.3 * present)
    rim, light = foot - 0.11, room.flip * room.canvas.light.side
    pot = convex(u, y, (-half, rim), (half, rim), (0.72 * half, foot), (-0.72 * half, foot))
    glaze = room.pick("pot", ("c9694a", "f1ece2", "3f6a86", "d9a441")) * (1 + 2.5 * u * light)[:, None]
    view.paint("plant", pot, glaze, part="pot", material="ceramic", present=present)
    green = room.pick("leaves", ("3f7a45", "2f6b4f", "6c9a4a"))
    broad = where(draws.chance("broad leaves", 0.5), 0.048, 0.034)
    for i, angle in enumerate((-0.85, 0.85, -0.45, 0.5, 0.0)):
        reach = height * (0.62 + 0.38 * np.cos(angle)) * draws.uniform(f"leaf {i}", 0.85, 1.1)
        a, b = tilted(u, y, 0, rim, angle + draws.uniform(f"leaf turn {i}", -0.15, 0.15))
        leaf = lens(a - 0.12 * b * b / reach, b, broad, 1.02 * reach)
        colour = green * (0.85 + 0.06 * i - 0.12 * np.sign(a) * light + 0.08 * view.fine)[:, None]
        view.paint("plant", leaf, colour, part="leaves", material="foliage", present=present)


def _lamp(room: Room, middle: Plane, foot: Plane) -> None:
    """A floor lamp, or a smaller one on a side table."""
    draws = room.canvas.draws
    present, low = draws.chance("lamp", 0.85), draws.chance("lamp on table", 0.4)
    _side_table(room, middle, foot, present & low)
    stand = where(low, foot - 0.17, foot)
    tall = where(low, 0.15, draws.uniform("lamp height", 0.4, 0.46))
    view, u, y = room.view(middle - 0.22, stand - tall - 0.25, middle + 0.22, foot + 0.03)
    u = u - middle
    pole = np.minimum(box(u, y, 0, stand - tall, 0.0105, stand - 0.005), ellipse(u, y, 0, stand - 0.012, 0.045, 0.014))
    vase = np.maximum(ellipse(u, y, 0, stand - 0.055, 0.042, 0.06), y - stand)
    shape = np.where(low, np.minimum(vase, pole), pole)
    metal, glaze = (
        room.pick("stand", ("b08a4a", "3a3a40", "d8d2c6")),
        room.pick("lamp foot", ("3f6a86", "f1ece2", "c9694a")),
    )
    made = view.made_of("lamp", "metal", "ceramic", low)
    view.paint("lamp", shape, np.where(low[:, None], glaze, metal), part="stand", material=made, present=present)
    brim, wide = stand - tall + 0.025, draws.uniform("lampshade", 0.08, 0.095)
    on = (room.canvas.light.time != DAY) | draws.chance("lamp on", 0.25)
    halo = np.clip(1 - (u**2 + (y - brim + 0.06) ** 2) / 0.2**2, 0, 1) ** 2 * where(on & present, 0.35, 0)
    view.image[:] += halo[:, None] * (tone("ffe2a8") - view.image)
    colour = np.where(on[:, None], tone("ffe3a0"), room.pick("lampshade", ("f3ead6", "d97a5a", "7fa0a8")))
    colour = colour * (1 - 1.6 * np.abs(u) - 0.5 * (brim - y - 0.06))[:, None]
    shade = convex(u, y, (-0.6 * wide, brim - 0.125), (0.6 * wide, brim - 0.125), (wide, brim), (-wide, brim))
    view.paint("lamp", shade, colour, part="lampshade", material="fabric", present=present)


def _side_table(room: Room, middle: Plane, foot: Plane, present: Mask) -> None:
    view, u, y = room.view(middle - 0.09, foot - 0.18, middle + 0.09, foot)
    for side in (-1, 1):
        leg = box(u, y, middle + side * 0.062, foot - 0.16, 0.011, foot)
        view.paint("table", leg, room.wood * 0.75, part="leg", material="wood", present=present)
    top = box(u, y, middle, foot - 0.175, 0.085, foot - 0.145)
    view.paint("table", top, room.wood * 1.05, part="tabletop", material="wood", present=present)


def _coffee_table(room: Room) -> None:
    draws = room.canvas.draws
    present, glass = draws.chance("table", 0.8), draws.chance("glass table", 0.25)
    middle, centre = draws.uniform("table x", 0.44, 0.56), draws.uniform("table y", 0.81, 0.84)
    half, depth = draws.uniform("table width", 0.15, 0.19), draws.uniform("table depth", 0.028, 0.036)
    view, u, y = room.view(middle - half - 0.03, centre - depth, middle + half + 0.03, centre + 0.16)
    u = u - middle
    _shadow(view, u, centre + 0.11, half, 0.022, 0.28 * present)
    wood = room.pick("table", ("a8744a", "6b4630", "d8b48a", "f1ece2"))
    legs = np.where(glass[:, None], room.lit("5a5a60"), wood * 0.72)
    metal = view.made_of("table", "wood", "metal", glass)
    for side in (-1, 1):
        leg = box(u, y, side * 0.72 * half, centre, 0.015, centre + 0.125)
        view.paint("table", leg, legs, part="leg", material=metal, present=present)
    top, rim = centre - depth, centre + depth
    oval = np.minimum(ellipse(u, y, 0, centre, half, depth), ellipse(u, y, 0, centre + 0.018, half, depth))
    upper, lower = ((-0.86 * half, top), (0.86 * half, top)), ((half, rim + 0.018), (-half, rim + 0.018))
    slab = convex(u, y, *upper, (half, rim), *lower, (-half, rim))
    front = y > centre + depth * np.sqrt(np.maximum(1 - (u / half) ** 2, 0)) + 0.002
    colour = np.where(glass[:, None], mix(room.lit("bcd4d8"), room.rug, 0.25), wood)
    colour = colour * (1.05 + 0.06 * np.cos(u * 30 + 8 * y) - 0.25 * front)[:, None]
    shape = np.where(draws.chance("oval table", 0.4), oval, slab)
    made = view.made_of("table", "wood", "glass", glass)
    view.paint("table", shape, colour, part="tabletop", material=made, present=present)
