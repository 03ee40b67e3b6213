"""Scenes that are rendered on demand, with an exact label for every pixel: a dataset without files."""

from collections.abc import Sequence

import numpy as np
import torch

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.core.vocabulary import Vocabulary
from ganatomy.datasets.protocol import CropSpec
from ganatomy.scenes import PLANES, VOCABULARY, grammar, render
from ganatomy.scenes.render import Rendered

SHIFT = 24
"""An index holds the seed above so many bits, and the scene below."""


class RenderedScenes:
    """All scenes of one category.

    >>> scenes = RenderedScenes("church")
    >>> scenes.images(scenes.sample_indices(range(2), seed=0), CropSpec(32)).shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, category: str) -> None:
        grammar(category)
        self.name = f"scenes:{category}"
        self.fingerprint = fingerprint({}, self.name, VOCABULARY)
        self.classes: tuple[str, ...] = ()
        self.vocabulary: Vocabulary = VOCABULARY
        self.planes: tuple[str, ...] = PLANES
        self._category = category

    def sample_indices(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return the indices of scenes, made of the seed and the ids."""
        if split:
            raise UnknownName(f"split of {self.name}", split, ())
        if not 0 <= seed < 1 << SHIFT or (ids and not 0 <= ids.start <= ids.stop <= 1 << SHIFT):
            raise BadValue(f"{self.name}: seeds and image numbers go from 0 to {(1 << SHIFT) - 1}")
        return [(seed << SHIFT) + i for i in ids]

    def images(self, indices: Sequence[int], crop: CropSpec) -> Images:
        """Return scenes, rendered at that size; an oblong is the middle of a square."""
        return torch.from_numpy(self._rendered(indices, crop).images).float() / 127.5 - 1

    def labels(self, indices: Sequence[int], crop: CropSpec) -> Labels:
        """Return the concepts at the centre of each pixel."""
        return torch.from_numpy(self._rendered(indices, crop).labels.astype(np.int64))

    def class_ids(self, indices: Sequence[int]) -> list[int]:
        """Return -1 for each scene: there are no classes."""
        return [-1] * len(indices)

    def _rendered(self, indices: Sequence[int], crop: CropSpec) -> Rendered:
        if crop.crop:
            raise BadValue(f"{self.name} are drawn at the size that is asked for; leave out crop={crop.crop:g}")
        side = max(crop.shape)
        parts = [
            render(self._category, run, side, seed)
            for seed, run in _runs(indices) or [(0, range(0))]  # of no scenes too, the shape is known
        ]
        down, across = (slice((side - own) // 2, (side + own) // 2) for own in crop.shape)
        images, labels = (np.concatenate(planes) for planes in zip(*((p.images, p.labels) for p in parts), strict=True))
        return Rendered(images[..., down, across], labels[..., down, across])


def _runs(indices: Sequence[int]) -> list[tuple[int, range]]:
    """Return the indices as runs of consecutive scenes of one seed, which are rendered faster."""
    runs: list[tuple[int, range]] = []
    for index in indices:
        seed, i = index >> SHIFT, index & ((1 << SHIFT) - 1)
        if runs and runs[-1][0] == seed and runs[-1][1].stop == i:
            runs[-1] = (seed, range(runs[-1][1].start, i + 1))
        else:
            runs.append((seed, range(i, i + 1)))
    return runs
