"""The page of a training: it asks, answers, follows units, and names what could not be looked at."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_causal_page import Checked

import ganatomy
from ganatomy.experiments.monitor.training_history import TrainingHistory
from ganatomy.report.monitor.curves import counts_block, turnover_block
from ganatomy.report.monitor.fixed import fixed_block
from ganatomy.report.monitor.followed import even_choice, followed_block, mosaic
from ganatomy.report.monitor.page import answer, monitor_html, write_monitor_report

FAST = {"segmenter": "planted", "images": 16, "levels": 8, "batch": 8}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingHistory:
    names = ["planted", "planted:<broken>-7", "planted"]
    layers = ("layer1", "layer2")
    return ganatomy.monitor(
        names, steps=[500, 700, 1000], out=tmp_path_factory.mktemp("t") / "out", layers=layers, **FAST
    )


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> TrainingHistory:
    return ganatomy.monitor(
        ["planted"], steps=[1], out=tmp_path_factory.mktemp("s") / "out", layers=("layer1",), **FAST
    )


def test_the_page_is_whole(training: TrainingHistory, tmp_path: Path) -> None:
    path = write_monitor_report(training, tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    page = Checked()
    page.feed(text)
    page.close()
    assert "<h1>What do the units learn, and when?</h1>" in text
    assert "http://" not in re.sub(r'xmlns="[^"]*"', "", text)
    scripts = re.findall("<script[^>]*>", text)[1:]
    assert scripts == ['<script data-name="theme">', '<script type="module">'], "beside the summary"
    assert write_monitor_report(training) == training.directory / "monitor.html"


def test_it_answers_in_its_first_lines(training: TrainingHistory, single: TrainingHistory) -> None:
    ends = training.table[(training.table.layer == "all") & (training.table.category == "all")].iloc[-1]
    assert answer(training).startswith("2 checkpoints. At step 500, ")
    assert f"at step 1,000, {ends.matched} of {ends.units} units match {ends.concepts} concept" in answer(training)
    assert answer(single).count("at step 1") + answer(single).count("At step 1") == 1


def test_what_was_skipped_is_named_and_escaped(training: TrainingHistory) -> None:
    text = monitor_html(training)
    assert "step 700, planted:&lt;broken&gt;-7: " in text
    assert "<broken>" not in text


def test_curves_of_layers_and_of_one_layer(training: TrainingHistory, single: TrainingHistory) -> None:
    body = counts_block(training).body
    assert body.count('class="lines"') == 3
    assert "● </tspan>" not in body
    for name in ("layer1", "layer2", "object", "material"):
        assert f"</tspan> {name}</text>" in body, name
    alone = counts_block(single)
    assert "</tspan> paper’s</text>" in alone.body
    assert "Dashed" in alone.lead
    assert "Dashed" not in counts_block(training).lead


def test_every_number_has_its_error(training: TrainingHistory) -> None:
    row = training.table[(training.table.category == "all") & (training.table.matched_error > 0)].iloc[0]
    assert f"{row.matched}" in counts_block(training).body
    assert "±" in counts_block(training).body
    bare = training.table.drop(columns=[name for name in training.table if str(name).endswith("_error")])
    without = counts_block(dataclasses.replace(training, table=bare))
    assert "keep no errors" in without.lead
    assert "±" not in without.body.partition("<details>")[2]


def test_units_are_followed_with_their_images(training: TrainingHistory) -> None:
    block = followed_block(training, [("layer1", 3), ("layer2", 1)])
    assert block.body.count("<h3>") == 2
    assert block.body.count('<figure><svg class="tile"') == 4
    assert "which were named" in block.lead
    assert "which match best at the end" in followed_block(training).lead


def test_each_checkpoint_has_a_row_of_the_same_latents(training: TrainingHistory, tmp_path: Path) -> None:
    fixed = training.fixed()
    assert list(fixed) == [500, 1000]
    assert fixed[500].shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(fixed[500], fixed[1000], "the same network and the same latents")
    assert len({image.tobytes() for image in fixed[500]}) == 8
    block = fixed_block(training)
    assert block is not None
    assert re.findall(r'<figure class="moment"><figcaption>([^<]*)', block.body) == ["500", "1 k"]
    assert block.body.count('<svg class="tile"') == 16
    assert block.body in monitor_html(training)


def test_a_training_by_an_earlier_version_has_no_such_rows(single: TrainingHistory, tmp_path: Path) -> None:
    shutil.copytree(single.directory, tmp_path / "old")
    (step,) = (tmp_path / "old").glob("studies/*/steps/fixed.npz")
    step.unlink()
    old = TrainingHistory.open(tmp_path / "old")
    assert fixed_block(old) is None
    assert "The same latents" not in monitor_html(old)


def test_no_count_reaches_below_zero(training: TrainingHistory) -> None:
    table = training.table.assign(matched_error=1e3, concepts_error=1e3, matched_iou_error=1e3)
    body = counts_block(dataclasses.replace(training, table=table)).body
    bands = re.findall(r'<path d="([^"]*)"[^>]*fill-opacity="\.2"', body)
    heights = [float(y) for band in bands for y in re.findall(r"[\d.]+ (-?[\d.]+)", band)]
    assert heights
    assert max(heights) <= 1000.0, "the height of 0"


def test_turnover_sums_over_layers(training: TrainingHistory) -> None:
    kept = int(training.turnover.kept.sum())
    assert f"kept, step 1000: {kept}" in turnover_block(training).body
    assert "Do they stay with it?" not in monitor_html(
        dataclasses.replace(training, turnover=training.turnover.head(0))
    )


def test_many_looks_are_thinned() -> None:
    assert even_choice(list(range(100)), 7) == [0, 16, 33, 50, 66, 82, 99]
    assert even_choice([1, 2], 7) == [1, 2]


def test_a_mosaic_has_the_first_four_images(training: TrainingHistory) -> None:
    dissection = training.dissection(500)
    image = mosaic(dissection, "layer1", 0)
    assert image.shape == (130, 130, 3)
    assert (image[64:66] == 128).all()
    first = dissection.top("layer1", 0)
    lit = np.repeat(np.repeat(first.masks[0], 2, 0), 2, 1)
    own = first.images[0].repeat(2, 0).repeat(2, 1)
    same = (image[:64, :64] == own).all(-1)
    assert same[lit].any()
    assert not same[~lit & (own.max(-1) > 60)].any(), "where the unit is off, it is dimmed"
