"""Weights that accelerate keeps elsewhere, and moves to where a module computes while it does."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def offloaded_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a module that are on the meta device between its calls, by name.

    Under `enable_sequential_cpu_offload` of diffusers this is all of them.
    """
    found = dict[str, Tensor]()
    for path, part, hook in _hooks(module):
        kept = getattr(hook, "weights_map", None)
        if kept is None:
            continue
        for name, tensor in part.named_parameters(path):
            key = name[len(path) + 1 :] if path else name
            if tensor.is_meta and key in kept:
                found[name] = kept[key]
    return found


def execution_device(module: nn.Module) -> torch.device | None:
    """Return where a module computes if its weights are offloaded, as `_execution_device` of a pipeline; else None."""
    for _, _, hook in _hooks(module):
        device = getattr(hook, "execution_device", None)
        if device is not None:
            found = torch.device(device)
            return torch.device("cpu") if found.type == "cpu" else found  # tensors are never on cpu:0
    return None


def _hooks(module: nn.Module) -> Iterator[tuple[str, nn.Module, Any]]:
    """Return the hooks of accelerate, each with its submodule and the name of that."""
    for path, part in module.named_modules():
        hook = getattr(part, "_hf_hook", None)
        if hook is not None:
            for each in getattr(hook, "hooks", (hook,)):
                yield path, part, each
