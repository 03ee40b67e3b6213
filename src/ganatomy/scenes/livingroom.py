"""Living rooms: a wall with a window, a sofa, and what hangs and stands about it (see `hangings`, `furniture`)."""

import numpy as np

from ganatomy.scenes import furniture, hangings
from ganatomy.scenes.arrays import Indices, Plane, select
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.interior import Room
from ganatomy.scenes.palette import mix
from ganatomy.scenes.seeded_random import SeededRandom


def kinds(draws: SeededRandom) -> Indices:
    """All living rooms are drawn by the same code."""
    return np.zeros(len(draws), np.intp)


def draw(canvas: Canvas) -> None:
    """Draw a batch of living rooms, back to front."""
    room = Room.of(canvas)
    shell(room)
    hangings.draw(room)
    furniture.draw(room)


def shell(room: Room) -> None:
    """Walls, ceiling and floor; at u = corner the wall turns and comes forward."""
    turn = np.maximum(room.u(room.canvas) - room.corner, 0)
    white = mix(room.lit("fbf8f2"), room.wall, 0.25)
    _wall(room, turn)
    _ceiling(room, room.ceiling - 0.9 * turn, white)
    line = room.floor + 1.1 * turn
    skirting = mix(white, room.wall, 0.1) * (1 - 0.14 * (turn > 0))[:, None]
    room.canvas.paint("wall", line - 0.022 - room.canvas.y, skirting, material="wood")
    _floor(room, line - room.canvas.y)


def _wall(room: Room, turn: Plane) -> None:
    canvas, draws = room.canvas, room.canvas.draws
    u, y = room.u(canvas), canvas.y
    kind = draws.choice("wall", (0.76, 0.12, 0.12))
    plastered, bricked, panelled = ((kind == k)[:, None, None] for k in range(3))
    stripes = 0.03 * np.cos(u * 90) * (plastered & draws.chance("wallpaper", 0.3))
    courses = 0.05 * np.cos(y * 150) * bricked + 0.05 * np.cos(u * 75) * panelled
    falloff = 1.05 - 0.22 * np.abs(u - 0.3) - 0.14 * (turn > 0) + 0.015 * canvas.fine + (courses + stripes)
    bricks, panels = room.pick("brick", ("b97a5e", "c9a48c")), room.pick("panels", ("c79a6b", "d8b48a"))
    material = canvas.made_of("wall", "plaster", "brick", bricked)
    material = np.where(panelled, canvas.made_of("wall", "wood"), material)
    colour = select(kind, [room.wall, bricks, panels]) * falloff[:, None]
    canvas.paint("wall", np.full_like(canvas.rough, -1), colour, material=material)


def _ceiling(room: Room, edge: Plane, white: Plane) -> None:
    canvas = room.canvas
    wooden = canvas.draws.chance("beams", 0.2)
    planks = 1 + 0.06 * np.cos((room.u(canvas) - 0.5) / (canvas.y + 0.35) * 22)
    colour = np.where(wooden[:, None], room.pick("planks", ("b98a5e", "d0a878")) * planks[:, None], white)
    shade = 0.96 - 0.5 * (edge - canvas.y)
    material = canvas.made_of("ceiling", "plaster", "wood", wooden)
    canvas.paint("ceiling", canvas.y - edge, colour * shade[:, None], material=material)


def _floor(room: Room, distance: Plane) -> None:
    """Boards, checked tiles or carpet."""
    canvas = room.canvas
    kind = canvas.draws.choice("floor", (0.6, 0.2, 0.2))
    boarded, tiled, carpeted = ((kind == k)[:, None, None] for k in range(3))
    depth = canvas.y - room.floor + 0.25
    across, along = (room.u(canvas) - 0.5) / depth, 1 / depth
    boards = 0.06 * np.cos(across * 26) + 0.04 * np.cos(across * 13 + 1.5)
    checks = 0.1 * np.sign(np.cos(across * 9) * np.cos(along * 9))
    texture = np.where(boarded, boards, np.where(tiled, checks, 0.08 * canvas.fine)) + 0.35 * (depth - 0.4)
    colours = [room.pick(name, tones) for name, tones in _FLOORS.items()]
    material = canvas.made_of("floor", "wood", "tile", tiled)
    material = np.where(carpeted, canvas.made_of("floor", "carpet"), material)
    canvas.paint("floor", distance, select(kind, colours) * (1 + texture)[:, None], material=material)


_FLOORS = {
    "boards": ("b98a5a", "a06c42", "cfa878", "7c5238"),
    "tiles": ("d8cfc0", "b9c0c4", "c98f6c"),
    "carpet": ("b7aa98", "9aa5a8", "c4b2a6"),
}
