"""Inversion: each way finds latents that draw the photograph, and photographs are images as any others."""

from pathlib import Path

import pytest
import torch
from diffusers_models import save_autoencoder
from tiny_words import save_words
from torch import nn

import ganatomy
from ganatomy.core.errors import BadModel, BadValue
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators import as_generator
from ganatomy.models.generators.flow import RealNVP
from ganatomy.models.generators.photographs import Offset, PhotographGenerator
from ganatomy.models.inversion import Inverted, inverted, inverter_of
from ganatomy.models.inversion.optimisation import OffsetInverter, Optimisation
from ganatomy.models.inversion.steps import StepInverter


def small_generator() -> ganatomy.Generator:
    torch.manual_seed(0)
    layers = [nn.ConvTranspose2d(8, 16, 4), nn.ReLU(), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU()]
    net = nn.Sequential(nn.Unflatten(1, (8, 1, 1)), *layers, nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh())
    for weight in net.parameters():
        nn.init.normal_(weight, std=0.2)
    return as_generator(net, latent=(8,), bounds=(-1, 1))


def error(found: Inverted, photographs: torch.Tensor) -> torch.Tensor:
    return (found.images - photographs).abs().mean((1, 2, 3))


def test_optimisation_comes_nearer_than_the_start_with_an_offset_at_the_asked_layer() -> None:
    generator = small_generator()
    z, other = generator.latents(range(2), 0), generator.latents(range(5, 7), 0)
    photographs, near = generator.observe(z, ()).images, generator.observe(other, ()).images
    inverter = inverter_of(generator, None, "1", Optimisation(60, 20, rate=0.3, perceptual=0, penalty=0))
    assert isinstance(inverter, OffsetInverter)
    shares = list(inverter.pieces(photographs, other))
    assert shares == sorted(shares)
    assert len(shares) <= 80
    found = inverted(inverter, photographs, other)
    assert found.layer == "1"
    assert found.offset.shape == (2, *generator.layers["1"])
    assert bool((error(found, photographs) < 0.5 * (near - photographs).abs().mean((1, 2, 3))).all())


def test_the_latent_is_moved_first_and_whole_numbers_in_it_stay() -> None:
    generator = small_generator()
    own = generator.latents

    def numbered(ids: range, seed: int) -> torch.Tensor:
        z = own(ids, seed)
        z.flatten(1)[:, -1] = torch.tensor([300.0 * (i % 3) for i in ids])
        return z

    generator.latents = numbered  # type: ignore[method-assign]
    z = generator.latents(range(2), 0)
    photographs = generator.observe(z, ()).images
    start = z + 0.3 * torch.randn_like(z) * (z != z.round())
    found = {}
    for latent_steps in (0, 30):
        how = Optimisation(1, latent_steps, rate=1e-6, latent_rate=0.05, latent_penalty=0)
        found[latent_steps] = inverted(inverter_of(generator, None, "", how), photographs, start)
    assert torch.equal(found[0].z, start)
    assert bool((error(found[30], photographs) < 0.8 * error(found[0], photographs)).all())
    assert torch.equal(found[30].z.flatten(1)[:, -1], z.flatten(1)[:, -1])
    again = generator.edited(found[30].z, [Offset(found[30].layer, found[30].offset)])
    assert torch.allclose(again, found[30].images, atol=1e-4)


def test_a_generator_without_gradients_to_its_latents_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = small_generator()

    def refusing(*_: object) -> None:
        raise BadModel("it is written to be run without gradients")

    monkeypatch.setattr(generator, "differentiable", refusing)
    start = generator.latents(range(2), 0)
    found = inverted(inverter_of(generator, None, "1", Optimisation(3, 3)), torch.zeros(2, 3, 16, 16), start)
    assert torch.equal(found.z, start)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kl", "tiny"])
def test_the_decoder_of_diffusers_is_inverted_by_its_encoder(tmp_path: Path, name: str) -> None:
    generator = ganatomy.open_generator(f"diffusers:{save_autoencoder(tmp_path, name)}?size=16")
    torch.manual_seed(0)
    photographs = torch.rand(2, 3, 16, 16) * 2 - 1
    start = generator.latents(range(2), 0)
    inverter = inverter_of(generator, None)
    assert (inverter.way, inverter.layer) == ("encoder", "")
    found = inverted(inverter, photographs, start)
    assert found.z.shape == start.shape
    assert torch.allclose(found.images, generator.observe(found.z, ()).images)
    both = inverted(inverter, photographs.flip(0), start)
    assert torch.allclose(both.z, found.z.flip(0), atol=1e-5)
    assert not torch.allclose(found.z[0], found.z[1], atol=1e-3), "they are latents of the photographs"


