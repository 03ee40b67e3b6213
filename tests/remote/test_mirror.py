"""A study at a URL: what is finished is there, whole, whatever happens; and every machine goes on where it stands."""

import datetime
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import torch
from faulty import FaultyFileSystem
from mistakes import mistake
from torch import Tensor
from toy_sum import Sum, add_up

from ganatomy.core.errors import StudyError
from ganatomy.core.tensor_files import Archive
from ganatomy.remote import display_path, download, filesystem, listdir, local_path, mirror, upload, write_text
from ganatomy.remote.lease import _started
from ganatomy.study import Part, Study, is_study

URL = "memory://runs/church"
Go = Callable[[str], None]


@dataclass(frozen=True)
class CountSpec:
    seed: int = 0


SHARDS = [range(i, i + 2) for i in range(0, 8, 2)]
FACTS = {"inputs": {"generator": "abc"}}


class Stop(Exception):
    """A power cut, as far as Python can tell."""


def count(where: str | Path, seed: int = 0, after: int = 99, engine: Any = None, work: Any = add_up) -> Tensor:
    """Count a study with a sharded step, a step and a table; stop after so many shards."""
    counted = 0

    def until(shard: range) -> Sum:
        nonlocal counted
        counted += 1
        if counted > after:
            raise Stop
        own: Sum = work(shard)
        return own

    more = {} if engine is None else {"engine": engine}
    with Study.create(where, CountSpec(seed), FACTS, **more) as study:
        total = study.sharded("sum", Sum, until, SHARDS)
        study.step("twice", Sum, lambda: Sum(2 * total.total))
        if not study.finished:
            study.write_table("rows", pd.DataFrame({"x": total.total.tolist()}))
            study.finish()
    return Study.open(where).step("twice", Sum, lambda: Sum(torch.zeros(0))).total


def files(url: str = URL) -> dict[str, bytes]:
    """What lies at a URL."""
    fs, root = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {name.removeprefix(root.rstrip("/") + "/"): fs.cat_file(name) for name in fs.find(root)}


FINISHED = {"study.json", "steps/sum.npz", "steps/twice.npz", "tables/rows.parquet"}


