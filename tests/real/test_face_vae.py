"""The decoder of a VAE that others trained on photographs of faces: half of a checkpoint, images from 0 to 1."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy import Dissection
from ganatomy.models.weights import fit_state, read_state

UNITS = {"convT_64": (32, 8, 8), "convT1": (32, 16, 16), "convT2": (32, 32, 32)}


@pytest.fixture(scope="module")
def name(real: Path) -> str:
    return f"torch:nets:FaceVAE?weights={real / 'face-vae.pt'}&prefix=decoder."


@pytest.fixture(scope="module")
def by_colour(name: str, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect(name, segmenter="colors", images=100, out=tmp_path_factory.mktemp("study"))


def test_sigmoid_images_are_stretched_from_black_to_white(name: str, real: Path) -> None:
    import nets

    decoder = nets.FaceVAE()
    fit_state(decoder, read_state(real / "face-vae.pt", "decoder."), "face-vae.pt")
    generator = ganatomy.open_generator(name)
    assert {layer: tuple(shape) for layer, shape in generator.layers.items()} == UNITS
    z = generator.latents(range(32), seed=0)
    assert z.shape == (32, 10)
    with torch.no_grad():
        torch.testing.assert_close(generator.observe(z, []).images, 2 * decoder(z) - 1)


def test_the_whole_checkpoint_is_refused_with_what_to_do(real: Path) -> None:
    with mistake("bad-file", "lin1.weight", "prefix=decoder"):
        ganatomy.open_generator(f"torch:nets:FaceVAE?weights={real / 'face-vae.pt'}")


@pytest.mark.slow
def test_units_for_black_brown_and_grey_are_found(by_colour: Dissection, look: Any) -> None:
    units = by_colour.units.set_index(["layer", "unit"])
    for unit, colour, control in ((4, "black", 0.15), (10, "brown", 0.55), (30, "grey", 0.4)):
        found = units.loc["convT2", unit]
        assert found.label == colour
        assert found.matched
        assert found.control < control
        assert found.iou > control
    black, brown = (look(by_colour, "convT2", unit) for unit in (4, 10))
    assert black.on.max() < 40
    assert black.off.min() > black.on.max()
    red, green, blue = brown.on
    assert red > green + 30 > blue + 30


@pytest.mark.slow
def test_its_report_asks_about_the_class_and_leaves_where_the_weights_lie_to_the_small_print(
    by_colour: Dissection, tmp_path: Path
) -> None:
    ganatomy.write_report(by_colour, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>What does each unit of <em>torch:nets:FaceVAE</em> draw?</h1>" in text
    assert text.count("face-vae.pt") == 1
    assert all(layer in text for layer in UNITS)


@pytest.mark.slow
def test_a_module_at_hand_is_dissected_for_skin_and_dark_hair(real: Path, tmp_path: Path, look: Any) -> None:
    """No name and no file of a vocabulary: the open module, and an open segmenter."""
    import nets

    decoder = nets.FaceVAE()
    fit_state(decoder, read_state(real / "face-vae.pt", "decoder."), "face-vae.pt")
    words = [ganatomy.Concept(*pair) for pair in (("nothing", "nothing"), ("skin", "object"), ("dark", "object"))]
    result = ganatomy.dissect(
        ganatomy.as_generator(decoder), segmenter=ganatomy.as_segmenter(nets.Skin(), words), images=100, out=tmp_path
    )
    units = result.units.set_index(["layer", "unit"])
    dark, skin = units.loc["convT2", 4], units.loc["convT2", 0]
    assert (dark.label, skin.label) == ("dark", "skin")
    assert dark.matched
    assert skin.matched
    assert dark.lift > 3
    assert 1 < skin.lift < 1.5  # two thirds of these images have the chroma of skin: a high IoU that says little
    assert 8 <= result.units.matched.sum() <= 24
    assert look(result, "convT2", 0).on.mean() > look(result, "convT2", 0).off.mean() + 60
