"""Tensors inside what a submodule returns: by itself, or in tuples, lists, mappings and objects, nested or not."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

DEPTH = 4
"""Structures in structures that are looked into; an object may well hold itself."""


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors, depth first, in the order of positions, keys or attributes.

    >>> import torch
    >>> [len(t) for t in tensors((torch.zeros(1), {"skips": [torch.zeros(2), None]}, torch.zeros(3)))]
    [1, 2, 3]
    """
    return (tensor for _, tensor in named_tensors(output))


def named_tensors(output: Any, path: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with the positions, keys or attributes that lead to them; in the same order.

    >>> import torch
    >>> [path for path, _ in named_tensors((torch.zeros(1), {"skips": [torch.zeros(2), None]}, torch.zeros(3)))]
    ['0', '1.skips.0', '2']
    """
    if isinstance(output, Tensor):
        yield path, output
    elif depth:
        for key, part in _parts(output):
            yield from named_tensors(part, f"{path}.{key}" if path else str(key), depth - 1)


def replaced(output: Any, old: Tensor, new: Tensor, depth: int = DEPTH) -> Any:
    """Return a copy of the structure, of its own type, with `new` wherever this very tensor `old` stood.

    A block often returns one tensor twice: as its output, and among what skip connections take from it. Both are
    replaced. What holds no `old` is shared with the original.

    >>> import torch
    >>> r, new = torch.zeros(1), torch.ones(1)
    >>> replaced((r, {"skips": [torch.zeros(1), r]}), r, new)
    (tensor([1.]), {'skips': [tensor([0.]), tensor([1.])]})
    """
    if output is old:
        return new
    if isinstance(output, Tensor) or not depth:
        return output
    parts = ((key, part, replaced(part, old, new, depth - 1)) for key, part in _parts(output))
    changed = {key: other for key, part, other in parts if other is not part}
    return _with(output, changed) if changed else output


def _parts(output: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a structure holds, by position, key or attribute."""
    if isinstance(output, Mapping):
        yield from list(output.items())
    elif isinstance(output, tuple | list):
        yield from enumerate(output)
    elif not isinstance(output, nn.Module | type):
        fields = getattr(type(output), "__dataclass_fields__", {})  # they may have slots
        names = {**fields, **getattr(output, "__dict__", {})}
        yield from ((name, getattr(output, name)) for name in names if hasattr(output, name))


def _with(output: Any, changed: Mapping[Any, Any]) -> Any:
    """Return a copy with these parts changed."""
    if isinstance(output, tuple):
        parts = [changed.get(i, part) for i, part in enumerate(output)]
        return getattr(type(output), "_make", type(output))(parts)  # a named tuple takes its fields one by one
    made = copy.copy(output)
    for key, part in changed.items():
        if isinstance(output, Mapping | list):
            made[key] = part
        else:
            object.__setattr__(made, key, part)  # also where the class is frozen
    return made
