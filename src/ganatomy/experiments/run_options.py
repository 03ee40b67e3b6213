"""How a run goes about it, which is no part of what is asked: another batch, or other shards, find the same study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from ganatomy.core.errors import BadValue
from ganatomy.experiments.option_groups import Run

R = TypeVar("R", bound="RunOptions")
Ids = TypeVar("Ids", bound=Sequence[int])


@dataclass(frozen=True)
class RunOptions:
    """How many images are drawn at once, and kept at once; a study goes on with those that it was begun with.

    Attributes:
        batch: images a forward pass.
        shard: images between two savings.
    """

    LEAST: ClassVar = 1

    batch: Run[int] = 32
    shard: Run[int] = 100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < self.LEAST:
                raise BadValue(f"{name}={value} is too few; give at least {self.LEAST}")

    def take(self: R, options: dict[str, Any]) -> R:
        """Take batch and shard out of options; one that is not given is as here."""
        return replace(self, **{name: options.pop(name) for name in vars(self) if name in options})

    def batches(self, ids: range) -> list[range]:
        """Return ids cut into batches."""
        return cut(ids, self.batch)

    def shards(self, ids: range) -> list[range]:
        """Return ids cut into shards."""
        return cut(ids, self.shard)


RUN = RunOptions()
"""Of an experiment, by default."""


def cut(ids: Ids, size: int) -> list[Ids]:
    """Return ids cut into parts of a size; the last may be shorter.

    >>> cut(range(5), 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [ids[i : i + size] for i in range(0, len(ids), size)]  # type: ignore[misc]  # a slice is of the same type
