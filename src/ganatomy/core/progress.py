"""How a long job reports its progress."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """One task after the other, each of a known size; the command line shows it as a bar."""

    def begin(self, label: str, total: int) -> None:
        """Start a task of `total` pieces."""

    def advance(self, pieces: int) -> None:
        """Add so many pieces that are done."""

    def end(self) -> None:
        """End the task, done or not."""


@runtime_checkable
class Labelled(Protocol):
    """Progress that can say another thing of the task that is shown."""

    def label(self, text: str) -> None:
        """Show this in place of the label."""


class NullProgress:
    """Progress that is not shown."""

    def begin(self, label: str, total: int) -> None:
        """Show nothing."""

    def advance(self, pieces: int) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


_listener: ContextVar[Callable[[int], None]] = ContextVar("listener", default=lambda _: None)


def report_progress(pieces: int) -> None:
    """Report, from within the work on a shard, that so many pieces of it are done."""
    _listener.get()(pieces)


@contextlib.contextmanager
def listening(heard: Callable[[int], None]) -> Iterator[None]:
    """Call `heard` with the pieces of every `report_progress` in this block."""
    token = _listener.set(heard)
    try:
        yield
    finally:
        _listener.reset(token)
