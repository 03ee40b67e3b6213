"""Statistics over a sample that never fits in memory: fed in batches, merged across shards, kept on disk."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from ganatomy.errors import BadValue

Merge = Callable[[Tensor, Tensor], Tensor]
A = TypeVar("A", bound="Accumulator")


def add(a: Tensor, b: Tensor) -> Tensor:
    """Merge counts and sums."""
    return a + b


def same(a: Tensor, b: Tensor) -> Tensor:
    """Keep what must not differ between shards, such as the levels that they were counted at."""
    if not torch.equal(a, b):
        raise BadValue("statistics that were not gathered alike cannot be merged")
    return a


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
        """Return the statistic of both samples together.

        Raises:
            BadValue: they are of another kind or shape, or were not gathered alike.
        """
        mine, others = self.state_dict(), other.state_dict()
        shapes = {name: tensor.shape for name, tensor in mine.items()}
        if type(self) is not type(other) or shapes != {name: tensor.shape for name, tensor in others.items()}:
            raise BadValue(f"a {type(other).__name__} of another shape cannot be merged into a {type(self).__name__}")
        return self.from_state({name: join(mine[name], others[name]) for name, join in self.FIELDS.items()})

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
