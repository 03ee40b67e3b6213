"""Layers of pipelines of transformers hold the image's tokens on their grid, whatever stands beside these."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers_transformers import TRANSFORMERS, opened_transformer
from mistakes import mistake
from torch import Tensor

from ganatomy.interventions import Intervention
from ganatomy.models.generators.sampling import SampledGenerator

SD3, FLUX, FLUX2, DIT = "StableDiffusion3Pipeline", "FluxPipeline", "Flux2KleinPipeline", "DiTPipeline"
ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"

BLOCKS = {
    SD3: ["transformer_blocks.0", "transformer_blocks.1", "transformer_blocks.1.attn", "pos_embed", "proj_out"],
    FLUX: [
        "x_embedder",
        "transformer_blocks.0",
        "transformer_blocks.1.attn",
        "transformer_blocks.1.ff",
        "single_transformer_blocks.0",
        "single_transformer_blocks.1.attn",
        "single_transformer_blocks.1.proj_mlp",
    ],
    FLUX2: ["x_embedder", "transformer_blocks.0", "transformer_blocks.1.attn", "single_transformer_blocks.0"],
    ALPHA: ["pos_embed", "transformer_blocks.0", "transformer_blocks.1.attn2", "transformer_blocks.1.ff"],
    SIGMA: ["pos_embed", "transformer_blocks.0", "transformer_blocks.1.attn2", "transformer_blocks.1.ff"],
    DIT: ["pos_embed", "transformer_blocks.0", "transformer_blocks.1.attn1", "transformer_blocks.1.ff"],
}
"""Some layers of each: of every form in which image tokens come."""


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_layers_are_tokens_of_the_image_on_their_grid(saved_transformer: Callable[[str], Path], kind: str) -> None:
    generator = opened_transformer(saved_transformer(kind) / "model")
    assert {(shape.height, shape.width) for shape in generator.blocks.values()} <= {(4, 4), (8, 8)}
    assert set(BLOCKS[kind]) <= set(generator.blocks)
    assert {shape.units for name, shape in generator.blocks.items() if name.count(".") == 1} == {16}
    texts = ("context", "add_", "norm_q", "norm_k", "norm_added", "caption", "time_", "adaln", "modulation")
    assert not [name for name in generator.blocks if any(text in name for text in texts)]
    assert {name.rpartition("@")[0] for name in generator.listed} == {
        name for name in generator.blocks if name.count(".") == 1 and "transformer_blocks" in name
    }


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_a_layer_says_where_in_the_image_something_is(saved_transformer: Callable[[str], Path], kind: str) -> None:
    """Noise is changed in a corner; so are the tokens there, most of all, in the module that embeds patches."""
    generator = opened_transformer(saved_transformer(kind) / "model")
    embeds = "pos_embed" if "pos_embed" in generator.blocks else "x_embedder"
    z = generator.latents(range(1), 0)
    other = z.clone()
    other[:, :-1].view(-1, *generator.sampler.shape)[..., 2:4, 6:8] += 1
    seen = [generator.observe(each, [f"{embeds}@1"]).features[f"{embeds}@1"] for each in (z, other)]
    moved = (seen[0] - seen[1]).abs().sum((0, 1))
    assert moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_an_edit_at_a_layer_changes_the_image_from_its_step_on(
    saved_transformer: Callable[[str], Path], kind: str
) -> None:
    generator = opened_transformer(saved_transformer(kind) / "model", show="final")
    z = generator.latents(range(2), 0)
    plain = generator.observe(z, ()).images
    for block in [*BLOCKS[kind], *(name for name in generator.blocks if name.count(".") == 1)]:
        edit = edit_of(generator, f"{block}@2", [0, 3], 2.0)
        seen = generator.observe(z, [f"{block}@1", f"{block}@2"], [edit])
        assert bool((seen.features[f"{block}@2"][:, [0, 3]] == 2).all())
        assert not bool((seen.features[f"{block}@1"][:, [0, 3]] == 2).any())
        assert float((seen.images - plain).abs().max()) > 1e-5, block
        same = generator.render(seen.features[f"{block}@2"], f"{block}@2", z)
        assert torch.allclose(same, seen.images, atol=1e-5)


@pytest.mark.parametrize("kind", [FLUX, FLUX2, SD3])
def test_an_edit_leaves_the_tokens_of_the_text(saved_transformer: Callable[[str], Path], kind: str) -> None:
    generator = opened_transformer(saved_transformer(kind) / "model")
    block = "transformer_blocks.1" if kind == SD3 else "single_transformer_blocks.1"
    z, found = generator.latents(range(1), 0), list[Tensor]()
    module = generator.network.get_submodule(f"{block}.attn")

    def keep(_module: object, _inputs: object, named: dict[str, Tensor]) -> None:
        found.append(named["encoder_hidden_states" if kind == SD3 else "hidden_states"].clone())

    first = block.replace(".1", ".0")
    with_handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    generator.observe(z, ())
    generator.observe(z, (), [edit_of(generator, f"{first}@1", [2], 3.0)])
    with_handle.remove()
    plain, edited = found[0], found[generator.sampler.steps]
    texts = plain.shape[1] - (0 if kind == SD3 else 16)
    assert torch.equal(plain[:, :texts], edited[:, :texts])
    if kind != SD3:
        assert not torch.allclose(plain[:, texts:], edited[:, texts:])


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_each_row_depends_on_itself_alone(saved_transformer: Callable[[str], Path], kind: str) -> None:
    generator = opened_transformer(saved_transformer(kind) / "model", step="1,2")
    layers = [f"{block}@2" for block in BLOCKS[kind]]
    whole = generator.observe(generator.latents(range(5), 7), layers)
    alone = generator.observe(generator.latents(range(3, 4), 7), layers)
    assert torch.allclose(whole.images[3:4], alone.images, atol=1e-5)
    for layer in layers:
        assert torch.allclose(whole.features[layer][3:4], alone.features[layer], atol=1e-4)
    again = opened_transformer(saved_transformer(kind) / "model", step="1,2")
    assert again.fingerprint == generator.fingerprint
    assert again.fingerprint != opened_transformer(saved_transformer(kind) / "model", steps=3).fingerprint
    assert not torch.equal(whole.images[0], whole.images[3]), "prompts are the same, noise is not"


@pytest.mark.parametrize("kind", [SD3, FLUX2, ALPHA, DIT])
def test_halves_are_read_and_edited(saved_transformer: Callable[[str], Path], kind: str) -> None:
    layer, images, features = "transformer_blocks.0@1", {}, {}
    for half in ("cond", "uncond", "both"):
        generator = opened_transformer(saved_transformer(kind) / "model", half=half)
        z = generator.latents(range(2), 0)
        images[half] = generator.edited(z, [edit_of(generator, layer, [1], 4.0)])
        features[half] = generator.observe(z, [layer]).features[layer]
    assert torch.equal(features["cond"], features["both"])
    assert not torch.equal(features["cond"], features["uncond"])
    assert all(not torch.allclose(images["cond"], images[half], atol=1e-6) for half in ("uncond", "both"))


def edit_of(generator: SampledGenerator, layer: str, units: list[int], value: float) -> Intervention:
    """Return an edit that sets units to a value everywhere."""
    shape = generator.layers[layer]
    return Intervention.insert(layer, shape, units, torch.full((shape.units,), value))


def test_a_call_without_guidance_has_no_halves(saved_transformer: Callable[[str], Path]) -> None:
    assert opened_transformer(saved_transformer(FLUX) / "model").sampler.halves == 1
    with mistake("bad-value", "half=uncond", "not guided"):
        opened_transformer(saved_transformer(FLUX) / "model", half="uncond")


def test_gradients_pass_to_a_layer_of_joint_tokens(saved_transformer: Callable[[str], Path]) -> None:
    generator = opened_transformer(saved_transformer(FLUX) / "model")
    layer = "single_transformer_blocks.0.attn@1"
    z = generator.latents(range(1), 0)
    r = generator.observe(z, [layer]).features[layer].requires_grad_()
    (gradient,) = torch.autograd.grad(generator.render(r, layer, z).sum(), r)
    assert bool(gradient.abs().sum((0, 1)).bool().all())
