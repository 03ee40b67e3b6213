"""How a long job tells how far it is, to whoever shows it."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """One task after the other, each of a known size; the command line shows it as a bar."""

    def begin(self, label: str, total: int) -> None:
        """Start a task of `total` pieces."""
        ...

    def advance(self, pieces: int) -> None:
        """Tell that so many more pieces are done."""
        ...

    def end(self) -> None:
        """End the task, done or not."""
        ...


class Silent:
    """Progress that nobody watches."""

    def begin(self, label: str, total: int) -> None:
        """Do nothing."""

    def advance(self, pieces: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


def _nobody(_: int) -> None:
    """Hear nothing."""


_listener: ContextVar[Callable[[int], None]] = ContextVar("listener", default=_nobody)


def tick(pieces: int) -> None:
    """Say, from within the work on a shard, that so many pieces of it are done.

    It is heard where the process that works also shows the progress; elsewhere a shard counts when it is back.
    """
    _listener.get()(pieces)


@contextlib.contextmanager
def listening(heard: Callable[[int], None]) -> Iterator[None]:
    """Have `heard` called with the pieces of every `tick` in this block."""
    token = _listener.set(heard)
    try:
        yield
    finally:
        _listener.reset(token)
