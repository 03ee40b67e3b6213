"""Grounding DINO with SAM 2: the models' own answers, their published files, and their preprocessing."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from mistakes import mistake
from open_words import smooth_images, spec
from processors import declared
from tiny_transformers import save
from torch import Tensor

from ganatomy.core.tensor_types import Images
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.grounded_sam import GroundedSamSegmenter
from ganatomy.models.segmenters.open_vocabulary import square_preprocessing
from ganatomy.models.segmenters.preprocessing import IMAGENET, read_preprocessing


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Any, Any]:
    return tmp_path, save(tmp_path / "grounding-dino", "grounding-dino"), save(tmp_path / "sam2", "sam2")


def opened(directory: Path, **options: object) -> GroundedSamSegmenter:
    segmenter = open_segmenter(spec("grounded-sam", directory, **options))
    assert isinstance(segmenter, GroundedSamSegmenter)
    return segmenter


def prepared(images: Images) -> Tensor:
    """Images of 64 pixels, of which none is resized."""
    mean, std = (torch.tensor(IMAGENET[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    return ((images + 1) / 2 - mean) / std


def numbers(*pieces: str) -> list[int]:
    marks = {"[CLS]": 101, "[SEP]": 102, ".": 1012}
    return [marks[p] if p in marks else 1030 + ord(p[-1]) - ord("a") + 26 * (len(p) > 1) for p in pieces]


CAPTION = numbers("[CLS]", "c", "##a", "##t", ".", "o", "##l", "##d", "d", "##o", "##o", "##r", ".", "[SEP]")
"""The concepts *cat* and *old door*."""


@pytest.mark.parametrize("boxes", [3, 50])
def test_scores_are_those_of_the_models(models: tuple[Path, Any, Any], boxes: int) -> None:
    directory, detector, sam = models
    images = smooth_images()
    segmenter = opened(directory, concepts="Cat,old door", boxes=boxes)
    tokens = torch.tensor([CAPTION]).expand(3, -1)
    with torch.no_grad():
        found = detector(pixel_values=prepared(images), input_ids=tokens, attention_mask=torch.ones_like(tokens))
    for concept, places in ((1, [1, 2, 3]), (2, [5, 6, 7, 8, 9, 10, 11])):
        scores = found.logits.sigmoid()[..., places].mean(2)
        maps = []
        for i in range(3):
            order = scores[i].argsort(descending=True)[:boxes]
            x, y, width, height = found.pred_boxes[i][order].T
            corners = 64 * torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
            with torch.no_grad():
                masks = sam(
                    pixel_values=prepared(images[i : i + 1]), input_boxes=corners[None], multimask_output=False
                ).pred_masks[0, :, 0]
            maps.append((scores[i][order][:, None, None] * masks.sigmoid()).amax(0))
        expected = torch.nn.functional.interpolate(torch.stack(maps)[:, None], (64, 64), mode="bilinear")[:, 0]
        torch.testing.assert_close(segmenter.score(images, concept), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(segmenter.scores(images)[:, concept - 1], expected, rtol=1e-4, atol=1e-5)


def test_boxes_lie_where_the_image_has_them(models: tuple[Path, Any, Any]) -> None:
    """Fractions of the image, whatever the size at which either model reads it."""
    directory, detector, _ = models
    scores, boxes = opened(directory).detect(smooth_images())
    assert scores.shape == (3, 8, 2)
    assert bool(((scores > 0) & (scores < 1)).all())
    tree, door = ["t", "##r", "##e", "##e"], ["d", "##o", "##o", "##r"]
    tokens = torch.tensor([numbers("[CLS]", *tree, ".", *door, ".", "[SEP]")]).expand(3, -1)
    with torch.no_grad():
        found = detector(pixel_values=prepared(smooth_images()), input_ids=tokens, attention_mask=tokens > 0)
    torch.testing.assert_close((boxes[..., :2] + boxes[..., 2:]) / 2, found.pred_boxes[..., :2])
    torch.testing.assert_close(boxes[..., 2:] - boxes[..., :2], found.pred_boxes[..., 2:])


def test_concepts_share_pixels_unless_they_may_overlap(models: tuple[Path, Any, Any]) -> None:
    directory, images = models[0], smooth_images()
    scores = opened(directory).scores(images)
    low = 0.9 * float(scores.min())
    assert torch.equal(opened(directory, thresholds=low)(images)[:, 0], scores.argmax(1) + 1)
    both = opened(directory, thresholds=low, overlap="yes")
    assert both.planes == ("tree", "door")
    assert both(images).amin((0, 2, 3)).tolist() == [1, 2]


def test_images_are_prepared_as_the_models_own_code_says(tmp_path: Path) -> None:
    """Bounds and sizes; how they are resized is compared with Pillow among the models of transformers."""
    dino, sam = declared("grounding_dino", "GroundingDinoImageProcessor"), declared("sam2", "Sam2ImageProcessor")
    made = read_preprocessing(tmp_path, {"model_type": "grounding-dino"})
    assert (made.shortest, made.longest) == (dino["size"]["shortest_edge"], dino["size"]["longest_edge"]) == (800, 1333)
    assert made.size(300, 400) == (800, 1066)
    square = square_preprocessing(tmp_path, "sam2", sam["size"]["height"])
    assert square.fixed == (sam["size"]["height"], sam["size"]["width"]) == (1024, 1024)
    for own, each in ((dino, made), (sam, square)):
        assert (list(each.mean), list(each.std)) == (own["image_mean"], own["image_std"])
        assert each.filter == own["resample"].name.lower()
        assert (each.multiple, each.flipped) == (1, False)
        assert each.white == pytest.approx(1)


def test_the_published_files_of_sam_2_are_of_the_video_model(models: tuple[Path, Any, Any]) -> None:
    directory, images = models[0], smooth_images()
    plain = opened(directory).scores(images)
    config, file = directory / "sam2" / "config.json", directory / "sam2" / "model.safetensors"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "model_type": "sam2_video", "num_maskmem": 7, "image_size": 64}))
    state = safetensors.torch.load_file(file)
    safetensors.torch.save_file({**state, "memory_encoder.x": torch.zeros(2)}, file)
    assert torch.equal(opened(directory).scores(images), plain)


@pytest.mark.parametrize("concepts", ["st. john,tree", "who?,tree", "tree,.", "tree,\u200b\u200b"])
def test_a_concept_must_be_one_phrase(models: tuple[Path, Any, Any], concepts: str) -> None:
    with mistake("bad-value", "concepts", "Grounding DINO", "2 concepts"):
        opened(models[0], concepts=concepts)


def test_what_it_needs_beside_words(models: tuple[Path, Any, Any]) -> None:
    directory = models[0]
    with mistake("bad-value", "?sam="):
        open_segmenter(f"grounded-sam:{directory}/grounding-dino?concepts=tree")
    with mistake("bad-value", "boxes=0"):
        opened(directory, boxes=0)
    with mistake("bad-file", "grounding-dino", "not a sam2", "grounded-sam:"):
        opened(directory, sam=directory / "grounding-dino")
    with mistake("bad-file", "sam2", "not a grounding-dino"):
        open_segmenter(f"grounded-sam:{directory}/sam2?sam={directory}/sam2&concepts=tree")


@pytest.mark.parametrize(("name", "tensor"), [("grounding-dino", "text_projection.weight"), ("sam2", "neck.convs")])
def test_a_tensor_that_lacks_is_told_of_the_model_that_lacks_it(
    models: tuple[Path, Any, Any], name: str, tensor: str
) -> None:
    file = models[0] / name / "model.safetensors"
    state = safetensors.torch.load_file(file)
    safetensors.torch.save_file({key: x for key, x in state.items() if tensor not in key}, file)
    with mistake("bad-file", models[0] / name, "lacks tensor"):
        opened(models[0])


def test_what_goes_wrong_inside_is_one_line(models: tuple[Path, Any, Any]) -> None:
    images, segmenter = smooth_images(), opened(models[0])
    segmenter._detector.class_embed[0].max_text_len = 2
    with mistake("bad-model", "Grounding DINO", "RuntimeError"):
        segmenter(images)
    segmenter = opened(models[0])
    segmenter._sam.no_memory_embedding.data = torch.zeros(3)
    with mistake("bad-model", "SAM 2", "RuntimeError"):
        segmenter(images)
    segmenter._sam.no_memory_embedding.data = torch.full((1, 1, 16), torch.nan)
    with mistake("bad-model", "SAM 2", "NaN", "torch.float32"):
        segmenter(images)
