"""A connection to a Ray cluster: one that runs is joined and left running, one that is started here ends with us."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from time import monotonic, sleep
from typing import Any

from ganatomy.core.errors import EngineError

QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Environment of Ray: no usage reports, no output on the screen."""
REACHED = 5.0
"""Seconds within which somebody has to answer at an address; Ray itself would ask on for ever."""
STARTS = 45.0
"""Seconds within which a cluster that runs has to let a process in."""
JOIN = "import logging, sys, ray; ray.init(sys.argv[1], logging_level=logging.CRITICAL, log_to_driver=False)"
"""The program that tries whether it does."""
NAMED = 3
"""Actors that are named where there is no room."""
PERIOD = 3.0
"""Seconds from one look at a cluster to the next."""
SILENCE = 20.0
"""Seconds without an answer after which a cluster is gone; after 60 Ray would end this process without a word."""

GONE = "its machine is gone"
SHORT = "memory was short"


class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        name: what messages call it.
        used: whether this process was connected before.
        gone: whether it was lost; it must not be asked for anything then.

    Args:
        address: ``ray://HOST:PORT``; None for the one that ``RAY_ADDRESS`` names, that was started on this machine by
            ``ray start``, or that this process uses already; where there is none it is started.
        cpus: of one that is started here.
    """

    def __init__(self, address: str | None, cpus: int) -> None:
        import ray

        self._ray: Any = ray
        self.gone = False
        self.used = ray.is_initialized()
        self.name = address or "of this process"
        if not self.used:
            with _quiet():
                self._connect(address, cpus)
        self._address = self.name if self.name.startswith("ray://") else ray.get_runtime_context().gcs_address
        self._heard = monotonic()

    def check(self, reached: bool = False) -> None:
        """Make sure now and then that it is still there; with `reached` now, and wait for it a while if it is not.

        A question to a cluster that is gone is never answered, so this comes before every one.
        """
        while reached or monotonic() - self._heard > PERIOD:
            try:
                _reach(self._address)
                self._heard = monotonic()
                return
            except OSError as error:
                if monotonic() - self._heard > SILENCE:
                    raise self.lost(error) from error
                if not reached:
                    return
                sleep(1)

    def lost(self, why: object) -> EngineError:
        """Return the error of a cluster that is gone."""
        self.gone = True
        return self._error(
            "is gone", why, "once it is back, or with another engine, run the same command again to resume"
        )

    def failed(self, why: object) -> EngineError:
        """Return the error of a cluster that is there and cannot do what it is asked for."""
        advice = "make room there, or use another engine, and run the same command again to resume"
        return self._error("fails", why, advice)

    def _error(self, what: str, why: object, advice: str) -> EngineError:
        return EngineError(f"the Ray cluster {self.name} {what} ({_line(why)}); what is finished is kept: {advice}")

    def room(self, cpus: float, gpus: float) -> int:
        """Return how many workers of such a size fit on all machines together, at least one."""
        whole = self._ray.cluster_resources()
        shares = [whole.get(name, 0.0) / own for name, own in (("CPU", cpus), ("GPU", gpus)) if own]
        return max(1, int(min(shares, default=1)))

    def occupied(self, cpus: float, gpus: float) -> str:
        """Return why there is no room for a worker of such a size: nothing is as large, or what holds the room."""
        size = {"CPU": cpus, "GPU": gpus}
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(machine.get(name, 0.0) >= own for name, own in size.items()) for machine in machines):
            return f"no machine has {_amounts(size)}"
        whole, free = self._ray.cluster_resources(), self._ray.available_resources()
        used = {name: whole.get(name, 0.0) - free.get(name, 0.0) for name in size}
        if not any(used.values()):
            return f"{_amounts(whole)} are free; workers are still starting"
        try:
            ask = self._ray.remote(num_cpus=0, max_retries=0)(running_actors)
            actors = self._ray.get(ask.remote(), timeout=2 * REACHED)
        except self._ray.exceptions.RayError:
            actors = []  # it has other things to do
        others = f" and {len(actors) - NAMED} more" if len(actors) > NAMED else ""
        holders = f", actors: {', '.join(actors[:NAMED])}{others}" if actors else " by tasks"
        return f"{_amounts(used)} of {_amounts(whole)} are in use{holders}"

    def close(self) -> None:
        """Disconnect, and end what was started here."""
        if not self.used:
            self._ray.shutdown()

    def _connect(self, address: str | None, cpus: int) -> None:
        known = address or _running()
        alone = address is None and not os.environ.get("RAY_ADDRESS")  # Ray sends its token to what it finds by itself
        options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        try:
            if known is None:
                self.name = "of this machine"
                self._ray.init("local", num_cpus=cpus, include_dashboard=False, **options)
            else:
                self.name = known
                _reach(known)
                _try_to_join("auto" if alone else known)
                self._ray.init("auto" if alone else known, **options)
        except Exception as error:  # Ray raises plain ones, too
            raise EngineError(f"cannot use the Ray cluster {self.name} ({_line(error)}){_advice(known)}") from error


def failure_reason(error: Any) -> str | None:
    """Return why a worker is gone, by the error of a call to it; None if it is there, and the call itself failed."""
    import ray

    kinds, text = ray.exceptions, str(error)
    if isinstance(error, kinds.RayTaskError):
        return SHORT if _is_short(error.cause) else None
    if isinstance(error, kinds.ActorDiedError) and error.actor_init_failed:
        raise EngineError(f"workers do not start on the Ray cluster ({text.strip().splitlines()[-1]})")
    if isinstance(error, kinds.OutOfMemoryError) or "low on memory" in text:
        return SHORT
    if isinstance(error, kinds.NodeDiedError) or "node has died" in text:
        return GONE
    if isinstance(error, kinds.ActorUnavailableError):
        return "it does not answer"
    return "it was killed, or crashed" if isinstance(error, (kinds.RayActorError, kinds.WorkerCrashedError)) else None


def _is_short(cause: object) -> bool:
    """Return whether memory ran out: that of Python, of a GPU, or of torch on a CPU."""
    import torch

    return isinstance(cause, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(cause)


def _running() -> str | None:
    from ray._private.utils import read_ray_address  # without it, Ray would also join what others started for a run

    named = os.environ.get("RAY_ADDRESS", "auto") or "auto"
    return {"auto": read_ray_address(), "local": None}.get(named, named)


def _reach(address: str) -> None:
    """Make sure that somebody answers at an address."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("its address is HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), REACHED).close()


