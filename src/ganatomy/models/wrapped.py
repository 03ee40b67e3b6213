"""Networks inside of wrappers, and whether their weights are there and can be computed with."""

import contextlib
import itertools
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn.parameter import is_lazy

from ganatomy.core.errors import BadModel
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.models.offloaded import execution_device, offloaded_weights
from ganatomy.models.weights import check_finite

_INSIDE = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
    "_FabricModule": "module",
}
"""Wrappers of torch and Lightning, and the attribute of each that it wraps."""
_SHARDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine")
PLAIN = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Number formats in which networks compute; others only store weights."""


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network itself: what is parallel, compiled or averaged computes the same alone.

    Raises:
        BadModel: its weights are spread over processes.
    """
    if not isinstance(network, nn.Module):
        raise BadModel(f"a {type(network).__name__} is no torch.nn.Module; make it the forward of one")
    while type(network).__name__ in _INSIDE:
        network = getattr(network, _INSIDE[type(network).__name__])
    kinds = {base.__name__ for part in network.modules() for base in type(part).__mro__}
    if sharded := kinds.intersection(_SHARDED):
        raise BadModel(f"the weights of a {sharded.pop()} are spread over processes; hand over a copy that is whole")
    return network


def frozen(module: nn.Module, device: torch.device, name: str) -> nn.Module:
    """Return a module in evaluation mode, on a device, with no gradients for its weights.

    Raises:
        BadModel: it cannot compute as it is.
    """
    check_ready(unwrapped(module), name)
    for weight in module.parameters():  # TorchScript takes no requires_grad_ for all
        weight.requires_grad_(False)
    return module.eval().to(device)


def check_readable(module: nn.Module, name: str) -> None:
    """Refuse a module whose layers cannot be read: TorchScript, or one without numbers in its weights.

    Raises:
        BadModel: it is one of these.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise BadModel(
            f"{name} is a TorchScript module, whose layers cannot be read; give the module that it was made of, or "
            "save torch.jit.trace(net.eval(), z) and open torchscript:FILE"
        )
    check_ready(module, name)


def check_ready(module: nn.Module, name: str) -> None:
    """Refuse a module whose weights hold no numbers yet.

    Raises:
        BadModel: it is lazy, or on the meta device.
    """
    offloaded = offloaded_weights(module)
    for path, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            raise BadModel(f"{name}: {path} is lazy and has no size yet; run the module once, then load its weights")
        if tensor.is_meta and path not in offloaded:
            raise BadModel(
                f"{name}: {path} is on the meta device and holds no numbers; call module.to_empty(device='cpu') and "
                "load its weights"
            )


def check_numbers(module: nn.Module, name: str) -> None:
    """Refuse weights that hold NaN or Inf.

    Raises:
        BadFile: names the first of them.
    """

    def comparable(tensor: torch.Tensor) -> torch.Tensor:  # weights of 8 bits and complex ones cannot be searched
        tensor = tensor.detach()
        if tensor.is_complex():
            return torch.view_as_real(tensor.resolve_conj())
        return tensor.float() if tensor.is_floating_point() and tensor.dtype not in PLAIN else tensor

    weights = dict(module.named_parameters()) | offloaded_weights(module)
    check_finite({path: comparable(tensor) for path, tensor in weights.items()}, name)


def check_followed(name: str, layer: str) -> None:
    """Refuse a gradient through a layer that is being computed, where it would be wrong, or lost.

    Raises:
        BadModel: says what to do.
    """
    lost = not torch.is_grad_enabled()
    frame: FrameType | None = sys._getframe()
    while frame is not None and not lost:
        lost = frame.f_code.co_filename == torch.utils.checkpoint.__file__
        frame = frame.f_back
    if lost:
        raise BadModel(
            f"{name} computes {layer} without gradients, or again in the backward pass; turn off its activation "
            "checkpointing (disable_gradient_checkpointing), or torch.no_grad in its forward"
        )


def cast(module: nn.Module, dtype: torch.dtype, name: str) -> nn.Module:
    """Return the module with its weights in another number format.

    Raises:
        BadModel: it has complex weights, which would lose their imaginary part.
    """
    for path, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_complex():
            raise BadModel(f"{name}: {path} is complex and cannot be computed in {dtype}; leave out dtype")
    with foreign_errors(f"casting {name} to {dtype}"):
        return module.to(dtype)


def weights_fingerprint(module: nn.Module, *facts: object) -> str:
    """Return the fingerprint of a network's state, and of other facts.

    Of the extra state of submodules, tensors and plain values count, and of other objects their types.
    """
    with foreign_errors("reading the state of a module"):
        state = unwrapped(module).state_dict() | offloaded_weights(unwrapped(module))
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    extra = {key: value for key, value in state.items() if key not in tensors}
    if not extra:
        return fingerprint(tensors, *facts)
    return fingerprint(tensors, *facts, _plain(extra))


def _plain(value: Any, depth: int = 8) -> object:
    """Return a description of a value that is the same in every process."""
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return value
    if isinstance(value, torch.Tensor):
        return fingerprint({"": value})
    if depth and isinstance(value, dict):
        return sorted(repr((_plain(key), _plain(each, depth - 1))) for key, each in value.items())
    if depth and isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value]
    return type(value).__name__


def device_of(module: nn.Module) -> torch.device:
    """Return where a module computes: where its weights are, or are moved to for a call."""
    if (offloaded := execution_device(module)) is not None:
        return offloaded
    return next((t.device for t in itertools.chain(module.parameters(), module.buffers())), torch.device("cpu"))


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the number format in which a module computes: that of its first weights in one of `PLAIN`."""
    weights = itertools.chain(module.parameters(), module.buffers())
    return next((t.dtype for t in weights if t.dtype in PLAIN), torch.float32)


@contextlib.contextmanager
def uncompiled(module: nn.Module) -> Iterator[None]:
    """Have compiled parts of a module run as written, since compiled code calls no hooks.

    Raises:
        BadModel: this version of torch cannot.
    """
    if not any(_is_compiled(part) for part in module.modules()):
        yield
        return
    if not hasattr(torch.compiler, "set_stance"):  # torch before 2.6
        raise BadModel("torch.compile compiled a part of this module; hand it over as it was before")
    with torch.compiler.set_stance("force_eager"):
        yield


def _is_compiled(part: nn.Module) -> bool:
    in_place = getattr(part, "_compiled_call_impl", None) is not None or type(part).__name__ == "OptimizedModule"
    return in_place or hasattr(getattr(part, "forward", None), "_torchdynamo_orig_callable")
