"""The scheduler of all engines with workers: which worker counts which shard, and what is counted again after a loss.

It knows nothing of processes and of Ray; those are its subclasses. A shard is a function of its ids, so one that is
lost is counted again by any worker, and nothing is counted twice.
"""

import heapq
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from ganatomy.core.errors import EngineError
from ganatomy.engines.memory import trim_heap

A = TypeVar("A")
P = TypeVar("P", bound="Pool")

TRIES = 3
"""Workers that may die at one shard before the run stops."""
QUEUED = 2
"""Maximum shards queued per worker: the one that it counts, and the next."""
AHEAD = 3
"""Shards, as a multiple of the workers, that may be counted beyond the next block; their results wait in memory."""
HINT = "name the models, define them in a module that other processes can import, or count in this process"
"""What to do about work that cannot be pickled."""

_log = logging.getLogger(__name__)


class Node(NamedTuple):
    """A place in the tree: level 0 are the shards, and place 0 of the next level merges places 0 and 1."""

    level: int
    place: int


class MergeTree:
    """Which shards are to be counted, and which results are to be merged.

    Shards stand in blocks of ``2 ** levels``. The results of a block are merged as a binary tree, neighbours with
    neighbours, so numbers depend neither on which worker was fast nor on what was lost.

    >>> tree = MergeTree(shards=3, levels=1, ahead=4)
    >>> [tree.take() for _ in range(4)]
    [0, 1, 2, None]
    >>> for shard in (2, 1, 0):
    ...     tree.put(Node(0, shard), "abc"[shard])
    >>> tree.pair()
    (Node(level=1, place=0), 'a', 'b')
    >>> tree.put(Node(1, 0), "ab")
    >>> tree.ready(), tree.span(Node(1, 0))
    ((Node(level=1, place=0), 'ab'), range(0, 2))

    Args:
        ahead: shards that may be taken beyond the first block that is not handed over.
    """

    def __init__(self, shards: int, levels: int, ahead: int) -> None:
        self._shards, self._top, self._ahead = shards, levels, ahead
        self._open = list(range(shards))  # a heap: not assigned, lowest first
        self._results: dict[Node, Any] = {}
        self._pairs: list[Node] = []
        self._block = 0

    @property
    def done(self) -> bool:
        """Whether every block is handed over."""
        return self._block << self._top >= self._shards

    @property
    def waiting(self) -> int:
        """How many shards are not assigned."""
        return len(self._open)

    @property
    def following(self) -> int | None:
        """The shard that is assigned next; None if all are."""
        return self._open[0] if self._open else None

    def span(self, node: Node) -> range:
        """Return the shards below a node."""
        return range(node.place << node.level, min((node.place + 1) << node.level, self._shards))

    def take(self) -> int | None:
        """Return the next shard to count; None while there is none, or while enough are ahead."""
        if self._open and self._open[0] < (self._block << self._top) + self._ahead:
            return heapq.heappop(self._open)
        return None

    def put(self, node: Node, result: Any) -> None:
        """Add the result of a node."""
        while node.level < self._top and (node.place + 1) << node.level >= self._shards and node.place % 2 == 0:
            node = Node(node.level + 1, node.place // 2)  # the last, which has no neighbour
        self._results[node] = result
        if node.level < self._top and Node(node.level, node.place ^ 1) in self._results:
            self._pairs.append(Node(node.level + 1, node.place // 2))

    def pair(self) -> tuple[Node, Any, Any] | None:
        """Remove and return the next two neighbours to merge, after their parent; None while there are none."""
        if not self._pairs:
            return None
        node = self._pairs.pop(0)
        left, right = (self._results.pop(Node(node.level - 1, 2 * node.place + i)) for i in range(2))
        return node, left, right

    def ready(self) -> tuple[Node, Any] | None:
        """Remove and return the next block, whole and merged; None while it is not."""
        node = Node(self._top, self._block)
        return (node, self._results.pop(node)) if node in self._results else None

    def handed_over(self) -> None:
        """Go on to the next block: the one that was `ready` has arrived."""
        self._block += 1

    def lost(self, node: Node) -> None:
        """Have all shards below a node counted again."""
        for shard in self.span(node):
            heapq.heappush(self._open, shard)


class Worker:
    """A process that counts and merges; subclasses have a `name` for messages, and can `assign` work and `end`.

    Attributes:
        device: where it computes.
        tasks: what it was given and has not finished, in order; of a merge also both results.
        ready: whether it has started.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.tasks: dict[Node, tuple[Any, ...]] = {}
        self.ready = False

    def shards(self) -> list[Node]:
        """Return the shards that it was given."""
        return [node for node in self.tasks if not node.level]

    def current(self) -> Node | None:
        """Return what it is counting, or else merging; None if it has not started, or has nothing to do."""
        return next(iter([*self.shards(), *self.tasks]), None) if self.ready else None


class LostResult(Exception):
    """A result that disappeared with the machine that had it."""


class RemoteTraceback(Exception):
    """Where in a worker an error was raised."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"


class Scheduler(ABC):
    """The workers that count the shards of one call.

    Args:
        workers: that are running already.
        shards: what is to be counted.
        levels: see `MergeTree`.
        devices: one for each worker that is to be running.
    """

    def __init__(
        self, workers: Sequence[Any], shards: Sequence[range], devices: Sequence[str], levels: int = 0
    ) -> None:
        self.workers = list(workers)
        self._shards, self._devices = shards, devices[: len(shards)]
        self._tree = MergeTree(len(shards), levels, AHEAD * len(self._devices) + ((1 << levels) if levels else 0))
        self._deaths: Counter[Node | None] = Counter()
        self._suspects: set[int] = set()

    @abstractmethod
    def hire(self, device: str) -> Any:
        """Start a worker."""

    @abstractmethod
    def poll(self) -> None:
        """Wait for workers, and tell `finish`, `replace` and `lose` what happened."""

    @abstractmethod
    def fetch(self, result: Any) -> Any:
        """Return the value of a result."""

    def run(self) -> Iterator[tuple[int, Any]]:
        """Yield the value of each block, in order, with how many shards are merged in it."""
        missing = Counter(self._devices) - Counter(worker.device for worker in self.workers)
        for device in missing.elements():
            self.workers.append(self.hire(device))
        while not self._tree.done:
            self._assign()
            if (block := self._tree.ready()) is None:
                self.poll()
                continue
            node, (result, _) = block
            try:
                value = self.fetch(result)
            except LostResult:
                self.lose(node)
                continue
            self._tree.handed_over()
            self._assign()
            yield len(self._tree.span(node)), value
            del block, result, value
            trim_heap()

    def finish(self, worker: Any, node: Node, result: Any) -> None:
        """Take the result of a task."""
        del worker.tasks[node]
        self._tree.put(node, (result, worker))

    def lose(self, node: Node, worker: Worker | None = None) -> None:
        """Have shards counted again whose results are lost, as the worker that was to merge them may report."""
        if worker is not None:
            del worker.tasks[node]
        self._tree.lost(node)
        _log.warning("results of %s were on a machine that is gone: counted again", self._describe(node))

    def replace(self, worker: Any, reason: str, blame: bool = True) -> None:
        """Start another worker in the place of one that died, and have all its tasks done again.

        One that dies again and again before it has started is not replaced while others are running. Results that it
        had not sent yet are lost with it, so it may have been counting any of its shards: from now on each of them is
        given to a worker that has no other, and the one that kills again is known.

        Args:
            blame: whether the shard may be the cause.
        """
        self.workers.remove(worker)
        task = worker.current()
        where = f"at {self._describe(task)}" if task else "with nothing to do" if worker.ready else "as it started"
        self._deaths[task] += blame
        if blame:
            self._suspects.update(node.place for node in worker.shards())
        enough = self._deaths[task] >= TRIES
        if enough and (task or not any(each.ready for each in self.workers)):
            raise EngineError(
                f"{TRIES} workers died {where}, the last one {worker.name}: {reason}; what is finished is kept: give "
                "fewer workers or more memory, a smaller --batch, or count in this process to see why"
            )
        followed = "the others go on" if enough else "another is started, and nothing is lost"
        _log.warning("worker %s died %s: %s; %s", worker.name, where, reason, followed)
        for node, results in worker.tasks.items():
            for i, result in enumerate(results):
                self._tree.put(Node(node.level - 1, 2 * node.place + i), result)
            if not results:
                self._tree.lost(node)
        if not enough:
            self.workers.append(self.hire(worker.device))

    def _assign(self) -> None:
        """Give merges to a worker that has one of the results, and the next shards to the one that has fewest."""
        usable = [worker for worker in self.workers if worker.ready]
        while usable and (pair := self._tree.pair()) is not None:
            node, *results = pair
            owners = [worker for _, worker in reversed(results) if worker in usable]
            self._give((owners or usable)[0], node, tuple(results))
        while usable:
            worker = min(usable, key=lambda each: len(each.shards()))
            if self._tree.following in self._suspects or self._suspects.intersection(n.place for n in worker.shards()):
                most = 1  # alone, see `replace`
            else:
                most = QUEUED if self._tree.waiting > len(usable) else 1  # at the end none waits behind another
            if len(worker.shards()) >= most or (shard := self._tree.take()) is None:
                return
            self._give(worker, Node(0, shard), ())

    def _give(self, worker: Any, node: Node, results: tuple[Any, ...]) -> None:
        worker.tasks[node] = results
        worker.assign(node, tuple(result for result, _ in results) if results else self._shards[node.place])

    def _describe(self, node: Node) -> str:
        span, count = self._tree.span(node), len(self._shards)
        ids = f"(ids {self._shards[span[0]][0]} to {self._shards[span[-1]][-1]})"
        if len(span) == 1:
            return f"shard {span[0] + 1} of {count} {ids}"
        return f"shards {span[0] + 1} to {span[-1] + 1} of {count} {ids}"


class Pool(ABC):
    """An engine whose workers live from one call to the next; `close` it, or use it in a ``with`` block."""

    def __init__(self) -> None:
        self._idle: list[Any] = []
        self._calls: list[Scheduler] = []

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        self._end([*self._idle, *(worker for call in self._calls for worker in call.workers)])
        self._idle, self._calls = [], []

    @abstractmethod
    def _begin(self, work: Callable[[range], Any], shards: Sequence[range]) -> Scheduler:
        """Return what counts some shards with the idle workers."""

    @abstractmethod
    def _end(self, workers: Sequence[Any]) -> None: ...

    def __call__(self, work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        """Yield results in shard order, each with the number of shards that are merged in it.

        Raises:
            EngineError: the work cannot be sent, workers do not start, or one shard kills them again and again.
        """
        if not shards:
            return
        call = self._begin(work, shards)
        self._idle = []
        self._calls.append(call)
        try:
            yield from call.run()
            others, self._idle = self._idle, call.workers
            self._end(others)  # of a call that was made during this one
        except BaseException:  # also where the caller stops to ask
            self._end(call.workers)
            raise
        finally:
            self._calls = [each for each in self._calls if each is not call]
