"""Clusters as people start them, by ``ray start``: their commands join, come through a loss, and say what is wrong."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_steps import assert_same_steps
from ray_cluster import processes_in

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow]
RAY = str(Path(sys.executable).with_name("ray"))
DISSECT = ["dissect", "planted:", "--segmenter", "planted", "--images", "2600", "--layers", "layer1"]
TOKEN = {"RAY_AUTH_MODE": "token"}
"""What Ray wants where an address is given."""
SECONDS = 200
"""Within which any of these commands ends, on a machine that is busy."""


class Started:
    """A head of one CPU, and on demand a second node, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = free_port()
        (folder / ".ray").mkdir()
        (folder / ".ray" / "auth_token").write_text("0" * 64)  # as Ray keeps one once it has started a cluster
        alone = {"RAY_TMPDIR": str(folder), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | alone
        size = ["--num-cpus", "1", "--object-store-memory", str(100 << 20), "--disable-usage-stats"]
        self._size, self._port = size, free_port()
        ports = [
            "--port",
            str(self._port),
            "--ray-client-server-port",
            str(self.client),
            "--include-dashboard",
            "false",
        ]
        self._ray("start", "--head", "--node-ip-address", "127.0.0.1", *ports, *size)

    def add_node(self) -> list[int]:
        """Start a second node; return its processes."""
        before = processes_in(self.folder)
        head = f"127.0.0.1:{self._port}"
        self._ray("start", "--address", head, "--node-ip-address", "127.0.0.1", *self._size, **TOKEN)
        return [process for process in processes_in(self.folder) if process not in before]

    def _ray(self, *argv: str, **more: str) -> None:
        done = subprocess.run(
            [RAY, *argv], env=self.environment | more, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def dissect(self, out: Path, engine: str = "ray", **more: str) -> subprocess.Popen[str]:
        """Start a dissection of twice eleven shards by the cluster."""
        command = [sys.executable, "-m", "ganatomy", *DISSECT, "--out", str(out), "--engine", engine]
        return subprocess.Popen(command, env=self.environment | more, text=True, stderr=subprocess.PIPE)

    def named(self, name: str) -> list[int]:
        """Return the processes that have a name in their command."""
        return [
            pid for pid in processes_in(self.folder) if name in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
        ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def cluster() -> Iterator[Started]:
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:  # a short path
        try:
            yield Started(Path(folder))
        finally:
            for process in processes_in(Path(folder)):
                os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process counts."""
    out = tmp_path_factory.mktemp("whole") / "study"
    subprocess.run([sys.executable, "-m", "ganatomy", *DISSECT, "--out", str(out)], check=True, capture_output=True)
    return out


def test_a_node_that_is_lost_in_mid_run_costs_no_count(cluster: Started, tmp_path: Path, whole: Path) -> None:
    second = cluster.add_node()
    run = cluster.dissect(tmp_path / "study")
    while not (tmp_path / "study" / "steps" / "validation.partial.npz").exists():
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    for process in second:
        os.kill(process, signal.SIGKILL)
    _, output = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, output
    assert_same_steps(tmp_path / "study", whole)


def test_a_cluster_far_away_counts_the_same(cluster: Started, tmp_path: Path, whole: Path) -> None:
    client = cluster.dissect(tmp_path / "client", f"ray://127.0.0.1:{cluster.client}", **TOKEN)
    _, output = client.communicate(timeout=SECONDS)
    if "Starting Ray client server failed" in output or "psutil.ZombieProcess" in output:
        pytest.skip("Ray's own client server took too long to start, or was counted while it ended")
    assert client.returncode == 0, output
    assert_same_steps(tmp_path / "client", whole)


@pytest.mark.parametrize(("part", "blow"), [("gcs_server", signal.SIGSTOP), ("raylet", signal.SIGKILL)])
def test_a_cluster_of_which_a_part_is_missing_is_one_line(
    cluster: Started, tmp_path: Path, part: str, blow: signal.Signals
) -> None:
    (process,) = cluster.named(part)
    os.kill(process, blow)
    run = cluster.dissect(tmp_path / "study")
    _, output = run.communicate(timeout=SECONDS)
    assert run.returncode == 2, output
    lines = output.strip().splitlines()
    cut_off = r"cannot use the Ray cluster \S+:\d+ \(it.*\); end what is left"
    killed = r"\d workers died as it started"  # where the head had not noticed yet
    assert re.match(f"ganatomy: ({cut_off}|{killed})", lines[-1])
