"""Objects that are drawn independently of the rest of a scene, drawn alone many times: where could each of them be?"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ganatomy.core.vocabulary import Concept
from ganatomy.scenes import furniture, livingroom, outdoor, plants
from ganatomy.scenes.arrays import Bytes, Plane
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.grammar import BUILT, CHURCH, FAR, INDEX, LIVINGROOM, grammar
from ganatomy.scenes.interior import Room
from ganatomy.scenes.seeded_random import SeededRandom

SIZE = 64
"""Pixels a side at which objects are drawn, and scenes read."""
DRAWS, PARTS = 800, 8
"""How often an object is drawn anew, and in how many parts, each done before others may compute."""
HORIZON_ROWS = range(round(0.54 * SIZE), round(0.62 * SIZE) + 1)
"""At which rows of pixels the horizon of an outdoor scene lies."""
SEED = 77
LAND = ("grass", "water", "path")

Painter = Callable[[Canvas, Plane], object]


class Redraw(NamedTuple):
    """How one thing is drawn alone: what it is seen in front of, and the painters of the stage and of it."""

    over: tuple[str, ...]
    painters: Sequence[Painter]


def redraws(category: str) -> Mapping[str, Sequence[Redraw]]:
    """Return how each object is drawn alone that does not depend on the rest of a scene, but for its horizon.

    A category draws an object in the way of another whose very rule it has. Every other object needs look-alikes.
    """
    rules = grammar(category).rules
    return {
        name: found
        for base, own in ((CHURCH, _OUTDOOR), (LIVINGROOM, _INDOOR))
        for name, found in own.items()
        if rules.get(name) == base.rules[name]
    }


@lru_cache(maxsize=32)  # 1.6 MB each
def drawn_alone(category: str, name: str, which: int, row: int, part: int) -> Bytes:
    """Return labels [draws / parts, planes, size, size] of scenes with one thing on the stage, 0 where it is not.

    Args:
        category: of the scenes.
        name: of the object.
        which: number of its `Redraw`.
        row: of pixels at which the horizon lies; of no consequence indoors.
        part: number of the part of all draws.
    """
    painters, own = redraws(category)[name][which].painters, INDEX[Concept(name, "object")]
    ids = range(part * DRAWS // PARTS, (part + 1) * DRAWS // PARTS)
    canvas = Canvas.empty(grammar(category), SeededRandom(SEED, list(ids)), SIZE)
    horizon = np.full((len(canvas.draws), 1, 1), row / SIZE, np.float32)
    for paint in painters:
        paint(canvas, horizon)
    return np.where(canvas.labels[:, :1] == own, canvas.labels, np.uint8(0))


def horizon_rows(labels: Bytes) -> list[int]:
    """Return the row of pixels at which the horizon of each scene lies, read from its objects [n, size, size].

    It is where the land begins under what is far: the lower third of these rows, as the shore waves. Where too little
    of it is seen, the middle of what occurs.
    """
    land, far = (np.isin(labels, [INDEX[Concept(n, "object")] for n in names]) for names in (LAND, FAR))
    least, most = HORIZON_ROWS[0], HORIZON_ROWS[-1]
    rows = []
    for scene in far[:, :-1] & land[:, 1:]:
        found = np.nonzero(scene)[0] + 1
        row = round(float(np.quantile(found, 0.3))) if len(found) >= 3 else (least + most) // 2
        rows.append(min(max(row, least), most))
    return rows


def _rug(canvas: Canvas, _: Plane) -> None:
    room = Room.of(canvas)
    livingroom.shell(room)
    furniture.rug(room)


def _redraw(name: str, *painters: Painter, besides: Sequence[str] = (), but: Sequence[str] = ()) -> Redraw:
    """Return how an object of the church's grammar is drawn: it is seen in front of what its rule says, and itself."""
    rule = CHURCH.rule(name)
    over = (*rule.on, *rule.hides, name, *besides)
    return Redraw(tuple(each for each in over if each not in but), (outdoor.sky, *painters))


def _each_side(paint: Callable[[Canvas, str, Plane], None]) -> Painter:
    def both(canvas: Canvas, horizon: Plane) -> None:
        for side in ("left", "right"):
            paint(canvas, side, horizon)

    return both


_LUMINARY = Redraw(("sky", "sun", "moon"), (outdoor.sky, outdoor.sun_and_moon))
_OUTDOOR: Mapping[str, Sequence[Redraw]] = {
    "tree": (
        _redraw("tree", outdoor.land, lambda canvas, horizon: plants.tree(canvas, "far", horizon), but=BUILT),
        _redraw("tree", outdoor.land, _each_side(plants.tree)),
    ),
    "bush": (_redraw("bush", outdoor.land, _each_side(plants.bush)),),
    "cloud": (_redraw("cloud", outdoor.clouds),),
    "sun": (_LUMINARY,),
    "moon": (_LUMINARY,),
    "mountain": (_redraw("mountain", outdoor.mountain),),
    "hill": (_redraw("hill", outdoor.hill),),
    "water": (_redraw("water", outdoor.land, besides=("grass",)),),
    "grass": (_redraw("grass", outdoor.land),),
}
_INDOOR: Mapping[str, Sequence[Redraw]] = {"rug": (Redraw(("floor", "rug"), (_rug,)),)}
