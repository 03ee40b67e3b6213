"""Memory that nobody uses any more goes back to the system.

The C library keeps what is freed, for the next that asks. What a shard needed is then held while nothing needs it, and
pieces that live on between the holes let the heap of a long run creep: by a tenth and more, up and down, over some
thousand pictures. Handed back now and then, it stays where it was.
"""

import ctypes
import time
from collections.abc import Callable
from functools import cache

PAUSE = 5.0
"""Seconds between two times, at least: to ask for it again costs the next shard some hundredths of a second."""

_last = 0.0


def give_back() -> None:
    """Hand unused memory back to the system, if the last time is some seconds ago, and the C library can."""
    global _last
    now = time.monotonic()
    if now - _last >= PAUSE and (trim := _trim()) is not None:
        trim(0)
        _last = now


@cache
def _trim() -> Callable[[int], int] | None:
    """Return glibc's function; None with another C library."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows, where None names no library
        return None
    return found
