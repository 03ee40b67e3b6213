"""A step counted in parts: processes that know nothing of each other but the study directory that they share.

::

    DIR/steps/NAME.parts.json                        how the shards are shared out; settled by whoever comes first
    DIR/steps/NAME.part-003-of-016.npz               a part; .partial.npz while it is being counted

A part is a run of neighbouring shards. Whoever finds all parts there merges them in their order into the step, and
removes them. So counts are to the bit those of one process, and sums of floats are up to rounding.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ganatomy.errors import BadFile, BadValue, GanatomyError, PartsMissing, StudyError
from ganatomy.execute import Executor, local
from ganatomy.files import read_json, write_text
from ganatomy.progress import Progress
from ganatomy.store import named
from ganatomy.study.counting import Job, Mergeable, count, partial_of
from ganatomy.study.files import damaged, read_tensors, write_tensors, writing
from ganatomy.tensor_files import SUFFIX

A = TypeVar("A")
M = TypeVar("M", bound="Mergeable")
Alone = Callable[[], AbstractContextManager[None]]

PAUSE, LONGEST = 1.0, 30.0
"""Seconds between two looks for what other parts have done: the first ones, and the last ones of a long wait."""
MOST = 100_000
"""Parts that one may ask for."""


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

    Raises:
        BadValue: no such part.
    """

    number: int
    of: int
    wait: float = 0.0
    execute: Executor = field(default=local, repr=False)

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
    def read(cls, text: str, wait: float = 0.0, execute: Executor = local) -> "Part":
        """Read ``3/16``.

        Raises:
            BadValue: it says something else.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.strip().isdecimal() and of.strip().isdecimal()):
            raise BadValue(f"{text!r} names no part; give 3/16, the third of 16")
        return cls(int(number), int(of), wait, execute)

    @property
    def mark(self) -> str:
        """What is in the names of its files."""
        return mark(self.number, self.of)

    def __call__(self, work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        """Count some shards with its own engine."""
        return self.execute(work, shards)


@dataclass(frozen=True)
class Plan:
    """How the shards of a step are shared out; the same for all parts.

    Attributes:
        kind: name of the class of the statistic.
        of: how many parts there are.
        first: shards that had been counted without parts before, which the partial file of the step holds.
        shards: how many the step has.
    """

    kind: str
    of: int
    first: int
    shards: int

    def own(self, number: int) -> range:
        """Return which shards a part counts, perhaps none.

        >>> [list(Plan("Sum", of=4, first=1, shards=7).own(number)) for number in (1, 2, 3, 4)]
        [[1, 2], [3], [4, 5], [6]]
        """
        start, stop = (self.first - (self.first - self.shards) * i // self.of for i in (number - 1, number))
        return range(start, stop)

    def files(self, path: Path) -> dict[int, Path]:
        """Return the file of every part that counts anything, by its number."""
        return {i: part_file(path, i, self.of) for i in range(1, self.of + 1) if self.own(i)}

    def missing(self, path: Path) -> list[int]:
        """Return the parts that are not there."""
        return [number for number, file in self.files(path).items() if not file.exists()]


def mark(number: int, of: int) -> str:
    """Return what is in the names of all files of a part, and of no others."""
    return f".part-{number:03d}-of-{of:03d}."


def part_file(path: Path, number: int, of: int) -> Path:
    """Return where a part of a step lies."""
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}{mark(number, of).removesuffix('.')}{SUFFIX}")


def plan_file(path: Path) -> Path:
    """Return where it lies how a step is shared out."""
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.parts.json")


def read_plan(path: Path) -> Plan | None:
    """Return how a step is shared out, if it is.

    Raises:
        BadFile: that file is damaged.
    """
    file = plan_file(path)
    try:
        plan = Plan(**read_json(file))
        if [type(value) for value in asdict(plan).values()] != [str, int, int, int]:
            raise TypeError("what it says are no whole numbers")
        if not (0 <= plan.first <= plan.shards <= sys.maxsize and plan.shards and 1 <= plan.of <= MOST):
            raise ValueError("there are no such parts")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise damaged(file, error) from error
    return plan


def count_in_parts(path: Path, job: Job[M], part: Part, alone: Alone, progress: Progress) -> None:
    """Count a part of a step; if it was the last to come, or the others come while it waits, merge them all.

    Raises:
        PartsMissing: others are not there yet; names them.
        StudyError: the step is being counted in another number of parts, or it cannot be written.
        BadFile: a file of the step is damaged.
    """
    with alone():
        if path.exists():
            return
        plan = _settled(path, job, part)
        missing = plan.missing(path)
    if part.number in missing:
        _count_part(path, job, plan, (part.number, part.execute), progress)
    missing = _merge_or_missing(path, job, plan, alone)
    if missing and part.wait:
        missing = _waited(path, job, plan, (part, alone), progress)
    if missing:
        told = f"part {part} of {job.name} is done" if plan.own(part.number) else f"{job.name} needs no part {part}"
        raise PartsMissing(
            f"{told}; still missing: {numbers(missing)} of {part.of} in {_study(path)}; when all are done, run the "
            "same command again, with --shard or, to do the rest alone, without",
            _study(path),
            job.name,
            missing,
        )


def count_missing(path: Path, job: Job[M], execute: Executor, progress: Progress) -> None:
    """Count, in a process that is alone, all parts of a step that are not there; then merge them.

    Raises:
        StudyError: it cannot be written.
        BadFile: a file of the step is damaged.
    """
    plan = _settled(path, job, None)
    for number in plan.missing(path):
        _count_part(path, job, plan, (number, execute), progress)
    _merge(path, job.kind, plan)


def merged(kind: type[M], plan: Plan, files: Mapping[int, Path], before: Path) -> M:
    """Return the statistic of all parts, merged in their order.

    Args:
        kind: of the statistic.
        plan: what the parts are.
        files: of every part that counts anything.
        before: what had been counted without parts.

    Raises:
        BadFile: a file is damaged, or holds other shards.
    """
    pieces = [(before, plan.first)] if plan.first else []
    pieces += [(file, len(plan.own(number))) for number, file in sorted(files.items())]
    total: M | None = None
    for file, shards in pieces:
        state, found = read_tensors(file)
        if found != shards:
            raise BadFile(f"{file}: holds {found} shards, not {shards}; remove it, and run that part again")
        try:
            own = kind.from_state(state)
            total = own if total is None else total.merge(own)
        except (GanatomyError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(file, error) from error
    assert total is not None
    return total


def clear(path: Path) -> None:
    """Remove the parts of a step that is there, as a kill may have left them."""
    plan = read_plan(path)
    if plan is not None and path.exists():
        for file in (path, *plan.files(path).values()):
            partial_of(file).unlink(missing_ok=True)
            if file != path:
                file.unlink(missing_ok=True)
        plan_file(path).unlink(missing_ok=True)


def numbers(parts: Sequence[int]) -> str:
    """Say some numbers, as ``sbatch --array`` takes them.

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
    return named(path.parent.parent)


