"""The plain engine: one shard after the other, in this process."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ganatomy.execute.memory import give_back

A = TypeVar("A")


def local(work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
    """Yield the result of every shard, in shard order, each by itself.

    >>> list(local(sum, [range(3), range(3, 5)]))
    [(1, 3), (1, 7)]
    """
    for shard in shards:
        yield 1, work(shard)
        give_back()
