"""The rectified flow that is trained: its loss, and images drawn by Euler steps."""

import itertools

import torch
from torch import Tensor, nn

from ganatomy.models.generators.words import WordNetwork


class Sampler(nn.Module):
    """Draws images of the words of given scenes, from noise, in Euler steps."""

    def __init__(self, net: WordNetwork, states: Tensor, size: int, steps: int) -> None:
        super().__init__()
        self.net, self.size, self.steps = net, size, steps
        self.register_buffer("states", states, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Return images [b, 3, size, size] of noise [b, 3 * size * size], whose first number chooses the scene."""
        states = self.states[(z[:, 0] * 1e4).long() % len(self.states)]
        x = z.reshape(-1, 3, self.size, self.size).contiguous(memory_format=torch.channels_last)
        times = torch.linspace(1, 0, self.steps + 1)
        for now, then in itertools.pairwise(times):
            x = x + (then - now) * self.net(x, now.expand(len(x)), states)
        return x.clamp(-1, 1)


class RectifiedFlow(nn.Module):
    """The network with its loss.

    Times lie towards noise, where it is decided what there will be: with times in the middle the first steps of a
    sampling were hardly learned.
    """

    longest_step = 1.0  # of the gradient

    def __init__(self, net: WordNetwork, states: Tensor, size: int, steps: int = 16) -> None:
        super().__init__()
        self.latent = 3 * size * size
        self.network = Sampler(net, states, size, steps)

    def loss(self, batch: tuple[Tensor, Tensor], source: torch.Generator) -> Tensor:
        """Return the mean squared error of the velocity at random times."""
        images, states = batch
        noise = torch.randn(images.shape, generator=source).contiguous(memory_format=torch.channels_last)
        t = torch.sigmoid(0.5 + 1.2 * torch.randn(len(images), generator=source))
        x = torch.lerp(images, noise, t[:, None, None, None])
        velocity: Tensor = self.network.net(x, t, states)
        return (velocity.float() - (noise - images)).square().mean()
