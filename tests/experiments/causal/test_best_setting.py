"""The best setting is found on half of the images, measured on the other half, and used from then on."""

from pathlib import Path

import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.engines import local
from ganatomy.experiments.base import Runner
from ganatomy.experiments.causal.best_setting import BestSetting, known_setting, run_setting, setting_path, setting_spec
from ganatomy.experiments.causal.choice import default_layers
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.plans import edited_units
from ganatomy.experiments.causal.pool import place_means, places_path
from ganatomy.experiments.causal.setting_places import Places, find_images
from ganatomy.experiments.causal.setting_spec import Rounds
from ganatomy.experiments.causal.trials import GainTable
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.causal.page import causal_html

SMALL = {"images": 32, "pool": 30, "cells": (4,)}


@pytest.fixture(scope="module")
def balls(source: DissectedModel) -> BestSetting:
    spec = setting_spec(source, ["layer2"], "ball", **SMALL)
    return run_setting(spec, source, setting_path(source, ["layer2"], "ball"))


def test_halves_share_no_image_and_every_setting_is_tried(source: DissectedModel, balls: BestSetting) -> None:
    few, more, measuring = Rounds.of(balls.spec.ids())
    assert [*few, *more, *measuring] == list(balls.spec.ids())
    assert len(balls.table) == len(balls.spec.settings()) == 3  # all units, at k and 85 % of it, and at k(place)
    assert set(balls.table.constant) == {"k", "place"}
    assert set(balls.table.control) == {"without"}  # of a dozen units all are tried
    assert balls.gains.shape[0] == len(few)
    assert not balls.gains.isnan().all(2).any(), "an image without a place where a ball may be"


def test_images_show_the_picked_setting_where_it_was_measured(source: DissectedModel, balls: BestSetting) -> None:
    shown = balls.shown
    assert shown is not None
    likely = shown.kinds == 0
    assert likely.sum() == 6
    held_out = balls.study.load_step("measuring", GainTable).gain
    assert torch.allclose(shown.gain[likely], held_out[:6, 0, 0], atol=1e-4)
    for box, gain, (before, after) in zip(shown.boxes, shown.gain, shown.images.float(), strict=True):
        top, left, height, width = (int(own) for own in (box * before.shape[0]).round())
        changed = (after - before).abs().sum(-1) > 60
        assert bool(changed[top : top + height, left : left + width].any()) or float(gain) == 0
    page = causal_html(balls)
    assert page.index("The picked setting") < page.index("Measured") < page.index("Tried")


@pytest.mark.parametrize("rare", [0.0, 0.1, 1.0])
def test_only_images_with_a_free_place_are_used(
    source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rare: float
) -> None:
    """As many as are asked for, the first ones; where they are rare, more are looked through, but not for ever."""
    spec = setting_spec(source, ["layer2"], "ball", **SMALL | {"images": 8, "searched": 30})
    having = [i for i in range(30) if i % 10 == 3] if rare == 0.1 else list(range(30)) if rare else []

    def free(_source, places, given):  # type: ignore[no-untyped-def]
        own = torch.tensor([i - spec.first in having for i in given.ids])[:, None, None].expand(-1, *corner)
        return [(own, own)] * len(places)

    corner = (16 - 3, 16 - 3)
    monkeypatch.setattr("ganatomy.experiments.causal.setting_places.free_places", free)
    places = {cell: Places(1, (16, 16), cell, None, torch.ones(corner), torch.ones(corner), 0.25) for cell in (2, 4)}
    with source.begin(tmp_path / "made", spec, local, None) as (study, own):
        images = find_images(own, spec, study, places)
    assert set(images) == {(2, 0), (2, 1), (4, 0), (4, 1)}
    for found in images.values():
        assert [i for part in found for i in part] == [spec.first + i for i in having[:8]]
    looked = len(list((tmp_path / "made" / "steps").glob("images-*")))
    assert looked == (1 if rare == 1 else 4)


