"""Random draws that depend on (seed, scene, name) only, whatever the batch."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ganatomy.scenes.arrays import Indices, Mask, Plane, Value


class SeededRandom:
    """Named random numbers for a batch of scenes, as arrays [n, 1, 1] unless said otherwise.

    A number is a hash of (seed, scene, name): nothing is consumed, so a scene is the same in any batch and at any size.

    >>> from ganatomy.scenes.seeded_random import SeededRandom
    >>> bool(SeededRandom(0, [7, 8]).uniform("x")[1] == SeededRandom(0, [8]).uniform("x")[0])
    True
    """

    def __init__(self, seed: int, ids: Sequence[int] | NDArray[np.uint64]) -> None:
        self.seed = seed
        self.ids = np.asarray(ids, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: slice | Indices) -> "SeededRandom":
        """The same draws for some of the scenes."""
        return SeededRandom(self.seed, self.ids[rows])

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Plane:
        """Uniform in [low, high), shape [n, 1, 1]."""
        return (low + (high - low) * self._unit(name, 1)).astype(np.float32)[:, :, None]

    def chance(self, name: str, probability: Value) -> Mask:
        """True with the given probability, shape [n, 1, 1]."""
        return self.uniform(name) < probability

    def choice(self, name: str, weights: Sequence[float]) -> Indices:
        """An index drawn by weight, shape [n]."""
        edges = np.cumsum(weights) / np.sum(weights)
        return np.minimum(np.searchsorted(edges, self._unit(name, 1)[:, 0], side="right"), len(weights) - 1)

    def lattice(self, name: str, cells: int) -> Plane:
        """Independent values in [-1, 1) on a grid, shape [n, cells, cells]."""
        return (2 * self._unit(name, cells * cells) - 1).astype(np.float32).reshape(-1, cells, cells)

    def _unit(self, name: str, count: int) -> Plane:
        """Uniform in [0, 1), float64, shape [n, count]: SplitMix64's finaliser over a mixed key."""
        stream = _mix(np.array([zlib.crc32(name.encode()), self.seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64))
        key = _mix(self.ids + stream[0])[:, None] + stream[1]
        return (_mix(key + _ODD * np.arange(count, dtype=np.uint64)) >> np.uint64(11)) * 2.0**-53


_ODD = np.uint64(0x9E3779B97F4A7C15)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + _ODD
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
