"""Capacity tells a layer that cannot from units that do not, and picks a setting on other images than it reports."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake

from ganatomy.experiments.base import Runner
from ganatomy.experiments.causal.capacity import CAPACITY, Capacity, CapacitySpec, candidates, run_capacity
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.places import draw_place
from ganatomy.experiments.run_options import RunOptions
from ganatomy.models.generators.planted import CONCEPTS, UNITS
from ganatomy.stats.clusters import proportion

BALL, COPY = (UNITS["layer1"].index(role) for role in ("ball", "copy:ball"))
LATER = UNITS["layer2"].index("ball")
SETS = (("layer1", "planted", (BALL,)), ("layer1", "copy", (COPY,)), ("layer2", "planted", (LATER,)))

IDLE = (("layer1", "idle", tuple(u for u, role in enumerate(UNITS["layer1"]) if role not in CONCEPTS)[:4]),)


def ask(source: DissectedModel, **options: Any) -> CapacitySpec:
    min_frequency = {
        "layer": "layer1",
        "concept": "ball",
        "sets": SETS,
        "cells": (1, 2),
        "multiples": (0.5, 1.0),
        "pool": 40,
    }
    return CapacitySpec(**source.names(), **{**min_frequency, "images": 16, **options})


@pytest.fixture(scope="module")
def found(source: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> Capacity:
    return run_capacity(ask(source), source, tmp_path_factory.mktemp("capacity") / "ball")


def test_causal_units_do_what_the_layer_can_and_copies_nothing(found: Capacity) -> None:
    table = found.table.dropna(subset="multiple").set_index(["layer", "cell", "multiple", "by"])
    best = table.xs(("layer1", 2, 1.0))
    assert best.gain["planted"] > 0.6
    assert best.gain["planted"] == pytest.approx(best.gain["all"], abs=0.2)
    assert (best.gain["copy"], best.appears["copy"]) == (0, 0)
    assert table.gain["layer1", 2, 0.5, "planted"] < 0.3 * best.gain["planted"], "half of k is not enough"


def test_every_setting_has_a_row(found: Capacity) -> None:
    ways = {"layer1": ["planted", "copy", "all", "random", "patch"], "layer2": ["planted", "all", "random", "patch"]}
    expected = [
        (layer, cell, multiple, by)
        for layer, own in ways.items()
        for cell in (1, 2)
        for multiple, every in ((0.5, own), (1.0, own), (0.0, ["transplant"]))
        for by in every
    ]
    columns = ["layer", "cell", "multiple", "by"]
    assert list(found.table[columns].fillna(0.0).itertuples(index=False, name=None)) == expected
    assert found.table.multiple.isna().sum() == 4
    assert set(found.table.units[found.table.by.isin(["all", "patch"])]) == {12}
    assert set(found.table.units[found.table.by == "random"]) == {1}


def test_the_setting_is_picked_on_other_images_than_it_is_measured_on(found: Capacity) -> None:
    table, gains = found.table, found.gains.double().numpy()
    control = table[table.by == "random"].set_index(["layer", "cell", "multiple"]).index
    for i, row in table.iterrows():
        own = gains[1::2, i]
        own = own[~np.isnan(own)]
        assert row.places == len(own)
        assert row.gain == pytest.approx(own.mean())
        assert row.gain_error == pytest.approx(own.std(ddof=1) / np.sqrt(len(own)))
        assert (row.appears, row.appears_error) == pytest.approx(proportion(own >= 0.2))
        if row.by == "transplant":
            continue
        same = (table[["layer", "cell", "multiple"]] == row[["layer", "cell", "multiple"]]).all(axis=1)
        random = table.index[same & (table.by == "random")][0]
        assert row.picking == pytest.approx(np.nanmean(gains[::2, i] - gains[::2, random]))
    assert len(control) == 8
    asked = table[~table.by.isin(["all", "random", "patch", "transplant"])]
    assert table.index[table.picked].tolist() == [asked.picking.idxmax()]


def test_places_are_drawn_where_the_concept_is_absent_uniformly_and_by_id() -> None:
    free = torch.zeros(2000, 3, 4, dtype=torch.bool)
    free[:, 1, 2] = free[:, 2, 0] = free[:, 0, 3] = True
    free[7] = False
    at = draw_place(free, range(2000), seed=0)
    assert at[7].tolist() == [-1, -1]
    places, counts = at[at[:, 0] >= 0].unique(dim=0, return_counts=True)
    assert places.tolist() == [[0, 3], [1, 2], [2, 0]]
    assert counts.min() > 580
    assert torch.equal(draw_place(free[100:120], range(100, 120), 0), at[100:120])
    assert not torch.equal(draw_place(free, range(2000), seed=1), at)


def test_nothing_can_be_lost_where_nothing_was(found: Capacity) -> None:
    assert found.gains[~found.gains.isnan()].min() >= 0


def test_places_can_be_kept_to_some_objects(source: DissectedModel, out: Path) -> None:
    """Behind a box no ball shows, whatever is set; images without a box have no place."""
    options = {"on": ("box",), "sets": SETS[:1], "cells": (1,), "multiples": (1.0,)}
    found = run_capacity(ask(source, **options), source, out)
    boxes = found.table.set_index("by")
    assert 0 < boxes.places["planted"] < 8
    assert boxes.gain["planted"] < 0.2


def test_places_can_be_kept_to_where_the_concept_usually_is(source: DissectedModel, out: Path) -> None:
    """Skies are above: half as often as at the place that shows it most, or more, means in the upper rows."""
    options = {"concept": "sky", "sets": (("layer1", "planted", (UNITS["layer1"].index("sky"),)),), "cells": (1,)}
    wide = run_capacity(ask(source, **options, multiples=(1.0,), min_frequency=0.0), source, out)
    kept = run_capacity(ask(source, **options, multiples=(1.0,), min_frequency=1.0), source, out.with_name("kept"))
    assert kept.table.places[0] < wide.table.places[0], "where skies mostly are there often is one already"


def test_shards_and_batches_change_nothing(source: DissectedModel, out: Path) -> None:
    spec = ask(source, sets=IDLE, cells=(2,), multiples=(1.0,), images=10)
    whole = run_capacity(spec, source, out)
    other = run_capacity(spec, dataclasses.replace(source, run=RunOptions(7, 10)), out.with_name("other"))
    assert torch.equal(other.gains, whole.gains)
    random = whole.gains[:, whole.table.by == "random"]
    assert 0 < (random > 0).sum() < 10, "drawn anew for each image: some sets hold what draws balls, some do not"


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"sets": ()}, "sets=()"),
        ({"sets": (*SETS, SETS[0])}, "('layer2', 'planted'), ('layer1', 'planted')"),
        ({"sets": (("layer1", "all", (1,)),)}, "called all"),
        ({"sets": (("layer1", "transplant", (1,)),)}, "called transplant"),
        ({"sets": (("layer1", "patch", (1,)),)}, "called patch"),
        ({"margin": -1}, "margin=-1"),
        ({"sets": (("layer1", "x", ()),)}, "units=[]"),
        ({"donors": 0}, "donors=0"),
        ({"cells": ()}, "cells=()"),
        ({"cells": (0,)}, "cells=(0,)"),
        ({"cells": (1, 9)}, "cell=9"),
        ({"multiples": (float("inf"),)}, "multiples=(inf,)"),
        ({"layer": "layer3"}, "layer=layer3"),
        ({"least": 0.0}, "least=0.0"),
        ({"min_frequency": -0.1}, "min_frequency=-0.1"),
        ({"images": 3}, "images=3"),
    ],
)
def test_nonsense_is_refused(source: DissectedModel, out: Path, given: dict[str, Any], fact: str) -> None:
    with mistake("bad-value", fact):
        run_capacity(ask(source, **given), source, out)
    assert not out.exists()


def test_the_sets_to_try_are_those_that_rank_highest(source: DissectedModel) -> None:
    sets = candidates(source, ["layer1", "layer3"], "ball", tops=(1, 2, 13))
    assert [(layer, by, len(units)) for layer, by, units in sets] == [
        ("layer1", "iou-1", 1),
        ("layer1", "iou-2", 2),
        ("layer3", "iou-1", 1),
        ("layer3", "iou-2", 2),
        ("layer3", "iou-13", 13),
    ]
    assert set(sets[1][2]) == {BALL, COPY}, "IoU does not know which of the two is the cause"
    ask(source, sets=sets)


def test_a_layer_without_so_many_units_is_told(source: DissectedModel) -> None:
    with mistake("bad-value", "tops=[20, 40]", "layer1", 12):
        candidates(source, ["layer1"], "ball", tops=(20, 40))


def test_a_plan_names_its_directory_by_all_that_is_asked(source: DissectedModel) -> None:
    def plan(**options: Any) -> tuple[CapacitySpec, Path]:
        min_frequency = {"layers": ["layer1", "layer2"], "concept": "ball", "tops": (1,), "cells": [1], "images": 8}
        planned = CAPACITY.plan(source, {**min_frequency, "multiples": (1.0,), "on": ["box"], **options}, Runner())
        return planned.spec, planned.directory

    spec, home = plan()
    assert (spec.layer, spec.layers(), spec.on) == ("layer1", ["layer1", "layer2"], ("box",))
    assert home.parent == source.sibling_path("layer1", "x").parent
    assert plan(cells=(1,), by="iou") == (spec, home)
    assert plan(on=())[1] != home
    for nothing in ("layer1", []):
        with mistake("bad-value", f"layers={nothing!r}"):
            plan(layers=nothing)


def test_unknown_units_and_objects_are_refused(source: DissectedModel, out: Path) -> None:
    with mistake("unknown-name", "layer1/12"):
        run_capacity(ask(source, sets=(("layer1", "x", (12,)),)), source, out)
    with mistake("unknown-name", "bx", "box"):
        run_capacity(ask(source, on=("bx",)), source, out)
