"""Inversion of a model that samples in steps: each step is solved backwards (DDIM, Song et al. 2021; its ODE)."""

from collections.abc import Generator

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.models.generators.sampling import SampledGenerator, State
from ganatomy.models.inversion.protocol import Inverted

MEMORY = 4
"""Earlier iterates that Anderson's method combines."""
ENOUGH = 1e-4
"""Mean error of a step, of values around 1, at which iterating ends."""


class StepInverter:
    """The noise from which sampling returns to the photograph, given its prompt; see `Inverter`.

    A step maps x to x + f(x); to undo it, x = y - f(x) is iterated, with Anderson's acceleration (1965). The plain
    iteration does not converge in the first and last steps, where f is steep.

    Args:
        generator: of images without noise of later steps.
        iterations: of each step; each is a call of the network.

    Raises:
        BadModel: its sampler adds noise, remembers earlier steps, or cannot encode images.
    """

    way, layer = "steps", ""

    def __init__(self, generator: SampledGenerator, iterations: int = 10) -> None:
        self._generator, self._iterations = generator, iterations
        encode = getattr(generator.sampler, "encode", None)
        if encode is None or generator.last != generator.sampler.steps:
            raise BadModel(f"{generator} draws no finished images that can be encoded, so it cannot be inverted")
        self._encode = encode

    def pieces(self, photographs: Images, start: Latents) -> Generator[float, None, Inverted]:
        """Invert photographs; see `Inverter`."""
        sampler, prompt = self._generator.sampler, start[:, -1].round().long()
        first = sampler.start(torch.ones(len(start), *sampler.shape, device=start.device), prompt)
        with torch.no_grad():
            x = self._encode(photographs).to(first.x)
        if first.history or first.x.shape != x.shape:
            raise BadModel(f"{self._generator} adds noise between its steps; open it with another scheduler")
        for number in range(sampler.steps, 0, -1):
            yield 1 - number / sampler.steps
            x = self._before(x, prompt, number)
        noise = x.float() / first.x.float()
        z = torch.cat([noise.flatten(1), start[:, -1:]], 1)
        return Inverted(z, z.new_zeros(len(z), 0, 1, 1), self._generator.observe(z, ()).images)

    @torch.no_grad()
    def _before(self, after: Float[Tensor, "b c h w"], prompt: Tensor, number: int) -> Float[Tensor, "b c h w"]:
        """Return the x that a step maps to `after`: the best of all iterates, of each row."""
        x = best = after
        least = x.new_full((len(x),), torch.inf)
        xs: list[Tensor] = []
        errors: list[Tensor] = []
        for _ in range(self._iterations):
            done = self._generator.sampler.step(State(x, prompt), number)
            if done.history:
                raise BadModel(f"{self._generator} remembers earlier steps; open it with scheduler=DDIMScheduler")
            error = after - done.x
            size = error.float().abs().mean((1, 2, 3))
            better = size < least
            best, least = torch.where(better[:, None, None, None], x, best), torch.minimum(size, least)
            if bool((least < ENOUGH).all()):
                break
            xs, errors = [*xs, x.flatten(1)][-MEMORY:], [*errors, error.flatten(1)][-MEMORY:]
            x = mixed(xs, errors).view_as(x)
        return best


def mixed(xs: list[Float[Tensor, "b d"]], errors: list[Float[Tensor, "b d"]]) -> Float[Tensor, "b d"]:
    """Return the next iterate of Anderson's method: x + error of the affine combination whose error is least.

    >>> mixed([torch.tensor([[0.0]]), torch.tensor([[1.0]])], [torch.tensor([[1.0]]), torch.tensor([[0.5]])])
    tensor([[2.]])
    """
    if len(xs) == 1:
        return xs[0] + errors[0]
    x, error = torch.stack(xs, 2), torch.stack(errors, 2)
    dx, de = x.diff(dim=2), error.diff(dim=2)
    square = de.mT @ de
    ridge = 1e-8 * square.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-20)
    square = square + ridge[:, None, None] * torch.eye(square.shape[1]).to(square)
    share = torch.linalg.solve(square, de.mT @ error[..., -1:])
    found: Tensor = x[..., -1:] + error[..., -1:] - (dx + de) @ share
    return found[..., 0]
