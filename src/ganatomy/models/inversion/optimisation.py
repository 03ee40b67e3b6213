"""Inversion of any generator by optimisation: the latent of a near image, and an offset at one layer (GANs)."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Generator as Pieces
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators import Generator, LayerShape
from ganatomy.models.inversion.protocol import Inverted

PLACES = 8
"""Places a side of the grid at whose layer the offset is added, at most: coarse enough for objects to stay objects."""
SCALE_IMAGES = 16
"""Images from which the spread of each unit is measured."""
RISE = 0.005
"""By what share the loss must fall within `Optimisation.patience` steps, or optimising ends."""


@runtime_checkable
class MapNetwork(Protocol):
    """A feature network whose maps are differentiable in the images."""

    def maps(self, images: Images) -> Sequence[Features]:
        """Return maps of features [b, d, h, w], of every scale."""
        ...


@dataclass(frozen=True)
class Optimisation:
    """How an offset is found.

    Attributes:
        steps: at most.
        rate: the step of Adam, in standard deviations of each unit; it falls in the last 40 % of the steps.
        perceptual: weight of the difference of feature maps, each relative to its mean; that of pixels is 1.
        penalty: weight of the mean square of the offset, in standard deviations.
        patience: steps within which the loss must fall by `RISE`.
    """

    steps: int = 80
    rate: float = 0.15
    perceptual: float = 0.3
    penalty: float = 0.03
    patience: int = 20

    def rate_at(self, step: int) -> float:
        """Return the rate of a step, from 0."""
        return self.rate * min(1.0, (self.steps - step) / (0.4 * self.steps))


class OffsetInverter:
    """Adam on an offset that is added to one layer of a near image; see `Inverter`.

    Args:
        generator: `render` of which keeps gradients.
        network: whose maps are compared, besides pixels; where it has no differentiable ones, images at half and a
            quarter of the size.
        layer: where the offset is added; else `offset_layer`.
        how: see `Optimisation`.
    """

    way = "optimisation"

    def __init__(self, generator: Generator, network: object, layer: str = "", how: Optimisation | None = None) -> None:
        self.layer = layer or offset_layer(generator.layers)
        self._generator, self._how = generator, how or Optimisation()
        self._maps = network.maps if isinstance(network, MapNetwork) else _smaller
        seen = generator.observe(generator.latents(range(SCALE_IMAGES), 0), [self.layer]).features[self.layer]
        self._scale = seen.std((0, 2, 3), keepdim=True)
        self._scale = self._scale + 1e-3 * self._scale.mean() + 1e-8

    def pieces(self, photographs: Images, start: Latents) -> Pieces[float, None, Inverted]:
        """Invert photographs; see `Inverter`.

        Raises:
            BadModel: the generator keeps no gradient, or the images become NaN or Inf.
        """
        how, layer = self._how, self.layer
        near = self._generator.observe(start, [layer]).features[layer]
        loss_of = _Loss(self._maps, photographs, how)
        own = torch.zeros_like(near, requires_grad=True)
        adam, best = torch.optim.Adam([own], lr=how.rate), _Best(near)
        for step in range(how.steps + 1):
            with torch.enable_grad():
                losses = loss_of(self._generator.render(near + own * self._scale, layer, start), own)
            if best.update(own.detach(), losses.detach(), how.patience) or step == how.steps:
                break
            adam.param_groups[0]["lr"] = how.rate_at(step)
            (own.grad,) = torch.autograd.grad(losses.sum(), [own])
            adam.step()
            yield step / how.steps
        with torch.no_grad():
            offset = best.values * self._scale
            return Inverted(start, offset, self._generator.render(near + offset, layer, start), layer)


class _Best:
    """The offset of least loss of each image, up to where its loss stopped falling."""

    def __init__(self, like: Features) -> None:
        self.values = torch.zeros_like(like)
        self._least = like.new_full((len(like),), torch.inf)
        self._done = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        self._losses: list[Tensor] = []

    def update(self, offsets: Features, losses: Float[Tensor, " b"], patience: int) -> bool:
        """Take in the next step; return whether all images have stopped."""
        if not bool(losses.isfinite().all()):
            raise BadModel("optimising an offset gives images of NaN or Inf; give another layer")
        better = (losses < self._least) & ~self._done
        self.values = torch.where(better[:, None, None, None], offsets, self.values)
        self._least = torch.where(better, losses, self._least)
        self._losses.append(losses)
        if len(self._losses) > patience:
            self._done = self._done | (losses > (1 - RISE) * self._losses[-1 - patience])
        return bool(self._done.all())


class _Loss:
    """How far images are from photographs: mean absolute difference of pixels and of maps, and the penalty."""

    def __init__(self, maps: Callable[[Images], Sequence[Tensor]], photographs: Images, how: Optimisation) -> None:
        self._maps, self._photographs, self._how = maps, photographs, how
        with torch.no_grad():
            self._wanted = [each.detach() for each in maps(photographs)]
        self._means = [each.abs().mean((1, 2, 3)) + 1e-6 for each in self._wanted]

    def __call__(self, images: Images, offsets: Features) -> Float[Tensor, " b"]:
        """Return the loss of each image."""
        pairs = zip(self._maps(images), self._wanted, self._means, strict=True)
        seen = torch.stack([(own - other).abs().mean((1, 2, 3)) / mean for own, other, mean in pairs]).sum(0)
        pixels = (images - self._photographs).abs().mean((1, 2, 3))
        return pixels + self._how.perceptual * seen + self._how.penalty * offsets.square().mean((1, 2, 3))


def offset_layer(layers: Mapping[str, LayerShape]) -> str:
    """Return the last layer of at most 8 × 8 places; the first where all are finer.

    >>> offset_layer({"a": LayerShape(9, 4, 4), "b": LayerShape(9, 8, 8), "c": LayerShape(9, 16, 16)})
    'b'
    """
    coarse = [name for name, shape in layers.items() if max(shape.height, shape.width) <= PLACES]
    return coarse[-1] if coarse else next(iter(layers))


def _smaller(images: Images) -> list[Tensor]:
    """Return images at half and a quarter of their size."""
    return [F.avg_pool2d(images, step, ceil_mode=True) for step in (2, 4)]
