"""State dicts: named tensors, checks of their values, and fingerprints."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.core.files import MOST, UNFOLDS

State = dict[str, Tensor]


def check_finite(state: Mapping[str, Any], source: str) -> None:
    """Refuse weights that hold NaN or Inf.

    Raises:
        BadFile: names the source and the first such tensor.
    """
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        wide = tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor
        if not bool(torch.isfinite(wide).all()):
            raise BadFile(f"{source}: tensor {name} holds NaN or Inf")


def check_plain(state: State, source: str, path: str, size: int) -> None:
    """Refuse tensors that are not dense, or take memory out of proportion to their file of `size` bytes."""
    for name, tensor in state.items():
        if problem := plain_problem(tensor):
            raise BadFile(f"{source}: tensor {path}{name} {problem}")
    if unbounded(state, size):
        raise BadFile(
            f"{source}: holds tensors that unfold to many times the size of the file; save them with contiguous()"
        )


def plain_problem(tensor: Tensor) -> str:
    """Return why a tensor is not dense and plain; empty if it is."""
    if tensor.is_meta:
        return "has a shape and no numbers (it is on the meta device); save the network once its weights are there"
    if tensor.is_quantized:
        return f"is quantised ({tensor.dtype}); save the network before it is quantised"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested; save it with to_dense()"
    if tensor.is_floating_point() and torch.finfo(tensor.dtype).bits < 8:
        return f"is quantised ({tensor.dtype}); save the network before it is quantised"
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"is a {type(tensor).__name__}; save plain tensors"
    return ""


def unbounded(state: Mapping[str, Tensor], size: int) -> bool:
    """Return whether tensors would take many times the bytes of their file, as expanded ones do."""
    return sum(tensor.numel() * tensor.itemsize for tensor in state.values()) > UNFOLDS * size + MOST


def misfit(stored: Tensor, own: Tensor) -> str:
    """Return why a stored tensor cannot be loaded into one of a module; empty if it can."""
    if nn.parameter.is_lazy(own):
        return ""
    if stored.shape != own.shape and not (own.ndim == 0 and stored.shape == (1,)):
        return f"has shape {list(stored.shape)}, the model needs {list(own.shape)}"
    if stored.is_complex() and not own.is_complex():
        return f"holds complex numbers ({stored.dtype}), the model's are real ({own.dtype})"
    whole = not (stored.is_floating_point() or stored.is_complex())
    if whole and isinstance(own, nn.Parameter) and (own.is_floating_point() or own.is_complex()):
        return (
            f"holds whole numbers ({stored.dtype}), the model's weights are {own.dtype}; quantised weights do not open"
        )
    if not whole and not (own.is_floating_point() or own.is_complex()):
        real = stored.float() if stored.itemsize == 1 else stored
        if not torch.equal(real, real.to(own.dtype).to(real.dtype)):
            return f"holds fractions ({stored.dtype}), the model's are whole numbers ({own.dtype})"
    return ""
