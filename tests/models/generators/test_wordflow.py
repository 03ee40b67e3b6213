"""The words model: its sampler against Euler steps by hand, its files, and what its prompts do to images."""

import itertools
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from tiny_words import save_words

from ganatomy.core.vocabulary import find_concept
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.generators.words import UNSAID, WORDS, WordUNet, word_states
from ganatomy.models.segmenters import open_segmenter


def opened(name: str) -> SampledGenerator:
    generator = open_generator(name)
    assert isinstance(generator, SampledGenerator)
    return generator


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_images_are_euler_steps_of_the_velocity(tmp_path: Path, guidance: float) -> None:
    prompts = ["a church by day", "a winter church, no tree"]
    generator = opened(f"{save_words(tmp_path / 'w.pth')}?steps=4&guidance={guidance}&prompts={'; '.join(prompts)}")
    network = generator.network
    assert isinstance(network, WordUNet)
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


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    save_words(path)
    state = torch.load(path, weights_only=True)
    changes: list[dict[str, torch.Tensor]] = [
        {"size": torch.tensor(30)},
        {"size": torch.tensor(1 << 20)},
        {"words.weight": torch.zeros(3 * len(WORDS) + 3, 8)},
        {"input.weight": torch.zeros(8, 47, 3, 3)},
        {"down2.block.conv2.weight": torch.zeros(9, 9, 3, 3)},
    ]
    for change in changes:
        torch.save(state | change, path)
        with mistake("bad-file", path):
            open_generator(f"wordflow:{path}")
    for left_out in ("words.weight", "up1.block.conv1.weight", "size"):
        torch.save({name: tensor for name, tensor in state.items() if name != left_out}, path)
        with mistake("bad-file", path):
            open_generator(f"wordflow:{path}")


@pytest.mark.slow
def test_the_bundled_model_draws_what_is_said() -> None:
    segmenter = open_segmenter("bundled:scenes?size=64")
    for word in ("dome", "path", "tower"):
        generator = opened(f"bundled:church-words?prompts=a church with {word}; a church without {word}")
        seen = generator.observe(generator.latents(range(24), 0), ()).images
        shown = (segmenter(seen)[:, 0] == find_concept(segmenter.vocabulary, f"object:{word}")).sum((1, 2)).double()
        assert float(shown[::2].mean()) > 3 * float(shown[1::2].mean()), word
