"""Outdoor scenes: sky and land, with plants (see `plants`) and a church or house (see `buildings`)."""

import numpy as np

from ganatomy.scenes import buildings, plants
from ganatomy.scenes.arrays import Bytes, Plane, where
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.palette import DUSK, GROUND, LEAVES, NIGHT, ROCK, SNOW, WINTER, mix, tone
from ganatomy.scenes.shapes import ellipse

kinds = buildings.kinds
"""Scenes of one kind are drawn by the same code, so they must lie side by side in a batch."""


def draw(canvas: Canvas) -> None:
    """Draw a batch of outdoor scenes, back to front."""
    horizon = canvas.draws.uniform("horizon", 0.54, 0.62)
    for paint in (sky, sun_and_moon, clouds, mountain, hill, land):
        paint(canvas, horizon)
    plants.tree(canvas, "far", horizon)
    buildings.draw(canvas)
    for side in ("left", "right"):
        plants.tree(canvas, side, horizon)
        plants.bush(canvas, side, horizon)


def sky(canvas: Canvas, horizon: Plane) -> None:
    """Draw the sky."""
    fade = np.clip(canvas.y / horizon, 0, 1)[:, None] ** 1.2
    canvas.paint("sky", np.full_like(canvas.rough, -1), mix(canvas.light.zenith, canvas.light.horizon, fade))


def sun_and_moon(canvas: Canvas, _: Plane) -> None:
    """Draw the sun or the moon of the scenes that have one."""
    draws, light = canvas.draws, canvas.light
    dusk, night = light.time == DUSK, light.time == NIGHT
    sun = draws.chance("sun", 0.5) & ~night
    moon = ~sun & draws.chance("moon", 0.9 * night + 0.8 * dusk)
    cx = 0.5 + light.side * draws.uniform("sun across", 0.26, 0.4)
    cy = draws.uniform("sun height", 0.1, 0.22) + where(dusk, 0.1, 0)
    radius = draws.uniform("sun size", 0.055, 0.075) + where(dusk, 0.012, 0)
    disc = ellipse(canvas.x, canvas.y, cx, cy, radius, radius)
    glow = np.exp(-6 * np.maximum(disc, 0)) * where(sun, 0.5, where(moon, 0.12, 0))
    warm = np.where(dusk[:, None], tone("ffc070"), tone("fff6d8"))
    canvas.image[:] += glow[:, None] * (warm - canvas.image)
    canvas.paint("sun", disc, np.where(dusk[:, None], tone("ff8a3c"), tone("ffdf4a")), present=sun)
    bite = ellipse(canvas.x, canvas.y, cx + 0.7 * radius * light.side, cy - 0.2 * radius, radius, radius)
    crescent = np.maximum(disc, np.where(draws.chance("crescent", 0.5), -bite, -1))
    canvas.paint("moon", crescent, tone("f6f1dc"), present=moon)


def clouds(canvas: Canvas, _: Plane) -> None:
    """Draw the clouds."""
    for i, chance in enumerate((0.8, 0.5)):
        _cloud(canvas, f"cloud {i}", chance)


def _cloud(canvas: Canvas, name: str, chance: float) -> None:
    draws, light = canvas.draws, canvas.light
    cx, cy = draws.uniform(name + " x", 0.08, 0.92), draws.uniform(name + " y", 0.12, 0.36)
    rx, ry = draws.uniform(name + " width", 0.12, 0.2), draws.uniform(name + " height", 0.04, 0.06)
    lean = draws.uniform(name + " lean", -0.4, 0.4)
    view = canvas.window(0, cy - 3 * ry, 1, cy + ry)
    main = ellipse(view.x, view.y, cx, cy, rx, ry)
    top = ellipse(view.x, view.y, cx + lean * rx, cy - 0.9 * ry, rx * 0.5, ry * 1.35)
    bump = ellipse(view.x, view.y, cx - (lean + 0.25) * rx, cy - 0.4 * ry, rx * 0.4, ry * 1.1)
    distance = np.maximum(np.minimum(np.minimum(main, top), bump) + 0.012 * view.rough, view.y - cy - 0.55 * ry)
    white = mix(mix(light.tint, tone("ffffff"), 0.35), light.horizon, 0.2)
    below = np.clip((view.y - cy) / ry * 0.5 + 0.5, 0, 1)[:, None]
    colour = mix(white, mix(white, light.zenith, 0.45), below)
    view.paint("cloud", view.softened(distance, 1.5 / 64), colour, present=draws.chance(name, chance))


