"""Who may write to a study: one process, or the parts of one run side by side.

::

    DIR/.lock                       held by who writes: by one process alone, or by the parts together
    DIR/.parts/003-of-016.lock      held by the process that counts that part
    DIR/.parts/lock                 held by one of these for a moment, to settle what concerns all

A lock is the kernel's (`flock`): that of a killed process is free at once.
"""

import contextlib
import fcntl
import os
import socket
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from ganatomy.errors import StudyBusy, StudyError

OPENING = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
"""How a lock is opened: a link in a directory of somebody else must not have another file emptied."""
PAUSE = 0.1
"""Seconds between two looks whether a lock is free; where a disk is shared, no one is told when it is."""


class Hold:
    """A study directory to which nobody else writes until `close`, or the end of the process.

    Raises:
        StudyBusy: another process holds it; names it.
        StudyError: the file system keeps no locks.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptors: list[int] = []
        self._release = weakref.finalize(self, _close, self._descriptors)
        self._take()

    def _take(self) -> None:
        self._own(self._directory / ".lock", str(os.getpid()), f"{self._directory} is being written to by process")

    def _own(self, path: Path, holder: str, busy: str, shared: bool = False) -> None:
        """Hold a lock for as long as this lives, or say who has it."""
        descriptor = os.open(path, OPENING, 0o644)
        self._descriptors.append(descriptor)
        if not _taken(path, descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            other = os.read(descriptor, 200).decode(errors="replace").strip()
            self.close()
            raise StudyBusy(f"{busy} {other or 'unknown'}; wait, or give another directory")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{holder}\n".encode())

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Settle in this block what concerns all who hold the directory: here, only this process."""
        yield

    def may_remove(self, left: Path) -> bool:
        """Tell whether a half-written file is what a killed process left, and not what a live one is writing."""
        return left.name.endswith(".tmp")

    def close(self) -> None:
        """Let go of the directory."""
        self._release()


class SharedHold(Hold):
    """A study directory to which only the parts of one run write, of which this process is one.

    Args:
        directory: of the study.
        number, of: of this part.

    Raises:
        StudyBusy: a process that is no part holds it, or one that is this part, too; names it.
        StudyError: the file system keeps no locks.
    """

    def __init__(self, directory: Path, number: int, of: int) -> None:
        self._number, self._of = number, of
        super().__init__(directory)

    def _take(self) -> None:
        part, own = f"part {self._number}/{self._of}", self._directory / ".parts"
        holder = f"{os.getpid()} on {socket.gethostname()} ({part})"
        self._own(self._directory / ".lock", holder, f"{self._directory} is being written to by process", shared=True)
        own.mkdir(exist_ok=True)
        name = f"{self._number:03d}-of-{self._of:03d}.lock"
        self._own(own / name, holder, f"{part} of {self._directory} is being counted by process")

    def may_remove(self, left: Path) -> bool:
        """Tell so of this part's files, and of those that are written by one part at a time."""
        if ".part-" in left.name:
            return f".part-{self._number:03d}-of-{self._of:03d}." in left.name
        return left.parent != self._directory or left.name.startswith(".study.json.")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Settle in this block what concerns all parts; wait until no other does."""
        path = self._directory / ".parts" / "lock"
        descriptor = os.open(path, OPENING, 0o644)
        try:
            while not _taken(path, descriptor, fcntl.LOCK_EX):
                time.sleep(PAUSE)
            yield
        finally:
            os.close(descriptor)


def _taken(path: Path, descriptor: int, how: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StudyError(
            f"{path}: this file system keeps no locks ({error.strerror}), without which two processes may write to one "
            "study; choose another, or let each part write to a directory of its own, and use ganatomy merge"
        ) from error
    return True


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
