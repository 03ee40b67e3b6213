"""Networks under the tensor names of their published checkpoints: found in a directory, loaded, batch norms folded."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganatomy.core.errors import BadFile
from ganatomy.models.weights import State, fit_state, read_state

Net = TypeVar("Net", bound=nn.Module)


def find_weights(directory: Path, part: str) -> Path:
    """Return the file that holds a part of a network: ``encoder_epoch_40.pth``, ``encoder.safetensors``, …"""
    if not directory.is_dir():
        raise BadFile(f"{directory}: not a directory; give the one that holds the weights of encoder and decoder")
    found = sorted(file for kind in ("pth", "safetensors") for file in directory.glob(f"{part}*.{kind}"))
    if not found:
        raise BadFile(f"{directory}: holds no {part} weights; expected a file {part}*.pth or {part}*.safetensors")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise BadFile(f"{directory}: holds several {part} weights ({names}); leave the one that is meant")
    return found[0]


def read_parts(directory: Path) -> list[tuple[State, str]]:
    """Return the state dicts of encoder and decoder, each with the name of its file."""
    files = [find_weights(directory, part) for part in ("encoder", "decoder")]
    return [(read_state(file), str(file)) for file in files]


def conv_norm(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Return a convolution that keeps the grid, its batch norm, and a ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def output_channels(state: State, names: Sequence[str], source: str, expected: str) -> list[int]:
    """Return the output channels of convolutions, by the shapes of their weights."""
    for name in names:
        if name not in state or not state[name].ndim:
            raise BadFile(f"{source}: lacks tensor {name}; it should hold {expected}")
    return [len(state[name]) for name in names]


def load_folded(build: Callable[[], Net], state: State, source: str) -> Net:
    """Build a network for inference, load all of a state dict into it, and fold its batch norms into convolutions."""
    with torch.device("meta"):  # saves the time of initial values
        net = build()
    net.to_empty(device="cpu")
    fit_state(net, state, source)
    net.eval().requires_grad_(False)
    for parent in list(net.modules()):
        for (name, conv), (after, norm) in itertools.pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, nn.Identity())
    return net
