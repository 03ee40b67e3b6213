"""What stands on a living room's floor."""

import numpy as np

from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.draws import Plane
from ganatomy.scenes.interior import Room
from ganatomy.scenes.palette import DAY, mix, pick, rgb
from ganatomy.scenes.shapes import box, convex, ellipse, lens, rounded, tilted


def draw(room: Room) -> None:
    """Draw the furniture, back to front."""
    draws = room.canvas.draws
    base = draws.uniform("sofa base", 0.79, 0.83)
    lamp_right = draws.chance("lamp right", 0.5)
    left, right = draws.uniform("left place", 0.1, 0.14), draws.uniform("right place", 0.88, 0.91)
    _rug(room)
    _sofa(room, base)
    _plant(room, np.where(lamp_right, left, right), base + draws.uniform("plant depth", 0, 0.04))
    _lamp(room, np.where(lamp_right, right, left), base - 0.01)
    _table(room)


def _shadow(view: Canvas, u: Plane, y: Plane, half: Plane, depth: float, strength: Plane) -> None:
    """A soft shadow on the floor about u = 0, which ends where the ellipse ends."""
    inside = np.clip(1 - (u / half) ** 2 - ((view.y - y) / depth) ** 2, 0, 1) * view.is_labelled("floor", "rug")
    view.image[:] *= (1 - strength * np.sqrt(inside))[:, None]


def _rug(room: Room) -> None:
    draws = room.canvas.draws
    present = draws.chance("rug", 0.75)
    middle, y0 = draws.uniform("rug x", 0.46, 0.56), draws.uniform("rug y", 0.86, 0.88)
    rx, ry = draws.uniform("rug width", 0.34, 0.42), draws.uniform("rug depth", 0.075, 0.095)
    view, u, y = room.view(0, y0 - ry, 1, y0 + ry)
    oval = ellipse(u, y, middle, y0, rx, ry)
    top, bottom = y0 - ry, y0 + ry
    corners = ((middle - 0.85 * rx, top), (middle + 0.85 * rx, top), (middle + rx, bottom), (middle - rx, bottom))
    shape = np.where(draws.chance("oval rug", 0.5), oval, convex(u, y, *corners))
    border = (shape > -0.022) & (shape < -0.008)
    stripes = draws.chance("striped rug", 0.4) & (np.cos((u - middle) * 55) > 0.55)
    colour = mix(room.rug, room.accent, (0.75 * (border | stripes))[:, None]) * (1 + 0.07 * view.fine)[:, None]
    view.paint("rug", shape, colour, material="carpet", present=present)


def _sofa(room: Room, base: Plane) -> None:
    draws = room.canvas.draws
    present = draws.chance("sofa", 0.97)
    middle, half = draws.uniform("sofa x", 0.47, 0.53), draws.uniform("sofa width", 0.26, 0.31)
    view, u, y = room.view(middle - half - 0.06, base - 0.32, middle + half + 0.06, base + 0.05)
    u = u - middle
    _shadow(view, u, base + 0.03, half + 0.05, 0.03, 0.3 * present)
    leather = (1 + 0.03 * view.fine + 0.03 * view.rough)[:, None]
    for side in (-1, 1):
        leg = box(u, y, side * (half - 0.03), base - 0.02, 0.014, base + 0.035)
        view.paint("sofa", leg, room.wood * 0.8, part="leg", material="wood", present=present)
    top = base - draws.uniform("sofa height", 0.24, 0.29)
    split = 1 - 0.22 * np.exp(-((u / 0.007) ** 2))
    glow = (split * (1.02 - 0.6 * (y - top)))[:, None]
    view.paint("sofa", rounded(u, y, 0, top, half - 0.02, base, 0.04), room.sofa * leather * 0.88 * glow, part="back", material="fabric", present=present)
    crease = (split * (1.12 - 1.6 * np.abs(y - base + 0.11)))[:, None]
    view.paint("sofa", rounded(u, y, 0, base - 0.125, half - 0.05, base, 0.02), room.sofa * leather * crease, part="seat", material="fabric", present=present)
    _cushions(room, view, u, base - 0.1, half, present)
    for side in (-1, 1):
        arm = rounded(u, y, side * (half - 0.025), base - 0.17, 0.042, base + 0.008, 0.035)
        lit = 1.08 - 0.7 * (y - base + 0.15) - 0.1 * side * room.flip * room.mood.side
        view.paint("sofa", arm, room.sofa * leather * lit[:, None], part="arm", material="fabric", present=present)


