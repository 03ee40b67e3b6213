"""What a module adds to its input, read and edited as a layer: of generators, and of pipelines of both kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_transformers import opened_transformer
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.interventions import Intervention
from ganatomy.models.generators.basis import in_basis
from ganatomy.models.generators.directions import rotation
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.sampling import SampledGenerator

CPU = torch.device("cpu")
SD, SD3, FLUX = "StableDiffusionPipeline", "StableDiffusion3Pipeline", "FluxPipeline"
FLUX2, DIT = "Flux2KleinPipeline", "DiTPipeline"


class Residual(nn.Module):
    """Adds to its map, which it is given by name; beside it, something else that is a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, *, other: int, x: Tensor) -> tuple[Tensor, int]:
        return x + self.conv(x.tanh()), other


class InPlace(nn.Module):
    """Writes to its input."""

    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x * 2


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 4, 4)
        self.first, self.second = Residual(), Residual()
        self.written, self.pool = InPlace(), nn.AvgPool2d(2)
        self.rgb = nn.Conv2d(6, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.up(z)
        x, _ = self.first(other=1, x=x)
        x, _ = self.second(other=2, x=x)
        x = self.pool(self.written(x))
        return torch.tanh(self.rgb(nn.functional.interpolate(x, scale_factor=2)))


def generator(layers: tuple[str, ...] = ()) -> HookedGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Network().eval()
    return HookedGenerator(network, lambda ids, seed: standard_normal(ids, seed, (4, 2, 2), CPU), (-1.0, 1.0), layers)


def by_hand(network: nn.Module, name: str, run: Callable[[], object], pick: Callable[[Any], Tensor]) -> list[Tensor]:
    """Return what a module adds in each of its calls: its output less its input, by a hook of its own."""
    found = []

    def called(_module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        found.append(pick(output) - pick(named.get("hidden_states", named.get("x", *inputs[:1]))))

    handle = network.get_submodule(name).register_forward_hook(called, with_kwargs=True)
    try:
        run()
    finally:
        handle.remove()
    return found


def test_an_update_is_what_a_module_adds() -> None:
    own = generator()
    z = own.latents(range(3), 0)
    seen = own.observe(z, ["first", "second~update", "second"])
    assert own.layers["second~update"] == own.layers["second"]
    assert torch.equal(seen.features["second~update"], seen.features["second"] - seen.features["first"])
    assert "second~update" not in list(own.layers), "it is there by name alone"
    assert list(generator(("second", "second~update", "up")).layers) == ["up", "second~update", "second"]


def test_an_edited_update_is_added_to_the_input() -> None:
    own = generator()
    z, shape = own.latents(range(3), 0), own.layers["second"]
    edit = Intervention.insert("second~update", shape, [1, 4], torch.full((6,), 0.5))
    before = own.observe(z, ["first", "second~update"])
    seen = own.observe(z, ["second~update", "second", "first"], [edit])
    assert torch.equal(seen.features["second~update"], edit(before.features["second~update"]))
    expected = before.features["first"] + seen.features["second~update"]
    assert torch.allclose(seen.features["second"], expected, atol=1e-6)
    assert torch.equal(seen.features["second"][:, 0], own.observe(z, ["second"]).features["second"][:, 0])
    whole = own.observe(z, (), [Intervention.insert("second", shape, range(6), torch.zeros(6))]).images
    assert not torch.allclose(seen.images, whole)
    changed = own.render(expected, "second", z)
    assert torch.allclose(seen.images, changed, atol=1e-6)
    assert torch.allclose(own.render(seen.features["second~update"], "second~update", z), changed, atol=1e-6)


def test_an_update_and_its_layer_are_edited_in_that_order() -> None:
    own = generator()
    z, shape = own.latents(range(2), 0), own.layers["second"]
    off = Intervention.ablate("second~update", shape, range(6))
    half = Intervention.insert("second", shape, [2], torch.full((6,), 3.0))
    seen = own.observe(z, ["first", "second"], [half, off]).features
    assert torch.allclose(seen["second"][:, 3:], seen["first"][:, 3:], atol=1e-6)
    assert bool((seen["second"][:, 2] == 3).all())
    r = own.observe(z, ["second~update"]).features["second~update"]
    assert torch.equal(own.render(r, "second~update", z, [half]), own.edited(z, [half]))
    with mistake("bad-value", "second~update", "begin at second~update"):
        own.render(seen["second"], "second", z, [off])


def test_an_update_has_directions() -> None:
    own, layer = generator(), "second~update"
    turned = in_basis(own, layer, rotation("", subject=own, layer=layer, seed=1))
    z = own.latents(range(2), 0)
    assert list(turned.layers).index(layer) + 1 == list(turned.layers).index("second")
    seen = turned.observe(z, [layer])
    plain = own.observe(z, [layer]).features[layer]
    assert torch.allclose(seen.features[layer].norm(dim=1), plain.norm(dim=1), atol=1e-5)
    assert not torch.allclose(seen.features[layer], plain, atol=1e-2)
    off = Intervention.ablate(layer, turned.layers[layer], range(6))
    whole = Intervention.ablate(layer, own.layers[layer], range(6))
    assert torch.allclose(turned.edited(z, [off]), own.edited(z, [whole]), atol=1e-5)


def test_gradients_pass_to_an_update() -> None:
    own = generator()
    z = own.latents(range(1), 0)
    r = own.observe(z, ["first~update"]).features["first~update"].requires_grad_()
    (gradient,) = torch.autograd.grad(own.render(r, "first~update", z).square().sum(), r)
    assert bool(gradient.abs().sum((0, 2, 3)).bool().all())


@pytest.mark.parametrize(
    ("layer", "code", "facts"),
    [
        ("up~update", "bad-model", ["up", "no update"]),
        ("pool~update", "bad-model", ["pool", "no update"]),
        ("written~update", "bad-model", ["written", "no update"]),
        ("nothing~update", "unknown-name", ["nothing~update"]),
        ("~update", "unknown-name", ["~update"]),
        ("first~update~update", "bad-model", ["first~update", "no update"]),
    ],
)
def test_what_has_no_update_is_refused(layer: str, code: str, facts: list[str]) -> None:
    own = generator()
    assert layer not in own.layers
    with mistake(code, *facts):
        own.observe(own.latents(range(1), 0), [layer])
    with mistake(code, *facts):
        generator((layer,))


def of_kind(kind: str, saved_pipeline: Any, saved_transformer: Any, **options: object) -> SampledGenerator:
    folder = (saved_pipeline if kind == SD else saved_transformer)(kind)
    return opened_transformer(folder / "model", **options)


def tokens(count: int) -> Callable[[Any], Tensor]:
    """Return what picks the tokens of an image from a tensor, or from the output of a block that returns both."""

    def pick(value: Any) -> Tensor:
        found = [each for each in (value if isinstance(value, tuple) else [value]) if each is not None]
        whole = next((each for each in found if each.shape[1] == count), found[0])
        return whole[:, -count:]

    return pick


CASES = [
    (SD, "mid_block.attentions.0"),
    (SD, "down_blocks.1.attentions.0"),  # whose output the block returns
    (SD3, "transformer_blocks.0"),
    (SD3, "transformer_blocks.1"),
    (FLUX, "transformer_blocks.1"),
    (FLUX, "single_transformer_blocks.1"),
    (FLUX2, "single_transformer_blocks.1"),
    (DIT, "transformer_blocks.0"),
]


@pytest.mark.parametrize(("kind", "block"), CASES)
def test_updates_of_pipelines(
    saved_pipeline: Callable[[str], Path], saved_transformer: Callable[[str], Path], kind: str, block: str
) -> None:
    own = of_kind(kind, saved_pipeline, saved_transformer)
    z, layer = own.latents(range(2), 0), f"{block}~update@2"
    units, height, width = own.layers[layer]
    pick = tokens(height * width) if kind != SD else lambda value: value[0] if isinstance(value, tuple) else value
    calls = by_hand(own.network, block, lambda: own.observe(z, ()), pick)
    right = calls[1].chunk(own.sampler.halves)[-1]
    right = right if kind == SD else right.transpose(1, 2).reshape(2, units, height, width)
    assert torch.allclose(own.observe(z, [layer]).features[layer], right, atol=1e-5)
    edit = Intervention.insert(layer, own.layers[layer], [1], torch.full((units,), 2.0))
    output = f"{block if block in own.blocks else block.partition('.attentions')[0]}@2"
    seen, plain = own.observe(z, [layer, output], [edit]), own.observe(z, [layer, output])
    moved = seen.features[output] - plain.features[output]
    assert torch.allclose(moved[:, 1], 2 - plain.features[layer][:, 1], atol=1e-5)
    assert not bool(moved[:, [0, 2]].any())
    assert not torch.allclose(seen.images, plain.images, atol=1e-6)
    assert torch.allclose(own.render(seen.features[layer], layer, z), seen.images, atol=1e-5)


def test_halves_of_updates(saved_pipeline: Callable[[str], Path], saved_transformer: Callable[[str], Path]) -> None:
    layer = "transformer_blocks.0~update@1"
    found = [of_kind(SD3, saved_pipeline, saved_transformer, half=half) for half in ("cond", "uncond")]
    seen = [each.observe(each.latents(range(1), 0), [layer]).features[layer] for each in found]
    assert not torch.equal(*seen)


def test_updates_are_offered_where_they_are_asked_for(
    saved_pipeline: Callable[[str], Path], saved_transformer: Callable[[str], Path]
) -> None:
    block = "transformer_blocks.0"
    own = of_kind(DIT, saved_pipeline, saved_transformer, layers=f"{block},{block}~update")
    assert list(own.blocks) == [f"{block}~update", block]
    assert list(own.listed)[:2] == [f"{block}~update@1", f"{block}@1"]
    every = of_kind(DIT, saved_pipeline, saved_transformer)
    assert not [name for name in (*every.layers, *every.blocks) if "update" in name]
    for wrong, code in (
        ("pos_embed~update@1", "bad-model"),
        (f"{block}~update@9", "bad-value"),
        ("x~update@1", "unknown-name"),
    ):
        with mistake(code, wrong.partition("@")[0].removesuffix("~update")):
            every.observe(every.latents(range(1), 0), [wrong])
