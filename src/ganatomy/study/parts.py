"""A step counted in parts, by processes that share nothing but the study directory.

::

    DIR/steps/NAME.part-003-of-016.npz               a part; .partial.npz while it is being counted

A part is a run of neighbouring shards. The process that finds all parts there merges them in their order into the
step, and removes them: counts are to the bit those of one process, sums of floats up to rounding.
"""

import glob
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from ganatomy.core.errors import BadFile, BadValue, GanatomyError, PartsMissing, StudyError
from ganatomy.core.progress import Progress
from ganatomy.core.tensor_files import SUFFIX
from ganatomy.engines import Engine, local
from ganatomy.remote import display_path
from ganatomy.study.files import StoredTensors, damaged, write_tensors
from ganatomy.study.sharded import Mergeable, ShardedStep, count, partial_of

A = TypeVar("A")
M = TypeVar("M", bound="Mergeable")
Exclusive = Callable[[], AbstractContextManager[None]]

PAUSE, LONGEST = 1.0, 30.0
"""Seconds between two looks for what other parts have done: the first ones, and the last ones of a long wait."""
MOST = 100_000
"""Parts that one may ask for."""
PART = re.compile(r"(.+)\.part-(\d{3,6})-of-(\d{3,6})(\.partial)?\.npz")
"""The name of the file of a part: step, number, how many, whether it is unfinished."""


