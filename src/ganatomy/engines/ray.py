"""The engine of many machines: actors of a Ray cluster count the shards, and merge neighbours.

What to do when something is lost is decided by the `Scheduler` and not left to Ray, which retries nothing.
"""

import itertools
import logging
import math
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

from ganatomy.core.errors import BadValue, EngineError
from ganatomy.engines.cluster import GONE, Cluster, failure_reason
from ganatomy.engines.cpus import usable
from ganatomy.engines.ipc import unpack
from ganatomy.engines.merge_tree import HINT, LostResult, Node, Pool, RemoteTraceback, Scheduler, Worker
from ganatomy.engines.ray_worker import RayWorker, WorkerInfo, versions

RECEIVED = 8
"""For so many workers this process merges every result itself; of more it gets whole blocks."""
PATIENCE = 15.0
"""Seconds without any worker after which the log says what is being waited for."""

_log = logging.getLogger(__name__)


class Ray(Pool):
    """An engine of actors on a cluster; `close` it, or use it in a ``with`` block, and none of them is left behind.

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
        super().__init__()
        self.address, self.workers, self.cpus, self.gpus = address, workers, cpus, gpus
        self._cluster: Cluster | None = None
        self._count = itertools.count()

    def close(self) -> None:
        """End the actors, and disconnect from the cluster."""
        super().close()
        if self._cluster is not None:
            self._cluster.close()
        self._cluster = None

    def _begin(self, work: Callable[[range], Any], shards: Sequence[range]) -> Scheduler:
        if self._cluster is None:
            self._cluster = Cluster(self.address, math.ceil((self.workers or usable()) * self.cpus))
        return _Actors(self, self._cluster, (next(self._count), work), self._idle, shards)

    def _end(self, workers: Sequence[Any]) -> None:
        if self._cluster is not None and not self._cluster.gone:
            for worker in workers:
                worker.end()


class _Actor(Worker):
    """An actor, seen from the process that gives it work.

    Attributes:
        owed: references that Ray resolves when the actor has started, or has finished a task: the task, and its result.
    """

    def __init__(self, device: str, actor: Any, call: tuple[int, list[Any]]) -> None:
        super().__init__(device)
        self._actor = actor
        self.info: WorkerInfo | None = None
        self.owed: dict[Any, tuple[Node | None, Any]] = {actor.info.remote(): (None, None)}
        self.call = call

    @property
    def name(self) -> str:
        return f"{self.info.process} on {self.info.host}" if self.info else "of the cluster"

    def assign(self, node: Node, work: Any) -> None:
        if isinstance(work, range):
            done, result = self._actor.count.options(num_returns=2).remote(*self.call, work)
        else:
            done, result = self._actor.merge.options(num_returns=2, concurrency_group="merge").remote(*work)
        self.owed[done] = node, result

    def end(self) -> str:
        import ray

        ray.kill(self._actor)
        return "it was ended"


class _Actors(Scheduler):
    def __init__(
        self,
        engine: Ray,
        cluster: Cluster,
        call: tuple[int, Callable[[range], Any]],
        idle: Sequence[_Actor],
        shards: Sequence[range],
    ) -> None:
        self._engine, self._cluster = engine, cluster
        self._number, self._work = call
        count = min(engine.workers or cluster.room(engine.cpus, engine.gpus), len(shards))
        levels = max(0, math.ceil(math.log2(count / RECEIVED)))
        super().__init__(idle, shards, ["cuda:0" if engine.gpus else "cpu"] * count, levels)
        self._since: float | None = monotonic()  # when there was last a worker; None once it is logged

    def run(self) -> Iterator[tuple[int, Any]]:
        import ray

        try:
            self._call = self._number, [_sent(self._work)]
            for worker in self.workers:
                worker.call = self._call
            yield from super().run()
        except (ConnectionError, ray.exceptions.RaySystemError, ray.exceptions.RpcError) as error:
            if isinstance(error.__cause__, RemoteTraceback):
                raise  # of the work itself
            raise self._cluster.lost(error) from error
        except ray.exceptions.ObjectStoreFullError as error:
            raise self._cluster.failed(error) from error

    def hire(self, device: str) -> _Actor:
        import ray

        engine = self._engine
        options = {"num_cpus": engine.cpus, "num_gpus": engine.gpus, "scheduling_strategy": "SPREAD"}
        kind = ray.remote(
            **options,  # type: ignore[call-overload]  # which knows no concurrency groups
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"merge": 1},
        )(RayWorker)
        here = str(Path.cwd())
        home = socket.gethostname(), here, [each or here for each in sys.path]
        return _Actor(device, kind.remote(max(1, int(engine.cpus)), device, home), self._call)

    def poll(self) -> None:
        import ray

        owing = {each: worker for worker in self.workers for each in worker.owed}
        ready, rest = ray.wait(list(owing), timeout=1, fetch_local=False)
        if rest:
            ready += ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
        for each in ready:
            if owing[each] in self.workers:  # else it was replaced a moment ago
                self._settle(owing[each], each)
        self._watch()

    def fetch(self, result: Any) -> Any:
        import ray

        while True:
            try:
                return unpack(ray.get(result, timeout=1))
            except ray.exceptions.GetTimeoutError:
                self._cluster.check()
            except ray.exceptions.ObjectLostError as error:
                raise LostResult from error
            except ray.exceptions.RayError as error:
                raise self._cluster.failed(error) from error

    def _settle(self, worker: _Actor, reference: Any) -> None:
        import ray

        node, result = worker.owed[reference]
        try:
            found = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._fail(worker, node, error)
            worker.owed.pop(reference)
            return
        worker.owed.pop(reference)
        if node is None:
            worker.info, worker.ready = check_versions(found), True
        else:
            self.finish(worker, node, result)

    def _fail(self, worker: _Actor, node: Node | None, error: Any) -> None:
        """Replace a worker that died, and have lost results counted again; errors of the work itself stop the run."""
        import ray

        reason = failure_reason(error)
        if reason is not None:
            self._cluster.check(reached=True)
            worker.end()  # short of memory it is still there
            return self.replace(worker, reason, blame=reason != GONE)
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        if node and node.level and isinstance(cause, ray.exceptions.ObjectLostError):
            return self.lose(node, worker)
        if isinstance(cause, ray.exceptions.RayError):
            raise self._cluster.failed(cause) from error
        raise cause from RemoteTraceback(str(error))

    def _watch(self) -> None:
        self._cluster.check()
        if any(worker.ready for worker in self.workers):
            self._since = monotonic()
        elif self._since is not None and monotonic() - self._since > PATIENCE:
            self._since = None
            _log.warning(
                "waiting for the Ray cluster %s: it has no room yet for any of %d workers: %s",
                self._cluster.name,
                len(self.workers),
                self._cluster.occupied(self._engine.cpus, self._engine.gpus),
            )


def _sent(work: Callable[[range], Any]) -> Any:
    import ray

    try:
        return ray.put(work)
    except TypeError as error:
        line = str(error.__cause__ or error).strip().splitlines()[0]
        raise EngineError(f"the work cannot be sent to other machines ({line}); {HINT}") from error


def check_versions(info: WorkerInfo) -> WorkerInfo:
    """Return what a worker says of itself, if its versions are those of this process.

    Raises:
        EngineError: it runs other versions.
    """
    here = versions()
    if info.versions != here:
        other = ", ".join(f"{name} {info.versions[name]} and not {own}" for name, own in here.items())
        raise EngineError(f"{info.host} of the cluster has {other}; install the same on all machines")
    return info
