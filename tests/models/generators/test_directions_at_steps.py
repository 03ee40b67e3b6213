"""Directions, such as the features of an autoencoder, in place of the units of a block at several steps."""

import json
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from safetensors.torch import save_file
from tiny_words import save_words
from torch import Tensor

import ganatomy
from ganatomy.interventions import Intervention
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.autoencoders import read_autoencoder
from ganatomy.models.generators.basis import BasisGenerator, in_basis
from ganatomy.models.generators.directions import principal, rotation
from ganatomy.models.generators.protocol import layer_facts, listed_layers
from ganatomy.training.sae.places import EACH, Places

FEATURES = 12


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_words(tmp_path_factory.mktemp("words") / "words.pt")


@pytest.fixture(scope="module")
def file(words: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A top-k autoencoder of `up1`."""
    path, units = tmp_path_factory.mktemp("file") / "sae.safetensors", open_generator(words).layers["up1@1"].units
    save_file({"W_enc": randn(units, FEATURES), "W_dec": randn(FEATURES, units, seed=1), "k": torch.tensor(3)}, path)
    return path


def opened(words: str, file: Path, layer: str, options: str = "&steps=4") -> BasisGenerator:
    generator = open_generator(f"sae:{words}?layer={layer}&file={file}&activation=topk:3{options}")
    assert isinstance(generator, BasisGenerator)
    return generator


def test_each_step_has_the_features_and_other_steps_have_units(words: str, file: Path) -> None:
    own, plain = opened(words, file, "up1@2..3"), open_generator(f"{words}?steps=4")
    z, layers = own.latents(range(3), 0), [f"up1@{step}" for step in range(1, 5)]
    seen, expected = own.observe(z, layers), plain.observe(z, layers)
    assert torch.equal(seen.images, expected.images)
    for step, name in enumerate(layers, 1):
        turned = step in (2, 3)
        features = expected.features[name]
        assert torch.equal(seen.features[name], own.directions.encode(features) if turned else features), name
        assert own.layers[name].units == seen.features[name].shape[1]
    assert list(own.rotated) == ["up1@2", "up1@3"]


def test_edits_at_several_steps_are_edits_of_each(words: str, file: Path) -> None:
    """The same as one model inside another, each with features at one step."""
    own, plain = opened(words, file, "up1@1..3"), open_generator(f"{words}?steps=4")
    nested = in_basis(in_basis(plain, "up1@1", own.directions), "up1@3", own.directions)
    z = own.latents(range(3), 0)
    edits = [Intervention.ablate(name, own.layers[name], [0, 5]) for name in ("up1@1", "up1@3")]
    seen, expected = (each.observe(z, ["up1@1", "up1@3"], edits) for each in (own, nested))
    assert torch.allclose(seen.images, expected.images, atol=1e-5)
    assert not torch.allclose(seen.images, plain.observe(z, ()).images, atol=1e-3)
    for name in ("up1@1", "up1@3"):
        assert torch.allclose(seen.features[name], expected.features[name], atol=1e-5)
        assert not seen.features[name][:, [0, 5]].any()
    c = own.observe(z, ["up1@2"]).features["up1@2"]
    drawn = own.render(c, "up1@2", z, edits[1:])
    assert torch.allclose(drawn, own.observe(z, (), edits[1:]).images, atol=1e-4)


def test_one_step_is_as_it_was(words: str, file: Path) -> None:
    """A dissection of before knows its model again."""
    own, window = opened(words, file, "up1@2"), opened(words, file, "up1@2..2")
    inner = open_generator(f"{words}?steps=4")
    assert own.fingerprint == in_basis(inner, "up1@2", own.directions).fingerprint
    assert list(own.layers) == list(window.layers)


def test_every_step_says_how_well_it_is_rebuilt(words: str, file: Path) -> None:
    found = layer_facts(opened(words, file, "up1@1..2"))
    alone = layer_facts(opened(words, file, "up1@2"))
    assert list(found) == ["up1@1", "up1@2"]
    assert found["up1@2"]["explained"] == pytest.approx(alone["up1@2"]["explained"])
    assert found["up1@1"]["explained"] != pytest.approx(found["up1@2"]["explained"])
    assert "of up1@1 explains" in found["up1@1"]["sentence"]


def test_listed_layers_do_not_multiply(words: str, file: Path) -> None:
    plain = {*listed_layers(open_generator(f"{words}?steps=4&step=2"))}
    for layer, more in (("up2@1..4", set()), ("up1@3..4", {"up1@3"})):
        assert {*listed_layers(opened(words, file, layer, "&steps=4&step=2"))} == plain | more


@pytest.mark.parametrize("layer", ["up1@3..5", "up1@2..1", "up1@0..2", "up9@1..2", "up1@1..999999999"])
def test_steps_that_are_not_there_are_refused(words: str, file: Path, layer: str) -> None:
    with mistake("unknown-name", "layer"):
        opened(words, file, layer)


def test_an_autoencoder_of_an_update_says_which_layers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"n_dirs_local": 12, "d_model": 8, "k": 3}))
    torch.save({"state_dict": {"encoder.weight": randn(12, 8)}}, tmp_path / "state_dict.pth")
    with mistake("bad-value", "layer=up1~update@2..3"):
        read_autoencoder(str(tmp_path), "up1@2..3", 8)


def test_other_directions_are_of_all_steps_together(words: str) -> None:
    model = open_generator(f"{words}?steps=3")
    alone, both = (principal("", subject=model, layer=layer, images=8) for layer in ("up1@1", "up1@1..2"))
    seen = model.observe(model.latents(range(8), 1 << 32), ["up1@1", "up1@2"]).features
    mean = torch.stack([seen[name].mean((0, 2, 3)) for name in seen]).mean(0)
    assert torch.allclose(both.mean, mean, atol=1e-4)
    assert both.numbers != alone.numbers
    units = model.layers["up1@1"].units
    assert rotation("", subject=model, layer="up1@1..3").reads.shape == (units, units)


def test_a_training_takes_the_places_of_all_steps(words: str, tmp_path: Path) -> None:
    model = open_generator(f"{words}?steps=2")
    one, two = (Places(model, layer, 4, 0) for layer in ("up2@1", "up2@1..2"))
    whole = model.layers["up2@1"].height ** 2
    assert (one.each, two.each) == (min(EACH, whole), min(EACH, 2 * whole))
    rows = two.of(range(2)).reshape(2, 2, whole, -1)
    assert torch.allclose(rows[:, 0].flatten(0, 1), one.of(range(2)), atol=1e-6)
    out = tmp_path / "out"
    trained = ganatomy.train_sae(f"{words}?steps=2", "up2@1..2", features=10, sparsity=2, images=40, out=out)
    assert trained.card["layer"] == "up2@1..2"
    for layer in ("up2@1..2", "up2@2"):
        open_generator(f"sae:{words}?steps=2&layer={layer}&file={out}")
    with mistake("bad-value", "was trained on up2@1..2"):
        open_generator(f"sae:{words}?steps=2&layer=down1@1..2&file={out}")
