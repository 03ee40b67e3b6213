"""The decoder of a variational autoencoder (Kingma & Welling 2014), trained by ``recipes/train_likelihood.py``."""

import itertools
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.module import as_generator
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import State, fit_state, read_state


class _Layer(nn.Conv2d):
    """A convolution and a leaky ReLU; `up` doubles the sides before, each pixel becoming four."""

    def __init__(self, inputs: int, units: int, kernel: int = 3, padding: int = 1, *, up: bool = False) -> None:
        super().__init__(inputs, units, kernel, padding=padding)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.leaky_relu(super().forward(x), 0.2)


def decoder(latent: int, widths: Sequence[int]) -> nn.Sequential:
    """Return the network [b, latent] → [b, 3, R, R]: two layers per resolution from 4 × 4 on, `widths` their units."""
    named: OrderedDict[str, nn.Module] = OrderedDict(spread=nn.Unflatten(1, (latent, 1, 1)))
    named["layer1"] = _Layer(latent, widths[0], kernel=4, padding=3)
    for i, (inputs, units) in enumerate(itertools.pairwise(widths)):
        named[f"layer{i + 2}"] = _Layer(inputs, units, up=i % 2 == 1)
    named["paint"] = nn.Conv2d(widths[-1], 3, 1)
    named["squash"] = nn.Tanh()
    return nn.Sequential(named)


@GENERATORS.register("vae", data=True, weights="argument")
def open_vae(path: str, /, *, device: torch.device, prefix: str = "", dtype: str = "float32") -> HookedGenerator:
    """Open a decoder that ``recipes/train_likelihood.py vae`` trained; its sizes are those of the weights.

    Its layers are ``layer1``, ``layer2``, …; a unit is a channel after the leaky ReLU. Latents are N(0, 1).
    ``prefix=`` is that of its tensors in a file of several networks.

    Raises:
        BadFile: unreadable, or with missing, extra or misshaped tensors; names the file and the tensor.
    """
    state = read_state(Path(path), prefix)
    latent, widths = _sizes(state, path)
    network = decoder(latent, widths)
    fit_state(network, state, path)
    layers = [f"layer{i + 1}" for i in range(len(widths))]
    network, numbers = network.to(device), find_dtype(dtype)
    return as_generator(network, latent=(latent,), bounds=(-1, 1), layers=layers, name="vae", dtype=numbers)


def _sizes(state: State, source: str) -> tuple[int, list[int]]:
    """Return the size of the latent and the units of each layer."""
    shapes = {
        int(match[1]): tuple(tensor.shape)
        for name, tensor in state.items()
        if (match := re.fullmatch(r"layer([1-9]\d{0,2})\.weight", name)) and tensor.ndim == 4
    }
    if not shapes or len(shapes) % 2 or sorted(shapes) != list(range(1, len(shapes) + 1)):
        raise BadFile(
            f"{source}: not the decoder of a VAE of this package; it needs weights layer1.weight, layer2.weight, … "
            f"two per resolution; first tensor found: {next(iter(state))}"
        )
    return shapes[1][1], [shapes[i + 1][0] for i in range(len(shapes))]
