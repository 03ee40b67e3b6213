"""How a long job tells how far it is, to whoever shows it."""

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
