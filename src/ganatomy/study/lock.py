"""Who may write to a study: one process, or the parts of one run side by side.

::

    DIR/.lock                       held by one process alone, or by the parts together
    DIR/.part-003-of-016.lock       held by the process that counts that part
    DIR/.parts.lock                 held by one part for a moment, for what concerns all of them
    DIR/.readers.lock               held by those that go on reading, such as a server, together

A lock is the kernel's (`flock`): that of a killed process is free at once. The file says who holds it.
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

from ganatomy.core.errors import StudyBusy, StudyError

OPENING = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
"""How a lock is opened: a link in a directory of somebody else must not have another file emptied."""
PAUSE = 0.1
"""Seconds between two attempts to take a lock; where a disk is shared, there is no notice when it is free."""
READERS = ".readers.lock"
LONG = 10.0
"""Seconds after which it is said who is waited for."""

_log = logging.getLogger(__name__)


class StudyLock:
    """A study directory to which nobody else writes until `close`, or the end of the process.

    Args:
        directory: of the study.
        part: the name of this part, ``3/16``, with which other parts may write; else this process is alone.
        mark: what is in the names of the part's files, and of no others.
    """

    def __init__(self, directory: Path, part: str = "", mark: str = "") -> None:
        self._directory, self._mark = directory, mark
        self._holder = f"{os.getpid()} on {socket.gethostname()} (part {part})" if part else str(os.getpid())
        held = contextlib.ExitStack()
        self._release = weakref.finalize(self, held.close)
        try:
            self._lock = self._own(held, ".lock", f"{directory} is being written to", shared=bool(part))
            if part:
                self._own(held, f"{mark}lock", f"part {part} of {directory} is being counted")
        except BaseException:
            self.close()
            raise

    def _own(self, held: contextlib.ExitStack, name: str, what: str, shared: bool = False) -> int:
        lock = _opened(held, self._directory / name)
        if not _taken(self._directory / name, lock, self._holder, shared):
            raise StudyBusy(f"{what} by process {_holder(lock)}; wait, or give another directory")
        return lock

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep the other parts from what concerns all of them in this block; wait until no other is in it."""
        self.check()
        with contextlib.ExitStack() as held:
            if self._mark:
                self._wait(_opened(held, path := self._directory / ".parts.lock"), path)
            yield

    def _wait(self, lock: int, path: Path) -> None:
        next_message = time.monotonic() + LONG
        while not _taken(path, lock, self._holder):
            time.sleep(PAUSE)
            if time.monotonic() > next_message:
                _log.warning("waiting for process %s, which computes what all parts need", _holder(lock))
                next_message = math.inf

    def check(self) -> None:
        """Refuse to go on where the directory was taken away: what is written there would be of another study."""
        if not self._release.alive:
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if os.path.samestat((self._directory / ".lock").stat(), os.fstat(self._lock)):
                return
        raise StudyError(
            f"{self._directory} was moved, removed or replaced while this process wrote to it; run the same command "
            "again, to a directory that stays"
        )

    def may_remove(self, left: Path) -> bool:
        """Tell whether a half-written file is what a killed process left: no live one writes it."""
        if not self._mark:
            return True
        if ".part-" in left.name:
            return self._mark in left.name
        return left.parent != self._directory or left.name.startswith(".study.json.")

    def tidy(self) -> None:
        """Remove the locks of parts, when the study is finished."""
        for left in self._directory.glob(".part*.lock"):
            left.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the directory."""
        self._release()


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Keep a study from being removed in this block, as far as a lock can be written there."""
    path = directory / READERS
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, StudyError):
            _taken(path, _opened(held, path), str(os.getpid()), shared=True)
        yield


@contextlib.contextmanager
def unread(directory: Path) -> Iterator[None]:
    """Refuse to remove a study that somebody goes on reading."""
    path = directory / READERS
    with contextlib.ExitStack() as held:
        lock = _opened(held, path)
        if not _taken(path, lock, str(os.getpid())):
            raise StudyBusy(f"{directory} is being read by process {_holder(lock)}, perhaps a server; end that first")
        yield


def _opened(held: contextlib.ExitStack, path: Path) -> int:
    descriptor = os.open(path, OPENING, 0o644)
    held.callback(os.close, descriptor)
    return descriptor


def _taken(path: Path, lock: int, holder: str, shared: bool = False) -> bool:
    """Take a lock if it is free, and write who has it; on a full disk the holder is not written."""
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StudyError(
            f"{path}: this file system keeps no locks ({error.strerror}), without which two processes may write to one "
            "study; choose another, or let each part write to a directory of its own, and use ganatomy merge"
        ) from error
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{holder}\n".encode(), 0)
    return True


def _holder(lock: int) -> str:
    """Return who has a lock; who has just taken it may be about to write that."""
    for _ in range(5):
        if found := os.pread(lock, 200, 0).decode(errors="replace").strip():
            return found
        time.sleep(0.02)
    return "unknown"
