"""StyleGAN2 and 3: parity with the official networks, a plain restatement, options, and files that do not fit."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from safetensors.torch import load_file
from stylegan_files import Kept, stylegan2, stylegan3, write
from torch import Tensor

from ganatomy.interventions import Intervention
from ganatomy.models.generators import LayerShape, open_generator
from ganatomy.models.generators.stylegan import StyleGAN
from ganatomy.models.generators.stylegan.layers import ModulatedConv, smooth
from ganatomy.models.generators.stylegan.part import Part
from ganatomy.models.generators.stylegan.synthesis3 import FourierFeatures
from ganatomy.models.weights import StubObject

Damage = Callable[[Kept], object]
OFFICIAL = ["stylegan2", "stylegan2-conditional", "stylegan3-t", "stylegan3-r"]


def opened(tmp_path: Path, options: str = "", **networks: Any) -> StyleGAN:
    generator = open_generator(f"stylegan:{write(tmp_path / 'net.pkl', **networks)}?{options}")
    assert isinstance(generator, StyleGAN)
    return generator


def farthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("name", OFFICIAL)
def test_parity_with_the_official_networks(shared: Path, name: str) -> None:
    """To 1e-4; the source in these files would raise if it ran."""
    directory = shared / "parity" / "stylegan" / name
    expected = load_file(directory / "expected.safetensors")
    z = torch.cat([expected[key] for key in ("z", "c") if key in expected], 1)
    generator, truncated = (
        open_generator(f"stylegan:{directory}/network.pkl?{o}") for o in ("styles=1", "truncation=0.7")
    )
    seen = generator.observe(z, list(generator.layers))
    assert isinstance(generator, StyleGAN)
    assert farthest(generator.w(z), expected["w"]) < 1e-4
    assert farthest(seen.images, expected["image"]) < 1e-4
    assert farthest(truncated.observe(z, []).images, expected["image_truncated_0_7"]) < 1e-4
    compared = 0
    for key, value in expected.items():
        layer = key.removeprefix("synthesis.").replace(".x", ".conv1")
        if layer in generator.layers:
            assert farthest(seen.features[layer].view_as(value), value) < 1e-4, key
            assert torch.equal(generator.render(seen.features[layer], layer, z), seen.images)
            compared += 1
    assert compared == len(expected) - len(expected.keys() & {"z", "c", "w", "image", "image_truncated_0_7"})


def plain_filter(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, ...]) -> Tensor:
    """Put zeros between the places, pad, convolve, and keep some."""
    if taps.ndim == 1:
        taps = taps[:, None] * taps
    b, c, h, w = x.shape
    spread = torch.zeros(b * c, 1, h * up, w * up)
    spread[..., ::up, ::up] = x.reshape(b * c, 1, h, w)
    out = F.conv2d(F.pad(spread, padding), taps.flip(0, 1)[None, None])[..., ::down, ::down]
    return out.reshape(b, c, *out.shape[2:])


@pytest.mark.parametrize("shape", [(4,), (5,), (4, 4), (3, 5)])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (4, 1), (1, 2)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (2, 1, 0, 3), (-1, 2, 3, -2)])
def test_filters(shape: tuple[int, ...], up: int, down: int, padding: tuple[int, int, int, int]) -> None:
    source = torch.Generator().manual_seed(0)
    x, taps = torch.randn(2, 3, 6, 7, generator=source), torch.randn(shape, generator=source)
    got = smooth(x, taps, padding, up=up, down=down)
    expected = plain_filter(x, taps, up, down, padding)
    assert got.shape == expected.shape
    assert farthest(got, expected) < 1e-5


def plain_dense(kept: Kept, x: Tensor) -> Tensor:
    facts = kept.facts
    x = x @ (kept.tensors["weight"] * float(facts["weight_gain"])).T + kept.tensors["bias"] * facts["bias_gain"]
    return x if facts["activation"] == "linear" else F.leaky_relu(x, 0.2) * math.sqrt(2)


def plain_conv(kept: Kept, x: Tensor, w: Tensor, *, demodulate: bool = True, gain: float = 1) -> Tensor:
    """Modulate the weights themselves, image by image (Karras et al. 2020, Eqn 1 and 3)."""
    weight, images = kept.tensors["weight"], []
    up = kept.facts.get("up", 1)
    for image, style in zip(x, plain_dense(kept.parts["affine"], w) * gain, strict=True):
        own = weight * style[None, :, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up == 1:
            images.append(F.conv2d(image[None], own, padding=weight.shape[-1] // 2))
        else:
            spread = torch.zeros(1, len(image), 2 * image.shape[1] + 3, 2 * image.shape[2] + 3)
            spread[..., 2:-1:2, 2:-1:2] = image
            images.append(
                plain_filter(F.conv2d(spread, own.flip(2, 3)), kept.tensors["resample_filter"] * 4, 1, 1, (1,) * 4)
            )
    return torch.cat(images)


def plain_stylegan2(network: Kept, z: Tensor, classes: int) -> Tensor:
    """Draw with every formula written out."""

    def second_moment(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    mapping, blocks = network.parts["mapping"].parts, network.parts["synthesis"].parts
    w = second_moment(z[:, : z.shape[1] - classes])
    if classes:
        w = torch.cat([w, second_moment(plain_dense(mapping["embed"], z[:, -classes:]))], 1)
    for name in ("fc0", "fc1"):
        w = plain_dense(mapping[name], w)
    x, image = blocks["b4"].tensors["const"].expand(len(z), -1, -1, -1), None
    for block in blocks.values():
        taps = block.tensors["resample_filter"] * 4
        residual, before = "skip" in block.parts, x
        for name in [name for name in ("conv0", "conv1") if name in block.parts]:
            layer = block.parts[name]
            gain = math.sqrt(0.5) if residual and name == "conv1" else 1
            x = plain_conv(layer, x, w) + layer.tensors["noise_const"] * layer.tensors["noise_strength"]
            x = F.leaky_relu(x + layer.tensors["bias"][:, None, None], 0.2) * math.sqrt(2) * gain
            x = x.clamp(-gain * layer.facts["conv_clamp"], gain * layer.facts["conv_clamp"])
        if residual:
            skip = block.parts["skip"]
            y = F.conv2d(before, skip.tensors["weight"] * float(skip.facts["weight_gain"]))
            y = plain_filter(y, taps, 2, 1, (2, 1, 2, 1)) * math.sqrt(0.5)
            clamp = skip.facts["conv_clamp"] * math.sqrt(0.5)
            x = x + y.clamp(-clamp, clamp)
        image = None if image is None else plain_filter(image, taps, 2, 1, (2, 1, 2, 1))
        if "torgb" in block.parts:
            torgb, clamp = block.parts["torgb"], block.parts["torgb"].facts["conv_clamp"]
            colours = plain_conv(torgb, x, w, demodulate=False, gain=float(torgb.facts["weight_gain"]))
            colours = (colours + torgb.tensors["bias"][:, None, None]).clamp(
                -torgb.facts["conv_clamp"], torgb.facts["conv_clamp"]
            )
            image = colours if image is None else image + colours
    assert image is not None
    return image


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize(("classes", "clamp"), [(0, 256), (3, 0.5)])
def test_stylegan2_is_its_formula(tmp_path: Path, architecture: str, classes: int, clamp: float) -> None:
    network = stylegan2(1, architecture=architecture, classes=classes, clamp=clamp)
    generator = opened(tmp_path, G_ema=network)
    z = generator.latents(range(3), 0)
    assert farthest(generator.observe(z, []).images, plain_stylegan2(network, z, classes)) < 1e-5


def test_grey_images_have_three_channels_alike(tmp_path: Path) -> None:
    network = stylegan2(0, 8, colours=1)
    generator = opened(tmp_path, G_ema=network)
    z = generator.latents(range(2), 0)
    images = generator.observe(z, []).images
    assert images.shape == (2, 3, 8, 8)
    assert farthest(images, plain_stylegan2(network, z, 0).expand(-1, 3, -1, -1)) < 1e-5
    r = generator.observe(z, ["b8.conv1"]).features["b8.conv1"]
    assert torch.equal(generator.render(r, "b8.conv1", z), images)


def test_layers_and_styles_have_the_names_of_the_file(tmp_path: Path) -> None:
    two = opened(tmp_path, "styles=yes", G_ema=stylegan2(0, 8))
    assert list(two.layers) == [
        *("style.b4.conv1", "b4.conv1", "style.b4.torgb"),
        *("style.b8.conv0", "b8.conv0", "style.b8.conv1", "b8.conv1", "style.b8.torgb"),
    ]
    assert two.layers["b8.conv0"] == LayerShape(7, 8, 8)
    assert two.layers["style.b8.conv0"] == LayerShape(8, 1, 1)
    three = opened(tmp_path, G_ema=stylegan3(0))
    assert three.layers == {
        "L0_12_8": (8, 12, 12), "L1_20_8": (8, 20, 20), "L2_16_8": (8, 16, 16), "L3_16_3": (3, 16, 16)
    }  # fmt: skip
    assert three.margins == {"L0_12_8": 2, "L1_20_8": 2, "L2_16_8": 0, "L3_16_3": 0}


@pytest.mark.parametrize("network", [stylegan2(0), stylegan2(0, architecture="resnet"), stylegan3(0)])
def test_styles_are_layers_on_request(tmp_path: Path, network: Kept) -> None:
    generator = opened(tmp_path, "styles=yes", G_ema=network)
    z = generator.latents(range(3), 0)
    seen = generator.observe(z, list(generator.layers))
    for layer, shape in generator.layers.items():
        r = seen.features[layer]
        assert r.shape == (3, *shape)
        assert torch.equal(generator.render(r, layer, z), seen.images)
        edit = Intervention.insert(layer, shape, [1], torch.full((shape.units,), 3.0))
        drawn = generator.edited(z, [edit])
        assert farthest(drawn, generator.render(edit(r), layer, z)) < 1e-5
        assert farthest(drawn, seen.images) > 1e-3
    assert torch.equal(opened(tmp_path, G_ema=network).observe(z, []).images, seen.images)


@pytest.mark.parametrize(
    ("network", "computed"), [(stylegan3(0), [3]), (stylegan2(0, 8, "orig"), [3]), (stylegan2(0, 8), [8, 3, 3])]
)
def test_rendering_computes_only_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Kept, computed: list[int]
) -> None:
    """From the last layer before the colours on; with skips, also what lower resolutions have drawn."""
    generator = opened(tmp_path, G_ema=network)
    z, calls, forward = generator.latents(range(1), 0), [], ModulatedConv.forward
    layer = "L2_16_8" if "L2_16_8" in generator.layers else "b8.conv1"
    r = generator.observe(z, [layer]).features[layer]

    def count(self: ModulatedConv, *arguments: Any) -> Tensor:
        calls.append(self.units)
        return forward(self, *arguments)

    monkeypatch.setattr(ModulatedConv, "forward", count)
    monkeypatch.delattr(FourierFeatures, "forward")
    generator.render(r, layer, z)
    assert calls == computed


@pytest.mark.parametrize("network", [stylegan2(0), stylegan2(0, architecture="resnet"), stylegan3(0)])
@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 0.2), ("float16", 0.03)])
def test_half_precision(tmp_path: Path, network: Kept, dtype: str, error: float) -> None:
    whole, half = (opened(tmp_path, f"dtype={name}", G_ema=network) for name in ("float32", dtype))
    z = whole.latents(range(4), 0)
    seen = half.observe(z, list(half.layers))
    assert 1e-5 < farthest(seen.images, whole.observe(z, []).images) < error
    for layer, r in seen.features.items():
        assert r.dtype == seen.images.dtype == torch.float32
        assert torch.equal(half.render(r, layer, z), seen.images), layer
    assert half.fingerprint != whole.fingerprint


def test_half_precision_does_not_overflow_where_styles_are_large(tmp_path: Path) -> None:
    network = stylegan2(0)
    for block in network.parts["synthesis"].parts.values():
        for layer in block.parts.values():
            layer.parts["affine"].tensors["bias"] *= 1e6 if layer.kind == "SynthesisLayer" else 1
    half = opened(tmp_path, "dtype=float16", G_ema=network)
    assert bool(half.observe(half.latents(range(2), 0), []).images.isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("network", [stylegan2(0, classes=3), stylegan3(0, radial=True)])
def test_everything_follows_the_device_of_the_weights(tmp_path: Path, network: Kept) -> None:
    """On a device that computes nothing, every operation still needs all of its tensors to be there."""
    path = write(tmp_path / "net.pkl", G_ema=network)
    generator = open_generator(f"stylegan:{path}?truncation=0.5&styles=1", device="meta")
    z = generator.latents(range(2), 0)
    seen = generator.observe(z, list(generator.layers))
    for layer, r in seen.features.items():
        assert r.device == generator.render(r, layer, z).device == seen.images.device == torch.device("meta")


def test_truncation(tmp_path: Path) -> None:
    network = stylegan2(0)
    plain, half, none, first = (
        opened(tmp_path, options, G_ema=network)
        for options in ("", "truncation=0.5", "truncation=0", "truncation=0&truncation_cutoff=2")
    )
    z = plain.latents(range(3), 0)
    w, mean = plain.w(z), network.parts["mapping"].tensors["w_avg"]
    assert w.shape == (3, 6, 8)
    assert farthest(half.w(z), (w + mean) / 2) < 1e-6
    assert farthest(none.w(z), mean.expand_as(w)) < 1e-6
    assert torch.equal(first.w(z)[:, 2:], w[:, 2:])
    assert farthest(first.w(z)[:, :2], mean.expand(3, 2, 8)) < 1e-6
    assert len({each.fingerprint for each in (plain, half, none, first)}) == 4


def test_classes(tmp_path: Path) -> None:
    network = stylegan2(0, classes=3)
    each, second = (opened(tmp_path, options, G_ema=network) for options in ("", "class=1"))
    z, given = each.latents(range(60), 0), second.latents(range(60), 0)
    assert torch.equal(z[:, :6], given[:, :6])
    assert z[:, 6:].sum(0).min() > 10  # all of them are drawn
    assert torch.equal(z[:, 6:].sum(1), torch.ones(60))
    assert torch.equal(given[:, 6:], torch.tensor([0.0, 1, 0]).expand(60, 3))
    other = torch.cat([given[:, :6], given[:, [8, 6, 7]]], 1)
    assert farthest(second.observe(given, []).images, second.observe(other, []).images) > 1e-3


def test_noise_can_be_left_out(tmp_path: Path) -> None:
    silent = stylegan2(0)
    for block in silent.parts["synthesis"].parts.values():
        for layer in block.parts.values():
            if "noise_strength" in layer.tensors:
                layer.tensors["noise_strength"] = torch.tensor(0.0)
    expected = opened(tmp_path, G_ema=silent)
    z = expected.latents(range(2), 0)
    without = opened(tmp_path, "noise=none", G_ema=stylegan2(0)).observe(z, []).images
    assert torch.equal(without, expected.observe(z, []).images)
    assert farthest(without, opened(tmp_path, "noise=const", G_ema=stylegan2(0)).observe(z, []).images) > 1e-3


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_files_of_any_age_open(tmp_path: Path, protocol: int) -> None:
    """The Python of StyleGAN2-ADA wrote protocol 3, that of StyleGAN3 protocol 4; the newest ones write 5."""
    for network in (stylegan2(0), stylegan3(0)):
        path = write(tmp_path / "net.pkl", protocol, G_ema=network)
        assert open_generator(f"stylegan:{path}").fingerprint == opened(tmp_path, G_ema=network).fingerprint


def test_the_network_can_be_chosen(tmp_path: Path) -> None:
    networks = {"G": stylegan2(1), "D": Kept("Discriminator"), "G_ema": stylegan2(0)}
    chosen, mean = (opened(tmp_path, options, **networks) for options in ("network=G", ""))
    assert chosen.fingerprint == opened(tmp_path, G_ema=stylegan2(1)).fingerprint != mean.fingerprint
    with mistake("unknown-name", "D", "G, G_ema"):
        opened(tmp_path, "network=D", **networks)


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ("class=3", "bad-value", "class=3"),
        ("class=x", "bad-value", "class='x'"),
        ("clas=3", "unknown-name", "class"),
        ("noise=random", "unknown-name", "const, none"),
        ("truncation=nan", "bad-value", "truncation=nan"),
        ("truncation_cutoff=9", "bad-value", "truncation_cutoff=9"),
        ("dtype=int8", "unknown-name", "float16"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        opened(tmp_path, options, G_ema=stylegan2(0, classes=3))


def test_options_that_need_what_the_file_lacks(tmp_path: Path) -> None:
    network = stylegan2(0)
    del network.parts["mapping"].tensors["w_avg"]
    assert opened(tmp_path, G_ema=network).layers
    with mistake("bad-value", "truncation", "mapping.w_avg"):
        opened(tmp_path, "truncation=0.7", G_ema=network)
    with mistake("bad-value", "class=0"):
        opened(tmp_path, "class=0", G_ema=network)


def at(network: Kept, path: str) -> Kept:
    for name in path.split("."):
        network = network.parts[name]
    return network


def facts(path: str, **values: object) -> Damage:
    return lambda network: at(network, path).facts.update(values)


def tensors(path: str, **values: Tensor) -> Damage:
    return lambda network: at(network, path).tensors.update(values)


def without(path: str) -> Damage:
    *parent, name = path.split(".")

    def remove(network: Kept) -> None:
        module = at(network, ".".join(parent)) if parent else network
        del (module.parts if name in module.parts else module.tensors)[name]

    return remove


ONE, CLASSES = torch.ones(1), {"weight": torch.ones(6, 2), "bias": torch.ones(6)}
EMBED = Kept("FullyConnectedLayer", CLASSES, activation="linear", weight_gain=1, bias_gain=1)
DAMAGE: dict[str, Damage] = {
    "G_ema.synthesis.b8.conv0.weight": without("synthesis.b8.conv0.weight"),
    "G_ema.mapping": without("mapping"),
    "G_ema.mapping.fc0": without("mapping.fc0"),
    "G_ema.synthesis.b4.conv1.affine": without("synthesis.b4.conv1.affine"),
    "b8.conv1.bias has shape [3], the model needs [7]": tensors("synthesis.b8.conv1", bias=torch.ones(3)),
    "noise_const has shape [1], the model needs [8, 8]": tensors("synthesis.b8.conv1", noise_const=ONE),
    "b8.torgb.bias holds NaN": tensors("synthesis.b8.torgb", bias=torch.full([3], math.nan)),
    "G_ema.mapping.extra and 1 more": tensors("mapping", extra=ONE, more=ONE),
    "G_ema.synthesis.b12": lambda n: at(n, "synthesis").parts.update(b12=Kept("X")),
    "b8.conv0.up": facts("synthesis.b8.conv0", up=3),
    "b8.conv0": facts("synthesis.b8.conv0", up=1),
    "b8.conv0.act_gain": facts("synthesis.b8.conv0", act_gain=math.nan),
    "b8.conv0.conv_clamp": facts("synthesis.b8.conv0", conv_clamp="256"),
    "b8.conv0.activation": facts("synthesis.b8.conv0", activation="relu"),
    "b8.architecture": facts("synthesis.b8", architecture=["skip"]),
    "torgb": facts("synthesis.b4", architecture="orig"),
    "b8.torgb draws 4 channels": tensors("synthesis.b8.torgb", weight=torch.ones(4, 7, 1, 1), bias=torch.ones(4)),
    "latent": lambda n: at(n, "mapping").parts.update(embed=EMBED),
    "G_ema.mapping is not a torch module": tensors("mapping", **{"a\nb": ONE}),
    "G_ema.synthesis is not a torch module": lambda n: n.parts.update(synthesis=7),
}


@pytest.mark.parametrize("fact", DAMAGE)
def test_a_network_that_does_not_fit_is_refused_by_name(tmp_path: Path, fact: str) -> None:
    network = stylegan2(0, 8)
    DAMAGE[fact](network)
    with mistake("bad-file", fact):
        opened(tmp_path, G_ema=network)


DAMAGE3: dict[str, Damage] = {
    "G_ema.synthesis.L1_20_8": facts("synthesis.L1_20_8", padding=[-90, 0, -90, 0]),
    "L1_20_8.padding": facts("synthesis.L1_20_8", padding=[1, 2]),
    "up_factor is not a number from 1 to 8": facts("synthesis.L1_20_8", up_factor=99),
    "up_factor is not a whole number": facts("synthesis.L1_20_8", up_factor=2.5),
    "input.size": facts("synthesis.input", size=[10**9, 10**9]),
    "G_ema.synthesis.input": facts("synthesis.input", size=[12, 13]),
    "L3_16_3": facts("synthesis.L3_16_3", up_factor=2),
    "L0_12_8.down_filter": without("synthesis.L0_12_8.down_filter"),
    "103 layers": lambda n: at(n, "synthesis").parts.update({f"X{i}": EMBED for i in range(100)}),
    "output_scale": facts("synthesis", output_scale=None),
}


@pytest.mark.parametrize("fact", DAMAGE3)
def test_a_stylegan3_that_does_not_fit_is_refused_by_name(tmp_path: Path, fact: str) -> None:
    network = stylegan3(0)
    DAMAGE3[fact](network)
    with mistake("bad-file", fact):
        opened(tmp_path, G_ema=network)


@pytest.mark.parametrize("content", [{"G": Kept("Discriminator")}, {"G_ema": 7}, {}])
def test_a_file_without_a_generator_is_refused(tmp_path: Path, content: Any) -> None:
    with mistake("bad-file", "StyleGAN"):
        opened(tmp_path, **content)


def test_modules_within_themselves_are_no_trap() -> None:
    state: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    state["_modules"]["loop"] = StubObject("Generator", state)
    assert list(Part(StubObject("Generator", state), "G", "file").unread()) == ["G.loop"]
