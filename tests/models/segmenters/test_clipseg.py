"""CLIPSeg: the model's own answers, a plane a concept, thresholds, and how they are chosen."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from tiny_transformers import save
from torch import Tensor

from ganatomy.cli import main
from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissect import facts
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.clipseg import ClipSegmenter, calibrate, read_concepts, read_thresholds, separation
from ganatomy.models.segmenters.module import as_segmenter

PLAIN = {"size": {"height": 64, "width": 64}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    directory = tmp_path_factory.mktemp("clip")
    return directory, save(directory, "clipseg", **PLAIN)


@pytest.fixture
def images() -> Images:
    coarse = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(coarse, (64, 64), mode="bicubic").clamp(-1, 1)


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


def test_images_of_a_long_batch_go_through_in_pieces(
    clip: tuple[Path, Any], images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = opened(clip, thresholds="0.5")
    whole = segmenter(images)
    monkeypatch.setattr("ganatomy.models.segmenters.clipseg.AT_ONCE", 2)
    assert torch.equal(segmenter(images), whole)


def test_what_changes_labels_changes_the_fingerprint(clip: tuple[Path, Any]) -> None:
    plain = opened(clip, thresholds="0.3").fingerprint
    assert opened(clip).fingerprint == plain, "0.3 is the default"
    options: Sequence[dict[str, object]] = (
        {"thresholds": "0.3,0.31"},
        {"concepts": "tree,stained glass windows"},
        {"concepts": "stained glass window,tree"},
        {"size": 32},
        {"dtype": "bfloat16"},
    )
    made = {opened(clip, **each).fingerprint for each in options}
    assert len(made | {plain}) == len(options) + 1


def test_a_study_knows_the_thresholds(clip: tuple[Path, Any]) -> None:
    used = facts(DissectSpec("planted:", images=2), ModelPair("planted:", opened(clip, thresholds="0.3,0.25"), "cpu"))
    assert used["thresholds"] == {"tree": 0.3, "stained glass window": 0.25}
    assert "thresholds" not in facts(DissectSpec("planted:", images=2), ModelPair("planted:", "planted:", "cpu"))


def test_every_tensor_is_made_where_the_images_are(clip: tuple[Path, Any], images: Images) -> None:
    segmenter = opened(clip)
    segmenter._net, segmenter._embeddings = segmenter._net.to("meta"), segmenter._embeddings.to("meta")
    assert segmenter.scores(images.to("meta")).is_meta


def test_half_precision_changes_few_labels(clip: tuple[Path, Any], images: Images) -> None:
    wanted = opened(clip, thresholds="0.5")(images)
    for dtype in ("bfloat16", "float16"):
        assert float((opened(clip, thresholds="0.5", dtype=dtype)(images) == wanted).float().mean()) > 0.97


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tree", ["tree"]),
        (" tree , old door,", ["tree", "old door"]),
        ("black %26 white,red%2C green%25", ["black & white", "red, green%"]),
        ("a=b?", ["a=b?"]),
    ],
)
def test_concepts_are_words_between_commas(clip: tuple[Path, Any], text: str, names: list[str]) -> None:
    assert [concept.name for concept in read_concepts(text)] == names
    assert opened(clip, concepts=text).planes == tuple(names)


def test_what_goes_wrong_inside_is_told_in_one_line(clip: tuple[Path, Any], images: Images) -> None:
    segmenter = opened(clip)
    words, segmenter._embeddings = segmenter._embeddings, segmenter._embeddings[:, :5]
    with mistake("bad-model", "CLIPSeg", "RuntimeError"):
        segmenter(images)
    segmenter._embeddings = words * torch.nan
    with mistake("bad-model", "CLIPSeg", "NaN", "torch.float32"):
        segmenter(images)


def test_options_that_are_wrong(clip: tuple[Path, Any]) -> None:
    for text in ("", " , "):
        with mistake("bad-value", "concepts=tree,door"):
            opened(clip, concepts=text)
    with mistake("bad-value", "concepts=tree, tree"):
        opened(clip, concepts="tree, tree")
    with mistake("bad-value", "24 tokens"):
        opened(clip, concepts="tree," + "abcde " * 6)
    for text in ("high", "0.1,0.2,0.3", "1.5", "-0.1", "nan", "0.1,"):
        with mistake("bad-value", "0 to 1", "2 concepts"):
            opened(clip, thresholds=text)
    assert read_thresholds("", 2) == [0.3, 0.3]


def test_files_that_are_no_clipseg(tmp_path: Path) -> None:
    save(tmp_path, "clipseg")
    (tmp_path / "vocab.json").rename(tmp_path / "elsewhere.json")
    with mistake("bad-file", tmp_path, "tokenizer.json"):
        open_segmenter(f"clipseg:{tmp_path}?concepts=tree")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "segformer"}))
    with mistake("bad-file", tmp_path, "segformer", "hf:"):
        open_segmenter(f"clipseg:{tmp_path}?concepts=tree")


class Known(ClipSegmenter):
    """Scores that are given: for each concept a function of the first colour channel."""

    def __init__(self, scores: dict[str, Any], thresholds: Sequence[float]) -> None:
        self.vocabulary = (NOTHING, *(Concept(name, "object") for name in scores))
        self.planes, self.thresholds = tuple(scores), tuple(thresholds)
        self.device = torch.device("cpu")
        self._known = scores

    def scores(self, images: Images) -> Tensor:
        return torch.stack([score(images[:, 0]) for score in self._known.values()], 1)


def ramp(count: int = 12) -> Images:
    """Images whose first channel takes every value from 0 to 1 about as often."""
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_thresholds_of_the_best_iou() -> None:
    """Above 0.62 the reference shows the tree; a fifth of the pixels below are taken for it with scores to 0.7."""
    noise = torch.rand(12, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.7
    segmenter = Known({"tree": lambda x: torch.where(x > 0.8, noise[: len(x)], x)}, [0.3])
    reference = as_segmenter(lambda x: (x[:, 0] > 0.62).long(), [NOTHING, Concept("tree", "object")])
    images = ramp(8)  # one piece, or the noise would be another
    (found,) = calibrate(segmenter, images, reference)
    scores, truth = segmenter.scores(images)[:, 0], images[:, 0] > 0.62
    iou = {
        t / 1000: float(((scores >= t / 1000) & truth).sum() / ((scores >= t / 1000) | truth).sum())
        for t in range(1001)
    }
    assert found.how == "reference"
    assert found.quality == pytest.approx(max(iou.values()))
    assert iou[found.threshold] == pytest.approx(max(iou.values()))
    assert found.shown == pytest.approx(float((scores >= found.threshold).float().mean()))


def test_the_threshold_lies_in_the_middle_of_those_that_are_as_good() -> None:
    segmenter = Known({"tree": lambda x: torch.where(x > 0.5, 0.9, 0.1)}, [0.3])
    reference = as_segmenter(lambda x: (x[:, 0] > 0.5).long(), [NOTHING, Concept("tree", "object")])
    for found in (calibrate(segmenter, ramp(), reference)[0], calibrate(segmenter, ramp())[0]):
        assert found.threshold == pytest.approx(0.5, abs=0.002)
        assert found.quality == pytest.approx(1)


def test_without_a_reference_two_groups_of_scores_are_told_apart() -> None:
    """A reference that does not know the concept, or never sees it, is none."""
    modes = {"tree": lambda x: torch.where(x > 0.7, 0.5 + x / 4, 0.1 + x / 5)}  # 0.1 to 0.24, and 0.675 to 0.75
    other = as_segmenter(lambda x: (x[:, 0] > 0.5).long(), [NOTHING, Concept("door", "object")])
    blind = as_segmenter(lambda x: (x[:, 0] > 2).long(), [NOTHING, Concept("tree", "object")])
    for reference in (None, other, blind):
        (found,) = calibrate(Known(modes, [0.3]), ramp(), reference)
        assert found.how == "split"
        assert 0.24 < found.threshold < 0.675
        assert found.quality > 0.9
        assert found.shown == pytest.approx(0.3, abs=0.01)


def test_what_is_nowhere_keeps_its_threshold() -> None:
    """Scores of an absent concept fall into two groups as well, both low."""
    low = {"boat": lambda x: torch.where(x > 0.7, 0.04, 0.001)}
    (found,) = calibrate(Known(low, [0.35]), ramp())
    assert found[:3] == ("boat", 0.35, "kept")
    assert math.isnan(found.quality)
    assert found.shown == 0


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


def test_separation_is_the_share_of_variance_between_the_groups() -> None:
    values = torch.tensor([0, 0, 1, 2, 4, 4, 4, 5])
    shares = separation(torch.bincount(values, minlength=7).double())
    numbers_ = values.double()
    for cut in range(7):
        low, high = numbers_[values < cut], numbers_[values >= cut]
        between = sum(len(g) * float(g.mean() - numbers_.mean()) ** 2 for g in (low, high) if len(g))
        expected = between / float(((numbers_ - numbers_.mean()) ** 2).sum())
        assert float(shares[cut]) == pytest.approx(expected)


def test_the_command_prints_a_name_that_opens(clip: tuple[Path, Any], capsys: pytest.CaptureFixture[str]) -> None:
    spec = f"clipseg:{clip[0]}?concepts=tree,black %26 white&thresholds=0.1"
    assert main(["calibrate", spec, "--images", "4", "--against", "bundled:scenes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    segmenter = open_segmenter(told["segmenter"])
    assert isinstance(segmenter, ClipSegmenter)
    assert segmenter.planes == ("tree", "black & white")
    assert list(segmenter.thresholds) == [each["threshold"] for each in told["concepts"]] != [0.1, 0.1]
    assert told["concepts"][0]["how"] == "reference"
    assert main(["calibrate", spec, "--images", "1"]) == 0
    shown = capsys.readouterr().out
    assert "black & white" in shown
    assert shown.splitlines()[-1].startswith(f"'clipseg:{clip[0]}?concepts=tree,black %26 white&thresholds=")


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [(["bundled:scenes"], "bundled:scenes"), (["colors", "--images", "0"], "--images 0")],
)
def test_what_cannot_be_calibrated(arguments: list[str], fact: str, refused: Callable[..., None]) -> None:
    refused(["calibrate", *arguments], fact)
