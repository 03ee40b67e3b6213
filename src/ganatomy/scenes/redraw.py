"""Objects that are drawn independently of the rest of a scene, drawn alone many times: where could each of them be?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np

from ganatomy.scenes import furniture, livingroom, outdoor, plants
from ganatomy.scenes.arrays import Bytes, Plane
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.draws import Draws
from ganatomy.scenes.grammar import CHURCH, INDEX, LIVINGROOM, Grammar, Rule, grammar
from ganatomy.scenes.interior import Room
from ganatomy.scenes.palette import Mood
from ganatomy.vocabulary import Concept

SIZE = 64
"""Pixels a side at which objects are drawn, and scenes read."""
DRAWS = 800
"""How often an object is drawn anew."""
HORIZON = (0.54, 0.62)
"""Where the horizon of an outdoor scene lies, as a share of the image's height."""
SEED = 77

Painter = Callable[[Canvas, Mood, Plane], object]


@dataclass(frozen=True)
class Redraw:
    """How one thing is drawn alone: `paint` draws it on the bare stage, `over` names what it is seen in front of."""

    paint: Painter
    over: tuple[str, ...]


def redraws(category: str) -> Mapping[str, Sequence[Redraw]]:
    """Return how each object is drawn alone that does not depend on the rest of a scene, but for its horizon.

    A category draws an object in the way of another whose very rule it has. Every other object needs look-alikes.
    """
    rules = grammar(category)
    known = {name: found for base, own in _REDRAWS for name, found in own.items() if _shares(rules, base.rule(name))}
    return MappingProxyType(known)


@lru_cache(maxsize=256)
def drawn_alone(category: str, name: str, which: int, row: int) -> Bytes:
    """Return labels [draws, planes, size, size] of scenes with one thing on the stage, 0 where it is not.

    Args:
        category: of the scenes.
        name: of the object.
        which: number of its `Redraw`.
        row: of pixels at which the horizon lies; of no consequence indoors.
    """
    paint, own = redraws(category)[name][which].paint, INDEX[Concept(name, "object")]
    parts = []
    for start in range(0, DRAWS, 100):
        canvas = Canvas.empty(grammar(category), Draws(SEED, list(range(start, start + 100))), SIZE)
        horizon = np.full((len(canvas.draws), 1, 1), row / SIZE, np.float32)
        paint(canvas, Mood.of(canvas.draws, canvas.grammar), horizon)
        parts.append(np.where(canvas.labels[:, :1] == own, canvas.labels, np.uint8(0)))
    return np.concatenate(parts)


def horizon_rows(labels: Bytes) -> list[int]:
    """Return the row of pixels at which the horizon of each scene lies, read from its objects [n, size, size].

    It is where the land begins under what is far: the lower third of these rows, as the shore waves. Where too little
    of it is seen, the middle of what occurs.
    """
    land, far = (np.isin(labels, [INDEX[Concept(n, "object")] for n in names]) for names in (_LAND, _FAR))
    least, most = (round(end * SIZE) for end in HORIZON)
    rows = []
    for scene in far[:, :-1] & land[:, 1:]:
        found = np.nonzero(scene)[0] + 1
        row = round(float(np.quantile(found, 0.3))) if len(found) >= 3 else (least + most) // 2
        rows.append(min(max(row, least), most))
    return rows


def _shares(rules: Grammar, rule: Rule) -> bool:
    return rules.rules.get(rule.name) == rule


def _outdoors(paint: Painter, canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    """Draw sky and land, and something on them."""
    outdoor.sky(canvas, mood, horizon)
    outdoor.land(canvas, mood, horizon)
    paint(canvas, mood, horizon)


def _sky_only(paint: Painter, canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    """Draw the sky, and something on it."""
    outdoor.sky(canvas, mood, horizon)
    paint(canvas, mood, horizon)


def _tree(place: str, canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    plants.tree(canvas, mood, place, horizon)


def _bushes(canvas: Canvas, mood: Mood, _: Plane) -> None:
    for side in ("left", "right"):
        plants.bush(canvas, mood, side)


def _near_trees(canvas: Canvas, mood: Mood, horizon: Plane) -> None:
    for side in ("left", "right"):
        plants.tree(canvas, mood, side, horizon)


def _luminaries(canvas: Canvas, mood: Mood, _: Plane) -> None:
    outdoor.sun_and_moon(canvas, mood)


def _clouds(canvas: Canvas, mood: Mood, _: Plane) -> None:
    outdoor.clouds(canvas, mood)


def _nothing(*_: object) -> None:
    """Leave the stage bare."""


def _rug(canvas: Canvas, _: Mood, __: Plane) -> None:
    room = Room.of(canvas)
    livingroom.shell(room)
    furniture.rug(room)


_LAND = ("grass", "water", "path")
_FAR = ("sky", "cloud", "sun", "moon", "mountain", "hill")


def _in_front(name: str, *more: str, but: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what an object of the church's grammar is seen in front of: what its rule says, and itself."""
    rule = CHURCH.rule(name)
    return tuple(each for each in (*rule.on, *rule.hides, name, *more) if each not in but)


_BUILT = ("building", "roof", "tower", "dome", "window", "door", "chimney")
_OUTDOOR: Mapping[str, Sequence[Redraw]] = {
    "tree": (
        Redraw(partial(_outdoors, partial(_tree, "far")), _in_front("tree", but=_BUILT)),
        Redraw(partial(_outdoors, _near_trees), _in_front("tree")),
    ),
    "bush": (Redraw(partial(_outdoors, _bushes), _in_front("bush")),),
    "cloud": (Redraw(partial(_sky_only, _clouds), _in_front("cloud")),),
    "sun": (Redraw(partial(_sky_only, _luminaries), ("sky", "sun", "moon")),),
    "moon": (Redraw(partial(_sky_only, _luminaries), ("sky", "sun", "moon")),),
    "mountain": (Redraw(partial(_sky_only, outdoor.mountain), _in_front("mountain")),),
    "hill": (Redraw(partial(_sky_only, outdoor.hill), _in_front("hill")),),
    "water": (Redraw(partial(_outdoors, _nothing), _in_front("water", "grass")),),
    "grass": (Redraw(partial(_outdoors, _nothing), _in_front("grass")),),
}
_REDRAWS = ((CHURCH, _OUTDOOR), (LIVINGROOM, {"rug": (Redraw(_rug, ("floor", "rug")),)}))
