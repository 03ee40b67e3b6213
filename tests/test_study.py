"""Studies remember their steps, whatever happens to the process or the disk."""

import contextlib
import errno
import itertools
import os
import resource
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from torch import Tensor
from toy_sum import Sum, add_up

from ganatomy.core import tensor_files
from ganatomy.core.errors import StudyMismatch
from ganatomy.core.progress import report_progress
from ganatomy.study import Study, as_bad_file, spec_digest, to_json
from ganatomy.study import files as study_files


@dataclass(frozen=True)
class CountSpec:
    seed: int = 0
    layers: tuple[str, ...] = ("a", "b")
    smallest: float = 0.1


@dataclass(frozen=True)
class OtherSpec:
    seed: int = 0
    layers: tuple[str, ...] = ("a", "b")
    smallest: float = 0.1


SHARDS = [range(i, i + 3) for i in range(0, 30, 3)]
FACTS = {"inputs": {"generator": "abc"}, "versions": {"torch": "1"}}


def straight() -> Tensor:
    total = add_up(SHARDS[0]).total
    for shard in SHARDS[1:]:
        total = total + add_up(shard).total
    return total


def contents(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


# ---------------------------------------------------------------- the digest


def test_the_digest_is_of_the_class_and_every_field() -> None:
    assert spec_digest(CountSpec()) == spec_digest(CountSpec(seed=0))
    others = [CountSpec(seed=1), CountSpec(layers=("a",)), CountSpec(smallest=0.1 + 1e-15), OtherSpec()]
    assert len({spec_digest(spec) for spec in [CountSpec(), *others]}) == 5
    assert to_json(CountSpec()) == {"seed": 0, "layers": ["a", "b"], "smallest": 0.1}


def test_names_of_bytes_that_are_no_text_are_refused() -> None:
    with mistake("bad-value", "net.pth", "UTF-8"):
        to_json(CountSpec(layers=("\udcff net.pth",)))


# ---------------------------------------------------------------- steps


def test_a_step_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> Sum:
        calls.append(1)
        return Sum(torch.tensor([float("-inf"), 1.5]))

    for _ in range(2):
        with Study.create(tmp_path / "s", CountSpec(), FACTS) as study:
            assert torch.equal(study.step("one", Sum, compute).total, torch.tensor([float("-inf"), 1.5]))
    assert calls == [1]


def test_a_finished_study_opens_again(tmp_path: Path) -> None:
    table = pd.DataFrame({"unit": [0, 1], "label": ["tree", None], "iou": [0.25, float("nan")]})
    with Study.create(tmp_path, CountSpec(seed=3), FACTS) as study:
        study.write_table("units", table)
        with mistake("study-error", tmp_path, "unfinished"):
            Study.open(tmp_path)
        study.finish()
    again = Study.open(tmp_path)
    assert again.finished
    assert again.spec_json == {"seed": 3, "layers": ["a", "b"], "smallest": 0.1}
    assert again.facts == FACTS
    assert again.digest == spec_digest(CountSpec(seed=3))
    pd.testing.assert_frame_equal(again.read_table("units"), table)


def test_progress_counts_what_was_there_already(tmp_path: Path) -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[object] = []

        def begin(self, label: str, total: int) -> None:
            self.seen.append((label, total))

        def advance(self, pieces: int) -> None:
            self.seen.append(pieces)

        def end(self) -> None:
            self.seen.append("end")

    def fails_at_6(shard: range) -> Sum:
        if 6 in shard:
            raise InterruptedError
        return add_up(shard)

    def ticks(shard: range) -> Sum:
        report_progress(1)
        report_progress(1)
        return add_up(shard)

    first, second, third = Watch(), Watch(), Watch()
    with Study.create(tmp_path, CountSpec(), FACTS, progress=first) as study, pytest.raises(InterruptedError):
        study.sharded("sum", Sum, fails_at_6, SHARDS)
    with Study.create(tmp_path, CountSpec(), FACTS, progress=second) as study:
        study.sharded("sum", Sum, add_up, SHARDS)
    with Study.create(tmp_path, CountSpec(), FACTS, progress=third) as study:
        study.sharded("finer", Sum, ticks, SHARDS)
        report_progress(100)
    assert first.seen == [("sum", 30), 3, 3, "end"]
    assert second.seen == [("sum", 30), 6, *[3] * 8, "end"]
    assert third.seen == [("finer", 30), *[1] * 30, "end"], "a shard that told its pieces counts once"


# ---------------------------------------------------------------- interruptions


@settings(max_examples=10, deadline=None)
@given(stops=st.lists(st.integers(0, 9), max_size=4))
def test_stopped_anywhere_it_ends_in_the_same_bits(tmp_path_factory: pytest.TempPathFactory, stops: list[int]) -> None:
    directory = tmp_path_factory.mktemp("study")
    worked: list[range] = []
    for stop in stops:

        def work(shard: range, stop: int = stop) -> Sum:
            if shard == SHARDS[stop]:
                raise KeyboardInterrupt
            worked.append(shard)
            return add_up(shard)

        with Study.create(directory, CountSpec(), FACTS) as study:
            try:
                study.sharded("sum", Sum, work, SHARDS)
            except KeyboardInterrupt:
                assert "steps/sum.npz" not in contents(directory)

    def rest(shard: range) -> Sum:
        worked.append(shard)
        return add_up(shard)

    with Study.create(directory, CountSpec(), FACTS) as study:
        assert torch.equal(study.sharded("sum", Sum, rest, SHARDS).total, straight())
    assert worked == SHARDS, "a shard was counted twice, or out of order"
    assert contents(directory) == [".lock", "steps/sum.npz", "study.json"]


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """A process that works, and is killed when the block ends if it has not ended."""
    with warnings.catch_warnings(action="ignore"):  # other threads are not needed in it
        process = os.fork()
    if not process:
        with contextlib.suppress(BaseException):
            work()
        os._exit(1)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    calls = itertools.count()
    return lambda *args: die() if next(calls) == call else function(*args)


def test_killed_at_any_moment_it_ends_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a shard; and before what was counted is in place, which is when a file is half written."""
    monkeypatch.setattr("ganatomy.study.sharded.SAVE_RATIO", 0)
    worked: list[range] = []
    Study.create(tmp_path, CountSpec(), FACTS).close()
    for at, name in ((3, "work"), (2, "replace"), (0, "replace")):

        def count(at: int = at, name: str = name) -> None:
            work = dies_at(at, add_up) if name == "work" else add_up
            with Study.create(tmp_path, CountSpec(), FACTS) as study:
                if name == "replace":
                    os.replace = dies_at(at, os.replace)
                study.sharded("sum", Sum, work, SHARDS)

        with forked(count) as process:
            assert os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT).si_status == signal.SIGKILL
    with Study.create(tmp_path, CountSpec(), FACTS) as study:
        total = study.sharded("sum", Sum, lambda shard: worked.append(shard) or add_up(shard), SHARDS).total
    assert torch.equal(total, straight())
    assert worked == SHARDS[5:], "three shards, and two more, were in place"
    assert contents(tmp_path) == [".lock", "steps/sum.npz", "study.json"]


def test_two_processes_do_not_write_to_one_study(tmp_path: Path) -> None:
    begun, ready = os.pipe()

    def hold() -> None:
        with Study.create(tmp_path, CountSpec(), FACTS):
            os.write(ready, b".")
            signal.pause()

    with forked(hold) as process:
        os.read(begun, 1)
        with mistake("study-busy", f"process {process}"):
            Study.create(tmp_path, CountSpec(), FACTS)
    os.close(begun)
    os.close(ready)
    Study.create(tmp_path, CountSpec(), FACTS).close()


def test_a_study_that_nobody_holds_any_more_is_free(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1234567890123\n")
    study = Study.create(tmp_path, CountSpec(), FACTS)
    with mistake("study-busy", f"process {os.getpid()}"):
        Study.create(tmp_path, CountSpec(), FACTS)
    del study
    Study.create(tmp_path, CountSpec(), FACTS).close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Files may not grow past a limit: the same kind of failure, at the same place, as a full disk."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fills_up(shard: range) -> Sum:
        if 15 in shard:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
        return add_up(shard)

    with Study.create(tmp_path, CountSpec(), FACTS) as study:
        try:
            with mistake("study-error", "sum.partial.npz", "File too large"):
                study.sharded("sum", Sum, fills_up, SHARDS)
            with mistake("study-error", "units.parquet", "File too large"):
                study.write_table("units", pd.DataFrame({"unit": range(1000)}))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert contents(tmp_path) == [".lock", "steps/sum.partial.npz", "study.json"]
        assert torch.equal(study.sharded("sum", Sum, add_up, SHARDS).total, straight())


def test_what_fails_half_written_leaves_the_last_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = study_files.write

    def fails_at_the_third(path: Path, state: Mapping[str, Tensor], shards: int) -> None:
        save(path, state, shards)
        if shards == 3:
            os.truncate(path, 20)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(study_files, "write", fails_at_the_third)
    monkeypatch.setattr("ganatomy.study.sharded.SAVE_RATIO", 0)
    worked: list[range] = []
    with Study.create(tmp_path, CountSpec(), FACTS) as study:
        with mistake("study-error", "sum.partial.npz", "No space left on device"):
            study.sharded("sum", Sum, add_up, SHARDS)
        monkeypatch.setattr(study_files, "write", save)
        total = study.sharded("sum", Sum, lambda shard: worked.append(shard) or add_up(shard), SHARDS).total
    assert torch.equal(total, straight())
    assert worked == SHARDS[2:]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    Study.create(tmp_path, CountSpec(), FACTS).close()
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / ".sum.partial.npz.x1.tmp").write_bytes(b"half")
    (tmp_path / ".study.json.x2.tmp").write_bytes(b"half")
    Study.create(tmp_path, CountSpec(), FACTS).close()
    assert contents(tmp_path) == [".lock", "study.json"]


def test_a_disk_that_fails_for_a_moment_has_not_damaged_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Study.create(tmp_path, CountSpec(), FACTS) as study:
        study.sharded("sum", Sum, add_up, SHARDS)

        def fails(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(tensor_files.zipfile, "ZipFile", fails)
            with mistake("study-error", "sum.npz", "Input/output error") as caught:
                study.sharded("sum", Sum, add_up, SHARDS)
        assert "remove it" not in str(caught.value)
        assert torch.equal(study.sharded("sum", Sum, add_up, SHARDS).total, straight())


@pytest.mark.parametrize(
    ("error", "fact"), [(MemoryError(), "memory"), (OSError(errno.EIO, "Input/output error"), "Input/output error")]
)
def test_a_machine_that_lacks_something_is_no_damaged_study(tmp_path: Path, error: Exception, fact: str) -> None:
    with mistake("study-error", tmp_path, fact), as_bad_file(tmp_path):
        raise error
    with mistake("bad-file", tmp_path, "KeyError", "level"), as_bad_file(tmp_path):
        raise KeyError("level")


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
@pytest.mark.parametrize("at", [0, 15, 27])
def test_a_study_that_is_taken_away_does_not_come_back_in_part(tmp_path: Path, at: int, again: bool) -> None:
    place = tmp_path / "study"

    def taken(shard: range) -> Sum:
        if at in shard:
            place.rename(tmp_path / "elsewhere")
            if again:
                Study.create(place, CountSpec(seed=1), FACTS).close()
        return add_up(shard)

    with Study.create(place, CountSpec(), FACTS) as study:
        study.step("first", Sum, lambda: add_up(SHARDS[0]))
        with mistake("study-error", place, "moved"):
            study.sharded("sum", Sum, taken, SHARDS)
    assert contents(place) == ([".lock", "study.json"] if again else []), "it wrote into another study"
    with Study.create(tmp_path / "elsewhere", CountSpec(), FACTS) as study:
        assert torch.equal(study.sharded("sum", Sum, add_up, SHARDS).total, straight())


# ---------------------------------------------------------------- refusals


def test_another_spec_is_refused_by_the_field_that_differs(tmp_path: Path) -> None:
    Study.create(tmp_path, CountSpec(seed=1), FACTS).close()
    with mistake("study-mismatch", tmp_path, "seed was 1, now 2"):
        Study.create(tmp_path, CountSpec(seed=2), FACTS)
    with mistake("study-mismatch", "seed was 1, now 0", "layers was ['a', 'b'], now ['a']"):
        Study.create(tmp_path, CountSpec(layers=("a",)), FACTS)
    with mistake("study-mismatch", "experiment", "count", "other"):
        Study.create(tmp_path, OtherSpec(seed=1), FACTS)


def test_other_models_are_refused_but_not_other_versions(tmp_path: Path) -> None:
    Study.create(tmp_path, CountSpec(), FACTS).close()
    Study.create(tmp_path, CountSpec(), {**FACTS, "versions": {"torch": "2"}}).close()
    with mistake("study-mismatch", "generator", "abc", "xyz"):
        Study.create(tmp_path, CountSpec(), {"inputs": {"generator": "xyz"}})


def test_a_refused_study_is_left_as_it_was_and_free(tmp_path: Path) -> None:
    with Study.create(tmp_path, CountSpec(seed=1), FACTS) as study:
        study.finish()
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(StudyMismatch) as kept:
        Study.create(tmp_path, CountSpec(seed=2), FACTS)
    assert kept.value.__traceback__ is not None, "the frames of the failure live on"
    assert (tmp_path / "study.json").read_bytes() == before
    with Study.create(tmp_path, CountSpec(seed=1), FACTS) as study:
        assert study.finished
    assert kept.type is StudyMismatch


def test_places_that_cannot_hold_a_study(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with mistake("study-error", file, "file"):
        Study.create(file, CountSpec(), FACTS)
    with mistake("study-error", file / "deeper", "Not a directory"):
        Study.create(file / "deeper", CountSpec(), FACTS)
    with mistake("study-error", tmp_path, "empty", "file"):
        Study.create(tmp_path, CountSpec(), FACTS)
    assert contents(tmp_path) == ["file"]
    assert file.read_text() == "mine"


def test_a_directory_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with mistake("study-error", tmp_path, "Permission denied"):
        Study.create(tmp_path, CountSpec(), FACTS)


def test_places_that_hold_no_study(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with mistake("study-error", place, "directory"):
            Study.open(place)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with Study.create(tmp_path, CountSpec(), FACTS) as study:
        study.sharded("sum", Sum, add_up, SHARDS)
        study.write_table("units", pd.DataFrame({"unit": range(1000)}))
        study.finish()
    for name in ("steps/sum.npz", "tables/units.parquet"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    study = Study.open(tmp_path)
    with mistake("bad-file", "steps/sum.npz"):
        study.sharded("sum", Sum, add_up, SHARDS)
    with mistake("bad-file", "tables/units.parquet"):
        study.read_table("units")
    with mistake("bad-file", "tables/none.parquet"):
        study.read_table("none")


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        ("{", "bad-file", "line 1 column 2"),
        ("[]", "bad-file", "indices"),
        ('{"format": 1}', "study-error", "format 1"),
        ('{"format": 5, "spec": {}, "facts": {}}', "bad-file", "digest, experiment, finished, run"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str, code: str, fact: str) -> None:
    (tmp_path / "study.json").write_text(text)
    for use in (Study.open, lambda place: Study.create(place, CountSpec(), FACTS)):
        with mistake(code, tmp_path, fact):
            use(tmp_path)
