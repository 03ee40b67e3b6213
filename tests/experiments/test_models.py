"""Models travel by name; models that are open are known by what they are."""

import pickle
from collections.abc import Callable

import pytest
from mistakes import mistake
from torch import Tensor

import ganatomy
from ganatomy.experiments.model_pair import ModelPair, name_of
from ganatomy.models.generators.planted import PlantedGenerator
from ganatomy.models.segmenters.planted import PlantedSegmenter


def test_names_are_opened_once_and_travel_without_what_they_opened() -> None:
    models = ModelPair("planted:", "planted", "cpu")
    assert isinstance(models.generator, PlantedGenerator)
    assert isinstance(models.segmenter, PlantedSegmenter)
    assert models.generator is models.generator
    sent = pickle.dumps(models)
    assert len(sent) < 500
    assert pickle.loads(sent) == models  # noqa: S301
    assert pickle.loads(sent).generator.fingerprint == models.generator.fingerprint  # noqa: S301


def test_open_models_are_named_by_their_fingerprint() -> None:
    models = ModelPair("planted:", "planted", "cpu")
    given = ModelPair(models.generator, models.segmenter, "cpu")
    assert given.generator is models.generator
    assert given.segmenter is models.segmenter
    assert name_of("planted:") == "planted:"
    assert name_of(models.generator) == f"given:{models.generator.fingerprint[:16]}"
    found = ganatomy.dissect(models.generator, segmenter=models.segmenter, images=4, levels=5, layers=["layer1"])
    assert (found.spec.generator, found.spec.segmenter) == (name_of(models.generator), name_of(models.segmenter))


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        (lambda labels: labels.float(), "torch.float32"),
        (lambda labels: labels > 0, "torch.bool"),
        (lambda labels: labels.tolist(), "list"),
        (lambda labels: labels[:, 0], "[2, 32, 32]"),
        (lambda labels: labels[:, :, ::2], "[2, 3, 16, 32]"),
        (lambda labels: labels + 6, "label 12"),
        (lambda labels: labels - 1, "label -1"),
    ],
)
@pytest.mark.slow  # which runs without the checks of types that tests add
def test_labels_that_are_none_are_refused(
    broken: Callable[[Tensor], object], fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = PlantedSegmenter.__call__
    monkeypatch.setattr(PlantedSegmenter, "__call__", lambda self, images: broken(right(self, images)))
    with mistake("bad-model", fact):
        ganatomy.dissect("planted:", segmenter="planted", images=4, batch=2, levels=5, layers=["layer1"])
