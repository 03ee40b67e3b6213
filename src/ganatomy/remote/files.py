"""Working copies from outside: those of studies, those of single files, and what lies in a directory at a URL."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganatomy.core import files
from ganatomy.core.cache import offline
from ganatomy.remote.filesystem import Remote
from ganatomy.remote.mirror import DEPTH, RECORD, Mirror
from ganatomy.remote.paths import HERE, is_plain, local_path, url_of


def open_mirror(directory: Path) -> Mirror | None:
    """Return the working copy that a directory is, if it is one of a study at a URL, and the URL is to be asked."""
    url = _online(directory)
    return None if url is None else Mirror(directory, url)


def pull(directory: Path) -> None:
    """Bring a study into its working copy; a directory of this machine is as it is."""
    if copy := open_mirror(directory):
        copy.bring()


def upload(path: Path) -> None:
    """Send a file that was written into a working copy, or all files of a directory; of a study what it lacks there."""
    if _online(path) is None:
        return None
    for study in (path, *path.parents[:DEPTH]):
        if (study / RECORD).is_file() and (copy := open_mirror(study)):
            return copy.send()
    found = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    start = path if path.is_dir() else path.parent
    remote = Remote(str(url_of(start)))
    for file in found:
        name = file.relative_to(start).as_posix()
        if all(map(is_plain, name.split("/"))):
            remote.put(file, name)
    return None


def write_text(where: str | Path, text: str) -> None:
    """Write a text file, at a path or a URL, whole or not at all."""
    path = local_path(where)
    files.write_text(path, text)
    upload(path)


def download(where: Path) -> Path:
    """Bring a file or directory into its working copy, of a study all of it; return the path, any path as it is."""
    if _online(where) is None:
        return where
    for study in (where.parent, where, *where.parents[1 : DEPTH - 1]):
        url = _online(study)
        if url is not None and Remote(url).read(RECORD) is not None:
            pull(study)
            return where
    remote = Remote(str(url_of(where.parent)))
    for name, stamp in remote.files().items():
        below = Path(where.parent, name)
        if all(map(is_plain, name.split("/"))) and below.is_relative_to(where):
            remote.get(name, stamp, below)
    return where


def listdir(directory: Path) -> list[Path]:
    """Return what lies in a directory, here or at its URL, by name."""
    url = _online(directory)
    there = {name.partition("/")[0] for name in (Remote(url).files() if url else ())}
    names = {path.name for path in directory.glob("*")} | set(filter(is_plain, there))
    return [directory / name for name in sorted(names)]


@contextlib.contextmanager
def listed(directory: Path, records: Sequence[str], folders: Sequence[str], deep: int) -> Iterator[Path]:
    """Yield a directory that has the records of what lies below one, which is itself if it is of this machine.

    Of a URL, the records alone are brought, to a temporary place: studies may be large, and their copies stay as is.

    Args:
        directory: of any studies, here or at its URL.
        records: names of files that are brought.
        folders: names of directories that are made, empty but for records.
        deep: directories below it that are looked into.
    """
    url = _online(directory)
    if url is None:
        yield directory
        return
    remote = Remote(url)
    with tempfile.TemporaryDirectory() as temporary:
        for name in remote.files():
            *above, last = name.split("/")
            if len(above) > deep or not all(map(is_plain, (*above, last))):
                continue
            for i in (i for i, part in enumerate(above) if part in folders):
                Path(temporary, *above[: i + 1]).mkdir(parents=True, exist_ok=True)
            if last in records and (content := remote.read(name)) is not None:
                place = Path(temporary, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        yield Path(temporary)


def _online(directory: Path) -> str | None:
    """Return the URL of a working copy, if it is to be asked."""
    url = url_of(directory)
    return None if url is None or (offline() and url.partition("://")[0] not in HERE) else url
