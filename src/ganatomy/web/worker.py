"""One thread that runs the models, and the line before it: the server's event loop never waits for an image."""

import asyncio
import heapq
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from ganatomy.errors import GanatomyError
from ganatomy.execute.memory import trim_heap

T = TypeVar("T")
PAINT, READ, BROWSE, WARM = 0, 1, 2, 3
"""What goes first: a stroke's image, what it changed, all else that people ask, what nobody has asked yet."""
STREAMS = 4096
"""Streams whose newest number is kept."""


class Outdated(GanatomyError):
    """A newer request of the same stream has made this one useless."""


class Busy(GanatomyError):
    """The line is full."""


class Turn(NamedTuple):
    """Where a request stands in line.

    Attributes:
        urgency: the least goes first; those of one urgency in the order in which they came.
        stream: a person's strokes, say; of one stream only the newest is run.
        number: how new it is within its stream.
    """

    urgency: int = BROWSE
    stream: str = ""
    number: int = 0


LAST = Turn()
"""Whenever nothing is more urgent."""


class Worker:
    """A thread of its own, which runs one job at a time.

    Args:
        waiting: most jobs that wait; one more is refused.
    """

    def __init__(self, waiting: int = 64) -> None:
        self._waiting = waiting
        self._line: list[tuple[int, int, Turn, Callable[[], Any], Future[Any]]] = []
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="ganatomy-models", daemon=True)
        self._thread.start()

    async def run(self, job: Callable[[], T], turn: Turn = LAST) -> T:
        """Return what the job returns, once it is its turn.

        Raises:
            Outdated: a newer job of its stream came while it waited.
            Busy: too many wait.
        """
        return await asyncio.wrap_future(self._enqueue(job, turn))

    def close(self) -> None:
        """End the thread once the job that it is at is done; what waits is called off."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _enqueue(self, job: Callable[[], T], turn: Turn) -> "Future[T]":
        future: Future[T] = Future()
        with self._changed:
            if turn.stream:
                if turn.number < self._newest.get(turn.stream, turn.number):
                    raise Outdated("a newer request has come")
                self._drop_older(turn)
            if len(self._line) >= self._waiting or self._closed:
                raise Busy(f"{len(self._line)} requests wait already; try again soon")
            self._remember(turn)
            heapq.heappush(self._line, (turn.urgency, next(self._count), turn, job, future))
            self._changed.notify()
        return future

    def _drop_older(self, turn: Turn) -> None:
        """Take from the line what this one makes useless."""
        kept = []
        for entry in self._line:
            _, _, other, _, future = entry
            if other.stream == turn.stream and other.number <= turn.number:
                future.set_exception(Outdated("a newer request has come"))
            else:
                kept.append(entry)
        if len(kept) < len(self._line):
            heapq.heapify(kept)
            self._line = kept

    def _remember(self, turn: Turn) -> None:
        """Note how new a stream is; of streams long silent nothing is known."""
        if turn.stream:
            self._newest[turn.stream] = turn.number
            self._newest.move_to_end(turn.stream)
            if len(self._newest) > STREAMS:
                self._newest.popitem(last=False)

    def _next(self) -> tuple[Callable[[], Any], "Future[Any]"] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._closed)
            if self._closed:
                for *_, future in self._line:
                    future.cancel()
                return None
            *_, job, future = heapq.heappop(self._line)
        return job, future

    def _work(self) -> None:
        while (found := self._next()) is not None:
            job, future = found
            if not future.set_running_or_notify_cancel():
                continue  # whoever asked has gone
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
            trim_heap()  # else what images that are kept leave between them is never used again
