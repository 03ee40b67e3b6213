"""The images on the pages of experiments: drawn when the study is made, right, and absent where a study has none."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganatomy
from ganatomy.experiments.artifacts import Artifacts
from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.causal.context import Context
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.effects import Effect
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.trace import Trace
from ganatomy.experiments.repair import Repair
from ganatomy.interventions import Intervention
from ganatomy.report.causal.ace import ace_section
from ganatomy.report.causal.artifacts import unit_groups
from ganatomy.report.causal.context import context_cards
from ganatomy.report.causal.effect import closer_cards, effect_section
from ganatomy.report.causal.repair import repair_section
from ganatomy.report.causal.tiles import CYAN
from ganatomy.report.causal.trace import edited_cards, trace_section


def drawn(source: DissectedModel, ids: torch.Tensor, edits: list[Intervention]) -> np.ndarray[Any, Any]:
    """Draw images with edits, uint8 [k, H, W, 3]."""
    generator = source.models.generator
    z = torch.cat([generator.latents(range(i, i + 1), 0) for i in ids.tolist()])
    return as_bytes(generator.edited(z, edits)).permute(0, 2, 3, 1).numpy()


def without_step(result: Any, name: str, place: Path) -> Any:
    """Open a copy of a study that lacks a step, as those of earlier versions do."""
    shutil.copytree(result.study.directory, place / "copy")
    (place / "copy" / "steps" / f"{name}.npz").unlink()
    return type(result).open(place / "copy")


def test_an_insertion_shows_the_places_that_gain_most_and_least(insertion: Effect, source: DissectedModel) -> None:
    found = insertion.extremes
    assert found is not None
    assert len(found.gain) == insertion.spec.images
    known = found.gain[found.gain.isfinite()]
    own = found.gain[found.ids - insertion.spec.first]
    assert own.tolist() == [float(known.max()), float(known.min())]
    np.testing.assert_array_equal(found.before.numpy(), drawn(source, found.ids, []))
    np.testing.assert_array_equal(found.after.numpy(), drawn(source, found.ids, insertion.edits()))
    groups = closer_cards(insertion)
    assert [(heading, len(cards)) for heading, cards in groups] == [
        ("Where it gains most", 1),
        ("Where it gains least", 1),
    ]
    assert all(len(card) == 2 for _, cards in groups for card in cards)


def test_an_insertion_by_an_earlier_version_has_no_crops(insertion: Effect, tmp_path: Path) -> None:
    old = without_step(insertion, "extremes", tmp_path)
    assert [block.heading for block in effect_section(old).blocks] == [
        "Before and after",
        "What changes at the edited place",
        "What changes in the whole image",
    ]


def test_ace_shows_images_without_its_units(ace: Ace, source: DissectedModel, tmp_path: Path) -> None:
    found, shape = ace.images, source.shape("layer2")
    assert found is not None
    np.testing.assert_array_equal(found.before.numpy(), drawn(source, found.ids, []))
    ablated = drawn(source, found.ids, [Intervention.ablate("layer2", shape, ace.top())])
    np.testing.assert_array_equal(found.after.numpy(), ablated)
    assert len(found.random) == len(found.ids)
    assert ace_section(ace).blocks[0].heading == "Before and after"
    old = ace_section(without_step(ace, "images", tmp_path))
    assert old.blocks[0].heading == "How many units does it take?"


def units(ace: Ace) -> str:
    (body,) = (block.body for block in ace_section(ace).blocks if block.heading == "The units")
    return body


def test_ace_units_have_their_top_images_and_labels(ace: Ace, tmp_path: Path) -> None:
    assert ace.dissection is not None
    cards = re.findall(r'<li class="card tiles">(.*?)</li>', units(ace))
    assert [card.count('<svg class="tile"') for card in cards] == [4, 4, 4]
    known = ace.dissection.units
    for unit, card in zip(ace.top(), cards, strict=True):
        label = known[(known.layer == "layer2") & (known.unit == unit)].label.iloc[0]
        assert (label if isinstance(label, str) else "no concept") in card
    shutil.copytree(ace.study.directory, tmp_path / "alone")
    alone = dataclasses.replace(Ace.open(tmp_path / "alone"), facts={**ace.facts, "source": "gone"})
    assert alone.dissection is None
    assert "<svg" not in units(alone)
    assert units(alone).count('<li class="card tiles">') == 3


@pytest.mark.parametrize(
    ("left", "error", "said"),
    [
        (-0.8, 0.01, "clearly more than"),
        (0.3, 0.01, "clearly less than"),
        (-0.8, 1.0, "not clearly more or less than"),
    ],
)
def test_ace_says_whether_it_is_more_than_chance(ace: Ace, left: float, error: float, said: str) -> None:
    relative = ace.curve.by.map({"ace": left, "iou": 0.0, "random": 0.0})
    other = dataclasses.replace(ace, curve=ace.curve.assign(relative=relative, error=error, spread=0.0))
    assert f"The first of these remove {said} those by IoU (clearly:" in ace_section(other).answer


def test_a_trace_shows_the_insertion_that_gained_most(trace: Trace, source: DissectedModel, tmp_path: Path) -> None:
    assert trace.inserted is not None
    assert trace.inserted.shape == trace.images.shape
    shown = trace.places[trace.places.id.isin(trace.ids)]
    for row, before, after in zip(trace.best.itertuples(), trace.images, trace.inserted, strict=True):
        assert row.gain == shown[shown.id == row.id].gain.max()
        rows, columns = np.nonzero((before != after).any(-1))
        assert len(rows), "the insertion changes the image"
        grid = source.grid("layer2")
        inside = [np.abs(rows.mean() / len(before) - (row.row + 2) / grid[0]), columns.mean() / before.shape[1]]
        assert inside[0] < 0.2
        assert abs(inside[1] - (row.column + 2) / grid[1]) < 0.2
    assert len(edited_cards(trace)) == len(trace.ids)
    old = without_step(trace, "inserted", tmp_path)
    assert edited_cards(old) == []
    assert 'class="pair"' not in trace_section(old).blocks[0].body


def test_a_context_map_outlines_where_it_may_be(context: Context) -> None:
    cards = context_cards(context)
    allowed = context.places[(context.places.before == 0) & (context.places.under == "sky")]
    for i, card in zip(context.ids, cards, strict=True):
        assert (CYAN in card[1][0]) == bool((allowed.id == i).any())
    assert any(CYAN in card[1][0] and 'd="M' in card[1][0] for card in cards)
    silent = dataclasses.replace(context, facts={**context.facts, "allowed": []})
    assert not any(CYAN in svg for card in context_cards(silent) for svg, _ in card)


def test_a_place_that_responds_is_shown_larger(context: Context) -> None:
    for i, card in enumerate(context_cards(context, closer=True)):
        assert len(card) == (5 if (context.boxes.image == i).any() else 3)


def test_artifacts_hold_the_worst_and_the_best_apart(artifacts: Artifacts) -> None:
    (_, worst), (_, best) = unit_groups(artifacts)
    ranked = artifacts.table.unit.tolist()
    titles = [[int(card[0][1].split()[1].rstrip(":")) for card in cards] for cards in (worst, best)]
    assert titles[0] + titles[1] == artifacts.strips.units.tolist()
    assert max(map(ranked.index, titles[0])) < min(map(ranked.index, titles[1]))
    assert all("<path" in svg for card in worst + best for svg, _ in card), "outlined"
    plain = dataclasses.replace(artifacts, facts={**artifacts.facts, "source": "gone"})
    object.__setattr__(plain, "dissection", None)
    assert not any("<path" in svg for _, cards in unit_groups(plain) for card in cards for svg, _ in card)


def repaired(repair: Repair, plain: float, artifacts: float) -> Repair:
    """The same, with other changes of both samples, and small errors."""
    change = repair.table["sample"].map({"plain": plain, "artifacts": artifacts})
    return dataclasses.replace(repair, table=repair.table.assign(change=change, change_error=0.1))


def test_what_a_repair_makes_worse_comes_first_and_warns(repair: Repair) -> None:
    mixed = repaired(repair, plain=1.0, artifacts=-1.0)
    answer = repair_section(mixed).answer
    assert answer.startswith("Worse: plain images are farther from real ones than before. Better: the images in which")
    assert "keep the original" in repair_section(mixed).blocks[-1].body
    assert any("worse" in warning for warning in mixed.warnings)
    good = repaired(repair, plain=-1.0, artifacts=-1.0)
    assert repair_section(good).answer.startswith("Better: the images in which the units are greatest and plain images")
    assert "keep the original" not in repair_section(good).blocks[-1].body
    assert repair_section(repaired(repair, 0.0, 0.0)).answer.startswith("No effect: the images in which")


@pytest.mark.parametrize("facts", [{"inputs": None}, {"inputs": {}}, {"inputs": {"dissection": "of another"}}])
def test_a_dissection_that_is_not_there_is_none(insertion: Effect, facts: dict[str, Any]) -> None:
    assert ganatomy.open(insertion.study.directory).dissection is not None
    assert dataclasses.replace(insertion, facts={**insertion.facts, **facts}).dissection is None


def test_a_place_that_shows_the_concept_everywhere_has_no_crops(insertion: Effect) -> None:
    assert insertion.extremes is not None
    bare = dataclasses.replace(insertion)
    nothing = {name: tensor[:0] for name, tensor in vars(insertion.extremes).items()}
    object.__setattr__(bare, "extremes", dataclasses.replace(insertion.extremes, **nothing))
    assert closer_cards(bare) == []
    assert effect_section(bare).blocks[1].heading == "What changes at the edited place"
