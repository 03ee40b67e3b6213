"""Models that write captions: the texts of the model itself, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_transformers
import torch
from mistakes import mistake
from tiny_captioners import save

from ganatomy.models.features import CaptionNetwork, caption, open_features

transformers = pytest.importorskip("transformers")
assert caption  # which registers it


def test_captions_are_those_of_the_model(tmp_path: Path) -> None:
    model = save(tmp_path / "blip", "blip")
    network = open_features(f"caption:{tmp_path / 'blip'}?length=5")
    assert isinstance(network, CaptionNetwork)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = network.captions(images)
    mean, std = (
        torch.tensor(each).view(1, 3, 1, 1)
        for each in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    with torch.no_grad():
        tokens = model.generate(pixel_values=((images + 1) / 2 - mean) / std, max_new_tokens=5, do_sample=False)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(str(tmp_path / "blip"))
    assert found == tokenizer.batch_decode(tokens, skip_special_tokens=True)
    assert any(found)
    with mistake("bad-model", "words"):
        network.features(images)


def _config(**values: Any) -> Callable[[Path], None]:
    def changed(place: Path) -> None:
        config = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**config, **values}))

    return changed


def _pickled(place: Path) -> None:
    (place / "model.safetensors").rename(place / "weights.pkl")


@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        (lambda place: (place / "model.safetensors").unlink(), "no weights"),
        (_pickled, "no weights"),
        (lambda place: (place / "vocab.txt").unlink(), "tokenizer"),
        (_config(model_type="segformer"), "segformer"),
        (_config(model_type="own", auto_map={"AutoModel": "own.Own"}), "'own'"),
    ],
)
def test_what_is_no_captioner_is_refused(spoil: Callable[[Path], None], fact: str, tmp_path: Path) -> None:
    save(tmp_path / "blip", "blip")
    spoil(tmp_path / "blip")
    with mistake("bad-file", fact):
        open_features(f"caption:{tmp_path / 'blip'}")


@pytest.mark.parametrize("values", [{"num_hidden_layers": 1_000_000}, {"intermediate_size": 1 << 24}])
def test_a_model_far_larger_than_its_file_is_not_built(values: dict[str, int], tmp_path: Path) -> None:
    config = save(tmp_path / "blip", "blip").config.to_dict()
    _config(text_config={**config["text_config"], **values})(tmp_path / "blip")
    with mistake("bad-file", "config.json", "larger"):
        open_features(f"caption:{tmp_path / 'blip'}")


@pytest.mark.parametrize("option", ["length=0", "length=513", "size=0", "size=8193"])
def test_captions_and_images_have_sizes(option: str, tmp_path: Path) -> None:
    save(tmp_path / "blip", "blip")
    with mistake("bad-value", option):
        open_features(f"caption:{tmp_path / 'blip'}?{option}")


@pytest.mark.parametrize("name", ["blip", "git", "vit-gpt2"])
def test_no_caption_is_longer_than_the_model_has_places_for(name: str, tmp_path: Path) -> None:
    config = save(tmp_path, name).config.get_text_config(decoder=True)
    with mistake("bad-value", f"at most {config.max_position_embeddings - 1} tokens"):
        open_features(f"caption:{tmp_path}?length={config.max_position_embeddings}")


@pytest.mark.parametrize("name", ["blip", "vit-gpt2"])
def test_settings_of_a_search_change_no_caption(name: str, tmp_path: Path) -> None:
    config = save(tmp_path / "model", name).config.to_dict()
    images = torch.zeros(1, 3, 32, 32)
    own = open_features(f"caption:{tmp_path / 'model'}?length=9").captions(images)  # type: ignore[attr-defined]
    settings: dict[str, Any] = {"max_time": 1e-9, "repetition_penalty": 9.0, "num_beams": 3, "penalty_alpha": 0.5}
    if name == "blip":
        settings["text_config"] = {**config["text_config"], **settings}
        settings["decoder"] = None  # which it has not
    _config(**settings)(tmp_path / "model")
    assert open_features(f"caption:{tmp_path / 'model'}?length=9").captions(images) == own  # type: ignore[attr-defined]


def test_clip_writes_no_captions(tmp_path: Path) -> None:
    tiny_transformers.save(tmp_path / "clip", "clip")
    with mistake("bad-file", "clip", "captions"):
        open_features(f"caption:{tmp_path / 'clip'}")


@pytest.mark.parametrize("name", ["git", "vit-gpt2"])  # that of ViT has no file on images: its own default is 0.5
def test_captions_of_other_kinds_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    model = save(tmp_path, name)
    if name == "git":
        half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(half))
    network = open_features(f"caption:{tmp_path}?length=5")
    assert isinstance(network, CaptionNetwork)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = network.captions(images)
    with torch.no_grad():
        tokens = model.generate(pixel_values=images, max_new_tokens=5, do_sample=False, num_beams=1)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(str(tmp_path))
    assert found == tokenizer.batch_decode(tokens, skip_special_tokens=True)
    assert any(found)
