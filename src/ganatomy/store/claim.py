"""One machine writes to a URL at a time: a lock object tells the others who, and since when nobody heard of it.

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
from typing import Any

from ganatomy.errors import StudyBusy
from ganatomy.store.remote import Remote, Unreachable

LOCK = ".lock"
BEAT = 60.0
"""Seconds between two signs of life."""
STALE = 5 * BEAT
"""Who was silent for so many seconds writes no more."""
MOST = 10
"""Failures to take what nobody holds."""
PAUSE = 0.5
"""Seconds until the second look whether it is free; later ones come more seldom."""
LONG = 10
"""Looks after which it is said for whom one waits."""

_log = logging.getLogger(__name__)


class Claim:
    """Holds a URL for this process until it is let go.

    Args:
        remote: the URL.
        alone: whether for all of a run; else for a moment, for which others who want but a moment, too, wait.
    """

    def __init__(self, remote: Remote, alone: bool) -> None:
        self._remote = remote
        self._own = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex, "alone": alone}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Take it.

        Raises:
            StudyBusy: another process holds it; names it.
            Unreachable: the URL does not answer.
        """
        for failures in itertools.count(1):
            if self._taken():
                break
            if failures > MOST and self._holder() is None:
                raise Unreachable(f"cannot write {LOCK} of {self._remote.url}; is it a file, or read-only?")
            if failures == LONG:
                _log.warning("waiting for %s to let %s go", (self._holder() or {}).get("host"), self._remote.url)
            time.sleep(PAUSE * min(failures, LONG))
        self._thread = threading.Thread(target=self._live, daemon=True, name="ganatomy-claim")
        self._thread.start()

    def _taken(self) -> bool:
        """Take it if it is free."""
        holder = self._holder()
        if holder is None:
            self._remote.create(LOCK, self._signature())
        elif self._is_free(holder):  # left by somebody; a second one may come upon it in this moment
            self._remote.write(LOCK, self._signature())
            time.sleep(PAUSE)
        holder = self._holder()
        return holder is not None and holder.get("id") == self._own["id"]

    def release(self) -> None:
        """Let it go; a lock object that cannot be removed grows stale."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join(5)  # it may be waiting for the network
        self._thread = None
        with contextlib.suppress(Unreachable):
            if (self._holder() or {}).get("id") == self._own["id"]:
                self._remote.remove(LOCK)

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(Unreachable):
                if (self._holder() or self._own).get("id") == self._own["id"]:
                    self._remote.write(LOCK, self._signature())

    def _signature(self) -> bytes:
        return json.dumps({**self._own, "time": time.time()}).encode()

    def _holder(self) -> dict[str, Any] | None:
        """Return who holds it; None if nobody does, nothing known of whoever left something else there."""
        content = self._remote.read(LOCK)
        try:
            holder = json.loads(content or b"{}")
            return None if content is None else {**holder, "time": float(holder["time"]), "pid": int(holder["pid"])}
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return {} if content is not None else None

    def _is_free(self, holder: dict[str, Any]) -> bool:
        """Whether nobody else holds it; refuse another one for whom it would be no use to wait."""
        silent = abs(time.time() - holder.get("time", 0.0))
        if holder.get("id") == self._own["id"] or not silent <= STALE or self._is_dead(holder):
            return True
        if not self._own["alone"] and not holder.get("alone"):
            return False
        who = f"process {holder['pid']} on {str(holder.get('host'))[:100]}"
        raise StudyBusy(
            f"{self._remote.url} is being written to by {who}, heard of {silent:.0f} s ago; wait (after {STALE:.0f} s "
            "of silence it is free), or give another URL"
        )

    def _is_dead(self, holder: dict[str, Any]) -> bool:
        """Whether it was a process of this machine that is no more."""
        if holder.get("host") != self._own["host"]:
            return False
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return bool(holder["pid"] == os.getpid())  # the number is used again: this one holds by its id
