"""Brushes are measured when the server is idle; clones copy features; what changed is told in words."""

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from ganatomy.core.errors import BadValue
from ganatomy.experiments.causal.best_setting import known_setting
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.interventions import edits_from_json
from ganatomy.web import Painter, create_app
from ganatomy.web.brush_search import BrushSearch
from ganatomy.web.model_thread import PAINT, ModelThread, Priority
from ganatomy.web.schemas import Stroke

BASE = "/api/studies/planted"
SMALL: dict[str, Any] = {"images": 8, "pool": 16, "cells": (2,)}


def clone(at: tuple[float, float], points: list[tuple[float, float]], **given: Any) -> Stroke:
    source = {"id": 5, "at": at}
    return Stroke(
        **{"action": "clone", "source": source, "points": points, "radius": 0.3, "layers": ["layer2"], **given}
    )


def search_in(search: BrushSearch) -> None:
    """Run a search as the server does."""

    async def serve() -> None:
        models = ModelThread()
        await asyncio.to_thread(search.run, models, asyncio.get_running_loop())
        models.close()

    asyncio.run(serve())


def test_a_clone_moves_with_the_brush_from_the_first_point(painter: Painter) -> None:
    _, width = painter._grid("layer2")
    step = 2 / width
    (edit,) = painter.edits([clone((0.5 - step, 0.5), [(0.5, 0.5), (0.6, 0.5)])])
    source = painter._observe(5, 0, "layer2").features["layer2"][0]
    inside = edit.where[0] > 0
    assert inside.any()
    expected = torch.roll(source, 2, 2)[:, inside]
    assert torch.equal(edit.value[:, inside], expected)
    assert not edit.value[:, ~inside].any()
    assert bool((edit.alpha == 1).all())


