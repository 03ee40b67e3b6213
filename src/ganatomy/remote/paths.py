"""Where the working copy of a URL lies, and back. A URL is data: it names a place in the cache, never one outside."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import BadValue

HERE = ("file", "memory")
"""Protocols without a host; GANATOMY_OFFLINE does not concern them."""
READ_ONLY = ("http", "https", "data", "zip", "tar", "github", "git")
NO_HOST = "%"
"""The directory of URLs that name no host; no encoded name is a bare percent sign."""

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)(.*)", re.DOTALL | re.IGNORECASE)


def local_path(where: str | os.PathLike[str]) -> Path:
    """Return the directory of a path, and the working copy of a URL.

    >>> local_path("runs/church")
    PosixPath('runs/church')
    >>> local_path("s3://bucket/runs/church").relative_to(_root())
    PosixPath('s3/bucket/runs/church')

    A path that was made of a URL, and so lost a slash, is taken for the URL that it was.
    """
    text = str(where)
    found = _URL.fullmatch(text)
    if not found and "://" in text and not Path(text).exists():
        raise BadValue(f"{text} is neither a path nor a URL; give a directory, or protocol://host/path")
    if not found or (not found[2] and Path(text).exists()):
        return Path(where)
    protocol, rest = found[1].lower(), found[3]
    _check(protocol, rest)
    if protocol == "local":
        protocol = "file"
    if protocol == "file" and not rest.startswith("/") and found[2]:
        raise BadValue(f"{text} names no directory; give file:///{rest}, with three slashes")
    parts = [part for part in rest.split("/") if part]
    if ".." in parts or "." in parts:
        raise BadValue(f"{text}: give the URL without . and ..")
    if protocol == "file" or (rest.startswith("/") and protocol != "memory"):
        parts = [NO_HOST, *parts]
    if len(parts) < (1 if protocol == "memory" else 2):
        raise BadValue(f"{text} names no directory; give one in it, such as {text.rstrip('/')}/study")
    coded = [part if part is NO_HOST else _coded(part) for part in parts]
    try:
        return _root().joinpath(protocol, *coded)
    except RuntimeError:
        raise BadValue(f"{text} takes a cache directory, and there is no home for it; set GANATOMY_CACHE") from None


def url_of(path: Path) -> str | None:
    """Return the URL of something in a working copy; None for any other path.

    >>> url_of(local_path("s3://bucket/runs/church") / "study.json"), url_of(Path("runs/church"))
    ('s3://bucket/runs/church/study.json', None)
    """
    try:
        root, whole = _root(), path.resolve()
    except (OSError, RuntimeError, ValueError):  # what cannot even be named has no copy
        return None
    if not whole.is_relative_to(root) or len(whole.relative_to(root).parts) < 2:
        return None
    protocol, *parts = whole.relative_to(root).parts
    decoded = ["" if part == NO_HOST else unquote(part, errors="surrogateescape") for part in parts]
    return f"{protocol}://{'/'.join(decoded)}"


def display_path(path: Path) -> str:
    """Return how people know a path: by its URL, if it has one."""
    return url_of(path) or str(path)


def is_plain(name: str) -> bool:
    """Whether a name is the same in a URL and in a working copy, and so may stand within a study."""
    return bool(name) and not name.startswith(".") and _coded(name) == name


def _coded(part: str) -> str:
    """Return a part of a URL as the name of a directory.

    >>> _coded("runs, 3"), _coded("a%2F?")
    ('runs, 3', 'a%252F%3F')
    """
    return re.sub(r"[^\w .,=+()@~-]", lambda found: quote(found[0], safe="", errors="surrogateescape"), part)


def _root() -> Path:
    return (cache_directory() / "studies").resolve()


def _check(protocol: str, rest: str) -> None:
    user, at, _ = rest.partition("@")
    if at and ":" in user:  # and the message must not repeat it
        raise BadValue(
            f"a {protocol}:// URL with a password in it would be kept in files and messages; give it without, and the "
            "password in the environment or in the file that the protocol's package reads"
        )
    if "::" in rest or "?" in rest or "#" in rest:
        raise BadValue(f"a {protocol}:// URL with ::, ? or # in it names no directory; give protocol://host/path")
    if protocol in READ_ONLY:
        raise BadValue(f"nothing can be written to a {protocol}:// URL; copy the study to a directory first")
