"""The one thread that runs the models, and the queue before it: the event loop never waits for an image."""

import asyncio
import contextlib
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple, TypeVar

from ganatomy.core.errors import GanatomyError
from ganatomy.engines.memory import trim_heap

T = TypeVar("T")
PAINT, READ, BROWSE, WARM, SPARE = 0, 1, 2, 3, 4
"""What runs first: the image of a stroke, what it changed, all other requests, warm-up jobs, measuring."""
QUIET = 0.5
"""Seconds without a request after which there is time to spare."""
MAX_STREAMS = 4096
"""Streams whose newest number is kept."""


class Outdated(GanatomyError):
    """A newer request of the same stream has made this one useless."""


class Busy(GanatomyError):
    """The queue is full."""


class Priority(NamedTuple):
    """When a job runs: the least urgency first, then the first that came; of one stream only the greatest number."""

    urgency: int = BROWSE
    stream: str = ""
    number: int = 0


LOWEST = Priority()


class ModelThread:
    """A thread that runs one job at a time; all methods are called from one event loop.

    Args:
        waiting: maximum number of waiting jobs.
    """

    def __init__(self, waiting: int = 64) -> None:
        self._waiting = waiting
        self._thread = ThreadPoolExecutor(1, "ganatomy-models")
        self._queue: list[tuple[int, int, Priority, asyncio.Future[None]]] = []
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._count = itertools.count()
        self._running = False
        self._asked = 0.0

    async def run(self, job: Callable[[], T], priority: Priority = LOWEST) -> T:
        """Return what the job returns, once it has run.

        Raises:
            Outdated: a newer job of its stream came while it waited.
            Busy: too many jobs wait.
        """
        if priority.urgency < WARM:
            self._asked = monotonic()
        self._drop_outdated(priority)
        if self._running:
            await self._enqueue(priority)
        self._running = True
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _trimmed, job)
        finally:
            self._start_next()

    async def run_in_spare_time(self, job: Callable[[], T]) -> T:
        """Return what the job returns; it starts when the server has been idle for a while, and nothing waits."""
        while True:
            while (wait := self._asked + QUIET - monotonic()) > 0 or self._queue:
                await asyncio.sleep(max(wait, QUIET / 10))
            with contextlib.suppress(Busy):
                return await self.run(job, Priority(SPARE))

    def close(self) -> None:
        """Cancel the waiting jobs and end the thread after its present job."""
        for *_, start in self._queue:
            start.cancel()
        self._thread.shutdown()

    async def _enqueue(self, priority: Priority) -> None:
        """Wait until the job may run."""
        if len(self._queue) >= self._waiting:
            raise Busy(f"{len(self._queue)} requests wait already; try again soon")
        start = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (priority.urgency, next(self._count), priority, start))
        try:
            await start
        except asyncio.CancelledError:
            if not start.cancelled() and start.exception() is None:  # its turn had come
                self._start_next()
            raise

    def _start_next(self) -> None:
        self._running = False
        while self._queue and not self._running:
            *_, start = heapq.heappop(self._queue)
            if not start.done():  # else whoever asked has gone
                self._running = True
                start.set_result(None)

    def _drop_outdated(self, priority: Priority) -> None:
        """Refuse a job that is older than its stream, and the waiting jobs that it makes useless."""
        if not priority.stream:
            return
        if priority.number < self._newest.get(priority.stream, priority.number):
            raise Outdated("a newer request has come")
        for _, _, other, start in self._queue:
            if other.stream == priority.stream and not start.done():
                start.set_exception(Outdated("a newer request has come"))
        self._queue = [entry for entry in self._queue if not entry[-1].done()]
        heapq.heapify(self._queue)
        self._newest[priority.stream] = priority.number
        self._newest.move_to_end(priority.stream)
        if len(self._newest) > MAX_STREAMS:
            self._newest.popitem(last=False)


def _trimmed(job: Callable[[], T]) -> T:
    try:
        return job()
    finally:
        trim_heap()  # else the memory between kept images is never used again
