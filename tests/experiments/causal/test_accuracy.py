from pathlib import Path

import numpy as np
import pytest
from mistakes import mistake
from toy_classifier import CLASSES, NEEDS

import ganatomy
from ganatomy.experiments.causal.accuracy import Accuracy
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy


def test_units_of_a_classifier_are_dissected_by_the_labels_of_its_images(classifier: Path) -> None:
    units = ganatomy.open_dissection(classifier).units
    own = units[units.layer == "see"]
    assert own.label.tolist()[:4] == ["red", "green", "green", "blue"]
    assert (own.iou[:4] == 1).all()
    assert own.matched.tolist()[:4] == [True] * 4


@pytest.mark.parametrize("name", CLASSES)
def test_ablating_the_units_of_a_class_loses_that_class_alone(classifier: Path, name: str) -> None:
    found = ganatomy.accuracy(classifier, layer="see", units=NEEDS[name], images=80)
    table = found.classes.set_index("class")
    assert table.before.tolist() == [1.0] * 3
    assert table.random_change[name] == 0, "no random set holds a chosen unit"
    others = [each for each in CLASSES if each != name]
    assert table.change[others].tolist() == [0.0, 0.0]
    if name == CLASSES[0]:  # an image without any score is told as the first class, which so keeps its own
        assert table.after[name] == 1
    else:
        assert (table.after[name], table.change[name]) == (0, -1)
        assert table.balanced_after[name] == 0.5
        assert found.classes["class"][0] == name, "the most harmed comes first"
    assert table.images.sum() == 80
    assert Accuracy.open(found.study.directory).classes.equals(found.classes)


def test_units_that_nothing_reads_lose_nothing(classifier: Path) -> None:
    found = ganatomy.accuracy(classifier, layer="see", units=[4, 5], images=80)
    assert (found.classes.change == 0).all()
    assert found.overall.change.tolist() == [0.0, 0.0]
    assert (found.overall.random_change < 0).all(), "the others, of which random sets are made, are needed"


def test_units_are_chosen_for_a_concept(classifier: Path) -> None:
    found = ganatomy.accuracy(classifier, layer="see", concept="green", top=2, images=80)
    assert set(found.spec.units) == {1, 2}
    assert found.spec.chosen == "top 2 for green by iou"
    assert found.study.directory.name == "accuracy-green-iou-2-images-80"


def test_overall_accuracy_counts_images_and_balanced_accuracy_classes(classifier: Path) -> None:
    found = ganatomy.accuracy(classifier, layer="see", units=[0], images=80, random=0)
    measures = found.overall.set_index("measure")
    table = found.classes.set_index("class")
    assert measures.change["accuracy"] == pytest.approx(-table.images["red"] / 80)
    assert measures.change["balanced accuracy"] == pytest.approx(-1 / 3)
    assert measures.random_change.isna().all()
    lost = -measures.change["accuracy"]
    assert measures.change_error["accuracy"] == pytest.approx(np.sqrt(lost * (1 - lost) / 79))


@pytest.fixture(scope="module")
def each(classifier: Path) -> UnitAccuracy:
    return ganatomy.unit_accuracy(classifier, layer="see", images=90, sizes=(1, 2, 3))


def test_every_unit_alone_is_told_on_images_that_did_not_choose_it(each: UnitAccuracy) -> None:
    table = each.table.set_index(["class", "unit"])
    for column in ("change", "held_out"):
        assert table[column]["red", 0] == -0.5
        assert (table[column][[("green", 1), ("green", 2), ("red", 3), ("blue", 5)]] == 0).all()
    assert table.recall_change["red", 0] == -1
    assert table.change["blue", 0] != table.held_out["blue", 0], "two halves of the images"
    assert each.facts["images"] == [45, 45]
    assert each.overall.change[0] < 0
    assert (each.overall.change[1:] == 0).all()


def test_units_that_stand_in_for_each_other_are_found_by_the_probability_of_the_class(each: UnitAccuracy) -> None:
    assert set(each.top("green", 2)) == {1, 2}
    assert each.top("red", 1) == [0]
    curve = each.curve.set_index(["class", "by", "n"])
    assert curve.balanced["green", "top", 0] == curve.balanced["green", "top", 1] == 1
    assert curve.balanced["green", "top", 2] == 0.5
    assert curve.recall["green", "top", 2] == 0
    assert curve.balanced["green", "all but top", 3] == 1, "it is told by its own units alone"
    assert curve.balanced["green", "random", 2] > 0.5


def test_only_the_classes_that_are_asked_for_are_followed(classifier: Path) -> None:
    found = ganatomy.unit_accuracy(classifier, layer="see", images=90, sizes=(1,), classes=("red",), random=0)
    assert set(found.curve["class"]) == {"red"}
    assert set(found.table["class"]) == set(CLASSES)
    assert found.study.directory.name == "accuracy-each-red-images-90-random-0"
    assert UnitAccuracy.open(found.study.directory).curve.equals(found.curve)


def test_batches_change_nothing(classifier: Path, tmp_path: Path) -> None:
    tables = [
        ganatomy.accuracy(
            classifier, layer="see", units=[0, 5], images=50, batch=batch, out=tmp_path / str(batch)
        ).classes
        for batch in (7, 64)
    ]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ({"units": [6]}, "unknown-name", "see/6"),
        ({"units": []}, "bad-value", "units=[]"),
        ({}, "bad-value", "no units"),
        ({"units": [0], "images": 100}, "bad-value", "100 images"),
        ({"units": [0], "layer": "sea"}, "unknown-name", "see"),
        ({"concept": "yellow"}, "unknown-name", "yellow"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    classifier: Path, tmp_path: Path, options: dict[str, object], code: str, fact: str
) -> None:
    with mistake(code, fact):
        ganatomy.accuracy(classifier, **{"layer": "see", "out": tmp_path / "out", **options})
    assert not (tmp_path / "out").exists()


def test_classes_and_sizes_that_cannot_be_meant(classifier: Path) -> None:
    for options, code, fact in (
        ({"classes": ("yellow",)}, "unknown-name", "blue, green, red"),
        ({"sizes": (2, 1)}, "bad-value", "sizes=(2, 1)"),
        ({"sizes": (6,)}, "bad-value", "6 units"),
    ):
        with mistake(code, fact):
            ganatomy.unit_accuracy(classifier, layer="see", images=60, **options)


def test_a_generator_tells_no_classes_and_a_classifier_draws_none(classifier: Path, tmp_path: Path) -> None:
    ganatomy.dissect("planted", segmenter="planted", images=8, calibration=8, out=tmp_path / "planted")
    with mistake("bad-model", "planted", "classifier"):
        ganatomy.accuracy(tmp_path / "planted", layer="layer1", units=[0])
    with mistake("bad-model", "classifier:toy_classifier:Toy", "generator"):
        ganatomy.ablate(classifier, layer="see", units=[0])


def test_the_models_may_be_open_ones(classifier: Path) -> None:
    network = open_source(classifier, draws=False).models.subject
    found = ganatomy.accuracy(classifier, layer="see", units=[0], images=30, generator=network)
    assert found.classes.set_index("class").after["red"] == 0
