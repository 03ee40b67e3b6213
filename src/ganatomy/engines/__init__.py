"""Engines: one function over shards of ids, here or elsewhere; the results come in the same order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from ganatomy.engines.memory import trim_heap

A = TypeVar("A")

__all__ = ["Engine", "local"]


@runtime_checkable
class Engine(Protocol):
    """Runs the same work on every shard.

    The work may be pickled, so it carries names of models, not models. Results come in the order of the shards, each as
    soon as it and all before it are there. An engine may merge neighbours where they were counted, as a tree, and hand
    over one result for several shards: counts stay the same to the bit, and sums of floats up to rounding.
    """

    def __call__(self, work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        """Yield results in shard order, each with the number of shards that are merged in it; together, all of them."""


def local(work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
    """Yield the result of every shard, counted in this process one after the other.

    >>> list(local(sum, [range(3), range(3, 5)]))
    [(1, 3), (1, 7)]
    """
    for shard in shards:
        yield 1, work(shard)
        trim_heap()
