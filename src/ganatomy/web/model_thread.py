"""The one thread that runs the models, and the queue before it: the event loop never waits for an image.

Requests that wait for the same job may be answered together: the strokes of several people in one forward pass.
"""

import asyncio
import contextlib
import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from ganatomy.core.errors import GanatomyError
from ganatomy.engines.memory import trim_heap

S = TypeVar("S")
T = TypeVar("T")
PAINT, READ, BROWSE, WARM, SPARE = 0, 1, 2, 3, 4
"""How urgent a job is: the image of a stroke, what it changed, all other requests, warm-up jobs, measuring."""
PATIENCE = {PAINT: 0.0, READ: 0.1, BROWSE: 0.2, WARM: math.inf, SPARE: math.inf}
"""Seconds by which a later, more urgent job may overtake: strokes must not starve other requests."""
QUIET = 0.5
"""Seconds without a request after which there is time to spare."""
MAX_STREAMS = 4096
"""Streams whose newest number is kept."""


class Outdated(GanatomyError):
    """A newer request of the same stream has made this one useless."""


class Busy(GanatomyError):
    """The queue is full."""


class Priority(NamedTuple):
    """When a job runs: by when it came and how urgent it is; of one stream only the greatest number."""

    urgency: int = BROWSE
    stream: str = ""
    number: int = 0


LOWEST = Priority()


class Together(NamedTuple):
    """A job that is done for several requests in one go, if they wait at the same time.

    Attributes:
        job: returns for each of some items its answer, or the error that it raised.
        most: of how many items at once.
    """

    job: Callable[[Sequence[Any]], Sequence[Any]]
    most: int


@dataclass(order=True)
class _Request:
    """A request that waits, in the order in which they are answered."""

    due: float
    urgency: int
    count: int
    stream: str = field(compare=False)
    together: Together = field(compare=False)
    item: Any = field(compare=False)
    answer: "asyncio.Future[Any]" = field(compare=False)


class ModelThread:
    """A thread that runs one job at a time; all methods are called from one event loop.

    Args:
        waiting: maximum number of waiting jobs.

    Attributes:
        waited: seconds that the last strokes waited in the queue: 0 where nobody else asks.
    """

    def __init__(self, waiting: int = 64) -> None:
        self._waiting = waiting
        self._thread = ThreadPoolExecutor(1, "ganatomy-models")
        self._queue: list[_Request] = []
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._count = itertools.count()
        self._running = False
        self._asked = 0.0
        self.waited = 0.0

    async def run(self, job: Callable[[], T], priority: Priority = LOWEST) -> T:
        """Return what the job returns, once it has run.

        Raises:
            Outdated: a newer job of its stream came while it waited.
            Busy: too many jobs wait.
        """
        answer: T = await self.run_together(Together(lambda _: [job()], 1), None, priority)
        return answer

    async def run_together(self, together: Together, item: object, priority: Priority = LOWEST) -> Any:
        """Return the answer to an item, of a job that takes others that wait for the same job at once; see `run`."""
        if priority.urgency < WARM:
            self._asked = monotonic()
        self._drop_outdated(priority)
        waiting = sum(not other.answer.done() for other in self._queue)
        if self._running and waiting >= self._waiting:
            raise Busy(f"{waiting} requests wait already; try again soon")
        answer = asyncio.get_running_loop().create_future()
        due = monotonic() + PATIENCE[priority.urgency]
        own = _Request(due, priority.urgency, next(self._count), priority.stream, together, item, answer)
        heapq.heappush(self._queue, own)
        self._start_next()
        return await answer

    async def run_in_spare_time(self, job: Callable[[], T]) -> T:
        """Return what the job returns; it starts when the server has been idle for a while, and nothing waits."""
        while True:
            while (wait := self._asked + QUIET - monotonic()) > 0 or self._queue:
                await asyncio.sleep(max(wait, QUIET / 10))
            with contextlib.suppress(Busy):
                return await self.run(job, Priority(SPARE))

    def close(self) -> None:
        """Cancel the waiting jobs and end the thread after its present job."""
        for request in self._queue:
            request.answer.cancel()
        self._thread.shutdown()

    def _start_next(self) -> None:
        """Have the thread do what is due, unless it is at something; who asked may have gone."""
        while self._queue and not self._running:
            first = heapq.heappop(self._queue)
            if first.answer.done():
                continue
            taken = [first, *self._take_alike(first)]
            if first.urgency == PAINT:
                self.waited = monotonic() - first.due
            job = partial(_trimmed, partial(first.together.job, [each.item for each in taken]))
            self._running = True
            done = asyncio.get_running_loop().run_in_executor(self._thread, job)
            done.add_done_callback(partial(self._finish, taken))

    def _take_alike(self, first: _Request) -> list[_Request]:
        """Take what can be done together with a request out of the queue, in its order."""
        alike = [each for each in sorted(self._queue) if each.together == first.together and not each.answer.done()]
        taken = alike[: first.together.most - 1]
        if taken:
            self._queue = [each for each in self._queue if each not in taken]
            heapq.heapify(self._queue)
        return taken

    def _finish(self, taken: Sequence[_Request], done: "asyncio.Future[Sequence[Any]]") -> None:
        """Answer, and go on."""
        self._running = False
        error = done.exception()
        answers = [error] * len(taken) if error is not None else done.result()
        for request, answer in zip(taken, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, BaseException):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        self._start_next()

    def _drop_outdated(self, priority: Priority) -> None:
        """Refuse a job that is older than its stream, and the waiting jobs that it makes useless."""
        if not priority.stream:
            return
        if priority.number < self._newest.get(priority.stream, priority.number):
            raise Outdated("a newer request has come")
        for other in self._queue:
            if other.stream == priority.stream and not other.answer.done():
                other.answer.set_exception(Outdated("a newer request has come"))
        self._queue = [other for other in self._queue if not other.answer.done()]
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