def _try_to_join(address: str) -> None:
    """Join a cluster from another process first: where the head or a raylet hangs, Ray ends it, or never returns.

    Ray Client has limits of its own.
    """
    if address.startswith("ray://"):
        return
    command = [sys.executable, "-c", JOIN, address]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=STARTS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"it accepts no connection within {STARTS:.0f} s: its head, or its raylet here, hangs"
        ) from None
    if tried.returncode:
        last = tried.stderr.strip().splitlines()[-1:] or ["it crashed"]
        raise ConnectionError("its raylet on this machine does not answer" if "raylet" in tried.stderr else last[0])


def running_actors() -> list[str]:
    """Return the actors of a cluster, each with its process and command; runs on the cluster, for Ray Client too."""
    from ray._private import state

    jobs = {job["JobID"]: job["Entrypoint"] for job in state.jobs()}  # type: ignore[no-untyped-call]
    alive = [actor for actor in state.actors().values() if actor["State"] == "ALIVE"]
    return [
        f"{actor['Name'] or actor['ActorClassName']} (process {actor['Pid']} of {jobs.get(actor['JobID'], '?')[:80]!r})"
        for actor in alive
    ]


def _amounts(resources: Mapping[str, float]) -> str:
    """Return so many CPUs and GPUs in words."""
    found = {name: resources.get(name, 0.0) for name in ("CPU", "GPU")}
    return " and ".join(f"{many:g} {name}{'s' * (many != 1)}" for name, many in found.items() if many) or "nothing"


def _line(why: object) -> str:
    """Return what went wrong in one line: of a traceback of another process the last one."""
    lines = str(why).strip().splitlines() or [type(why).__name__]
    return lines[-1] if lines[0].endswith(":") else lines[0]


def _advice(address: str | None) -> str:
    if address is None:
        return "; see that /dev/shm and the temporary directory have room"
    if address.startswith("ray://"):
        return "; the port is that of Ray Client, usually 10001; Ray, Python and RAY_AUTH_TOKEN have to match"
    return (
        "; end what is left of it (ray stop), or unset RAY_ADDRESS; where it wants a token, set RAY_AUTH_MODE=token "
        "and its RAY_AUTH_TOKEN"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Have Ray keep quiet, and leave signals and variables of this process as they were."""
    import ray._private.worker

    ray._private.worker._worker_logs_enabled = False  # it writes to stdout, where our answers go
    before = {name: os.environ.get(name) for name in QUIET}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    os.environ.update(QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if main:
            signal.signal(signal.SIGTERM, handler)
