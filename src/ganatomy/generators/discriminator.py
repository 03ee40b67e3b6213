"""The discriminator that a bundled generator learned from: a network that says how real an image looks.

It mirrors the generator: from the full resolution down to 4 px, two convolutions a resolution (Karras et al. 2018).
"""

import itertools
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.devices import find_dtype
from ganatomy.errors import BadFile
from ganatomy.generators.classifier import Classifier
from ganatomy.generators.progan import Bias
from ganatomy.generators.registry import GENERATORS
from ganatomy.generators.view import View
from ganatomy.weights import State, fit_state, read_state


class EqualConv(nn.Module):
    """Convolution with equalised learning rate; `down` averages 2 × 2 results, as one convolution of stride 2."""

    def __init__(self, inputs: int, units: int, kernel: int = 3, padding: int = 1, *, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, inputs, kernel, kernel))
        self.bias = Bias(units)
        self.scale = math.sqrt(2 / inputs) / kernel
        self.padding, self.down = padding, down

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out H W"]:
        """Return what comes before the leaky ReLU."""
        weight = self.weight * self.scale
        if self.down:
            w = F.pad(weight, [1, 1, 1, 1])
            weight = (w[..., 1:, 1:] + w[..., 1:, :-1] + w[..., :-1, 1:] + w[..., :-1, :-1]) / 4
        return F.conv2d(x, weight, self.bias.b, stride=2 if self.down else 1, padding=self.padding)


class LeakyConv(EqualConv):
    """The convolution and a leaky ReLU: one layer."""

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out H W"]:
        """Return the layer's units."""
        return F.leaky_relu(super().forward(x), 0.2)


class JudgedAlone(LeakyConv):
    """The layer that, in training, also sees how much the images of a small group differ at 4 px.

    Here an image is judged alone: in the place of that map stands one number, its mean over groups of real images.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs + 1, units)
        self.spread = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out h w"]:
        """Return the layer's units."""
        return super().forward(torch.cat([x, self.spread.expand(len(x), 1, *x.shape[2:])], 1))


def spread(x: Float[Tensor, "b u h w"], group: int = 4) -> Float[Tensor, "b 1 h w"]:
    """Return one map per image: the standard deviation within its group, averaged over units and places."""
    groups = x.float().reshape(group, -1, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3), keepdim=True)
    return deviation.to(x.dtype).repeat(group, 1, *x.shape[2:])


def discriminator_network(widths: Sequence[int]) -> nn.Sequential:
    """Return the network [b, 3, R, R] → [b, 1], a logit above 0 for what looks real; `widths` are its units, 4 px last.

    Its layers are ``layer0`` (a 1 × 1 convolution of the colours), two for each resolution, two at 4 px.

    >>> discriminator_network([8, 16, 16])(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 1])
    """
    layers: list[nn.Module] = [LeakyConv(3, widths[0], 1, 0)]
    for fine, coarse in itertools.pairwise(widths):
        layers += [LeakyConv(fine, fine), LeakyConv(fine, coarse, down=True)]
    last = widths[-1]
    layers += [JudgedAlone(last, last), LeakyConv(last, last, 4, 0)]
    named: OrderedDict[str, nn.Module] = OrderedDict((f"layer{i}", layer) for i, layer in enumerate(layers))
    named["flatten"] = nn.Flatten()
    named["verdict"] = Verdict(last)
    return nn.Sequential(named)


class Verdict(nn.Module):
    """The last linear layer, with equalised learning rate."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, inputs))
        self.bias = Bias(1)

    def forward(self, x: Float[Tensor, "b in"]) -> Float[Tensor, "b 1"]:
        """Return the logits."""
        return F.linear(x, self.weight * math.sqrt(2 / self.weight.shape[1]), self.bias.b)


@GENERATORS.register("discriminator", data=True)
def open_discriminator(
    path: str,
    /,
    *,
    device: torch.device,
    prefix: str = "",
    images: str = "scenes:church",
    split: str = "",
    layers: str = "",
    dtype: str = "float32",
) -> Classifier:
    """Open a discriminator that ``recipes/train_generator.py`` exported, to look at the images of images=.

    Raises:
        BadFile: the weights are not those of such a network; images or their labels cannot be read.
        UnknownName: no such layer, split or number format.
    """
    state = read_state(Path(path), prefix)
    widths = _widths(state, path)
    network = discriminator_network(widths)
    fit_state(network, state, path)
    view = View.open(images, 4 << (len(widths) - 1), split=split)
    return Classifier(
        network.to(device, find_dtype(dtype)), view, layers=layers.split(",") if layers else (), name="discriminator"
    )


def _widths(state: State, source: str) -> list[int]:
    """Read the units at every resolution off the shapes."""
    numbers = [int(match[1]) for name in state if (match := re.fullmatch(r"layer(\d+)\.weight", name))]
    count = max(numbers, default=0)
    names = [f"layer{i}.weight" for i in range(0, count - 1, 2)]
    if count < 2 or count % 2 or "layer0.weight" not in state:
        raise BadFile(f"{source}: not a discriminator of this package (it has layer0.weight, layer1.weight, …)")
    for name in names:
        if name not in state:
            raise BadFile(f"{source}: lacks tensor {name}")
        if state[name].ndim != 4:
            raise BadFile(f"{source}: tensor {name} has shape {list(state[name].shape)}, not [out, in, k, k]")
    return [len(state[name]) for name in names]
