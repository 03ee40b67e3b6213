"""Who may write to a study: one process, or the parts of one run side by side.

::

    DIR/.lock                       held by who writes: by one process alone, or by the parts together
    DIR/.part-003-of-016.lock       held by the process that counts that part
    DIR/.parts.lock                 held by one of these for a moment, to settle what concerns all

A lock is the kernel's (`flock`): that of a killed process is free at once.
"""

import contextlib
import fcntl
import logging
import math
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
LONG = 10.0
"""Seconds after which it is said for whom one waits."""

_log = logging.getLogger(__name__)


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
            other = _holder(descriptor)
            self.close()
            raise StudyBusy(f"{busy} {other}; wait, or give another directory")
        _write(descriptor, holder)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Settle in this block what concerns all who hold the directory: here, only this process.

        Raises:
            StudyError: the directory was taken away.
        """
        self.check()
        yield

    def check(self) -> None:
        """Refuse to go on where the directory was taken away: what is written there would be of another study.

        Raises:
            StudyError: so it is; names the directory.
        """
        if not self._descriptors:
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if os.path.samestat((self._directory / ".lock").stat(), os.fstat(self._descriptors[0])):
                return
        raise StudyError(
            f"{self._directory} was moved, removed or replaced while this process wrote to it; run the same command "
            "again, to a directory that stays"
        )

    def may_remove(self, left: Path) -> bool:
        """Tell whether a half-written file is what a killed process left, and not what a live one is writing."""
        return left.name.endswith(".tmp")

    def tidy(self) -> None:
        """Remove the locks of parts, when nothing is left to be settled among them."""
        for left in self._directory.glob(".part*.lock"):
            left.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the directory."""
        self._release()


class SharedHold(Hold):
    """A study directory to which only the parts of one run write, of which this process is one.

    Args:
        directory: of the study.
        part: its name, ``3/16``.
        mark: what is in the names of its files.

    Raises:
        StudyBusy: a process that is no part holds it, or one that is this part, too; names it.
        StudyError: the file system keeps no locks.
    """

    def __init__(self, directory: Path, part: str, mark: str) -> None:
        self._part, self._mark = f"part {part}", mark
        super().__init__(directory)

    def _take(self) -> None:
        self._name = f"{os.getpid()} on {socket.gethostname()} ({self._part})"
        busy = f"{self._directory} is being written to by process"
        self._own(self._directory / ".lock", self._name, busy, shared=True)
        busy = f"{self._part} of {self._directory} is being counted by process"
        self._own(self._directory / f"{self._mark}lock", self._name, busy)

    def may_remove(self, left: Path) -> bool:
        """Tell so of this part's files, and of those that are written by one part at a time."""
        if ".part-" in left.name:
            return self._mark in left.name
        return left.parent != self._directory or left.name.startswith(".study.json.")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Settle in this block what concerns all parts; wait until no other does."""
        self.check()
        path = self._directory / ".parts.lock"
        descriptor = os.open(path, OPENING, 0o644)
        try:
            tell = time.monotonic() + LONG
            while not _taken(path, descriptor, fcntl.LOCK_EX):
                time.sleep(PAUSE)
                if time.monotonic() > tell:
                    _log.warning("waiting for process %s, which computes what all parts need", _holder(descriptor))
                    tell = math.inf
            _write(descriptor, self._name)
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


def _write(descriptor: int, holder: str) -> None:
    """Tell others who holds a lock; on a full disk, nobody."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    """Return who has a lock; who has just taken it may be about to write that."""
    for _ in range(5):
        if found := os.pread(descriptor, 200, 0).decode(errors="replace").strip():
            return found
        time.sleep(0.02)
    return "unknown"


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
