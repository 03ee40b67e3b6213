"""Painting on a model that makes an image in steps: a stroke edits a block at each step of a window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake
from starlette.testclient import TestClient
from tiny_words import save_words

import ganatomy
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.interventions import edits_from_json
from ganatomy.web import Painter, constants_sample, create_app
from ganatomy.web.readers import pixels
from ganatomy.web.schemas import Stroke


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Painter:
    folder = tmp_path_factory.mktemp("paint")
    name = f"{save_words(folder / 'words.pth')}?steps=4&step=2,3&layers=up1"
    ganatomy.dissect(name, segmenter="colors", images=16, out=folder / "study")
    return Painter(open_source(folder / "study"))


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants_sample, "IMAGES", 16)


def stroke(painter: Painter, **given: Any) -> Stroke:
    """A stroke of the brush of the first concept that the sample shows."""
    first = painter.brushes("up1@2")[0].concept
    return Stroke(**{"action": "draw", "layer": "up1@2", "concept": first, "points": [(0.5, 0.5)], **given})


def layers(painter: Painter, **given: Any) -> list[str]:
    return [edit.layer for edit in painter.edits([stroke(painter, **given)])]


def test_a_stroke_edits_from_the_step_of_its_layer_to_the_last(painter: Painter) -> None:
    assert painter.best_layer() == "up1@2"
    assert layers(painter) == layers(painter, by="iou") == ["up1@2", "up1@3", "up1@4"]
    assert layers(painter, layer="up1@3", units=[1], action="remove") == ["up1@3", "up1@4"]


def test_a_stroke_edits_at_the_steps_that_it_names(painter: Painter) -> None:
    assert layers(painter, at_steps="1..3") == ["up1@1", "up1@2", "up1@3"]
    assert layers(painter, at_steps="4", by="iou") == ["up1@4"]
    assert layers(painter, at_steps="3..4", concept=None, units=[0]) == ["up1@3", "up1@4"]


def test_units_are_set_to_the_constants_of_each_step(painter: Painter) -> None:
    edits = painter.edits([stroke(painter, by="iou", top=2)])
    concept = painter.source.concept(stroke(painter).concept or "")
    k = painter.values.sample.constants(concept)
    units = edits[0].alpha.nonzero().flatten()
    for edit in edits:
        assert torch.equal(edit.alpha.nonzero().flatten(), units)
        assert torch.equal(edit.value, k[edit.layer])
    assert not torch.allclose(edits[0].value, edits[-1].value)


def test_the_image_is_that_of_the_edits(painter: Painter) -> None:
    generator = painter.source.models.generator
    for given in (stroke(painter), stroke(painter, at_steps="3..4", by="iou")):
        edits = painter.edits([given])
        expected = pixels(generator.edited(generator.latents(range(5, 6), 0), edits))
        assert np.array_equal(painter.paint(5, 0, [given]), expected)
        assert not np.array_equal(expected, painter.image(5, 0))


def test_a_stroke_costs_the_steps_from_the_first_edited_on(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    own = stroke(painter, at_steps="3..4")
    painter.edits([own])
    painter.image(7, 0)
    sampler, calls = painter.source.models.generator.sampler, []  # type: ignore[attr-defined]
    step = sampler.step
    monkeypatch.setattr(sampler, "step", lambda state, number: (calls.append(number), step(state, number))[1])
    painter.paint(7, 0, [own])
    assert calls == [3, 4]


def test_what_is_exported_carries_the_steps(painter: Painter, tmp_path: Path) -> None:
    body = {"id": 3, "strokes": [stroke(painter, at_steps="2..3").model_dump(exclude_unset=True)]}
    with TestClient(create_app({"words": painter}), base_url="http://localhost") as client:
        answer = client.post("/api/studies/words/edits", json=body)
        (facts,) = client.get("/api/studies").json()
    assert facts["steps"] == 4
    generator = painter.source.models.generator
    edits = edits_from_json(answer.text, generator.layers, generator.fingerprint)
    assert [edit.layer for edit in edits] == ["up1@2", "up1@3"]
    file = tmp_path / "edits.json"
    file.write_text(answer.text)
    effect = ganatomy.apply_edits(painter.source.directory, edit=file, images=4, random=1, show=0, out=tmp_path / "out")
    assert [edit.layer for edit in effect.edits()] == ["up1@2", "up1@3"]


def test_a_clone_copies_at_the_steps_that_it_names(painter: Painter) -> None:
    source = {"id": 1, "at": (0.5, 0.5)}
    edits = painter.edits([Stroke(action="clone", points=[(0.4, 0.4)], source=source, at_steps="3..4")])
    assert [edit.layer for edit in edits] == ["up1@3", "up1@4"]


def test_steps_that_there_are_not_are_refused(painter: Painter) -> None:
    with mistake("bad-value", "3..9", "1 to 4"):
        painter.edits([stroke(painter, at_steps="3..9")])


def test_a_model_without_steps_refuses_them(planted_painter: Painter) -> None:
    layer = planted_painter.best_layer()
    with mistake("bad-value", "1..2", layer):
        planted_painter.edits([Stroke(action="remove", layer=layer, units=[0], at_steps="1..2")])


@pytest.fixture
def planted_painter(studied: Path) -> Painter:
    return Painter(open_source(studied))
