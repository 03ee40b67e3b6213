"""The engine of many machines: actors of a Ray cluster count the shards, and come through the loss of some.

What to do when something is lost is decided here and not left to Ray: a shard is a function of its ids, so what is
lost is counted again, once, by somebody else; and the log says so. Neighbours are merged on the cluster (`Tree`).
"""

import itertools
import logging
import math
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from ganatomy.errors import BadValue, EngineError
from ganatomy.execute.cluster import GONE, Cluster, fate
from ganatomy.execute.cores import usable
from ganatomy.execute.ray_worker import Hello, RayWorker, unpack, versions
from ganatomy.execute.tree import Node, Tree
from ganatomy.execute.worker import HOW

A = TypeVar("A")

TRIES = 3
"""A shard may kill so many workers before the run stops."""
QUEUED = 2
"""So many shards a worker has at most: the one that it counts, and the next."""
AHEAD = 3
"""Shards may be so many times the workers ahead of the block whose turn it is."""
RECEIVED = 8
"""For so many workers the process that gives the work merges every result itself; of more it gets whole blocks."""
PATIENCE = 15.0
"""Seconds without any worker after which the log says what is being waited for."""
REPLACED = "another goes on, nothing is lost"

_log = logging.getLogger(__name__)


class Ray:
    """An engine of actors on a cluster; use it in a ``with`` block, and none of them is left behind.

    It connects when there is something to count. A cluster that it started ends with the block, one that it joined goes
    on running.

    >>> with Ray(None, workers=2) as engine:  # doctest: +SKIP
    ...     ganatomy.dissect("bundled:church", engine=engine)

    Args:
        address: ``ray://HOST:PORT`` of a running cluster; None for the one of this machine, started if there is none.
        workers: how many actors; None for as many as there is room for, or cores here.
        cpus: of each actor.
        gpus: the share of a GPU of each actor; 0 to compute on CPUs.

    Raises:
        EngineError: Ray is not installed.
        BadValue: options that cannot be meant.
    """

    def __init__(self, address: str | None, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0) -> None:
        if find_spec("ray") is None:
            raise EngineError("engine ray takes Ray, which is not installed: pip install 'ganatomy[ray]'")
        if cpus < 0 or gpus < 0 or not cpus + gpus > 0:
            raise BadValue(f"cpus={cpus} and gpus={gpus} of each worker: give more than none of one of them")
        self.address, self.workers, self.cpus, self.gpus = address, workers, cpus, gpus
        self._cluster: Cluster | None = None
        self._idle: list[_Worker] = []
        self._calls = itertools.count()

    def __enter__(self) -> "Ray":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the actors, and let go of the cluster."""
        if self._cluster is not None:
            if self._cluster.used:  # else they end with the connection
                for worker in self._idle:
                    worker.kill()
            self._cluster.close()
        self._cluster, self._idle = None, []

    def __call__(self, work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        """Yield results in shard order, each with the number of shards that are merged in it.

        Raises:
            EngineError: no cluster, one that disappears, or a shard that kills its workers again and again; the work
                cannot be sent.
        """
        import ray

        if not shards:
            return
        if self._cluster is None:
            self._cluster = Cluster(self.address, math.ceil((self.workers or usable()) * self.cpus))
        wanted = self.workers or self._cluster.room(self.cpus, self.gpus)
        step = _Step(self._cluster, self._idle, shards, self._hire)
        self._idle = []
        try:
            yield from step.count(work, next(self._calls), wanted)
            self._idle = step.workers
        except (ConnectionError, ray.exceptions.RaySystemError, ray.exceptions.RpcError) as error:
            if isinstance(error.__cause__, _Elsewhere):
                step.dismiss()
                raise  # the work said so
            raise self._cluster.lost(error) from error
        except BaseException:  # of theirs or of whoever asked, who may also have stopped to ask
            step.dismiss()
            raise

    def _hire(self) -> "_Worker":
        """Have the cluster start an actor as soon as there is room for it."""
        import ray

        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "scheduling_strategy": "SPREAD"}
        kind = ray.remote(
            **options,  # type: ignore[call-overload]  # which knows no concurrency groups
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"merge": 1},
        )(RayWorker)
        here = str(Path.cwd())
        home = socket.gethostname(), here, [each or here for each in sys.path]
        actor = kind.remote(max(1, int(self.cpus)), "cuda:0" if self.gpus else "cpu", home)
        return _Worker(actor, actor.hello.remote())


class _Piece(NamedTuple):
    """A result on the cluster, and who made it."""

    reference: Any
    worker: "_Worker"


class _Merge(NamedTuple):
    """Two neighbours that are being merged."""

    node: Node
    left: _Piece
    right: _Piece


@dataclass(eq=False)
class _Worker:
    """An actor, seen from the process that gives it work.

    Attributes:
        actor: its handle.
        greeting: what will tell that it is there.
        hello: where it is, once that is known.
        shards, merges: what it is at, by what will tell that it is done, with the result; shards in the order in which
            it counts them.
    """

    actor: Any
    greeting: Any
    hello: Hello | None = None
    shards: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    merges: dict[Any, tuple[_Merge, Any]] = field(default_factory=dict)

    def owes(self) -> list[Any]:
        """Return what will tell that it is there, or done."""
        return [*self.shards, *self.merges] if self.hello else [self.greeting]

    def at(self) -> Node | None:
        """Return what it is counting, or else merging."""
        for shard, _ in self.shards.values():
            return Node(0, shard)
        return next((merge.node for merge, _ in self.merges.values()), None)

    def kill(self) -> None:
        """End it."""
        import ray

        ray.kill(self.actor)


class _Step:
    """The shards of one call, and who is at them."""

    def __init__(
        self, cluster: Cluster, workers: list[_Worker], shards: Sequence[range], hire: Callable[[], _Worker]
    ) -> None:
        self.workers = workers
        self._cluster, self._shards, self._hire = cluster, shards, hire
        self._deaths: Counter[Node | None] = Counter()
        self._since = monotonic()  # when there was last a worker
        self._told = False

    def count(self, work: Callable[[range], Any], call: int, wanted: int) -> Iterator[tuple[int, Any]]:
        """Yield the results in their order."""
        import ray

        wanted = min(wanted, len(self._shards))
        levels = max(0, math.ceil(math.log2(wanted / RECEIVED)))
        self._tree = Tree[_Piece](len(self._shards), levels, (1 << levels) + AHEAD * wanted)
        self._call = call, [_sent(work)]
        self.workers += [self._hire() for _ in range(wanted - len(self.workers))]
        while not self._tree.done:
            self._hand_out()
            owing = {each: worker for worker in self.workers for each in worker.owes()}
            ready, rest = ray.wait(list(owing), timeout=1, fetch_local=False)
            if rest:
                ready += ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
            for each in ready:
                self._hear(owing[each], each)
            self._watch()
            while (ready_block := self._receive()) is not None:
                self._hand_out()
                yield ready_block

    def dismiss(self) -> None:
        """End all workers: nobody waits for what they are at."""
        if not self._cluster.gone:
            for worker in self.workers:
                worker.kill()
        self.workers = []

    def _hand_out(self) -> None:
        """Give merges to whoever has one of the neighbours, and the next shards to whoever has fewest."""
        present = [worker for worker in self.workers if worker.hello]
        while present and (pair := self._tree.pair()) is not None:
            merge = _Merge(*pair)
            worker = next((piece.worker for piece in (merge.right, merge.left) if piece.worker in present), present[0])
            both = worker.actor.merge.options(num_returns=2, concurrency_group="merge")
            done, result = both.remote(merge.left.reference, merge.right.reference)
            worker.merges[done] = merge, result
        while present:
            worker = min(present, key=lambda each: len(each.shards))
            most = QUEUED if self._tree.waiting > len(present) else 1  # at the end nobody queues behind another
            if len(worker.shards) >= most or (shard := self._tree.take()) is None:
                return
            done, result = worker.actor.count.options(num_returns=2).remote(*self._call, self._shards[shard])
            worker.shards[done] = shard, result

    def _hear(self, worker: _Worker, told: Any) -> None:
        """Take in what a worker says: it is there, it is done, something went wrong."""
        import ray

        if worker not in self.workers:
            return  # it was replaced a moment ago
        try:
            found = ray.get(told)
        except ray.exceptions.RayError as error:
            self._fail(worker, told, error)
            return
        if told in worker.shards:
            shard, result = worker.shards.pop(told)
            self._tree.put(Node(0, shard), _Piece(result, worker))
        elif told in worker.merges:
            merge, result = worker.merges.pop(told)
            self._tree.put(merge.node, _Piece(result, worker))
        else:
            worker.hello = _welcome(found)

    def _receive(self) -> tuple[int, Any] | None:
        """Fetch the next block, if it is counted and merged; None while it is not, or if it is lost."""
        import ray

        if (ready := self._tree.ready()) is None:
            return None
        node, piece = ready
        while True:
            try:
                found = unpack(ray.get(piece.reference, timeout=1))
            except ray.exceptions.GetTimeoutError:
                self._cluster.check()
            except ray.exceptions.ObjectLostError:
                self._lose(node)
                return None
            except ray.exceptions.RayError as error:
                raise self._cluster.failed(error) from error
            else:
                self._tree.handed()
                return self._tree.count(node), found

    def _fail(self, worker: _Worker, told: Any, error: Any) -> None:
        """Have somebody else do what was not done; errors of the work itself stop the run.

        Raises:
            EngineError: somebody tried often enough.
        """
        import ray

        why = fate(error)
        if why is not None:
            self._replace(worker, why)
            return
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        if told in worker.merges and isinstance(cause, ray.exceptions.ObjectLostError):
            self._lose(worker.merges.pop(told)[0].node)
        elif isinstance(cause, ray.exceptions.RayError):
            raise self._cluster.failed(cause) from error
        else:
            raise cause from _Elsewhere(str(error))

    def _lose(self, node: Node) -> None:
        """Have shards counted again whose results are lost."""
        self._tree.lost(node)
        _log.warning("results of %s were on a machine that is gone: counted again", self._named(self._tree.span(node)))

    def _replace(self, worker: _Worker, why: str) -> None:
        """Ask for another worker in the place of one that died, and have all counted and merged that it was at.

        Where there is no room to start another, those that are there go on alone.

        Raises:
            EngineError: it is the third death at that shard, or before anybody started.
        """
        self._cluster.check(reached=True)
        self.workers.remove(worker)
        at, where, host = worker.at(), "as it started", ""
        if worker.hello is not None:
            where = "with nothing to do" if at is None else f"at {self._named(self._tree.span(at))}"
            host = f" (process {worker.hello.process} on {worker.hello.host})"
        self._deaths[at] += why != GONE  # which is no fault of a shard
        enough = self._deaths[at] >= TRIES
        if enough and not (at is None and any(each.hello for each in self.workers)):
            raise EngineError(
                f"{TRIES} workers died {where}, the last one{host}: {why}; what is finished is kept: give workers more "
                "memory or a smaller --batch, or count in this process to see why"
            )
        _log.warning("a worker%s died %s: %s; %s", host, where, why, "others go on" if enough else REPLACED)
        worker.kill()
        for shard, _ in worker.shards.values():
            self._tree.lost(Node(0, shard))
        for merge, _ in worker.merges.values():
            level, place = merge.node.level - 1, 2 * merge.node.place
            self._tree.put(Node(level, place), merge.left)
            self._tree.put(Node(level, place + 1), merge.right)
        if not enough:
            self.workers.append(self._hire())

    def _watch(self) -> None:
        """See that the cluster is there, and say once if it has no room.

        Raises:
            EngineError: it is gone.
        """
        self._cluster.check()
        if any(worker.hello for worker in self.workers):
            self._since, self._told = monotonic(), False
        elif monotonic() - self._since > PATIENCE and not self._told:
            self._told = True
            _log.warning(
                "waiting for the Ray cluster %s: it has no room yet for any of %d workers",
                self._cluster.name,
                len(self.workers),
            )

    def _named(self, shards: range) -> str:
        """Return shards as a person reads them."""
        ids = f"ids {self._shards[shards[0]][0]} to {self._shards[shards[-1]][-1]}"
        if len(shards) == 1:
            return f"shard {shards[0] + 1} of {len(self._shards)} ({ids})"
        return f"shards {shards[0] + 1} to {shards[-1] + 1} of {len(self._shards)} ({ids})"


def _sent(work: Callable[[range], Any]) -> Any:
    """Return where the work is on the cluster.

    Raises:
        EngineError: it holds something that cannot travel.
    """
    import ray

    try:
        return ray.put(work)
    except TypeError as error:
        line = str(error.__cause__ or error).strip().splitlines()[0]
        raise EngineError(f"the work cannot be sent to other machines ({line}); {HOW}") from error


def _welcome(hello: Hello) -> Hello:
    """Return what a worker says of itself, if its numbers will be ours.

    Raises:
        EngineError: it runs other versions.
    """
    here = versions()
    if hello.versions != here:
        other = ", ".join(f"{name} {hello.versions[name]} and not {own}" for name, own in here.items())
        raise EngineError(f"{hello.host} of the cluster has {other}; install the same on all machines")
    return hello


class _Elsewhere(Exception):
    """Where on the cluster an error came up."""

    def __str__(self) -> str:
        return f"on a machine of the cluster:\n{self.args[0]}"
