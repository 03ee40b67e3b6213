"""Removing a study, so that another can be begun in its place: only what a study holds, where nobody uses it."""

import contextlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile, StudyError
from ganatomy.core.files import read_json, write_text
from ganatomy.remote import pull, url_of
from ganatomy.study.files import INDEX, record_text, writing
from ganatomy.study.lock import StudyLock, unread

HOLDS = {
    "": ("study.json", "report.html", "edit.json"),
    "steps": ("*.npz",),
    "tables": ("*.parquet",),
    "repaired": ("repaired.json", "generator.safetensors"),
}
"""Files of a study, by folder; there are also names that begin with a dot: locks, and unfinished files."""


def remove_study(directory: Path) -> str:
    """Remove the study in a directory, finished or not; return what it was, nothing where there is none.

    A kill on the way leaves an unfinished study of the same question.

    Raises:
        StudyError: it lies at a URL, or the directory holds more than a study.
        StudyBusy: another process writes to it, or serves it.
        BadFile: its study.json is none.
    """
    pull(directory)
    if not (directory / "study.json").is_file():
        return ""
    if url := url_of(directory):
        raise StudyError(f"{url} is at a URL, where no study is removed; remove it there, or give another directory")
    record = _record(directory)
    with writing(directory), contextlib.closing(StudyLock(directory)), unread(directory):
        files = list(_files(directory))
        size = sum(path.stat().st_size for path in files)
        write_text(directory / "study.json", record_text({**record, "finished": False}))
        for path in files:
            path.unlink()
        for folder in {path.parent for path in files} - {directory}:
            folder.rmdir()
    state = "finished" if record.get("finished") else "unfinished"
    return f"the {state} {record['experiment']} study ({len(files)} files, {size / 1e6:.1f} MB)"


def _record(directory: Path) -> dict[str, Any]:
    """Return the record of a study, also of another version."""
    path = directory / "study.json"
    with contextlib.suppress(OSError, ValueError):
        record = read_json(path)
        if isinstance(record, dict) and {"format", "experiment", "spec"} <= record.keys():
            return record
    raise BadFile(f"{path} is not the record of a study, so nothing is removed; give another directory")


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files of a study, its record last; raises StudyError where anything else is there."""
    for name in sorted(HOLDS, reverse=True):
        folder = directory / name
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            hidden = path.name.startswith(".")
            inner = not name and (path.name == INDEX or (path.name in HOLDS and path.is_dir()))
            ours = path.is_file() and (hidden or any(fnmatchcase(path.name, each) for each in HOLDS[name]))
            if path.is_symlink() or not (ours or inner or (hidden and not name)):
                raise StudyError(
                    f"{directory} holds {path.relative_to(directory)}, which is not of its study, so nothing is "
                    "removed; move that, or give another directory"
                )
            if ours and (name or not hidden):
                yield path
