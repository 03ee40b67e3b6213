"""The discriminator of a bundled generator's training: a network that returns how real an image looks.

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

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile
from ganatomy.models.generators.classifier import Classifier
from ganatomy.models.generators.progan import Bias, kernel_shapes, overlapped
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.generators.view import View
from ganatomy.models.weights import fit_state, read_state


class EqualConv(nn.Module):
    """Convolution with equalised learning rate; `down` averages 2 × 2 results, as one convolution of stride 2."""

    def __init__(self, inputs: int, units: int, kernel: int = 3, padding: int = 1, *, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, inputs, kernel, kernel))
        self.bias = Bias(units)
        self.scale = math.sqrt(2 / inputs) / kernel
        self.padding, self.down = padding, down

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out H W"]:
        """Return the units before the leaky ReLU."""
        weight = self.weight * self.scale
        if self.down:
            weight = overlapped(weight) / 4
        return F.conv2d(x, weight, self.bias.b, stride=2 if self.down else 1, padding=self.padding)


class LeakyConv(EqualConv):
    """The convolution and a leaky ReLU: one layer."""

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out H W"]:
        """Return the layer's units."""
        return F.leaky_relu(super().forward(x), 0.2)


class _MinibatchStd(LeakyConv):
    """The layer that, in training, also gets a map of how much the images of a small group differ at 4 px.

    Here an image is scored alone: that map is one number, its mean over groups of real images.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs + 1, units)
        self.spread = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out h w"]:
        return super().forward(torch.cat([x, self.spread.expand(len(x), 1, *x.shape[2:])], 1))


class _OutputHead(nn.Module):
    """The last linear layer, with equalised learning rate."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, inputs))
        self.bias = Bias(1)

    def forward(self, x: Float[Tensor, "b in"]) -> Float[Tensor, "b 1"]:
        return F.linear(x, self.weight * math.sqrt(2 / self.weight.shape[1]), self.bias.b)


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
    layers += [_MinibatchStd(last, last), LeakyConv(last, last, 4, 0)]
    named: OrderedDict[str, nn.Module] = OrderedDict((f"layer{i}", layer) for i, layer in enumerate(layers))
    named["flatten"] = nn.Flatten()
    named["verdict"] = _OutputHead(last)
    return nn.Sequential(named)


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
    """Open a discriminator that ``recipes/train_generator.py`` exported, for the images of images=.

    Raises:
        BadFile: the weights are not those of such a network; images or their labels cannot be read.
        UnknownName: no such layer, split or number format.
    """
    state = read_state(Path(path), prefix)
    numbers = [int(match[1]) for name in state if (match := re.fullmatch(r"layer(\d+)\.weight", name))]
    count = max(numbers, default=0)
    if count < 2 or count % 2 or "layer0.weight" not in state:
        raise BadFile(f"{path}: not a discriminator of this package (it has layer0.weight, layer1.weight, …)")
    shapes = kernel_shapes(state, [f"layer{i}.weight" for i in range(0, count - 1, 2)], path)
    network = discriminator_network([shape[0] for shape in shapes])
    fit_state(network, state, path)
    view = View.open(images, 4 << (len(shapes) - 1), split=split)
    return Classifier(
        network.to(device, find_dtype(dtype)), view, layers=layers.split(",") if layers else (), name="discriminator"
    )
