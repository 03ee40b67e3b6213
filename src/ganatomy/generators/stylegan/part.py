"""A module of an official file, as it was kept: asked for its facts, tensors and parts, each of which must fit."""

import math
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ganatomy.errors import BadFile
from ganatomy.weights import StubObject

LARGEST = 8192
"""Pixels a side, the most that is believed of a file."""

DEEPEST = 64
"""Layers in a row, likewise; each may be the same tensor of the file, and takes memory of its own."""


class Part:
    """A module of the file.

    What was asked for is remembered, so that what nobody asked for can be named.

    Args:
        kept: the module.
        path: where in the network it is, for messages.
        source: the file, for messages.

    Raises:
        BadFile: it is no module.
    """

    def __init__(self, kept: Any, path: str, source: str) -> None:
        self.path, self.source = path, source
        self._facts: dict[Any, Any] = kept.state if isinstance(kept, StubObject) else {}
        self._tensors = self._held("_parameters") | self._held("_buffers")
        self._modules = self._held("_modules")
        self._asked: dict[str, Part] = {}
        self._read: set[str] = set()

    def _held(self, kind: str) -> dict[str, Any]:
        held = self._facts.get(kind)
        if not isinstance(held, dict) or not all(re.fullmatch(r"[\w.]+", str(name)) for name in held):
            raise BadFile(f"{self.source}: {self.path} is not a torch module; no official StyleGAN file")
        return {str(name): each for name, each in held.items() if each is not None}

    def has(self, name: str) -> bool:
        """Return whether there is such a tensor or part."""
        return name in self._tensors or name in self._modules

    def names(self) -> list[str]:
        """Return the names of the parts, in their order."""
        return list(self._modules)

    def part(self, name: str) -> "Part":
        """Return a part.

        Raises:
            BadFile: there is none of that name.
        """
        if name not in self._modules:
            raise BadFile(f"{self.source}: lacks {self.path}.{name}")
        if name not in self._asked:
            self._asked[name] = Part(self._modules[name], f"{self.path}.{name}", self.source)
        return self._asked[name]

    def tensor(self, name: str, *shape: int | None) -> Tensor:
        """Return a tensor in float32; where `shape` is None, any size will do.

        Raises:
            BadFile: missing, of another shape, not of numbers, or with NaN or Inf.
        """
        where = f"{self.path}.{name}"
        value = self._tensors.get(name)
        if not isinstance(value, Tensor):
            raise BadFile(f"{self.source}: lacks tensor {where}")
        given = list(value.shape)
        if len(given) != len(shape) or any(b not in (None, a) for a, b in zip(given, shape, strict=True)):
            needed = ", ".join("any" if size is None else str(size) for size in shape)
            raise BadFile(f"{self.source}: tensor {where} has shape {given}, the model needs [{needed}]")
        if not bool(torch.isfinite(value).all()):
            raise BadFile(f"{self.source}: tensor {where} holds NaN or Inf")
        self._read.add(name)
        return value.float()

    def taps(self, name: str, gain: float = 1.0) -> Tensor:
        """Return a square low-pass filter, [k] for rows and columns alike or [k, k]; `gain` is that of each axis.

        Raises:
            BadFile: as for tensors.
        """
        kept = self._tensors.get(name)
        if isinstance(kept, Tensor) and kept.ndim == 1:
            return self.tensor(name, None) * gain
        size = len(kept) if isinstance(kept, Tensor) and kept.ndim else None
        return self.tensor(name, size, size) * gain**2

    def number(self, name: str, low: float = 0.0, high: float = 1e6) -> float:
        """Return a number that was kept with the module.

        Raises:
            BadFile: it is none, or not within the bounds.
        """
        value = self._facts.get(name)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise BadFile(f"{self.source}: {self.path}.{name} is not a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, low: int = 0, high: int = LARGEST) -> int:
        """Return a whole number that was kept with the module.

        Raises:
            BadFile: it is none, or not within the bounds.
        """
        value = self.number(name, low, high)
        if value != int(value):
            raise BadFile(f"{self.source}: {self.path}.{name} is not a whole number")
        return int(value)

    def clamp(self) -> float:
        """Return the size to which activations are cut; infinite if they are not.

        Raises:
            BadFile: it is no number.
        """
        return math.inf if self._facts.get("conv_clamp") is None else self.number("conv_clamp")

    def choice(self, name: str, choices: tuple[Any, ...]) -> Any:
        """Return a fact that is one of a few.

        Raises:
            BadFile: it is another.
        """
        value = self._facts.get(name)
        if not isinstance(value, str | bool | int) or value not in choices:
            raise BadFile(f"{self.source}: {self.path}.{name} is none of {', '.join(map(str, choices))}")
        return value

    def sizes(self, name: str, count: int, low: int, high: int = LARGEST) -> list[int]:
        """Return so many whole numbers that were kept together.

        Raises:
            BadFile: they are not.
        """
        values = self._facts.get(name)
        if not isinstance(values, list | tuple) or len(values) != count:
            values = [None]
        if not all(isinstance(each, int) and low <= each <= high for each in values):
            raise BadFile(f"{self.source}: {self.path}.{name} is not {count} whole numbers from {low} to {high}")
        return list(values)

    def unread(self) -> Iterator[str]:
        """Name every tensor and part, here and within, that nobody asked for."""
        for name in self._tensors:
            if name not in self._read:
                yield f"{self.path}.{name}"
        for name in self._modules:
            if name in self._asked:
                yield from self._asked[name].unread()
            else:
                yield f"{self.path}.{name}"
