"""What runs on a cluster: an actor that counts shards, and merges what it and others counted.

It computes on the CPUs or the share of a GPU that it was given, and keeps its models open from one step to the next.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ganatomy.errors import BadFile
from ganatomy.execute.memory import give_back


@runtime_checkable
class Statistic(Protocol):
    """What can be sent between machines and merged there: anything that is made of named tensors."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that it is made of."""
        ...

    def merge(self, other: Any) -> Any:
        """Return the statistic of both samples."""
        ...


class Packed(NamedTuple):
    """A statistic as it travels: its tensors are bytes in memory that machines share, and are not copied to be sent.

    Attributes:
        kind: its class.
        tensors: of each its number format, its shape, and its bytes.
    """

    kind: type
    tensors: dict[str, tuple[str, tuple[int, ...], npt.NDArray[np.uint8]]]


class Hello(NamedTuple):
    """Where an actor is, and by what it computes."""

    host: str
    process: int
    machine: str
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Return the versions on which numbers depend; builds of the same version for CPU and CUDA are the same."""
    return {name: version(name).partition("+")[0] for name in ("ganatomy", "torch")}


def pack(value: Statistic) -> Packed:
    """Return a statistic as it travels."""
    import torch

    tensors = {}
    for name, tensor in value.state_dict().items():
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        tensors[name] = (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), flat.numpy())
    return Packed(type(value), tensors)


def unpack(packed: Packed) -> Any:
    """Make a statistic again; its tensors are its own, because shared memory must not be written to."""
    import torch

    state = {}
    for name, (dtype, shape, content) in packed.tensors.items():
        state[name] = own = torch.empty(shape, dtype=getattr(torch, dtype))
        if content.size:
            own.view(-1).view(torch.uint8).numpy()[:] = content
    return packed.kind.from_state(state)  # type: ignore[attr-defined]  # it was a Statistic


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
        from ganatomy.devices import configure_worker

        configure_worker(device)
        self._call = -1
        self._work: Callable[[range], Any] | None = None

    def hello(self) -> Hello:
        """Say where this is, once it is there."""
        import ray

        machine = ray.get_runtime_context().get_node_id()
        return Hello(socket.gethostname(), os.getpid(), machine, versions())

    def count(self, call: int, work: list[Any], shard: range) -> tuple[None, Packed]:
        """Count a shard; return also nothing, which tells that it is done without the result being fetched.

        Args:
            call: number of the step; its work is unpickled when it is first heard of.
            work: where it is, one reference, which is not followed before it has to be.
            shard: the ids.
        """
        import ray

        self._settle()
        try:
            if call != self._call:
                self._work = None  # the last one may hold much
                self._work, self._call = ray.get(work[0]), call
            assert self._work is not None
            give_back()
            return None, pack(self._work(shard))
        except BadFile as error:
            host = socket.gethostname()
            if host != self._home:
                error.args = (f"{error} (on {host}, a machine of the cluster)",)
            raise

    def merge(self, left: Packed, right: Packed) -> tuple[None, Packed]:
        """Merge two statistics, the one of the lower shards first; return also nothing, as above."""
        return None, pack(unpack(left).merge(unpack(right)))

    def _settle(self) -> None:
        """Compute with so many threads, in whichever thread this is."""
        import numba
        import torch

        torch.set_num_threads(self._threads)
        numba.set_num_threads(self._threads)  # of as many, see __init__
