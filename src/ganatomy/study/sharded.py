"""A step is counted shard by shard into a partial file, and moved into place when all of them are merged in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from ganatomy.core.progress import Progress, listening
from ganatomy.core.tensor_files import SUFFIX
from ganatomy.engines import Engine
from ganatomy.engines.memory import trim_heap
from ganatomy.study.files import StoredTensors, TensorState, write_tensors, writing

M = TypeVar("M", bound="Mergeable")

IN_MEMORY = 1 << 28
"""What is merged stays in memory up to so many bytes; what is larger is merged from file to file, part by part."""
SAVE_RATIO = 10
"""Keeping what is merged may take one part in so many of the time; one process that counts has time for each shard."""


@runtime_checkable
class Mergeable(TensorState, Protocol):
    """A statistic that can be counted shard by shard."""

    def merge(self: M, other: M) -> M:
        """Return the statistic of both samples."""


class Appended:
    """A statistic of one row or more an image, which merging joins: between savings only what is new is in memory."""


@dataclass(frozen=True)
class ShardedStep(Generic[M]):
    """What is to be counted.

    Attributes:
        kept: called when shards are merged into the file.
        check: called before that; raises where the study is not there any more.
    """

    name: str
    kind: type[M]
    work: Callable[[range], M]
    shards: Sequence[range]
    kept: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None


def partial_of(path: Path) -> Path:
    """Return where a file is while its shards are still being counted."""
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.partial{SUFFIX}")


def count(path: Path, job: ShardedStep[M], engine: Engine, progress: Progress) -> None:
    """Count what is missing of a file; goes on after the last shard kept."""
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
            for pieces in _count(partial, job, engine):
                done += pieces
                if done > shown:
                    heard(done - shown)
    finally:
        progress.end()
    trim_heap(0)  # what was merged is done with, and what reads it may need as much
    job.check()
    with writing(path):
        partial.replace(path)


def _count(partial: Path, job: ShardedStep[M], engine: Engine) -> Iterator[int]:
    """Merge the shards into the partial file, in their order; yield how many pieces are done, or were so before."""
    shards = job.shards
    total: M | None = None
    done = 0
    if partial.exists():
        state = StoredTensors(partial)
        total, done = job.kind.from_state(state), state.shards
    yield sum(map(len, shards[:done]))
    kept, cost, since = done, 0.0, perf_counter()
    try:
        for number, result in engine(job.work, shards[done:]):
            own = job.kind.from_state(_OnCpu(result.state_dict()))
            total = own if total is None else total.merge(own)
            done += number
            del result, own  # whose tables would wait for the next ones
            appended = isinstance(total, Appended)
            held, start = total if appended else _held(total), perf_counter()
            if held is None or start - since >= SAVE_RATIO * cost or done == len(shards):
                job.check()
                write_tensors(partial, total if held is None else held, done)
                kept, since = done, perf_counter()
                cost = since - start
                held = None if appended else held
                job.kept()
            total = job.kind.from_state(StoredTensors(partial)) if held is None else held
            yield sum(map(len, shards[done - number : done]))
    finally:
        if total is not None and done > kept:
            job.check()
            write_tensors(partial, total, done)
    if done != len(shards):
        raise RuntimeError(f"the engine handed over {done} of {len(shards)} shards")


class _OnCpu(Mapping[str, Tensor]):
    """Tensors, each as it is written when it is asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name].detach().cpu().contiguous()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _held(total: M) -> M | None:
    """Return a statistic with all that it is made of in memory; None if that is too large, and can be read in parts."""
    state = total.state_dict()
    if isinstance(state, dict):
        return total
    held, size = {}, 0
    for name in state:
        held[name] = state[name]
        size += held[name].nbytes
        if size > IN_MEMORY:
            return None
    return type(total).from_state(held)
