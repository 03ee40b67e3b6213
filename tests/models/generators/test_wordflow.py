"""The words model: its sampler against Euler steps by hand, its files, and what its prompts do to images."""

import itertools
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from tiny_words import save_words, tiny_network

import ganatomy
from ganatomy.core.vocabulary import find_concept
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.generators.words import UNSAID, WORDS, WordTransformer, WordUNet, word_states
from ganatomy.models.segmenters import open_segmenter


def opened(name: str) -> SampledGenerator:
    generator = open_generator(name)
    assert isinstance(generator, SampledGenerator)
    return generator


@pytest.mark.parametrize(("kind", "guidance"), [("unet", 1.0), ("unet", 3.0), ("dit", 3.0)])
def test_images_are_euler_steps_of_the_velocity(tmp_path: Path, kind: str, guidance: float) -> None:
    prompts = ["a church by day", "a winter church, no tree"]
    name = save_words(tmp_path / "w.pth", kind=kind)
    generator = opened(f"{name}?steps=4&guidance={guidance}&prompts={'; '.join(prompts)}")
    network = generator.network
    assert isinstance(network, WordUNet if kind == "unet" else WordTransformer)
    z = generator.latents(range(3), 5)
    states = torch.tensor([word_states(prompts[i % 2]) for i in range(3)])
    x = z[:, :-1].reshape(3, 3, 32, 32)
    times = torch.linspace(1, 0, 5)
    with torch.no_grad():
        for now, then in itertools.pairwise(times):
            t = now.expand(3)
            given, without = network(x, t, states), network(x, t, torch.full_like(states, UNSAID))
            x = x + (then - now) * (without + guidance * (given - without))
    assert torch.allclose(generator.observe(z, ()).images, x, atol=1e-4)


def test_pairs_share_their_noise_and_differ_in_a_word(tmp_path: Path) -> None:
    name = f"{save_words(tmp_path / 'w.pth')}?steps=1&prompts=a church by {{day|night}}"
    paired, plain = opened(f"{name}&pairs=yes"), opened(name)
    z, own = paired.latents(range(8), 3), plain.latents(range(4), 3)
    assert torch.equal(z[[0, 1, 4, 5], :-1], own[:, :-1])
    assert torch.equal(z[[0, 1, 4, 5], :-1], z[[2, 3, 6, 7], :-1])
    assert torch.equal(z[2:6], paired.latents(range(2, 6), 3))
    assert paired.prompt_of(z) == [*["a church by day"] * 2, *["a church by night"] * 2] * 2
    assert [paired.prompts[i % len(paired.prompts)] for i in range(8)] == paired.prompt_of(z)
    assert paired.fingerprint != plain.fingerprint


def test_stages_are_offered_and_their_parts_on_request(tmp_path: Path) -> None:
    name = save_words(tmp_path / "w.pth")
    stages = list(opened(name).blocks)
    assert stages == ["down1", "down2", "down3", "middle", "up3", "up2", "up1", "up0"]
    inner = opened(f"{name}?inner=yes").blocks
    assert {*stages, "down2.attn2.query"} <= {*inner}
    assert list(opened(f"{name}?layers=up1,down2").blocks) == ["down2", "up1"]


def test_blocks_of_a_transformer_are_maps_of_its_tokens(tmp_path: Path) -> None:
    generator = opened(f"{save_words(tmp_path / 'w.pth', kind='dit')}?words=yes&step=2")
    assert {*generator.blocks} == {f"blocks.{i}{part}" for i in range(3) for part in ("", ".attn2:words")}
    assert tuple(generator.layers["blocks.1@2"]) == (8, 4, 4)
    assert tuple(generator.layers["blocks.1.attn2@2:words"]) == (len(WORDS), 4, 4)
    maps = generator.observe(generator.latents(range(2), 0), ["blocks.2.attn2@2:words"]).features
    assert torch.allclose(maps["blocks.2.attn2@2:words"].sum(1), torch.ones(2, 4, 4), atol=1e-5)


