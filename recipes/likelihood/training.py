"""A plain training loop, resumable at any moment."""

import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from gan.precision import mixed_precision
from gan.training import rounded, save_grid
from torch import Tensor, nn

from ganatomy.core.files import atomic_write

Evaluate = Callable[[Callable[[Tensor], Tensor]], dict[str, Any]]


class Sampled(Protocol):
    """Data to learn from: `sample(count, source)` gives a random batch, as the model's `loss` takes it."""

    def sample(self, count: int, source: torch.Generator) -> Any: ...


class Training:
    """A model, its averaged copy, its optimiser and how far it is; `directory` holds checkpoint, log and samples."""

    def __init__(
        self, model: nn.Module, directory: Path, dataset: Sampled, seed: int, rate: float = 1e-3, half_life: int = 4000
    ) -> None:
        self.directory, self.dataset, self.rate = directory, dataset, rate
        self.half_life = half_life  # of the averaged weights, in images
        self.model = model.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        self.adam = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.99), fused=True)
        self.source = torch.Generator().manual_seed(seed)
        self.counters = {"seen": 0, "seconds": 0.0}
        self.checkpoint = directory / "checkpoint.pt"
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def seen(self) -> int:
        """Images learned from."""
        return int(self.counters["seen"])

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "adam": self.adam.state_dict(),
            "counters": self.counters,
            "source": self.source.get_state(),
        }
        with atomic_write(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def load(self) -> None:
        """Go on from the checkpoint."""
        state = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.adam.load_state_dict(state["adam"])
        self.counters = state["counters"]
        self.source.set_state(state["source"])

    def run(
        self,
        images: int,
        batch: int,
        evaluate: Evaluate,
        report_every: int,
        save_every: float = 120,
        until: int | None = None,
    ) -> None:
        """Learn from so many images in all, or `until` so many for now; save every so many seconds."""
        saved, losses = time.monotonic(), []
        until = images if until is None else until
        while self.seen < until:
            before = self.seen
            losses.append(self.step(images, batch))
            done = self.seen >= until
            if done or time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
            if done or self.seen // report_every > before // report_every:
                self._report({"loss": sum(losses) / len(losses)} | evaluate(self.draw))
                losses = []

    def step(self, images: int, batch: int) -> float:
        """Learn from one batch; the learning rate falls along a half cosine to 0 at `images`."""
        started = time.monotonic()
        rate = self.rate * min(1, (self.seen + batch) / 2000) * (1 + math.cos(math.pi * self.seen / images)) / 2
        self.adam.param_groups[0]["lr"] = rate
        with mixed_precision():
            loss = self.model.loss(self.dataset.sample(batch, self.source), self.source)
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.model.longest_step)
        self.adam.step()
        weight = 1 - 0.5 ** (batch / min(self.half_life, 0.05 * self.seen + 1))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), weight)
        self.counters["seen"] += batch
        self.counters["seconds"] += time.monotonic() - started
        return float(loss.detach())

    def draw(self, z: Tensor) -> Tensor:
        """Draw with the averaged weights."""
        with torch.inference_mode():
            drawn: Tensor = self.averaged.network(z)
        return drawn

    def _report(self, facts: dict[str, Any]) -> None:
        """Write a line of the log and a grid of samples."""
        facts = {"images": self.seen, "minutes": self.counters["seconds"] / 60} | facts
        line = json.dumps(rounded(facts))
        with (self.directory / "log.jsonl").open("a") as log:
            log.write(line + "\n")
        print(line, flush=True)
        z = torch.randn(64, self.model.latent, generator=torch.Generator().manual_seed(1))
        save_grid(self.draw(z), self.directory / "samples" / f"{self.seen:07d}.png", side=96)
