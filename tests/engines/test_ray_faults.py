"""Whatever is lost, a run on a cluster ends in the same counts, and the log says what happened."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from kept_steps import assert_same_steps
from mistakes import mistake
from ray_cluster import STORE, cluster, no_network, processes_in
from toy_statistic import Counted, count, count_or_die, count_or_wait, shards

from ganatomy.core.tensor_files import Archive
from ganatomy.engines import ray as engine
from ganatomy.engines.ray import Ray

__all__ = ["no_network"]
ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    with cluster() as found:
        yield found


@pytest.fixture(scope="module")
def two(machines: Any) -> Iterator[Ray]:
    with Ray(None, workers=2) as found:
        yield found


def check(found: list[tuple[int, Counted]], many: int) -> None:
    """Nothing is lost, nothing is counted twice."""
    ids = torch.cat([each.ids for _, each in found])
    assert ids.tolist() == list(range(3 * many))
    assert sum(number for number, _ in found) == many


def eventually(holds: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_a_worker_that_is_killed_is_replaced(two: Ray, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(list(two(partial(count_or_die, tmp_path, 10, "killed"), shards(8))), 8)
    (line,) = (each for each in caplog.messages if " died " in each)
    assert re.fullmatch(
        r"worker \d+ on \S+ died at shard 4 of 8 \(ids 9 to 11\): it was killed, or crashed; "
        "another is started, and nothing is lost",
        line,
    )


def test_a_worker_that_runs_out_of_memory_is_replaced(
    two: Ray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check(list(two(partial(count_or_die, tmp_path, 4, "short"), shards(6))), 6)
    assert "died at shard 2 of 6 (ids 3 to 5): memory was short" in caplog.text


def test_a_shard_that_kills_every_worker_stops_the_run(two: Ray, tmp_path: Path) -> None:
    found: list[tuple[int, Counted]] = []
    with mistake("engine-error", "3 workers", "shard 3 of 4", "ids 6 to 8"):
        found.extend(two(partial(count_or_die, tmp_path, 7, "always"), shards(4)))
    check(list(two(count, shards(4))), 4)


@pytest.mark.parametrize(("received", "counts"), [(8, 4), (0.5, 6)])
def test_a_machine_that_goes_takes_no_counts_with_it(
    received: float,
    counts: int,
    two: Ray,
    machines: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results that wait for their turn are on it; with 0.5 they are merged there."""
    monkeypatch.setattr(engine, "RECEIVED", received)
    found: list[tuple[int, Counted]] = []
    work, begun = partial(count_or_wait, tmp_path, 0), tmp_path / "begun"
    thread = threading.Thread(daemon=True, target=lambda: found.extend(two(work, shards(9))))
    thread.start()
    eventually(lambda: begun.exists() and begun.read_text())
    eventually(lambda: len(list(tmp_path.glob("counted-*"))) >= counts)
    time.sleep(1)  # the other machine counted what it may; its results wait for the first shard
    other = next(node for node in machines.nodes if node.node_id != begun.read_text())
    machines.remove_node(other, allow_graceful=False)
    machines.nodes.remove(other)
    time.sleep(1)
    (tmp_path / "go").touch()
    thread.join(60)
    check(found, 9)
    assert re.search(r"results of shards? .* were on a machine that is gone: counted again", caplog.text)
    machines.nodes.append(machines.add_node(num_cpus=1, object_store_memory=STORE))


def test_without_room_it_says_so_and_waits(
    two: Ray, machines: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.5)
    list(two(count, shards(2)))
    held = Ray(None, workers=2)  # of the same connection
    found: list[tuple[int, Counted]] = []
    thread = threading.Thread(daemon=True, target=lambda: found.extend(held(count, shards(3))))
    thread.start()
    eventually(lambda: "has no room yet for any of 2 workers: 2 CPUs of 2 CPUs are in use, actors: " in caplog.text)
    assert re.search(r"RayWorker \(process \d+ of '[^']*python", caplog.text)  # one, or both once both have begun
    for worker in two._idle:
        worker.end()
    two._idle.clear()
    thread.join(120)
    check(found, 3)
    held.close()


def test_no_machine_that_is_large_enough_is_said(two: Ray) -> None:
    list(two(count, shards(2)))
    assert two._cluster is not None
    assert two._cluster.occupied(3, 0) == "no machine has 3 CPUs"
    assert two._cluster.occupied(1, 0.5) == "no machine has 1 CPU and 0.5 GPUs"


def heavy(ids: range) -> Counted:
    """Count, with a result of 40 MB that does not pack."""
    found = count(ids)
    found.ballast = torch.rand(10 << 20, generator=torch.Generator().manual_seed(0))
    return found


def test_results_that_an_object_store_has_no_room_for_wait_on_its_disk(two: Ray) -> None:
    """A machine's store has 100 MB, and is to hold up to six results."""
    found = list(two(heavy, shards(9)))
    check(found, 9)
    assert all(torch.equal(each.ballast, found[0][1].ballast) for _, each in found)


def command(out: Path, *options: str) -> list[str]:
    """Return a run of twice eleven shards."""
    own = ["dissect", "planted:", "--segmenter", "planted", "--images", "2600", "--layers", "layer1"]
    return [sys.executable, "-m", "ganatomy", *own, "--out", str(out), *options]


def started(out: Path, folder: Path | None, *options: str) -> subprocess.Popen[str]:
    """Start that run in a process group of its own; in `folder` it has a cluster of its own."""
    own = {} if folder is None else {"RAY_TMPDIR": str(folder), "RAY_ADDRESS": ""}
    return subprocess.Popen(
        command(out, *options),
        env={**os.environ, **own},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )


def counting(out: Path) -> Any:
    """Return whether some shards of the first half are kept."""
    return lambda: (out / "steps" / "validation.partial.npz").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process counts."""
    out = tmp_path_factory.mktemp("whole") / "study"
    subprocess.run(command(out), check=True, capture_output=True)
    return out


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for a cluster, whose sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as found:
        yield Path(found)


@pytest.mark.parametrize(("blow", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_leaves_nobody_behind_and_resumes(
    blow: signal.Signals, code: int, folder: Path, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "study"
    run = started(out, folder, "--engine", "ray", "--workers", "2")
    eventually(counting(out))
    os.killpg(run.pid, blow)
    _, output = run.communicate(timeout=60)
    assert run.returncode == code
    if blow is signal.SIGINT:
        assert output.strip().splitlines()[-1] == "ganatomy: stopped; run the same command again to resume"
    eventually(lambda: not processes_in(folder))
    kept = Archive(out / "steps" / "validation.partial.npz").shards
    assert kept > 0
    subprocess.run(command(out), check=True, capture_output=True)
    assert_same_steps(out, whole)


def test_a_cluster_that_disappears_is_one_line_and_the_run_resumes(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "study"
    with cluster() as machines:
        run = started(out, None, "--engine", "ray", "--workers", "2")
        eventually(counting(out))
        for node in (machines.head_node, *machines.nodes):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
        _, output = run.communicate(timeout=100)
    assert run.returncode == 2, output
    assert re.search(r"^ganatomy: the Ray cluster .* is gone \(.*run the same command again to resume$", output, re.M)
    subprocess.run(command(out), check=True, capture_output=True)
    assert_same_steps(out, whole)
