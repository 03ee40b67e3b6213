"""Parts that were counted where there is no disk to share are gathered into one study.

Each place has a whole study directory, with the parts that were counted there. What was asked, what was used, and the
steps that several have must be the same; then the parts of a step are merged in their order.
"""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganatomy.errors import StudyError, StudyMismatch
from ganatomy.files import replacing, write_text
from ganatomy.study.counting import Mergeable, partial_of
from ganatomy.study.files import differences, read_record, read_tensors, record_text, write_tensors, writing
from ganatomy.study.lock import Hold
from ganatomy.study.parts import Plan, clear, merged, numbers, plan_file, read_plan
from ganatomy.tensor_files import SUFFIX

UNFINISHED = re.compile(r"\.part-\d+-of-\d+\.|\.partial\.")
KindOf = Callable[[str], type[Mergeable]]


@dataclass(frozen=True)
class Merged:
    """What was merged.

    Attributes:
        directory: of the study that has it now.
        parts: how many there were of each step.
    """

    directory: Path
    parts: Mapping[str, int]


def merge_parts(directories: Sequence[Path], out: Path | None, kind_of: KindOf) -> Merged:
    """Merge the parts that lie in several study directories, or in one.

    Args:
        directories: of the studies.
        out: where to: a new directory, or one of the same study; None for the first of the directories.
        kind_of: finds the class of a statistic by its name.

    Raises:
        StudyMismatch: they are not all of one study; names what differs, and where.
        StudyError: a part is missing, or there twice; there are none at all; or the study cannot be written.
        StudyBusy: another process is writing to it.
        BadFile: a file is damaged.
        UnknownName: there is no such statistic.
    """
    target = directories[0] if out is None else out
    places = list(dict.fromkeys([*directories, *([target] if (target / "study.json").exists() else [])]))
    record = _one_record(places)
    whole = _whole_steps(places)
    names = {file.name.removesuffix(".parts.json"): None for place in places for file in _steps(place, "*.parts.json")}
    shared = {name: _gathered(places, name) for name in names if name not in whole}
    if not shared:
        where = ", ".join(map(str, places))
        raise StudyError(f"there are no parts to merge in {where}; a run with --shard 1/16 leaves one of 16")
    totals = {name: merged(kind_of(own[0].kind), *own) for name, own in shared.items()}
    with _changing(target, record) as directory:
        for name, file in whole.items():
            _copy(file, _step(directory, name))
        for name, total in totals.items():
            write_tensors(_step(directory, name), total, shared[name][0].shards)
            clear(_step(directory, name))
    return Merged(target, {name: plan.of for name, (plan, _, _) in shared.items()})


def _step(directory: Path, name: str) -> Path:
    return directory / "steps" / f"{name}{SUFFIX}"


def _steps(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(f"steps/{pattern}"))


def _one_record(places: Sequence[Path]) -> dict[str, Any]:
    """Return what all studies were asked and used."""
    records = []
    for place in places:
        if not (place / "study.json").is_file():
            raise StudyError(f"{place} holds no study; give the directories that runs with --shard wrote to")
        records.append(read_record(place))
        if records[-1]["finished"]:
            raise StudyError(f"{place} is finished, so there is nothing to merge")
        differing = [f"{name} is {a!r} and {b!r}" for name, a, b in differences(records[0], records[-1])]
        if differing:
            raise StudyMismatch(f"{places[0]} and {place} are not of one study: {'; '.join(differing)}")
    return records[0]


def _whole_steps(places: Sequence[Path]) -> dict[str, Path]:
    """Return where every step lies that is done somewhere, after a look whether it is the same everywhere."""
    found: dict[str, Path] = {}
    for place in places:
        for file in _steps(place, f"*{SUFFIX}"):
            if not UNFINISHED.search(file.name):
                name = file.name.removesuffix(SUFFIX)
                if not _same(found.setdefault(name, file), file):
                    raise StudyMismatch(
                        f"{name} is not the same in {found[name]} and {file}; the parts of a step must start from "
                        "copies of one study"
                    )
    return found


def _gathered(places: Sequence[Path], name: str) -> tuple[Plan, dict[int, Path], Path]:
    """Return how a step was shared out, where each part lies, and what had been counted before."""
    here = [(path, plan) for path in (_step(place, name) for place in places) if (plan := read_plan(path)) is not None]
    (first, plan), files = here[0], dict[int, Path]()
    for path, other in here[1:]:
        if other != plan:
            raise StudyMismatch(
                f"{plan_file(first)} and {plan_file(path)} share {name} out differently ({plan.of} parts of "
                f"{plan.shards - plan.first} shards, {other.of} of {other.shards - other.first})"
            )
    for path, _ in here:
        for number, file in plan.files(path).items():
            if file.exists() and number in files:
                how = "the same" if _same(files[number], file) else "not even the same"
                raise StudyError(
                    f"part {number} of {name} is there twice, {how}: {files[number]} and {file}; remove one"
                )
            if file.exists():
                files[number] = file
    missing = [number for number in plan.files(first) if number not in files]
    if missing:
        begun = [str(file) for path, _ in here for n in missing if (file := partial_of(plan.files(path)[n])).exists()]
        raise StudyError(
            f"{name} lacks {numbers(missing)} of {plan.of}{'; unfinished: ' + ', '.join(begun) if begun else ''}; run "
            "the same command again where they belong, or without --shard in one place, which counts what is missing"
        )
    before = [partial for path, _ in here if (partial := partial_of(path)).exists()]
    if plan.first and not before:
        raise StudyError(f"{name} lacks {partial_of(first)}, which holds its first {plan.first} shards")
    return plan, files, before[0] if before else partial_of(first)


def _same(one: Path, other: Path) -> bool:
    """Tell whether two files hold the same tensors, to the bit."""
    if one == other:
        return True
    (a, many), (b, others) = read_tensors(one), read_tensors(other)
    return (
        many == others
        and a.keys() == b.keys()
        and all(
            (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
            and torch.equal(a[name].flatten().view(torch.uint8), b[name].flatten().view(torch.uint8))
            for name in a
        )
    )


@contextlib.contextmanager
def _changing(target: Path, record: Mapping[str, Any]) -> Iterator[Path]:
    """Give a study directory to write to: a new one, which is moved into place when it is whole, or that one."""
    if (target / "study.json").exists():
        with writing(target), contextlib.closing(Hold(target)):
            yield target
        return
    new = target.absolute()
    new = new.with_name(f".{new.name}.merging")
    with writing(new):
        new.mkdir(parents=True, exist_ok=True)
        hold = Hold(new)
    with contextlib.closing(hold):
        try:
            with writing(target):
                shutil.rmtree(new / "steps", ignore_errors=True)  # of a merge that was killed
                write_text(new / "study.json", record_text(record))
                yield new
                new.replace(target)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def _copy(file: Path, to: Path) -> None:
    """Copy a step, unless it is there."""
    if not to.exists():
        with writing(to), replacing(to) as temporary:
            shutil.copyfile(file, temporary)
