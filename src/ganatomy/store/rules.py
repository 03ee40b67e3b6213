"""What the names and the contents of a study's files say of what is to be kept, brought and sent."""

import json
from pathlib import Path
from typing import Any

from ganatomy.store.places import is_plain
from ganatomy.tensor_files import BROKEN, SUFFIX, Archive

PASSING = (".part-", ".partial.")
"""What is in the names of files that are there only until a step is finished."""
DEEP = 3
"""Files of a study lie so many names deep."""


def belongs(name: str) -> bool:
    """Whether that is the name of a file of a study, which a stranger cannot use to reach beyond it."""
    parts = name.split("/")
    return len(parts) <= DEEP and all(map(is_plain, parts))


def is_unfinished(name: str) -> bool:
    """Whether shards are still being counted into that file."""
    return ".partial." in name


def is_passing(name: str) -> bool:
    """Whether a file is there only until a step is finished."""
    return any(mark in name for mark in PASSING)


def is_passed(name: str, *places: dict[str, Any]) -> bool:
    """Whether the step that a file was for is finished."""
    mark = next((mark for mark in PASSING if mark in name), None)
    return mark is not None and any(f"{name.partition(mark)[0]}{SUFFIX}" in place for place in places)


def size_and_time(path: Path) -> tuple[int, int]:
    """Return what changes when a file of ours does."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def shards_in(path: Path) -> int:
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


def digest_of(record: bytes) -> Any:
    """Return the digest of the Spec in a study.json."""
    return _content(record).get("digest")


def is_finished(record: bytes) -> bool:
    """Whether that is the study.json of a finished study."""
    return _content(record).get("finished") is True


def as_unfinished(record: bytes) -> bytes:
    """Return a study.json as it was before the study was finished."""
    return json.dumps({**_content(record), "finished": False}, indent=2).encode()
