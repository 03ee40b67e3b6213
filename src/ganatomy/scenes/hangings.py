"""What hangs on a living room's wall."""

import numpy as np

from ganatomy.scenes.arrays import Plane, where
from ganatomy.scenes.interior import Room
from ganatomy.scenes.palette import mix
from ganatomy.scenes.shapes import box, ellipse

_PAINTS = (  # sky, land, sun
    ("f2e3c6", "a9c9d6", "f0b89a", "cfd6c0"),
    ("4f7a6a", "2f5f86", "b5543c", "6a5a86"),
    ("e0572f", "f2c230", "fbf3e2"),
)
_SPINES = ("a8433a", "2f5f86", "d9a441", "4f7a5a", "e9dcc4")


def draw(room: Room) -> None:
    """Draw a window, and a painting or a shelf beside it."""
    _window(room)
    _painting(room)
    _shelf(room)


def _window(room: Room) -> None:
    draws, light = room.canvas.draws, room.canvas.light
    present = draws.chance("window", 0.85)
    middle, half = draws.uniform("window x", 0.25, 0.3), draws.uniform("window width", 0.1, 0.125)
    top, bottom = draws.uniform("window top", 0.17, 0.21), draws.uniform("window bottom", 0.47, 0.53)
    view, u, y = room.view(middle - half, top, middle + half, bottom)
    timber = np.where(draws.chance("dark frames", 0.3)[:, None], room.lit("7a5638"), room.lit("fbf7ef"))
    frame = box(u, y, middle, top - 0.018, half + 0.018, bottom + 0.018)
    view.paint("window", frame, timber, part="frame", material="wood", present=present)
    sky = mix(
        room.canvas.light.zenith, room.canvas.light.horizon, np.clip((y - top) / (bottom - top) * 1.3, 0, 1)[:, None]
    )
    hill = bottom - 0.07 + 0.03 * np.sin(u * 25 + draws.uniform("view", 0, 6.3))
    land = mix(light.lit("6f9a55"), light.horizon, 0.25)
    pane = box(u, y, middle, top, half, bottom)
    scene = np.where((y > hill)[:, None], land, sky)
    view.paint("window", pane, scene, part="pane", material="glass", present=present)
    bars = np.maximum(np.minimum(np.abs(u - middle), np.abs(y - 0.6 * top - 0.4 * bottom)) - 0.008, pane)
    view.paint("window", bars, timber * 0.96, part="frame", material="wood", present=present)
    for side in (-1, 1):
        _curtain(room, middle + side * (half + 0.02), top, bottom)


def _curtain(room: Room, middle: Plane, top: Plane, bottom: Plane) -> None:
    """One of the curtains of a window from top to bottom, long or short."""
    draws = room.canvas.draws
    present = draws.chance("window", 0.85) & draws.chance("curtain", 0.85)
    hem = where(draws.chance("long curtain", 0.7), room.floor + 0.03, bottom + 0.05)
    width = draws.uniform("curtain width", 0.036, 0.048)
    view, u, y = room.view(middle - 1.5 * width, top - 0.05, middle + 1.5 * width, room.floor + 0.04)
    flare = width * (1 + 0.25 * np.clip((y - top) / (bottom - top), 0, 1))
    folds = 0.97 + 0.12 * np.cos((u - middle) / width * 7) + 0.02 * view.rough
    shape = box(u, y, middle, top - 0.045, flare, hem)
    view.paint("curtain", shape, room.curtain * folds[:, None], material="fabric", present=present)


def _painting(room: Room) -> None:
    draws = room.canvas.draws
    present = draws.chance("painting", 0.65)
    middle, centre = draws.uniform("painting x", 0.66, 0.7), draws.uniform("painting y", 0.29, 0.33)
    half, tall = draws.uniform("painting width", 0.095, 0.135), draws.uniform("painting height", 0.085, 0.115)
    top, bottom = centre - tall, centre + tall
    view, u, y = room.view(middle - half - 0.03, top, middle + half + 0.03, bottom + 0.03)
    shadow = box(u, y, middle + 0.008, top + 0.01, half, bottom + 0.014)
    view.shade(view.softened(shadow, 1 / 32), 0.2 * present, "wall")
    gilt = draws.chance("gilt", 0.4)
    frame = np.where(gilt[:, None], room.lit("d4a545"), room.pick("frame", ("4a3426", "2c3038", "f4f0e8")))
    made = view.made_of("painting", "wood", "metal", gilt)
    view.paint("painting", box(u, y, middle, top, half, bottom), frame, part="frame", material=made, present=present)
    sky, land, sun = (room.pick(f"paint {i}", tones) for i, tones in enumerate(_PAINTS))
    wave = centre + 0.25 * tall + 0.3 * tall * np.sin((u - middle) / half * 3 + draws.uniform("brush", 0, 6.3))
    disc = ellipse(
        u, y, middle + draws.uniform("disc", -0.4, 0.4) * half, centre - 0.25 * tall, 0.28 * tall, 0.28 * tall
    )
    image = np.where((y > wave)[:, None], land, np.where((disc < 0)[:, None], sun, sky))
    inner = box(u, y, middle, top + 0.02, half - 0.02, bottom - 0.02)
    view.paint("painting", inner, image, part="canvas", material="paper", present=present)


def _shelf(room: Room) -> None:
    """A board with books, where no painting hangs."""
    draws = room.canvas.draws
    present = draws.chance("shelf", 0.85) & ~draws.chance("painting", 0.65)
    middle, top = draws.uniform("painting x", 0.66, 0.7), draws.uniform("shelf y", 0.36, 0.4)
    view, u, y = room.view(middle - 0.18, top - 0.15, middle + 0.18, top + 0.07)
    shadow = box(u, y, middle + 0.01, top, 0.15, top + 0.045)
    view.shade(view.softened(shadow, 1 / 32), 0.15 * present, "wall")
    view.paint("shelf", box(u, y, middle, top, 0.155, top + 0.028), room.wood, material="wood", present=present)
    for i in range(6):
        place = middle - 0.11 + 0.042 * i
        spine = box(u, y, place, top - draws.uniform(f"book {i}", 0.09, 0.14), 0.0205, top)
        colour = room.pick(f"spine {i}", _SPINES) * (1.05 - 0.2 * (np.abs(u - place) > 0.015))[:, None]
        standing = present & draws.chance(f"has book {i}", 0.85)
        view.paint("book", spine, colour, material="paper", present=standing)
