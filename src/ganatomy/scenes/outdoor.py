"""Outdoor scenes: sky, land, plants, and a church or house (see `buildings`)."""

from dataclasses import dataclass

import numpy as np

from ganatomy.scenes import buildings
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.draws import Draws, Plane
from ganatomy.scenes.palette import (
    BUSHES, DUSK, FIRS, GROUND, LEAVES, NIGHT, ROCK, SNOW, TRUNK, WINTER, Mood, mix, rgb,
)
from ganatomy.scenes.shapes import box, ellipse, gable

ROUND, FIR, POPLAR = range(3)
_TREES = (0.45, 0.35, 0.2)
_GROUND = ("grass", "path")


kinds = buildings.kinds
"""Scenes of one kind are drawn by the same code, so they must lie side by side in a batch."""


def draw(canvas: Canvas) -> None:
    """Draw a batch of outdoor scenes, back to front."""
    mood = Mood.of(canvas.draws)
    horizon = canvas.draws.uniform("horizon", 0.54, 0.62)
    _sky(canvas, mood, horizon)
    _sun_and_moon(canvas, mood)
    for i, chance in enumerate((0.8, 0.5)):
        _cloud(canvas, mood, f"cloud {i}", chance)
    _mountain(canvas, mood, horizon)
    _hill(canvas, mood, horizon)
    _land(canvas, mood, horizon)
    _tree(canvas, mood, "far tree", 0.55, _Spot.of(canvas.draws, "far", horizon))
    buildings.draw(canvas)
    for side in ("left", "right"):
        _tree(canvas, mood, f"{side} tree", 0.6, _Spot.of(canvas.draws, side, horizon))
        _bush(canvas, mood, side)


