"""Latents that depend on (seed, id) only."""

from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def standard_normal(ids: Sequence[int], seed: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Return N(0, 1) latents of shape (len(ids), *shape); row i is a function of (seed, i) alone, on every device.

    >>> a = standard_normal(range(5), 0, [4], torch.device("cpu"))
    >>> b = standard_normal(range(3, 5), 0, [4], torch.device("cpu"))
    >>> bool((a[3:] == b).all())
    True
    """
    rows = torch.empty(len(ids), *shape)
    source = torch.Generator()
    for row, i in zip(rows, ids, strict=True):
        source.manual_seed(_mix(_mix(seed & _MASK) ^ i))
        torch.randn(row.shape, generator=source, out=row)
    return rows.to(device)


def _mix(x: int) -> int:
    """Scramble 64 bits (the finaliser of SplitMix64), so that neighbouring ids get unrelated streams."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
