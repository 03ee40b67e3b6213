"""Every test has a cache of its own, and filesystems without files."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty import FaultyFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from ganatomy.remote import filesystem, lease, mirror


def _empty() -> None:
    for kind in (MemoryFileSystem, FaultyFileSystem):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    FaultyFileSystem.plan()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Go to another machine, which has a cache of its own; the first one is called ``a``."""

    def go(name: str) -> None:
        monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "machines" / name))
        monkeypatch.setattr(lease.socket, "gethostname", lambda: name)

    _empty()
    go("a")
    monkeypatch.setattr(filesystem, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(lease, "PAUSE", 0.01)
    yield go
    FaultyFileSystem.hanging.set()
    for thread in threading.enumerate():
        if thread.name == "ganatomy-remote":
            thread.join(5)
    FaultyFileSystem.hanging.clear()
    _empty()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send at every turn what is not finished."""
    monkeypatch.setattr(mirror, "INTERVAL", 0.0)
