"""The working copy of a study at a URL: brings what the URL has, and sends what is finished.

``.remote.json`` in the copy says of every file in which version it was last the same in both places. So whatever is
interrupted, by a kill or by the network, is taken up by the next run, here or on another machine.
"""

import contextlib
import fcntl
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from ganatomy.core.errors import StudyError
from ganatomy.core.files import atomic_write, write_text
from ganatomy.core.tensor_files import BROKEN, SUFFIX, Archive
from ganatomy.remote.filesystem import FileVersion, Remote, Unreachable
from ganatomy.remote.lease import lease_held
from ganatomy.remote.paths import is_plain

DEPTH = 3
"""Files of a study are at most so many names deep."""
RECORD = "study.json"
KNOWN = ".remote.json"
INTERVAL = 60.0
"""Seconds between two sendings of what is not finished, and between two attempts while the network is down."""
SAVE_RATIO = 10
"""To send what is not finished may take one part in so many of the time."""

_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """The version in which a file was last the same here and there: size and time here, size and mark there."""

    here: tuple[int, int]
    there: FileVersion


class Mirror:
    """The working copy of a study at a URL.

    Args:
        directory: where it lies.
        url: where the study lies.
    """

    def __init__(self, directory: Path, url: str) -> None:
        self.directory, self.url = directory, url
        self._remote = Remote(url)
        self._lease = contextlib.ExitStack()
        self._part = ""
        self._known: dict[str, Entry] = {}
        self._again = monotonic()
        self._next = self._again + INTERVAL

    def begin(self, part: str = "") -> None:
        """Hold the URL, and bring what it has; a part, in the names of whose files `part` is, does so when alone."""
        self._part = part
        if not part:
            self._lease.enter_context(lease_held(self._remote, alone=True))
            with self._syncing():
                self._pull(reading=False)

    def bring(self) -> None:
        """Bring what the URL has."""
        try:
            if self.directory.exists() or self._remote.read(RECORD) is not None:
                with self._syncing():
                    self._pull(reading=True)
        except Unreachable as error:
            if not (self.directory / RECORD).is_file():
                raise
            raise Unreachable(f"{error}; with GANATOMY_OFFLINE=1 the copy in {self.directory} will do") from error

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Send what comes of a block; of a part, bring what others did until now, and let them wait."""
        if not self._part:
            yield
            self.keep()
            return
        with lease_held(self._remote, alone=False):
            with self._syncing():
                self._pull(reading=False)
            yield
            self.send()

    def keep(self) -> None:
        """Send what is finished, and now and then what is not; what fails is tried again a minute later."""
        now = monotonic()
        if now < self._again:
            return
        unfinished = now >= self._next
        try:
            with self._syncing():
                self._push(unfinished)
        except Unreachable as error:
            _log.warning("%s; going on with the copy in %s, and trying again later", error, self.directory)
            self._again = monotonic() + INTERVAL
        if unfinished:
            self._next = monotonic() + max(INTERVAL, SAVE_RATIO * (monotonic() - now))

    def send(self, quietly: bool = False, without: Sequence[str] = ()) -> None:
        """Send everything, and remove some files that a finished study does without."""
        try:
            with self._syncing():
                self._push(unfinished=True)
                for name in without:
                    with contextlib.suppress(Unreachable):  # one that cannot be removed stays
                        self._remove_there(name)
        except Unreachable as error:
            message = f"{error}; all is kept in {self.directory}, and the same command, run again, sends it"
            if not quietly:
                raise Unreachable(message) from error
            _log.warning("%s", message)

    def close(self) -> None:
        """Let the URL go."""
        self._lease.close()

    @contextlib.contextmanager
    def _syncing(self) -> Iterator[None]:
        """Let one process of this machine at a time bring and send."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with (self.directory / ".remote.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._known = self._read_known()
                yield
        except OSError as error:
            reason = error.strerror or error
            raise StudyError(f"cannot write {self.directory}, the copy of {self.url} ({reason})") from error

    def _pull(self, reading: bool) -> None:
        record = self._remote.read(RECORD)  # before the list: what is finished by now is on it as a whole
        every = self._remote.files()
        there = {name: stamp for name, stamp in every.items() if is_study_file(name)}
        if record is None:
            return self._pull_nothing(sorted(there), reading)
        self._make_room(record)
        here = self._here()
        for name in self._known.keys() - there.keys():  # what was removed there is removed here
            if here.get(name) == self._known[name].here:
                (self.directory / name).unlink(missing_ok=True)
        for name, stamp in there.items():
            if name != RECORD and step_of(name) not in {*there, *here} and not self._is_of_others(name):
                self._take(name, stamp, here.get(name))
        self._take_record(record, there.get(RECORD, FileVersion(len(record), "")))
        if not (reading or self._part):
            for name in every:
                if name.rpartition("/")[2].startswith(".") and name.endswith(".tmp"):  # of somebody who was killed
                    self._remote.remove(name)
        return None

    def _pull_nothing(self, others: list[str], reading: bool) -> None:
        """See to it that a URL without a study may become one, or say that there is none."""
        if others:
            raise StudyError(f"{self.url} is not empty and holds no study (it has {others[0]}); give another one")
        if reading and RECORD in self._known:
            raise StudyError(f"{self.url} holds no study any more; what was there is kept in {self.directory}")
        self._forget()

    def _make_room(self, record: bytes) -> None:
        """Make room for the study at the URL where the copy is of another one, all of which was sent."""
        own = self.directory / RECORD
        if not own.is_file() or _same_study(own.read_bytes(), record):
            return
        if unsent := self._unsent(here := self._here()):
            raise StudyError(
                f"{self.url} holds another study than its copy in {self.directory}, which has {unsent[0]}, never sent; "
                "move that directory away, or give another URL"
            )
        for name in here:
            (self.directory / name).unlink()
        self._forget()

    def _take(self, name: str, stamp: FileVersion, now: tuple[int, int] | None) -> None:
        known, path = self._known.get(name), self.directory / name
        if now is not None and known is not None and known.there == stamp:
            return None
        if now is None or known is None or known.here == now or not is_unfinished(name):
            self._remote.get(name, stamp, path)
        else:  # both went on: keep what has more
            other = path.with_name(f".{path.name}.other.tmp")
            self._remote.get(name, stamp, other)
            if _shards(other) <= _shards(path):
                return other.unlink()
            other.replace(path)
        return self._note(name, stamp)

    def _take_record(self, record: bytes, stamp: FileVersion) -> None:
        """Bring study.json, unless the copy is finished and the URL does not know it yet."""
        path = self.directory / RECORD
        own = path.read_bytes() if path.is_file() else b""
        if own != record:
            if _content(own).get("finished") is True and _content(record).get("finished") is not True:
                return
            with atomic_write(path) as temporary:
                temporary.write_bytes(record)
        self._note(RECORD, stamp)

    def _push(self, unfinished: bool) -> None:
        """Send what the URL lacks, study.json last, and remove what has become part of something finished."""
        here = self._here()
        if RECORD in here and RECORD not in self._known:
            self._announce()
        for name in self._unsent(here):
            if unfinished or not is_unfinished(name):
                path = self.directory / name
                try:
                    stamp = self._remote.put(path, name)
                except (OSError, Unreachable):
                    if path.exists():
                        raise
                    continue  # another process here has made something else of it
                self._note(name, stamp, here[name])
        for name in [name for name in self._known if name not in here and step_of(name)]:
            self._remove_there(name)

    def _announce(self) -> None:
        """Say what study this will be before any other file is there; refuse where another study is."""
        other, own = self._remote.read(RECORD), (self.directory / RECORD).read_bytes()
        if other is not None and not _same_study(other, own):
            raise StudyError(f"{self.url} holds another study than its copy in {self.directory}; give another URL")
        if other is None:
            self._remote.put(json.dumps({**_content(own), "finished": False}, indent=2).encode(), RECORD)

    def _is_of_others(self, name: str) -> bool:
        """Whether another part is at work on it."""
        return bool(self._part) and ".part-" in name and is_unfinished(name) and self._part not in name

    def _here(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.directory.rglob("*"):
            name = path.relative_to(self.directory).as_posix()
            with contextlib.suppress(FileNotFoundError):  # moved into place meanwhile
                if is_study_file(name) and path.is_file() and not path.is_symlink():
                    found[name] = _size_and_time(path)
        return found

    def _unsent(self, here: dict[str, tuple[int, int]]) -> list[str]:
        changed = [name for name, now in here.items() if name not in self._known or self._known[name].here != now]
        return sorted(changed, key=lambda name: (name == RECORD, name))

    def _remove_there(self, name: str) -> None:
        if self._known.pop(name, None):
            self._remote.remove(name)
            self._write_known()

    def _note(self, name: str, stamp: FileVersion, here: tuple[int, int] | None = None) -> None:
        self._known[name] = Entry(here or _size_and_time(self.directory / name), stamp)
        self._write_known()

    def _forget(self) -> None:
        self._known = {}
        self._write_known()

    def _read_known(self) -> dict[str, Entry]:
        try:
            files = json.loads((self.directory / KNOWN).read_text(encoding="utf-8"))["files"]
            return {name: Entry((int(a), int(b)), FileVersion(int(c), str(d))) for name, (a, b, c, d) in files.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _write_known(self) -> None:
        files = {name: [*entry.here, *entry.there] for name, entry in self._known.items()}
        write_text(self.directory / KNOWN, json.dumps({"url": self.url, "files": files}, indent=1) + "\n")


def is_study_file(name: str) -> bool:
    """Whether that is the name of a file of a study, which a stranger cannot use to reach beyond it."""
    parts = name.split("/")
    return len(parts) <= DEPTH and all(map(is_plain, parts))


def is_unfinished(name: str) -> bool:
    """Whether shards are still being counted into that file."""
    return name.endswith(f".partial{SUFFIX}")


def step_of(name: str) -> str | None:
    """Return the finished step that replaces a file; None where there is none.

    >>> step_of("steps/sum.part-003-of-016.npz"), step_of("steps/sum.partial.npz"), step_of("steps/sum.npz")
    ('steps/sum.npz', 'steps/sum.npz', None)
    """
    found = re.fullmatch(rf"(.+?)\.part(?:-[^/]+|ial){re.escape(SUFFIX)}", name)
    return found and f"{found[1]}{SUFFIX}"


def _size_and_time(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _shards(path: Path) -> int:
    """Return how many shards a file holds; -1 where that cannot be read."""
    try:
        return Archive(path).shards
    except BROKEN:
        return -1


def _content(record: bytes) -> dict[str, Any]:
    try:
        found = json.loads(record)
        return found if isinstance(found, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _same_study(one: bytes, other: bytes) -> bool:
    return bool(_content(one).get("digest") == _content(other).get("digest"))