def mountain(canvas: Canvas, horizon: Plane) -> None:
    """Draw the two peaks of the scenes that have a mountain."""
    draws, light = canvas.draws, canvas.light
    present = draws.chance("mountain", 0.6)
    rock, snow = (
        light.hazy(light.pick("rock", ROCK), 0.35),
        light.hazy(light.lit(SNOW), 0.15),
    )
    for name, low, high in (("far peak", 0.35, 0.44), ("near peak", 0.25, 0.36)):
        middle, top = draws.uniform(name, 0.05, 0.95), draws.uniform(name + " height", low, high)
        steep = draws.uniform(name + " slope", 0.5, 0.85)
        view = canvas.window(0, top - 0.03, 1, horizon + 0.05)
        ragged = 0.025 * view.rough
        slope = (top + steep * np.abs(view.x - middle + ragged) + ragged - view.y) * 0.75
        lit = np.clip((view.x - middle + 2.2 * ragged) * light.side * 40, -1, 1) * 0.13
        view.paint("mountain", slope, rock * (1 + lit)[:, None], part="slope", material="rock", present=present)
        cap = np.maximum(slope, view.y - top - 0.07 - 1.2 * ragged)
        view.paint("mountain", cap, snow * (1 + 0.6 * lit)[:, None], part="peak", material="snow", present=present)


def hill(canvas: Canvas, horizon: Plane) -> None:
    """Draw the hills of the scenes that have them."""
    draws, light = canvas.draws, canvas.light
    view = canvas.window(0, horizon - 0.2, 1, horizon + 0.05)
    wave = np.sin(view.x * draws.uniform("hill waves", 4, 8) + draws.uniform("hill phase", 0, 6.3))
    below = horizon - 0.085 - draws.uniform("hill height", 0.03, 0.07) * wave - view.y
    colour = light.hazy(mix(light.seasonal("ground", GROUND), light.seasonal("leaves", LEAVES), 0.4), 0.3)
    colour = colour * (1 + 0.06 * view.fine + 0.8 * (below + 0.06))[:, None]
    view.paint("hill", below, colour, material=_turf(canvas, "hill"), present=draws.chance("hill", 0.7))


def land(canvas: Canvas, horizon: Plane) -> None:
    """Draw the grass, and the water of the scenes that have it."""
    draws, light = canvas.draws, canvas.light
    water = draws.chance("water", 0.2)
    view = canvas.window(0, horizon - 0.02, 1, 1)
    lake = mix(light.zenith, light.horizon, 0.45) * (1 + 0.1 * np.sin(view.y * 150 + 4 * view.rough))[:, None]
    view.paint("water", horizon - 0.01 - view.y, lake, material="water", present=water)
    wave = np.sin(view.x * draws.uniform("shore waves", 3, 7) + draws.uniform("shore phase", 0, 6.3))
    shore = horizon + where(water, 0.055, 0) + 0.012 * wave
    near = np.clip((view.y - horizon) / 0.45, 0, 1)
    tint = (0.94 + 0.1 * near) * (1 + (0.04 + 0.05 * near) * view.fine + 0.05 * view.rough)
    colour = light.seasonal("ground", GROUND) * tint[:, None]
    view.paint("grass", shore - view.y, colour, material=_turf(canvas, "grass"))


def _turf(canvas: Canvas, name: str) -> Bytes:
    return canvas.made_of(name, "turf", "snow", canvas.light.season == WINTER)
