"""CLIPSeg: the model's own answers, and a plane a concept."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake
from open_words import smooth_images
from tiny_transformers import save

from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissect import facts
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.clipseg import ClipSegmenter
from ganatomy.models.segmenters.thresholds import calibrate

PLAIN = {"size": {"height": 64, "width": 64}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    directory = tmp_path_factory.mktemp("clip")
    return directory, save(directory, "clipseg", **PLAIN)


@pytest.fixture
def images() -> Images:
    return smooth_images()


def opened(clip: tuple[Path, Any], **options: object) -> ClipSegmenter:
    given = {"concepts": "tree,stained glass window", **options}
    segmenter = open_segmenter(f"clipseg:{clip[0]}?" + "&".join(f"{k}={v}" for k, v in given.items()))
    assert isinstance(segmenter, ClipSegmenter)
    return segmenter


def numbers(directory: Path, text: str) -> list[int]:
    """Write text as the tokenizer does; the vocabulary of the tests joins t, r and e of "tree"."""
    known = json.loads((directory / "vocab.json").read_text())
    made = [known["<|startoftext|>"]]
    for word in text.split():
        pieces = ["tre", "e</w>"] if word == "tree" else [*word[:-1], f"{word[-1]}</w>"]
        made += [known[piece] for piece in pieces]
    return [*made, known["<|endoftext|>"]]


@pytest.mark.parametrize(("concept", "words"), [(1, "tree"), (2, "stained glass window")])
def test_scores_are_those_of_the_model(clip: tuple[Path, Any], images: Images, concept: int, words: str) -> None:
    directory, model = clip
    tokens = torch.tensor([numbers(directory, words)]).expand(3, -1)
    with torch.no_grad():
        expected = model(input_ids=tokens, pixel_values=images).logits.sigmoid()
    segmenter = opened(clip)
    torch.testing.assert_close(segmenter.score(images, concept), expected)
    torch.testing.assert_close(segmenter.scores(images)[:, concept - 1], expected)
    torch.testing.assert_close(segmenter.score(images[:1], concept), expected[:1])


def test_each_concept_has_a_plane_that_shows_it_from_its_threshold_on(clip: tuple[Path, Any], images: Images) -> None:
    segmenter = opened(clip, thresholds="0.5,0.45")
    assert segmenter.vocabulary == (NOTHING, Concept("tree", "object"), Concept("stained glass window", "object"))
    assert segmenter.planes == ("tree", "stained glass window")
    labels, scores = segmenter(images), segmenter.scores(images)
    assert torch.equal(labels[:, 0], (scores[:, 0] >= 0.5).long())
    assert torch.equal(labels[:, 1], (scores[:, 1] >= 0.45).long() * 2)
    assert all(len(labels[:, i].unique()) == 2 for i in (0, 1))
    assert bool((labels > 0).all(1).any()), "no pixel shows both"


def test_thresholds_at_the_ends_show_all_and_nothing(clip: tuple[Path, Any], images: Images) -> None:
    assert opened(clip, thresholds="0,1")(images).unique(dim=0).unique().tolist() == [0, 1]
    assert bool((opened(clip, thresholds="0")(images) > 0).all())


def test_a_study_knows_the_thresholds(clip: tuple[Path, Any]) -> None:
    used = facts(DissectSpec("planted:", images=2), ModelPair("planted:", opened(clip, thresholds="0.3,0.25"), "cpu"))
    assert used["thresholds"] == {"tree": 0.3, "stained glass window": 0.25}
    assert "thresholds" not in facts(DissectSpec("planted:", images=2), ModelPair("planted:", "planted:", "cpu"))


def test_every_tensor_is_made_where_the_images_are(clip: tuple[Path, Any], images: Images) -> None:
    segmenter = opened(clip)
    segmenter._net, segmenter._embeddings = segmenter._net.to("meta"), segmenter._embeddings.to("meta")
    assert segmenter.scores(images.to("meta")).is_meta


def test_what_goes_wrong_inside_is_told_in_one_line(clip: tuple[Path, Any], images: Images) -> None:
    segmenter = opened(clip)
    words, segmenter._embeddings = segmenter._embeddings, segmenter._embeddings[:, :5]
    with mistake("bad-model", "CLIPSeg", "RuntimeError"):
        segmenter(images)
    segmenter._embeddings = words * torch.nan
    with mistake("bad-model", "CLIPSeg", "NaN", "torch.float32"):
        segmenter(images)


def test_calibrating_the_model_itself(clip: tuple[Path, Any], images: Images) -> None:
    """Against its own labels at other thresholds these are found again, to a step."""
    wanted = opened(clip, thresholds="0.62,0.38")
    labels = wanted(images)
    assert all(0.02 < float((labels[:, i] > 0).float().mean()) < 0.98 for i in (0, 1))
    found = calibrate(opened(clip), images, wanted)
    assert [each.concept for each in found] == list(wanted.planes)
    for each, threshold in zip(found, wanted.thresholds, strict=True):
        assert each.quality == pytest.approx(1, abs=0.01)
        assert each.threshold == pytest.approx(threshold, abs=0.01)
    thresholds = ",".join(str(each.threshold) for each in found)
    assert float((opened(clip, thresholds=thresholds)(images) == labels).float().mean()) > 0.99
