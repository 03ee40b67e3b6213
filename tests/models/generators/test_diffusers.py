"""Decoders of latents and unconditional UNets, as the package diffusers saves them; compared with what it computes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers_models import AUTOENCODERS, opened, save_autoencoder, save_pipeline
from mistakes import mistake
from PIL import Image
from torch import Tensor

import ganatomy
from ganatomy.datasets import CropSpec, open_images
from ganatomy.interventions import Intervention
from ganatomy.models.generators.diffusers.checkpoint import library
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.latents import standard_normal

CPU = torch.device("cpu")
SIZED = {"tiny": "?size=16", "dc": "?size=16"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random models of every kind; never written to again."""
    directory = tmp_path_factory.mktemp("diffusers")
    for name in AUTOENCODERS:
        save_autoencoder(directory / name, name)
    save_pipeline(directory / "ddpm")
    return directory


def reopened(directory: Path) -> Any:
    """The model as diffusers opens it."""
    kind = json.loads((directory / "config.json").read_text())["_class_name"]
    return getattr(library(), kind).from_pretrained(directory)


# Decoders


@pytest.mark.parametrize("name", sorted(AUTOENCODERS))
def test_a_decoder_draws_what_diffusers_decodes(saved: Path, name: str) -> None:
    generator, model = opened(f"{saved / name}{SIZED.get(name, '')}"), reopened(saved / name)
    z = generator.latents(range(3), 0)
    assert torch.equal(z, standard_normal(range(3), 0, z.shape[1:], CPU))
    if name == "normed":
        mean, std = torch.tensor([0.1, 0.2]).view(1, -1, 1, 1), torch.tensor([2.0, 0.5]).view(1, -1, 1, 1)
        given = z * std / 0.18215 + mean
    elif name == "flux2":  # patches of 2 × 2 become channels, the norm is undone, and channels become patches
        pipeline, norm = library().Flux2Pipeline, model.bn
        spread = (norm.running_var + model.config.batch_norm_eps).sqrt()
        patches = pipeline._patchify_latents(z) * spread.view(1, -1, 1, 1) + norm.running_mean.view(1, -1, 1, 1)
        given = pipeline._unpatchify_latents(patches)
    else:
        given = z / model.config.scaling_factor + (model.config.get("shift_factor") or 0)
    with torch.no_grad():
        expected = model.decode(given).sample
    seen = generator.observe(z, [])
    assert seen.images.shape == (3, 3, 16, 16)
    assert torch.allclose(seen.images, expected, atol=1e-6)


def test_layers_of_a_decoder_have_the_paths_that_its_modules_have(saved: Path, kl: HookedGenerator) -> None:
    layers = {"decoder.conv_in", "decoder.up_blocks.0.resnets.1", "decoder.mid_block", "decoder.up_blocks.1"}
    assert layers <= set(kl.layers)
    assert kl.layers["decoder.up_blocks.0.resnets.1"] == (16, 8, 8)
    assert not any(name.startswith("encoder") for name in [*kl.layers, *kl.others])
    assert "quantize" in opened(saved / "vq").layers  # it returns a tuple: the entries of the codebook, their loss, …


@pytest.mark.parametrize("name", sorted(AUTOENCODERS))
def test_encoded_images_are_drawn_as_diffusers_reconstructs_them(saved: Path, name: str) -> None:
    size = SIZED.get(name, "?size=16")
    generator = opened(f"{saved / name}{size}&images=scenes:church")
    scenes = open_images("scenes:church")
    z = generator.latents(range(2, 5), 7)
    images = scenes.images(scenes.sample_indices(range(2, 5), 7), CropSpec(16))
    with torch.no_grad():
        model = reopened(saved / name)
        encoded = model.encode(images)
        code = encoded.latent_dist.mode() if name in ("kl", "normed", "flux2", "asymmetric") else encoded[0]
        expected = model.decode(code).sample
    assert torch.allclose(generator.observe(z, []).images, expected, atol=1e-5)
    assert torch.equal(z[1:], generator.latents(range(3, 5), 7)), "not independent of the range to the bit"
    assert not torch.equal(z, generator.latents(range(2, 5), 8))


