"""The working copy of a study at a URL: brings what the URL has, and sends what is finished.

``.remote.json`` in the copy remembers of every file in which version it was last the same in both places. So whatever
is interrupted, by a kill or by the network, is taken up by the next who comes, here or on another machine.
"""

import contextlib
import fcntl
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from ganatomy.errors import StudyError
from ganatomy.files import replacing, write_text
from ganatomy.store.claim import Claim
from ganatomy.store.remote import Remote, Stamp, Unreachable
from ganatomy.store.rules import (
    as_unfinished,
    belongs,
    digest_of,
    is_finished,
    is_passed,
    is_passing,
    is_unfinished,
    shards_in,
    size_and_time,
)

RECORD = "study.json"
KNOWN = ".remote.json"
SELDOM = 60.0
"""Seconds between two sendings of what is not finished, and between two attempts while the network is down."""

RARELY = 10
"""To send what is not finished may take one part in so many of the time."""

_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """The version in which a file was last the same here and there: size and time here, size and mark there."""

    here: tuple[int, int]
    there: Stamp


class Store:
    """What keeps a study somewhere else, too. A plain directory is kept nowhere else, so here nothing is done."""

    def begin(self, part: str = "") -> None:
        """Bring what the other place has, and hold it, unless this is a part; `part` is in the names of its files."""

    def bring(self) -> None:
        """Bring what the other place has, to read it."""

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Settle in this block what concerns all who write to the study."""
        yield

    def keep(self) -> None:
        """Send what is finished, and now and then what is not; never raises, as it will be tried again."""

    def send(self, quietly: bool = False) -> None:
        """Send everything.

        Raises:
            StudyError: it cannot be sent, and not quietly; nothing here is lost.
        """

    def forget(self, name: str) -> None:
        """Remove a file that the finished study does without."""

    def close(self) -> None:
        """Let the other place go."""


class Copy(Store):
    """The working copy of a study at a URL.

    Raises:
        StudyError: nothing is installed that opens it.
    """

    def __init__(self, directory: Path, url: str) -> None:
        self.directory, self.url = directory, url
        self._remote = Remote(url)
        self._claim: Claim | None = None
        self._part = ""
        self._known: dict[str, Entry] = {}
        self._again = monotonic()
        self._next = self._again + SELDOM

    def begin(self, part: str = "") -> None:
        """Hold the URL, and bring what it has; of a part all this is done when it is alone.

        Raises:
            StudyBusy: another machine writes to it.
            StudyError: it holds no study but something else, or the copy has unsent files of another study.
            Unreachable: it does not answer.
        """
        self._part = part
        if not part:
            self._claim = Claim(self._remote, alone=True)
            self._claim.take()
            try:
                with self._syncing():
                    self._pull(reading=False)
            except BaseException:
                self.close()
                raise

    def bring(self) -> None:
        """Bring what the URL has.

        Raises:
            StudyError: it holds no study any more, or something else.
            Unreachable: it does not answer.
        """
        try:
            if self.directory.exists() or self._remote.read(RECORD) is not None:
                with self._syncing():
                    self._pull(reading=True)
        except Unreachable as error:
            if not (self.directory / RECORD).is_file():
                raise
            raise Unreachable(f"{error}; with GANATOMY_OFFLINE=1 the copy in {self.directory} will do") from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Settle something and send what comes of it: what other parts did until now is here, and they wait.

        Raises:
            StudyBusy: a machine that is no part holds the URL.
            StudyError: as `begin` and `send`.
        """
        if self._claim is not None or not self._part:
            yield
            self.keep()
            return
        claim = Claim(self._remote, alone=False)
        claim.take()
        try:
            with self._syncing():
                self._pull(reading=False)
            yield
            self.send()
        finally:
            claim.release()

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
            self._again = monotonic() + SELDOM
        if unfinished:
            self._next = monotonic() + max(SELDOM, RARELY * (monotonic() - now))

    def send(self, quietly: bool = False) -> None:
        """Send everything.

        Raises:
            Unreachable: it cannot be sent, and not quietly; says where it is kept.
        """
        try:
            with self._syncing():
                self._push(unfinished=True)
        except Unreachable as error:
            told = f"{error}; all is kept in {self.directory}, and the same command, run again, sends it"
            if not quietly:
                raise Unreachable(told) from error
            _log.warning("%s", told)

    def forget(self, name: str) -> None:
        """Remove a file that the finished study does without; one that cannot be removed stays."""
        with contextlib.suppress(Unreachable), self._syncing():
            if name in self._known:
                self._remote.remove(name)
                del self._known[name]
                self._write_known()

    def close(self) -> None:
        """Let the URL go."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

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
        there = {name: stamp for name, stamp in every.items() if belongs(name)}
        if record is None:
            return self._pull_nothing(sorted(there), reading)
        self._check_same(record)
        here = self._here()
        for name, stamp in there.items():
            if name != RECORD and not is_passed(name, there, here) and not self._is_of_others(name):
                self._take(name, stamp, here.get(name))
        for name in self._known.keys() - there.keys():  # what was removed there is removed here
            if here.get(name) == self._known[name].here:
                (self.directory / name).unlink(missing_ok=True)
            del self._known[name]
        self._take_record(record, there.get(RECORD, Stamp(len(record), "")))
        if self._claim is not None:
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
        self._known = {}
        self._write_known()

    def _check_same(self, record: bytes) -> None:
        """Make room for the study at the URL where the copy is of another one.

        Raises:
            StudyError: the copy has files that were never sent.
        """
        own = self.directory / RECORD
        if not own.is_file() or digest_of(own.read_bytes()) == digest_of(record):
            return
        here = self._here()
        unsent = [name for name, now in here.items() if name not in self._known or self._known[name].here != now]
        if unsent:
            raise StudyError(
                f"{self.url} holds another study than its copy in {self.directory}, which has {unsent[0]}, never sent; "
                "move that directory away, or give another URL"
            )
        for name in here:
            (self.directory / name).unlink()
        self._known = {}
        self._write_known()

    def _take(self, name: str, stamp: Stamp, now: tuple[int, int] | None) -> None:
        """Bring a file if it is newer there than here."""
        known, path = self._known.get(name), self.directory / name
        if now is not None and known is not None and known.there == stamp:
            return
        if now is None or known is None or known.here == now or not is_unfinished(name):
            self._remote.get(name, stamp, path)
        else:  # both went on: keep what has more
            other = path.with_name(f".{path.name}.other.tmp")
            self._remote.get(name, stamp, other)
            if shards_in(other) > shards_in(path):
                other.replace(path)
            other.unlink(missing_ok=True)
            if size_and_time(path) == now:
                return
        self._note(name, stamp)

    def _take_record(self, record: bytes, stamp: Stamp) -> None:
        """Bring study.json, unless the copy is finished and the URL does not know it yet."""
        path = self.directory / RECORD
        if path.is_file():
            own = path.read_bytes()
            if own != record and is_finished(own) and not is_finished(record):
                return None
            if own == record:
                return self._note(RECORD, stamp)
        with replacing(path) as temporary:
            temporary.write_bytes(record)
        return self._note(RECORD, stamp)

    def _push(self, unfinished: bool) -> None:
        """Send what the URL lacks, study.json last, and remove what has become part of something finished."""
        here = self._here()
        unsent = [name for name, now in here.items() if name not in self._known or self._known[name].here != now]
        if RECORD in here and RECORD not in self._known:
            self._announce(alone=len(here) == 1)
        for name in sorted(unsent, key=lambda name: (name == RECORD, name)):
            if unfinished or not is_unfinished(name):
                path = self.directory / name
                try:
                    stamp = self._remote.put(path, name)
                except (OSError, Unreachable):
                    if path.exists():
                        raise
                    continue  # another process here has made something else of it
                self._known[name] = Entry(here[name], stamp)
                self._write_known()
        for name in [name for name in self._known if name not in here and is_passing(name)]:
            self._remote.remove(name)
            del self._known[name]
            self._write_known()

    def _announce(self, alone: bool) -> None:
        """Say what study this will be before any other file is there.

        Raises:
            StudyError: another study is there already.
        """
        other, own = self._remote.read(RECORD), (self.directory / RECORD).read_bytes()
        if other is not None and digest_of(other) != digest_of(own):
            raise StudyError(f"{self.url} holds another study than its copy in {self.directory}; give another URL")
        if other is None and not alone:
            self._remote.write(RECORD, as_unfinished(own))

    def _is_of_others(self, name: str) -> bool:
        """Whether another part is at work on it."""
        return bool(self._part) and ".part-" in name and is_unfinished(name) and self._part not in name

    def _here(self) -> dict[str, tuple[int, int]]:
        """Return the files of the copy, with their sizes and times."""
        found = {}
        for path in self.directory.rglob("*"):
            name = path.relative_to(self.directory).as_posix()
            with contextlib.suppress(FileNotFoundError):  # moved into place meanwhile
                if belongs(name) and path.is_file() and not path.is_symlink():
                    found[name] = size_and_time(path)
        return found

    def _note(self, name: str, stamp: Stamp) -> None:
        self._known[name] = Entry(size_and_time(self.directory / name), stamp)
        self._write_known()

    def _read_known(self) -> dict[str, Entry]:
        try:
            files = json.loads((self.directory / KNOWN).read_text(encoding="utf-8"))["files"]
            return {name: Entry((int(a), int(b)), Stamp(int(c), str(d))) for name, (a, b, c, d) in files.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _write_known(self) -> None:
        files = {name: [*entry.here, *entry.there] for name, entry in self._known.items()}
        write_text(self.directory / KNOWN, json.dumps({"url": self.url, "files": files}, indent=1) + "\n")
