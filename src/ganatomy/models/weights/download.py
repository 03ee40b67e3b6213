"""Download of one file: an interrupted one resumes, and only a whole and verified file is moved into place."""

import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ganatomy.core.cache import offline
from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.files import read_json
from ganatomy.core.fingerprint import file_sha256
from ganatomy.core.progress import Progress

TIMEOUT = 30.0
"""Seconds that a server may stay silent."""
ATTEMPTS = 5
"""Most failures in a row without new bytes."""
PAUSE = 1.0
"""Seconds before the second attempt; each later pause is twice as long."""
CHUNK = 1 << 18
MEGABYTE = 1_000_000
BEGINS = {".pth": (b"PK\x03\x04", b"\x80"), ".json": (b"{", b"[")}
"""The first bytes of zip archives and pickles, and of JSON, which error pages do not have."""

Check = Callable[[str], str | None]
"""Returns what is wrong with a sha256, or None."""


class _Unavailable(Exception):
    """This address does not give the file; the next one is tried."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        to = urlsplit(newurl).scheme
        if to not in ("http", "https") or (req.type == "https" and to == "http"):
            raise _Unavailable(f"the server sends on to {newurl[:100]!r}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class _Part:
    """The file of a partial download; `validator` is the server's ETag or date of its version."""

    address: str
    validator: str
    total: int


def checked_address(address: str) -> str:
    """Return an address of the web."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or any(letter.isspace() for letter in address):
        raise BadValue(f"{address!r} is no address; give https://… or http://…, or a file or folder that exists")
    return address


def download(addresses: Sequence[str], target: Path, progress: Progress, check: Check, by_hand: str) -> tuple[str, str]:
    """Fetch a file from the first address that gives it; move it into place once it is whole and passes `check`.

    A partial download is kept next to the target as ``NAME.part``. The next call asks for the rest only, and only if
    the server still has the same version: by its ETag or date.

    Args:
        addresses: tried in turn.
        target: the path of the file.
        progress: in megabytes.
        check: returns what is wrong with a sha256, or None.
        by_hand: ends the error message: what to do without the network.

    Returns:
        The sha256, and the address that gave the file.

    Raises:
        BadFile: no address gives the file, it fails the check, or the disk has no room; names each server with its
            reason.
        OSError: the disk refuses.
    """
    if offline():
        raise BadFile(f"{target.name} is not here, and GANATOMY_OFFLINE is set; unset that, or {by_hand}")
    part, reasons = target.with_name(f"{target.name}.part"), []
    for address in map(checked_address, addresses):
        try:
            _fetch_all(address, part, progress)
            sha256 = file_sha256(part)
            if wrong := check(sha256):
                _forget(part)
                raise _Unavailable(wrong)
        except _Unavailable as reason:
            reasons.append(f"{urlsplit(address).netloc}: {reason}")
            continue
        part.replace(target)
        _forget(part)
        return sha256, address
    kept = f" ({part.stat().st_size / MEGABYTE:.1f} MB are kept)" if _note(part).exists() else ""
    raise BadFile(f"cannot fetch {target.name}: {'; '.join(reasons)}{kept}; try again later, or {by_hand}")


def _fetch_all(address: str, part: Path, progress: Progress) -> None:
    """Fetch all of a file into `part`, with further attempts as long as some bring new bytes."""
    failures, most = 0, 0
    while True:
        try:
            return _attempt(address, part, progress)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # what is here is no part of what is there
                _forget(part)
            elif error.code < 500 and error.code not in (408, 429):
                raise _Unavailable(reason) from error
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionResetError):
                raise _Unavailable(f"cannot reach the server ({error.reason})") from error
            reason = str(error.reason)
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            reason = f"the connection broke ({str(error) or type(error).__name__})"
        received = part.stat().st_size if part.exists() else 0
        failures = 1 if received > most else failures + 1
        most = max(received, most)
        if failures >= ATTEMPTS:
            raise _Unavailable(reason)
        time.sleep(PAUSE * 2 ** (failures - 1))


def _attempt(address: str, part: Path, progress: Progress) -> None:
    """Request the file or the rest of it once."""
    resumed = _known_part(part, address)
    received = part.stat().st_size if resumed else 0
    if resumed and received == resumed.total:
        return
    headers = {"User-Agent": "ganatomy", "Accept-Encoding": "identity"}
    if resumed:
        headers |= {"Range": f"bytes={received}-", "If-Range": resumed.validator}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  see checked_address
    opener = urllib.request.build_opener(_Redirects)  # reads the proxies of the moment
    with opener.open(request, timeout=TIMEOUT) as answer:
        span = f"bytes {received}-{resumed.total - 1}/{resumed.total}" if resumed else ""
        if resumed is None or answer.headers.get("Content-Range") != span:
            if answer.status != 200:
                _forget(part)
                raise http.client.HTTPException(f"status {answer.status} for another part than was asked for")
            received, resumed = 0, _new_part(answer.headers, address, part)
        _check_space(part, resumed.total - received)
        _copy(answer, part, received, resumed.total, progress)


def _new_part(headers: Message, address: str, part: Path) -> _Part:
    """Note the version of the file that is coming, so that a later attempt can ask for the rest of the same."""
    length = headers.get("Content-Length", "")
    if not length.isdigit() or length == "0":
        raise _Unavailable("the server does not say how long the file is, so nobody could tell whether it is whole")
    etag = headers.get("ETag", "")
    validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")  # a weak ETag is no proof
    _forget(part)
    begun = _Part(address, validator, int(length))
    if validator:
        _note(part).write_text(json.dumps(asdict(begun)), encoding="utf-8")
    return begun


def _copy(answer: Any, part: Path, received: int, total: int, progress: Progress) -> None:
    progress.begin(f"{part.stem}, MB", -(-total // MEGABYTE))
    progress.advance(received // MEGABYTE)
    try:
        with part.open("ab") as file:
            while chunk := answer.read(CHUNK):
                if not received and (wrong := wrong_beginning(chunk, part.stem)):
                    _forget(part)
                    raise _Unavailable(wrong)
                file.write(chunk)
                progress.advance((received + len(chunk)) // MEGABYTE - received // MEGABYTE)
                received += len(chunk)
            file.flush()
            os.fsync(file.fileno())
    finally:
        progress.end()
    if received != total:
        raise http.client.HTTPException(f"{received} of {total} bytes came")


def wrong_beginning(chunk: bytes, name: str) -> str | None:
    """Return what is wrong with the first bytes of a file of that name; None if nothing is.

    >>> wrong_beginning(b"<!doctype html>", "encoder.pth")
    'what comes is a web page, no .pth file'
    """
    suffix = Path(name).suffix
    if chunk.lstrip().startswith(BEGINS.get(suffix, b"")):
        return None
    what = "is a web page" if chunk.lstrip().startswith(b"<") else f"begins with {chunk[:8]!r}"
    return f"what comes {what}, no {suffix} file"


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise BadFile(
            f"{part.stem} needs {needed / MEGABYTE:.0f} MB more, and {part.parent} has {free / MEGABYTE:.0f} MB free; "
            "make room, or set GANATOMY_CACHE to a directory on another disk"
        )


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _known_part(part: Path, address: str) -> _Part | None:
    """Return the file of the part on disk, if it can be resumed from this address."""
    try:
        resumed = _Part(**read_json(_note(part)))
        return resumed if resumed.address == address and part.stat().st_size <= resumed.total else None
    except (OSError, ValueError, TypeError):
        return None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
