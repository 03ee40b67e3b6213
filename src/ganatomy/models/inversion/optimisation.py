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
from ganatomy.models.generators.protocol import Edit
from ganatomy.models.inversion.protocol import Inverted, finished

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
class Descent:
    """How something is found by Adam.

    Attributes:
        steps: at most.
        rate: the step of Adam, in standard deviations; it falls in the last 40 % of the steps.
        penalty: weight of the mean square of what is found, in standard deviations.
        sparse: weight of the mean over places of its length there, in standard deviations; it keeps most of them at 0.
        patience: see `Optimisation`; 0 for all the steps.
    """

    steps: int
    rate: float
    penalty: float
    sparse: float = 0.0
    patience: int = 0

    def rate_at(self, step: int) -> float:
        """Return the rate of a step, from 0."""
        return self.rate * min(1.0, (self.steps - step) / (0.4 * self.steps))

    def cost(self, own: Tensor) -> Float[Tensor, " b"]:
        """Return both penalties of what is found of each image."""
        found = self.penalty * own.square().flatten(1).mean(1)
        if not self.sparse:
            return found
        length = (own.square().sum(1) + 1e-6).sqrt()  # whose gradient at 0 is 0
        return found + self.sparse * length.flatten(1).mean(1)


@dataclass(frozen=True)
class Optimisation:
    """How a latent, and then an offset, are found.

    Attributes:
        steps: of the offset, at most.
        latent_steps: of the latent before, at most.
        rate, latent_rate, penalty, latent_penalty: see `Descent`.
        perceptual: weight of the difference of feature maps, each relative to its mean; that of pixels is 1.
        patience: steps within which the loss must fall by `RISE`.
        change_steps, change_penalty: of a change of the offset, see `OffsetInverter.changed`; the penalty is sparse.
    """

    steps: int = 80
    latent_steps: int = 40
    rate: float = 0.15
    latent_rate: float = 0.05
    perceptual: float = 0.3
    penalty: float = 0.03
    latent_penalty: float = 0.03
    patience: int = 20
    change_steps: int = 60
    change_penalty: float = 0.05


