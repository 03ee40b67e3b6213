"""Several processes count one study in parts, whatever their number, their order, and whoever is killed."""

import contextlib
import errno
import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from toy_study import (
    FACTS,
    FINISHED,
    SHARDS,
    Counts,
    RoundsSpec,
    contents,
    run,
    same_counts,
    straight,
    tried,
)

from ganatomy.core.errors import PartsMissing
from ganatomy.engines import local
from ganatomy.study import Part, Study
from ganatomy.study.parts import MOST, ShardPlan, numbers
from ganatomy.study.sharded import ShardedStep

# ---------------------------------------------------------------- which part


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("0/16", "0/16"),
        ("17/16", "17/16"),
        ("1/0", "0 parts"),
        (f"1/{MOST + 1}", f"{MOST + 1} parts"),
        ("3", "'3'"),
        ("-3/16", "'-3/16'"),
        ("a/b", "'a/b'"),
        ("3/16/2", "'3/16/2'"),
        ("", "''"),
    ],
)
def test_what_is_no_part_is_refused(text: str, fact: str) -> None:
    with mistake("bad-value", fact):
        Part.read(text)


@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf")])
def test_a_wait_is_a_number_of_minutes(wait: float) -> None:
    with mistake("bad-value", f"wait={wait}"):
        Part.read("3/16", wait)


@given(first=st.integers(0, 30), more=st.integers(0, 300), of=st.integers(1, 400))
def test_parts_share_all_shards_out_evenly(first: int, more: int, of: int) -> None:
    plan = ShardPlan(
        Path("x.npz"), ShardedStep("x", Counts, Counts, [range(i, i + 1) for i in range(first + more)]), of, first
    )
    slices = [plan.own(number) for number in range(1, of + 1)]
    assert [shard for own in slices for shard in own] == list(range(first, first + more))
    assert max(map(len, slices)) - min(map(len, slices)) <= 1
    assert plan.files().keys() == {i for i, own in enumerate(slices, 1) if own}


def test_numbers_are_told_as_schedulers_take_them() -> None:
    assert numbers([4]) == "part 4"
    assert numbers([1, 2, 4, 5, 6, 9]) == "parts 1,2,4-6,9"


# ---------------------------------------------------------------- all orders, all kills


class Killed(Exception):
    """Stands for a kill."""


MOVES = st.lists(st.tuples(st.integers(1, 6), st.none() | st.integers(0, 9)), max_size=12)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(shards=st.integers(1, 10), of=st.integers(1, 6), moves=MOVES)
def test_any_parts_in_any_order_killed_anywhere_count_everything_once(
    tmp_path_factory: pytest.TempPathFactory, shards: int, of: int, moves: list[tuple[int, int | None]]
) -> None:
    """A move is a part that is run, and the shard at which it is killed; then all are run until they are through."""
    directory = tmp_path_factory.mktemp("study")
    given_shards, worked = SHARDS[:shards], list[range]()
    found: object = None
    for number, kill in [*moves, *((i, None) for _ in range(2) for i in range(1, of + 1))]:

        def work(shard: range, kill: int | None = kill) -> Counts:
            if shard == (None if kill is None else SHARDS[kill]):
                raise Killed
            worked.append(shard)
            return Counts(shard)

        with contextlib.suppress(Killed):
            found = tried(directory, Part(1 + number % of, of), work, given_shards)
    assert isinstance(found, Counts), found
    assert same_counts(found, run(directory.with_name(f"{directory.name}-alone"), local, Counts, given_shards))
    assert sorted(shard.start for shard in worked) == [shard.start for shard in given_shards], "not each shard once"
    assert contents(directory) == FINISHED


def test_the_order_of_the_parts_does_not_change_a_bit(tmp_path: Path) -> None:
    found = []
    for order in ([1, 2, 3], [3, 1, 2], [2, 3, 1]):
        directory = tmp_path / str(order)
        while not isinstance(last := [tried(directory, Part(i, 3)) for i in order][-1], Counts):
            assert isinstance(last, PartsMissing)
        found.append(last)
    assert torch.equal(found[0].total, found[1].total)
    assert torch.equal(found[0].total, found[2].total)


def test_a_part_for_each_shard_gives_the_bits_of_one_process(tmp_path: Path) -> None:
    for _ in range(2):
        last = [tried(tmp_path / "parts", Part(i, len(SHARDS))) for i in range(1, len(SHARDS) + 1)][-1]
    assert isinstance(last, Counts)
    assert torch.equal(last.total, run(tmp_path / "alone").total)


# ---------------------------------------------------------------- what each run does, and says