def test_the_best_of_the_few_images_are_tried_on_more(source: DissectedModel, tmp_path: Path) -> None:
    """Of many settings, cells and layers only some are finalists; a place has as many cells as the setting says."""
    spec = setting_spec(source, ["layer1"], "ball", images=16, pool=30)
    assert len(spec.cells) == 2  # of 8 × 8 places an eighth and three sixteenths are 1 and 2
    found = run_setting(spec, source, tmp_path / "setting")
    assert found.table.finalist.sum() == min(8, len(found.table))
    assert found.table[found.table.picked].finalist.all()
    assert {setting.cell for setting in spec.settings()} == set(spec.cells)
    assert found.best.cell == found.table[found.table.picked].cell.iloc[0]


def test_constants_of_several_layers_are_measured_in_one_pass(source: DissectedModel, balls: BestSetting) -> None:
    layers = ["layer1", "layer2"]
    both = place_means(source, layers, "box", 20)
    alone = places_path(source, ["layer2"], "box", 20)
    again = place_means(source, ["layer2"], "box", 20)
    assert torch.equal(both["layer2"].shown, again["layer2"].shown)
    assert not alone.exists()


def test_the_setting_that_is_picked_shows_the_object_where_it_may_be(balls: BestSetting) -> None:
    score = balls.table.likely.fillna(0) - 2 * balls.table.unlikely.fillna(0)
    assert len(balls.table[balls.table.picked]) == 1
    assert score[balls.table.picked].iloc[0] == pytest.approx(score.max())
    measured = balls.measured.set_index("setting")
    assert measured.likely["picked"] > 0.5 > measured.likely["control"]
    assert "ball appears at" in balls.description()
    assert balls.best.layer == "layer2"


@pytest.mark.slow
def test_insertions_use_it_where_nothing_else_is_said(
    source: DissectedModel, planted: Dissection, balls: BestSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganatomy.experiments.causal.best_setting.run_setting", None)  # it is measured already
    effect = ganatomy.insert(planted, layer="layer2", concept="ball", at=(4, 4), images=4, random=1, show=1)
    assert effect.spec.units == balls.best.units
    assert (effect.spec.constant, effect.spec.multiple) == (balls.best.constant, balls.best.multiple)
    assert effect.spec.region == (4, 4, 4, 4)
    assert effect.spec.chosen.startswith("measured best: ")
    context = ganatomy.context(planted, layer="layer2", concept="ball", images=2, stride=6, show=1)
    assert (context.spec.units, context.spec.cell) == (balls.best.units, 4)
    by_hand = ganatomy.insert(planted, layer="layer2", concept="ball", top=1, images=4, random=1, show=1)
    assert (len(by_hand.spec.units), by_hand.spec.constant, by_hand.spec.multiple) == (1, "k", 1.0)


@pytest.mark.slow
def test_an_insertion_measures_what_is_not_measured(planted: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spec(source, layers, concept):  # type: ignore[no-untyped-def]
        asked.append((list(layers), concept))
        return setting_spec(source, layers, concept, **{**SMALL, "images": 8})

    monkeypatch.setattr("ganatomy.experiments.causal.best_setting.setting_spec", spec)
    for _ in range(2):
        effect = ganatomy.insert(
            planted, layers=["layer2", "layer1"], concept="box", at=(2, 2), images=3, random=1, show=1
        )
    assert asked == [(["layer1", "layer2"], "box")]
    assert [layer for layer, _ in effect.spec.more] == ["layer2"]


def test_what_is_not_finished_is_not_known(source: DissectedModel, balls: BestSetting) -> None:
    assert known_setting(source, ["layer2"], "ball") is not None
    assert known_setting(source, ["layer2"], "tree") is None
    assert known_setting(source, ["layer1"], "ball") is None


def test_default_layers_can_be_aimed_at(source: DissectedModel) -> None:
    assert default_layers(source) == ["layer1"]  # 8 × 8 of 32 pixels


def test_a_ranking_by_hand_needs_no_setting(source: DissectedModel) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    options = {"layers": ["layer1", "layer2"], "concept": "ball", "top": 2}
    choice, _, fields = edited_units(source, options, Runner(before=never))
    assert len(choice.units) == 2
    assert [layer for layer, _ in fields["more"]] == ["layer2"]
    with mistake("bad-value", "images=1", 2):
        setting_spec(source, ["layer1"], "ball", images=1)


def test_its_report_tells_what_was_measured(balls: BestSetting) -> None:
    page = causal_html(balls)
    assert "Which setting inserts ball best?" in page
    assert balls.best.name in page
