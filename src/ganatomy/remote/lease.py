"""One machine writes to a URL at a time: a lock object tells the others who, and when it was last heard of.

Object stores have no locks, so two machines that come in the same second may both go on. That costs work and nothing
else: every file of a study is a function of its Spec, so both write the same.
"""

import contextlib
import itertools
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganatomy.core.errors import StudyBusy
from ganatomy.remote.filesystem import Remote, Unreachable

LOCK = ".lock"
HEARTBEAT = 60.0
"""Seconds between two signs of life."""
STALE = 5 * HEARTBEAT
"""Who was silent for so many seconds writes no more."""
MOST = 10
"""Failures to take what nobody holds."""
PAUSE = 0.5
"""Seconds until the second attempt; later ones come more seldom."""
LONG = 10
"""Attempts after which it is said who is waited for."""

Holder = dict[str, Any]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def lease_held(remote: Remote, alone: bool) -> Iterator[None]:
    """Hold a URL for this process in a block.

    Args:
        remote: the URL.
        alone: whether for all of a run; else for a moment, for which others who want but a moment, too, wait.
    """
    own = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex, "alone": alone}
    own["started"] = _started(os.getpid())
    _take(remote, own)
    ended = threading.Event()
    thread = threading.Thread(target=_live, args=(remote, own, ended), daemon=True, name="ganatomy-lease")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5)  # it may be waiting for the network
        with contextlib.suppress(Unreachable):  # one that cannot be removed grows stale
            if _is_held(remote, own):
                remote.remove(LOCK)


def _take(remote: Remote, own: Holder) -> None:
    for failures in itertools.count(1):
        holder = _holder(remote)
        if holder is None:
            remote.create(LOCK, _signature(own))
        elif _is_free(remote, own, holder):  # left by somebody; a second one may come upon it in this moment
            remote.put(_signature(own), LOCK)
            time.sleep(PAUSE)
        if _is_held(remote, own):
            return
        if failures > MOST and _holder(remote) is None:
            raise Unreachable(f"cannot write {LOCK} of {remote.url}; is it a file, or read-only?")
        if failures == LONG:
            _log.warning("waiting for %s to let %s go", (_holder(remote) or {}).get("host"), remote.url)
        time.sleep(PAUSE * min(failures, LONG))


def _live(remote: Remote, own: Holder, ended: threading.Event) -> None:
    """Give signs of life, unless another process has taken it over."""
    while not ended.wait(HEARTBEAT):
        with contextlib.suppress(Unreachable):
            if (_holder(remote) or own).get("id") == own["id"]:
                remote.put(_signature(own), LOCK)


def _signature(own: Holder) -> bytes:
    return json.dumps({**own, "time": time.time()}).encode()


def _is_held(remote: Remote, own: Holder) -> bool:
    return bool((_holder(remote) or {}).get("id") == own["id"])


def _holder(remote: Remote) -> Holder | None:
    """Return who holds it; None if nobody does, nothing known of whoever left something else there."""
    content = remote.read(LOCK)
    try:
        holder = json.loads(content or b"{}")
        return None if content is None else {**holder, "time": float(holder["time"]), "pid": int(holder["pid"])}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return {}


def _is_free(remote: Remote, own: Holder, holder: Holder) -> bool:
    """Whether nobody else holds it; refuse another one for whom it would be no use to wait."""
    silent = abs(time.time() - holder.get("time", 0.0))
    alive = _is_alive(own, holder)
    if holder.get("id") == own["id"] or alive is False:
        return True
    if alive is None and not silent <= STALE:  # by this machine's clock, which may be wrong
        age = remote.age(LOCK)
        if age is None or age > STALE:
            return True
        silent = age
    if not own["alone"] and not holder.get("alone"):
        return False
    raise StudyBusy(
        f"{remote.url} is being written to by process {holder['pid']} on {str(holder.get('host'))[:100]}, heard of "
        f"{silent:.0f} s ago; wait (after {STALE:.0f} s of silence it is free), or give another URL"
    )


def _is_alive(own: Holder, holder: Holder) -> bool | None:
    """Return whether the holder's process runs on this machine; None where that cannot be known."""
    if holder.get("host") != own["host"]:
        return None
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return None
    if holder["pid"] == os.getpid():
        return False  # the number is used again: this one holds by its id
    started = _started(holder["pid"])
    return None if started is None or "started" not in holder else bool(started == holder["started"])


def _started(pid: int) -> str | None:
    """Return when a process was started, in ticks since this machine was; None where the system does not tell.

    Numbers of processes are used again; a number with its start is not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19]
    except (OSError, IndexError):
        return None