def test_a_token_is_the_patch_at_its_place() -> None:
    """With attention left out, what is at one patch changes the velocity there alone."""
    network = tiny_network("dit")
    for name, weight in network.named_parameters():
        weight.data.normal_(std=0.2)
        if ".attn" in name and ".out." in name:
            weight.data.zero_()
    x, states = torch.randn(1, 3, 32, 32), torch.full((1, len(WORDS)), UNSAID)
    other = x.clone()
    other[:, :, 8:16, 24:] += 1
    with torch.no_grad():
        changed = (network(other, torch.ones(1), states) - network(x, torch.ones(1), states)).abs().amax((0, 1)) > 1e-6
    assert bool(changed[8:16, 24:].all())
    changed[8:16, 24:] = False
    assert not bool(changed.any())


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ("prompts=a chruch", "unknown-name", ["'chruch'"]),
        ("steps=0", "bad-value", ["steps=0"]),
        ("step=9", "bad-value", ["step=9", "1 to 8"]),
        ("step=first", "bad-value", ["step=first"]),
        ("guidance=inf", "bad-value", ["guidance=inf"]),
        ("half=uncond", "bad-value", ["half=uncond"]),
        ("layers=up7", "unknown-name", ["up7", "did you mean"]),
        ("prompts=none.txt", "bad-file", ["none.txt"]),
        ("pairs=yes", "bad-value", ["pairs=yes", "9"]),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, options: str, code: str, facts: list[str]) -> None:
    with mistake(code, *facts):
        open_generator(f"{save_words(tmp_path / 'w.pth')}?{options}")


OTHER_SIZES = [
    {"size": torch.tensor(30)},
    {"size": torch.tensor(float("nan"))},
    {"size": torch.tensor(1 << 20)},
    {"size": torch.tensor(0)},
    {"words.weight": torch.zeros(3 * len(WORDS) + 3, 8)},
    {"words.weight": torch.zeros(())},
    {"words.weight": torch.zeros(60)},
]


@pytest.mark.parametrize(
    ("kind", "changes", "needed"),
    [
        (
            "unet",
            [
                {"input.weight": torch.zeros(8, 47, 3, 3)},
                {"input.weight": torch.zeros(1 << 16, 3, 1, 1)},
                {"down2.block.conv2.weight": torch.zeros(9, 9, 3, 3)},
            ],
            "up1.block.conv1.weight",
        ),
        (
            "dit",
            [
                {"input.weight": torch.zeros(8, 191)},
                {"input.weight": torch.zeros(6, 192)},
                {"input.weight": torch.zeros(1 << 16, 192)},
                {"places": torch.zeros(15, 8)},
                {"blocks.7.offset": torch.zeros(6, 8)},
            ],
            "blocks.1.attn1.query.weight",
        ),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, kind: str, changes: list[dict[str, torch.Tensor]], needed: str
) -> None:
    path = tmp_path / "w.pth"
    save_words(path, kind=kind)
    state = torch.load(path, weights_only=True)
    for change in [*OTHER_SIZES, *changes]:
        torch.save(state | change, path)
        with mistake("bad-file", path):
            open_generator(f"wordflow:{path}")
    for left_out in ("words.weight", needed, "size"):
        torch.save({name: tensor for name, tensor in state.items() if name != left_out}, path)
        with mistake("bad-file", path):
            open_generator(f"wordflow:{path}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["church-words", "church-words-dit"])
def test_the_bundled_models_draw_what_is_said(name: str) -> None:
    segmenter = open_segmenter("bundled:scenes?size=64")
    for word in ("dome", "path", "tower"):
        generator = opened(f"bundled:{name}?prompts=a church with {word}; a church without {word}")
        seen = generator.observe(generator.latents(range(24), 0), ()).images
        shown = (segmenter(seen)[:, 0] == find_concept(segmenter.vocabulary, f"object:{word}")).sum((1, 2)).double()
        assert float(shown[::2].mean()) > 3 * float(shown[1::2].mean()), word


@pytest.mark.slow
def test_tokens_of_the_bundled_transformer_mark_what_is_there(tmp_path: Path) -> None:
    options = {"segmenter": "bundled:scenes?size=64", "layers": ("blocks.3@4",), "images": 64, "levels": 20}
    found = ganatomy.dissect("bundled:church-words-dit?step=4", out=tmp_path / "study", **options)
    units = found.units[found.units.matched]
    assert {"cloud", "dome"} <= set(units.label)
    assert (units.iou > units.control).all()
