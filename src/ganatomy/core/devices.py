"""Devices, number formats and memory."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.engines.memory import available

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

T = TypeVar("T")

_worker_device: list[str] = []


def configure_worker(name: str) -> None:
    """Have this worker process use one device, whatever device names are sent to it: it may see others, or none."""
    _worker_device[:] = [name]


def choose_device(name: str) -> str:
    """Return what ``auto`` means here, a GPU that CUDA finds, else the CPU; other names as they are."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def find_device(name: str | torch.device) -> torch.device:
    """Return the device of that name, or the worker's; it is tried first.

    Raises:
        BadValue: there is no such device on this machine.

    >>> find_device("cpu")
    device(type='cpu')
    """
    name = _worker_device[0] if _worker_device else choose_device(name) if isinstance(name, str) else name
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        lacks = "cuda" in str(name) and not (torch.version.cuda or torch.version.hip)
        why = "; this torch is built without CUDA" if lacks else ""
        raise BadValue(f"no device {str(name)!r} here; there are: {', '.join(known)}{why}") from error
    return device


def find_dtype(name: str) -> torch.dtype:
    """Return the number format of that name, in which a model computes; its inputs and outputs stay float32.

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
    """Return whether a device computes bfloat16 in hardware; elsewhere torch does so by way of float32."""
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
    """Call a function; return its result and the bytes of its peak memory, on CPUs as Linux counts it, else 0."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = work()
        return result, torch.cuda.max_memory_allocated(device) - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        return work(), 0
    held = held_memory()
    result = work()
    return result, max(0, _status("VmHWM") - held)


def held_memory() -> int:
    """Return the bytes of memory of this process; 0 where the system does not say."""
    try:
        return _status("VmRSS")
    except OSError:
        return 0


def free_share() -> int | None:
    """Return the default memory limit of this process in bytes: what it has, and half of what is free; None for any."""
    free = available()
    return None if free is None else held_memory() + free // 2


def _status(what: str) -> int:
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
