"""Models travel by name; models that are open are known by what they are."""

import pickle

import ganatomy
from ganatomy.experiments.model_pair import Models, name_of
from ganatomy.models.generators.planted import PlantedGenerator
from ganatomy.models.segmenters.planted import PlantedSegmenter


def test_names_are_opened_once_and_travel_without_what_they_opened() -> None:
    models = Models("planted:", "planted", "cpu")
    assert isinstance(models.generator, PlantedGenerator)
    assert isinstance(models.segmenter, PlantedSegmenter)
    assert models.generator is models.generator
    sent = pickle.dumps(models)
    assert len(sent) < 500
    assert pickle.loads(sent) == models  # noqa: S301
    assert pickle.loads(sent).generator.fingerprint == models.generator.fingerprint  # noqa: S301


def test_open_models_are_named_by_their_fingerprint() -> None:
    models = Models("planted:", "planted", "cpu")
    given = Models(models.generator, models.segmenter, "cpu")
    assert given.generator is models.generator
    assert given.segmenter is models.segmenter
    assert name_of("planted:") == "planted:"
    assert name_of(models.generator) == f"given:{models.generator.fingerprint[:16]}"
    found = ganatomy.dissect(models.generator, segmenter=models.segmenter, images=4, levels=5, layers=["layer1"])
    assert (found.spec.generator, found.spec.segmenter) == (name_of(models.generator), name_of(models.segmenter))