def _sky(canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    fade = np.clip(canvas.y / horizon, 0, 1)[:, None] ** 1.2
    colour = mix(mood.zenith, mood.horizon, fade)
    canvas.paint("sky", np.full_like(canvas.rough, -1), colour)


def _sun_and_moon(canvas: Canvas, mood: Mood) -> None:
    draws = canvas.draws
    dusk = mood.time == DUSK
    sun = draws.chance("sun", 0.5) & (mood.time != NIGHT)
    moon = ~sun & draws.chance("moon", np.where(mood.time == NIGHT, 0.9, np.where(dusk, 0.8, 0)).astype(np.float32))
    cx = 0.5 + mood.side * draws.uniform("sun across", 0.26, 0.4)
    cy = draws.uniform("sun height", 0.1, 0.22) + 0.1 * dusk.astype(np.float32)
    radius = draws.uniform("sun size", 0.055, 0.075) + 0.012 * dusk.astype(np.float32)
    distance = ellipse(canvas.x, canvas.y, cx, cy, radius, radius)
    glow = np.exp(-6 * np.maximum(distance, 0)) * np.where(sun, 0.5, 0.12 * moon)
    warm = np.where(dusk[:, None], rgb("ffc070")[:, :, None, None], rgb("fff6d8")[:, :, None, None])
    canvas.image[:] += glow.astype(np.float32)[:, None] * (warm - canvas.image)
    disc = np.where(dusk[:, None], rgb("ff8a3c")[:, :, None, None], rgb("ffdf4a")[:, :, None, None])
    canvas.paint("sun", distance, disc, present=sun)
    shadow = ellipse(canvas.x, canvas.y, cx + 0.7 * radius * mood.side, cy - 0.2 * radius, radius, radius)
    crescent = np.maximum(distance, np.where(draws.chance("crescent", 0.5), -shadow, -1).astype(np.float32))
    canvas.paint("moon", crescent, rgb("f6f1dc")[:, :, None, None], present=moon)


def _cloud(canvas: Canvas, mood: Mood, name: str, chance: float) -> None:
    draws = canvas.draws
    cx, cy = draws.uniform(name + " x", 0.08, 0.92), draws.uniform(name + " y", 0.12, 0.36)
    rx, ry = draws.uniform(name + " width", 0.12, 0.2), draws.uniform(name + " height", 0.04, 0.06)
    view = canvas.window(0, cy - 3 * ry, 1, cy + ry)
    lean = draws.uniform(name + " lean", -0.4, 0.4)
    main = ellipse(view.x, view.y, cx, cy, rx, ry)
    top = ellipse(view.x, view.y, cx + lean * rx, cy - 0.9 * ry, rx * 0.5, ry * 1.35)
    bump = ellipse(view.x, view.y, cx - (lean + 0.25) * rx, cy - 0.4 * ry, rx * 0.4, ry * 1.1)
    distance = np.maximum(np.minimum(np.minimum(main, top), bump) + 0.012 * view.rough, view.y - cy - 0.55 * ry)
    white = mix(rgb("ffffff")[:, :, None, None] * mix(mood.light, np.float32(1), 0.35), mood.horizon, 0.2)
    below = np.clip((view.y - cy) / ry * 0.5 + 0.5, 0, 1)[:, None]
    colour = mix(white, mix(white, mood.zenith, 0.45), below)
    view.paint("cloud", distance, colour, present=draws.chance(name, chance), soft=1.5 * canvas.size / 64)


def _mountain(canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    draws = canvas.draws
    present = draws.chance("mountain", 0.6)
    base = mood.hazy(mood.pick("rock", ROCK), 0.35)
    snow = mood.hazy(rgb(SNOW)[:, :, None, None] * mood.light, 0.15)
    for name, low, high in (("far peak", 0.35, 0.44), ("near peak", 0.25, 0.36)):
        px, top = draws.uniform(name, 0.05, 0.95), draws.uniform(name + " height", low, high)
        steep = draws.uniform(name + " slope", 0.5, 0.85)
        view = canvas.window(0, top - 0.03, 1, horizon + 0.05)
        ragged = 0.025 * view.rough
        distance = (top + steep * np.abs(view.x - px + ragged) + ragged - view.y) * 0.75
        lit = np.clip((view.x - px + 2.2 * ragged) * mood.side * 40, -1, 1) * 0.13
        colour = base * (1 + lit)[:, None]
        view.paint("mountain", distance, colour, part="slope", material="rock", present=present)
        cap = np.maximum(distance, view.y - top - 0.07 - 1.2 * ragged)
        view.paint("mountain", cap, snow * (1 + 0.6 * lit)[:, None], part="peak", material="snow", present=present)


def _hill(canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    draws = canvas.draws
    view = canvas.window(0, horizon - 0.2, 1, horizon + 0.05)
    wave = np.sin((view.x * draws.uniform("hill waves", 4, 8)) + draws.uniform("hill phase", 0, 6.3))
    ridge = horizon - 0.085 - draws.uniform("hill height", 0.03, 0.07) * wave
    colour = mood.hazy(mix(mood.seasonal("ground", GROUND), mood.seasonal("leaves", LEAVES), 0.4), 0.3)
    shaded = colour * (1 + 0.06 * view.fine + 0.8 * (ridge - view.y + 0.06))[:, None]
    view.paint("hill", ridge - view.y, shaded, material=view.made_of("hill", "turf", "snow", mood.season == WINTER), present=draws.chance("hill", 0.7))


def _land(canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    draws = canvas.draws
    water = draws.chance("water", 0.2)
    view = canvas.window(0, horizon - 0.02, 1, 1)
    lake = mix(mood.zenith, mood.horizon, 0.45) * (1 + 0.1 * np.sin(view.y * 150 + 4 * view.rough))[:, None]
    view.paint("water", horizon - 0.01 - view.y, lake, material="water", present=water)
    shore = horizon + np.where(water, 0.055, 0).astype(np.float32) + 0.012 * np.sin(
        view.x * draws.uniform("shore waves", 3, 7) + draws.uniform("shore phase", 0, 6.3)
    )
    near = np.clip((view.y - horizon) / 0.45, 0, 1)
    tint = (0.94 + 0.1 * near) * (1 + (0.04 + 0.05 * near) * view.fine + 0.05 * view.rough)
    view.paint("grass", shore - view.y, mood.seasonal("ground", GROUND) * tint[:, None], material=view.made_of("grass", "turf", "snow", mood.season == WINTER))


@dataclass(frozen=True)
class _Spot:
    """Where a tree stands and how tall it is, by perspective: each [n, 1, 1]."""

    x: Plane
    foot: Plane
    height: Plane

    @classmethod
    def of(cls, draws: Draws, name: str, horizon: Plane) -> "_Spot":
        depth = draws.uniform(name + " depth", 0.19, 0.32)
        x = draws.uniform(name + " place", 0.05, 0.2)
        if name == "right":
            x = 1 - x
        if name == "far":
            x, depth = draws.uniform("far place", 0.08, 0.92), 0.38 * depth
        return cls(x, horizon + depth, 0.17 + 1.1 * depth)


def _tree(canvas: Canvas, mood: Mood, name: str, chance: float, spot: _Spot) -> None:
    draws = canvas.draws
    common = draws.choice("tree style", _TREES)
    style = np.where(draws.chance(name + " alike", 0.5)[:, 0, 0], common, draws.choice(name + " style", _TREES))[:, None, None]
    present = draws.chance(name, chance)
    x, foot, height = spot.x, spot.foot, spot.height * draws.uniform(name + " size", 0.9, 1.1)
    view = canvas.window(x - 0.65 * height, foot - 1.25 * height, x + 0.65 * height, foot + 0.06)
    view.shade(ellipse(view.x, view.y, x - 0.2 * height * mood.side, foot, 0.3 * height, 0.035), 0.25 * present, *_GROUND)
    trunk = mood.pick("trunk", (TRUNK,)) * (1 - 0.25 * np.sign(x - view.x) * mood.side)[:, None]
    view.paint("tree", box(view.x, view.y, x, foot - 0.4 * height, 0.05 * height, foot), trunk,
               part="trunk", material="wood", present=present)
    fir = style == FIR
    rx = np.where(style == POPLAR, 0.16, 0.31).astype(np.float32) * height
    ry = np.where(style == POPLAR, 0.5, 0.36).astype(np.float32) * height
    middle = foot - np.where(style == POPLAR, 0.62, 0.64).astype(np.float32) * height
    leaf = 0.16 * rx * view.rough + 0.1 * rx * view.fine
    tiers = ((view.y - foot) / (0.3 * height)) % 1
    cone = gable(view.x, view.y, x, foot - 1.1 * height, 0.3 * height, foot - 0.13 * height)
    cone += np.minimum(0.06 * height * (1 - tiers), 0.06 * height)
    crown = np.where(fir, cone, ellipse(view.x, view.y, x, middle, rx, ry) + leaf)
    colour = np.where(fir[:, None], mood.seasonal(name + " fir", FIRS), mood.seasonal(name + " leaves", LEAVES))
    round_shade = 0.2 * (view.x - x) / rx * mood.side - 0.22 * (view.y - middle) / ry
    colour = colour * (1 + round_shade + 0.14 * view.fine - 0.12 * fir * (1 - tiers))[:, None]
    frost = (mood.season == WINTER) * np.clip(np.where(fir, 1.6 * tiers - 0.75, 0.35 - 0.7 * (view.y - middle) / ry), 0, 0.85)
    colour = mix(colour, rgb(SNOW)[:, :, None, None] * mood.light, frost[:, None])
    view.paint("tree", crown, colour, part="crown", material="foliage", present=present)


def _bush(canvas: Canvas, mood: Mood, side: str) -> None:
    draws = canvas.draws
    name = side + " bush"
    x, foot = draws.uniform(name + " x", 0.14, 0.34), draws.uniform(name + " foot", 0.84, 0.95)
    x = 1 - x if side == "right" else x
    rx, ry = draws.uniform(name + " width", 0.075, 0.11), draws.uniform(name + " height", 0.055, 0.08)
    present = draws.chance(name, 0.6)
    view = canvas.window(x - 2 * rx, foot - 2.4 * ry, x + 2 * rx, foot + 0.05)
    view.shade(ellipse(view.x, view.y, x - 0.4 * rx * mood.side, foot - 0.005, rx, 0.03), 0.25 * present, *_GROUND)
    lobes = np.minimum(
        ellipse(view.x, view.y, x - 0.35 * rx, foot - 0.75 * ry, 0.65 * rx, 0.75 * ry),
        ellipse(view.x, view.y, x + 0.35 * rx, foot - 1.0 * ry, 0.65 * rx, ry),
    )
    distance = np.maximum(lobes + 0.01 * view.rough + 0.008 * view.fine, view.y - foot)
    shade = 1 + 0.16 * (view.x - x) / rx * mood.side - 0.2 * (view.y - foot + ry) / ry + 0.15 * view.fine
    colour = mood.seasonal(name, BUSHES) * (0.9 * shade)[:, None]
    frost = (mood.season == WINTER) * np.clip(0.4 - 0.8 * (view.y - foot + ry) / ry, 0, 0.8)
    colour = mix(colour, rgb(SNOW)[:, :, None, None] * mood.light, frost[:, None])
    view.paint("bush", distance, colour, material="foliage", present=present)