def test_a_photograph_does_not_depend_on_those_beside_it() -> None:
    generator = small_generator()
    photographs = generator.observe(generator.latents(range(3), 0), ()).images
    start, how = generator.latents(range(10, 13), 0), Optimisation(steps=30, patience=4)
    inverter = inverter_of(generator, None, "1", how)
    whole = inverted(inverter, photographs, start)
    alone = inverted(inverter, photographs[1:2], start[1:2])
    assert torch.allclose(whole.offset[1:2], alone.offset, atol=1e-4)


def test_a_flow_is_inverted_exactly() -> None:
    torch.manual_seed(0)
    flow = RealNVP(8, (4, 4), steps=2)
    for coupling in flow.children():
        nn.init.normal_(coupling.get_submodule("out").weight, std=0.1)  # else they do nothing
    generator = as_generator(flow, latent=(flow.latent,), bounds=(-1, 1))
    generator.encode = lambda images: flow.inverse(images)[0]
    z = generator.latents(range(2), 0)
    photographs = generator.observe(z, ()).images
    found = inverted(inverter_of(generator, None), photographs, torch.zeros_like(z))
    assert torch.allclose(found.z, z, atol=1e-3)
    assert torch.allclose(found.images, photographs, atol=1e-5)
    assert found.layer == ""
    with pytest.raises(BadValue, match="without an offset at a layer"):
        inverter_of(generator, None, "layer1")


def test_steps_are_solved_backwards(tmp_path: Path) -> None:
    generator = ganatomy.open_generator(save_words(tmp_path / "words.pt") + "?steps=4")
    z = generator.latents(range(2), 0)
    photographs = generator.observe(z, ()).images
    inverter = inverter_of(generator, None)
    assert isinstance(inverter, StepInverter)
    found = inverted(inverter, photographs, z)
    assert float(error(found, photographs).max()) < 0.02
    assert torch.equal(found.z[:, -1], z[:, -1]), "the prompts stay"
    turned = f"basis:{save_words(tmp_path / 'words.pt')}?steps=4&layer=up1@2&directions=rotation"
    assert torch.equal(inverted(inverter_of(ganatomy.open_generator(turned), None), photographs, z).z, found.z)
    early = ganatomy.open_generator(save_words(tmp_path / "words.pt") + "?steps=4&step=2&show=estimate")
    with pytest.raises(BadModel, match="no finished images"):
        inverter_of(early, None)


@pytest.fixture
def photographed() -> tuple[ganatomy.Generator, PhotographGenerator, torch.Tensor]:
    """A generator, and three of its images, a little changed, as photographs with an offset at its first layer."""
    generator = small_generator()
    z = generator.latents(range(3), 0)
    offset = torch.randn(3, *generator.layers["1"])
    features = generator.observe(z, ["1"]).features["1"] + offset
    images = generator.render(features, "1", z)
    photographs = (images + 0.05 * torch.randn(images.shape)).clamp(-1, 1)
    return generator, PhotographGenerator(generator, z, offset, photographs, images, "1"), photographs


def test_images_without_edits_are_the_photographs(
    photographed: tuple[ganatomy.Generator, PhotographGenerator, torch.Tensor],
) -> None:
    _, own, photographs = photographed
    z = own.latents(range(3), 0)
    seen = own.observe(z, list(own.layers))
    assert torch.equal(seen.images, photographs)
    for layer, r in seen.features.items():
        assert torch.equal(own.render(r, layer, z), photographs), layer
    with pytest.raises(BadValue, match="there are 3 photographs"):
        own.latents(range(2, 4), 0)


def test_an_edit_changes_its_place_and_nothing_else(
    photographed: tuple[ganatomy.Generator, PhotographGenerator, torch.Tensor],
) -> None:
    generator, own, photographs = photographed
    z, shape = own.latents(range(3), 0), generator.layers["3"]
    edit = Intervention.insert("3", shape, range(shape.units), torch.full((shape.units,), 4.0), place((8, 8), 0, 0, 2))
    edited = own.edited(z, [edit])
    changed = (edited != photographs).any(1)
    assert bool(changed[:, :3, :3].any())
    assert not bool(changed[:, 8:, 8:].any())
    through = own.render(own.observe(z, ["1"]).features["1"], "1", z, [edit])
    assert torch.allclose(through, edited, atol=1e-5), "an offset is not added twice"
    assert torch.allclose(own.change(z, [edit]), edited - photographs, atol=1.0)
