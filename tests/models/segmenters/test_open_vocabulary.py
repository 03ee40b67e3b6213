"""What segmenters for any words have in common: words, thresholds, who gets a pixel, files, and the command line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from open_words import FAMILIES, ScoredWords, save_models, smooth_images, spec

from ganatomy.cli import main
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissect import facts
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.open_vocabulary import (
    OpenVocabularySegmenter,
    best_masks,
    read_concepts,
    read_thresholds,
)

each_family = pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name != "clipseg")) for name in FAMILIES]
)
"""The others take longer to open; what the fast suite says of them is in files of their own."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def spoiled(models: Path, tmp_path: Path) -> Path:
    """Copies to spoil."""
    return shutil.copytree(models, tmp_path / "spoiled")


def opened(family: str, directory: Path, **options: object) -> OpenVocabularySegmenter:
    segmenter = open_segmenter(spec(family, directory, **options))
    assert isinstance(segmenter, OpenVocabularySegmenter)
    return segmenter


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tree", ["tree"]),
        (" tree , old door,", ["tree", "old door"]),
        ("black %26 white,red%2C green%25", ["black & white", "red, green%"]),
        ("a=b?", ["a=b?"]),
    ],
)
def test_concepts_are_words_between_commas(models: Path, text: str, names: list[str]) -> None:
    assert [concept.name for concept in read_concepts(text)] == names
    assert [str(concept) for concept in opened("clipseg", models, concepts=text).vocabulary[1:]] == names


def levels(*values: float) -> torch.Tensor:
    """One image of one row, with a pixel for each value."""
    return torch.tensor(values).expand(1, 3, 1, -1)


def test_a_pixel_goes_to_the_concept_that_scores_highest_of_those_that_reach_their_thresholds() -> None:
    scores = {"tree": lambda x: x, "bush": lambda x: 1 - x}
    segmenter = ScoredWords(scores, [0.3, 0.6])
    assert segmenter.planes == ("object",)
    assert segmenter.vocabulary == (NOTHING, Concept("tree", "object"), Concept("bush", "object"))
    # Scores of bush: 0.9, 0.65, 0.55, 0.5, 0.1; at 0.45 it scores higher, but misses its threshold.
    assert segmenter(levels(0.1, 0.35, 0.45, 0.5, 0.9)).tolist() == [[[[2, 2, 1, 1, 1]]]]
    assert ScoredWords(scores, [0.5, 0.5])(levels(0.5)).tolist() == [[[[1]]]], "the first of equals"
    assert ScoredWords(scores, [0.8, 0.8])(levels(0.5)).tolist() == [[[[0]]]]
    assert ScoredWords({"tree": lambda x: 0 * x}, [0])(levels(0.5)).tolist() == [[[[1]]]], "a threshold of 0 shows all"


def test_where_concepts_may_overlap_each_has_a_plane() -> None:
    segmenter = ScoredWords({"tree": lambda x: x, "bush": lambda x: 1 - x}, [0.3, 0.6], overlap=True)
    assert segmenter.planes == ("tree", "bush")
    assert segmenter(levels(0.1, 0.35, 0.45, 0.9)).tolist() == [[[[0, 1, 1, 1]], [[2, 2, 0, 0]]]]


def test_images_of_a_long_batch_go_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def score(x: torch.Tensor) -> torch.Tensor:
        counts.append(len(x))
        return x

    segmenter = ScoredWords({"tree": score}, [0.5])
    images = torch.rand(5, 3, 16, 8)
    assert torch.equal(segmenter(images)[:, 0], (images[:, 0] >= 0.5).long())
    assert counts == [5]
    monkeypatch.setattr("ganatomy.models.segmenters.open_vocabulary.PIXELS", 300)
    segmenter.scores(images)
    segmenter(images[:, :, :, :4].repeat(1, 1, 40, 1))  # more pixels in one than are allowed: one at a time
    assert counts[1:] == [2, 2, 1, *[1] * 5]


def test_the_best_of_overlapping_masks_counts() -> None:
    """Within a concept a pixel has the greatest score of all masks on it."""
    logits = torch.tensor([[[[50.0, 50.0, -50.0]], [[-50.0, 50.0, 0.0]]]])
    scores = torch.tensor([[0.4, 0.8]])
    assert best_masks(scores, logits, torch.zeros(1, 3, 1, 3))[0, 0].tolist() == pytest.approx([0.4, 0.8, 0.4])


def test_thresholds_are_numbers_from_0_to_1() -> None:
    assert read_thresholds("", 2) == [0.3, 0.3]
    for text in ("high", "0.1,0.2,0.3", "1.5", "-0.1", "nan", "0.1,"):
        with mistake("bad-value", "0 to 1", "2 concepts"):
            read_thresholds(text, 2)