def _cushions(room: Room, view: Canvas, u: Plane, foot: Plane, half: Plane, present: Plane) -> None:
    draws = room.canvas.draws
    for i, place in enumerate((-0.62, 0.62)):
        has = present & draws.chance(f"cushion {i}", 0.75)
        size = draws.uniform(f"cushion size {i}", 0.055, 0.068)
        turn = draws.uniform(f"cushion turn {i}", -0.35, 0.35)
        a, b = tilted(u, view.y, place * half, foot - size, turn)
        shape = rounded(a, b, 0, -size, size, size, 0.02)
        colour = np.where(draws.chance(f"cushion tone {i}", 0.7)[:, None], room.accent, room.curtain)
        shade = 1.02 - 2.2 * b + 0.04 * view.fine
        view.paint("cushion", shape, colour * shade[:, None], material="fabric", present=has)


def _plant(room: Room, middle: Plane, foot: Plane) -> None:
    draws = room.canvas.draws
    present = draws.chance("plant", 0.8)
    height, half = draws.uniform("plant height", 0.3, 0.4), draws.uniform("pot width", 0.045, 0.058)
    view, u, y = room.view(middle - 0.4, foot - 0.64, middle + 0.4, foot + 0.03)
    u = u - middle
    _shadow(view, u, foot, half + 0.03, 0.02, 0.3 * present)
    rim = foot - 0.11
    pot = convex(u, y, (-half, rim), (half, rim), (0.72 * half, foot), (-0.72 * half, foot))
    glaze = pick(draws, "pot", ("c9694a", "f1ece2", "3f6a86", "d9a441")) * room.light
    round_shade = 1 + 2.5 * u * room.flip * room.mood.side
    view.paint("plant", pot, glaze * round_shade[:, None], part="pot", material="ceramic", present=present)
    green = pick(draws, "leaves", ("3f7a45", "2f6b4f", "6c9a4a")) * room.light
    broad = np.where(draws.chance("broad leaves", 0.5), 0.034, 0.02).astype(np.float32)
    for i, angle in enumerate((-0.85, 0.85, -0.45, 0.5, 0.0)):
        reach = height * (0.62 + 0.38 * np.cos(angle)) * draws.uniform(f"leaf {i}", 0.85, 1.1)
        turn = angle + draws.uniform(f"leaf turn {i}", -0.15, 0.15)
        a, b = tilted(u, y, 0, rim, turn)
        leaf = lens(a - 0.12 * b * b / reach, b, broad + 0.014, 1.02 * reach)
        vein = 0.85 + 0.06 * i - 0.12 * np.sign(a) * room.flip * room.mood.side + 0.08 * view.fine
        view.paint("plant", leaf, green * vein[:, None], part="leaves", material="foliage", present=present)


