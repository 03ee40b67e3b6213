import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from mistakes import mistake

from ganatomy.core.fingerprint import fingerprint
from ganatomy.models.generators import Generator, LayerShape, open_generator
from ganatomy.models.generators.progan import ProGAN, progan_network
from ganatomy.models.weights import fetch_model

WIDTHS = [6, 6, 5, 5, 4, 3]


@pytest.fixture
def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    network = progan_network(7, WIDTHS)
    for name, value in network.named_parameters():
        if name.endswith(".b"):
            value.data.normal_()
    return network


@pytest.fixture
def state(network: torch.nn.Sequential) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def opened(state: dict[str, torch.Tensor], directory: Path) -> Generator:
    path = directory / "g.safetensors"
    safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, path)
    return open_generator(f"progan:{path}")


def refused(state: dict[str, torch.Tensor], directory: Path, *facts: object) -> None:
    with mistake("bad-file", directory / "g.safetensors", *facts):
        opened(state, directory)


def test_the_arithmetic_is_that_of_the_paper(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    generator = opened(state, tmp_path)
    z = generator.latents(range(3), seed=0)
    seen = generator.observe(z, list(generator.layers))

    def conv(x: torch.Tensor, name: str, gain: float, padding: int) -> torch.Tensor:
        weight, bias = state[f"{name}.conv.weight"].double(), state[f"{name}.wscale.b"].double()
        return F.conv2d(x, weight, padding=padding) * gain / math.sqrt(x.shape[1]) + bias[:, None, None]

    x = z.double()[:, :, None, None]
    for i in range(1, len(WIDTHS) + 1):
        x = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
        if i > 1 and i % 2:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = conv(x, f"layer{i}", math.sqrt(2) / 4, 3) if i == 1 else conv(x, f"layer{i}", math.sqrt(2) / 3, 1)
        x = torch.where(x > 0, x, 0.2 * x)
        torch.testing.assert_close(seen.features[f"layer{i}"].double(), x, atol=1e-5, rtol=1e-5)
    x = conv(x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt(), "output_16x16", 1, 0)
    torch.testing.assert_close(seen.images.double(), x, atol=1e-5, rtol=1e-5)


def test_a_model_trained_without_pixelnorm_is_another_model(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    generator = opened(state, tmp_path)
    without = open_generator(f"progan:{tmp_path / 'g.safetensors'}?pixelnorm=no")
    assert open_generator(f"progan:{tmp_path / 'g.safetensors'}?pixelnorm=yes").fingerprint == generator.fingerprint
    assert without.fingerprint != generator.fingerprint
    z = generator.latents(range(3), seed=0)
    seen = without.observe(z, ["layer1"])
    gain = math.sqrt(2 / z.shape[1]) / 4
    bias = state["layer1.wscale.b"][:, None, None]
    x = F.leaky_relu(F.conv2d(z[:, :, None, None], state["layer1.conv.weight"] * gain, padding=3) + bias, 0.2)
    torch.testing.assert_close(seen.features["layer1"], x, atol=1e-5, rtol=1e-5)
    assert float((seen.images - generator.observe(z, []).images).abs().max()) > 0.01


def test_sizes_are_read_off_the_shapes(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    generator = opened(state, tmp_path)
    assert list(generator.layers.items()) == [
        ("layer1", LayerShape(6, 4, 4)),
        ("layer2", LayerShape(6, 4, 4)),
        ("layer3", LayerShape(5, 8, 8)),
        ("layer4", LayerShape(5, 8, 8)),
        ("layer5", LayerShape(4, 16, 16)),
        ("layer6", LayerShape(3, 16, 16)),
    ]
    assert generator.latents(range(2), seed=0).shape == (2, 7)


def old_layout(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    old = {}
    for name, value in state.items():
        head, _, tail = name.partition(".")
        place = "output" if head.startswith("output") else f"features.{int(head.removeprefix('layer')) - 1}"
        old[f"{place}.{tail}"] = value
    return old


def tensorflow_layout(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    scopes = ["4x4/Dense", "4x4/Conv", "8x8/Conv0_up", "8x8/Conv1", "16x16/Conv0_up", "16x16/Conv1"]
    tensorflow = {"lod": torch.zeros(()), "ToRGB_lod1/bias": torch.zeros(3)}
    for i, scope in enumerate([*scopes, "ToRGB_lod0"]):
        name = f"layer{i + 1}" if i < len(scopes) else "output_16x16"
        weight = state[f"{name}.conv.weight"]
        if scope.endswith("Dense"):
            weight = weight.flip(2, 3).permute(1, 0, 2, 3).flatten(1)
        elif scope.endswith("up"):
            weight = weight.flip(2, 3).permute(2, 3, 0, 1)
        else:
            weight = weight.permute(2, 3, 1, 0)
        tensorflow[f"{scope}/weight"] = weight
        tensorflow[f"{scope}/bias"] = state[f"{name}.wscale.b"]
    return tensorflow


def test_all_layouts_are_the_same_generator(
    network: torch.nn.Sequential, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "wrapped.pth")
    torch.save(old_layout(state), tmp_path / "old.pth")
    np.savez(tmp_path / "t.npz", **{name: value.numpy() for name, value in tensorflow_layout(state).items()})
    expected = ProGAN(network).fingerprint
    assert opened(state, tmp_path).fingerprint == expected
    for name in ("wrapped.pth", "old.pth", "t.npz"):
        assert open_generator(f"progan:{tmp_path / name}").fingerprint == expected, name


@pytest.mark.parametrize("name", ["current.safetensors", "current.pth", "wrapped.pth", "old.pth", "tensorflow.npz"])
def test_the_published_implementation_draws_the_same(name: str, shared: Path) -> None:
    folder = shared / "parity" / "progan"
    expected = safetensors.torch.load_file(folder / "expected.safetensors")
    generator = open_generator(f"progan:{folder / name}")
    seen = generator.observe(expected["z"], list(generator.layers))
    torch.testing.assert_close(seen.images, expected["image"], atol=1e-5, rtol=0)
    assert [f"feature.{layer}" for layer in seen.features] == [f"feature.layer{i}" for i in range(1, 9)]
    for layer, features in seen.features.items():
        torch.testing.assert_close(features, expected[f"feature.{layer}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("drop", "named"),
    [
        ("layer3.conv.weight", "layer3.conv.weight"),
        ("layer4.wscale.b", "layer4.wscale.b"),
        ("output_16x16.conv.weight", "output_16x16.conv.weight"),
        ("layer6.conv.weight", "needs weights layer1.conv.weight, layer2.conv.weight"),
    ],
)
def test_a_missing_tensor_is_named(drop: str, named: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del state[drop]
    refused(state, tmp_path, named)


def test_an_extra_tensor_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["style.weight"] = torch.zeros(2)
    refused(state, tmp_path, "style.weight")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("layer4.conv.weight", (5, 6, 3, 3)),
        ("layer2.conv.weight", (6, 6, 5, 5)),
        ("layer5.wscale.b", (1,)),
        ("layer1.conv.weight", (6,)),
    ],
)
def test_a_misshaped_tensor_is_named(
    name: str, shape: tuple[int, ...], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state[name] = torch.zeros(shape)
    refused(state, tmp_path, name, list(shape))


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("8x8/Other/weight", torch.zeros(2), "no Progressive GAN has, 8x8/Other/weight"),
        ("6x6/Conv1/weight", torch.zeros(3, 3, 5, 5), "no Progressive GAN has, 6x6/Conv1/weight"),
        ("4x4/Dense/weight", torch.zeros(7, 95), r"4x4/Dense/weight has shape [7, 95]"),
        ("8x8/Conv1/weight", torch.zeros(3, 5), r"8x8/Conv1/weight has shape [3, 5]"),
    ],
)
def test_a_foreign_tensorflow_tensor_is_named(
    name: str, value: torch.Tensor, named: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    refused(tensorflow_layout(state) | {name: value}, tmp_path, named)


def test_another_network_is_no_progressive_gan(tmp_path: Path) -> None:
    refused({"fc.weight": torch.zeros(2, 2)}, tmp_path, "fc.weight")


@pytest.mark.parametrize(("dtype", "mean", "most"), [("bfloat16", 1.0, 40.0), ("float16", 0.2, 8.0)])
def test_in_half_precision_the_images_are_nearly_the_same(dtype: str, mean: float, most: float) -> None:
    """In grey levels: 0.5 and 30 were measured in bfloat16, 0.06 and 4 in float16."""
    whole, half = open_generator("bundled:church"), open_generator(f"bundled:church?dtype={dtype}")
    z = whole.latents(range(4), 0)
    expected, seen = whole.observe(z, ["layer4"]), half.observe(z, ["layer4"])
    difference = 127.5 * (seen.images - expected.images).abs()
    assert 0 < float(difference.mean()) < mean
    assert float(difference.max()) < most
    assert {seen.images.dtype, seen.features["layer4"].dtype} == {torch.float32}
    assert half.fingerprint != whole.fingerprint


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_half_precision_features_go_out_and_in_unchanged(dtype: str, network: torch.nn.Sequential) -> None:
    generator = ProGAN(network, dtype=dtype)
    z = generator.latents(range(2), seed=0)
    seen = generator.observe(z, list(generator.layers))
    for layer, features in seen.features.items():
        assert torch.equal(generator.render(features, layer, z), seen.images)
        nothing = generator.render(torch.zeros_like(features), layer, z)
        assert bool(nothing.isfinite().all()), "the norm of nothing is nothing"


def test_float32_has_the_fingerprint_that_studies_know(network: torch.nn.Sequential) -> None:
    expected = fingerprint(network.state_dict(), "progan")
    assert ProGAN(network, dtype="float32").fingerprint == expected


def test_a_published_model_is_opened_by_its_name(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    with mistake("bad-file", "ganatomy models fetch progan-church"):
        open_generator("progan:progan-church")
    torch.save(state, tmp_path / "published.pth")
    fetch_model("progan-church", source=str(tmp_path / "published.pth"))
    assert open_generator("progan:progan-church").layers["layer6"] == LayerShape(3, 16, 16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_frozen_weights_draw_the_same_and_are_not_read_again(dtype: str, network: torch.nn.Sequential) -> None:
    generator = ProGAN(network, dtype=dtype)
    z = generator.latents(range(3), 0)
    images = generator.observe(z, ()).images
    generator.freeze()
    assert torch.equal(generator.observe(z, ()).images, images)
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data.zero_()
    assert torch.equal(generator.observe(z, ()).images, images)