@each_family
def test_options_that_are_wrong(family: str, models: Path) -> None:
    for text in ("", " , "):
        with mistake("bad-value", "concepts=tree,door"):
            opened(family, models, concepts=text)
    with mistake("bad-value", "concepts=tree, tree"):
        opened(family, models, concepts="tree, tree")
    with mistake("bad-value", "48 tokens" if family == "grounded-sam" else "24 tokens"):
        opened(family, models, concepts="tree," + "abcde " * 10)
    with mistake("bad-value", "thresholds=2"):
        opened(family, models, thresholds="2")
    with mistake("bad-value", "size=0"):
        opened(family, models, size=0)
    with mistake("unknown-name", "half"):
        opened(family, models, dtype="half")
    with mistake("unknown-name", f"option of {family}", "colour"):
        opened(family, models, colour="red")


@each_family
def test_what_changes_labels_changes_the_fingerprint(family: str, models: Path) -> None:
    plain = opened(family, models, thresholds="0.3").fingerprint
    assert opened(family, models).fingerprint == plain, "0.3 is the default"
    options: list[dict[str, object]] = [
        {"thresholds": "0.3,0.31"},
        {"concepts": "tree,doors"},
        {"concepts": "door,tree"},
        {"size": 48},
        {"dtype": "bfloat16"},
    ]
    options += [{"overlap": "yes"}] * (family != "clipseg") + [{"boxes": 2}] * (family == "grounded-sam")
    made = {opened(family, models, **each).fingerprint for each in options}
    assert len(made | {plain}) == len(options) + 1


@each_family
def test_half_precision_changes_scores_little(family: str, models: Path) -> None:
    """Labels change with them, where two concepts or a threshold are near."""
    images = smooth_images()
    expected = opened(family, models).scores(images)
    for dtype in ("bfloat16", "float16"):
        made = opened(family, models, dtype=dtype).scores(images)
        assert made.dtype == torch.float32
        assert float((made - expected).abs().mean()) < 0.01


@each_family
def test_a_study_knows_the_thresholds(family: str, models: Path) -> None:
    segmenter = opened(family, models, thresholds="0.3,0.25")
    used = facts(DissectSpec("planted:", images=2), ModelPair("planted:", segmenter, "cpu"))
    assert used["thresholds"] == {"tree": 0.3, "door": 0.25}
    assert "thresholds" not in facts(DissectSpec("planted:", images=2), ModelPair("planted:", "planted:", "cpu"))


@pytest.mark.parametrize(
    ("family", "name", "files"),
    [
        ("clipseg", "clipseg", "vocab.json and merges.txt"),
        ("grounded-sam", "grounding-dino", "vocab.txt"),
        ("sam3", "sam3", "vocab.json and merges.txt"),
    ],
)
def test_the_tokenizer_must_be_there(family: str, name: str, files: str, spoiled: Path) -> None:
    for path in (spoiled / name).glob("vocab.*"):
        path.unlink()
    with mistake("bad-file", spoiled / name, "tokenizer.json", files):
        opened(family, spoiled)


PARTS = [("clipseg", "clipseg"), ("grounded-sam", "grounding-dino"), ("grounded-sam", "sam2"), ("sam3", "sam3")]


@pytest.mark.parametrize(("family", "name"), PARTS)
def test_files_of_another_model(family: str, name: str, spoiled: Path) -> None:
    config = spoiled / name / "config.json"
    whole = config.read_text()
    for kind, hint in (("segformer", "hf:"), ("clipseg" if family == "sam3" else "sam3", "open it as")):
        config.write_text(json.dumps({"model_type": kind}))
        with mistake("bad-file", spoiled / name, kind, hint):
            opened(family, spoiled)
    config.write_text(whole)
    other = "sam2" if name in ("clipseg", "grounding-dino") else "clipseg"
    shutil.copy(spoiled / other / "model.safetensors", spoiled / name / "model.safetensors")
    with mistake("bad-file", spoiled / name, "lacks tensor", "another task"):
        opened(family, spoiled)
    (spoiled / name / "model.safetensors").unlink()
    with mistake("bad-file", spoiled / name, "model.safetensors"):
        opened(family, spoiled)
    config.unlink()
    with mistake("bad-file", spoiled / name, "config.json"):
        opened(family, spoiled)


@pytest.mark.parametrize("name", ["clipseg:no/such", "sam3:no/such", "grounded-sam:no/such?sam=no/such"])
def test_without_a_network_a_line_says_how_to_fetch_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    with mistake("bad-file", "hf download no/such"):
        open_segmenter(f"{name}{'&' if '?' in name else '?'}concepts=tree")


@each_family
def test_the_command_prints_a_name_that_opens(family: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = spec(family, models, concepts="tree,black %26 white", thresholds=0.1)
    assert main(["calibrate", name, "--images", "4", "--against", "bundled:scenes", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    segmenter = open_segmenter(printed["segmenter"])
    assert isinstance(segmenter, OpenVocabularySegmenter)
    assert [str(concept) for concept in segmenter.vocabulary[1:]] == ["tree", "black & white"]
    assert list(segmenter.thresholds) == [each["threshold"] for each in printed["concepts"]] != [0.1, 0.1]
    assert printed["concepts"][0]["how"] == "reference"
    assert main(["calibrate", name, "--images", "1"]) == 0
    shown = capsys.readouterr().out
    assert "black & white" in shown
    assert shown.splitlines()[-1].startswith(f"'{name.partition(':')[0]}:{models}")
