"""The recipe of the VAE and the flow: its losses are what they say, stopping changes nothing, a run ends in a card."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import train_likelihood as recipe

from ganatomy.core.fingerprint import file_sha256
from ganatomy.models.generators import open_generator


def model(name: str) -> Any:
    return recipe.Vae(16, 4, (8, 6, 4)) if name == "vae" else recipe.Flow(16, (6, 4), 2)


def noise(ids: range) -> np.ndarray:
    return np.stack([np.random.default_rng(i).integers(0, 256, (3, 16, 16), np.uint8) for i in ids])


def training(name: str, directory: Path) -> Any:
    torch.manual_seed(0)
    dataset = recipe.RenderedImages(directory / "images.u8", 16, noise)
    dataset.grow(40)
    return recipe.Training(model(name), directory, dataset, seed=0)


@pytest.mark.parametrize("name", ["vae", "realnvp"])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path, name: str) -> None:
    whole, killed = training(name, tmp_path / "whole"), training(name, tmp_path / "killed")
    for _ in range(5):
        whole.step(80, 8)
    for _ in range(3):
        killed.step(80, 8)
    killed.save()
    killed.step(80, 8)
    resumed = training(name, tmp_path / "killed")
    resumed.load()
    for _ in range(2):
        resumed.step(80, 8)
    assert resumed.seen == whole.seen == 40
    for kind in ("model", "averaged"):
        for key, value in getattr(whole, kind).state_dict().items():
            assert torch.equal(value, getattr(resumed, kind).state_dict()[key]), key


@pytest.mark.parametrize("name", ["vae", "realnvp"])
def test_a_batch_is_learned_by_heart(tmp_path: Path, name: str) -> None:
    trained = training(name, tmp_path)
    batch = trained.dataset.sample(8, trained.source)
    trained.dataset.sample = lambda *_: batch
    trained.counters["seen"] = 2000
    losses = [trained.step(4000, 8) for _ in range(30)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert trained.adam.param_groups[0]["lr"] == pytest.approx(1e-3 * (1 + math.cos(math.pi * 2232 / 4000)) / 2)


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    from likelihood.models import divergence
    from torch.distributions import Normal, kl_divergence

    mean, log_std = torch.randn(3, 5), torch.randn(3, 5)
    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(torch.zeros(3, 5), torch.ones(3, 5))).sum(1)
    torch.testing.assert_close(divergence(mean, log_std), expected)


def test_bits_are_those_of_a_known_density() -> None:
    """A fresh flow is a squashed normal; a grey image's bits per value are known, and white ones need more."""
    flow = recipe.Flow(8, (6, 4), 2)
    grey = flow.loss(torch.full((2, 3, 8, 8), 0.0), torch.Generator().manual_seed(0))
    assert float(grey.detach()) == pytest.approx(5 - math.log2(2 * 4 * 0.45 / math.sqrt(2 * math.pi)), abs=0.02)
    white = flow.loss(torch.full((2, 3, 8, 8), 1.0), torch.Generator().manual_seed(0))
    assert float(white.detach()) > float(grey.detach())


def test_the_same_image_costs_less_than_another() -> None:
    """Both a shift of the pixels and a change of the code cost the VAE something."""
    vae, source = recipe.Vae(8, 4, (8, 6)), torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    vae.network = torch.nn.Identity()
    vae.code = lambda images: (images.flatten(1), torch.full_like(images.flatten(1), -20))
    vae.network.forward = lambda z: z.view(4, 3, 8, 8)
    same = float(vae.loss(images, source)) - float(images.square().sum((1, 2, 3)).mean() / 2)
    vae.network.forward = lambda z: z.view(4, 3, 8, 8) + 0.1
    other = float(vae.loss(images, source)) - float(images.square().sum((1, 2, 3)).mean() / 2)
    assert other - same > 0.1 * 1500


def test_a_vae_is_as_wide_as_the_bundled_one() -> None:
    network = recipe.MODELS["vae"][0](32).network
    widths = [part.out_channels for part in network if isinstance(part, torch.nn.Conv2d)]
    assert widths == [128, 128, 128, 128, 64, 64, 32, 32, 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "realnvp"])
def test_a_run_ends_in_a_generator_with_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(recipe.MODELS, name, (lambda side: model(name), 64))
    file = tmp_path / f"tiny-{name}.safetensors"
    given = [
        name,
        "church",
        "--out",
        str(tmp_path),
        "--rendered-images",
        "64",
        "--evaluation-images",
        "40",
        "--size",
        "16",
    ]
    recipe.main(given)
    assert [json.loads(line)["images"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [32, 64]
    recipe.main([*given, "--export", str(file)])
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["name"], card["kind"], card["family"], card["images"]) == (file.stem, "generator", name, 64)
    assert card["sha256"] == file_sha256(file)
    assert card["scores"]["frechet"] > 0
    generator = open_generator(f"{name}:{file}")
    trained = training(name, tmp_path)
    trained.load()
    z = generator.latents(range(3), 0)
    torch.testing.assert_close(generator.observe(z, []).images, trained.draw(z).clone(), atol=0.02, rtol=0)
