"""How much memory there is, and that what nobody uses any more goes back to the system.

The C library keeps what is freed, for the next that asks. What a shard needed is then held while nothing needs it, and
pieces that live on between the holes let the heap of a long run creep: by a tenth and more, up and down, over some
thousand images. Handed back now and then, it stays where it was.
"""

import ctypes
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

PAUSE = 5.0
"""Seconds between two times, at least: to ask for it again costs the next shard some hundredths of a second."""
GROUPS = Path("/sys/fs/cgroup")
LIMITS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Where Linux says how much a container or a job may use, and uses: of both versions of control groups."""

_last = 0.0


def trim_heap(pause: float = PAUSE) -> None:
    """Hand unused memory back to the system, if the last time is `pause` seconds ago, and the C library can."""
    global _last
    now = time.monotonic()
    if now - _last >= pause and (trim := _trim()) is not None:
        trim(0)
        _last = now


def available() -> int | None:
    """Return how many bytes are free for this process, of the machine or of its container; None where nobody says."""
    free = [_machine_free()]
    for limit, used, parts in LIMITS:
        most, now = _number(GROUPS / limit), _number(GROUPS / used)
        if most is not None and now is not None:
            cached = _line(GROUPS / parts, "inactive_file ") or 0  # copies of files, which make room when asked to
            free.append(max(most - now + cached, 0))
    return min((each for each in free if each is not None), default=None)


def _machine_free() -> int | None:
    """Return what the machine can give without swapping; where it does not say so, half of all that it has."""
    free = _line(Path("/proc/meminfo"), "MemAvailable:")
    if free is not None:
        return free * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _line(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next((int(line.removeprefix(name).split()[0]) for line in lines if line.startswith(name)), None)
    except (OSError, ValueError, IndexError):
        return None


def _number(path: Path) -> int | None:
    return _line(path, "")  # "max", which is no limit, is no number


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows, where None names no library
        return None
    return found
