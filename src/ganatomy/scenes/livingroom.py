"""Living rooms: a wall with a window, a sofa, and what stands around it (see `furniture`)."""

import numpy as np
from numpy.typing import NDArray

from ganatomy.scenes import furniture
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.draws import Draws
from ganatomy.scenes.interior import Room
from ganatomy.scenes.palette import mix, pick, rgb
from ganatomy.scenes.shapes import box, ellipse


def kinds(draws: Draws) -> NDArray[np.intp]:
    """All living rooms are drawn by the same code."""
    return np.zeros(len(draws), np.intp)


def draw(canvas: Canvas) -> None:
    """Draw a batch of living rooms, back to front."""
    room = Room.of(canvas)
    _shell(room)
    _window(room)
    _painting(room)
    _shelf(room)
    furniture.draw(room)


def _shell(room: Room) -> None:
    """Walls, ceiling and floor; the room has a corner at u = corner, behind which its side wall comes forward."""
    canvas, draws = room.canvas, room.canvas.draws
    u, y = room.u(canvas), canvas.y
    turn = np.maximum(u - room.corner, 0)
    made = draws.choice("wall", (0.76, 0.12, 0.12))[:, None, None]
    stripes = 0.03 * np.cos(u * 90) * draws.chance("wallpaper", 0.3) * (made == 0)
    courses = 0.05 * np.cos(y * 150) * (made == 1) + 0.05 * np.cos(u * 75) * (made == 2)
    falloff = 1.05 - 0.22 * np.abs(u - 0.3) - 0.14 * (turn > 0) + 0.015 * canvas.fine + (courses + stripes)
    wall = np.where((made == 1)[:, None], pick(draws, "brick", ("b97a5e", "c9a48c")) * room.light, room.wall)
    wall = np.where((made == 2)[:, None], pick(draws, "panels", ("c79a6b", "d8b48a")) * room.light, wall)
    material = np.where(made == 2, canvas.made_of("wall", "wood"), canvas.made_of("wall", "plaster", "brick", made == 1))
    canvas.paint("wall", np.full_like(canvas.rough, -1), wall * falloff[:, None], material=material)
    edge = room.ceiling - 0.9 * turn
    white = mix(rgb("fbf8f2")[:, :, None, None] * room.light, room.wall, 0.25)
    shade = 0.96 - 0.5 * (edge - y)
    beams = draws.chance("beams", 0.2)
    planks = 1 + 0.06 * np.cos((u - 0.5) / (y + 0.35) * 22)
    colour = np.where(beams[:, None], pick(draws, "planks", ("b98a5e", "d0a878")) * room.light * planks[:, None], white)
    canvas.paint("ceiling", y - edge, colour * shade[:, None], material=canvas.made_of("ceiling", "plaster", "wood", beams))
    line = room.floor + 1.1 * turn
    skirting = mix(white, room.wall, 0.1) * (1 - 0.14 * (turn > 0))[:, None]
    canvas.paint("wall", line - 0.022 - y, skirting, material="wood")
    _floor(room, line - y)


def _floor(room: Room, distance: furniture.Plane) -> None:
    canvas, draws = room.canvas, room.canvas.draws
    kind = draws.choice("floor", (0.6, 0.2, 0.2))[:, None, None]
    depth = canvas.y - room.floor + 0.25
    across, along = (room.u(canvas) - 0.5) / depth, 1 / depth
    boards = 0.06 * np.cos(across * 26) + 0.04 * np.cos(across * 13 + 1.5)
    checks = 0.1 * np.sign(np.cos(across * 9) * np.cos(along * 9))
    pile = 0.08 * canvas.fine
    texture = np.where(kind == 0, boards, np.where(kind == 1, checks, pile)) + 0.35 * (depth - 0.4)
    colours = [
        pick(draws, "boards", ("b98a5a", "a06c42", "cfa878", "7c5238")),
        pick(draws, "tiles", ("d8cfc0", "b9c0c4", "c98f6c")),
        pick(draws, "carpet", ("b7aa98", "9aa5a8", "c4b2a6")),
    ]
    colour = np.stack(colours)[kind[:, 0, 0], np.arange(len(kind))] * room.light
    material = np.where(kind == 2, canvas.made_of("floor", "carpet"), canvas.made_of("floor", "wood", "tile", kind == 1))
    canvas.paint("floor", distance, colour * (1 + texture)[:, None], material=material)


