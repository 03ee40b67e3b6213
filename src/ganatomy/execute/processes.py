"""Processes of this machine, one a device: each takes the next shard as soon as it is done with one.

They are started as commands of their own, not forked (CUDA does not survive that) and not spawned by
``multiprocessing`` (which runs the user's script again, and asks for a guard in it). One that dies is started again,
and what it was counting is counted again: since a shard is a function of its ids, nothing is lost and nothing is
counted twice.
"""

import contextlib
import heapq
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

from ganatomy.errors import BadValue, EngineError
from ganatomy.execute.cores import threads
from ganatomy.execute.memory import give_back
from ganatomy.execute.wire import Wire
from ganatomy.execute.worker import HOW
from ganatomy.progress import tick

A = TypeVar("A")

TRIES = 3
"""A shard may kill so many workers before the run stops."""
QUEUED = 2
"""So many shards a worker has at most: the one that it counts, and the next."""
AHEAD = 3
"""Shards may be so many times the workers ahead of the one whose turn it is; their results wait in memory."""
PATIENCE = 5.0
"""Seconds that a worker that is told to go has for it."""

_log = logging.getLogger(__name__)


class Processes:
    """An engine of one process a device; `close` it, or use it in a ``with`` block, and none is left behind.

    Workers start when there is something to count, no more than there are shards, and keep their models open from one
    step to the next.

    >>> with Processes(["cpu", "cpu"]) as engine:  # doctest: +SKIP
    ...     ganatomy.dissect("bundled:church", engine=engine)

    Args:
        devices: of each worker ``cpu``, or the number of a GPU; one that is named twice gets two workers.

    Raises:
        BadValue: no devices, some that are not here, or CPU and GPU, whose rounding differs, in one study.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = check_devices(devices)
        self._idle: list[_Worker] = []
        self._crews: set[_Crew] = set()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        _end([*self._idle, *(worker for crew in self._crews for worker in crew.workers)])
        self._idle, self._crews = [], set()

    def __call__(self, work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        """Yield the result of every shard, in shard order, each by itself: the numbers are those of one process.

        Raises:
            EngineError: the work cannot be sent, workers do not start, or one shard kills them again and again.
        """
        if not shards:
            return
        content = _pickled(work)
        crew = _Crew(self._idle, content, shards)
        self._idle = []
        self._crews.add(crew)
        try:
            yield from crew.count(self.devices)
            self._idle, others = crew.workers, self._idle
            _end(others)  # of a call that was made in the midst of this one
        except BaseException:  # of theirs or of whoever asked, who may also have stopped to ask
            _end(crew.workers)
            raise
        finally:
            self._crews.discard(crew)


def check_devices(devices: Sequence[str]) -> list[str]:
    """Return the devices, each as ``cpu`` or a number.

    Raises:
        BadValue: there are none, some that are not here, or CPU and GPU in one study.
    """
    found = [each.strip().lower().removeprefix("cuda:") for each in devices]
    if not found:
        raise BadValue("no devices; give some, such as 0,1,2,3 or cpu,cpu")
    cards = [each for each in found if each != "cpu"]
    if cards and len(cards) < len(found):
        raise BadValue(f"devices {','.join(found)}: CPU and GPU round differently; give either for one study")
    if cards:
        import torch

        here = [str(i) for i in range(torch.cuda.device_count())]
        for each in cards:
            if each not in here:
                raise BadValue(f"no GPU {each!r} here; there are: {', '.join(here) or 'none'}; CPUs are named cpu,cpu")
    return found


class _Crew:
    """Workers at one step."""

    def __init__(self, workers: "list[_Worker]", content: bytes, shards: Sequence[range]) -> None:
        self.workers, self._content, self._shards = workers, content, shards
        self._open = list(range(len(shards)))  # a heap: what nobody has, the first first
        self._results: dict[int, Any] = {}
        self._turn = 0
        self._deaths: Counter[int | None] = Counter()

    def count(self, devices: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Yield the results in their order."""
        for device in devices[len(self.workers) : len(self._shards)]:
            self.workers.append(_Worker(device, threads(len(devices))))
        for worker in self.workers:
            self._brief(worker)
        while self._turn < len(self._shards):
            self._hand_out()
            while self._turn not in self._results:
                ready = wait([worker.wire.end for worker in self.workers])
                for worker in [each for each in self.workers if each.wire.end in ready]:
                    self._hear(worker)
                self._hand_out()
            result = self._results.pop(self._turn)
            self._turn += 1
            self._hand_out()
            yield 1, result
            give_back()

    def _brief(self, worker: "_Worker") -> None:
        with contextlib.suppress(OSError):  # it died; whoever listens to it next will know
            worker.wire.send(("work", self._content))

    def _hand_out(self) -> None:
        """Give the next shards to whoever has fewest."""
        while self._open and self._open[0] < self._turn + AHEAD * len(self.workers):
            worker = min(self.workers, key=lambda each: len(each.shards))
            most = QUEUED if len(self._open) > len(self.workers) else 1  # at the end nobody queues behind another
            if len(worker.shards) >= most:
                return
            number = heapq.heappop(self._open)
            worker.shards.append(number)
            with contextlib.suppress(OSError):
                worker.wire.send(("shard", number, self._shards[number]))

    def _hear(self, worker: "_Worker") -> None:
        """Take what a worker says, or see that it is dead."""
        try:
            kind, *rest = worker.wire.receive()
        except EOFError:
            self._replace(worker)
            return
        if kind == "ready":
            worker.ready = True
        elif kind == "begun":
            worker.at = rest[0]
        elif kind == "tick":
            tick(rest[0])
        elif kind == "done":
            worker.shards.remove(rest[0])
            self._results[rest[0]] = rest[1]
        else:
            error, story = rest[1:]
            raise error or RuntimeError(story.strip().splitlines()[-1]) from _Elsewhere(story)

    def _replace(self, worker: "_Worker") -> None:
        """Start a worker again that died, and have its shards counted again.

        Raises:
            EngineError: it is the third death at that shard, or before the first.
        """
        fate, at = worker.close(), worker.blamed()
        self._deaths[at] += 1
        where = "as it started" if at is None else f"at ids {_named(self._shards[at])}"
        if self._deaths[at] == TRIES:
            raise EngineError(
                f"{TRIES} workers died {where} ({fate}); what is finished is kept: "
                "give fewer workers, a smaller --batch, or count in this process to see why"
            )
        _log.warning("worker %s died %s (%s): started again, nothing is lost", worker.name, where, fate)
        for number in worker.shards:
            heapq.heappush(self._open, number)
        self.workers[self.workers.index(worker)] = again = _Worker(worker.device, worker.threads)
        self._brief(again)


