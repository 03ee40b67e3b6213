"""Networks under the names of their published checkpoints: found in a directory, loaded, batch norms folded in."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganatomy.errors import BadFile
from ganatomy.weights import State, fit_state

Net = TypeVar("Net", bound=nn.Module)


def find_weights(directory: Path, part: str) -> Path:
    """Return the file that holds a part of a network: ``encoder_epoch_40.pth``, ``encoder.safetensors``, …

    Raises:
        BadFile: it is no directory, or holds no such file, or more than one.
    """
    if not directory.is_dir():
        raise BadFile(f"{directory}: not a directory; give the one that holds the weights of encoder and decoder")
    found = sorted(file for kind in ("pth", "safetensors") for file in directory.glob(f"{part}*.{kind}"))
    if not found:
        raise BadFile(f"{directory}: holds no {part} weights; expected a file {part}*.pth or {part}*.safetensors")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise BadFile(f"{directory}: holds several {part} weights ({names}); leave the one that is meant")
    return found[0]


def conv_norm(given: int, made: int, kernel: int) -> nn.Sequential:
    """Return a convolution that keeps the grid, its batch norm, and a ReLU."""
    conv = nn.Conv2d(given, made, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), nn.ReLU(inplace=True))


def outputs(state: State, name: str) -> int:
    """Return how many channels a convolution makes, by the shape of its weight.

    Raises:
        KeyError: there is no such weight.
    """
    if name not in state or not state[name].ndim:
        raise KeyError(name)
    return len(state[name])


def load_folded(build: Callable[[], Net], state: State, source: str) -> Net:
    """Build a network, load all of a state dict into it, and fold its norms: ready to be read, not to be trained.

    Raises:
        BadFile: tensors are missing, extra or misshaped; names the source and the first of them.
    """
    with torch.device("meta"):  # or most of the time would go into initial values that nobody sees
        net = build()
    net.to_empty(device="cpu")
    fit_state(net, state, source)
    net.eval().requires_grad_(False)
    fold_norms(net)
    return net


def fold_norms(net: nn.Module) -> None:
    """Fold every batch norm into the convolution that it follows: the same function in fewer steps."""
    for parent in list(net.modules()):
        for (name, conv), (after, norm) in itertools.pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, nn.Identity())