@dataclass(frozen=True)
class Part:
    """One of several processes that count a study side by side; it stands where an engine stands.

    >>> Part(3, 16), str(Part.read("3/16", wait=30))
    (Part(number=3, of=16, wait=0.0), '3/16')

    Attributes:
        number: which, from 1 on.
        of: how many there are.
        wait: minutes to wait for the others, wherever all are needed to go on.
        execute: the engine that counts this part.
    """

    number: int
    of: int
    wait: float = 0.0
    engine: Engine = field(default=local, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no part."""
        if not 1 <= self.of <= MOST:
            raise BadValue(f"{self} asks for {self.of} parts; give 1 to {MOST} of them")
        if not 1 <= self.number <= self.of:
            raise BadValue(f"there is no part {self}: they are counted from 1; give 1/{self.of} to {self.of}/{self.of}")
        if not 0 <= self.wait < math.inf:
            raise BadValue(f"wait={self.wait} is no number of minutes to wait for the other parts; give 0 or more")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str, wait: float = 0.0, engine: Engine = local) -> "Part":
        """Read ``3/16``."""
        number, slash, of = text.partition("/")
        if not (slash and number.strip().isdecimal() and of.strip().isdecimal()):
            raise BadValue(f"{text!r} names no part; give 3/16, the third of 16")
        return cls(int(number), int(of), wait, engine)

    @property
    def mark(self) -> str:
        """What the names of its files have, and no others."""
        return f".part-{self.number:03d}-of-{self.of:03d}."

    def __call__(self, work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        """Count some shards with its own engine."""
        return self.engine(work, shards)


@dataclass(frozen=True)
class ShardPlan(Generic[M]):
    """Which shards of a step each part counts.

    Attributes:
        path: of the step.
        job: what is counted.
        of: how many parts there are.
        first: shards that had been counted without parts before, which the partial file of the step holds.
    """

    path: Path
    job: ShardedStep[M]
    of: int
    first: int

    def own(self, number: int) -> range:
        """Return which shards a part counts, perhaps none."""
        left = len(self.job.shards) - self.first
        start, stop = (self.first + -(-left * i // self.of) for i in (number - 1, number))
        return range(start, stop)

    def files(self) -> dict[int, Path]:
        """Return the file of every part that counts anything, by its number."""
        stem = self.path.name.removesuffix(SUFFIX)
        numbers = [number for number in range(1, self.of + 1) if self.own(number)]
        return {i: self.path.with_name(f"{stem}{Part(i, self.of).mark.removesuffix('.')}{SUFFIX}") for i in numbers}

    def missing(self) -> list[int]:
        """Return the parts that are not there."""
        return [number for number, file in self.files().items() if not file.exists()]

    def count(self, number: int, engine: Engine, progress: Progress) -> None:
        """Count a part."""
        own = self.own(number)
        job = replace(
            self.job, name=f"{self.job.name}, part {number}/{self.of}", shards=self.job.shards[own.start : own.stop]
        )
        count(self.files()[number], job, engine, progress)

    def merge(self) -> None:
        """Merge all parts in their order into the step, and remove them."""
        pieces = [(partial_of(self.path), self.first)] if self.first else []
        pieces += [(file, len(self.own(number))) for number, file in self.files().items()]
        total: M | None = None
        for file, shards in pieces:
            state = StoredTensors(file)
            if state.shards != shards:
                raise BadFile(f"{file}: holds {state.shards} shards, not {shards}; remove it, and run that part again")
            try:
                own = self.job.kind.from_state(state)
                total = own if total is None else total.merge(own)
            except (GanatomyError, LookupError, TypeError, ValueError, RuntimeError) as error:
                raise damaged(file, error) from error
        assert total is not None
        write_tensors(self.path, total, len(self.job.shards))
        remove_merged(self.path.parent)


def find_plan(path: Path, job: ShardedStep[M], of: int = 0) -> ShardPlan[M] | None:
    """Return how a step is counted in `of` parts, or in as many as the files there say; None for no parts."""
    found = sorted({int(part[3]) for part in part_files(path)})
    if len(found) > 1:
        kinds = " and of ".join(map(str, found))
        raise StudyError(f"{job.name} of {_study(path)} has files of {kinds} parts; remove all but those of one kind")
    if found and of not in (0, *found):
        raise StudyError(
            f"{job.name} of {_study(path)} is being counted in {found[0]} parts, not {of}; give --shard N/{found[0]}, "
            "or run it once without --shard, which counts what is missing"
        )
    if not (of or found):
        return None
    before = partial_of(path)
    first = StoredTensors(before).shards if before.exists() else 0
    if first > len(job.shards):
        raise BadFile(f"{before}: holds {first} shards of {len(job.shards)}; remove it, and run the same command again")
    return ShardPlan(path, job, of or found[0], first)


def part_files(path: Path) -> list[re.Match[str]]:
    """Return the names of the files that parts of a step have left, finished or not, as `PART` reads them."""
    pattern = f"{glob.escape(path.name.removesuffix(SUFFIX))}.part-*{SUFFIX}"
    return [found for file in sorted(path.parent.glob(pattern)) if (found := PART.fullmatch(file.name))]


def count_part(path: Path, job: ShardedStep[M], part: Part, exclusive: Exclusive, progress: Progress) -> None:
    """Count a part of a step; if it was the last to come, or the others come while it waits, merge them all."""
    with exclusive():
        if path.exists():
            return
        plan = find_plan(path, job, part.of)
        assert plan is not None
        own = part.number in plan.missing()
    if own:
        plan.count(part.number, part.engine, progress)
    missing = _merge_or_missing(plan, exclusive)
    if missing and part.wait:
        missing = _waited(plan, part.wait, exclusive, progress)
    if missing:
        status = f"part {part} of {job.name} is done" if plan.own(part.number) else f"{job.name} needs no part {part}"
        raise PartsMissing(
            f"{status}; still missing: {numbers(missing)} of {part.of} in {_study(path)}; when all are done, run the "
            "same command again, with --shard or, to do the rest alone, without",
            _study(path),
            job.name,
            missing,
        )


def count_all(path: Path, job: ShardedStep[M], engine: Engine, progress: Progress) -> None:
    """Count a step in a process that is alone; if there are parts of it, those that are missing, and merge them."""
    plan = find_plan(path, job)
    if plan is None:
        return count(path, job, engine, progress)
    for number in plan.missing():
        plan.count(number, engine, progress)
    return plan.merge()


def remove_merged(steps: Path) -> None:
    """Remove what is left of the counting of steps that are there: all of it is in them."""
    for file in steps.glob(f"*.part*{SUFFIX}"):
        found = PART.fullmatch(file.name)
        name = found[1] if found else file.name.removesuffix(f".partial{SUFFIX}")
        if (steps / f"{name}{SUFFIX}").exists():
            file.unlink(missing_ok=True)


def numbers(parts: Sequence[int]) -> str:
    """Return numbers as text, as ``sbatch --array`` takes them.

    >>> numbers([2]), numbers([1, 2, 3, 5, 7, 8])
    ('part 2', 'parts 1-3,5,7,8')
    """
    runs: list[list[int]] = []
    for number in parts:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs]
    return f"part{'s' if len(parts) > 1 else ''} {','.join(texts)}"


def _study(path: Path) -> str:
    return display_path(path.parent.parent)


def _merge_or_missing(plan: ShardPlan[M], exclusive: Exclusive) -> list[int]:
    with exclusive():
        missing = [] if plan.path.exists() else plan.missing()
        if not (missing or plan.path.exists()):
            plan.merge()
        return missing


def _waited(plan: ShardPlan[M], minutes: float, exclusive: Exclusive, progress: Progress) -> list[int]:
    until, pause = time.monotonic() + 60 * minutes, PAUSE
    count, there = len(plan.files()), 0
    progress.begin(f"{plan.job.name}, waiting for other parts", count)
    try:
        while missing := _merge_or_missing(plan, exclusive):
            progress.advance(count - len(missing) - there)
            there = count - len(missing)
            if time.monotonic() >= until:
                break
            time.sleep(min(pause, max(until - time.monotonic(), 0)))
            pause = min(1.2 * pause, LONGEST)
    finally:
        progress.end()
    return missing
