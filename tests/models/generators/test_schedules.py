"""Schedulers of diffusers, step by step from any state, against the same schedulers in a loop of their own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor

from ganatomy.models.generators.diffusers.checkpoint import build, library, quiet
from ganatomy.models.generators.diffusers.schedule import EXACT, NOISY, Schedule
from ganatomy.models.generators.sampling import State

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
SHAPE = 2, 6, 4
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in (*EXACT, *NOISY)),
    *((name, STABLE) for name in EXACT if not name.startswith("Flow")),
    *((name, {"prediction_type": "v_prediction"}) for name in (*EXACT, *NOISY) if not name.startswith("Flow")),
    *(
        (f"{name}Scheduler", {"prediction_type": "sample"})
        for name in ("DDIM", "EulerDiscrete", "DPMSolverMultistep", "UniPCMultistep", "LCM", "DDPM")
    ),
    *((f"{name}DiscreteScheduler", {"timestep_spacing": "trailing"}) for name in ("Euler", "EulerAncestral", "Heun")),
    (
        "DDIMScheduler",
        {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("PNDMScheduler", {**STABLE, "skip_prk_steps": True}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3, "use_karras_sigmas": True}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}),
    ("DDPMScheduler", {"variance_type": "fixed_large", "timestep_spacing": "trailing"}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
]


def made(name: str, **config: object) -> Any:
    return build({"_class_name": name, **config}, "SchedulerMixin", "a test")


def network(x: Tensor, time: Tensor) -> Tensor:
    """Stand for a network: another function of x at each time, of images that do not see each other."""
    return torch.sin(3 * x + time / 300) * 0.7 + 0.2 * x.mean((1, 2, 3), keepdim=True)


def in_a_loop(scheduler: Any, steps: int, noise: Tensor, seeds: list[int]) -> tuple[Tensor, list[Tensor]]:
    """Return what the scheduler's own loop makes, and the noise that it added."""
    with quiet(library()):
        scheduler.set_timesteps(steps)
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]
    copies = [torch.Generator().manual_seed(seed) for seed in seeds]
    chance = {} if type(scheduler).__name__ in EXACT and "sde" not in str(scheduler.config) else {"generator": sources}
    added, x = [], noise * getattr(scheduler, "init_noise_sigma", 1.0)
    for time in scheduler.timesteps:
        before = [source.get_state() for source in sources]
        seen = scheduler.scale_model_input(x, time) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(seen, time), time, x, **chance).prev_sample
        if any(not torch.equal(was, source.get_state()) for was, source in zip(before, sources, strict=True)):
            added.append(torch.stack([torch.randn(SHAPE, generator=each) for each in copies]))
    return x, added


def stepwise(schedule: Schedule, noise: Tensor) -> list[State]:
    states = [schedule.start(noise, torch.zeros(len(noise), dtype=torch.long), torch.float32)]
    for number in range(1, schedule.steps + 1):
        states.append(schedule.step(states[-1], number, network))
    return states


def example(name: str, config: dict[str, Any], steps: int) -> tuple[Schedule, Tensor, Tensor]:
    """Return a schedule, noise with what it adds, and what the scheduler's own loop makes of it."""
    noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(5))
    expected, added = in_a_loop(made(name, **config), steps, noise, [11, 12])
    schedule = Schedule(made(name, **config), steps, SHAPE[0])
    return schedule, torch.cat([noise, *added[: schedule.draws]], 1), expected


