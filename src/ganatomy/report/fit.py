"""How many images and regions a page has room for.

The rule: every top image of every unit, at up to 128 pixels a side; if that is more than fits, as many of each unit as
do, but no fewer than a card shows; if not even these fit, the same at up to 64 pixels, but no fewer than three; and if
not these either, three of fewer units, the best of each layer. What they take is estimated as ``distinct images x
bytes of one + units x images of each x bytes of a region``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ganatomy.report.pack import Array

SIDES = (128, 64)
"""Longest edges that images may be reduced to, in pixels."""
CARD, LEAST = 7, 3
"""Images that a card shows, and fewest that it makes sense to show."""


@dataclass(frozen=True)
class Fit:
    """What a page holds: so many top images of each of the first so many units, reduced to `side` pixels."""

    units: int
    each: int
    side: int


def fit(ids: Array, image_bytes: Callable[[int], float], region_bytes: float, room: float) -> Fit:
    """Return what fits.

    Args:
        ids: int [u, k], the top images of each unit, best first; units whose images matter most come first.
        image_bytes: of an image reduced to a side.
        region_bytes: of a region.
        room: bytes in all.
    """
    units, top = ids.shape
    least = min(LEAST, top)

    def size(units: int, each: int, side: int) -> float:
        images = len(np.unique(ids[:units, :each]))
        return images * image_bytes(side) + units * each * region_bytes

    for side, fewest in zip(SIDES, (min(CARD, top), least), strict=True):
        for each in range(top, fewest - 1, -1):
            if size(units, each, side) <= room:
                return Fit(units, each, side)
    low, high = 0, units - 1  # a binary search: more units never take less
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(middle, least, SIDES[-1]) <= room else (low, middle - 1)
    return Fit(low, least, SIDES[-1])
