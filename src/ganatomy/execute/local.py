"""The plain engine: one shard after the other, in this process."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

A = TypeVar("A")


def local(work: Callable[[range], A], shards: Sequence[range]) -> Iterator[A]:
    """Yield the result of every shard, in shard order.

    >>> list(local(sum, [range(3), range(3, 5)]))
    [3, 7]
    """
    return map(work, shards)
