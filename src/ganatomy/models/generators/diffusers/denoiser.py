"""An unconditional diffusion model at one step as a generator: noisy images to its estimate of the clean ones.

Training adds noise: x_t = √a_t x₀ + √(1 - a_t) ε, a_t falling from 1 to about 0 (Ho et al. 2020). The network predicts
from x_t what ε is, or x₀, or v = √a_t ε - √(1 - a_t) x₀ (Salimans and Ho 2022); each gives an estimate of x₀.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.tensor_types import Features, Latents
from ganatomy.models.generators.diffusers.decoder import image_source, side
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.wrapped import device_of, dtype_of

STEPS = 10
"""Calls of the network from noise to the chosen step, unless another number is asked for."""


class Denoiser:
    """A `UNet2DModel` at one step, which estimates x₀ in one call of the network.

    Its latents are images x_t. They are made of N(0, 1) by deterministic sampling (DDIM, Song et al. 2021) in a
    few equal steps from the last one to t, or are given images with fresh noise. They are computed with the latents and
    not when images are drawn: so a layer is a layer of one call of the network, and an edit costs one call. Each is
    computed alone, so that none depends on its batch.

    Args:
        model: the network.
        scheduler: with a_t, what the network predicts, and the range of its estimates.
        size: height and width of the images; else as in the config.
        times: t, from 0, no noise, to one less than the number of steps of training, else half of that; and the calls
            of the network for one x_t.
        images: a set of images to cover with noise, by name; else they are sampled.

    Attributes:
        facts: that images depend on, besides the weights.

    Raises:
        BadFile: no such images.
        BadModel: the network takes classes, draws no images, or was trained in another way.
        BadValue: no such step.
    """

    def __init__(
        self, model: Any, scheduler: Any, size: int | None, times: tuple[int | None, int | None], images: str | None
    ) -> None:
        self._model = model
        config, noise, (step, steps) = model.config, scheduler.config, times
        self._alphas: list[float] = getattr(scheduler, "alphas_cumprod", torch.empty(0)).tolist()
        self._predicts = str(noise.get("prediction_type", "epsilon"))
        _check(config, noise, type(scheduler).__name__, len(self._alphas), self._predicts)
        self._bound = float(noise.get("clip_sample_range") or 1.0) if noise.get("clip_sample") else math.inf
        self._step = len(self._alphas) // 2 if step is None else step
        if not 0 <= self._step < len(self._alphas):
            raise BadValue(f"step={step} is none of the steps of training, 0 to {len(self._alphas) - 1}")
        if steps is not None and (steps < 1 or images):
            raise BadValue(f"steps={steps}: give 1 or more, and none at all where images are given")
        self._times = _between(len(self._alphas) - 1, self._step, steps or STEPS)
        pixels = size or side(config.get("sample_size"))
        if pixels is None:
            raise BadValue("its config does not say how large its images are; give size=64")
        self._shape = (int(config["in_channels"]), pixels, pixels)
        self._image: Callable[[int, int], Features] | None
        self._image, chosen = image_source(images, pixels, self._shape[0]) if images else (None, str(self._times))
        self.facts = (self._alphas, self._predicts, self._bound, self._step, chosen)

    @torch.no_grad()
    def latents(self, ids: range, seed: int) -> Latents:
        """Return images x_t, float32, each computed alone."""
        device = device_of(self._model)
        empty = torch.empty(0, *self._shape, device=device)
        return torch.cat([empty, *(self._noisy(i, seed, device) for i in ids)])

    def _noisy(self, i: int, seed: int, device: torch.device) -> Tensor:
        noise = standard_normal(range(i, i + 1), seed, self._shape, device)
        if self._image is not None:
            return self._mixed(self._image(i, seed).to(device), noise, self._step)
        x = noise
        for now, then in itertools.pairwise(self._times):
            x = self._mixed(*self._estimate(x, now), then)
        return x

    def _mixed(self, clean: Tensor, noise: Tensor, t: int) -> Tensor:
        return math.sqrt(self._alphas[t]) * clean + math.sqrt(1 - self._alphas[t]) * noise

    def _estimate(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Return the estimates of x₀, clipped, and of ε."""
        signal, noise = math.sqrt(self._alphas[t]), math.sqrt(1 - self._alphas[t])
        predicted = self._model(x.to(dtype_of(self._model)), t).sample.float()
        predicted = predicted[:, : x.shape[1]]  # the rest is a variance, where that was learnt, too
        if self._predicts == "epsilon":
            clean, rest = (x - noise * predicted) / signal, predicted
        elif self._predicts == "sample":
            clean, rest = predicted, (x - signal * predicted) / noise
        else:
            clean, rest = signal * x - noise * predicted, signal * predicted + noise * x
        return clean.clamp(-self._bound, self._bound), rest

    def draw(self, x: Tensor) -> Tensor:
        """Return the estimate of x₀ for x_t."""
        return self._estimate(x, self._step)[0]


def _between(first: int, last: int, steps: int) -> list[int]:
    """Return equally distant steps from the first down to the last, `steps` apart if there are so many."""
    steps = min(steps, first - last)
    return [first - round(i * (first - last) / steps) for i in range(steps)] + [last]


def _check(config: Any, noise: Any, scheduler: str, steps: int, predicts: str) -> None:
    """Refuse what is no unconditional diffusion of images with discrete steps."""
    channels, out = config["in_channels"], config["out_channels"]
    if config.get("num_class_embeds") or config.get("class_embed_type"):
        raise BadModel("this UNet2DModel wants a class beside the image; only unconditional ones can be opened")
    if channels not in (1, 3) or out not in (channels, 2 * channels):
        raise BadModel(f"this UNet2DModel maps {channels} channels to {out}; it must estimate images of 3 or 1")
    if not steps or noise.get("thresholding") or predicts not in ("epsilon", "sample", "v_prediction"):
        raise BadModel(
            f"{scheduler} for {predicts} cannot be used; the scheduler must be one of discrete steps, such as DDPM or "
            "DDIM, for epsilon, sample or v_prediction, without dynamic thresholds"
        )
