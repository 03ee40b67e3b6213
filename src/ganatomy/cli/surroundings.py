"""What the command line may be started in: streams that are closed or know few letters, signals that ask it to end."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ganatomy.files import OF_THE_MACHINE

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What a scheduler sends before it kills, and a terminal that is closed."""


class Stopped(KeyboardInterrupt):
    """Somebody asked the process to end; what is half done is kept as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Make streams that take any text, and signals end the block as Ctrl-C does, where nobody else handles them."""
    _open_streams()
    own = [number for number in ENDING if _is_ours(number)]
    for number in own:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in own:
            signal.signal(number, signal.SIG_DFL)


def code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a process that a signal ended, as shells count: 130 after Ctrl-C."""
    return 128 + int(getattr(stop, "number", signal.SIGINT))


def refusal(error: OSError) -> str | None:
    """Say in one line what the machine refuses; None if the error may be a fault of ours."""
    if error.errno not in OF_THE_MACHINE:
        return None
    where = f" {error.filename}" if error.filename else ""
    return (
        f"cannot go on{where} ({error.strerror}); what is finished is kept: mend that, and run the same command again"
    )


def quiet_output() -> None:
    """Send what is left to be printed nowhere: whoever read it is gone, or has no room."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def takes_any_letter() -> bool:
    """Whether standard output can show every letter there is."""
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


def _open_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed before we were started
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  for as long as we run
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")  # a letter that a terminal lacks is no reason to lose an answer


def _is_ours(number: int) -> bool:
    """Whether a signal does what it always does: one that nohup ignores, or a host handles, is left alone."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) == signal.SIG_DFL


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(number)