def test_a_part_does_what_it_can_and_says_what_is_missing(tmp_path: Path) -> None:
    worked: list[range] = []

    def work(shard: range) -> Counts:
        worked.append(shard)
        return Counts(shard)

    with mistake("parts-missing", "part 2/3 of first", "parts 1,3 of 3"):
        run(tmp_path, Part(2, 3), work)
    assert worked == SHARDS[4:7]
    assert contents(tmp_path) == ["steps/first.part-002-of-003.npz", "study.json"]
    with pytest.raises(PartsMissing) as missing:
        run(tmp_path, Part(2, 3), work)
    assert worked == SHARDS[4:7], "what is done is not done again"
    assert (missing.value.study, missing.value.step, missing.value.missing) == (str(tmp_path), "first", (1, 3))
    with mistake("parts-missing", "part 3 of 3"):
        run(tmp_path, Part(1, 3), work)
    with mistake("parts-missing", "part 3/3 of second round", "parts 1,2 of 3"):
        run(tmp_path, Part(3, 3), work)
    assert contents(tmp_path) == [
        "steps/first.npz",
        "steps/half.npz",
        "steps/second round.part-003-of-003.npz",
        "study.json",
    ]


def test_more_parts_than_shards(tmp_path: Path) -> None:
    with mistake("parts-missing", "first", "2/4", "parts 1,3 of 4"):
        run(tmp_path, Part(2, 4), Counts, SHARDS[:2])
    for _ in range(2):
        last = [tried(tmp_path, Part(i, 4), Counts, SHARDS[:2]) for i in (1, 3)][-1]
    assert isinstance(last, Counts)


def test_a_step_of_one_shard_is_counted_by_whoever_comes_first(tmp_path: Path) -> None:
    assert isinstance(tried(tmp_path, Part(7, 9), Counts, SHARDS[:1]), Counts)
    assert contents(tmp_path) == FINISHED


def test_a_run_without_parts_counts_what_is_missing(tmp_path: Path) -> None:
    worked: list[range] = []

    def work(shard: range) -> Counts:
        if shard == SHARDS[8]:
            raise Killed
        worked.append(shard)
        return Counts(shard)

    for number in (2, 3):  # the third is killed in its second shard
        with pytest.raises((PartsMissing, Killed)):
            run(tmp_path, Part(number, 3), work)
    with pytest.raises(Killed):
        run(tmp_path, local, work)
    assert worked == [*SHARDS[4:8], *SHARDS[:4]], "nothing is counted twice"
    found = run(tmp_path)
    assert contents(tmp_path) == FINISHED
    assert same_counts(found, run(tmp_path / "alone"))
    assert [path.name for path in tmp_path.glob(".*")] == [".lock"]


def test_parts_go_on_after_what_one_process_had_counted(tmp_path: Path) -> None:
    worked: list[range] = []

    def stops(shard: range) -> Counts:
        if shard == SHARDS[4]:
            raise Killed
        return Counts(shard)

    def work(shard: range) -> Counts:
        worked.append(shard)
        return Counts(shard)

    with pytest.raises(Killed):
        run(tmp_path, local, stops)
    assert contents(tmp_path) == ["steps/first.partial.npz", "study.json"]
    for i in (1, 2):
        missing = tried(tmp_path, Part(i, 2), work)
    assert worked == SHARDS[4:]
    assert isinstance(missing, PartsMissing)
    assert missing.step == "second round"
    assert same_counts(run(tmp_path), run(tmp_path / "alone"))
    assert contents(tmp_path / "steps") == [Path(name).name for name in FINISHED if "steps" in name]


def test_another_number_of_parts_is_refused(tmp_path: Path) -> None:
    tried(tmp_path, Part(1, 3))
    with mistake("study-error", "first", 3, 4, "--shard N/3"):
        run(tmp_path, Part(1, 4))


def test_a_finished_study_is_opened_by_every_part(tmp_path: Path) -> None:
    alone = run(tmp_path)
    assert torch.equal(run(tmp_path, Part(3, 16), lambda _: pytest.fail("nothing is to be counted")).total, alone.total)


def test_a_part_counts_with_the_engine_that_it_is_given(tmp_path: Path) -> None:
    seen: list[list[range]] = []

    def pairs(work: Callable[[range], Counts], shards: list[range]):  # type: ignore[no-untyped-def]
        """Hands over two shards at a time."""
        seen.append(list(shards))
        for i in range(0, len(shards), 2):
            own = list(shards[i : i + 2])
            yield len(own), straight(own)

    tried(tmp_path, Part(1, 2, engine=pairs))
    assert seen == [SHARDS[:5]]


# ---------------------------------------------------------------- side by side


