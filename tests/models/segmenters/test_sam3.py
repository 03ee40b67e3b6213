"""SAM 3: the model's own answers, its published files, and its preprocessing."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from mistakes import mistake
from open_words import smooth_images, spec
from processors import declared
from tiny_transformers import save
from torch import Tensor

from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.open_vocabulary import square_preprocessing
from ganatomy.models.segmenters.sam3 import Sam3Segmenter


@pytest.fixture
def sam3(tmp_path: Path) -> tuple[Path, Any]:
    return tmp_path, save(tmp_path / "sam3", "sam3")


def opened(directory: Path, **options: object) -> Sam3Segmenter:
    segmenter = open_segmenter(spec("sam3", directory, **options))
    assert isinstance(segmenter, Sam3Segmenter)
    return segmenter


def tokens(directory: Path, word: str) -> dict[str, Tensor]:
    """Write a word of letters as the model's own processor does: up to its greatest length."""
    known = json.loads((directory / "sam3" / "vocab.json").read_text())
    letters = ["<|startoftext|>", *word[:-1], f"{word[-1]}</w>", "<|endoftext|>"]
    ids = [known[letter] for letter in letters]
    rest = 24 - len(ids)
    return {
        "input_ids": torch.tensor([ids + rest * ids[-1:]]).expand(3, -1),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * rest]).expand(3, -1),
    }


def test_scores_are_those_of_the_model(sam3: tuple[Path, Any]) -> None:
    """The scores and masks of instances, as its processor has them, over black, grey and white as -1, 0 and 1."""
    directory, model = sam3
    images = smooth_images(32)
    segmenter = opened(directory, concepts="door,cat")
    for concept, word in enumerate(("door", "cat"), 1):
        with torch.no_grad():
            found = model(pixel_values=images, **tokens(directory, word))
        scores = found.pred_logits.sigmoid() * found.presence_logits.sigmoid()
        masks = found.pred_masks.sigmoid()
        expected = torch.stack([(s[:, None, None] * m).max(0).values for s, m in zip(scores, masks, strict=True)])
        torch.testing.assert_close(segmenter.score(images, concept), expected)
        torch.testing.assert_close(segmenter.scores(images)[:, concept - 1], expected)
    larger = F.interpolate(images, (40, 48))
    smaller = segmenter._preprocess(larger)
    assert smaller.shape == (3, 3, 32, 32)
    resized = F.interpolate(segmenter.scores(smaller), (40, 48), mode="bilinear")
    torch.testing.assert_close(segmenter.scores(larger), resized)


def test_concepts_share_pixels_unless_they_may_overlap(sam3: tuple[Path, Any]) -> None:
    directory, images = sam3[0], smooth_images(32)
    scores = opened(directory).scores(images)
    low = 0.9 * float(scores.min())
    labels = opened(directory, thresholds=low)(images)
    assert torch.equal(labels[:, 0], scores.argmax(1) + 1)
    assert set(labels.flatten().tolist()) == {1, 2}
    both = opened(directory, thresholds=low, overlap="yes")
    assert both.planes == ("tree", "door")
    assert both(images).amin((0, 2, 3)).tolist() == [1, 2]


def test_images_are_prepared_as_the_models_own_code_says(tmp_path: Path) -> None:
    own = declared("sam3", "Sam3ImageProcessor")
    made = square_preprocessing(tmp_path, "sam3", own["size"]["height"])
    assert made.fixed == (own["size"]["height"], own["size"]["width"]) == (1008, 1008)
    assert (list(made.mean), list(made.std)) == (own["image_mean"], own["image_std"])
    assert made.filter == own["resample"].name.lower()
    assert (made.shortest, made.multiple, made.flipped) == (None, 1, False)
    assert made.white == pytest.approx(1)


def test_the_published_files_hold_the_video_model(sam3: tuple[Path, Any]) -> None:
    directory, images = sam3[0], smooth_images(32)
    plain = opened(directory).scores(images)
    config, file = directory / "sam3" / "config.json", directory / "sam3" / "model.safetensors"
    inner = json.loads(config.read_text())
    config.write_text(json.dumps({"model_type": "sam3_video", "detector_config": inner, "tracker_config": {}}))
    state = {f"detector_model.{name}": tensor for name, tensor in safetensors.torch.load_file(file).items()}
    safetensors.torch.save_file({**state, "tracker_model.x": torch.zeros(2)}, file)
    assert torch.equal(opened(directory).scores(images), plain)
    config.write_text(json.dumps({"model_type": "sam3_video", "detector_config": [inner]}))
    with mistake("bad-file", config, "detector_config"):
        opened(directory)


def test_another_size_is_another_grid(sam3: tuple[Path, Any]) -> None:
    directory, images = sam3[0], smooth_images()
    sizes = [opened(directory, size=size).scores(images) for size in (32, 48, 50)]
    assert all(scores.shape == (3, 2, 64, 64) for scores in sizes)
    assert not torch.allclose(sizes[0], sizes[1])
    config = json.loads((directory / "sam3" / "config.json").read_text())
    config["vision_config"]["backbone_config"]["image_size"] = [32, 32]
    (directory / "sam3" / "config.json").write_text(json.dumps(config))
    with mistake("bad-file", "image_size"):
        open_segmenter(f"sam3:{directory}/sam3?concepts=tree")


def test_a_tensor_that_nothing_depends_on_may_lack(sam3: tuple[Path, Any]) -> None:
    """Boxes are never given, so what encodes them is never asked."""
    directory, images = sam3[0], smooth_images(32)
    plain = opened(directory).scores(images)
    file = directory / "sam3" / "model.safetensors"
    state = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: x for name, x in state.items() if "geometry" not in name}, file)
    assert torch.equal(opened(directory).scores(images), plain)
    safetensors.torch.save_file({name: x for name, x in state.items() if "presence_head" not in name}, file)
    with mistake("bad-file", directory / "sam3", "presence_head"):
        opened(directory)


def test_what_goes_wrong_inside_is_one_line(sam3: tuple[Path, Any]) -> None:
    segmenter, images = opened(sam3[0]), smooth_images(32)
    words, segmenter._embeddings = segmenter._embeddings, segmenter._embeddings[..., :5]
    with mistake("bad-model", "SAM 3", "RuntimeError"):
        segmenter(images)
    segmenter._embeddings = words * torch.nan
    with mistake("bad-model", "SAM 3", "NaN", "torch.float32"):
        segmenter(images)
