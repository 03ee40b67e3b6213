"""The schedulers of diffusers as functions: a step of one depends on its number and on the state before it, only.

A scheduler keeps between steps what the next one needs: which step it is, and what a multistep method remembers of
earlier ones. Here a trial run over all steps with tiny tensors says what it keeps; numbers stay as they were then, and
tensors are in the `State`. So a step can be done again, on other rows, or from the middle on, and gives the same bits.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.sampling import State

EXACT = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "PNDMScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverSinglestepScheduler",
    "FlowMatchEulerDiscreteScheduler",
)
"""Schedulers that add no noise, the usual ones first."""
NOISY = ("LCMScheduler", "EulerAncestralDiscreteScheduler", "DDPMScheduler")
"""Schedulers that add noise after a step."""
SCHEDULERS = (*EXACT, *NOISY)
PREDICTS = ("epsilon", "sample", "v_prediction")
FIXED = ("fixed_small", "fixed_small_log", "fixed_large")
"""Variances of DDPM that are not learned."""
SHIFTED = "use_dynamic_shifting"
"""Setting of times that are shifted by as much as ``mu`` says."""
SETTINGS = {
    "thresholding": (None, False),
    "stochastic_sampling": (None, False),
    SHIFTED: (None, False),
    "variance_type": (None, *FIXED),
}
"""Settings of which only these values can be used."""
PLACES = 3, 5
"""Height and width of the tensors of the trial run, which no table of a scheduler has."""
HOLE = object()
"""Stands where a scheduler keeps a tensor of its samples."""


class Schedule:
    """A scheduler of diffusers for a number of steps.

    Noise that it adds between steps is a part of the noise of an image: the first channels are where the steps begin,
    each noisy step takes as many of the others, and these wait in the history of the state.

    Args:
        scheduler: of diffusers.
        count: steps as the pipelines count them; PNDM and Heun call the network more often.
        channels: of x.
        times: what sets the times beside their number, such as their shift ``mu``.

    Attributes:
        steps: calls of the network.
        draws: how often noise is added.
        facts: what the steps depend on.

    Raises:
        BadModel: the scheduler or one of its settings cannot be used.
        BadValue: it cannot make that many steps.
    """

    def __init__(
        self, scheduler: Any, count: int, channels: int, times: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self._config, self._name = scheduler.config, type(scheduler).__name__
        self._is_flow = is_flow(scheduler)
        self._check(times)
        self._scheduler = _with_steps(scheduler, count, times)
        self.times: Tensor = scheduler.timesteps.cpu()
        self.steps = len(self.times)
        self._noisy = [self._adds_noise(number) for number in range(1, self.steps + 1)]
        self.draws = sum(self._noisy)
        self._kept: list[dict[str, Any]] = []
        with foreign_errors(f"a trial of {self._name} with steps={count}"):
            self._rehearse(channels)
        settings = sorted((key, repr(value)) for key, value in self._config.items() if key[:1] != "_")
        self.facts = (self._name, settings, self.times.tolist())

    def start(self, noise: Tensor, prompt: Tensor, dtype: torch.dtype) -> State:
        """Return the state before the first step; noise is [b, channels · (1 + draws), h, w]."""
        first, *rest = noise.chunk(1 + self.draws, 1)
        scale = getattr(self._scheduler, "init_noise_sigma", 1.0)
        return State(first.to(dtype) * scale, prompt, None, tuple(rest))

    def step(self, state: State, number: int, predict: Callable[[Tensor, Tensor], Tensor]) -> State:
        """Return the state after a step, from 1; `predict` gets what the network is to see, and its time."""
        noises, memory = self._parts(state, number)
        scheduler, time, x = copy.copy(self._scheduler), self.times[number - 1], state.x
        tensors = iter(memory)
        vars(scheduler).update({key: _filled(value, tensors) for key, value in self._kept[number - 1].items()})
        predicted = predict(_scaled(scheduler, x, time), time)
        done = scheduler.step(predicted, time, x, **self._chance(noises, number))
        clean = getattr(done, "pred_original_sample", getattr(done, "denoised", None))
        clean = self._clean(x, predicted, number) if clean is None else clean
        after = done.prev_sample
        if self._noisy[number - 1]:
            if self._name in NOISY:
                after = self._mean_and_spread(x, clean, number, noises[0])
            noises = noises[1:]
        kept = self._kept[number] if number < self.steps else {}
        memory = tuple(tensor for key, value in kept.items() for tensor in _taken(value, vars(scheduler)[key]))
        return State(after.to(x.dtype), state.prompt, clean, (*noises, *memory))

    def _check(self, times: Mapping[str, Any]) -> None:
        """Refuse what would not be a function of the state, or is not known to give what the pipeline gives."""
        if self._name not in SCHEDULERS:
            raise BadModel(f"{self._name} cannot be used; give another, such as scheduler={EXACT[0]} or {EXACT[1]}")
        predicts = self._config.get("prediction_type", "epsilon")
        if predicts not in PREDICTS and not self._is_flow:
            raise BadModel(f"{self._name} for {predicts} cannot be used; it must be for {', '.join(PREDICTS)}")
        for key, usable in SETTINGS.items():
            if self._config.get(key) not in usable and not (key == SHIFTED and "mu" in times):
                raise BadModel(f"{self._name} with {key}={self._config[key]} cannot be used; give another scheduler=")

    def _adds_noise(self, number: int) -> bool:
        """Return whether noise is added at the end of a step."""
        if self._name == "DDPMScheduler":
            return int(self.times[number - 1]) > 0
        if self._name == "LCMScheduler":
            return number < self.steps
        by_chance = self._name in NOISY or "sde" in str(self._config.get("algorithm_type"))
        return by_chance and float(self._scheduler.sigmas[number]) > 0

    def _rehearse(self, channels: int) -> None:
        """Run all steps with tensors that say nothing, and keep what the scheduler has in mind before each."""
        scheduler, x = copy.copy(self._scheduler), torch.zeros(1, channels, *PLACES)
        for number, time in enumerate(self.times, 1):
            self._kept.append({key: _emptied(value) for key, value in vars(scheduler).items()})
            _scaled(scheduler, x, time)
            scheduler.step(x.clone(), time, x.clone(), **self._chance((x, x), number))

    def _parts(self, state: State, number: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the noises that are to come, and what the scheduler has in mind."""
        coming = sum(self._noisy[number - 1 :])
        return state.history[:coming], state.history[coming:]

    def _chance(self, noises: tuple[Tensor, ...], number: int) -> dict[str, Any]:
        """Return what keeps a scheduler from drawing from the random numbers of the process."""
        if self._name in NOISY:
            return {"generator": torch.Generator()}  # its noise is thrown away
        if not self.draws:
            return {}
        return {"variance_noise": noises[0] if self._noisy[number - 1] else torch.zeros(())}

    def _clean(self, x: Tensor, predicted: Tensor, number: int) -> Tensor:
        """Return the estimate of x₀, in float32, of a scheduler that does not say it."""
        x, predicted = x.float(), predicted.float()
        if self._is_flow:
            return x - float(self._scheduler.sigmas[number - 1]) * predicted
        signal, noise = self._signal_and_noise(number)
        match self._config.get("prediction_type", "epsilon"):
            case "epsilon":
                return (x - noise * predicted) / signal
            case "sample":
                return predicted
        return signal * x - noise * predicted

    def _signal_and_noise(self, number: int) -> tuple[float, float]:
        """Return √a and √(1 - a) of x before a step."""
        if hasattr(self._scheduler, "sigmas"):
            sigma = float(self._scheduler.sigmas[number - 1])
            alpha = 1 / (sigma**2 + 1)
        else:
            alpha = float(self._scheduler.alphas_cumprod[int(self.times[number - 1])])
        return math.sqrt(alpha), math.sqrt(1 - alpha)

    def _mean_and_spread(self, x: Tensor, clean: Tensor, number: int, noise: Tensor) -> Tensor:
        """Return x after a step, with its noise."""
        if self._name == "EulerAncestralDiscreteScheduler":  # Karras et al. 2022, as in k-diffusion
            now, then = (float(sigma) for sigma in self._scheduler.sigmas[number - 1 : number + 1])
            down, up = then**2 / now, then * math.sqrt(1 - (then / now) ** 2)
            return x.float() + (x.float() - clean) / now * (down - now) + noise * up
        time, alphas = self.times[number - 1], self._scheduler.alphas_cumprod
        if self._name == "LCMScheduler":  # Luo et al. 2023
            alpha = float(alphas[self.times[number]])
            return math.sqrt(alpha) * clean + math.sqrt(1 - alpha) * noise.to(clean.dtype)
        before = int(self._scheduler.previous_timestep(time))  # DDPM, Ho et al. 2020, formula 7
        alpha, earlier = float(alphas[time]), float(alphas[before]) if before >= 0 else 1.0
        beta = 1 - alpha / earlier
        mean = math.sqrt(earlier) * beta * clean + math.sqrt(1 - beta) * (1 - earlier) * x
        spread = beta if self._config["variance_type"] == "fixed_large" else (1 - earlier) / (1 - alpha) * beta
        return mean / (1 - alpha) + math.sqrt(max(spread, 1e-20)) * noise


