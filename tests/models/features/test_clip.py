"""Models like CLIP: the vectors of the model itself, of images and of words, and what is refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from safetensors.torch import load_file, save_file
from tiny_transformers import SIDE, save

from ganatomy.core.tensor_types import Images
from ganatomy.models.features import FeatureNetwork, WordNetwork, open_features
from ganatomy.models.features.clip import AT_ONCE

pytest.importorskip("transformers")
KINDS = ("clip", "siglip")
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": SIDE, "width": SIDE}}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXTS = ["tree", "stained glass window", "a"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    place = tmp_path_factory.mktemp("clip")
    return place, {name: save(place / name, name, **HALF) for name in KINDS}


@pytest.fixture
def copy(models: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(models[0] / "clip", tmp_path / "clip"))


def images(side: int = SIDE, count: int = 3) -> Images:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def tokens(text: str) -> list[int]:
    """Write a text as the tokenizer of the tests does, which joins t, r and e of "tree"."""
    pieces = [["tre", "e</w>"] if word == "tree" else [*word[:-1], f"{word[-1]}</w>"] for word in text.split()]
    known = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "tr", "tre"]
    return [len(known), *(known.index(piece) for each in pieces for piece in each), len(known) + 1]


def vectors(found: Any) -> torch.Tensor:
    return F.normalize(getattr(found, "pooler_output", found), dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_described_as_by_the_model(models: tuple[Path, dict[str, Any]], kind: str) -> None:
    network = open_features(f"clip:{models[0] / kind}")
    assert isinstance(network, FeatureNetwork)
    assert isinstance(network, WordNetwork)
    with torch.no_grad():
        expected = vectors(models[1][kind].get_image_features(images()))
    torch.testing.assert_close(network.features(images()), expected)
    many = images(count=AT_ONCE + 1)
    torch.testing.assert_close(network.features(many)[-1:], network.features(many[-1:]))
    larger = images(3 * SIDE)
    resized = F.interpolate(larger, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1)
    torch.testing.assert_close(network.features(larger), network.features(resized), atol=1e-5, rtol=1e-4)


def test_texts_are_described_as_by_clip(models: tuple[Path, dict[str, Any]]) -> None:
    network: Any = open_features(f"clip:{models[0] / 'clip'}")
    found = network.words(TEXTS)
    for text, own in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            expected = vectors(models[1]["clip"].get_text_features(torch.tensor([tokens(text)])))
        torch.testing.assert_close(own[None], expected)
    many = [LETTERS[i % 26] + LETTERS[i // 26] for i in range(AT_ONCE + 2)]
    torch.testing.assert_close(network.words(many)[-1:], network.words(many[-1:]))


def test_siglip_reads_texts_of_one_length(models: tuple[Path, dict[str, Any]]) -> None:
    network: Any = open_features(f"clip:{models[0] / 'siglip'}")
    model = models[1]["siglip"]
    length = model.config.text_config.max_position_embeddings
    for text, own in zip(TEXTS, network.words(TEXTS), strict=True):
        padded = torch.tensor([tokens(text) + [2 * len(LETTERS) + 3] * (length - len(tokens(text)))])
        with torch.no_grad():
            torch.testing.assert_close(own[None], vectors(model.get_text_features(padded)))


def test_a_template_stands_around_each_word(models: tuple[Path, dict[str, Any]]) -> None:
    plain, other = (open_features(f"clip:{models[0] / 'clip'}{more}") for more in ("", "?template=a {} b"))
    torch.testing.assert_close(other.words(["tree"]), plain.words(["a tree b"]))  # type: ignore[attr-defined]
    assert plain.fingerprint != other.fingerprint
    assert plain.fingerprint == open_features(f"clip:{models[0] / 'clip'}").fingerprint
    with mistake("bad-value", "template", "'a tree'"):
        open_features(f"clip:{models[0] / 'clip'}?template=a tree")


def test_without_a_file_on_its_images_they_are_prepared_as_for_clip(copy: Path) -> None:
    with_file: Any = open_features(f"clip:{copy}")
    (copy / "preprocessor_config.json").unlink()
    network: Any = open_features(f"clip:{copy}")
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    as_clip = ((images() + 1) / 2 - mean) / std  # what the file of the tests leaves as it is
    torch.testing.assert_close(network.features(images()), with_file.features(as_clip))


def test_a_word_that_is_too_long_is_named(models: tuple[Path, dict[str, Any]]) -> None:
    network: Any = open_features(f"clip:{models[0] / 'clip'}")
    with mistake("bad-value", "'abcabcabcabcabcabcabcabcabc'", 29, 24):
        network.words(["tree", "abc" * 9])


def _without(name: str) -> Callable[[Path], None]:
    return lambda place: (place / name).unlink()


def _tensor(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def changed(place: Path) -> None:
        state = load_file(place / "model.safetensors")
        change(state)
        save_file(state, place / "model.safetensors")

    return changed


def _config(**values: Any) -> Callable[[Path], None]:
    def changed(place: Path) -> None:
        config = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**config, **values}))

    return changed


@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        (_without("config.json"), "config.json"),
        (_without("model.safetensors"), "no weights"),
        (_without("vocab.json"), "tokenizer"),
        (_tensor(lambda state: state["text_projection.weight"].fill_(torch.nan)), "NaN"),
        (_tensor(lambda state: state.pop("visual_projection.weight")), "visual_projection.weight"),
        (_tensor(lambda state: state.update({"text_projection.weight": torch.ones(3, 16)})), "text_projection.weight"),
        (lambda place: os.truncate(place / "merges.txt", 1 << 40), "merges.txt"),
        (_config(model_type="segformer"), "segformer"),
        (_config(model_type="clip_vision_model"), "clip_vision_model"),
        (_config(model_type="clop"), "'clop'"),
        (_config(projection_dim=1 << 40), str(1 << 40)),
    ],
)
def test_what_is_no_such_model_is_one_line(spoil: Callable[[Path], None], fact: str, copy: Path) -> None:
    spoil(copy)
    with mistake("bad-file", fact):
        open_features(f"clip:{copy}")


def test_code_of_a_directory_is_not_run(copy: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('run')\n")
    _config(auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.Config"})(copy)
    (copy / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}}))
    open_features(f"clip:{copy}").features(images())
