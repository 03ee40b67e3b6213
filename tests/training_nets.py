"""A training that uses every kind of state that a look at it could disturb."""

import random
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ganatomy
from ganatomy.models.generators.latents import standard_normal

LATENT = 6


def normal(ids: range, seed: int) -> Tensor:
    """The latents of ids."""
    return standard_normal(ids, seed, [LATENT], torch.device("cpu"))


class Drawing(nn.Module):
    """Draws 16 px with batch norm, dropout, both kinds of spectral norm, and a count of its own calls."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(LATENT, 8 * 16)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)
        self.middle = nn.utils.spectral_norm(nn.Conv2d(8, 8, 3, padding=1))
        self.last = nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 3, 3, padding=1))
        self.register_buffer("drawn", torch.zeros(()))
        self.calls, self.seen = 0, []

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(len(z))
        self.drawn += len(z)
        x = self.drop(self.norm(self.start(z).unflatten(1, (8, 4, 4))).relu())
        x = nn.functional.interpolate(self.middle(x).relu(), scale_factor=4)
        return self.last(x).tanh()


@dataclass
class Training:
    """A training of `Drawing` with random latents, targets and augmentation."""

    network: Drawing = field(init=False)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        self.network = Drawing()
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-2)

    def step(self) -> None:
        """Make one step."""
        images = self.network(torch.randn(4, LATENT))
        target = torch.rand_like(images) * random.random()
        if np.random.rand() < 0.5:  # noqa: NPY002
            images = images.flip(-1)
        loss = (images - target).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())

    def everything(self) -> dict[str, Any]:
        """All that the next step depends on, as plain values."""
        state: dict[str, Any] = {name: t.tolist() for name, t in self.network.state_dict().items()}
        state |= {f"grad {name}": p.grad.tolist() for name, p in self.network.named_parameters() if p.grad is not None}
        state |= {f"asks {name}": p.requires_grad for name, p in self.network.named_parameters()}
        state |= {f"mode {name}": part.training for name, part in self.network.named_modules()}
        state |= {f"hooks {name}": hook_count(part) for name, part in self.network.named_modules()}
        state |= {"optimizer": str(self.optimizer.state_dict()), "losses": self.losses}
        state |= {"torch": torch.get_rng_state().tolist(), "numpy": str(np.random.get_state())}  # noqa: NPY002
        return state | {"python": random.getstate(), "calls": self.network.calls, "seen": list(self.network.seen)}


def hook_count(module: nn.Module) -> int:
    """Count the hooks of one module."""
    return sum(len(held) for name, held in vars(module).items() if "hooks" in name and held)


def compare(out: str) -> None:
    """Train with and without a monitor; they may differ nowhere, at no step."""
    watched, plain = (trace(out if watching else None) for watching in (True, False))
    for step, (one, other) in enumerate(zip(watched, plain, strict=True)):
        if different := [name for name in one if one[name] != other[name]]:
            raise SystemExit(f"step {step}: {different}")


def trace(out: str | None) -> list[dict[str, Any]]:
    """Train for a few steps; return all that there is before and after each."""
    training, found = Training(), []
    monitor: Any = found.append
    if out is not None:
        options = {"levels": 4, "top": 2}
        given = {"latents": normal, "images": 8, "segmenter": "colors", "every": 2, "options": options}
        monitor = ganatomy.Monitor(training.network, out=out, strict=True, **given)
    moments = [training.everything()]
    for step in range(5):
        training.step()
        monitor(step)
        moments.append(training.everything())
    return moments


if __name__ == "__main__":
    torch.set_num_threads(1)
    compare(sys.argv[1])
