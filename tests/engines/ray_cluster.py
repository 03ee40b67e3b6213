"""Clusters of Ray on this machine that nobody else finds, and nothing of which is left."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STORE = 100 << 20
SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
"""After a second without a sign of life a machine is dead; usually it takes 15."""


@contextmanager
def cluster(nodes: int = 2, **options: Any) -> Iterator[Any]:
    """Run a cluster of machines of one CPU; `nodes` has them, those that are not the head."""
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # a socket's path is short
    os.environ |= {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": STORE,
        "_system_config": SOON,
    }
    found = Cluster(initialize_head=True, head_node_args=head)
    try:
        found.nodes = [found.add_node(num_cpus=1, object_store_memory=STORE, **options) for _ in range(nodes)]
        os.environ["RAY_ADDRESS"] = found.address
        yield found
    finally:
        found.shutdown()
        os.environ.clear()
        os.environ |= before
        shutil.rmtree(folder, ignore_errors=True)


def processes_in(folder: Path) -> list[int]:
    """Return the processes that name a folder in their command, as all of a cluster do."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in command.read_bytes() and int(command.parent.name) != os.getpid():
                found.append(int(command.parent.name))
        except OSError:
            continue  # it just ended
    return found


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave this machine, whose own address may be any."""
    import ray

    connect, own = socket.socket.connect, {"127.0.0.1", "::1", "localhost", ray.util.get_node_ip_address()}

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in own:
            raise AssertionError(f"a test reaches for the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
