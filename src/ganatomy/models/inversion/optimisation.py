"""Inversion of any generator by optimisation: of its latent, from that of a near image, and an offset at one layer."""

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
from ganatomy.models.generators.photographs import Offset
from ganatomy.models.generators.protocol import Edit
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


@runtime_checkable
class Differentiable(Protocol):
    """A generator whose images are differentiable in its latents, too."""

    def differentiable(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return images with edits, with gradients to z and to what edits add."""
        ...


@dataclass(frozen=True)
class Optimisation:
    """How a latent and an offset are found.

    Attributes:
        steps: at most.
        rate: the step of Adam, in standard deviations of each unit; it falls in the last 40 % of the steps.
        latent_rate: that of the latent, in its standard deviations; with 0 it stays that of the near image.
        perceptual: weight of the difference of feature maps, each relative to its mean; that of pixels is 1.
        penalty: weight of the mean square of the offset, in standard deviations.
        latent_penalty: weight of the mean square of what the latent is moved by, in its standard deviations.
        patience: steps within which the loss must fall by `RISE`.
    """

    steps: int = 80
    rate: float = 0.15
    latent_rate: float = 0.05
    latent_steps: int = 0
    perceptual: float = 0.3
    penalty: float = 0.03
    latent_penalty: float = 0.003
    patience: int = 20

    def rates_at(self, step: int) -> tuple[float, float]:
        """Return the rates of offset and latent in a step, from 0."""
        share = min(1.0, (self.steps - step) / (0.4 * self.steps))
        return self.rate * share * (step >= self.latent_steps), self.latent_rate * share


class OffsetInverter:
    """Adam on a latent, from that of a near image, and on an offset that is added to one layer; see `Inverter`.

    Entries of a latent that are whole numbers, such as the number of a class, stay as they are.

    Args:
        generator: `render` of which keeps gradients; where it has no method `differentiable`, only the offset is found.
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
        z = generator.latents(range(SCALE_IMAGES), 0)
        self._scale = _spread(generator.observe(z, [self.layer]).features[self.layer], (0, 2, 3))
        self._latent_scale = _spread(z, tuple(range(z.ndim))) * (z != z.round()).any(0, keepdim=True)

    def pieces(self, photographs: Images, start: Latents) -> Pieces[float, None, Inverted]:
        """Invert photographs; see `Inverter`.

        Raises:
            BadModel: the generator keeps no gradient, or the images become NaN or Inf.
        """
        how = self._how
        draw, found = self._drawing(start)
        loss_of = _Loss(self._maps, photographs, how)
        adam = torch.optim.Adam([{"params": [own]} for own in found])
        best = _Best(found)
        for step in range(how.steps + 1):
            with torch.enable_grad():
                losses = loss_of(draw(*found), found)
            if best.update(losses.detach(), how.patience) or step == how.steps:
                break
            for group, rate in zip(adam.param_groups, how.rates_at(step), strict=False):
                group["lr"] = rate
            for own, gradient in zip(found, torch.autograd.grad(losses.sum(), found), strict=True):
                own.grad = gradient
            adam.step()
            yield step / how.steps
        with torch.no_grad():
            z = start + best.values[1] * self._latent_scale if len(found) > 1 else start
            return Inverted(z, best.values[0] * self._scale, draw(*best.values), self.layer)

    def _drawing(self, start: Latents) -> tuple[Callable[..., Images], list[Tensor]]:
        """Return what draws images, and what is optimised: the offset, and what the latent is moved by, each scaled."""
        generator, layer = self._generator, self.layer
        near = generator.observe(start, [layer]).features[layer]
        offset = torch.zeros_like(near, requires_grad=True)
        if not (isinstance(generator, Differentiable) and self._how.latent_rate):
            return lambda own: generator.render(near + own * self._scale, layer, start), [offset]

        def draw(own: Features, moved: Latents) -> Images:
            return generator.differentiable(start + moved * self._latent_scale, [Offset(layer, own * self._scale)])

        return draw, [offset, torch.zeros_like(start, requires_grad=True)]


class _Best:
    """The values of least loss of each image, up to where its loss stopped falling."""

    def __init__(self, found: Sequence[Tensor]) -> None:
        self._found, self.values = found, [torch.zeros_like(own) for own in found]
        self._least = found[0].new_full((len(found[0]),), torch.inf)
        self._done = torch.zeros_like(self._least, dtype=torch.bool)
        self._losses: list[Tensor] = []

    @torch.no_grad()
    def update(self, losses: Float[Tensor, " b"], patience: int) -> bool:
        """Take in the next step; return whether all images have stopped."""
        if not bool(losses.isfinite().all()):
            raise BadModel("optimising gives images of NaN or Inf; give another layer")
        better = (losses < self._least) & ~self._done
        for kept, own in zip(self.values, self._found, strict=True):
            kept[better] = own[better]
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

    def __call__(self, images: Images, found: Sequence[Tensor]) -> Float[Tensor, " b"]:
        """Return the loss of each image, given what is optimised."""
        pairs = zip(self._maps(images), self._wanted, self._means, strict=True)
        seen = torch.stack([(own - other).abs().mean((1, 2, 3)) / mean for own, other, mean in pairs]).sum(0)
        pixels = (images - self._photographs).abs().mean((1, 2, 3))
        weights = (self._how.penalty, self._how.latent_penalty)
        far = [weight * own.square().flatten(1).mean(1) for own, weight in zip(found, weights, strict=False)]
        return pixels + self._how.perceptual * seen + torch.stack(far).sum(0)


def offset_layer(layers: Mapping[str, LayerShape]) -> str:
    """Return the last layer of at most 8 × 8 places; the first where all are finer.

    >>> offset_layer({"a": LayerShape(9, 4, 4), "b": LayerShape(9, 8, 8), "c": LayerShape(9, 16, 16)})
    'b'
    """
    coarse = [name for name, shape in layers.items() if max(shape.height, shape.width) <= PLACES]
    return coarse[-1] if coarse else next(iter(layers))


def _spread(values: Tensor, over: tuple[int, ...]) -> Tensor:
    """Return the standard deviation over some dimensions, which is never 0."""
    found = values.std(over, keepdim=True)
    return found + 1e-3 * found.mean() + 1e-8


def _smaller(images: Images) -> list[Tensor]:
    """Return images at half and a quarter of their size."""
    return [F.avg_pool2d(images, step, ceil_mode=True) for step in (2, 4)]
