"""Pairs of scenes that differ in one kind of object: it is drawn in one, and left out of the other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganatomy.core.vocabulary import Concept
from ganatomy.scenes.arrays import Bytes, Mask
from ganatomy.scenes.grammar import INDEX, grammar
from ganatomy.scenes.render import Rendered, render

LEAST = 0.003
"""Share of the pixels that the object must cover."""
EDGE = 2
"""Pixels around an object that its soft edge may reach at 64 pixels a side."""
TRIED = 4
"""Scenes with a kind of object that are drawn without it for each pair of it, at most."""
SCENES = 400
"""Scenes that are looked through."""


@dataclass(frozen=True, eq=False)
class ScenePairs:
    """Images [n, 3, size, size] RGB with a kind of object and without it, and where it stood [n, size, size]."""

    shown: Bytes
    without: Bytes
    where: Mask

    def __len__(self) -> int:
        return len(self.shown)


def scene_pairs(
    category: str, count: int, size: int = 64, seed: int = 0, scenes: int = SCENES
) -> Mapping[str, ScenePairs]:
    """Return pairs of scenes by the kind of object that one of them lacks.

    All pixels are equal but those where it stood, and their edge; so what carries others, as a building does its
    windows, makes no pair where it does. Kinds without any pair are left out.

    Args:
        category: of the scenes.
        count: of each kind, at most.
        size: pixels a side.
        seed: of the scenes.
        scenes: how many are looked through.

    >>> pairs = scene_pairs("church", 1, scenes=8)["cloud"]
    >>> len(pairs), bool((pairs.shown != pairs.without).any(1)[pairs.where].any())
    (1, True)
    """
    ids = range(scenes)
    whole, found = render(category, ids, size, seed), dict[str, ScenePairs]()
    for name in grammar(category).rules:
        own = INDEX[Concept(name, "object")]
        shown = whole.labels[:, 0] == own
        picked = np.flatnonzero(shown.mean((1, 2)) >= LEAST)[: TRIED * count]
        if not len(picked):
            continue
        lacking = render(category, picked.tolist(), size, seed, without=name)
        kept = _exact(Rendered(whole.images[picked], whole.labels[picked]), lacking, shown[picked])[:count]
        if len(kept):
            rows = picked[kept]
            found[name] = ScenePairs(whole.images[rows], lacking.images[kept], shown[rows])
    return found


def _exact(whole: Rendered, lacking: Rendered, shown: Mask) -> NDArray[np.int64]:
    """Return which pairs differ nowhere but where the object stood: labels there, pixels there and at its edge."""
    labels = ((whole.labels != lacking.labels).any(1) & ~shown).any((1, 2))
    pixels = ((whole.images != lacking.images).any(1) & ~_wider(shown)).any((1, 2))
    return np.flatnonzero(~labels & ~pixels)


def _wider(shown: Mask) -> Mask:
    """Return masks with their edges."""
    reach = max(1, EDGE * shown.shape[-1] // 64)
    wide = np.pad(shown, ((0, 0), (reach, reach), (reach, reach)))
    height, width = shown.shape[1:]
    steps = range(2 * reach + 1)
    moved: list[Mask] = [wide[:, down : down + height, right : right + width] for down in steps for right in steps]
    found: Mask = np.logical_or.reduce(moved)
    return found
