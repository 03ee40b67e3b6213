"""The benchmark still runs, and its baseline still measures what dissection measures."""

import itertools
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

import ganatomy
from ganatomy import open_generator, open_segmenter
from ganatomy.core.resample import Grid
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.levels import exact_levels
from ganatomy.stats.scores import iou, rates


@pytest.mark.slow
def test_every_phase_takes_time(load: Any) -> None:
    seconds = load("dissect").bundled(4, 1)["wall_s"]
    for phase in ("generator", "segmenter", "levels", "numbering", "counting", "reading", "strips", "saving"):
        assert seconds[phase] > 0, phase


def test_compiling_is_compared_with_the_cache(load: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes half a minute, so its two processes are pretended."""
    took = iter(["30.5\n", "0.2\n"])
    monkeypatch.setattr(load("dissect").subprocess, "run", lambda *_, **__: Namespace(stdout=next(took)))
    assert run("dissect", "--threads", 1, "--only", "compile")["compile"] == [{"first_s": 30.5, "later_s": 0.2}]


@pytest.mark.slow
def test_synthetic_images_have_as_many_tuples_as_they_say(load: Any) -> None:
    row = load("dissect").synthetic(8, 3, 5, "cpu", 1)
    assert all(100 < n <= 150 for n in row["tuples"])
    assert 0 < row["wall_min"] <= row["wall_median"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_sparse_maps_are_compared_with_dense_ones(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = load("sparse")
    for name, value in {"FEATURES": 640, "ON": 4, "UNITS": 16, "CONCEPTS": 30}.items():
        monkeypatch.setattr(sparse, name, value)
    assert ((sparse.sparse(2, 8) > 0).sum(1) == 4).all()
    row = sparse.timed(8, 16, 2, 1)
    assert row["not_0"] == pytest.approx(4 / 640)
    assert row["pairs, ratio"] == row["pairs, sparse"] / row["pairs, dense"] > 0
    held = sparse.memory(8, 16, 8, 2, ["all levels", "pairs"])
    assert held["merged 1"] - held["bare"] < 2**28
    assert held["bins a unit"] < 101


@pytest.mark.slow
def test_all_units_at_once_have_the_distances_of_the_ordinary_routine(run: Any) -> None:
    sizes = {"units": 3, "top": 40, "images": 100, "real": 50, "features": 16}
    options = [word for name, value in sizes.items() for word in (f"--{name}", value)]
    found = run("unit_fid", "--called", 2, "--repeats", 1, *options)
    (row,) = found["measured"]
    assert row["size"] == sizes
    assert row["greatest_difference"] < 1e-4
    assert row["ordinary_a_unit_s"]["features"] < row["ordinary_a_unit_s"]["images"]
    assert found["projected"]["size"]["units"] == 512
    assert found["projected"]["seconds"] > 0


@pytest.mark.slow
def test_the_report_of_a_random_study_is_measured(run: Any, tmp_path: Path) -> None:
    size = {"layers": 3, "units": 20, "concepts": 40, "common": 30, "images": 16, "side": 64, "top": 3}
    found = run("report_size", "--out", tmp_path, *[f"--{name}={value}" for name, value in size.items()])
    assert found["units"] == 60
    assert found["megabytes"] == (tmp_path / "report.html").stat().st_size / 1e6
    assert 0 < found.get("seconds to first cards", 1) < 60


@pytest.mark.slow
def test_schedules_are_evaluated_alike_and_drawn(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"train": 8, "held": 4, "pairs": 2, "steps": 4, "every": 2, "random": 1}
    small = {"fast": {**few, "pool": 48, "candidates": 16}, "published": {**few, "patience": 0, "start": "iou"}}
    monkeypatch.setattr("ganatomy.experiments.causal.ace_spec.SCHEDULES", small)
    study, out = tmp_path / "study", tmp_path / "runs"
    ganatomy.dissect("planted", segmenter="planted", images=40, layers=("layer2",), batch=8, out=study)
    options = "--concept ball --layer layer2 --top 2 --pool 64 --steps 2 --images 8 --schedules published fast"
    found = run("ace", study, "--out", out, *options.split())
    assert found == json.loads((out / "ace.json").read_text(), parse_constant=pytest.fail)
    curves = found["curves"]
    assert [row["step"] for row in curves["published"]] == [0, 1, 2]
    assert [row["step"] for row in curves["fast"]] == [0, 2, 4]
    assert all(row["effect_error"] > 0 for own in curves.values() for row in own)
    ends = {row["schedule"]: row for row in found["summary"]}
    assert ends["published"]["effect"] == curves["published"][-1]["effect"]
    clear = [row for row in curves["fast"] if row["gain"] > row["gain_error"]] or curves["fast"][:1]
    best = max(clear, key=lambda row: row["held_out"])
    assert ends["fast"]["effect"] == best["effect"], "by its own held-out places, not by those of the evaluation"
    drawn = (out / "ace.svg").read_text()
    assert drawn.count("<circle") == 6
    assert "fast" in drawn


def test_the_baseline_finds_the_same_iou(load: Any) -> None:
    """At the quantile that the sketch approximates, with so few values that it keeps them all."""
    generator, segmenter = open_generator("planted"), open_segmenter("planted")
    layer = next(iter(generator.layers))
    found = load("baseline").dissect(generator, segmenter, [layer], images=4, batch=2, top=0.2)[layer]
    seen = generator.observe(generator.latents(range(4), 0), [layer])
    labels = segmenter(seen.images)
    r, size = seen.features[layer], seen.images.shape[-2:]
    levels = exact_levels(r, Grid(*size), torch.tensor([1.0, 0.2]).double().numpy())
    table = Agreement(levels, len(segmenter.vocabulary), 10**6)
    table.update(r, labels)
    expected = iou(rates(table.counts_of()[0]))[:, 1:, 1]
    torch.testing.assert_close(found[:, 1:].double(), expected, rtol=0, atol=0.02)


def test_sketched_quantiles_are_close(load: Any) -> None:
    torch.manual_seed(0)
    sketch = load("baseline").Sketch(2, size=256)
    values = torch.stack([torch.arange(10_000.0), -torch.arange(10_000.0)])[:, torch.randperm(10_000)]
    sketch.add(values)
    assert sketch.quantile(0.9)[0].item() == pytest.approx(9000, rel=0.03)
    assert sketch.quantile(0.9)[1].item() == pytest.approx(-1000, rel=0.3)
    assert sum(b.shape[1] for b in sketch.buffers) < 2000


def test_a_phase_is_not_charged_for_what_it_calls(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timer, ticks = load("timer"), itertools.count()
    monkeypatch.setattr(timer.time, "perf_counter", lambda: next(ticks))
    watch = timer.Timer()
    with watch.phase("outer"), watch.phase("inner"):
        next(ticks)
    assert watch.wall == {"inner": 2, "outer": 2}, "of four ticks, two pass within the inner block"
