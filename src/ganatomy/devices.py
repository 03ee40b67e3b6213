"""Where tensors live and how exactly they are computed, by name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ganatomy.errors import BadValue, UnknownName
from ganatomy.execute.memory import available

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

T = TypeVar("T")

_settled: list[str] = []


def settle(name: str) -> None:
    """Have this process compute on one device, whatever the names that are sent to it say.

    A worker sees one device, or none: there ``cuda:2`` of the process that gives the work is nothing, or another one.
    """
    _settled[:] = [name]


def find_device(name: str | torch.device) -> torch.device:
    """Return the device of that name, or the one on which this process settled, once it is certainly there.

    Raises:
        BadValue: there is no such device on this machine.

    >>> find_device("cpu")
    device(type='cpu')
    """
    name = _settled[0] if _settled else name
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise BadValue(f"no device {str(name)!r} here; there are: {', '.join(known)}") from error
    return device


def find_dtype(name: str) -> torch.dtype:
    """Return the number format of that name, in which a model computes; what it takes and gives is float32 throughout.

    Raises:
        UnknownName: there is no such format.
        BadValue: it is ``auto``, which is for a dissection to decide.

    >>> find_dtype("bfloat16")
    torch.bfloat16
    """
    if name == "auto":
        raise BadValue(
            f"dtype=auto is for the segmenter of a dissection, which measures it; give {', '.join(DTYPES)} here"
        )
    if name not in DTYPES:
        raise UnknownName("dtype", name, DTYPES)
    return DTYPES[name]


def has_bfloat16(device: torch.device) -> bool:
    """Say whether a device computes bfloat16 in hardware; where it does not, torch does so by way of float32."""
    if device.type == "cuda":
        return bool(torch.version.hip) or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return any(known.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))  # the last is ARM's
    own = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # before torch 2.12, and not in all of those
    return any(getattr(torch.cpu, name, bool)() for name in own)


def with_memory(work: Callable[[], T], device: torch.device) -> tuple[T, int]:
    """Run something; return what it returns, and how many bytes more than before it held at most.

    On a CPU it is what Linux counts for the process; elsewhere nothing is known, and it is 0.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = work()
        return result, torch.cuda.max_memory_allocated(device) - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the greatest so far is what it is now
    except OSError:
        return work(), 0
    held = held_memory()
    result = work()
    return result, max(0, _status("VmHWM") - held)


def held_memory() -> int:
    """Return how many bytes of memory this process has; 0 where the system does not say."""
    try:
        return _status("VmRSS")
    except OSError:
        return 0


def free_share() -> int | None:
    """Return how many bytes this process takes by default: what it has, and half of what is free; None for any."""
    free = available()
    return None if free is None else held_memory() + free // 2


def _status(what: str) -> int:
    """Return a size of this process in bytes, as Linux tells it."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
