"""Processes of one machine: the same results in the same order, whatever dies, and nobody is left behind."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake

from ganatomy.core.errors import BadModel, EngineError, GanatomyError
from ganatomy.core.progress import listening, report_progress
from ganatomy.engines import ipc, local, processes
from ganatomy.engines.processes import Processes

SHARDS = [range(i, i + 3) for i in range(0, 30, 3)]


def squares(shard: range) -> list[int]:
    return [i * i for i in shard]


def hasty(shard: range) -> int:
    """The first shards take longest."""
    time.sleep(0.02 if shard.start < 6 else 0)
    report_progress(2)
    report_progress(len(shard) - 2)
    return shard.start


class Tables(dict[str, torch.Tensor]):
    """Tensors that travel as a statistic does."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        return dict(self)

    @classmethod
    def from_state(cls, state: dict[str, torch.Tensor]) -> "Tables":
        return cls(state)


def tables(shard: range) -> Tables:
    return Tables(
        counts=torch.full((1000, 300), shard.start),
        halves=torch.tensor(shard.start / 3, dtype=torch.bfloat16),
        transposed=torch.arange(6).view(2, 3).T,
        none=torch.zeros(0, 4),
        flags=torch.tensor([True, False]),
    )


def where(directory: Path, shard: range) -> tuple[int, str, str, int]:
    """A shard waits for the other worker, else a quick one takes all of them."""
    (directory / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(directory.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


def dies_once(directory: Path, at: int, shard: range) -> int:
    note = directory / f"{shard.start}"
    if shard.start >= at and not note.exists():
        note.write_text("")
        time.sleep(0.2)  # what it has said before is heard
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(shard)


def dies(at: int, shard: range) -> int:
    if shard.start == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(shard)


def refuses(shard: range) -> int:
    if shard.start == 6:
        raise BadModel("unit 3 is NaN")
    return 0


def fails(shard: range) -> int:
    return 1 // (shard.start - 6)


class Secretive(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("cannot be pickled")


def fails_secretly(shard: range) -> int:
    raise Secretive(1, 2)


def result_stays(shard: range) -> Callable[[], int]:
    return lambda: 3


def prints(shard: range) -> int:
    sys.stdout.write("from a model")
    return 0


def slow(shard: range) -> int:
    time.sleep(60)
    return 0


class Comes:
    """Something that is pickled, and comes to pieces on the other side."""

    def __reduce__(self) -> Any:
        return _to_pieces, ()

    def __call__(self, shard: range) -> int:
        return 0


def _to_pieces() -> None:
    raise AttributeError("no such class over here")


@pytest.fixture(scope="module")
def engine() -> Iterator[Processes]:
    with Processes(["cpu", "cpu"]) as engine:
        yield engine


def children() -> set[int]:
    """Processes of this one that live, or are dead and were not asked how they ended."""
    return {int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture
def left(engine: Processes) -> Callable[[], set[int]]:
    """Return what tells those that were not there before."""
    list(engine(squares, SHARDS[:1]))
    before = children()
    return lambda: children() - before


def test_the_results_are_those_of_one_process_in_their_order(engine: Processes) -> None:
    assert list(engine(squares, SHARDS)) == list(local(squares, SHARDS))
    assert list(engine(squares, SHARDS[:1])) == [(1, [0, 1, 4])]
    assert list(engine(squares, [])) == []


def test_workers_stay_from_one_call_to_the_next_and_share_the_cores(engine: Processes, tmp_path: Path) -> None:
    calls = [tmp_path / "first", tmp_path / "second"]
    for call in calls:
        call.mkdir()
    first, second = ({found for _, found in engine(partial(where, call), SHARDS)} for call in calls)
    assert first == second
    assert len(first) == 2
    assert {seen for _, seen, *_ in first} == {""}, "a CPU worker sees no GPU"
    assert {int(threads) for *_, threads, _ in first} == {processes.threads(2)} == {own for *_, own in first}
    assert os.getpid() not in {pid for pid, *_ in first}


def test_whoever_waits_hears_how_far_they_are(engine: Processes) -> None:
    heard: list[int] = []
    with listening(heard.append):
        assert [start for _, start in engine(hasty, SHARDS)] == [shard.start for shard in SHARDS]
    assert sorted(set(heard)) == [1, 2]
    assert sum(heard) == 30


def test_shared_memory_is_copied() -> None:
    packed = ipc.pack(tables(SHARDS[1]))
    for *_, content in packed.tensors.values():
        content.flags.writeable = False
    arrived = ipc.unpack(packed)
    arrived["counts"] += 1
    assert packed.tensors["counts"][2][0] == 3


def test_tensors_arrive_as_they_left(engine: Processes) -> None:
    for (_, got), (_, made) in zip(engine(tables, SHARDS), local(tables, SHARDS), strict=True):
        assert got.keys() == made.keys()
        for name in made:
            assert got[name].dtype == made[name].dtype
            assert torch.equal(got[name], made[name])
        got["counts"] += 1  # they can be written to


@pytest.mark.slow
def test_a_worker_that_dies_is_started_again_and_its_shards_are_counted_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: Callable[[], set[int]]
) -> None:
    with Processes(["cpu", "cpu"]) as engine, caplog.at_level(logging.WARNING):
        assert list(engine(partial(dies_once, tmp_path, 21), SHARDS)) == [(1, sum(shard)) for shard in SHARDS]
        assert list(engine(squares, SHARDS)) == list(local(squares, SHARDS))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    for number, line in zip(
        (8, 9, 10), sorted(line.partition("at shard ")[2].rjust(200) for line in told), strict=True
    ):
        assert line.strip() == (
            f"{number} of 10 (ids {3 * number - 3} to {3 * number - 1}): killed, as happens where memory is short; "
            "another is started, and nothing is lost"
        )
    assert not left()


@pytest.mark.slow
def test_a_shard_that_kills_three_workers_stops_the_run_and_is_named(left: Callable[[], set[int]]) -> None:
    with Processes(["cpu", "cpu"]) as engine:
        got = []
        with mistake("engine-error", "3 workers", "shard 5 of 10", "ids 12 to 14", "cpu", "killed"):
            got.extend(engine(partial(dies, 12), SHARDS))
        assert got == [(1, sum(shard)) for shard in SHARDS[:4]]
        assert not left()
        assert list(engine(squares, SHARDS)) == list(local(squares, SHARDS)), "an engine outlives a run that failed"


def test_workers_that_do_not_start(monkeypatch: pytest.MonkeyPatch, left: Callable[[], set[int]]) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        Processes(["cpu"]) as engine,
        mistake("engine-error", 3, "exit code 1"),
    ):
        list(engine(squares, SHARDS))
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Processes(["cpu"]) as engine, mistake("engine-error", "No such file or directory"):
        list(engine(squares, SHARDS))
    assert not left()


@pytest.mark.slow
def test_mistakes_come_through_as_themselves(left: Callable[[], set[int]]) -> None:
    with Processes(["cpu"]) as engine:
        with mistake("bad-model", "unit 3", "NaN"):
            list(engine(refuses, SHARDS))
        assert not left()
        with pytest.raises(ZeroDivisionError) as caught:
            list(engine(fails, SHARDS))
        assert "return 1 // (shard.start - 6)" in str(caught.value.__cause__), "with the place where it came up"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "error", "told"),
    [
        (fails_secretly, RuntimeError, "Secretive: cannot be pickled"),
        (result_stays, (AttributeError, RuntimeError), "(?i)can't (get local|pickle)"),
        (lambda shard: 0, EngineError, "the work cannot be sent to other processes .*name the models"),
        (Comes(), EngineError, "the work does not arrive whole .no such class|AttributeError.*name the models"),
    ],
)
def test_what_does_not_travel(work: Any, error: Any, told: str) -> None:
    with Processes(["cpu"]) as engine, pytest.raises(error, match=told) as caught:
        list(engine(work, SHARDS))
    assert isinstance(caught.value, GanatomyError) == (error is EngineError)


