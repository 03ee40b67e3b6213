"""Strokes become interventions, and images change where they were painted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.run_options import RunOptions
from ganatomy.web.brush_values import BrushValues
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.readers import pixels
from ganatomy.web.schemas import Region, Stroke


def stroke(painter: Painter, **given: object) -> Stroke:
    layer = painter.best_layer()
    brush = painter.brushes(layer)[0]
    return Stroke(**{"action": "remove", "layer": layer, "concept": brush.concept, "top": 2, **given})


def test_an_image_without_strokes_is_the_generators_own(painter: Painter) -> None:
    generator = painter.source.models.generator
    images = generator.observe(generator.latents(range(5, 6), 0), []).images
    expected = ((images[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    assert np.array_equal(painter.image(5, 0), expected)
    assert np.array_equal(painter.paint(5, 0, []), expected)


def test_a_stroke_is_the_intervention_that_it_says(painter: Painter) -> None:
    given = stroke(painter, points=[], strength=0.5)
    (edit,) = painter.edits([given])
    units = painter.brushes(given.layer)[0].units[:2]
    assert edit.alpha.nonzero().flatten().tolist() == sorted(units)
    assert float(edit.alpha.max()) == 0.5
    assert float(edit.value.abs().max()) == 0
    assert bool((edit.where == 1).all())


def test_drawing_sets_units_to_the_class_constant(painter: Painter) -> None:
    given = stroke(painter, action="draw", multiple=2.0)
    (edit,) = painter.edits([given])
    k = painter.values.pool(given.layer).constant(painter.source.concept(given.concept or ""))
    assert torch.allclose(edit.value, 2 * k)


def test_drawing_with_units_alone_sets_them_to_their_strong_activation(painter: Painter) -> None:
    layer = painter.best_layer()
    (edit,) = painter.edits([Stroke(action="draw", layer=layer, units=[1])])
    fractions, values = painter.source.dissection.levels(layer)
    expected = values[:, int(np.abs(fractions - 0.01).argmin())]
    assert float(edit.value[1]) == pytest.approx(float(expected[1]))


def test_several_strokes_at_a_layer_act_in_order(painter: Painter) -> None:
    off = stroke(painter)
    on = stroke(painter, action="draw")
    generator = painter.source.models.generator
    z = generator.latents(range(1), 0)
    r = generator.observe(z, [off.layer]).features[off.layer]
    (both,) = painter.edits([off, on])
    (first,), (second,) = painter.edits([off]), painter.edits([on])
    assert torch.equal(both(r), second(first(r)))


def test_strokes_at_two_layers_are_two_edits(painter: Painter) -> None:
    first, *_, last = painter.source.dissection.layers
    strokes = [Stroke(action="draw", layer=layer, units=[0], multiple=3) for layer in (last, first)]
    edits = painter.edits(strokes)
    assert [edit.layer for edit in edits] == [last, first]
    generator = painter.source.models.generator
    images = generator.edited(generator.latents(range(3, 4), 0), edits)
    expected = ((images[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    assert np.array_equal(painter.paint(3, 0, strokes), expected)


def test_strokes_at_two_layers_cost_what_follows_the_first(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_, last = painter.source.dissection.layers
    strokes = [Stroke(action="draw", layer=layer, units=[0], multiple=3) for layer in (last, first)]
    expected, generator = painter.paint(4, 0, strokes), painter.source.models.generator
    with monkeypatch.context() as patch:
        patch.setattr(generator, "observe", lambda *_: pytest.fail("the whole generator was run"))
        assert np.array_equal(painter.paint(4, 0, strokes), expected)
    assert np.array_equal(
        painter.paint(4, 0, strokes[1:]),
        pixels(generator.edited(generator.latents(range(4, 5), 0), painter.edits(strokes[1:]))),
    )


def test_only_what_was_painted_changes(painter: Painter) -> None:
    given = stroke(painter, points=[(0.2, 0.2)], radius=0.1)
    before = painter.image(0, 0).astype(int)
    changed = np.abs(painter.paint(0, 0, [given]).astype(int) - before).sum(2) > 0
    half = changed.shape[0] // 2
    assert not changed[half:, half:].any()


def test_changes_say_what_went_and_what_came(painter: Painter) -> None:
    given = stroke(painter, points=[])
    shown = [id for id in range(20) if any(c.concept == given.concept for c in painter.changes(id, 0, []).changes)]
    told = painter.changes(shown[0], 0, [given])
    row = next(change for change in told.changes if change.concept == given.concept)
    assert row.after < row.before
    assert told.pixels > 0
    assert painter.changes(shown[0], 0, []).pixels == 0


def test_the_active_units_of_a_place_are_those_of_its_concept(painter: Painter) -> None:
    """The planted units draw their concepts alone: where one is active, its concept is seen."""
    layer = painter.best_layer()
    height, width = painter.size
    found = False
    for id in range(10):
        heat = painter.unit_map(id, 0, layer, painter.brushes(layer)[0].units[0])
        y, x = np.unravel_index(int(heat.argmax()), heat.shape)
        if heat.max() < 128:
            continue
        point = ((x + 0.5) / width, (y + 0.5) / height)
        told = painter.active(Region(id=id, layer=layer, points=[point], top=5))
        units, concepts = told.units, told.concepts
        assert concepts
        first = [own for own in units if own.matched and own.label in concepts]
        assert units[: len(first)] == first, "what is matched to what is there comes first"
        assert [own.iou for own in first] == sorted((own.iou for own in first), reverse=True)
        others = [own.quantile for own in units[len(first) :]]
        assert others == sorted(others, reverse=True)
        found |= bool(first)
    assert found


def test_common_units_are_ranked_by_the_image_where_they_do_least(painter: Painter) -> None:
    layer = painter.best_layer()
    ids = [0, 1, 2]
    generator = painter.source.models.generator
    maxima = generator.observe(generator.latents(range(3), 0), [layer]).features[layer].amax((2, 3))
    for row in painter.common(ids, 0, layer, 4):
        assert row.activation == pytest.approx(float(maxima[:, row.unit].min()), abs=1e-5)


def test_a_listed_unit_has_the_iou_of_its_label_or_of_the_concept(painter: Painter) -> None:
    layer = painter.best_layer()
    concept = painter.brushes(layer)[0].concept
    listed = painter.units(layer, concept, "iou")
    assert [row.unit for row in listed[:2]] == painter.brushes(layer)[0].units[:2]
    assert [row.unit for row in painter.units(layer, None, "unit")] == list(range(len(listed)))


@pytest.mark.parametrize(
    ("given", "code", "fact"),
    [
        ({"layer": "nope"}, "unknown-name", "nope"),
        ({"concept": "no such thing"}, "unknown-name", "no such thing"),
        ({"units": [99999]}, "unknown-name", 99999),
        ({"concept": None}, "bad-value", "concept"),
    ],
)
def test_what_is_not_there_is_named(painter: Painter, given: dict[str, object], code: str, fact: object) -> None:
    with mistake(code, fact):
        painter.edits([stroke(painter, **given)])


def test_what_was_seen_is_kept_within_bounds(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.web.readers.CACHE_BYTES", 50_000)
    for id in range(100, 140):
        painter.image(id, 0)
    assert sum(own.nbytes for own in painter._cache.values()) <= 50_000


@pytest.mark.slow
def test_a_measured_setting_is_what_a_concept_is_drawn_with(dissect_once: Any, tmp_path: Path) -> None:
    """The same units, layers and constant as ``ganatomy insert`` uses; without it, as before."""
    study = dissect_once(tmp_path / "planted", images=64)
    painter = Painter(open_source(study.study.directory))
    stroke = Stroke(action="draw", layer="layer2", concept="ball", points=[(0.5, 0.5)], radius=0.1)
    assert {brush.by for brush in painter.brushes("layer2")} == {"iou"}
    with mistake("bad-value", "ganatomy setting", "--concept ball"):
        painter.edits([stroke.model_copy(update={"by": "best"})])
    by_rank = painter.edits([stroke])
    found = ganatomy.best_setting(study, layers=["layer2"], concept="ball", images=8, pool=16, cells=[4])
    assert {brush.concept: brush.by for brush in painter.brushes("layer2")}["ball"] == "best"
    (edit,) = painter.edits([stroke])
    assert edit.alpha.nonzero()[:, 0].tolist() == sorted(found.best.units)
    again = ganatomy.insert(study, layer="layer2", concept="ball", images=4, random=0, show=0).edits()[0]
    assert torch.equal(edit.value, again.value)
    (asked,) = painter.edits([Stroke(**{**stroke.model_dump(exclude_unset=True), "top": 20})])
    assert torch.equal(asked.value, by_rank[0].value)
    (twice,) = painter.edits([stroke.model_copy(update={"multiple": 2.0})])
    assert torch.equal(twice.value, 2 * edit.value)
    (removed,) = painter.edits([stroke.model_copy(update={"action": "remove"})])
    assert not removed.value.any()


def test_a_small_pool_is_measured_a_batch_a_job_and_kept(studied: Path, tmp_path: Path) -> None:
    source = replace(open_source(studied, run=RunOptions(batch=96)), home=tmp_path)
    values = BrushValues(source)
    jobs = values.pool_jobs("layer2")
    assert len(jobs) == 4  # three batches of 256 images, and what keeps them
    for job in jobs:
        job()
    assert values.pool_jobs("layer2") == []
    whole = layer_pool(replace(source, home=tmp_path / "other"), "layer2", 256).state_dict()
    for found in (values.pool("layer2"), BrushValues(source).pool("layer2")):  # as measured, and as it was kept
        assert all(torch.equal(own, whole[name]) for name, own in found.state_dict().items())


def test_strokes_do_not_search_the_disk_again_and_again(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    own, searched = Painter(painter.source), list[str]()
    strokes = [stroke(own, points=[(0.1 * step, 0.5)]) for step in range(5)]
    layers = 1 + (strokes[0].layer in own.values.default_layers)  # alone, and with the others
    monkeypatch.setattr("ganatomy.web.brush_values.known_setting", lambda *given: searched.append(given[-1]))
    monkeypatch.setattr("ganatomy.web.brush_values.LOOK_AGAIN", 60.0)
    own.values._look_again.clear()
    for step in range(5):
        own.paint(0, 0, strokes[: step + 1])
    assert len(searched) == layers
    monkeypatch.setattr("ganatomy.web.brush_values.LOOK_AGAIN", 0.0)
    own.values._look_again.clear()
    own.paint(1, 0, strokes[:2])
    assert len(searched) == 3 * layers