def test_the_edges_of_a_clone_are_soft(painter: Painter) -> None:
    (edit,) = painter.edits([clone((0.5, 0.5), [(0.5, 0.5)])])
    where = edit.where[0]
    height, width = where.shape
    assert float(where[height // 2, width // 2]) == 1
    assert bool(((where > 0) & (where < 1)).any())


def test_what_a_clone_would_take_from_beyond_the_image_is_left_out(painter: Painter) -> None:
    (edit,) = painter.edits([clone((-0.25, 0.5), [(0.25, 0.5)], radius=0.5)])
    _, width = painter._grid("layer2")
    assert not edit.where[..., : width // 2].any()
    assert edit.where[..., width // 2 :].any()
    assert np.array_equal(painter.paint(3, 0, [clone((-2, 0.5), [(0.9, 0.5)])]), painter.image(3, 0))


def test_a_clone_onto_itself_changes_nothing_and_elsewhere_it_does(painter: Painter) -> None:
    here = clone((0.4, 0.4), [(0.4, 0.4)])
    assert np.array_equal(painter.paint(5, 0, [here]), painter.image(5, 0))
    assert not np.array_equal(painter.paint(6, 0, [here]), painter.image(6, 0))


def test_a_clone_is_a_file_of_edits_like_any_other(client: TestClient, painter: Painter) -> None:
    strokes = [clone((0.4, 0.4), [(0.6, 0.6)]).model_dump(exclude_unset=True, mode="json")]
    text = client.post(f"{BASE}/edits", json={"id": 3, "strokes": strokes}).text
    generator = painter.source.models.generator
    edits = edits_from_json(text, generator.layers, generator.fingerprint)
    drawn = client.post(f"{BASE}/paint", json={"id": 3, "strokes": strokes}).content
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(drawn))), painter.edited(3, 0, edits))


@pytest.mark.parametrize("missing", ["source", "points"])
def test_a_clone_without_source_or_path_is_refused(client: TestClient, missing: str) -> None:
    given = clone((0.4, 0.4), [(0.6, 0.6)]).model_dump(exclude_unset=True, mode="json")
    given[missing] = None if missing == "source" else []
    answer = client.post(f"{BASE}/paint", json={"id": 3, "strokes": [given]})
    assert answer.status_code == 422
    assert "needs a source, and points" in answer.json()["reason"]


def test_without_a_measured_setting_all_units_are_set_at_k_of_the_place(painter: Painter) -> None:
    (layer,) = painter.values.default_layers
    drawn = Stroke(action="draw", layer=layer, concept="ball", points=[(0.5, 0.5)])
    (edit,) = painter.edits([drawn])
    assert bool((edit.alpha == 1).all())
    assert edit.value.shape == tuple(painter.source.shape(layer))
    brush = next(brush for brush in painter.brushes(layer) if brush.concept == "ball")
    assert brush.by == "all"
    assert brush.setting.startswith("not measured yet")
    (removed,) = painter.edits([drawn.model_copy(update={"action": "remove"})])
    (part,) = painter.values.all_units(layer, "ball")
    assert part.without is not None
    assert torch.equal(removed.value, part.without)
    (everywhere,) = painter.edits([Stroke(action="remove", layer=layer, concept="ball")])
    assert not everywhere.value.any(), "the whole image is not set to the mean of all images"
    other = next(name for name in painter.source.dissection.layers if name != layer)
    with pytest.raises(BadValue, match="all units are set in"):
        painter.edits([drawn.model_copy(update={"layer": other, "by": "all"})])


def test_what_was_painted_comes_first_and_in_words(painter: Painter) -> None:
    (layer,) = painter.values.default_layers
    strokes = [Stroke(action="draw", layer=layer, concept="ball", points=[(0.5, 0.5)], radius=0.2)]
    found = [painter.changes(id, 0, strokes).changes for id in range(12)]
    assert all(rows[0].concept == "ball" and rows[0].painted for rows in found)
    grown = next(rows[0] for rows in found if rows[0].points > 0.5)
    assert grown.sentence == f"ball: {grown.points:+.1f} points of the image"
    assert not any(row.painted for rows in found for row in rows[1:])
    nothing = [Stroke(action="draw", layer=layer, concept="ball", points=[(0.5, 0.5)], radius=0.2, strength=0.0)]
    told = [painter.changes(id, 0, nothing).changes[0] for id in range(12)]
    assert any(row.sentence == "no ball appeared" for row in told), "no renderer says more of this world"


def test_what_a_clone_copies_comes_first_and_a_failure_is_said(painter: Painter) -> None:
    ball = painter.source.concept("ball")
    seen = [(painter._labels(painter._observe(id, 0))[0] == ball).any(0).nonzero() for id in range(12)]
    id = max(range(12), key=lambda id: len(seen[id]))
    height, width = painter.size
    y, x = (seen[id].double().mean(0) + 0.5).tolist()
    source = {"id": id, "at": (x / width, y / height)}
    strokes = [clone((0, 0), [(0.5, 0.5)], source=source, radius=0.2)]
    found = [painter.changes(other, 0, strokes).changes[0] for other in range(12)]
    assert all((row.concept, row.painted) == ("ball", True) for row in found)
    grown = next(row for row in found if row.points > 0.5)
    assert grown.sentence == f"ball: {grown.points:+.1f} points of the image"
    nothing = [clone((0, 0), [(0.5, 0.5)], source=source, radius=0.2, strength=0.0)]
    assert "no ball appeared; try a place like the one that it was taken from" in {
        painter.changes(other, 0, nothing).changes[0].sentence for other in range(12)
    }


def test_painting_starts_at_an_image_with_many_concepts(client: TestClient) -> None:
    start = client.get(f"{BASE}/start").json()
    assert 0 <= start["id"] < 64
    assert start["concepts"]
    assert start["concept"] in {
        brush["concept"] for brush in client.get(f"{BASE}/layers/{start['layer']}/brushes").json()
    }


def test_an_example_shows_an_image_before_and_after_a_dab(client: TestClient, painter: Painter) -> None:
    layer = painter.values.default_layers[-1]
    answer = client.get(f"{BASE}/layers/{layer}/brushes/ball/example.png")
    sheet = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    height, width = painter.size
    assert sheet.shape == (height, 2 * width, 3)
    assert (sheet[:, :width] != sheet[:, width:]).any()
    assert client.get(f"{BASE}/layers/{layer}/brushes/nothing/example.png").status_code == 404


def test_the_first_brushes_are_objects(painter: Painter) -> None:
    first = painter.values.first
    kinds = [painter.source.named(painter.source.concept(name)).category for name in first]
    assert kinds == sorted(kinds, key=["object", "part", "material", "colour"].index)
    assert len(first) <= 8
    assert [brush.first for brush in painter.brushes(painter.best_layer())].count(True) > 0


def test_a_program_says_how_to_draw_the_image_again(client: TestClient) -> None:
    text = client.post(f"{BASE}/snippet", json={"id": 3}).text
    assert "range(3, 4)" in text
    compile(text, "snippet", "exec")


def test_spare_time_is_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.web.model_thread.QUIET", 0.0)
    order: list[str] = []

    async def serve() -> None:
        models = ModelThread()
        first = asyncio.ensure_future(models.run(lambda: order.append("first"), Priority(PAINT)))
        await asyncio.sleep(0)
        spare = asyncio.ensure_future(models.run_in_spare_time(lambda: order.append("spare")))
        stroke = asyncio.ensure_future(models.run(lambda: order.append("stroke"), Priority(PAINT)))
        await asyncio.gather(first, spare, stroke)
        models.close()

    asyncio.run(serve())
    assert order == ["first", "stroke", "spare"]


@pytest.mark.slow
def test_brushes_are_measured_kept_and_used(dissect_once: Any, tmp_path: Path) -> None:
    study = dissect_once(tmp_path / "planted", images=64)
    painter = Painter(open_source(study.study.directory))
    before = painter.settings()
    assert (before.measuring, {row.state for row in before.brushes}) == (False, {"waiting"})
    painter.values.search = search = BrushSearch(painter.source, ["ball", "no such thing"], **SMALL)
    search_in(search)
    states = search.states
    assert states["ball"].state == "measured", states["ball"].reason
    assert states["no such thing"].state == "failed"
    assert "no such thing" in states["no such thing"].reason
    layers = painter.values.default_layers
    assert known_setting(painter.source, layers, "ball") is not None
    row = next(row for row in painter.settings().brushes if row.concept == "ball")
    assert row.state == "measured"
    assert row.result is not None
    assert row.result.likely_means == "usual"
    assert row.result.measured.likely.places > 0
    assert {brush.concept: brush.by for brush in painter.brushes(layers[-1])}["ball"] == "best"


@pytest.mark.slow
def test_a_search_that_was_ended_goes_on_the_next_time(dissect_once: Any, tmp_path: Path) -> None:
    study = dissect_once(tmp_path / "planted", images=64)
    source = open_source(study.study.directory)
    search = BrushSearch(source, ["ball"], **SMALL)
    search.end()
    search_in(search)
    assert search.states["ball"].state != "measured"
    again = BrushSearch(source, ["ball"], **SMALL)
    search_in(again)
    assert again.states["ball"].state == "measured"


@pytest.mark.slow
def test_where_nothing_can_be_written_nothing_is_kept_and_it_is_said(
    dissect_once: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = dissect_once(tmp_path / "planted", images=64)
    painter = Painter(open_source(study.study.directory))
    monkeypatch.setattr("ganatomy.web.brush_search._writable", lambda _: False)
    painter.values.search = search = BrushSearch(painter.source, ["ball"], **SMALL)
    before = sorted(tmp_path.rglob("*"))
    search_in(search)
    assert sorted(tmp_path.rglob("*")) == before
    told = painter.settings()
    assert not told.kept
    assert "Nothing can be written" in told.note
    assert next(row for row in told.brushes if row.concept == "ball").state == "measured"
    search.end()


def test_a_server_that_has_not_begun_to_measure_says_that_it_will(studied: Path) -> None:
    for measure in (True, False):
        app = create_app({"planted": Painter(open_source(studied))}, measure=measure)
        answer = TestClient(app, base_url="http://localhost").get(f"{BASE}/settings").json()
        assert answer["measuring"] is measure
        assert ("does not measure" in answer["note"]) is not measure
