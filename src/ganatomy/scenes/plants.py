"""Trees and bushes."""

from dataclasses import dataclass

import numpy as np

from ganatomy.scenes.arrays import Mask, Plane, where
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.palette import BUSHES, FIRS, LEAVES, SNOW, TRUNK, WINTER, mix
from ganatomy.scenes.seeded_random import SeededRandom
from ganatomy.scenes.shapes import box, ellipse, gable

ROUND, FIR, POPLAR = range(3)
_STYLES = (0.45, 0.35, 0.2)
_GROUND = ("grass", "path")


def tree(canvas: Canvas, place: str, horizon: Plane) -> None:
    """Draw the far, the left or the right tree of the scenes that have it."""
    growth = _Growth.of(canvas.draws, place, horizon)
    x, foot, height = growth.x, growth.foot, growth.height
    view = canvas.window(x - 0.65 * height, foot - 1.25 * height, x + 0.65 * height, foot + 0.06)
    shadow = ellipse(view.x, view.y, x - 0.2 * height * canvas.light.side, foot, 0.3 * height, 0.035)
    view.shade(shadow, 0.25 * growth.present, *_GROUND)
    bark = canvas.light.pick("trunk", (TRUNK,)) * (1 - 0.25 * np.sign(x - view.x) * canvas.light.side)[:, None]
    trunk = box(view.x, view.y, x, foot - 0.4 * height, 0.05 * height, foot)
    view.paint("tree", trunk, bark, part="trunk", material="wood", present=growth.present)
    _crown(canvas, view, f"{place} tree", growth)


@dataclass(frozen=True)
class _Growth:
    """Where a tree stands, how tall it is there by perspective, and its style: each [n, 1, 1]."""

    present: Mask
    x: Plane
    foot: Plane
    height: Plane
    fir: Mask
    poplar: Mask

    @classmethod
    def of(cls, draws: SeededRandom, place: str, horizon: Plane) -> "_Growth":
        name = f"{place} tree"
        depth = draws.uniform(place + " depth", 0.19, 0.32) * (0.38 if place == "far" else 1)
        x = draws.uniform(place + " place", *((0.08, 0.92) if place == "far" else (0.05, 0.2)))
        height = (0.17 + 1.1 * depth) * draws.uniform(name + " size", 0.9, 1.1)
        alike = draws.chance(name + " alike", 0.5)[:, 0, 0]
        style = np.where(alike, draws.choice("tree style", _STYLES), draws.choice(name + " style", _STYLES))
        return cls(
            present=draws.chance(name, 0.55 if place == "far" else 0.6),
            x=1 - x if place == "right" else x,
            foot=horizon + depth,
            height=height,
            fir=(style == FIR)[:, None, None],
            poplar=(style == POPLAR)[:, None, None],
        )


def _crown(canvas: Canvas, view: Canvas, name: str, growth: _Growth) -> None:
    light = canvas.light
    x, foot, height, fir = growth.x, growth.foot, growth.height, growth.fir
    rx, ry = (where(growth.poplar, slim, wide) * height for slim, wide in ((0.16, 0.31), (0.5, 0.36)))
    middle = foot - where(growth.poplar, 0.62, 0.64) * height
    leafage = 0.16 * rx * view.rough + 0.1 * rx * view.fine
    tiers = ((view.y - foot) / (0.3 * height)) % 1
    cone = gable(view.x, view.y, x, foot - 1.1 * height, 0.3 * height, foot - 0.13 * height)
    cone += 0.06 * height * (1 - tiers)
    distance = np.where(fir, cone, ellipse(view.x, view.y, x, middle, rx, ry) + leafage)
    colour = np.where(fir[:, None], light.seasonal(name + " fir", FIRS), light.seasonal(name + " leaves", LEAVES))
    roundness = 0.2 * (view.x - x) / rx * light.side - 0.22 * (view.y - middle) / ry
    colour = colour * (1 + roundness + 0.14 * view.fine - 0.12 * fir * (1 - tiers))[:, None]
    frost = np.clip(np.where(fir, 1.6 * tiers - 0.75, 0.35 - 0.7 * (view.y - middle) / ry), 0, 0.85)
    colour = _frosted(canvas, colour, frost)
    view.paint("tree", distance, colour, part="crown", material="foliage", present=growth.present)


def bush(canvas: Canvas, side: str, _: Plane) -> None:
    """Draw the left or the right bush of the scenes that have it."""
    draws, name = canvas.draws, side + " bush"
    x, foot = draws.uniform(name + " x", 0.14, 0.34), draws.uniform(name + " foot", 0.84, 0.95)
    x = 1 - x if side == "right" else x
    rx, ry = draws.uniform(name + " width", 0.075, 0.11), draws.uniform(name + " height", 0.055, 0.08)
    present = draws.chance(name, 0.6)
    view = canvas.window(x - 2 * rx, foot - 2.4 * ry, x + 2 * rx, foot + 0.05)
    shadow = ellipse(view.x, view.y, x - 0.4 * rx * canvas.light.side, foot - 0.005, rx, 0.03)
    view.shade(shadow, 0.25 * present, *_GROUND)
    lobes = np.minimum(
        ellipse(view.x, view.y, x - 0.35 * rx, foot - 0.75 * ry, 0.65 * rx, 0.75 * ry),
        ellipse(view.x, view.y, x + 0.35 * rx, foot - 1.0 * ry, 0.65 * rx, ry),
    )
    distance = np.maximum(lobes + 0.01 * view.rough + 0.008 * view.fine, view.y - foot)
    across, down = (view.x - x) / rx * canvas.light.side, (view.y - foot + ry) / ry
    colour = canvas.light.seasonal(name, BUSHES) * (0.9 + 0.144 * across - 0.18 * down + 0.135 * view.fine)[:, None]
    colour = _frosted(canvas, colour, np.clip(0.4 - 0.8 * down, 0, 0.8))
    view.paint("bush", distance, colour, material="foliage", present=present)


def _frosted(canvas: Canvas, colour: Plane, share: Plane) -> Plane:
    """A colour under snow, in winter."""
    return mix(colour, canvas.light.lit(SNOW), (share * (canvas.light.season == WINTER))[:, None])
