"""Streams and signals of the process: streams that are closed or know few letters, signals that end it."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from ganatomy.core.files import OF_THE_MACHINE


class Stopped(KeyboardInterrupt):
    """A scheduler's SIGTERM, or the SIGHUP of a closed terminal; what is half done is kept as after Ctrl-C."""

    number: int = signal.SIGINT


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Make streams that take any text, and signals end the block as Ctrl-C does, where nobody else handles them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed before we were started
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  for as long as we run
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")  # a letter that a terminal lacks is no reason to lose an answer
    handled = []
    if threading.current_thread() is threading.main_thread():
        # a signal that nohup ignores, or a host handles, is left alone
        handled = [own for own in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(own) == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a process that a signal ended, as shells count: 130 after Ctrl-C."""
    return 128 + int(getattr(stop, "number", signal.SIGINT))


SHORT = ("failed to map segment", "can't allocate memory", "Cannot allocate memory", "out of memory")
"""What libraries that cannot be loaded, torch and CUDA say where memory is short."""


def machine_error(error: Exception) -> str | None:
    """Return a line for what the machine refuses; None if the error may be a fault of ours."""
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        where, reason = f" {error.filename}" if error.filename else "", error.strerror
    elif isinstance(error, MemoryError) or any(text in each for each in _causes(error) for text in SHORT):
        where, reason = "", "not enough memory"
    else:
        return None
    return f"cannot go on{where} ({reason}); what is finished is kept: mend that, and run the same command again"


def _causes(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def discard(stream: TextIO) -> None:
    """Send what is left to be printed nowhere: whoever read it is gone, or has no room."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_unicode() -> bool:
    """Whether standard output can show every letter."""
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


def _stop(number: int, _: FrameType | None) -> None:
    stop = Stopped()
    stop.number = number
    raise stop
