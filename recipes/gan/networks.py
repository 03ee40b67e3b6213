"""A generator that grows into the published ProGAN, and the discriminator that it learns from."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganatomy.models.generators.discriminator import EqualConv
from ganatomy.models.generators.progan import ToRGB, hidden_layers
from ganatomy.models.weights import State


class GrowingGenerator(nn.Module):
    """ProGAN with an output at every resolution. `sizes`: latent, then units at 4 px, 8 px, …"""

    def __init__(self, sizes: tuple[int, ...], *, pixelnorm: bool = True) -> None:
        super().__init__()
        latent, *units = sizes
        twice = [u for u in units for _ in range(2)]
        self.hidden = nn.ModuleList(hidden_layers(latent, twice, pixelnorm=pixelnorm))
        self.outputs = nn.ModuleList(ToRGB(u, pixelnorm=pixelnorm) for u in units)

    def forward(self, z: Tensor, stage: int, blend: float) -> Tensor:
        """Draw at 4 · 2^stage px; blend < 1 mixes in the image of the stage before."""
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


class Discriminator(nn.Module):
    """The generator's mirror image: two convolutions a resolution, minibatch standard deviation (`spread`) at 4 px."""

    def __init__(self, sizes: tuple[int, ...], *, spread: bool = True) -> None:
        super().__init__()
        units, self.spread = sizes[1:], spread
        self.inputs = nn.ModuleList(EqualConv(3, u, 1, 0) for u in units)
        self.same = nn.ModuleList(EqualConv(u, u) for u in units[1:])
        self.halve = nn.ModuleList(EqualConv(u, v, down=True) for v, u in itertools.pairwise(units))
        self.last = nn.ModuleList([EqualConv(units[0] + spread, units[0]), EqualConv(units[0], units[0], 4, 0)])
        self.verdict = EqualConv(units[0], 1, 1, 0)

    def forward(self, images: Tensor, stage: int, blend: float) -> Tensor:
        """Return how real each image of 4 · 2^stage px looks, as a logit."""
        x = F.leaky_relu(self.inputs[stage](images), 0.2)
        for s in range(stage, 0, -1):
            x = F.leaky_relu(self.same[s - 1](x), 0.2)
            x = F.leaky_relu(self.halve[s - 1](x), 0.2)
            if s == stage and blend < 1:
                x = torch.lerp(F.leaky_relu(self.inputs[s - 1](F.avg_pool2d(images, 2)), 0.2), x, blend)
        if self.spread:
            x = torch.cat([x, spread(x)], 1)
        for layer in self.last:
            x = F.leaky_relu(layer(x), 0.2)
        logits: Tensor = self.verdict(x)
        return logits.flatten().float()

    def published(self, images: Tensor) -> State:
        """Return the weights of the full-size network, which scores each image alone, in half precision.

        Args:
            images: real images; how much they differ in groups of four takes the place of the group.
        """
        last = len(self.same)
        layers: list[EqualConv] = [self.inputs[last]]
        for s in range(last, 0, -1):
            layers += [self.same[s - 1], self.halve[s - 1]]
        layers += self.last
        state = {f"layer{i}.{k}": v for i, layer in enumerate(layers) for k, v in layer.state_dict().items()}
        x = images
        for layer in layers[: 2 * last + 1]:
            x = F.leaky_relu(layer(x), 0.2)
        state[f"layer{2 * last + 1}.spread"] = spread(x).mean().reshape(1)
        state |= {f"verdict.{k}": v.flatten(1) if v.ndim == 4 else v for k, v in self.verdict.state_dict().items()}
        return {name: value.detach().half().contiguous() for name, value in state.items()}


def spread(x: Tensor, group: int = 4) -> Tensor:
    """Return a map per image [b, 1, h, w]: the standard deviation within its group, averaged over units and places."""
    groups = x.float().reshape(group, -1, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3), keepdim=True)
    return deviation.to(x.dtype).repeat(group, 1, *x.shape[2:])
