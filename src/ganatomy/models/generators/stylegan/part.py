"""A module of an official file: its facts, tensors and parts, each of which is checked."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.models.weights import StubObject

LARGEST = 8192
"""Pixels a side that a file may have."""
DEEPEST = 64
"""Layers in a row that a file may have; each may be the same tensor of the file, and takes memory of its own."""


class Part:
    """A module of the file; every method but `has` raises `BadFile` where what it returns is missing or no such thing.

    What was read is remembered, so that the rest can be named. `path` and `source` are for messages: the module in the
    network, and the file.
    """

    def __init__(self, kept: Any, path: str, source: str) -> None:
        self.path, self.source = path, source
        self._facts: dict[Any, Any] = kept.state if isinstance(kept, StubObject) else {}
        self._tensors = self._named("_parameters") | self._named("_buffers")
        self._modules = self._named("_modules")
        self._asked: dict[str, Part] = {}
        self._read: set[str] = set()

    def _named(self, kind: str) -> dict[str, Any]:
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
        """Return a part."""
        if name not in self._modules:
            raise BadFile(f"{self.source}: lacks {self.path}.{name}")
        if name not in self._asked:
            self._asked[name] = Part(self._modules[name], f"{self.path}.{name}", self.source)
        return self._asked[name]

    def tensor(self, name: str, *shape: int | None) -> Tensor:
        """Return a finite tensor in float32; where `shape` is None, any size will do."""
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
        """Return a square low-pass filter, [k] for rows and columns alike or [k, k]; `gain` is that of each axis."""
        kept = self._tensors.get(name)
        if isinstance(kept, Tensor) and kept.ndim == 1:
            return self.tensor(name, None) * gain
        size = len(kept) if isinstance(kept, Tensor) and kept.ndim else None
        return self.tensor(name, size, size) * gain**2

    def _fact(self, name: str, is_valid: Callable[[Any], bool], message: str) -> Any:
        value = self._facts.get(name)
        if not is_valid(value):
            raise BadFile(f"{self.source}: {self.path}.{name} is {message}")
        return value

    def number(self, name: str, low: float = 0.0, high: float = 1e6) -> float:
        """Return a number within bounds."""
        message = f"not a number from {low:g} to {high:g}"
        return float(self._fact(name, lambda value: isinstance(value, int | float) and low <= value <= high, message))

    def whole(self, name: str, low: int = 0, high: int = LARGEST) -> int:
        """Return a whole number within bounds."""
        self.number(name, low, high)
        return int(self._fact(name, lambda value: value == int(value), "not a whole number"))

    def clamp(self) -> float:
        """Return the size to which activations are clamped; infinite if they are not."""
        return math.inf if self._facts.get("conv_clamp") is None else self.number("conv_clamp")

    def choice(self, name: str, choices: tuple[Any, ...]) -> Any:
        """Return a fact that is one of a few."""
        message = f"none of {', '.join(map(str, choices))}"
        return self._fact(name, lambda value: isinstance(value, str | bool | int) and value in choices, message)

    def sizes(self, name: str, count: int, low: int, high: int = LARGEST) -> list[int]:
        """Return `count` whole numbers within bounds."""

        def is_valid(values: Any) -> bool:
            if not isinstance(values, list | tuple) or len(values) != count:
                return False
            return all(isinstance(each, int) and low <= each <= high for each in values)

        return list(self._fact(name, is_valid, f"not {count} whole numbers from {low} to {high}"))

    def unread(self) -> Iterator[str]:
        """Yield the name of every tensor and part, here and within, that was not read."""
        yield from (f"{self.path}.{name}" for name in self._tensors if name not in self._read)
        for name in self._modules:
            if name in self._asked:
                yield from self._asked[name].unread()
            else:
                yield f"{self.path}.{name}"