class OffsetInverter:
    """Adam on a latent, from that of a near image, then on an offset that is added to one layer; see `Inverter`.

    Entries of a latent that are whole numbers, such as the number of a class, stay as they are.

    Args:
        generator: `render` of which keeps gradients; where its images keep none to the latents, those stay as they are.
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
        self._scale = _spread(generator.observe(z, [self.layer]).features[self.layer])
        free = (z != z.round()).any(0)
        self._latent_scale = free * z[:, free].std()
        steps = self._how.latent_steps if bool(free.any()) and _follows_latents(generator, z[:1]) else 0
        self._latent = Descent(steps, self._how.latent_rate, self._how.latent_penalty, patience=self._how.patience)

    def pieces(self, photographs: Images, start: Latents) -> Pieces[float, None, Inverted]:
        """Invert photographs; see `Inverter`.

        Raises:
            BadModel: the generator keeps no gradient, or the images become NaN or Inf.
        """
        generator, layer, how, z = self._generator, self.layer, self._how, start
        loss_of = _Loss(self._maps, photographs, how.perceptual)
        if self._latent.steps and isinstance(generator, Differentiable):
            follow = generator.differentiable
            moves = self._latent_scale
            moved = yield from self._descend(loss_of, lambda own: follow(start + own * moves, []), start, self._latent)
            z = start + moved * moves
        near = generator.observe(z, [layer]).features[layer]

        def draw(own: Features) -> Images:
            return generator.render(near + own * self._scale, layer, z)

        offset = Descent(how.steps, how.rate, how.penalty, patience=how.patience)
        own = yield from self._descend(loss_of, draw, near, offset, self._latent.steps)
        with torch.no_grad():
            return Inverted(z, own * self._scale, draw(own), layer)

    def changed(self, photographs: Images, before: Inverted) -> Inverted:
        """Invert photographs that differ in little from others: their latents stay, offsets change at few places.

        Args:
            photographs: [b, 3, H, W] in [-1, 1].
            before: what was found for the others, one a photograph.

        Raises:
            BadModel: as `pieces`.
        """
        generator, how = self._generator, self._how
        near = generator.observe(before.z, [self.layer]).features[self.layer] + before.offset

        def draw(own: Features) -> Images:
            return generator.render(near + own * self._scale, self.layer, before.z)

        loss_of = _Loss(self._maps, photographs, how.perceptual)
        # the first steps of Adam move all places, so the loss rises before it falls
        descent = Descent(how.change_steps, how.rate, 0.0, how.change_penalty)
        own = finished(self._descend(loss_of, draw, near, descent))
        with torch.no_grad():
            return Inverted(before.z, before.offset + own * self._scale, draw(own), self.layer)

    def _descend(
        self, loss_of: "_Loss", draw: Callable[[Tensor], Images], like: Tensor, descent: Descent, done: int = 0
    ) -> Pieces[float, None, Tensor]:
        """Return values of least loss of each image, from 0 on; yield what share of all steps is done."""
        own, every = torch.zeros_like(like, requires_grad=True), self._latent.steps + self._how.steps
        adam, best = torch.optim.Adam([own]), _Best(like)
        for step in range(descent.steps + 1):
            with torch.enable_grad():
                losses = loss_of(draw(own)) + descent.cost(own)
            if best.update(own.detach(), losses.detach(), descent.patience or descent.steps) or step == descent.steps:
                break
            adam.param_groups[0]["lr"] = descent.rate_at(step)
            (own.grad,) = torch.autograd.grad(losses.sum(), [own])
            adam.step()
            yield (done + step) / every
        return best.values


class _Best:
    """The values of least loss of each image, up to where its loss stopped falling."""

    def __init__(self, like: Tensor) -> None:
        self.values = torch.zeros_like(like)
        self._least = like.new_full((len(like),), torch.inf)
        self._done = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        self._losses: list[Tensor] = []

    def update(self, values: Tensor, losses: Float[Tensor, " b"], patience: int) -> bool:
        """Take in the next step; return whether all images have stopped."""
        if not bool(losses.isfinite().all()):
            raise BadModel("optimising gives images of NaN or Inf; give another layer")
        better = (losses < self._least) & ~self._done
        self.values[better] = values[better]
        self._least = torch.where(better, losses, self._least)
        self._losses.append(losses)
        if len(self._losses) > patience:
            self._done = self._done | (losses > (1 - RISE) * self._losses[-1 - patience])
        return bool(self._done.all())


class _Loss:
    """How far images are from photographs: mean absolute difference of pixels and of maps."""

    def __init__(self, maps: Callable[[Images], Sequence[Tensor]], photographs: Images, perceptual: float) -> None:
        self._maps, self._photographs, self._perceptual = maps, photographs, perceptual
        with torch.no_grad():
            self._wanted = [each.detach() for each in maps(photographs)]
        self._means = [each.abs().mean((1, 2, 3)) + 1e-6 for each in self._wanted]

    def __call__(self, images: Images) -> Float[Tensor, " b"]:
        """Return the loss of each image."""
        pairs = zip(self._maps(images), self._wanted, self._means, strict=True)
        seen = torch.stack([(own - other).abs().mean((1, 2, 3)) / mean for own, other, mean in pairs]).sum(0)
        return (images - self._photographs).abs().mean((1, 2, 3)) + self._perceptual * seen


def offset_layer(layers: Mapping[str, LayerShape]) -> str:
    """Return the last layer of at most 8 × 8 places; the first where all are finer.

    >>> offset_layer({"a": LayerShape(9, 4, 4), "b": LayerShape(9, 8, 8), "c": LayerShape(9, 16, 16)})
    'b'
    """
    coarse = [name for name, shape in layers.items() if max(shape.height, shape.width) <= PLACES]
    return coarse[-1] if coarse else next(iter(layers))


def _spread(features: Features) -> Tensor:
    """Return the standard deviation of each unit, which is never 0."""
    found = features.std((0, 2, 3), keepdim=True)
    return found + 1e-3 * found.mean() + 1e-8


def _follows_latents(generator: Generator, z: Latents) -> bool:
    """Return whether gradients of images come to the latents."""
    if not isinstance(generator, Differentiable):
        return False
    moved = torch.zeros_like(z, requires_grad=True)
    try:
        with torch.enable_grad():
            images = generator.differentiable(z + moved, [])
        return torch.autograd.grad(images.sum(), moved, allow_unused=True)[0] is not None
    except (BadModel, RuntimeError):  # it was written to be run without gradients
        return False


def _smaller(images: Images) -> list[Tensor]:
    """Return images at half and a quarter of their size."""
    return [F.avg_pool2d(images, step, ceil_mode=True) for step in (2, 4)]