def check_valid(found: dict[str, bytes]) -> None:
    """What a reader may meet at any moment: nothing, or a study whose files are whole, and all there if it says so."""
    shown = {name: content for name, content in found.items() if not name.rpartition("/")[2].startswith(".")}
    for name, content in shown.items():
        if name.endswith(".npz"):
            dict(Archive(content))
    if shown:
        record = json.loads(shown["study.json"])
        if record["finished"]:
            assert shown.keys() >= FINISHED


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tensor, dict[str, bytes]]:
    directory = tmp_path_factory.mktemp("local") / "study"
    total = count(directory)
    return total, {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.*")}


def test_a_study_at_a_url_is_the_study_of_a_directory(straight: tuple[Tensor, dict[str, bytes]]) -> None:
    total, expected = straight
    assert torch.equal(count(URL), total)
    assert files() == {name: content for name, content in expected.items() if name in FINISHED}
    assert Study.open(URL).directory == local_path(URL)


def test_file_urls_too(straight: tuple[Tensor, dict[str, bytes]], tmp_path: Path) -> None:
    url = f"file://{tmp_path}/far away/church"
    assert torch.equal(count(url), straight[0])
    assert files(url).keys() == FINISHED
    assert torch.equal(count(tmp_path / "far away" / "church"), straight[0])  # it is a directory like any other


def test_another_machine_finds_it_finished(machine: Go, straight: tuple[Tensor, dict[str, bytes]]) -> None:
    count(URL)
    machine("b")
    assert torch.equal(count(URL, after=0), straight[0])
    machine("c")
    assert Study.open(URL).finished
    assert {path.name for path in local_path(URL).iterdir()} >= {"study.json", "steps", "tables"}


def test_another_machine_goes_on_where_one_stopped(machine: Go, straight: tuple[Tensor, dict[str, bytes]]) -> None:
    with pytest.raises(Stop):
        count(URL, after=3)
    assert files().keys() == {"study.json", "steps/sum.partial.npz"}
    check_valid(files())
    machine("b")
    assert torch.equal(count(URL, after=1), straight[0])
    assert files().keys() == FINISHED
    machine("a")  # which still has the partial file
    assert torch.equal(count(URL, after=0), straight[0])
    assert not [*local_path(URL).glob("steps/*.partial.*")]
    assert files().keys() == FINISHED


@pytest.mark.parametrize(("here", "there"), [(2, 1), (1, 2)])
def test_of_two_that_went_on_what_has_more_is_kept(
    here: int, there: int, machine: Go, straight: tuple[Tensor, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "faulty://runs/church"

    def go_on(shards: int) -> None:
        with pytest.raises(Stop):
            count(url, after=shards)

    go_on(1)
    machine("b")
    go_on(there)
    machine("a")
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    go_on(here)
    monkeypatch.delenv("GANATOMY_OFFLINE")
    assert torch.equal(count(url, after=1), straight[0])  # of four shards, three were there


def test_study_json_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    put, order = filesystem.Remote.put, []

    def noted(self: filesystem.Remote, what: Path | bytes, name: str) -> Any:
        content = what if isinstance(what, bytes) else what.read_bytes()
        if name != ".lock":
            order.append((name, "finished" if b'"finished": true' in content else ""))
        return put(self, what, name)

    monkeypatch.setattr(filesystem.Remote, "put", noted)
    count(URL)
    assert order[0] == ("study.json", "")
    assert order.index(("study.json", "finished")) == len(order) - 1
    order.clear()
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    count("faulty://runs/church")
    monkeypatch.delenv("GANATOMY_OFFLINE")
    count("faulty://runs/church")  # all of it is sent at once
    assert [name for name, _ in order] == ["study.json", *sorted(FINISHED - {"study.json"}), "study.json"]
    assert order[0] == ("study.json", "")


def test_a_copy_that_is_lost_is_brought_again() -> None:
    count(URL)
    shutil.rmtree(local_path(URL))
    assert Study.open(URL).finished
    (local_path(URL) / "tables" / "rows.parquet").unlink()
    assert len(Study.open(URL).read_table("rows")) == 50


def test_what_was_removed_there_is_removed_here() -> None:
    count(URL)
    fsspec.filesystem("memory").rm_file("/runs/church/tables/rows.parquet")
    Study.open(URL)
    assert not (local_path(URL) / "tables" / "rows.parquet").exists()


def test_a_url_that_was_emptied_holds_no_study_any_more_but_the_copy_does(straight: tuple[Tensor, Any]) -> None:
    count(URL)
    fsspec.filesystem("memory").rm("/runs/church", recursive=True)
    with mistake("study-error", URL, local_path(URL)):
        Study.open(URL)
    assert torch.equal(count(URL, after=0), straight[0])  # and who runs it again sends it again
    assert files().keys() == FINISHED


def test_another_spec_is_refused_here_and_there(machine: Go) -> None:
    count(URL)
    for name in ("a", "b"):
        machine(name)
        with mistake("study-mismatch", URL, "seed was 0, now 1"):
            count(URL, seed=1)
    assert files().keys() == FINISHED


def test_a_url_that_another_study_took_replaces_the_copy(machine: Go) -> None:
    count(URL)
    machine("b")
    fsspec.filesystem("memory").rm("/runs/church", recursive=True)
    count(URL, seed=1)
    machine("a")
    assert Study.open(URL).spec_json == {"seed": 1}


def test_unsent_files_of_another_study_are_never_mixed_nor_lost(machine: Go) -> None:
    count(URL)
    machine("b")
    fsspec.filesystem("memory").rm("/runs/church", recursive=True)
    count(URL, seed=1)
    machine("a")
    (local_path(URL) / "tables" / "own.parquet").write_bytes(b"own")
    with mistake("study-error", local_path(URL), "tables/own.parquet"):
        Study.open(URL)
    assert (local_path(URL) / "tables" / "own.parquet").read_bytes() == b"own"


def test_a_place_that_holds_something_else_is_left_alone() -> None:
    fsspec.filesystem("memory").pipe_file("/runs/church/letters.txt", b"dear")
    with mistake("study-error", "letters.txt"):
        count(URL)
    assert files() == {"letters.txt": b"dear"}
    fsspec.filesystem("memory").pipe_file("/runs/file", b"dear")
    with mistake("unreachable", "memory://runs/file"):
        count("memory://runs/file")
    with mistake("study-error", "memory://runs/none"):
        Study.open("memory://runs/none")
    assert not is_study(local_path("memory://runs/none"))
    assert not local_path("memory://runs/none").exists()


def test_names_of_a_stranger_do_not_leave_the_copy(tmp_path: Path) -> None:
    count(URL)
    for name in ("../out", "steps/../../../out", ".hidden", "a/b/c/d", "steps/.lock", "steps/x%2Fy", "steps//out"):
        fsspec.filesystem("memory").store[f"/runs/church/{name}"] = fsspec.filesystem("memory").store[
            "/runs/church/study.json"
        ]
    shutil.rmtree(local_path(URL))
    Study.open(URL)
    download(local_path("memory://runs") / "church")
    copied = {path.relative_to(local_path(URL)).as_posix() for path in local_path(URL).rglob("*.*")}
    assert copied - {".remote.json", ".remote.lock"} == FINISHED
    assert not [*tmp_path.rglob("out")]


def test_a_step_that_a_finished_study_does_without_is_removed_there() -> None:
    with Study.create(URL, CountSpec(), FACTS) as study:
        study.sharded("sum", Sum, add_up, SHARDS)
        study.step("twice", Sum, lambda: add_up(SHARDS[0]))
        assert "steps/sum.npz" in files()
        study.finish(without=["sum"])
    assert files().keys() == {"study.json", "steps/twice.npz"}


def test_what_is_left_of_counting_a_step_that_is_finished_is_not_brought(
    machine: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "faulty://runs/church"
    with pytest.raises(Stop):
        count(url, after=2)
    left = "steps/sum.partial.npz"
    partial = files(url)[left]
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    count(url)
    monkeypatch.delenv("GANATOMY_OFFLINE")
    Study.open(url)  # the step is here, and not yet there
    assert not (local_path(url) / left).exists()
    count(url)
    fsspec.filesystem("faulty").pipe_file(f"/runs/church/{left}", partial)
    machine("b")  # the step is there, and not yet here
    assert Study.open(url).finished
    assert not (local_path(url) / left).exists()


# ---------------------------------------------------------------- several machines


def test_a_second_machine_is_refused_and_told_who_writes(machine: Go) -> None:
    with Study.create(URL, CountSpec(), FACTS):
        assert ".lock" in files()
        machine("b")
        with mistake("study-busy", URL, f"process {os.getpid()} on a"):
            count(URL)
    assert ".lock" not in files()
    count(URL)


def leave(holder: Any, written: datetime.timedelta = datetime.timedelta(0)) -> None:
    """Leave a lock that was written so long ago, by the clock of the file system."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/runs/church/.lock", json.dumps(holder).replace('"now"', str(time.time())).encode())
    memory.store["/runs/church/.lock"].modified -= written


@pytest.mark.parametrize(
    "left",
    [
        {"host": "gone", "pid": 1, "id": "x", "alone": True, "time": 0},
        {"host": "a", "pid": 2**22 + 1, "id": "x", "alone": True, "time": "now"},  # no such process here
        {"host": "gone", "pid": 1, "id": "x", "alone": True, "time": float("nan")},
        {"host": "gone", "pid": "many", "time": 1},
        ["no", "lock"],
    ],
)
def test_a_lock_of_the_dead_is_taken_over(left: Any, straight: tuple[Tensor, Any]) -> None:
    leave(left, written=datetime.timedelta(hours=1))
    assert torch.equal(count(URL), straight[0])
    assert ".lock" not in files()


@pytest.mark.parametrize("day", [-86400, 86400])
def test_a_clock_that_is_wrong_takes_no_lock_from_the_living(day: int, machine: Go) -> None:
    """Another machine is heard of by the time of the file; a process of this one by its number and start."""
    with Study.create(URL, CountSpec(), FACTS):
        held = json.loads(files()[".lock"])
    for own in ({"host": "elsewhere"}, {"pid": os.getppid(), "started": _started(os.getppid())}):
        leave(held | {"time": time.time() + day} | own)
        with mistake("study-busy", URL):
            count(URL)
    assert files().keys() == {".lock", "study.json"}  # and no file by which the time was asked


def test_the_number_of_a_process_is_used_again(straight: tuple[Tensor, Any]) -> None:
    leave({"host": "a", "pid": os.getppid(), "id": "x", "alone": True, "time": "now", "started": "another time"})
    assert torch.equal(count(URL), straight[0])


def test_who_holds_a_url_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganatomy.remote import lease

    monkeypatch.setattr(lease, "HEARTBEAT", 0.01)
    with Study.create(URL, CountSpec(), FACTS):
        first = files()[".lock"]
        for _ in range(200):
            if files().get(".lock", first) != first:
                break
            time.sleep(0.01)
        else:
            pytest.fail("no sign of life")
        fsspec.filesystem("memory").pipe_file("/runs/church/.lock", b'{"pid": 1, "time": 9e9, "id": "other"}')
        time.sleep(0.05)
        assert b"other" in files()[".lock"]  # who took it over keeps it
    assert ".lock" in files()


def test_parts_on_several_machines_share_a_url(machine: Go, straight: tuple[Tensor, dict[str, bytes]]) -> None:
    from ganatomy.core.errors import PartsMissing

    for number in (1, 3):
        machine(f"part {number}")
        with pytest.raises(PartsMissing):
            count(URL, engine=Part(number, 3))
    assert {"steps/sum.part-001-of-003.npz", "steps/sum.part-003-of-003.npz"} <= files().keys()
    assert ".lock" not in files()
    machine("part 2")
    with pytest.raises(Stop):
        count(URL, engine=Part(2, 3), after=0)
    assert "steps/sum.part-002-of-003.partial.npz" not in files()  # it had not begun
    machine("part 1")
    fsspec.filesystem("memory").pipe_file("/runs/church/steps/sum.part-002-of-003.partial.npz", b"begun")
    with pytest.raises(PartsMissing):
        count(URL, engine=Part(1, 3))
    assert not [*local_path(URL).glob("steps/*partial*")]  # of others only what is done is brought
    fsspec.filesystem("memory").rm_file("/runs/church/steps/sum.part-002-of-003.partial.npz")
    machine("elsewhere")
    assert torch.allclose(count(URL, engine=Part(2, 3)), straight[0], rtol=1e-6)
    assert files().keys() == FINISHED
    machine("part 1")
    count(URL, engine=Part(1, 3), after=0)
    assert {path.name for path in local_path(URL).glob("steps/*")} == {"sum.npz", "twice.npz"}


def test_a_part_does_not_write_where_one_machine_writes_alone(machine: Go) -> None:
    with Study.create(URL, CountSpec(), FACTS):
        machine("b")
        with mistake("study-busy", URL, f"process {os.getpid()} on a"):
            count(URL, engine=Part(1, 2))


# ---------------------------------------------------------------- a network that fails


def test_the_network_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    FaultyFileSystem.plan("fail", at=0, times=10**9)
    with mistake("unreachable", "faulty://runs/church"):
        count("faulty://runs/church")
    FaultyFileSystem.plan()
    count("faulty://runs/church")
    FaultyFileSystem.plan("fail", at=0, times=10**9)
    with mistake("unreachable", "GANATOMY_OFFLINE=1"):
        Study.open("faulty://runs/church")


def test_a_network_that_stays_away_in_mid_run_costs_nothing(
    machine: Go, straight: tuple[Tensor, Any], caplog: pytest.LogCaptureFixture
) -> None:
    url = "faulty://runs/church"

    def work(shard: range) -> Sum:
        FaultyFileSystem.plan("fail", at=0, times=10**9)
        return add_up(shard)

    with mistake("unreachable", url, local_path(url)):
        count(url, work=work)
    assert len([record for record in caplog.records if "going on with the copy" in record.message]) == 1
    FaultyFileSystem.plan()
    check_valid(files(url))
    machine("b")
    with mistake("study-error", url, "unfinished"):
        Study.open(url)
    machine("a")
    assert torch.equal(count(url, after=0), straight[0])
    assert files(url).keys() == FINISHED


EVERY = {("fail", 1): 4, ("fail", 3): 9, ("cut", 1): 9, ("cut", 3): 13, ("done", 1): 7, ("done", 3): 13, ("hang", 1): 9}
"""Of so many calls one goes wrong; all took 1 once."""


def calls_of(run: Callable[[], object]) -> int:
    FaultyFileSystem.plan()
    run()
    return FaultyFileSystem.calls


@pytest.mark.parametrize("how", ["fail", "cut", "done"])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.slow
def test_whichever_call_goes_wrong_nothing_is_lost(
    how: str, times: int, machine: Go, straight: tuple[Tensor, dict[str, bytes]], hasty: None
) -> None:
    calls = calls_of(lambda: count("faulty://runs/first"))
    for k in range(0, calls + 2, EVERY[how, times]):
        url = f"faulty://runs/{how}{times}-{k}"
        FaultyFileSystem.plan(how, at=k, times=times)
        try:
            assert torch.equal(count(url), straight[0])
        except StudyError:
            assert times == 3, k
        FaultyFileSystem.plan()
        check_valid(files(url))
        assert torch.equal(count(url), straight[0]), k
        found = {name: content for name, content in files(url).items() if name in FINISHED}
        assert found == {name: content for name, content in straight[1].items() if name in FINISHED}, k
        machine(f"other {k}")
        assert torch.equal(count(url, after=0), straight[0]), k
        machine("a")


@pytest.mark.slow
def test_whichever_call_hangs_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, straight: tuple[Tensor, Any], hasty: None
) -> None:
    calls = calls_of(lambda: count("faulty://runs/first"))
    monkeypatch.setattr(filesystem, "PATIENCE", 0.3)
    for k in range(0, calls + 2, EVERY["hang", 1]):
        url = f"faulty://runs/hang-{k}"
        FaultyFileSystem.plan("hang", at=k, times=1)
        assert torch.equal(count(url), straight[0])
        FaultyFileSystem.plan()
        check_valid(files(url))


@pytest.mark.slow
def test_bringing_survives_whichever_call_goes_wrong(
    machine: Go, straight: tuple[Tensor, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "faulty://runs/church"
    count(url)
    machine("counts calls")
    calls = calls_of(lambda: Study.open(url))
    monkeypatch.setattr(filesystem, "PATIENCE", 0.3)
    for how in ("fail", "cut", "hang"):
        for k in range(calls):
            machine(f"{how} {k}")
            FaultyFileSystem.plan(how, at=k, times=1)
            study = Study.open(url)
            FaultyFileSystem.plan()
            assert torch.equal(study.step("twice", Sum, lambda: Sum(torch.zeros(0))).total, straight[0]), (how, k)


def test_offline_the_copy_is_all_there_is(monkeypatch: pytest.MonkeyPatch, straight: tuple[Tensor, Any]) -> None:
    url = "faulty://runs/church"
    with pytest.raises(Stop):
        count(url, after=2)
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    FaultyFileSystem.plan("fail", at=0, times=10**9)
    assert torch.equal(count(url, after=2), straight[0])
    assert Study.open(url).finished
    assert FaultyFileSystem.calls == 0
    monkeypatch.delenv("GANATOMY_OFFLINE")
    FaultyFileSystem.plan()
    assert Study.open(url).finished  # though the URL does not know it yet
    assert torch.equal(count(url, after=0), straight[0])
    assert files(url).keys() == FINISHED


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudyError, match=r"s3://bucket/x: pip install s3fs|cannot"):
        Study.open("s3://bucket/x")
    with mistake("unreachable", "nonesuch://host/x"):
        Study.open("nonesuch://host/x")
    import builtins

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "fsspec":
            raise ModuleNotFoundError("No module named 'fsspec'", name="fsspec")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with mistake("study-error", "URL", "pip install 'ganatomy[fsspec]'"):
        Study.open("memory://x")


# ---------------------------------------------------------------- single files


def test_files_are_written_to_a_url_and_brought(machine: Go) -> None:
    write_text("memory://pages/church/index.html", "<p>")
    assert files("memory://pages") == {"church/index.html": b"<p>"}
    machine("b")
    page = local_path("memory://pages/church/index.html")
    assert download(page).read_text() == "<p>"
    machine("c")
    assert (download(local_path("memory://pages/church")) / "index.html").is_file()
    assert listdir(local_path("memory://pages")) == [local_path("memory://pages/church")]


def test_an_edit_of_a_study_is_brought_with_it(machine: Go, tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}/far", "memory://far"):
        machine("a")
        count(f"{url}/study")
        write_text(f"{url}/study/edit.json", "{}")
        write_text(f"{url}/alone/edit.json", "{}")
        machine("b")
        for name in ("study", "alone"):
            assert download(local_path(f"{url}/{name}/edit.json")).read_text() == "{}"
        assert not download(local_path(f"{url}/none/edit.json")).exists()


def test_a_lock_is_asked_for_plainly_where_the_filesystem_cannot_promise_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = FaultyFileSystem.pipe_file

    def without_modes(self: FaultyFileSystem, path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode != "overwrite":
            raise OSError("A header you provided implies functionality that is not implemented")
        pipe(self, path, value)

    monkeypatch.setattr(FaultyFileSystem, "pipe_file", without_modes)
    with Study.create("faulty://x/study", CountSpec(), FACTS):
        assert ".lock" in files("faulty://x/study")


def test_what_a_stranger_left_for_study_json_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "MOST", 1000)
    fsspec.filesystem("memory").pipe_file("/runs/church/study.json", b"[" * 2000)
    with mistake("study-error", "study.json", "memory://runs/church"):
        Study.open(URL)
    monkeypatch.setattr(filesystem, "MOST", 10_000)
    with mistake("bad-file", "study.json"):
        Study.open(URL)


def test_a_copy_is_not_sent_over_another_study(machine: Go) -> None:
    count(URL)
    kept = local_path(URL)
    machine("b")
    fsspec.filesystem("memory").rm("/runs/church", recursive=True)
    count(URL, seed=1)
    (kept / ".remote.json").unlink()
    machine("a")
    before = files()
    with mistake("study-error", URL, kept):
        upload(kept / "report.html")
    assert files() == before


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, machine: Go) -> None:
    import errno

    count(URL)
    machine("b")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mirror, "write_text", full)
    with mistake("study-error", URL, "No space left on device"):
        Study.open(URL)


def test_a_report_goes_with_its_study(machine: Go) -> None:
    count(URL)
    write_text(local_path(URL) / "report.html", "<p>")
    assert files()["report.html"] == b"<p>"
    machine("b")
    assert (Study.open(URL).directory / "report.html").read_text() == "<p>"
    assert download(local_path(URL) / "report.html").is_file()


def test_a_directory_is_sent_as_a_whole(tmp_path: Path) -> None:
    home = local_path("memory://both")
    (home / "figures").mkdir(parents=True)
    (home / "figures" / "a.svg").write_text("<svg/>")
    (home / ".hidden").write_text("")
    (home / "compare.html").write_text("<p>")
    upload(home)
    assert files("memory://both") == {"figures/a.svg": b"<svg/>", "compare.html": b"<p>"}
    upload(tmp_path)  # no URL: nothing to do
    assert display_path(home) == "memory://both"


def test_a_repaired_generator_opens_from_a_url(machine: Go) -> None:
    from ganatomy.interventions import Intervention
    from ganatomy.models.generators import open_generator
    from ganatomy.models.generators.repaired import write_repaired

    plain = open_generator("planted")
    edits = [Intervention.ablate("layer2", plain.layers["layer2"], [1])]
    write_repaired(local_path("memory://mended/x"), "planted", plain, edits)
    upload(local_path("memory://mended/x"))
    z = plain.latents(range(2), 0)
    machine("b")
    assert torch.equal(open_generator("repaired:memory://mended/x").observe(z, ()).images, plain.edited(z, edits))
