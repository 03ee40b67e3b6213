"""The files at a URL, through fsspec: each is there whole or not at all, and a network that stumbles is asked again."""

import contextlib
import datetime
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ganatomy.core.errors import StudyError
from ganatomy.core.files import atomic_write

MOST = 1 << 24
"""Bytes that a small file may have."""
PAUSES = (1.0, 4.0)
"""Seconds before the second and the third attempt."""
PATIENCE = 60.0
"""Seconds that a file system may stay silent, and as many more as a file takes at SLOW bytes a second."""
SLOW = 100_000
SINGLE_PUT = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos", "r2"))
"""Object stores: a put shows the old object until the new one is whole, and they have no directories."""
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs", "oss": "ossfs"}
MARKS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems tell of a version of a file, the surest first."""

R = TypeVar("R")

_log = logging.getLogger(__name__)


class Unreachable(StudyError):
    """A URL that did not answer, or refused, as often as it was asked."""


class FileVersion(NamedTuple):
    """What tells a version of a file at a URL from another; `size` is -1 where nobody knows it."""

    size: int
    mark: str

    @classmethod
    def of(cls, info: dict[str, Any]) -> "FileVersion":
        """Read it from what a file system tells of a file."""
        value = next((info[name] for name in MARKS if info.get(name) is not None), "")
        if isinstance(value, datetime.datetime):
            value = value.timestamp()
        size = info.get("size")
        return cls(-1 if size is None else int(size), str(value))


class Remote:
    """The files below a URL, by their names relative to it."""

    def __init__(self, url: str) -> None:
        protocol = url.partition("://")[0]
        try:
            import fsspec
        except ModuleNotFoundError:
            raise StudyError(f"{url}: a URL takes fsspec; pip install 'ganatomy[fsspec]'") from None
        self.url, self._single = url, protocol in SINGLE_PUT
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            package = PACKAGES.get(protocol)
            raise StudyError(f"{url}: {f'pip install {package}' if package else error}") from error
        except Exception as error:  # each file system has errors of its own
            raise Unreachable(f"cannot open {url} ({_reason(error)})") from error

    def files(self) -> dict[str, FileVersion]:
        """Return what there is, hidden files too."""

        def find() -> dict[str, Any]:
            self._fs.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                return dict(self._fs.find(self._root, detail=True))
            return {}

        start = self._key("")
        found = self._patiently("list", find)
        if self._root in found:
            raise StudyError(f"{self.url} is a file; give a directory")
        return {
            name.removeprefix(start): FileVersion.of(info) for name, info in found.items() if name.startswith(start)
        }

    def read(self, name: str) -> bytes | None:
        """Return what a small file holds; None if there is none."""

        def cat() -> bytes | None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return bytes(self._fs.cat_file(self._key(name), start=0, end=MOST + 1))
            return None

        content = self._patiently(f"read {name} of", cat)
        if content is not None and len(content) > MOST:
            raise StudyError(f"{name} of {self.url} is no file of a study: it has over {MOST} bytes")
        return content

    def get(self, name: str, stamp: FileVersion, path: Path) -> None:
        """Bring a file to a path, whole or not at all."""

        def bring() -> None:
            with atomic_write(path) as temporary:
                self._fs.get_file(self._key(name), str(temporary))
                _check_size(temporary.stat().st_size, stamp.size)

        self._patiently(f"bring {name} of", bring, stamp.size)

    def put(self, what: Path | bytes, name: str) -> FileVersion:
        """Send a file, or what one holds, whole or not at all; return what tells its version."""
        key, size = self._key(name), len(what) if isinstance(what, bytes) else what.stat().st_size
        parent, _, last = key.rpartition("/")

        def send() -> FileVersion:
            target = key if self._single else f"{parent}/.{last}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                self._make_parent(key)
                if isinstance(what, bytes):
                    self._fs.pipe_file(target, what)
                else:
                    self._fs.put_file(str(what), target)
                _check_size(self._stamp(target).size, size)
                if not self._single:
                    self._move(target, key)
            except BaseException:
                if not self._single:
                    with contextlib.suppress(Exception):
                        self._fs.rm_file(target)
                raise
            return self._stamp(key)

        return self._patiently(f"write {name} of", send, size)

    def create(self, name: str, content: bytes) -> None:
        """Write a small file unless it is there. Not all file systems can promise that."""
        key = self._key(name)

        def send() -> None:
            self._make_parent(key)
            try:
                self._fs.pipe_file(key, content, mode="create")
            except FileExistsError:
                return
            except Exception:  # perhaps it knows no such mode, as older object stores
                if not self._fs.exists(key):
                    self._fs.pipe_file(key, content)

        self._patiently(f"write {name} of", send)

    def age(self, name: str) -> float | None:
        """Return how many seconds ago a file was written, by the file system's own clock; None where it knows no times.

        A file is written for that, and removed.
        """
        probe = f".clock-{uuid.uuid4().hex[:8]}"

        def compare() -> float | None:
            try:
                self._fs.pipe_file(self._key(probe), b"now")
                self._fs.invalidate_cache()
                now, then = (self._fs.modified(self._key(each)) for each in (probe, name))
                return float((now - then).total_seconds())
            except (NotImplementedError, FileNotFoundError, AttributeError, TypeError, KeyError):
                return None

        try:
            return self._patiently(f"ask the time of {name} of", compare)
        finally:
            self.remove(probe)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._key(name))

        self._patiently(f"remove {name} of", remove)

    def _key(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _make_parent(self, key: str) -> None:
        if not self._single:  # to make a directory there may make a bucket
            self._fs.makedirs(key.rpartition("/")[0], exist_ok=True)

    def _stamp(self, key: str) -> FileVersion:
        self._fs.invalidate_cache()
        return FileVersion.of(self._fs.info(key))

    def _move(self, source: str, target: str) -> None:
        from fsspec.spec import AbstractFileSystem

        if type(self._fs).mv is AbstractFileSystem.mv:  # which takes names for patterns
            self._fs.cp_file(source, target)
            self._fs.rm_file(source)
        else:
            self._fs.mv(source, target)

    def _patiently(self, what: str, call: Callable[[], R], size: int = 0) -> R:
        for pause in (*PAUSES, None):
            try:
                return _within(PATIENCE + max(size, 0) / SLOW, call)
            except Exception as error:  # each file system has errors of its own
                if pause is None or isinstance(error, PermissionError):
                    raise Unreachable(f"cannot {what} {self.url} ({_reason(error)})") from error
                _log.info("cannot %s %s (%s); trying again", what, self.url, _reason(error))
            time.sleep(pause)
        raise AssertionError


def _within(seconds: float, call: Callable[[], R]) -> R:
    """Call, and give up waiting after so many seconds: a network may hang for ever."""
    answer: Future[R] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    thread = threading.Thread(target=run, daemon=True, name="ganatomy-remote")  # no pool: that would wait at exit
    thread.start()
    thread.join(seconds)
    if not answer.done():
        raise TimeoutError(f"no answer within {seconds:.0f} seconds")
    return answer.result()


def _check_size(found: int, expected: int) -> None:
    if found != expected and -1 not in (found, expected):
        raise OSError(f"{found} of {expected} bytes came")


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200] or type(error).__name__
