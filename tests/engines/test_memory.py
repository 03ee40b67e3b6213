"""What is freed goes back to the system, and not too often."""

import re
from pathlib import Path

import pytest
import torch

from ganatomy.engines import local, memory


def resident() -> int:
    """Return the megabytes of private memory of this process."""
    found = re.findall(r"^Private_Dirty: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.M)
    return sum(map(int, found)) // 1000


def holes() -> list[torch.Tensor]:
    """Fill 64 MB with small blocks, free every other one; return the rest, between which the holes are."""
    blocks = [torch.ones(2048) for _ in range(8192)]
    return blocks[::2]


@pytest.fixture(autouse=True)
def never_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_last", float("-inf"))


@pytest.mark.skipif(memory._trim() is None, reason="only glibc hands memory back when it is asked to")
def test_what_is_freed_goes_back() -> None:
    kept = holes()
    before = resident()
    memory.trim_heap()
    assert before - resident() > 8
    assert len(kept) == 4096


def test_it_is_done_now_and_then_between_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    clock = iter([0.0, 1.0, 4.9, 5.1, 9.0, 10.2])
    monkeypatch.setattr(memory, "_trim", lambda: done.append)
    monkeypatch.setattr(memory.time, "monotonic", lambda: next(clock))
    list(local(sum, [range(2)] * 6))
    assert len(done) == 3


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory._trim.cache_clear()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory._trim() is None
    memory.trim_heap()
    memory._trim.cache_clear()