class _Worker:
    """One process, seen from the one that started it.

    Attributes:
        device: ``cpu``, or the number of a GPU.
        threads: how many it computes with.
        wire: to talk to it.
        shards: numbers of those that it has and did not give back.
        ready: whether it was heard of.
        at: the one that it began last.
    """

    def __init__(self, device: str, own_threads: int) -> None:
        self.device, self.threads = device, own_threads
        self.shards: list[int] = []
        self.ready = False
        self.at: int | None = None
        own, other = socket.socketpair()
        self.wire = Wire(own)
        place = "cpu" if device == "cpu" else "cuda:0"  # the only one that it sees
        command = [sys.executable, "-P", "-m", "ganatomy.execute.worker", str(other.fileno()), place]
        with other, _starting(own):
            self._process = subprocess.Popen(  # noqa: S603  our own module
                command,
                env=_environment(device, own_threads),
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                process_group=0,  # Ctrl-C is for the process that it works for
            )

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return f"{self._process.pid} ({'cpu' if self.device == 'cpu' else f'GPU {self.device}'})"

    def blamed(self) -> int | None:
        """Return the shard at which it died; None if it did not come so far."""
        if self.at in self.shards:
            return self.at
        return self.shards[0] if self.ready and self.shards else None  # it died before it could say that it began

    def close(self) -> str:
        """End it, if it lives, and return how it ended."""
        self.wire.close()  # which it takes as the end
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == -signal.SIGKILL:
            return "killed, as happens where memory is short"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.wire.close()  # all at once
    for worker in workers:
        worker.close()


@contextlib.contextmanager
def _starting(end: socket.socket) -> Iterator[None]:
    """Tell in one line why there is no room for another process."""
    try:
        yield
    except OSError as error:
        end.close()
        raise EngineError(f"cannot start a worker ({error.strerror or error}); give fewer") from error


class _Elsewhere(Exception):
    """Where in a worker an error came up."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


def _environment(device: str, own_threads: int) -> dict[str, str]:
    """Return the variables that a worker starts with: its GPU, its threads, and where modules are found."""
    given = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(own_threads))
    given["PYTHONPATH"] = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    seen = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    if device == "cpu":
        given["CUDA_VISIBLE_DEVICES"] = ""
    else:  # numbers count the GPUs that this process sees
        given["CUDA_VISIBLE_DEVICES"] = seen[int(device)] if seen else device
    return {**os.environ, **given}


def _pickled(work: Any) -> bytes:
    """Return the work as it travels.

    Raises:
        EngineError: it holds something that cannot, such as an open model with a function made on the spot.
    """
    try:
        return pickle.dumps(work, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
        raise EngineError(f"the work cannot be sent to other processes ({error}); {HOW}") from error


def _named(ids: range) -> str:
    """Return ids as a person reads them.

    >>> _named(range(512, 768))
    '512 to 767'
    """
    return f"{ids[0]} to {ids[-1]}"
