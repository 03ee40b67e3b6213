"""A trace follows an insertion through the layers; it ends where nothing reads what was inserted."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mistakes import mistake

from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.causal.trace import Trace, TraceSpec, run_trace
from ganatomy.experiments.run_options import RunOptions
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators.planted import UNITS

BALL, COPY = (UNITS["layer1"].index(role) for role in ("ball", "copy:ball"))
LAYERS = ["layer1", "layer2", "layer3"]


def ask(source: DissectedModel, **options: Any) -> TraceSpec:
    usual = {"layer": "layer1", "concept": "ball", "units": (BALL,), "chosen": "as planted", "pool": 40}
    small = {"images": 12, "places": 9, "show": 2}
    return TraceSpec(**source.names(), **{**usual, **small, **options})


@pytest.fixture(scope="module")
def balls(source: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return run_trace(ask(source), source, tmp_path_factory.mktemp("trace") / "ball")


def test_causal_units_change_every_later_layer(balls: Trace) -> None:
    change = balls.places.loc[balls.places.visible, LAYERS]
    assert len(change) > 20
    assert (change > 0).all(axis=None)
    assert set(balls.lines.layer) == set(LAYERS)
    assert (balls.lines[balls.lines.visible].error > 0).all()


def test_what_later_layers_ignore_goes_no_further(source: DissectedModel, out: Path) -> None:
    found = run_trace(ask(source, units=(COPY,)), source, out)
    means = found.lines[~found.lines.visible].set_index("layer").change
    assert means["layer1"] > 0.01
    assert means["layer2"] == means["layer3"] == 0
    assert not found.places.visible.any()
    assert found.lines[found.lines.visible].change.isna().all(), "nothing was visible, and nothing is said about it"


def test_visible_edits_change_the_last_layer_more(balls: Trace) -> None:
    last = balls.lines[balls.lines.layer == "layer3"].set_index("visible").change
    assert last[True] > 1.5 * last[False]


def test_a_row_is_what_the_formula_says(source: DissectedModel, balls: Trace) -> None:
    """|Δr| / the channel's mean |r| over the sample, averaged over positions and channels that are ever on."""
    generator = source.models.generator
    spec = balls.spec
    sample = generator.observe(generator.latents(spec.ids(), spec.seed), ["layer2"]).features["layer2"].numpy()
    row = balls.places[balls.places.id == spec.first + 7].iloc[3]
    k = layer_pool(source, "layer1", spec.pool).constant(source.concept("ball"))
    where = place((8, 8), int(row.row), int(row.column))
    edit = Intervention.insert("layer1", source.shape("layer1"), [BALL], k, where)
    edited = generator.observe(generator.latents(range(row.id, row.id + 1), 0), ["layer2"], [edit])
    usual = np.abs(sample).mean((0, 2, 3))
    change = np.abs(edited.features["layer2"].numpy()[0] - sample[7]).mean((1, 2))
    assert row.layer2 == pytest.approx((change[usual > 0] / usual[usual > 0]).mean(), rel=1e-5)
    pixels = (0, 0, slice(row.row * 4, row.row * 4 + 4), slice(row.column * 4, row.column * 4 + 4))
    untouched = generator.edited(generator.latents(range(row.id, row.id + 1), 0), [])
    before, after = (source.models.segmenter(images)[pixels] for images in (untouched, edited.images))
    assert row.gain == pytest.approx(float((after == 3).float().mean() - (before == 3).float().mean()))


def test_lines_average_the_drawn_places_only(balls: Trace) -> None:
    spec = balls.spec
    per_image = balls.places.groupby("id").drawn.agg(["sum", "size"])
    assert (per_image["sum"] == spec.places).all()
    assert per_image["size"].tolist() == [64, 64, *[9] * 10]
    own = balls.places[balls.places.drawn & balls.places.visible]
    line = balls.lines[(balls.lines.layer == "layer3") & balls.lines.visible].iloc[0]
    assert (line.places, line.images) == (len(own), own.id.nunique())
    assert line.change == pytest.approx(own.layer3.mean())


def test_maps_and_images_show_the_first_images_whole(source: DissectedModel, balls: Trace) -> None:
    assert balls.ids == (1_000_000, 1_000_001)
    assert {layer: found.shape for layer, found in balls.maps.items()} == dict.fromkeys(LAYERS, (2, 8, 8))
    assert balls.images.shape == (2, 32, 32, 3)
    row = balls.places[(balls.places.id == 1_000_001) & (balls.places.row == 2) & (balls.places.column == 5)].iloc[0]
    assert balls.maps["layer3"][1, 2, 5] == np.float32(row.layer3)
    generator = source.models.generator
    image = generator.edited(generator.latents(range(1_000_001, 1_000_002), 0), [])[0]
    assert np.array_equal(balls.images[1], ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def test_places_do_not_depend_on_shards_or_batches(source: DissectedModel, balls: Trace, out: Path) -> None:
    other = run_trace(balls.spec, dataclasses.replace(source, run=RunOptions(25, 12)), out)
    pd.testing.assert_frame_equal(other.places, balls.places, check_exact=False, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"units": ()}, "units=[]"),
        ({"units": (1, 1)}, "units=[1, 1]"),
        ({"multiple": float("nan")}, "multiple=nan"),
        ({"multiple": 0.0}, "multiple=0.0"),
        ({"cell": 0}, "cell=0"),
        ({"visible": 0.0}, "visible=0.0"),
        ({"places": -1}, "places=-1"),
        ({"images": 1}, "images=1"),
        ({"cell": 9}, "9 × 9"),
    ],
)
def test_nonsense_is_refused(source: DissectedModel, out: Path, given: dict[str, Any], fact: str) -> None:
    with mistake("bad-value", fact):
        run_trace(ask(source, **given), source, out)
    assert not out.exists()


def test_unknown_units_are_refused(source: DissectedModel, out: Path) -> None:
    with mistake("unknown-name", "layer1/12"):
        run_trace(ask(source, units=(12,)), source, out)