def test_images_come_from_a_folder_their_middle_square(saved: Path, tmp_path: Path) -> None:
    for i in range(3):
        pixels = np.full((16, 32, 3), 40 * i, np.uint8)
        pixels[:, :8] = pixels[:, 24:] = 255
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    generator = opened(f"{saved / 'kl'}?images={tmp_path}")
    model = reopened(saved / "kl")
    with torch.no_grad():
        flat = [torch.full((1, 3, 16, 16), 40 * i / 127.5 - 1) for i in range(3)]
        expected = [(model.encode(each).latent_dist.mode() - 0.1) * 0.5 for each in flat]
    z = generator.latents(range(3), 0)
    order = [next(i for i, each in enumerate(expected) if torch.allclose(row, each[0], atol=1e-5)) for row in z]
    assert sorted(order) == [0, 1, 2]
    with mistake("bad-value", "4 images", tmp_path, 3):
        generator.latents(range(4), 0)
    with mistake("bad-file", "nowhere"):
        opened(f"{saved / 'kl'}?images=nowhere")


def test_the_size_of_the_images_is_asked_for(saved: Path) -> None:
    generator = opened(f"{saved / 'kl'}?size=24")
    assert generator.latents(range(1), 0).shape == (1, 3, 12, 12)
    assert generator.observe(generator.latents(range(2), 0), []).images.shape == (2, 3, 24, 24)
    with mistake("bad-value", "size=25", "24 pixels", 2):
        opened(f"{saved / 'kl'}?size=25")
    with mistake("bad-model", "size=1", "RuntimeError"):
        opened(f"{saved / 'kl'}?size=1")
    with mistake("bad-value", "size=0"):
        opened(f"{saved / 'kl'}?size=0")


def test_a_decoder_has_no_steps(saved: Path) -> None:
    for option in ("step=5", "steps=5"):
        with mistake("bad-value", "AutoencoderKL", "step", "steps"):
            opened(f"{saved / 'kl'}?{option}")


# UNets


