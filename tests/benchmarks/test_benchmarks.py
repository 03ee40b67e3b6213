"""The benchmark still runs, and its usual way still measures what dissection measures."""

import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import ganatomy
from ganatomy import open_generator, open_segmenter
from ganatomy.resample import Grid
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.levels import exact_levels
from ganatomy.stats.scores import iou, rates

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def usual_way(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("usual_way")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("clock")


@pytest.mark.slow
def test_it_runs() -> None:
    command = [sys.executable, "dissect.py", "--json", "--images", "4", "--threads", "1", "--repeats", "1"]
    command += ["--only", "bundled", "compile"]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    seconds = found["bundled"][0]["wall_s"]
    for phase in ("generator", "segmenter", "levels", "numbering", "counting", "reading", "strips", "saving"):
        assert seconds[phase] > 0, phase
    assert found["compile"][0]["first_s"] > found["compile"][0]["later_s"]


@pytest.mark.slow
def test_synthetic_pictures_have_as_many_tuples_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = importlib.import_module("dissect")
    row = benchmark.synthetic(8, 3, 5, "cpu", 1)
    assert all(100 < n <= 150 for n in row["tuples"])
    assert 0 < row["wall_min"] <= row["wall_median"]


@pytest.mark.slow
def test_schedules_are_judged_alike_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = importlib.import_module("ace")
    few = {"train": 8, "held": 4, "pairs": 2, "steps": 4, "every": 2, "random": 1}
    small = {"fast": {**few, "pool": 48, "candidates": 16}, "published": {**few, "patience": 0, "start": "iou"}}
    monkeypatch.setattr("ganatomy.experiments.causal.ace_spec.SCHEDULES", small)
    study, out = tmp_path / "study", tmp_path / "runs"
    ganatomy.dissect("planted", segmenter="planted", images=40, layers=("layer2",), batch=8, out=study)
    arguments = f"ace {study} --out {out} --concept ball --layer layer2 --top 2 --pool 64 --steps 2 --pictures 8 --json"
    monkeypatch.setattr(sys, "argv", [*arguments.split(), "--schedules", "published", "fast"])
    benchmark.main()
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((out / "ace.json").read_text(), parse_constant=pytest.fail)
    curves = found["curves"]
    assert [row["step"] for row in curves["published"]] == [0, 1, 2]
    assert [row["step"] for row in curves["fast"]] == [0, 2, 4]
    assert all(row["effect_error"] > 0 for own in curves.values() for row in own)
    ends = {row["schedule"]: row for row in found["summary"]}
    assert ends["published"]["effect"] == curves["published"][-1]["effect"]
    clear = [row for row in curves["fast"] if row["gain"] > row["gain_error"]] or curves["fast"][:1]
    best = max(clear, key=lambda row: row["held_out"])
    assert ends["fast"]["effect"] == best["effect"], "by its own held-out places, not by those of the judge"
    drawn = (out / "ace.svg").read_text()
    assert drawn.count("<circle") == 6
    assert "fast" in drawn


def test_the_usual_way_finds_the_same_iou(usual_way: ModuleType) -> None:
    """At the quantile that the sketch approximates, with so few values that it keeps them all."""
    generator, segmenter = open_generator("planted"), open_segmenter("planted")
    layer = next(iter(generator.layers))
    found = usual_way.dissect(generator, segmenter, [layer], images=4, batch=2, top=0.2)[layer]
    seen = generator.observe(generator.latents(range(4), 0), [layer])
    labels = segmenter(seen.images)
    r, size = seen.features[layer], seen.images.shape[-2:]
    levels = exact_levels(r, Grid(*size), torch.tensor([1.0, 0.2]).double().numpy())
    table = Agreement(levels, len(segmenter.vocabulary), 10**6)
    table.update(r, labels)
    expected = iou(rates(table.counts[0]))[:, 1:, 1]
    torch.testing.assert_close(found[:, 1:].double(), expected, rtol=0, atol=0.02)


def test_sketched_quantiles_are_close(usual_way: ModuleType) -> None:
    torch.manual_seed(0)
    sketch = usual_way.Sketch(2, size=256)
    values = torch.stack([torch.arange(10_000.0), -torch.arange(10_000.0)])[:, torch.randperm(10_000)]
    sketch.add(values)
    assert sketch.quantile(0.9)[0].item() == pytest.approx(9000, rel=0.03)
    assert sketch.quantile(0.9)[1].item() == pytest.approx(-1000, rel=0.3)
    assert sum(b.shape[1] for b in sketch.buffers) < 2000


def test_a_phase_is_not_charged_for_what_it_calls(clock: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(ticks))
    watch = clock.Clock()
    with watch.phase("outer"), watch.phase("inner"):
        next(ticks)
    assert watch.wall == {"inner": 2, "outer": 2}, "of four ticks, two pass within the inner block"