@pytest.mark.parametrize(("name", "config"), CASES, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_steps_are_those_of_the_scheduler(name: str, config: dict[str, Any], steps: int) -> None:
    if name == "PNDMScheduler" and steps < 4 and not config.get("skip_prk_steps"):
        pytest.skip("Runge-Kutta steps need four")
    schedule, noise, expected = example(name, config, steps)
    states = stepwise(schedule, noise)
    assert schedule.steps >= steps
    # rounding, which differs between processors, grows where a step folds
    assert torch.allclose(states[-1].x, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
    clean = states[1].clean
    assert clean is not None
    assert clean.shape == expected.shape
    assert states[0].x.shape == expected.shape


@pytest.mark.parametrize(("name", "config"), CASES, ids=lambda value: str(value)[:60])
def test_steps_can_be_resumed_from_any_state_on_any_rows(name: str, config: dict[str, Any]) -> None:
    schedule, noise, _ = example(name, config, 6)
    states = stepwise(schedule, noise)
    for first in reversed(range(schedule.steps)):
        state = states[first]
        kept = [state.x.clone(), *(each.clone() for each in state.history)]
        joined = State.joined([state[1:], state[:1]])
        for number in range(first + 1, schedule.steps + 1):
            joined, state = (schedule.step(each, number, network) for each in (joined, state))
        assert torch.equal(state.x, states[-1].x)
        assert torch.equal(joined.x.flip(0), states[-1].x)
        assert all(map(torch.equal, kept, [states[first].x, *states[first].history])), (
            "a step changed what it was given"
        )


@pytest.mark.parametrize("name", ["DDIMScheduler", "PNDMScheduler", "UniPCMultistepScheduler", "LCMScheduler"])
def test_steps_are_differentiable_in_the_noise(name: str) -> None:
    schedule, noise, _ = example(name, {}, 5)
    last = stepwise(schedule, noise.requires_grad_())[-1]
    (gradient,) = torch.autograd.grad(last.x.sum(), noise)
    assert bool(gradient.abs().flatten(2).sum(2).bool().all()), "some of the noise changes nothing"


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_no_random_number_of_the_process_is_used(name: str) -> None:
    schedule, noise, _ = example(name, {}, 4)
    before = torch.random.get_rng_state()
    stepwise(schedule, noise)
    assert torch.equal(before, torch.random.get_rng_state())


def estimate_of(name: str, config: dict[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a network that knows the clean image: zeros."""
    scheduler = made(name, **config)
    flow = name.startswith("Flow")

    def predict(x: Tensor, time: Tensor) -> Tensor:
        if flow:
            return x / (time / 1000)
        return x / float(1 - scheduler.alphas_cumprod[int(time)]) ** 0.5

    return predict


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_a_network_that_knows_the_clean_image_is_believed(name: str) -> None:
    schedule, noise, _ = example(name, {}, 8)
    state = schedule.start(noise, torch.zeros(2, dtype=torch.long), torch.float32)
    for number in range(1, schedule.steps + 1):
        state = schedule.step(state, number, estimate_of(name, {}))
        assert state.clean is not None
        assert float(state.clean.abs().max()) < 0.01  # of noise that is 157 times as strong


@pytest.mark.parametrize(
    ("name", "config", "steps", "code", "facts"),
    [
        ("EDMEulerScheduler", {}, 4, "bad-model", ["EDMEulerScheduler", "scheduler=DDIMScheduler"]),
        ("DDIMScheduler", {"prediction_type": "flow"}, 4, "bad-model", ["flow", "v_prediction"]),
        ("DDIMScheduler", {"thresholding": True}, 4, "bad-model", ["thresholding=True"]),
        ("DDPMScheduler", {"variance_type": "learned_range"}, 4, "bad-model", ["variance_type=learned_range"]),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, 4, "bad-model", ["use_dynamic_shifting"]),
        ("DDIMScheduler", {}, 1001, "bad-value", ["steps=1001", 1000]),
        ("DDIMScheduler", {}, 0, "bad-value", ["steps=0", 1]),
        ("LCMScheduler", {}, 60, "bad-value", ["steps=60", "LCMScheduler"]),
        ("PNDMScheduler", {}, 2, "bad-value", ["PNDMScheduler", "steps=2"]),
    ],
)
def test_what_cannot_be_stepped_is_refused(
    name: str, config: dict[str, Any], steps: int, code: str, facts: list[object]
) -> None:
    with mistake(code, *facts):
        Schedule(made(name, **config), steps, 2)
