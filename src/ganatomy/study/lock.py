"""One process writes to a study at a time."""

import fcntl
import os
from pathlib import Path

from ganatomy.errors import StudyBusy


def lock(directory: Path) -> int:
    """Hold the directory for this process, for as long as the descriptor that comes back is open.

    Raises:
        StudyBusy: another process holds it; names it.
    """
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode().strip()
        os.close(descriptor)
        raise StudyBusy(
            f"{directory} is being written to by process {holder or 'unknown'}; wait, or give another directory"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
