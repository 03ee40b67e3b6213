"""Decoders of VAEs: the arithmetic, the sizes read off the shapes, and files that are none."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from mistakes import mistake

import ganatomy
from ganatomy.models.generators import LayerShape, open_generator
from ganatomy.models.generators.vae import decoder
from ganatomy.models.weights import State

WIDTHS = [6, 6, 5, 4]


@pytest.fixture
def state() -> State:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: value.clone() for name, value in decoder(7, WIDTHS).state_dict().items()}


def written(state: State, directory: Path) -> str:
    safetensors.torch.save_file(
        {name: value.contiguous() for name, value in state.items()}, directory / "v.safetensors"
    )
    return f"vae:{directory / 'v.safetensors'}"


def test_the_arithmetic_is_that_of_plain_convolutions(state: State, tmp_path: Path) -> None:
    generator = open_generator(written(state, tmp_path))
    assert list(generator.layers.items()) == [
        ("layer1", LayerShape(6, 4, 4)),
        ("layer2", LayerShape(6, 4, 4)),
        ("layer3", LayerShape(5, 8, 8)),
        ("layer4", LayerShape(4, 8, 8)),
    ]
    z = generator.latents(range(3), 0)
    assert z.shape == (3, 7)
    seen = generator.observe(z, list(generator.layers))
    x = z[:, :, None, None].double()
    for i in range(1, 5):
        if i == 3:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        weight, bias = state[f"layer{i}.weight"].double(), state[f"layer{i}.bias"].double()
        x = F.conv2d(x, weight, bias, padding=3 if i == 1 else 1)
        x = torch.where(x > 0, x, 0.2 * x)
        torch.testing.assert_close(seen.features[f"layer{i}"].double(), x, atol=1e-5, rtol=1e-5)
    x = torch.tanh(F.conv2d(x, state["paint.weight"].double(), state["paint.bias"].double()))
    torch.testing.assert_close(seen.images.double(), x, atol=1e-5, rtol=1e-5)


def test_half_precision_in_the_file_is_single_precision_in_use(state: State, tmp_path: Path) -> None:
    generator = open_generator(written({name: value.half() for name, value in state.items()}, tmp_path))
    seen = generator.observe(generator.latents(range(1), 0), ["layer2"])
    assert seen.images.dtype == seen.features["layer2"].dtype == torch.float32


@pytest.mark.parametrize("lost", ["layer1.weight", "layer3.weight", "layer4.weight"])
def test_what_is_no_decoder_is_refused(state: State, tmp_path: Path, lost: str) -> None:
    del state[lost]
    with mistake("bad-file", "v.safetensors", "VAE"):
        open_generator(written(state, tmp_path))


def test_tensors_that_do_not_fit_are_named(state: State, tmp_path: Path) -> None:
    with mistake("bad-file", "paint.weight", [2, 4, 1, 1], [3, 4, 1, 1]):
        open_generator(written(state | {"paint.weight": torch.zeros(2, 4, 1, 1)}, tmp_path))
    with mistake("bad-file", "layer2.bias"):
        open_generator(written({name: v for name, v in state.items() if name != "layer2.bias"}, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "label"), [("church-vae", "layer8", "turf"), ("church-flow?networks=yes", "layer8.net", "sky")]
)
def test_units_of_the_bundled_models_are_matched(tmp_path: Path, name: str, layer: str, label: str) -> None:
    result = ganatomy.dissect(
        f"bundled:{name}", segmenter="bundled:scenes?size=64", layers=[layer], images=60, out=tmp_path / "study"
    )
    best = result.units[result.units.matched].sort_values("iou").iloc[-1]
    assert best.label == label
    assert best.iou > 0.4