def together(directory: Path, of: int, wait: float, work: Callable[[range], Counts] = Counts) -> list[object]:
    """Run all parts at once, each in a thread, and return what came of each."""
    found: list[object] = [None] * of

    def one(number: int) -> None:
        try:
            found[number - 1] = tried(directory, Part(number, of, wait), work)
        except Exception as error:  # is told by the assertions of the test
            found[number - 1] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, of + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.study.parts.PAUSE", 0.01)
    monkeypatch.setattr("ganatomy.study.lock.PAUSE", 0.01)


@pytest.mark.usefixtures("impatient")
def test_parts_that_wait_do_the_whole_study_at_once(tmp_path: Path) -> None:
    worked: list[int] = []

    def work(shard: range) -> Counts:
        worked.append(shard.start)
        return Counts(shard)

    found = together(tmp_path, 4, wait=1, work=work)
    alone = run(tmp_path / "alone")
    for each in found:
        assert isinstance(each, Counts), each
        assert same_counts(each, alone)
    assert sorted(worked) == [shard.start for shard in SHARDS]
    assert [path.name for path in tmp_path.glob(".*")] == [".lock"]
    assert contents(tmp_path / "steps") == [Path(name).name for name in FINISHED if "steps" in name]


@pytest.mark.usefixtures("impatient")
def test_parts_that_end_at_once_merge_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(3)

    def work(shard: range) -> Counts:
        if shard in (SHARDS[3], SHARDS[6], SHARDS[9]):  # the last of each
            barrier.wait(60)
        return Counts(shard)

    found = together(tmp_path, 3, wait=0, work=work)
    assert all(isinstance(each, PartsMissing | Counts) for each in found), found
    assert "steps/first.npz" in contents(tmp_path)
    assert not [name for name in contents(tmp_path) if "first.part" in name]


@pytest.mark.usefixtures("impatient")
def test_a_wait_ends(tmp_path: Path) -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[object] = []

        def begin(self, label: str, total: int) -> None:
            self.seen.append((label, total))

        def advance(self, pieces: int) -> None:
            self.seen.append(pieces)

        def end(self) -> None:
            self.seen.append("end")

    tried(tmp_path, Part(2, 3))
    watch, start = Watch(), time.monotonic()
    with mistake("parts-missing", "part 3 of 3"):
        run(tmp_path, Part(1, 3, wait=0.1 / 60), progress=watch)
    assert 0.1 <= time.monotonic() - start < 5
    assert watch.seen[0] == ("first, part 1/3", 12)
    assert watch.seen[6:9] == [("first, waiting for other parts", 3), 2, 0]
    assert watch.seen[-1] == "end"


@pytest.mark.usefixtures("impatient")
def test_what_is_not_shared_out_is_computed_by_one_while_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ganatomy.study.lock.LONG", 0.05)
    computed: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def compute() -> Counts:
        computed.append(1)
        inside.set()
        assert go_on.wait(60)
        return Counts([1, 2])

    found: list[Counts] = []
    studies = [Study.create(tmp_path, RoundsSpec(), FACTS, Part(number, 2)) for number in (1, 2)]

    def one(study: Study) -> None:
        with study:
            found.append(study.step("one", Counts, compute))

    threads = [threading.Thread(target=one, args=(study,)) for study in studies]
    for thread in threads:
        thread.start()
    assert inside.wait(60)
    for _ in range(6000):  # until the other one has said that it waits
        if caplog.messages:
            break
        time.sleep(0.01)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert computed == [1]
    (told,) = caplog.messages
    assert re.fullmatch(rf"waiting for process {os.getpid()} on \S+ \(part \d/2\), which computes .* need", told)
    assert [each.rows.tolist() for each in found] == [[1, 2], [1, 2]]


def test_parts_and_others_keep_out_of_each_others_way(tmp_path: Path) -> None:
    third = Study.create(tmp_path, RoundsSpec(), FACTS, Part(3, 16))
    Study.create(tmp_path, RoundsSpec(), FACTS, Part(4, 16)).close()
    with mistake("study-busy", "part 3/16", f"process {os.getpid()}"):
        Study.create(tmp_path, RoundsSpec(), FACTS, Part(3, 16))
    with mistake("study-busy", tmp_path, f"process {os.getpid()}", "part 3/16"):
        Study.create(tmp_path, RoundsSpec(), FACTS)
    third.close()
    with Study.create(tmp_path, RoundsSpec(), FACTS), mistake("study-busy", f"process {os.getpid()}"):
        Study.create(tmp_path, RoundsSpec(), FACTS, Part(3, 16))


# ---------------------------------------------------------------- what kills and disks leave behind


