"""The decoder of a latent diffusion model, on the latents of rendered scenes, read by the bundled segmenter."""

from pathlib import Path
from typing import Any

import pytest
import torch

import ganatomy
from ganatomy import Dissection
from ganatomy.scenes import render


@pytest.fixture(scope="module")
def name(real: Path) -> str:
    return f"torch:nets:LatentDecoder?weights={real / 'latent-decoder.pth'}&encoder={real / 'latent-encoder.pth'}"


@pytest.fixture(scope="module")
def dissection(name: str, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect(
        name, layers=("15", "18"), images=64, validation="cross", out=tmp_path_factory.mktemp("study")
    )


@pytest.mark.slow
def test_its_own_latents_are_used_and_it_draws_the_scenes(name: str) -> None:
    generator = ganatomy.open_generator(name)
    z = generator.latents(range(8), seed=0)
    assert z.shape == (8, 32, 8, 8)
    torch.testing.assert_close(z[5:7], generator.latents(range(5, 7), seed=0))
    assert not torch.allclose(z, generator.latents(range(8), seed=1))
    scenes = torch.from_numpy(render("church", range(8), size=64, seed=0).images) / 127.5 - 1
    assert float((generator.observe(z, []).images - scenes).abs().mean()) < 0.1
    assert tuple(generator.layers["18"]) == (64, 64, 64)
    assert "8.conv.1" in generator.layers  # layers in layers, by their path


@pytest.mark.slow
def test_a_decoder_of_photographs_has_a_unit_for_the_sun(dissection: Dissection, look: Any) -> None:
    units = dissection.units.set_index(["layer", "unit"])
    sun, windows = units.loc["18", 53], units.loc["15", 21]
    assert (sun.label, windows.label) == ("sun", "window")
    for unit, least in ((sun, 20), (windows, 6)):
        assert unit.matched
        assert unit.lift > least
        assert unit.iou > 2 * unit.control
    red, green, blue = look(dissection, "18", 53).on
    assert red > green > blue + 50  # yellow to orange


@pytest.mark.slow
def test_large_things_score_high_and_their_control_too(dissection: Dissection) -> None:
    """Sky is in the upper half of every scene, grass in the lower: over chance, little over control."""
    sky = dissection.ranked("sky").iloc[0]
    assert (sky.layer, sky.unit) == ("18", 10)
    assert sky.iou > 0.55
    assert sky.control > 0.4
    matched = dissection.units[dissection.units.matched]
    assert 40 <= len(matched) <= 120
    assert {"sun", "window", "turf"} <= set(matched.label)
    assert set(matched.category) >= {"object", "material"}
    assert not sky.matched
    grass = dissection.ranked("grass").iloc[0]
    assert grass.iou > 0.3
    assert not grass.matched
