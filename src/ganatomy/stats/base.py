"""Statistics over a sample that never fits in memory: fed in batches, merged across shards, kept on disk."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue

Merge = Callable[[Tensor, Tensor], Tensor]
A = TypeVar("A", bound="Accumulator")


def add(a: Tensor, b: Tensor) -> Tensor:
    """Merge counts and sums."""
    return a + b


def require_equal(a: Tensor, b: Tensor) -> Tensor:
    """Keep what must not differ between shards, such as the levels that they were counted at."""
    if not torch.equal(a, b):
        raise BadValue("statistics that were not gathered alike cannot be merged")
    return a


def concat(a: Tensor, b: Tensor) -> Tensor:
    """Merge tables of one row an image, in the order of the shards."""
    return torch.cat([a, b])


def zeros(shape: Sequence[int], kind: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Return counters of 0; on a CPU what nobody writes to takes no memory."""
    if torch.device(device).type != "cpu":
        return torch.zeros(*shape, dtype=kind, device=device)
    return torch.from_numpy(np.zeros(shape, np.int32 if kind == torch.int32 else np.int64))


class Accumulator(ABC):
    """A statistic held as sufficient statistics: counts, sums and maxima, never a ratio or a mean.

    Subclasses name their tensors in `FIELDS`, each with the function that merges it, and set them as attributes.
    Merging is associative, so that any sharding of a sample gives what one pass gives.
    """

    FIELDS: ClassVar[Mapping[str, Merge]]

    @abstractmethod
    def update(self, *batch: Tensor) -> None:
        """Take in one batch."""

    def merge(self: A, other: A) -> A:
        """Return the statistic of both samples together."""
        mine, others = self.state_dict(), other.state_dict()
        if type(self) is not type(other) or self._shapes(mine) != self._shapes(others):
            raise BadValue(f"a {type(other).__name__} of another shape cannot be merged into a {type(self).__name__}")
        return self.from_state({name: merge(mine[name], others[name]) for name, merge in self.FIELDS.items()})

    def _shapes(self, state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
        return {name: state[name].shape[1 if merge is concat else 0 :] for name, merge in self.FIELDS.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sufficient statistics by name."""
        return {name: getattr(self, name) for name in self.FIELDS}

    @classmethod
    def from_state(cls: type[A], state: Mapping[str, Tensor]) -> A:
        """Build the statistic from what `state_dict` returned."""
        self = cls.__new__(cls)
        for name in cls.FIELDS:
            setattr(self, name, state[name])
        return self
