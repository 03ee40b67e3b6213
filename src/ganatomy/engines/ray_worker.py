"""What runs on a cluster: an actor that counts shards, and merges what it and others counted.

It computes on the CPUs or the share of a GPU that it was given, and keeps its models open from one step to the next.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from ganatomy.core.errors import BadFile
from ganatomy.engines.ipc import Packed, pack, unpack
from ganatomy.engines.memory import trim_heap


class WorkerInfo(NamedTuple):
    """Where an actor is, and with which versions it computes."""

    host: str
    process: int
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Return the versions on which numbers depend; builds of the same version for CPU and CUDA are the same."""
    return {name: version(name).partition("+")[0] for name in ("ganatomy", "torch")}


class RayWorker:
    """An actor.

    Args:
        threads: to compute with.
        device: where models compute.
        home: of the process that gives the work: its machine, directory, and where it finds modules.
    """

    def __init__(self, threads: int, device: str, home: tuple[str, str, Sequence[str]]) -> None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ[name] = str(threads)
        self._threads = threads
        self._home, directory, modules = home
        with contextlib.suppress(OSError):  # of another machine; names of files there have to be whole
            os.chdir(directory)
        sys.path += [each for each in modules if each not in sys.path]
        from ganatomy.core.devices import configure_worker

        configure_worker(device)
        self._call = -1
        self._work: Callable[[range], Any] | None = None

    def info(self) -> WorkerInfo:
        """Return where this is, once it is there."""
        return WorkerInfo(socket.gethostname(), os.getpid(), versions())

    def count(self, call: int, work: list[Any], shard: range) -> tuple[None, Packed]:
        """Count a shard; also return None, which tells that it is done without the result being fetched.

        Args:
            call: number of the step; its work is unpickled once.
            work: one reference, in a list so that Ray does not follow it before it is needed.
            shard: the ids.
        """
        import numba
        import ray
        import torch

        torch.set_num_threads(self._threads)  # Ray may use another thread for each call
        numba.set_num_threads(self._threads)
        try:
            if call != self._call:
                self._work = None  # the last one may hold much
                self._work, self._call = ray.get(work[0]), call
            assert self._work is not None
            trim_heap()
            return None, pack(self._work(shard))
        except BadFile as error:
            host = socket.gethostname()
            if host != self._home:
                error.args = (f"{error} (on {host}, a machine of the cluster)",)
            raise

    def merge(self, left: Packed, right: Packed) -> tuple[None, Packed]:
        """Merge two statistics, the one of the lower shards first; also return None, as above."""
        return None, pack(unpack(left).merge(unpack(right)))
