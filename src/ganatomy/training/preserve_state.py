"""A network that is being trained may be used for a while, and nobody can tell afterwards, to the bit."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel
from ganatomy.models.wrapped import device_of


@contextlib.contextmanager
def preserve_state(network: nn.Module) -> Iterator[None]:
    """Use a network in evaluation mode, without gradients and in its own number format; then all is as it was.

    What is kept: the random state of Python, numpy, torch and its CUDA devices; modes; buffers, and whatever else the
    submodules hold as attributes (tensors, lists and dictionaries among them, one level deep); hooks. Gradients are not
    computed, and autocasting is off. Nothing is copied but buffers, so that a snapshot costs no second network.
    """
    with _random_state(device_of(network)), _default_settings(device_of(network)), torch.no_grad():
        weights = [(weight, weight._version) for weight in network.parameters()]
        kept = [_ModuleState(part) for part in network.modules()]
        try:
            for part in network.modules():
                part.training = False
            yield
        finally:
            for own in kept:
                own.restore()
        if any(weight._version != version for weight, version in weights):
            raise BadModel("the network writes to its own weights as it draws; hand over a copy that is not trained")


class _ModuleState:
    """All that one module holds: its attributes, and what is in those that may change in place."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._attributes = dict(vars(module))
        self._inner = [
            (held, list(held.items()) if isinstance(held, dict) else list(held))
            for held in self._attributes.values()
            if isinstance(held, dict | list | set)
        ]
        tensors = [*self._attributes.values(), *module._buffers.values()]
        self._tensors = [(t, t.detach().clone()) for t in tensors if isinstance(t, Tensor)]

    def restore(self) -> None:
        """Make it as it was; what did not change is not written to."""
        held = vars(self._module)
        for name in [name for name in held if name not in self._attributes]:
            del held[name]
        for name, value in self._attributes.items():
            if name not in held or held[name] is not value:
                held[name] = value
        for container, content in self._inner:
            _refill(container, content)
        for tensor, values in self._tensors:
            if not torch.equal(tensor, values):  # batch norm writes without leaving a mark on its tensors
                tensor.copy_(values)


def _refill(container: Any, content: list[Any]) -> None:
    now = list(container.items()) if isinstance(container, dict) else list(container)
    flat = [part for item in now for part in (item if isinstance(container, dict) else (item,))]
    old = [part for item in content for part in (item if isinstance(container, dict) else (item,))]
    if len(flat) == len(old) and all(a is b for a, b in zip(flat, old, strict=True)):
        return
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(content)


@contextlib.contextmanager
def _random_state(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  what the training uses
    devices = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextlib.contextmanager
def _default_settings(device: torch.device) -> Iterator[None]:
    """Compute in the number format of the weights, whatever the training casts to; new tensors are on the CPU."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in {"cpu", device.type}:
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
