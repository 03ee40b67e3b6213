"""Processes of this machine, one a device: each takes the next shard as soon as it is done with one.

They are started as commands of their own, not forked (CUDA does not survive that) and not spawned by
``multiprocessing`` (which runs the user's script again, and asks for a guard in it).
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadValue, EngineError
from ganatomy.core.progress import report_progress
from ganatomy.engines.cpus import threads
from ganatomy.engines.ipc import Channel, unpack
from ganatomy.engines.merge_tree import HINT, Node, Pool, RemoteTraceback, Scheduler, Worker

PATIENCE = 5.0
"""Seconds that a worker has to end before it is killed."""


class Processes(Pool):
    """An engine of one process a device, each shard merged by itself: the numbers are those of one process.

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
        super().__init__()
        self.devices = check_devices(devices)

    def _begin(self, work: Callable[[range], Any], shards: Sequence[range]) -> Scheduler:
        return _Processes(self._idle, work, shards, self.devices)

    def _end(self, workers: Sequence[Any]) -> None:
        for worker in workers:
            worker.channel.close()  # all at once
        for worker in workers:
            worker.end()


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


class _Processes(Scheduler):
    def __init__(
        self, workers: "list[_Process]", work: Callable[[range], Any], shards: Sequence[range], devices: Sequence[str]
    ) -> None:
        super().__init__(workers, shards, devices)
        self._content, self._threads = _pickled(work), threads(len(devices))
        for worker in workers:
            worker.send(None, self._content)

    def hire(self, device: str) -> "_Process":
        worker = _Process(device, self._threads)
        worker.send(None, self._content)
        return worker

    def poll(self) -> None:
        ready = wait([worker.channel.end for worker in self.workers])
        for worker in [each for each in self.workers if each.channel.end in ready]:
            try:
                kind, *rest = worker.channel.receive()
            except EOFError:
                self.replace(worker, worker.end())
                continue
            if kind == "ready":
                worker.ready = True
            elif kind == "progress":
                report_progress(rest[0])
            elif kind == "done":
                self.finish(worker, Node(0, rest[0]), rest[1])
            else:
                error, text = rest
                raise error or RuntimeError(text.strip().splitlines()[-1]) from RemoteTraceback(text)

    def fetch(self, result: Any) -> Any:
        return unpack(result)


class _Process(Worker):
    def __init__(self, device: str, own_threads: int) -> None:
        super().__init__(device)
        own, other = socket.socketpair()
        self.channel = Channel(own)
        place = "cpu" if device == "cpu" else "cuda:0"  # the only one that it sees
        command = [sys.executable, "-P", "-m", "ganatomy.engines.worker", str(other.fileno()), place]
        try:
            with other:
                self._process = subprocess.Popen(  # noqa: S603  our own module
                    command,
                    env=_environment(device, own_threads),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[other.fileno()],
                    process_group=0,  # Ctrl-C is for the process that it works for
                )
        except OSError as error:
            own.close()
            raise EngineError(f"cannot start a worker ({error.strerror or error}); give fewer") from error

    @property
    def name(self) -> str:
        return f"{self._process.pid} ({'cpu' if self.device == 'cpu' else f'GPU {self.device}'})"

    def send(self, number: int | None, content: Any) -> None:
        with contextlib.suppress(OSError):  # it died, which `poll` will find
            self.channel.send((number, content))

    def assign(self, node: Node, work: Any) -> None:
        self.send(node.place, work)

    def end(self) -> str:
        self.channel.close()  # on which it ends
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == -signal.SIGKILL:
            return "killed, as happens where memory is short"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _environment(device: str, own_threads: int) -> dict[str, str]:
    own = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(own_threads))
    own["PYTHONPATH"] = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    if device == "cpu":
        own["CUDA_VISIBLE_DEVICES"] = ""
    else:  # numbers count the GPUs that this process sees
        own["CUDA_VISIBLE_DEVICES"] = visible[int(device)] if visible else device
    return {**os.environ, **own}


def _pickled(work: Any) -> bytes:
    try:
        return pickle.dumps(work, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
        raise EngineError(f"the work cannot be sent to other processes ({error}); {HINT}") from error
