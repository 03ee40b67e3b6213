"""A connection to a Ray cluster: one that runs is joined and left running, one that is started here ends with us."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

from ganatomy.core.errors import EngineError

QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Environment of Ray: no usage reports, no output on the screen."""
REACHED = 5.0
"""Seconds within which somebody has to answer at an address; Ray itself would ask on for ever."""
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

    def close(self) -> None:
        """Disconnect, and end what was started here."""
        if not self.used:
            self._ray.shutdown()

    def _connect(self, address: str | None, cpus: int) -> None:
        known = address or _running()
        options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        try:
            if known is None:
                self.name = "of this machine"
                self._ray.init("local", num_cpus=cpus, include_dashboard=False, **options)
            else:
                self.name = known
                _reach(known)
                self._ray.init(known, **options)
        except (OSError, RuntimeError, ValueError, ImportError, self._ray.exceptions.RayError) as error:
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


def _line(why: object) -> str:
    """Return what went wrong in one line: of a traceback of another process the last one."""
    lines = str(why).strip().splitlines() or [type(why).__name__]
    return lines[-1] if lines[0].endswith(":") else lines[0]


def _advice(address: str | None) -> str:
    if address is None:
        return "; see that /dev/shm and the temporary directory have room"
    if address.startswith("ray://"):
        return "; the port is that of Ray Client, usually 10001; Ray, Python and RAY_AUTH_TOKEN have to match"
    return "; end what is left of it (ray stop), or unset RAY_ADDRESS; a RAY_AUTH_TOKEN has to be that of the cluster"


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
