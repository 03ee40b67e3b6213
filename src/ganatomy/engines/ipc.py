"""Messages between two processes of ours, over a pair of sockets that nobody else can reach.

A message is a pickle; arrays follow it as they lie in memory, so tables of many megabytes are copied once and not
three times. Statistics travel as arrays (`pack`), to a cluster as well.
"""

import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch


class Channel:
    """One end of a connection.

    Attributes:
        end: the socket, to wait for with others.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def close(self) -> None:
        """Close it: the other end finds the connection closed."""
        self.end.close()

    def send(self, message: Any) -> None:
        """Send a message."""
        arrays: list[pickle.PickleBuffer] = []
        content = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        parts: list[Any] = [content, *(each.raw() for each in arrays)]
        sizes = [len(part) for part in parts]
        self.end.sendall(struct.pack(f"!I{len(sizes)}Q", len(sizes), *sizes))
        for part in parts:
            self.end.sendall(part)

    def receive(self) -> Any:
        """Return the next message."""
        (count,) = struct.unpack("!I", self._read(4))
        sizes: Sequence[int] = struct.unpack(f"!{count}Q", self._read(8 * count))
        content, *arrays = (self._read(size) for size in sizes)
        return pickle.loads(content, buffers=arrays)  # noqa: S301  our own process at the other end of our own pair

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        left = memoryview(content)
        while left:
            try:
                got = self.end.recv_into(left)
            except ConnectionError:
                got = 0
            if not got:
                raise EOFError
            left = left[got:]
        return content


class Packed(NamedTuple):
    """A statistic as it travels: of each tensor its number format, its shape, and its bytes."""

    kind: type
    tensors: dict[str, tuple[str, tuple[int, ...], npt.NDArray[np.uint8]]]


def pack(value: Any) -> Any:
    """Return a statistic as it travels; anything else, and what has its own way to be pickled, as it is."""
    own_way = any("__reduce__" in kind.__dict__ for kind in type(value).__mro__[:-1])
    if own_way or not (hasattr(value, "state_dict") and hasattr(value, "from_state")):
        return value
    tensors = {}
    for name, tensor in value.state_dict().items():
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        tensors[name] = (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), content.numpy())
    return Packed(type(value), tensors)


def unpack(value: Any) -> Any:
    """Return what was packed; memory that others share is copied, as it must not be written to."""
    if not isinstance(value, Packed):
        return value
    state = {}
    for name, (dtype, shape, content) in value.tensors.items():
        kind = getattr(torch, dtype)
        if content.size:
            own = torch.from_numpy(content if content.flags.writeable else content.copy())
            state[name] = own.view(kind).view(shape)
        else:  # which has no stride to be viewed with
            state[name] = torch.empty(shape, dtype=kind)
    return value.kind.from_state(state)  # type: ignore[attr-defined]  # it was a statistic
