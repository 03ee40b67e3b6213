"""Insertions show where the model accepts an object: a ball anywhere but behind a box, a lid on a box only."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mistakes import mistake

from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.run_options import RunOptions
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators.planted import UNITS
from ganatomy.models.toy_world import VOCABULARY

BALL, COPY = (UNITS["layer1"].index(role) for role in ("ball", "copy:ball"))
LID = UNITS["layer2"].index("lid")
OPEN = ("nothing", "sky", "tree")


def ask(source: DissectedModel, **options: Any) -> ContextSpec:
    min_frequency = {
        "layer": "layer1",
        "concept": "ball",
        "units": (BALL,),
        "chosen": "as planted",
        "pool": 40,
        "cell": 2,
    }
    small = {"images": 10, "show": 3, "allowed": OPEN, "forbidden": ("box",)}
    return ContextSpec(**source.names(), **{**min_frequency, **small, **options})


@pytest.fixture(scope="module")
def balls(source: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> Context:
    return run_context(ask(source), source, tmp_path_factory.mktemp("context") / "ball")


@pytest.fixture(scope="module")
def lids(source: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> Context:
    spec = ask(source, layer="layer2", concept="lid", units=(LID,), allowed=("box",), forbidden=OPEN, stride=3)
    return run_context(spec, source, tmp_path_factory.mktemp("context") / "lid")


# ---------------------------------------------------------------- the truth


def test_a_ball_is_made_anywhere_but_behind_a_box(balls: Context) -> None:
    effect = balls.under.set_index("object").effect
    assert effect[list(OPEN)].min() > 0.75
    assert effect["box"] < 0.3
    units = balls.verdict.set_index("by").loc["units"]
    assert units.allowed > 0.75 > 0.3 > units.forbidden
    assert 2 < units.low <= units.ratio <= units.high


def test_a_lid_shows_on_boxes_only(lids: Context) -> None:
    responsive = lids.under.set_index("object").responsive
    assert responsive["box"] > 0.5
    assert responsive[[name for name in OPEN if name in responsive]].max() < 0.05
    units = lids.verdict.iloc[0]
    assert np.isnan(units.ratio) or units.low > 5, "a ratio only where it means something"
    assert units.difference_low > 0.1
    assert units.allowed_places == (lids.places.under.eq("box") & lids.places.before.eq(0)).sum()
    assert (lids.boxes.under == "box").mean() > 0.9


def test_what_only_correlates_makes_nothing(source: DissectedModel, out: Path) -> None:
    found = run_context(ask(source, units=(COPY,)), source, out)
    assert (found.places[["gain", "image_gain"]] == 0).all(axis=None)
    assert found.boxes.empty
    assert np.isnan(found.verdict.ratio[0])
    assert found.verdict.difference[0] == 0


def test_random_units_stand_beside(lids: Context) -> None:
    """A random unit is none of those chosen; the layer's others draw no lid but by drawing a box."""
    by = lids.verdict.set_index("by")
    assert by.allowed["random"] < 0.2 * by.allowed["units"]
    assert (lids.places.random_gain != lids.places.gain).any()


# ---------------------------------------------------------------- every number, from scratch


def test_a_row_is_what_an_intervention_does(source: DissectedModel, balls: Context) -> None:
    generator, segmenter = source.models.generator, source.models.segmenter
    k = layer_pool(source, "layer1", balls.spec.pool).constant(source.concept("ball"))
    for number in (5, 40, 70, 151):
        row = balls.places.iloc[number]
        where = place((8, 8), int(row.row), int(row.column), 2)
        z = generator.latents(range(row.id, row.id + 1), 0)
        edit = Intervention.insert("layer1", source.shape("layer1"), [BALL], k, where)
        before, after = (segmenter(generator.edited(z, edits))[0, 0] for edits in ([], [edit]))
        here = (slice(row.row * 4, row.row * 4 + 8), slice(row.column * 4, row.column * 4 + 8))
        names = [concept.name for concept in VOCABULARY]
        assert row.under == names[before[here].flatten().bincount().argmax()]
        ball = names.index("ball")
        gain, image_gain = (
            float((after[part] == ball).sum() - (before[part] == ball).sum()) / 64 for part in (here, (...,))
        )
        assert (row.gain, row.image_gain) == pytest.approx((gain, image_gain))