def ddim(model: Any, scheduler: Any, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Run the sampler of diffusers from noise through so many steps of a thousand hundreds: x_t, and then x₀."""
    scheduler.set_timesteps(10)
    with torch.no_grad():
        for t in scheduler.timesteps[:steps]:
            x = scheduler.step(model(x, t).sample, t, x).prev_sample
        t = scheduler.timesteps[steps]
        return x, scheduler.step(model(x, t).sample, t, x).pred_original_sample


@pytest.mark.parametrize("says", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_a_unet_estimates_what_diffusers_does(saved: Path, tmp_path: Path, says: str, clip: float) -> None:
    clipped = {"clip_sample": bool(clip), "clip_sample_range": clip or 1.0}
    scheduler = library().DDPMScheduler(prediction_type=says, beta_schedule="scaled_linear", **clipped)
    model = reopened(saved / "ddpm" / "unet")
    library().DDPMPipeline(model, scheduler).save_pretrained(tmp_path)
    generator = opened(f"{tmp_path}?step=599&steps=4")
    sampler = library().DDIMScheduler.from_config(scheduler.config, timestep_spacing="trailing")
    x, expected = ddim(model, sampler, standard_normal(range(3), 1, (3, 16, 16), CPU), 4)
    z = generator.latents(range(3), 1)
    assert torch.allclose(z, x, atol=1e-4)
    images = generator.observe(z, []).images
    assert torch.allclose(images, expected, atol=1e-3 * max(1.0, float(expected.abs().max())))
    assert (float(images.abs().max()) <= 0.5) == bool(clip)


def test_sampled_images_do_not_depend_on_their_batch(ddpm: HookedGenerator) -> None:
    z = ddpm.latents(range(4), 0)
    assert torch.equal(z[2:3], ddpm.latents(range(2, 3), 0))
    assert not torch.equal(z, ddpm.latents(range(4), 1))
    assert len(ddpm.latents(range(0), 0)) == 0


def test_given_images_are_covered_with_noise(saved: Path) -> None:
    generator = opened(f"{saved / 'ddpm'}?step=300&images=scenes:church")
    scenes = open_images("scenes:church")
    images = scenes.images(scenes.sample_indices(range(2), 5), CropSpec(16))
    noise = standard_normal(range(2), 5, (3, 16, 16), CPU)
    expected = library().DDPMScheduler().add_noise(images, noise, torch.tensor([300, 300]))
    assert torch.allclose(generator.latents(range(2), 5), expected, atol=1e-6)
    with mistake("bad-value", "steps=5", "images"):
        opened(f"{saved / 'ddpm'}?images=scenes:church&steps=5")


def test_the_last_step_starts_from_noise_itself(saved: Path) -> None:
    generator = opened(f"{saved / 'ddpm'}?step=999")
    assert torch.equal(generator.latents(range(2), 0), standard_normal(range(2), 0, (3, 16, 16), CPU))
    for step in (1000, -1):
        with mistake("bad-value", f"step={step}", "0 to 999"):
            opened(f"{saved / 'ddpm'}?step={step}")


def test_a_layer_is_one_call_of_the_network_and_blocks_that_return_tuples_are_layers(ddpm: HookedGenerator) -> None:
    assert {"conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"} <= set(ddpm.layers)
    assert not any(name.startswith("conv_in#") for name in ddpm.layers)
    z = ddpm.latents(range(2), 0)
    seen = ddpm.observe(z, [*list(ddpm.layers)[::6], "down_blocks.0", "down_blocks.1", "up_blocks.0"])
    for layer, r in seen.features.items():
        assert torch.allclose(ddpm.render(r, layer, z), seen.images, atol=1e-5), layer
        edit = Intervention.ablate(layer, ddpm.layers[layer], range(r.shape[1]))
        images = ddpm.edited(z, [edit])
        assert torch.allclose(images, ddpm.render(edit(r), layer, z), atol=1e-5), layer
        assert not torch.allclose(images, seen.images, atol=1e-3), layer


def test_what_a_block_hands_on_as_a_skip_is_replaced_too(saved: Path, ddpm: HookedGenerator) -> None:
    """Computed by hand: the output of the last down block is its last skip connection."""
    model = reopened(saved / "ddpm" / "unet")
    z = ddpm.latents(range(2), 0)
    r = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        time = model.time_embedding(model.time_proj(torch.tensor([100, 100])))
        first = model.conv_in(z)
        _, skips = model.down_blocks[0](first, time)
        x = model.mid_block(r, time)
        x = model.up_blocks[0](x, (skips[-1], r), time)
        x = model.up_blocks[1](x, (first, skips[0]), time)
        noise = model.conv_out(model.conv_act(model.conv_norm_out(x)))
        a = library().DDPMScheduler().alphas_cumprod[100]
        expected = ((z - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
    assert torch.allclose(ddpm.render(r, "down_blocks.1", z), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "code", "fact"),
    [
        ({"num_class_embeds": 4}, "bad-model", "class"),
        ({"in_channels": 4, "out_channels": 4}, "bad-model", "4 channels to 4"),
        ({"out_channels": 5}, "bad-model", "3 channels to 5"),
        ({"sample_size": None}, "bad-value", "size=64"),
    ],
)
def test_unets_of_another_kind_are_refused(tmp_path: Path, config: dict[str, Any], code: str, fact: str) -> None:
    save_pipeline(tmp_path, **config)
    with mistake(code, fact):
        opened(tmp_path)


def test_a_learnt_variance_is_left_out_and_grey_is_shown_in_three_channels(tmp_path: Path) -> None:
    model = reopened(save_pipeline(tmp_path, in_channels=1, out_channels=2) / "unet")
    generator = opened(f"{tmp_path}?step=10&images=scenes:church")
    z = generator.latents(range(2), 0)
    assert z.shape == (2, 1, 16, 16)
    a = library().DDPMScheduler().alphas_cumprod[10]
    with torch.no_grad():
        expected = ((z - (1 - a).sqrt() * model(z, 10).sample[:, :1]) / a.sqrt()).clamp(-1, 1)
    assert torch.allclose(generator.observe(z, []).images, expected.expand(-1, 3, -1, -1), atol=1e-5)


# How it behaves


def test_half_precision_is_close_and_float32_outside(saved: Path, kl: HookedGenerator, ddpm: HookedGenerator) -> None:
    for plain, spec in ((kl, f"{saved / 'kl'}?"), (ddpm, f"{saved / 'ddpm'}?step=100&steps=3&")):
        half = opened(f"{spec}dtype=bfloat16")
        assert half.fingerprint != plain.fingerprint
        z = half.latents(range(2), 0)
        layer = list(half.layers)[-1]
        seen, expected = half.observe(z, [layer]), plain.observe(z, [layer])
        assert z.dtype == seen.images.dtype == seen.features[layer].dtype == torch.float32
        assert torch.allclose(seen.images, expected.images, atol=0.1)
        assert torch.equal(half.render(seen.features[layer], layer, z), seen.images)


def test_in_half_precision_only_the_network_rounds(saved: Path) -> None:
    """The noisy image itself is taken in float32."""
    half = opened(f"{saved / 'ddpm'}?step=100&steps=1&dtype=bfloat16")
    z = half.latents(range(2), 0)
    network = half.network
    with torch.no_grad():
        said = type(network).forward(network, z.bfloat16(), 100).sample.float()
    a = library().DDPMScheduler().alphas_cumprod[100]
    expected = ((z - (1 - a).sqrt() * said) / a.sqrt()).clamp(-1, 1)
    assert torch.allclose(half.observe(z, []).images, expected, atol=1e-5)


def test_the_fingerprint_is_of_weights_and_of_all_that_changes_images(
    saved: Path, copied: Callable[[str], Path], kl: HookedGenerator
) -> None:
    assert opened(copied("kl")).fingerprint == kl.fingerprint, "it depends on where the model lies"
    options = ("steps=1", "step=10&steps=1", "steps=2", "images=scenes:church", "images=scenes:livingroom")
    prints = [opened(f"{saved / 'ddpm'}?{option}").fingerprint for option in options]
    prints += [opened(f"{saved / 'kl'}?{option}").fingerprint for option in ("", "images=scenes:church", "size=32")]
    assert len(set(prints)) == len(prints)


def test_opening_is_silent_and_leaves_the_process_as_it_was(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logging = library().utils.logging
    level, state = logging.get_verbosity(), torch.random.get_rng_state()
    logging.set_verbosity_info()
    for name in ("kl", "ddpm?step=900", "vq?dtype=bfloat16"):
        opened(saved / name)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == logging.INFO
    logging.set_verbosity(level)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_missing_package_is_told_in_one_line(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with mistake("bad-value", "pip install 'ganatomy[diffusers]'"):
        opened(saved / "kl")


@pytest.mark.parametrize("name", ["kl", "flux2", "ddpm"])
def test_everything_is_computed_where_the_weights_are(saved: Path, name: str) -> None:
    """A device that holds no numbers refuses to meet tensors of another."""
    generator = opened(saved / name)
    z = generator.latents(range(2), 0)
    generator.network.to("meta")
    assert generator._forward is not None
    images = generator._forward(z.to("meta"))
    assert images.shape == (2, 3, 16, 16)
    assert images.device.type == "meta"


@pytest.mark.slow
def test_a_decoder_is_dissected(saved: Path, tmp_path: Path) -> None:
    result = ganatomy.dissect(
        f"diffusers:{saved / 'kl'}?images=scenes:church",
        segmenter="colors",
        layers=("decoder.mid_block", "decoder.up_blocks.0"),
        images=20,
        out=tmp_path / "study",
    )
    assert set(result.units.layer) == {"decoder.mid_block", "decoder.up_blocks.0"}
