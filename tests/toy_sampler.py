"""A sampler with all that makes layers of steps hard: guidance, tokens, tuples, keywords alone, a multistep rule."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganatomy.models.generators.sampling import State


class Tokens(nn.Module):
    """Places mixed as tokens [b, places, units], by a submodule that returns a tuple."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.mix = nn.Linear(units, units)
        self.text = nn.Linear(5, units)

    def forward(self, *, hidden: Tensor, words: Tensor) -> tuple[Tensor]:
        return (hidden + torch.tanh(self.mix(hidden)) + self.text(words).mean(1, keepdim=True),)


class Denoiser(nn.Module):
    """A network of two scales, called with keywords alone; its first block returns its output among its skips, too."""

    def __init__(self, units: int = 6) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4, units, 3, padding=1)
        self.down = Down(units)
        self.tokens = Tokens(units)
        self.up = nn.Conv2d(units, units, 3, padding=1)
        self.leave = nn.Conv2d(units, 4, 3, padding=1)

    def forward(self, *, sample: Tensor, timestep: Tensor, words: Tensor) -> Tensor:
        h = torch.relu(self.enter(sample)) + timestep[:, None, None, None]
        low, (_, skip) = self.down(h)
        tokens = self.tokens(hidden=low.flatten(2).transpose(1, 2), words=words)[0]
        low = tokens.transpose(1, 2).unflatten(2, low.shape[2:])
        up = torch.relu(self.up(nn.functional.interpolate(low, scale_factor=2.0) + skip))
        out: Tensor = self.leave(up)
        return out


class Down(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(units, units, 3, stride=2, padding=1)

    def forward(self, h: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        low = torch.tanh(self.conv(h))
        return low, (low, h)


class ToySampler:
    """Euler steps of second order under guidance, from noise [4, 8, 12] to images of twice that size."""

    def __init__(self, steps: int = 6, guidance: float = 3.0, prompts: Sequence[str] = ("a", "b", "c")) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network: nn.Module = Denoiser().eval()
            self.words = torch.randn(len(prompts) + 1, 7, 5)
            self.decoder = nn.Conv2d(4, 3, 1).requires_grad_(False)
        self.steps, self.guidance, self.prompts = steps, guidance, prompts
        self.shape = (4, 8, 12)
        self.halves = 2 if guidance != 1 else 1
        self.facts: tuple[object, ...] = (guidance,)
        self.calls = 0

    def start(self, noise: Tensor, prompt: Tensor) -> State:
        return State(noise, prompt, None, (torch.zeros_like(noise),))

    def step(self, state: State, number: int) -> State:
        self.calls += 1
        x, words = state.x, self.words[state.prompt + 1]
        if self.halves == 2:
            x, words = torch.cat([x, x]), torch.cat([self.words[:1].expand_as(words), words])
        time = torch.full((len(x),), 1 - (number - 1) / self.steps)
        v = self.network(sample=x, timestep=time, words=words)
        if self.halves == 2:
            without, cond = v.chunk(2)
            v = without + self.guidance * (cond - without)
        (last,) = state.history
        rule = v if number == 1 else 1.5 * v - 0.5 * last
        clean = state.x - time[: len(v), None, None, None] * v
        return State(state.x - rule / self.steps, state.prompt, clean, (v,))

    def estimate(self, state: State) -> Tensor:
        assert state.clean is not None
        return self._decoded(state.clean)

    def image(self, state: State) -> Tensor:
        return self._decoded(state.x)

    def _decoded(self, x: Tensor) -> Tensor:
        return torch.tanh(self.decoder(nn.functional.interpolate(x, scale_factor=2.0)))