def test_a_part_removes_its_own_leftovers_and_those_of_nobody_else(tmp_path: Path) -> None:
    tried(tmp_path, Part(1, 2))
    left = [
        "steps/.first.part-001-of-002.partial.npz.x.tmp",
        "steps/.first.npz.x.tmp",
        "tables/.rows.parquet.x.tmp",
        ".study.json.x.tmp",
    ]
    others = ["steps/.first.part-002-of-002.partial.npz.x.tmp", ".report.html.x.tmp"]
    (tmp_path / "tables").mkdir()
    for name in (*left, *others):
        (tmp_path / name).write_bytes(b"half")
    Study.create(tmp_path, RoundsSpec(), FACTS, Part(1, 2)).close()
    assert [name for name in (*left, *others) if (tmp_path / name).exists()] == others
    Study.create(tmp_path, RoundsSpec(), FACTS).close()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_kill_between_the_merge_and_its_tidying_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(tmp_path, Part(1, 2))

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("ganatomy.study.parts.remove_merged", killed)
        with pytest.raises(Killed):
            run(tmp_path, Part(2, 2))
    assert len([name for name in contents(tmp_path) if "first.part" in name]) == 2
    Study.create(tmp_path, RoundsSpec(), FACTS, Part(2, 2)).close()
    assert contents(tmp_path) == ["steps/first.npz", "study.json"]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    tried(tmp_path, Part(1, 2))
    file = tmp_path / "steps" / "first.part-001-of-002.npz"
    file.write_bytes(file.read_bytes()[:-9])
    with mistake("bad-file", "first.part-001-of-002.npz"):
        run(tmp_path, Part(2, 2))


def test_parts_after_more_shards_than_there_are_are_refused(tmp_path: Path) -> None:
    tried(tmp_path, Part(1, 2))
    (tmp_path / "steps/first.part-001-of-002.npz").rename(tmp_path / "steps/first.partial.npz")
    with mistake("bad-file", "first.partial.npz", "5 shards of 4"):
        run(tmp_path, Part(2, 2), shards=SHARDS[:4])


def test_a_name_that_says_more_parts_than_anybody_has_is_no_part(tmp_path: Path) -> None:
    Study.create(tmp_path / "new", RoundsSpec(), FACTS).close()
    (tmp_path / "new/steps").mkdir()
    (tmp_path / f"new/steps/first.part-001-of-{10**30}.npz").write_bytes(b"")
    run(tmp_path / "new")


def test_a_part_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    tried(tmp_path, Part(1, 2))
    (tmp_path / "steps" / "first.part-001-of-002.npz").unlink()
    os.mkfifo(tmp_path / "steps" / "first.part-001-of-002.npz")
    with mistake("bad-file", "first.part-001-of-002.npz"):
        run(tmp_path, Part(2, 2))


def test_a_part_of_other_shards_is_refused(tmp_path: Path) -> None:
    tried(tmp_path, Part(1, 2))
    steps = tmp_path / "steps"
    tried(tmp_path / "three", Part(2, 3))
    (tmp_path / "three/steps/first.part-002-of-003.npz").replace(steps / "first.part-001-of-002.npz")
    with mistake("bad-file", "first.part-001-of-002.npz", "3 shards", 5):
        run(tmp_path, Part(2, 2))


def test_a_disk_that_keeps_no_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with mistake("study-error", "No locks available", "ganatomy merge"):
        Study.create(tmp_path, RoundsSpec(), FACTS, Part(1, 2))


NURSERY = """
import os, random, signal, sys, time
sys.path.insert(0, {tests!r})
from toy_study import *
from ganatomy.study import Part, lock, parts
parts.PAUSE = lock.PAUSE = 0.01
torch.set_num_threads(1)
directory, dice = Path(sys.argv[1]), random.Random(0)

def slowly(shard):
    time.sleep(0.005)
    return Counts(shard)

def start(number):
    process = os.fork()
    if not process:
        found = tried(directory, Part(number, 3, wait=1), slowly)
        os._exit(int(isinstance(found, PartsMissing)))
    return process

for _ in range(8):
    processes = [start(number) for number in (1, 2, 3)]
    for process in dice.sample(processes, 3):
        time.sleep(dice.random() * 0.08)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
print([os.waitpid(process, 0)[1] for process in [start(number) for number in (1, 2, 3)]])
"""


@pytest.mark.slow
def test_processes_killed_at_any_moment_end_in_the_same_counts(tmp_path: Path) -> None:
    code = NURSERY.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout == "[0, 0, 0]\n"
    assert same_counts(run(tmp_path), run(tmp_path / "alone"))
    assert contents(tmp_path / "steps") == [Path(name).name for name in FINISHED if "steps" in name]
    assert not list(tmp_path.rglob("*.tmp"))