def _window(room: Room) -> None:
    draws = room.canvas.draws
    present = draws.chance("window", 0.85)
    middle, half = draws.uniform("window x", 0.25, 0.3), draws.uniform("window width", 0.1, 0.125)
    top, bottom = draws.uniform("window top", 0.17, 0.21), draws.uniform("window bottom", 0.47, 0.53)
    view, u, y = room.view(middle - half - 0.1, top - 0.06, middle + half + 0.1, room.floor + 0.06)
    white = rgb("fbf7ef")[:, :, None, None] * room.light
    timber = np.where(draws.chance("dark frames", 0.3)[:, None], rgb("7a5638")[:, :, None, None] * room.light, white)
    frame = box(u, y, middle, top - 0.018, half + 0.018, bottom + 0.018)
    view.paint("window", frame, timber, part="frame", material="wood", present=present)
    sky = mix(room.mood.zenith, room.mood.horizon, np.clip((y - top) / (bottom - top) * 1.3, 0, 1)[:, None])
    hill = bottom - 0.07 + 0.03 * np.sin(u * 25 + draws.uniform("view", 0, 6.3))
    land = mix(rgb("6f9a55")[:, :, None, None] * room.mood.light, room.mood.horizon, 0.25)
    scene = np.where((y > hill)[:, None], land, sky)
    pane = box(u, y, middle, top, half, bottom)
    view.paint("window", pane, scene, part="pane", material="glass", present=present)
    bars = np.maximum(np.minimum(np.abs(u - middle), np.abs(y - 0.6 * top - 0.4 * bottom)) - 0.008, pane)
    view.paint("window", bars, timber * 0.96, part="frame", material="wood", present=present)
    hung = present & draws.chance("curtain", 0.85)
    drop = np.where(draws.chance("long curtain", 0.7), room.floor + 0.03, bottom + 0.05).astype(np.float32)
    width = draws.uniform("curtain width", 0.036, 0.048)
    for side in (-1, 1):
        centre = middle + side * (half + 0.02)
        flare = width * (1 + 0.25 * np.clip((y - top) / (bottom - top), 0, 1))
        folds = 0.12 * np.cos((u - centre) / width * 7) + 0.02 * view.rough
        shape = box(u, y, centre, top - 0.045, flare, drop)
        view.paint("curtain", shape, room.curtain * (0.97 + folds)[:, None], material="fabric", present=hung)


def _painting(room: Room) -> None:
    draws = room.canvas.draws
    present = draws.chance("painting", 0.65)
    middle, cy = draws.uniform("painting x", 0.66, 0.7), draws.uniform("painting y", 0.29, 0.33)
    half, tall = draws.uniform("painting width", 0.095, 0.135), draws.uniform("painting height", 0.085, 0.115)
    view, u, y = room.view(middle - half - 0.03, cy - tall, middle + half + 0.03, cy + tall + 0.03)
    view.shade(box(u, y, middle + 0.008, cy - tall + 0.01, half, cy + tall + 0.014), 0.2 * present, "wall", soft=view.size / 32)
    gilt = draws.chance("gilt", 0.4)
    frame = np.where(gilt[:, None], rgb("d4a545")[:, :, None, None], pick(draws, "frame", ("4a3426", "2c3038", "f4f0e8")))
    made = view.made_of("painting", "wood", "metal", gilt)
    view.paint("painting", box(u, y, middle, cy - tall, half, cy + tall), frame * room.light, part="frame", material=made, present=present)
    inner = box(u, y, middle, cy - tall + 0.02, half - 0.02, cy + tall - 0.02)
    sky, land, disc = (pick(draws, f"paint {i}", tones) * room.light for i, tones in enumerate(_PAINTS))
    wave = cy + 0.25 * tall + 0.3 * tall * np.sin((u - middle) / half * 3 + draws.uniform("brush", 0, 6.3))
    spot = ellipse(u, y, middle + draws.uniform("disc", -0.4, 0.4) * half, cy - 0.25 * tall, 0.28 * tall, 0.28 * tall)
    picture = np.where((y > wave)[:, None], land, np.where((spot < 0)[:, None], disc, sky))
    view.paint("painting", inner, picture, part="canvas", material="paper", present=present)


_PAINTS = (("f2e3c6", "a9c9d6", "f0b89a", "cfd6c0"), ("4f7a6a", "2f5f86", "b5543c", "6a5a86"), ("e0572f", "f2c230", "fbf3e2"))


def _shelf(room: Room) -> None:
    """A board with books, where no painting hangs."""
    draws = room.canvas.draws
    present = draws.chance("shelf", 0.85) & ~draws.chance("painting", 0.65)
    middle, top = draws.uniform("painting x", 0.66, 0.7), draws.uniform("shelf y", 0.36, 0.4)
    view, u, y = room.view(middle - 0.18, top - 0.15, middle + 0.18, top + 0.07)
    view.shade(box(u, y, middle + 0.01, top, 0.15, top + 0.045), 0.15 * present, "wall", soft=view.size / 32)
    view.paint("shelf", box(u, y, middle, top, 0.155, top + 0.028), room.wood, material="wood", present=present)
    for i in range(6):
        height = draws.uniform(f"book {i}", 0.09, 0.14)
        colour = pick(draws, f"spine {i}", ("a8433a", "2f5f86", "d9a441", "4f7a5a", "e9dcc4")) * room.light
        spine = box(u, y, middle - 0.11 + 0.042 * i, top - height, 0.0205, top)
        standing = present & draws.chance(f"has book {i}", 0.85)
        shade = 1.05 - 0.2 * (np.abs(u - middle + 0.11 - 0.042 * i) > 0.015)
        view.paint("book", spine, colour * shade[:, None], material="paper", present=standing)