def _lamp(room: Room, middle: Plane, foot: Plane) -> None:
    """A floor lamp, or a smaller one on a side table."""
    draws = room.canvas.draws
    present = draws.chance("lamp", 0.85)
    low = draws.chance("lamp on table", 0.4)
    stand = np.where(low, foot - 0.17, foot)
    view, u, y = room.view(middle - 0.22, foot - 0.7, middle + 0.22, foot + 0.03)
    u = u - middle
    side_table = present & low
    for side in (-1, 1):
        view.paint("table", box(u, y, side * 0.062, foot - 0.16, 0.011, foot), room.wood * 0.75, part="leg", material="wood", present=side_table)
    view.paint("table", box(u, y, 0, foot - 0.175, 0.085, foot - 0.145), room.wood * 1.05, part="tabletop", material="wood", present=side_table)
    tall = np.where(low, 0.15, draws.uniform("lamp height", 0.4, 0.46)).astype(np.float32)
    metal = pick(draws, "stand", ("b08a4a", "3a3a40", "d8d2c6")) * room.light
    ceramic = pick(draws, "lamp foot", ("3f6a86", "f1ece2", "c9694a")) * room.light
    colour = np.where(low[:, None], ceramic, metal)
    made = view.made_of("lamp", "metal", "ceramic", low)
    pole = np.minimum(box(u, y, 0, stand - tall, 0.0105, stand - 0.005), ellipse(u, y, 0, stand - 0.012, 0.045, 0.014))
    vase = np.maximum(ellipse(u, y, 0, stand - 0.055, 0.042, 0.06), y - stand)
    view.paint("lamp", np.where(low, np.minimum(vase, pole), pole), colour, part="stand", material=made, present=present)
    brim = stand - tall + 0.025
    wide = draws.uniform("lampshade", 0.08, 0.095)
    shade = convex(u, y, (-0.6 * wide, brim - 0.125), (0.6 * wide, brim - 0.125), (wide, brim), (-wide, brim))
    on = (room.mood.time != DAY) | draws.chance("lamp on", 0.25)
    fabric = np.where(on[:, None], rgb("ffe3a0")[:, :, None, None], pick(draws, "lampshade", ("f3ead6", "d97a5a", "7fa0a8")) * room.light)
    halo = np.clip(1 - (u**2 + (y - brim + 0.06) ** 2) / 0.2**2, 0, 1) ** 2 * (on & present) * np.float32(0.35)
    view.image[:] += halo[:, None] * (rgb("ffe2a8")[:, :, None, None] - view.image)
    fade = 1 - 1.6 * np.abs(u) - 0.5 * (brim - y - 0.06)
    view.paint("lamp", shade, fabric * fade[:, None], part="lampshade", material="fabric", present=present)


def _table(room: Room) -> None:
    """A coffee table before the sofa."""
    draws = room.canvas.draws
    present = draws.chance("table", 0.8)
    middle, top = draws.uniform("table x", 0.44, 0.56), draws.uniform("table y", 0.81, 0.84)
    half, depth = draws.uniform("table width", 0.15, 0.19), draws.uniform("table depth", 0.028, 0.036)
    view, u, y = room.view(middle - half - 0.03, top - depth, middle + half + 0.03, top + 0.16)
    u = u - middle
    _shadow(view, u, top + 0.11, half, 0.022, 0.28 * present)
    glass = draws.chance("glass table", 0.25)
    wood = pick(draws, "table", ("a8744a", "6b4630", "d8b48a", "f1ece2")) * room.light
    legs = np.where(glass[:, None], rgb("5a5a60")[:, :, None, None] * room.light, wood * 0.72)
    made = view.made_of("table", "wood", "metal", glass)
    for side in (-1, 1):
        leg = box(u, y, side * 0.72 * half, top, 0.015, top + 0.125)
        view.paint("table", leg, legs, part="leg", material=made, present=present)
    oval = np.minimum(ellipse(u, y, 0, top, half, depth), ellipse(u, y, 0, top + 0.018, half, depth))
    slab = convex(u, y, (-0.86 * half, top - depth), (0.86 * half, top - depth), (half, top + depth), (half, top + depth + 0.018),
                  (-half, top + depth + 0.018), (-half, top + depth))
    shape = np.where(draws.chance("oval table", 0.4), oval, slab)
    colour = np.where(glass[:, None], mix(rgb("bcd4d8")[:, :, None, None] * room.light, room.rug, 0.25), wood)
    sheen = 1.05 + 0.06 * np.cos(u * 30 + 8 * y) - 0.25 * (y > top + depth * np.sqrt(np.maximum(1 - (u / half) ** 2, 0)) + 0.002)
    view.paint("table", shape, colour * sheen[:, None], part="tabletop", material=view.made_of("table", "wood", "glass", glass), present=present)