def test_places_tile_the_grid_and_the_object_under_them_is_counted(balls: Context, lids: Context) -> None:
    assert len(balls.places) == 10 * 16
    assert sorted(lids.places.row.unique()) == [0, 3, 6, 9, 12]
    assert balls.under.places.sum() == len(balls.places)
    for row in balls.under.itertuples():
        own = balls.places[balls.places.under == row.object]
        assert (row.places, row.images) == (len(own), own.id.nunique())
        assert row.effect == pytest.approx(own.gain.mean())
        assert row.image_effect == pytest.approx(own.image_gain.mean())
        assert row.responsive == pytest.approx((own.gain >= 0.2).mean())
    allowed = balls.under.set_index("object").allowed
    assert (allowed["box"], allowed["sky"]) == (False, True)
    assert pd.isna(allowed["ball"])


def test_images_maps_and_boxes_show_the_same_places(source: DissectedModel, balls: Context) -> None:
    assert balls.ids == (1_000_000, 1_000_001, 1_000_002)
    assert balls.maps.shape == (3, 4, 4)
    assert balls.images.shape == balls.inserted.shape == (3, 32, 32, 3)
    box = balls.boxes.iloc[-1]
    assert balls.maps[box["image"], box.row // 2, box.column // 2] == np.float32(box.gain)
    assert (box.top, box.left, box.height, box.width) == (4 * box.row, 4 * box.column, 8, 8)
    assert len(balls.boxes) == (balls.maps >= 0.2).sum()
    row, column = np.unravel_index(balls.maps[1].argmax(), (4, 4))
    k = layer_pool(source, "layer1", balls.spec.pool).constant(source.concept("ball"))
    where = place((8, 8), 2 * int(row), 2 * int(column), 2)
    edit = Intervention.insert("layer1", source.shape("layer1"), [BALL], k, where)
    generator = source.models.generator
    image = generator.edited(generator.latents(range(1_000_001, 1_000_002), 0), [edit])[0]
    assert np.array_equal(balls.inserted[1], ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def test_the_verdict_can_be_kept_to_where_the_concept_usually_is(
    source: DissectedModel, balls: Context, out: Path
) -> None:
    pool = layer_pool(source, "layer1", balls.spec.pool)
    often = pool.occupancy[VOCABULARY.index(("ball", "object"))].unfold(0, 2, 2).unfold(1, 2, 2).mean((2, 3))
    min_frequency = balls.places.frequency.to_numpy()[:16]
    assert min_frequency / min_frequency.max() == pytest.approx((often / often.max()).flatten().numpy())
    kept = run_context(ask(source, min_frequency=0.6), source, out)
    own = balls.places[balls.places.frequency >= 0.6]
    assert kept.under.places.sum() == len(own) < len(kept.places)
    units, free = kept.verdict.iloc[0], own[own.before == 0]
    assert units.allowed_places + units.forbidden_places == free.under.isin([*OPEN, "box"]).sum() < len(own)
    assert np.array_equal(kept.maps, balls.maps)


def test_a_multiple_of_k_is_inserted(source: DissectedModel, balls: Context, out: Path) -> None:
    weaker = run_context(ask(source, multiple=0.3), source, out)
    assert weaker.places.gain.mean() < 0.2 * balls.places.gain.mean()


# ---------------------------------------------------------------- what holds for every study


def test_shards_and_batches_change_nothing(source: DissectedModel, balls: Context, out: Path) -> None:
    other = run_context(balls.spec, dataclasses.replace(source, run=RunOptions(9, 10)), out)
    pd.testing.assert_frame_equal(other.places, balls.places)
    assert np.array_equal(other.inserted, balls.inserted)


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"responsive": 1.5}, "responsive=1.5"),
        ({"stride": 0}, "stride=0"),
        ({"min_frequency": 1.1}, "min_frequency=1.1"),
        ({"show": -1}, "show=-1"),
        ({"allowed": None}, "allowed and forbidden"),
        ({"allowed": ("box",)}, "box"),
        ({"cell": 9}, "cell=9"),
        ({"units": ()}, "units=[]"),
    ],
)
def test_nonsense_is_refused(source: DissectedModel, out: Path, given: dict[str, Any], fact: str) -> None:
    with mistake("bad-value", fact):
        run_context(ask(source, **given), source, out)
    assert not out.exists()


def test_unknown_words_are_refused(source: DissectedModel, out: Path) -> None:
    with mistake("unknown-name", "bal", "ball"):
        run_context(ask(source, concept="bal"), source, out)
    with mistake("unknown-name", "chapel", "church, livingroom"):
        run_context(ask(source, grammar="chapel", allowed=None, forbidden=None), source, out)
    assert not out.exists()