def is_flow(scheduler: Any) -> bool:
    """Return whether a scheduler is for networks that predict a velocity from noise to image."""
    return type(scheduler).__name__.startswith("FlowMatch") or bool(scheduler.config.get("use_flow_sigmas"))


def _with_steps(scheduler: Any, count: int, times: Mapping[str, Any]) -> Any:
    name = type(scheduler).__name__
    most = int(scheduler.config.get("num_train_timesteps") or 1000)
    if not 1 <= count <= most:
        raise BadValue(f"steps={count}: {name} makes from 1 to {most}")
    try:
        with quiet(library()):
            scheduler.set_timesteps(count, **times)
    except Exception as error:  # whatever theirs raises of so many
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadValue(f"steps={count}: {name} cannot make so many ({reason})") from error
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return scheduler


def _scaled(scheduler: Any, x: Tensor, time: Tensor) -> Tensor:
    """Return what the network is to see; schedulers of flows leave x as it is and have no such method."""
    return scheduler.scale_model_input(x, time) if hasattr(scheduler, "scale_model_input") else x


def _emptied(value: Any) -> Any:
    """Return what a scheduler keeps, with holes in place of tensors of its samples."""
    if isinstance(value, list):
        return [_emptied(each) for each in value]
    return HOLE if isinstance(value, Tensor) and value.shape[-2:] == PLACES else value


def _filled(kept: Any, tensors: Iterator[Tensor]) -> Any:
    """Return what was kept, its holes filled; with copies, since schedulers add in place."""
    if isinstance(kept, list):
        return [_filled(each, tensors) for each in kept]
    return next(tensors).clone() if kept is HOLE else kept


def _taken(kept: Any, found: Any) -> Iterator[Tensor]:
    """Yield the tensors that lie where the holes are."""
    if isinstance(kept, list):
        for value, each in zip(kept, found, strict=True):
            yield from _taken(value, each)
    elif kept is HOLE:
        yield found
