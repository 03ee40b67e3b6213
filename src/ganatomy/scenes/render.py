"""From scene numbers to images with exact labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganatomy.core.errors import BadValue
from ganatomy.scenes import livingroom, outdoor
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.grammar import grammar
from ganatomy.scenes.seeded_random import SeededRandom

CHUNK = 32
"""Scenes drawn at once at 64 px: their planes fit the processor's cache."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """Images and their labels: images [n, 3, size, size] RGB, labels [n, 3, size, size] in the order of `PLANES`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def render(category: str, ids: Sequence[int], size: int = 64, seed: int = 0, without: str = "") -> Rendered:
    """Draw scenes; scene i depends on (seed, i) only, and is the same scene at any size.

    Labels are indices into `VOCABULARY`, of what is seen at the centre of each pixel; 0 where a plane says nothing.

    Args:
        category: of the scenes.
        ids: of the scenes.
        size: pixels a side.
        seed: of the scenes.
        without: a kind of object that is not drawn, nor is what stands on it alone; its shadow stays.

    Raises:
        UnknownName: no such category, or it has no such object.
        BadValue: the size is not a power of two from 16 to 512.
    """
    rules = grammar(category)
    if without:
        rules.rule(without)
    if size not in (16, 32, 64, 128, 256, 512):
        raise BadValue(f"size {size}: a scene is drawn at 16, 32, 64, 128, 256 or 512 pixels a side")
    images, labels = (np.empty((len(ids), 3, size, size), np.uint8) for _ in range(2))
    draws = SeededRandom(seed, ids)
    order = np.argsort(_DRAW[category].kinds(draws), kind="stable")
    step = max(1, CHUNK * 64 * 64 // (size * size))
    for start in range(0, len(ids), step):
        rows = order[start : start + step]
        canvas = Canvas.empty(rules, draws.rows(rows), size, without)
        _DRAW[category].draw(canvas)
        images[rows] = np.rint(np.clip(canvas.image, 0, 1) * 255)
        labels[rows] = canvas.labels
    return Rendered(images, labels)


_DRAW = {"church": outdoor, "varied-church": outdoor, "livingroom": livingroom}
