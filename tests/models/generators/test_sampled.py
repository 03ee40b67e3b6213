"""Layers at the steps of a sampler: read, edited, resumed."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn
from toy_sampler import ToySampler

from ganatomy.interventions import Intervention
from ganatomy.models.generators import Generator
from ganatomy.models.generators.sampling import SampledGenerator, Sampler, State, kept_states
from ganatomy.models.generators.sampling.kept_states import KeptStates


def alike(one: Tensor, other: Tensor) -> bool:
    """Return whether two differ by rounding: where the places of a map lie in memory, kernels of some processors do."""
    return torch.allclose(one, other, rtol=0, atol=1e-6)


@pytest.fixture
def sampler() -> ToySampler:
    return ToySampler()


@pytest.fixture
def generator(sampler: ToySampler) -> SampledGenerator:
    return SampledGenerator(sampler)


def off(generator: SampledGenerator, *layers: str, units: Sequence[int] = (0, 3)) -> list[Intervention]:
    return [Intervention.ablate(layer, generator.layers[layer], units) for layer in layers]


def by_hand(sampler: ToySampler, z: Tensor, edit: Callable[[int, str, Tensor], Tensor] = lambda _s, _n, r: r) -> Tensor:
    """Images of the sampler itself, `edit` applied to the conditional half of `up` and `tokens.mix` at each step."""
    state = sampler.start(z[:, :-1].reshape(-1, *sampler.shape), z[:, -1].long())
    for step in range(1, sampler.steps + 1):

        def hook(name: str, step: int = step) -> Callable[..., Tensor]:
            def changed(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
                *first, last = output.chunk(sampler.halves)
                return torch.cat([*first, edit(step, name, last)])

            return changed

        parts = {name: sampler.network.get_submodule(name) for name in ("up", "tokens.mix")}
        handles = [part.register_forward_hook(hook(name)) for name, part in parts.items()]
        with torch.no_grad():
            state = sampler.step(state, step)
        for handle in handles:
            handle.remove()
    with torch.no_grad():
        return sampler.image(state)


def test_a_sampler_of_the_protocol_becomes_a_generator(sampler: ToySampler, generator: SampledGenerator) -> None:
    assert isinstance(sampler, Sampler)
    assert isinstance(generator, Generator)
    assert list(generator.blocks) == ["enter", "down.conv", "down", "tokens.mix", "tokens", "up"]
    assert generator.blocks["up"] == (6, 8, 12)
    assert generator.blocks["tokens"] == generator.blocks["tokens.mix"] == (6, 4, 6)
    assert list(generator.layers)[5:7] == ["up@1", "enter@2"]
    assert len(generator.layers) == 6 * 6
    assert {layer.partition("@")[2] for layer in generator.listed} == {"1", "3", "4", "6"}
    assert "predicts" in generator.others["leave"]
    assert "[b, 7, 6]" in generator.others["tokens.text"]


def test_one_call_of_the_network_is_surveyed(sampler: ToySampler) -> None:
    SampledGenerator(sampler)
    assert sampler.calls <= 5  # in batches of one and two, and once for the shape of an image


def test_images_and_features_are_those_of_the_sampler(sampler: ToySampler, generator: SampledGenerator) -> None:
    z = generator.latents(range(5), 0)
    assert generator.prompt_of(z) == ["a", "b", "c", "a", "b"]
    read: dict[tuple[int, str], Tensor] = {}

    def keep(step: int, name: str, r: Tensor) -> Tensor:
        read[step, name] = r
        return r

    images = by_hand(sampler, z, keep)
    seen = generator.observe(z, ["up@2", "tokens.mix@5"])
    assert alike(seen.images, images)
    assert alike(seen.features["up@2"], read[2, "up"])
    assert alike(seen.features["tokens.mix@5"].flatten(2).transpose(1, 2), read[5, "tokens.mix"])


def test_edits_at_steps_are_those_of_the_sampler(sampler: ToySampler, generator: SampledGenerator) -> None:
    z = generator.latents(range(4), 3)

    def edit(step: int, name: str, r: Tensor) -> Tensor:
        r = r.clone()
        if (step, name) in ((3, "up"), (4, "up")):
            r[:, [0, 3]] = 0
        if (step, name) == (4, "tokens.mix"):
            r[..., [0, 3]] = 0
        return r

    edited = generator.edited(z, off(generator, "up@3", "up@4", "tokens.mix@4"))
    assert alike(edited, by_hand(sampler, z, edit))
    assert float((edited - by_hand(sampler, z)).abs().max()) > 1e-3


@pytest.mark.parametrize("layer", ["enter@1", "tokens@3", "up@6"])
def test_an_edit_costs_the_steps_from_there_on_and_is_the_same(sampler: ToySampler, layer: str) -> None:
    whole, resumed = SampledGenerator(sampler), SampledGenerator(sampler)
    z = whole.latents(range(6), 1)
    expected = whole.edited(z, off(whole, layer))
    seen = resumed.observe(z, [layer])
    sampler.calls = 0
    edited = resumed.edited(z, off(resumed, layer))
    assert sampler.calls == sampler.steps - int(layer[-1]) + 1
    assert torch.equal(edited, expected)
    assert alike(resumed.render(seen.features[layer], layer, z), seen.images)
    assert alike(resumed.render(seen.features[layer], layer, z, off(resumed, layer)), expected)
    some = torch.tensor([4, 4, 1])
    again = resumed.render(seen.features[layer][some], layer, z[some], off(resumed, layer))
    assert torch.allclose(again, expected[some], atol=1e-5)


def test_what_is_drawn_does_not_depend_on_what_was_drawn_before(sampler: ToySampler) -> None:
    fresh, used = SampledGenerator(sampler), SampledGenerator(sampler)
    z = fresh.latents(range(6), 1)
    used.observe(z, ["up@3"])
    for rows in ([0, 1], [5, 5, 2], [3, 4, 5, 0, 1, 2]):
        assert torch.equal(used.observe(z[rows], ()).images, fresh.observe(z[rows], ()).images)


def test_an_image_that_is_edited_at_many_places_is_sampled_once_up_to_there(sampler: ToySampler) -> None:
    generator = SampledGenerator(sampler)
    z = generator.latents(range(3), 1)
    r = generator.observe(z, ["up@5"]).features["up@5"]
    rows = torch.tensor([0, 0, 1, 1, 2, 2])
    sampler.calls = 0
    images = generator.render(r[rows], "up@5", z[rows])
    assert sampler.calls == 2
    assert torch.allclose(images, generator.observe(z, ()).images[rows], atol=1e-5)


def test_states_are_kept_within_a_bound(sampler: ToySampler) -> None:
    generator = SampledGenerator(sampler)
    z = generator.latents(range(6), 1)
    expected = generator.edited(z, off(generator, "up@6"))
    state = sampler.step(sampler.start(z[:, :-1].reshape(-1, 4, 8, 12), z[:, -1].long()), 1)
    kept = generator._kept = KeptStates(sampler.steps, room=6 * state.nbytes)  # three states of each of two batches
    for first in range(6, 24, 6):
        generator.observe(generator.latents(range(first, first + 6), 1), ())
        assert kept.nbytes <= kept.room
    generator.observe(z, ())
    assert kept.nbytes <= kept.room
    sampler.calls = 0
    assert torch.equal(generator.edited(z, off(generator, "up@6")), expected)
    assert sampler.calls == 2


def test_long_runs_keep_the_states_of_the_last_images_only(
    sampler: ToySampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_states, "IMAGES", 12)
    generator = SampledGenerator(sampler)
    for first in range(0, 30, 6):
        generator.observe(generator.latents(range(first, first + 6), 1), ())
    sampler.calls = 0
    generator.edited(generator.latents(range(18, 24), 1), off(generator, "up@6"))
    assert (sampler.calls, generator._kept.images) == (1, 12)
    generator.edited(generator.latents(range(6, 12), 1), off(generator, "up@6"))
    assert sampler.calls == 1 + sampler.steps


def test_render_has_the_gradient_of_all_remaining_steps(generator: SampledGenerator) -> None:
    z = generator.latents(range(2), 0)
    r = generator.observe(z, ["down@4"]).features["down@4"].double().float().requires_grad_()
    weights = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((weights * generator.render(r, "down@4", z)).sum(), r)
    direction = torch.randn(r.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        near = [generator.render(r + by * direction, "down@4", z).double() for by in (1e-2, -1e-2)]
    expected = float((weights * (near[0] - near[1])).sum()) / 2e-2
    assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-2)


def test_later_edits_are_differentiable(generator: SampledGenerator) -> None:
    z = generator.latents(range(2), 0)
    r = generator.observe(z, ["up@5"]).features["up@5"].requires_grad_()
    images = generator.render(r, "up@5", z, off(generator, "up@6"))
    (gradient,) = torch.autograd.grad(images.sum(), r)
    assert torch.equal(images.detach(), generator.edited(z, off(generator, "up@6")))
    assert bool((gradient != 0).any())


def test_half_says_which_rows_are_read_and_edited(sampler: ToySampler) -> None:
    images, features = {}, {}
    for half in ("cond", "uncond", "both"):
        generator = SampledGenerator(sampler, half=half)
        z = generator.latents(range(3), 0)
        features[half] = generator.observe(z, ["up@2"]).features["up@2"]
        images[half] = generator.edited(z, off(generator, "up@2"))
        r = features[half]
        assert torch.equal(generator.render(r, "up@2", z, off(generator, "up@2")), images[half])
    assert torch.equal(features["cond"], features["both"])
    assert not torch.equal(features["cond"], features["uncond"])
    assert len({float(each.sum()) for each in images.values()}) == 3


def test_without_guidance_there_is_one_row() -> None:
    sampler = ToySampler(guidance=1.0)
    generator = SampledGenerator(sampler)
    z = generator.latents(range(3), 0)
    assert alike(generator.observe(z, ()).images, by_hand(sampler, z))
    with mistake("bad-value", "half=both", "not guided"):
        SampledGenerator(sampler, half="both")


def test_the_estimate_is_shown_after_the_last_listed_step(sampler: ToySampler) -> None:
    generator = SampledGenerator(sampler, steps=[3, 2], show="estimate")
    z = generator.latents(range(3), 0)
    state = sampler.start(z[:, :-1].reshape(-1, 4, 8, 12), z[:, -1].long())
    for step in (1, 2, 3):
        with torch.no_grad():
            state = sampler.step(state, step)
    sampler.calls = 0
    with torch.no_grad():
        assert alike(generator.observe(z, ["up@2"]).images, sampler.estimate(state))
    assert sampler.calls == 3
    assert list(generator.listed) == ["tokens@2", "up@2", "tokens@3", "up@3"]
    with mistake("bad-value", "up@4", "1 to 3"):
        generator.observe(z, ["up@4"])


def test_fingerprints_say_what_images_depend_on(sampler: ToySampler) -> None:
    same = SampledGenerator(sampler).fingerprint
    assert SampledGenerator(sampler, steps=[2]).fingerprint == same
    others = [
        SampledGenerator(sampler, show="estimate", steps=[2]),
        SampledGenerator(sampler, half="both"),
        SampledGenerator(ToySampler(steps=7)),
        SampledGenerator(ToySampler(guidance=4.0)),
        SampledGenerator(ToySampler(prompts=("a", "b", "d"))),
    ]
    assert len({same, *(each.fingerprint for each in others)}) == 6


def test_latents_depend_on_seed_and_number_alone(generator: SampledGenerator) -> None:
    assert torch.equal(generator.latents(range(9), 0)[4:], generator.latents(range(4, 9), 0))
    none = generator.observe(generator.latents(range(0), 0), ["up@1"])
    assert none.images.shape == (0, 3, 16, 24)
    assert none.features["up@1"].shape == (0, 6, 8, 12)


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ({"steps": [7]}, "bad-value", ["step=7", "1 to 6"]),
        ({"steps": [0]}, "bad-value", ["step=0", "1 to 6"]),
        ({"show": "last"}, "unknown-name", ["'last'", "final, estimate"]),
        ({"half": "no"}, "unknown-name", ["'no'", "cond, uncond, both"]),
        ({"blocks": ["upp"]}, "unknown-name", ["did you mean up"]),
        ({"blocks": ["leave"]}, "bad-model", ["leave", "predicts"]),
    ],
)
def test_what_does_not_fit_is_refused(sampler: ToySampler, options: Any, code: str, facts: list[str]) -> None:
    with mistake(code, *facts):
        SampledGenerator(sampler, **options)


def test_a_layer_without_a_step_is_refused(generator: SampledGenerator) -> None:
    with mistake("unknown-name", "up@1 or up@3 or up@4 or up@6"):
        generator.observe(generator.latents(range(1), 0), ["up"])


def test_a_sampler_with_chance_of_its_own_is_refused(sampler: ToySampler) -> None:
    class Ancestral(ToySampler):
        def step(self, state: State, number: int) -> State:
            done = super().step(state, number)
            return State(done.x + 0.1 * torch.randn_like(done.x), done.prompt, done.clean, done.history)

    with mistake("bad-model", "first step of a latent", "every time"):
        SampledGenerator(Ancestral())


def test_a_sampler_that_loses_gradients_is_refused(sampler: ToySampler) -> None:
    class Closed(ToySampler):
        @torch.no_grad()
        def step(self, state: State, number: int) -> State:
            return super().step(state, number)

    generator = SampledGenerator(Closed())
    z = generator.latents(range(1), 0)
    r = generator.observe(z, ["up@2"]).features["up@2"].requires_grad_()
    with mistake("bad-model", "gradient", "up@2"):
        generator.render(r, "up@2", z)
