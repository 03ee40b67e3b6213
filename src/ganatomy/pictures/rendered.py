"""Scenes that are drawn when they are looked at, each with an exact label for every pixel: a set without files."""

from collections.abc import Sequence

import numpy as np
import torch

from ganatomy.errors import BadValue, UnknownName
from ganatomy.pictures.protocol import Frame
from ganatomy.scenes import PLANES, VOCABULARY, grammar, render
from ganatomy.scenes.render import Rendered
from ganatomy.types import Images, Labels
from ganatomy.vocabulary import Vocabulary
from ganatomy.weights import fingerprint

SHIFT = 24
"""A number holds the seed above so many bits, and the scene below."""


class RenderedScenes:
    """The scenes of one category, as many as one likes.

    >>> scenes = RenderedScenes("church")
    >>> scenes.images(scenes.numbers(range(2), seed=0), Frame(32)).shape
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

    def numbers(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return the numbers of scenes: the seed and the id of each."""
        if split:
            raise UnknownName(f"split of {self.name}", split, ())
        if not 0 <= seed < 1 << SHIFT or (ids and not 0 <= ids.start <= ids.stop <= 1 << SHIFT):
            raise BadValue(f"{self.name}: seeds and image numbers go from 0 to {(1 << SHIFT) - 1}")
        return [(seed << SHIFT) + i for i in ids]

    def images(self, numbers: Sequence[int], frame: Frame) -> Images:
        """Return scenes, drawn at the size of the frame; what is no square is the middle of one."""
        return torch.from_numpy(self._rendered(numbers, frame).images).float() / 127.5 - 1

    def labels(self, numbers: Sequence[int], frame: Frame) -> Labels:
        """Return what is seen at the centre of each pixel."""
        return torch.from_numpy(self._rendered(numbers, frame).labels.astype(np.int64))

    def truth(self, numbers: Sequence[int]) -> list[int]:
        """Return -1 for each scene: they are in no classes."""
        return [-1] * len(numbers)

    def _rendered(self, numbers: Sequence[int], frame: Frame) -> Rendered:
        if frame.crop:
            raise BadValue(f"{self.name} are drawn at the size that is asked for; leave out crop={frame.crop:g}")
        side = max(frame.shape)
        parts = [
            render(self._category, run, side, seed)
            for seed, run in _runs(numbers) or [(0, range(0))]  # of no scenes too, the shape is known
        ]
        down, across = (slice((side - own) // 2, (side + own) // 2) for own in frame.shape)
        images, labels = (np.concatenate(planes) for planes in zip(*((p.images, p.labels) for p in parts), strict=True))
        return Rendered(images[..., down, across], labels[..., down, across])


def _runs(numbers: Sequence[int]) -> list[tuple[int, range]]:
    """Return the numbers as runs of consecutive scenes of one seed, in their order: many at once are quicker."""
    runs: list[tuple[int, range]] = []
    for number in numbers:
        seed, i = number >> SHIFT, number & ((1 << SHIFT) - 1)
        if runs and runs[-1][0] == seed and runs[-1][1].stop == i:
            runs[-1] = (seed, range(runs[-1][1].start, i + 1))
        else:
            runs.append((seed, range(i, i + 1)))
    return runs
