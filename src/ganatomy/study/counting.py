"""A step is counted shard by shard into a partial file, and moved into place when all of them are merged in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Generic, Protocol, TypeVar, runtime_checkable

from ganatomy.execute import Executor
from ganatomy.progress import Progress, listening
from ganatomy.study.files import Stored, on_cpu, read_tensors, write_tensors, writing

M = TypeVar("M", bound="Mergeable")

SELDOM = 10
"""Keeping what is merged may take one part in so many of the time; one process that counts has time for each shard."""


@runtime_checkable
class Mergeable(Stored, Protocol):
    """A statistic that can be counted shard by shard."""

    def merge(self: M, other: M) -> M:
        """Return the statistic of both samples."""
        ...


@dataclass(frozen=True)
class Job(Generic[M]):
    """What is to be counted.

    Attributes:
        name: what the progress is shown as.
        kind: of the statistic.
        work: what counts one shard.
        shards: all of them, in the order in which they are merged.
        kept: is called when some are merged into the file.
        check: is called before that; raises where the study is not there any more.
    """

    name: str
    kind: type[M]
    work: Callable[[range], M]
    shards: Sequence[range]
    kept: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None


def partial_of(path: Path) -> Path:
    """Return where a file is while its shards are still being counted."""
    return path.with_name(f"{path.name.removesuffix('.safetensors')}.partial.safetensors")


def count(path: Path, job: Job[M], execute: Executor, progress: Progress) -> None:
    """Count what is missing of a file; goes on after the last shard kept.

    Raises:
        BadFile: what was kept is damaged.
        StudyError: it cannot be written; what was there stays whole.
    """
    partial = partial_of(path)
    total = sum(map(len, job.shards))
    progress.begin(job.name, total)
    shown = done = 0

    def heard(pieces: int) -> None:  # of workers' shards, too, whose turn is yet to come; or that they count again
        nonlocal shown
        pieces = min(pieces, total - shown)
        shown += pieces
        progress.advance(pieces)

    try:
        with listening(heard):
            for pieces in _count(partial, job, execute):
                done += pieces
                if done > shown:
                    heard(done - shown)
    finally:
        progress.end()
    job.check()
    with writing(path):
        partial.replace(path)


def _count(partial: Path, job: Job[M], execute: Executor) -> Iterator[int]:
    """Merge the shards into the partial file, in their order; yield how many pieces are done, or were so before."""
    shards = job.shards
    total: M | None = None
    done = 0
    if partial.exists():
        state, done = read_tensors(partial)
        total = job.kind.from_state(state)
    yield sum(map(len, shards[:done]))
    kept, cost, since = done, 0.0, perf_counter()
    try:
        for number, result in execute(job.work, shards[done:]):
            own = job.kind.from_state(on_cpu(result))
            total = own if total is None else total.merge(own)
            done += number
            start = perf_counter()
            if start - since >= SELDOM * cost or done == len(shards):
                job.check()
                write_tensors(partial, total, done)
                kept, since = done, perf_counter()
                cost = since - start
                job.kept()
            yield sum(map(len, shards[done - number : done]))
    finally:
        if total is not None and done > kept:
            job.check()
            write_tensors(partial, total, done)
    if done != len(shards):
        raise RuntimeError(f"the engine handed over {done} of {len(shards)} shards")
