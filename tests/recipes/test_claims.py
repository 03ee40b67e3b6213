"""Every claim is measured on the planted generator, whose answers are known; a second run finds what is finished."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import claims
import pandas as pd
import pytest
from causal_claims.measure import CHOOSING, Bench, Findings, together
from causal_claims.page import page
from causal_claims.plan import PLANS
from causal_claims.tables import all_tables, fate

from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.experiments.dissection import Dissection
from ganatomy.models.generators.planted import UNITS

TABLES = {
    "figure-4-curves", "figure-4-at-top", "figure-4-others", "figure-9-objects", "figure-10-categories", "capacity",
    "figure-11-under", "figure-11-verdict", "figure-11-settings", "figure-11-measured",
    "figure-17-lines", "first-order",
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(dissect_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return dissect_once(tmp_path_factory.mktemp("planted") / "study", images=64)


@pytest.fixture(scope="module")
def made(planted: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, measured in seconds; the planted generator is its own second category."""
    directory = tmp_path_factory.mktemp("claims")
    study = str(planted.study.directory)
    given = ["--out", str(directory / "out"), "--docs", str(directory / "docs")]
    claims.main([*given, "--tiny", "--study", study, "--other", study])
    return directory


def table(made: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(made / "out" / "tables" / f"{name}.csv")


@pytest.mark.slow
def test_every_claim_has_its_table(made: Path) -> None:
    assert {path.stem for path in (made / "out" / "tables").glob("*.csv")} == TABLES
    for name in TABLES:
        assert len(table(made, name)), name


@pytest.mark.slow
def test_what_was_planted_goes(made: Path) -> None:
    own = table(made, "figure-9-objects").set_index("concept")
    assert set(own.index) == {"sky", "tree", "ball", "box"}
    assert (own.removed > 0.99).all()
    assert (own.random < 0.5).all()
    top = table(made, "figure-4-at-top").set_index("concept")
    assert (top.ace > 0.99).all()
    assert table(made, "figure-10-categories").removed.tolist() == [own.removed["ball"]] * 2


@pytest.mark.slow
def test_insertions_use_the_chosen_setting_on_other_images(made: Path, planted: Dissection) -> None:
    tried = json.loads((made / "out" / "studies" / "capacity-ball" / "study.json").read_text())["spec"]
    assert tried["first"] == CHOOSING
    chosen = table(made, "capacity").query("picked").iloc[0]
    for name in ("context-ball", "trace-ball"):
        spec = json.loads((made / "out" / "studies" / name / "study.json").read_text())["spec"]
        assert (spec["layer"], spec["cell"], spec["multiple"]) == (chosen.layer, chosen.cell, chosen.multiple)
        assert len(spec["units"]) == chosen.units
        assert UNITS[spec["layer"]].index("ball") in spec["units"]
        assert spec["first"] + spec["images"] <= CHOOSING


@pytest.mark.slow
def test_the_page_has_every_part_once_and_every_image(made: Path) -> None:
    text = (made / "docs" / "claims-tables.md").read_text()
    names = re.findall(r"<!-- ([\w-]+) -->", text)
    assert names == list(dict.fromkeys(names))
    for name in names:
        assert text.count(f"<!-- /{name} -->") == 1
    shown = re.findall(r"\]\(([^)]+)\)", text)
    assert len(shown) == len(set(shown)) >= 5
    drawn = sorted(path.name for path in (made / "docs" / "images" / "claims").iterdir())
    assert sorted(Path(name).name for name in shown) == drawn
    assert all((made / "docs" / name).read_text().startswith("<svg") for name in shown)
    assert "nan" not in text
    assert (made / "out" / "report.html").read_text().count("<section") >= 12


@pytest.mark.slow
def test_the_guide_includes_parts_that_are_there(made: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
    parts = re.findall(r":start-after: (.+)\n:end-before: (.+)\n", guide)
    assert len(parts) >= 10
    for text in ((made / "docs" / "claims-tables.md"), Path(__file__).parents[2] / "docs" / "claims-tables.md"):
        for start, end in parts:
            assert 0 <= text.read_text().find(start) < text.read_text().find(end), (text, start)
    assert len(re.findall("```{include} claims-tables.md", guide)) == len(parts)


@pytest.mark.slow
def test_a_second_run_finds_everything(made: Path, planted: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in (made / "out").rglob("*") if path.is_file()}
    study = str(planted.study.directory)

    def again(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("ganatomy.experiments.causal.ace.optimise", again)
    monkeypatch.setattr("ganatomy.experiments.causal.effects._measure", again)
    monkeypatch.setattr("ganatomy.experiments.causal.context.insert_shard", again)
    monkeypatch.setattr("ganatomy.experiments.causal.best_setting.try_shard", again)
    claims.main(["--out", str(made / "out"), "--tiny", "--study", study, "--other", study])
    assert {path: path.read_bytes() for path in before} == before


def test_what_the_model_does_not_draw_is_left_out_and_said(planted: Dissection, tmp_path: Path) -> None:
    bench = Bench(open_source(planted.study.directory), PLANS["tiny"], tmp_path)
    assert bench.scored(("ball", "door")) == ["ball"]
    assert len(bench.found.skipped) == 1
    assert "door" in bench.found.skipped[0]
    assert bench.ace("layer1", "door", {}) == []
    text = page(bench.found, all_tables(Findings()), [], [bench])
    part = text.partition("<!-- figure-4 -->")[2].partition("<!-- /figure-4 -->")[0]
    assert "not measured" in part
    assert bench.found.skipped[1] in text


def test_a_mistake_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        claims.main(["--out", str(tmp_path / "out"), "--study", str(tmp_path), "--tiny"])
    assert str(stopped.value).startswith("claims: ")
    assert "\n" not in str(stopped.value)


def test_shards_are_counted_at_once_and_come_in_order() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def work(ids: range) -> int:
        meeting.wait()
        return ids.start

    assert list(together(2)(work, [range(i, i + 1) for i in range(4)])) == [(1, i) for i in range(4)]


def test_what_goes_and_what_stays() -> None:
    assert [fate(share) for share in (0.5, 0.49, 0.2, 0.19, -1)] == ["goes", "in part", "in part", "stays", "stays"]


@pytest.mark.slow
def test_the_search_for_the_curve_also_serves_the_ablation(made: Path) -> None:
    ace = Ace.open(made / "out" / "studies" / "layer1-ace-tree")
    spec = json.loads((made / "out" / "studies" / "layer1-ablate-tree" / "study.json").read_text())["spec"]
    assert spec["units"] == ace.top(2)