def _settled(path: Path, job: Job[M], part: Part | None) -> Plan:
    """Return how a step is shared out; settle it if this part is the first to come."""
    plan = read_plan(path)
    if plan is None:
        assert part is not None
        partial = partial_of(path)
        first = read_tensors(partial)[1] if partial.exists() else 0
        plan = Plan(job.kind.__name__, part.of, first, len(job.shards))
        with writing(path):
            write_text(plan_file(path), json.dumps(asdict(plan)) + "\n")
    if (plan.kind, plan.shards) != (job.kind.__name__, len(job.shards)):
        raise BadFile(f"{plan_file(path)}: is of another step; remove it, and the parts beside it")
    if part is not None and part.of != plan.of:
        raise StudyError(
            f"{job.name} of {_study(path)} is being counted in {plan.of} parts, not {part.of}; give --shard "
            f"N/{plan.of}, or run it once without --shard, which counts what is missing"
        )
    return plan


def _count_part(path: Path, job: Job[M], plan: Plan, how: tuple[int, Executor], progress: Progress) -> None:
    number, execute = how
    own = plan.own(number)
    shards = job.shards[own.start : own.stop]
    name = f"{job.name}, part {number}/{plan.of}"
    count(part_file(path, number, plan.of), replace(job, name=name, shards=shards), execute, progress)


def _merge_or_missing(path: Path, job: Job[M], plan: Plan, alone: Alone) -> list[int]:
    """Merge the parts if all are there; else return those that are not."""
    with alone():
        if path.exists():
            return []
        missing = plan.missing(path)
        if not missing:
            _merge(path, job.kind, plan)
        return missing


def _merge(path: Path, kind: type[M], plan: Plan) -> None:
    write_tensors(path, merged(kind, plan, plan.files(path), partial_of(path)), plan.shards)
    clear(path)


def _waited(path: Path, job: Job[M], plan: Plan, who: tuple[Part, Alone], progress: Progress) -> list[int]:
    """Wait for the other parts for as long as is asked for; return those that did not come."""
    part, alone = who
    until, pause = time.monotonic() + 60 * part.wait, PAUSE
    count, there = len(plan.files(path)), 0
    progress.begin(f"{job.name}, waiting for other parts", count)
    try:
        while missing := _merge_or_missing(path, job, plan, alone):
            progress.advance(count - len(missing) - there)
            there = count - len(missing)
            if time.monotonic() >= until:
                break
            time.sleep(min(pause, max(until - time.monotonic(), 0)))
            pause = min(1.2 * pause, LONGEST)
    finally:
        progress.end()
    return missing
