"""Progressive growing (Karras et al. 2018), resumable at any moment."""

import copy
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan.images import RenderedImages
from gan.networks import Discriminator, GrowingGenerator
from gan.precision import mixed_precision
from ganatomy.core.files import atomic_write

Draw = Callable[[Tensor], Tensor]
Evaluate = Callable[[Draw], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long each phase is, in images, and how training goes."""

    sizes: tuple[int, ...] = (128, 128, 128, 128, 64, 32)  # latent, then units at 4 px, 8 px, …
    images: int = 500_000  # in all; what the earlier phases leave is for the last resolution
    stable: tuple[int, ...] = (8_000, 8_000, 16_000, 40_000)  # at 4, 8, 16, 32 px, fading in included
    fade: int = 6_000  # images over which a new resolution is blended in
    decay: int = 60_000  # images over which the learning rate falls to 0, at the end
    batch: tuple[int, ...] = (32, 32, 32, 16, 16)  # at each resolution
    rate: float = 2e-3
    penalty: float = 1.0  # gamma of R1
    penalty_every: int = 8
    half_life: int = 5_000  # of the averaged weights, in images
    first: int = 30_000  # images rendered before the first step
    fresh: float = 0.5  # images rendered for each image seen …
    max_rendered: int = 150_000  # … up to so many
    report_every: int = 5_000  # images between log lines and sample grids
    evaluate_every: int = 25_000  # images between Fréchet distances and label shares
    keep: tuple[int, ...] = ()  # after how many images to keep the generator as it is then
    pixelnorm: bool = True  # in the generator
    spread: bool = True  # whether the discriminator sees how much the images of a batch differ

    def stage(self, seen: int) -> tuple[int, float]:
        """Return the resolution's index and how far it is blended in, after so many images."""
        start = 0
        for stage, length in enumerate(self.stable):
            if seen < start + length or stage == len(self.sizes) - 2:
                break
            start += length
        else:
            stage = len(self.sizes) - 2
        blend = 1.0 if stage == 0 else min(1.0, (seen - start) / self.fade)
        return stage, blend

    def rendered(self, seen: int) -> int:
        """Return how many images to have after so many images, in steps of 256: many at once are quicker."""
        return min(self.first + int(seen * self.fresh) // 256 * 256, self.max_rendered)

    def learning_rate(self, seen: int) -> float:
        """Return the learning rate after so many images."""
        return self.rate * min(1.0, max(0.0, (self.images - seen) / self.decay))


class Training:
    """The networks, their optimisers and how far they are; `directory` holds checkpoint, log and sample grids."""

    def __init__(self, schedule: Schedule, directory: Path, dataset: RenderedImages, seed: int) -> None:
        torch.manual_seed(seed)
        self.schedule, self.directory, self.dataset = schedule, directory, dataset
        generator = GrowingGenerator(schedule.sizes, pixelnorm=schedule.pixelnorm)
        discriminator = Discriminator(schedule.sizes, spread=schedule.spread)
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), schedule.rate, betas=(0.0, 0.99), eps=1e-8, fused=True)
            for network in (self.generator, self.discriminator)
        ]
        self.counters = {"seen": 0, "steps": 0, "seconds": 0.0, "cooled_from": 0}
        self.source = torch.Generator().manual_seed(seed)
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        return self.directory / "checkpoint.pt"

    @property
    def seen(self) -> int:
        """Images that the discriminator has seen."""
        return int(self.counters["seen"])

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "counters": self.counters,
            "source": self.source.get_state(),
        }
        with atomic_write(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def keep(self) -> None:
        """Write the averaged generator as it is now, in half precision."""
        state = {name: weight.half() for name, weight in self.averaged.published().items()}
        with atomic_write(self.directory / "kept" / f"{self.seen:07d}.safetensors") as temporary:
            safetensors.torch.save_file(state, temporary)

    def save_compact(self, path: Path) -> None:
        """Write a checkpoint small enough to keep: half precision, and only what cannot be made again.

        `load` goes on from it, though not to the same bits. The averaged weights start again from the present ones;
        first moments are not needed, since their decay is 0.
        """
        moments = [
            {
                key: {"step": own["step"], "exp_avg_sq": own["exp_avg_sq"].bfloat16()}
                for key, own in o.state_dict()["state"].items()
            }
            for o in self.optimizers
        ]
        state = {
            "generator": {name: weight.half() for name, weight in self.generator.state_dict().items()},
            "discriminator": {name: weight.half() for name, weight in self.discriminator.state_dict().items()},
            "moments": moments,
            "counters": self.counters,
            "source": self.source.get_state(),
        }
        with atomic_write(path) as temporary:
            torch.save(state, temporary)

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, whole or compact."""
        state = torch.load(checkpoint, weights_only=True)
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.averaged.load_state_dict(state.get("averaged", state["generator"]))
        for i, optimizer in enumerate(self.optimizers):
            if "moments" in state:
                parameters = optimizer.param_groups[0]["params"]
                for key, own in state["moments"][i].items():
                    own["exp_avg"] = torch.zeros_like(parameters[key])
                optimizer.load_state_dict(optimizer.state_dict() | {"state": state["moments"][i]})
            else:
                optimizer.load_state_dict(state["optimizers"][i])
        self.counters = state["counters"]
        self.source.set_state(state["source"])

    def cool_down(self, images: int) -> None:
        """Come to a good end: let the learning rate fall to 0 over so many images from where this was first asked."""
        start = self.counters["cooled_from"] = int(self.counters["cooled_from"]) or self.seen
        self.schedule = dataclasses.replace(self.schedule, images=start + images, decay=images)

    def run(self, evaluate: Evaluate, save_every: float = 180) -> None:
        """Train to the end of the schedule; save every so many seconds."""
        schedule = self.schedule
        saved = time.monotonic()
        since = saved, self.seen
        losses: list[tuple[float, float]] = []
        while self.seen < schedule.images:
            before = self.seen
            self.dataset.grow(schedule.rendered(before))
            losses.append(self.step())
            done = self.seen >= schedule.images
            if any(before < images <= self.seen for images in schedule.keep):
                self.keep()
            if done or time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
            if done or self.seen // schedule.report_every > before // schedule.report_every:
                facts = {
                    "discriminator": sum(loss for loss, _ in losses) / len(losses),
                    "generator": sum(drawn for _, drawn in losses) / len(losses),
                    "images_per_s": (self.seen - since[1]) / (time.monotonic() - since[0]),
                }
                at_full = schedule.stage(self.seen) == (len(schedule.sizes) - 2, 1.0)
                if done or (at_full and self.seen // schedule.evaluate_every > before // schedule.evaluate_every):
                    facts |= evaluate(self.draw)
                self._report(facts)
                losses, since = [], (time.monotonic(), self.seen)

    def step(self) -> tuple[float, float]:
        """Learn from one batch; return the losses of discriminator and generator."""
        started = time.monotonic()
        stage, blend = self.schedule.stage(self.seen)
        batch = self.schedule.batch[stage]
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = self.schedule.learning_rate(self.seen)
        real = at_stage(self.dataset.sample(batch, self.source), stage, blend)
        z = torch.randn(batch, self.schedule.sizes[0], generator=self.source)
        with mixed_precision():
            fake = self.generator(z, stage, blend)
        discriminated = self._learn_to_discriminate(real, fake.detach(), stage, blend)
        drawn = self._learn_to_draw(fake, stage, blend)
        self._average(batch)
        self.counters["seen"] += batch
        self.counters["steps"] += 1
        self.counters["seconds"] += time.monotonic() - started
        return discriminated, drawn

    def _learn_to_discriminate(self, real: Tensor, fake: Tensor, stage: int, blend: float) -> float:
        self.discriminator.requires_grad_(True)
        every = self.schedule.penalty_every
        penalised = self.counters["steps"] % every == 0
        real.requires_grad_(penalised)
        with mixed_precision():
            verdict = self.discriminator(real, stage, blend)
            loss = F.softplus(-verdict).mean() + F.softplus(self.discriminator(fake, stage, blend)).mean()
        total = loss
        if penalised:
            (gradient,) = torch.autograd.grad(verdict.sum(), real, create_graph=True)
            total = loss + gradient.square().sum((1, 2, 3)).mean() * (self.schedule.penalty / 2 * every)
        self._update(1, total)
        return float(loss.detach())

    def _learn_to_draw(self, fake: Tensor, stage: int, blend: float) -> float:
        self.discriminator.requires_grad_(False)
        with mixed_precision():
            loss = F.softplus(-self.discriminator(fake, stage, blend)).mean()
        self._update(0, loss)
        return float(loss.detach())

    def _update(self, which: int, loss: Tensor) -> None:
        self.optimizers[which].zero_grad()
        loss.backward()
        self.optimizers[which].step()

    @torch.no_grad()
    def _average(self, batch: int) -> None:
        """Move the averaged weights towards the present ones; young averages forget faster."""
        half_life = min(self.schedule.half_life, 0.05 * self.seen + 1)
        weight = 1 - 0.5 ** (batch / half_life)
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.generator.parameters()), weight)

    def draw(self, z: Tensor) -> Tensor:
        """Draw with the averaged weights, as far as they are grown."""
        with torch.inference_mode():
            images: Tensor = self.averaged(z, *self.schedule.stage(self.seen))
        return images

    def _report(self, facts: Mapping[str, Any]) -> None:
        """Write a line of the log and a sample grid."""
        stage, blend = self.schedule.stage(self.seen)
        where = {"images": self.seen, "side": 4 << stage, "blend": blend, "rendered": len(self.dataset)}
        line = json.dumps(rounded(where | {"minutes": self.counters["seconds"] / 60} | dict(facts)))
        with (self.directory / "log.jsonl").open("a") as log:
            log.write(line + "\n")
        print(line, flush=True)
        z = torch.randn(64, self.schedule.sizes[0], generator=torch.Generator().manual_seed(1))
        save_grid(self.draw(z), self.directory / "samples" / f"{self.seen:07d}.png")


def rounded(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with four digits after the point."""
    short: dict[str, Any] = json.loads(json.dumps(facts), parse_float=lambda text: round(float(text), 4))
    return short


def at_stage(images: Tensor, stage: int, blend: float) -> Tensor:
    """Return images as the stage sees them: averaged down, and blurred as its own output still is."""
    side = 4 << stage
    if images.shape[-1] != side:
        images = F.avg_pool2d(images, images.shape[-1] // side)
    if blend < 1:
        images = torch.lerp(F.interpolate(F.avg_pool2d(images, 2), scale_factor=2), images, blend)
    return images


def save_grid(images: Tensor, path: Path, columns: int = 8, side: int = 128) -> None:
    """Write images side by side, each at a whole multiple of its pixels."""
    images = images.repeat_interleave(max(1, side // images.shape[-1]), -1)
    images = images.repeat_interleave(images.shape[-1] // images.shape[-2], -2)
    bytes_ = ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()
    rows = torch.cat([torch.cat(list(row), -1) for row in bytes_.split(columns)], -2)
    with atomic_write(path) as temporary:
        Image.fromarray(rows.permute(1, 2, 0).numpy()).save(temporary, "png")