@pytest.mark.slow
def test_no_more_workers_start_than_there_are_shards(left: Callable[[], set[int]]) -> None:
    with Processes(["cpu"] * 3) as engine:
        assert list(engine(squares, SHARDS[:1])) == [(1, [0, 1, 4])]
        assert len(left()) == 1
        inner = [found for found, _ in zip(engine(squares, SHARDS[:2]), engine(squares, SHARDS[:2]), strict=True)]
        assert inner == list(local(squares, SHARDS[:2])), "two calls at once have workers of their own"
        assert list(engine(squares, SHARDS)) == list(local(squares, SHARDS))
        assert len(left()) == 3
    assert not left()


@pytest.mark.slow
def test_who_stops_to_ask_leaves_nobody_behind(left: Callable[[], set[int]]) -> None:
    with Processes(["cpu", "cpu"]) as engine:
        results = engine(squares, SHARDS)
        next(results)
        assert len(left()) == 2
        results.close()  # type: ignore[attr-defined]
        assert not left()
        results = engine(squares, SHARDS)
        next(results)
    assert not left(), "also when whoever asked is still there"


def test_what_models_print_does_not_mix_with_the_answer(engine: Processes, capfd: pytest.CaptureFixture[str]) -> None:
    list(engine(prints, SHARDS[:1]))
    assert "from a model" not in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_survives_the_process_that_it_works_for(how: signal.Signals, tmp_path: Path) -> None:
    """A script needs no guard around its main part, and its own modules are found."""
    (tmp_path / "mine.py").write_text(
        "import os, pathlib, time\ndef work(shard):\n"
        "    pathlib.Path(f'{shard.start}.pid').write_text(str(os.getpid()))\n    time.sleep(60)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from ganatomy.engines.processes import Processes\nimport mine\n"
        "with Processes(['cpu', 'cpu']) as engine:\n    list(engine(mine.work, [range(1), range(1, 2)]))\n"
    )
    running = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE)
    notes = [tmp_path / "0.pid", tmp_path / "1.pid"]
    _until(lambda: all(note.exists() and note.read_text() for note in notes))
    running.send_signal(how)
    running.communicate(timeout=20)
    assert running.returncode == -how
    workers = [int(note.read_text()) for note in notes]
    _until(lambda: not any(_alive(worker) for worker in workers))


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_devices_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes.check_devices(["0", " cuda:1", "1"]) == ["0", "1", "1"]
    assert processes.check_devices(["cpu", "CPU"]) == ["cpu", "cpu"]
    for devices, fact in (
        ([], "no devices"),
        (["cpu", "1"], "cpu,1"),
        (["2"], "'2'"),
        (["mps"], "'mps'"),
    ):
        with mistake("bad-value", fact):
            Processes(devices)


def test_a_worker_sees_its_own_gpu_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert processes._environment("3", 4)["CUDA_VISIBLE_DEVICES"] == "3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-f00,6")
    assert processes._environment("1", 4)["CUDA_VISIBLE_DEVICES"] == "GPU-f00", "numbers count those that are seen"
    assert processes._environment("cpu", 4)["CUDA_VISIBLE_DEVICES"] == ""
    assert processes._environment("cpu", 4)["NUMBA_NUM_THREADS"] == "4"
