"""Connections of the server: those that send no whole request are closed, so that they cannot use up all of them."""

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""Within this a request's headers must be complete."""
RESERVED = 128
"""File descriptors that are left to everything else: models, studies, annotations."""
MOST = 1024
ACCEPTED = 32
"""Connections that are accepted at once, before one of them can be closed: a fraction of what is reserved."""


def server_config(app: Any) -> Config:
    """Return how an ASGI app is served: with these connections, and no log of requests."""
    return Config(app, log_level="error", access_log=False, server_header=False, http=Connection, backlog=ACCEPTED)


def max_connections() -> int:
    """Return how many connections may be open at once, by the limit of file descriptors."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows, which has no such limit
        return MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(MOST, soft - RESERVED))


class Connection(H11Protocol):
    """A connection that is closed if its request takes too long to arrive, or if it makes room for another one."""

    since = 0.0
    _timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Accept a connection; where there are too many, close the oldest that is idle, else this one."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self._limit_headers()
        if len(self.connections) > max_connections():
            idle = [each for each in self.connections if isinstance(each, Connection) and each.is_idle]
            min(idle, key=lambda each: each.since, default=self).abort()

    def data_received(self, data: bytes) -> None:
        """Take in data of a request."""
        super().data_received(data)
        self._limit_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._stop_timer()

    def abort(self) -> None:
        """Close it at once, and do not count it any more."""
        self.connections.discard(self)
        self.transport.abort()

    def _limit_headers(self) -> None:
        if not self.is_idle:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._timer = None
        if self.is_idle:
            self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
