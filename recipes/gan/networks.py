"""A generator that grows into the published ProGAN, and the discriminator that it learns from."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganatomy.generators.progan import Bias, ToRGB, hidden_layers
from ganatomy.weights import State


class GrowingGenerator(nn.Module):
    """ProGAN with an output at every resolution. `sizes`: latent, then units at 4 px, 8 px, …"""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        latent, *units = sizes
        self.hidden = nn.ModuleList(hidden_layers(latent, [u for u in units for _ in range(2)]))
        self.outputs = nn.ModuleList(ToRGB(u) for u in units)

    def forward(self, z: Tensor, stage: int, blend: float) -> Tensor:
        """Draw at 4 · 2^stage px; blend < 1 mixes in the picture of the stage before."""
        x = z[:, :, None, None]
        for layer in self.hidden[: 2 * stage]:
            x = layer(x)
        before = x
        for layer in self.hidden[2 * stage : 2 * stage + 2]:
            x = layer(x)
        images = self.outputs[stage](x)
        if blend < 1:
            images = torch.lerp(F.interpolate(self.outputs[stage - 1](before), scale_factor=2), images, blend)
        return images

    def published(self) -> State:
        """Return the weights of the full-size network under the published names."""
        state = {f"layer{i + 1}.{k}": v for i, m in enumerate(self.hidden) for k, v in m.state_dict().items()}
        side = 4 << (len(self.outputs) - 1)
        state |= {f"output_{side}x{side}.{k}": v for k, v in self.outputs[-1].state_dict().items()}
        return {name: value.float().contiguous() for name, value in state.items()}


class Conv(nn.Module):
    """Convolution with equalised learning rate; `down` averages 2 × 2 results, as one convolution of stride 2."""

    def __init__(self, inputs: int, units: int, kernel: int = 3, padding: int = 1, *, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, inputs, kernel, kernel))
        self.bias = Bias(units)
        self.scale = math.sqrt(2 / inputs) / kernel
        self.padding, self.down = padding, down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.down:
            w = F.pad(weight, [1, 1, 1, 1])
            weight = (w[..., 1:, 1:] + w[..., 1:, :-1] + w[..., :-1, 1:] + w[..., :-1, :-1]) / 4
        return F.conv2d(x, weight, self.bias.b, stride=2 if self.down else 1, padding=self.padding)


class Discriminator(nn.Module):
    """The generator's mirror image: two convolutions a resolution, minibatch standard deviation at 4 px."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        units = sizes[1:]
        self.inputs = nn.ModuleList(Conv(3, u, 1, 0) for u in units)
        self.same = nn.ModuleList(Conv(u, u) for u in units[1:])
        self.halve = nn.ModuleList(Conv(u, v, down=True) for v, u in itertools.pairwise(units))
        self.last = nn.ModuleList([Conv(units[0] + 1, units[0]), Conv(units[0], units[0], 4, 0)])
        self.verdict = Conv(units[0], 1, 1, 0)

    def forward(self, images: Tensor, stage: int, blend: float) -> Tensor:
        """Return how real each picture of 4 · 2^stage px looks, as a logit."""
        x = F.leaky_relu(self.inputs[stage](images), 0.2)
        for s in range(stage, 0, -1):
            x = F.leaky_relu(self.same[s - 1](x), 0.2)
            x = F.leaky_relu(self.halve[s - 1](x), 0.2)
            if s == stage and blend < 1:
                x = torch.lerp(F.leaky_relu(self.inputs[s - 1](F.avg_pool2d(images, 2)), 0.2), x, blend)
        x = torch.cat([x, _spread(x)], 1)
        for layer in self.last:
            x = F.leaky_relu(layer(x), 0.2)
        logits: Tensor = self.verdict(x)
        return logits.flatten().float()


def _spread(x: Tensor, group: int = 4) -> Tensor:
    """Return one map per picture: the standard deviation within its group, averaged over units and places."""
    groups = x.float().reshape(group, -1, *x.shape[1:])
    spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3), keepdim=True)
    return spread.to(x.dtype).repeat(group, 1, *x.shape[2:])
