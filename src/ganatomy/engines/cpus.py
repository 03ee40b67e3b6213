"""How many cores there are to compute on; asked before torch is loaded, or where it cannot be."""

import os
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota() -> float | None:
    """Return how many cores a container is allowed, None for no limit; torch counts those of the machine."""
    try:
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return int(most) / int(period)
    except (OSError, ValueError):
        return None


def usable() -> int:
    """Return how many cores can be kept busy, at least one."""
    allowed = quota()
    return cores() if allowed is None else max(1, min(cores(), int(allowed)))


def threads(workers: int) -> int:
    """Return how many threads each of some workers of this machine gets: its share, or what is asked for if less."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, usable() // workers)
    return min(share, max(1, int(threads))) if threads.isdigit() else share
