"""What two processes of ours say to each other, over a pair of sockets that nobody else can reach.

A message is a pickle; the values of tensors and arrays come after it as they lie in memory, so that tables of many
megabytes are copied once on their way and not three times.
"""

import io
import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Wire:
    """One end of a connection; whoever reads at the other end gets what was sent, in its order.

    Attributes:
        end: the socket, to wait for with others.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def close(self) -> None:
        """Hang up: the other end finds the connection at its end."""
        self.end.close()

    def send(self, message: Any) -> None:
        """Send a message; tensors arrive on the CPU.

        Raises:
            OSError: nobody is there any more.
        """
        beside: list[pickle.PickleBuffer] = []
        content = io.BytesIO()
        _Pickler(content, protocol=5, buffer_callback=beside.append).dump(message)
        parts: list[Any] = [content.getbuffer(), *(each.raw() for each in beside)]
        sizes = [len(part) for part in parts]
        self.end.sendall(struct.pack(f"!I{len(sizes)}Q", len(sizes), *sizes))
        for part in parts:
            self.end.sendall(part)

    def receive(self) -> Any:
        """Return the next message.

        Raises:
            EOFError: the other end has hung up, or died.
        """
        (count,) = struct.unpack("!I", self._read(4))
        sizes: Sequence[int] = struct.unpack(f"!{count}Q", self._read(8 * count))
        content, *beside = (self._read(size) for size in sizes)
        return pickle.loads(content, buffers=beside)  # noqa: S301  our own process at the other end of our own pair

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


class _Pickler(pickle.Pickler):
    """Pickles the values of a tensor beside the rest; torch's own way writes them into the pickle, twice."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value.layout != torch.strided or value.is_quantized:
            return NotImplemented
        plain = value.detach().cpu().contiguous()
        values: Any = plain.view(-1).view(torch.uint8).numpy()
        return _tensor, (pickle.PickleBuffer(values), plain.dtype, tuple(plain.shape))


def _tensor(content: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not memoryview(content).nbytes:  # which `frombuffer` refuses
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(content, dtype=dtype).view(shape)
