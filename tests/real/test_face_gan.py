"""A DCGAN that others trained on photographs of faces: opened from its state dict, dissected by colour and by skin."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ganatomy
from ganatomy import Dissection

LAYERS = tuple(f"generator_deconv.{i}" for i in range(4))


@pytest.fixture(scope="module")
def name(real: Path) -> str:
    return f"torch:nets:FaceGAN?weights={real / 'face-gan.pt'}"


@pytest.fixture(scope="module")
def by_colour(name: str, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect(name, segmenter="colors", layers=LAYERS, images=100, out=tmp_path_factory.mktemp("study"))


def test_its_latents_its_layers_and_its_white_are_found(name: str) -> None:
    generator = ganatomy.open_generator(name)
    assert {layer: tuple(generator.layers[layer]) for layer in LAYERS} == dict(
        zip(LAYERS, [(256, 4, 4), (128, 4, 4), (64, 8, 8), (32, 16, 16)], strict=True)
    )
    assert not any(layer.startswith("generator_deconv.4") for layer in generator.layers)  # that is the image
    z = generator.latents(range(32), seed=0)
    assert z.shape == (32, 100, 1, 1)
    images = generator.observe(z, []).images
    assert images.shape == (32, 3, 32, 32)
    assert images.min() < -0.99
    assert images.max() > 0.99
    assert abs(float(images.mean())) < 0.3


@pytest.mark.slow
def test_units_for_white_and_black_are_found(by_colour: Dissection, look: Any) -> None:
    units = by_colour.units.set_index(["layer", "unit"])
    white, black = units.loc["generator_deconv.3", 2], units.loc["generator_deconv.2", 37]
    assert (white.label, black.label) == ("white", "black")
    for unit in (white, black):
        assert unit.matched
        assert unit.iou > 0.4
        assert unit.lift > 3
        assert unit.iou > 3 * unit.control
    bright, dim = look(by_colour, "generator_deconv.3", 2), look(by_colour, "generator_deconv.2", 37)
    assert bright.on.min() > 200
    assert bright.off.max() < 150
    assert dim.on.max() < 50
    assert dim.off.min() > 70


@pytest.mark.slow
def test_later_layers_know_more_of_colour(by_colour: Dissection) -> None:
    assert by_colour.by_layer.matched.is_monotonic_increasing
    share = by_colour.by_layer.matched / by_colour.by_layer.units
    assert share.iloc[0] < 0.06
    assert share.iloc[-1] > 0.4
    labelled = by_colour.units[by_colour.units.label.notna()]
    assert np.isfinite(labelled.select_dtypes("number")).all(axis=None)


@pytest.mark.slow
def test_dark_hair_is_found_and_a_place_in_the_face_is_not_enough(name: str, tmp_path: Path) -> None:
    """Unit 122 is on at the bottom of the face in every image: interpretable by the paper's rule, but not matched."""
    skin = "parts:torch:nets:Skin?vocabulary=skin.json"
    result = ganatomy.dissect(name, segmenter=skin, layers=LAYERS, images=100, out=tmp_path)
    units = result.units.set_index(["layer", "unit"])
    dark = units.loc["generator_deconv.3", 23]
    assert dark.label == "dark"
    assert dark.matched
    assert dark.lift > 2
    chin = result.candidates("generator_deconv.1", 122).iloc[0]
    assert (chin.concept, chin.matched) == ("skin-b", False)
    assert units.interpretable["generator_deconv.1", 122]
    assert units.label.isna()["generator_deconv.1", 122]
    assert result.units.label.value_counts().idxmax() == "dark"
    assert 0.3 < result.concepts.set_index("concept").share["skin"] < 0.6  # there are faces in these images
