"""Tensors inside what a submodule returns: by itself, or in tuples, lists, mappings and objects, nested or not."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

DEPTH = 4
"""Nesting that is searched; an object may well hold itself."""


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors, depth first, in the order of positions, keys or attributes."""
    return (tensor for _, tensor in named_tensors(output))


def named_tensors(output: Any, path: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with the positions, keys or attributes that lead to them; depth first.

    >>> import torch
    >>> [path for path, _ in named_tensors((torch.zeros(1), {"skips": [torch.zeros(2), None]}, torch.zeros(3)))]
    ['0', '1.skips.0', '2']
    """
    if isinstance(output, Tensor):
        yield path, output
    elif depth:
        for key, member in _members(output):
            yield from named_tensors(member, f"{path}.{key}" if path else str(key), depth - 1)


def feature_map(output: Any) -> Tensor:
    """Return the feature map in what a submodule returned: the first in it."""
    return next(found for found in tensors(output) if found.ndim == 4 and found.is_floating_point())


def replaced(output: Any, old: Tensor, new: Tensor, depth: int = DEPTH) -> Any:
    """Return a copy of the structure, of its own type, with `new` wherever this very tensor `old` was.

    A block often returns one tensor twice: as its output, and among its skips. What holds no `old` is shared with the
    original.

    >>> import torch
    >>> r, new = torch.zeros(1), torch.ones(1)
    >>> replaced((r, {"skips": [torch.zeros(1), r]}), r, new)
    (tensor([1.]), {'skips': [tensor([0.]), tensor([1.])]})
    """
    if output is old:
        return new
    if isinstance(output, Tensor) or not depth:
        return output
    members = [(key, member, replaced(member, old, new, depth - 1)) for key, member in _members(output)]
    changed = {key: other for key, member, other in members if other is not member}
    if not changed:
        return output
    if isinstance(output, tuple):
        values = [other for _, _, other in members]
        return getattr(type(output), "_make", type(output))(values)  # a named tuple takes its fields one by one
    made = copy.copy(output)
    for key, other in changed.items():
        if isinstance(output, Mapping | list):
            made[key] = other
        else:
            object.__setattr__(made, key, other)  # also where the class is frozen
    return made


def _members(output: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a structure holds, by position, key or attribute."""
    if isinstance(output, Mapping):
        yield from list(output.items())
    elif isinstance(output, tuple | list):
        yield from enumerate(output)
    elif not isinstance(output, nn.Module | type):
        fields = getattr(type(output), "__dataclass_fields__", {})  # they may have slots
        names = {**fields, **getattr(output, "__dict__", {})}
        yield from ((name, getattr(output, name)) for name in names if hasattr(output, name))
