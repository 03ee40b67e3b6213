"""Finished studies of any kind are listed, shown and reported."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mistakes import assert_mistake_line

import ganatomy
from ganatomy.cli import main

SMALL = ("--segmenter", "planted", "--layers", "layer2", "--images", "24", "--batch", "8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a dissection, an ablation, and a training of one snapshot."""
    place = tmp_path_factory.mktemp("studies")
    ganatomy.dissect("planted", segmenter="planted", layers=["layer2"], images=24, batch=8, out=place / "study")
    ganatomy.ablate(place / "study", layer="layer2", units=[3], images=6, out=place / "study-causal" / "ablated")
    options = {"segmenter": "planted", "layers": ["layer2"], "images": 24, "batch": 8}
    ganatomy.monitor(["planted"], steps=[1], out=place / "training", **options)
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_every_study_is_listed(answer: Callable[..., str]) -> None:
    (Path("broken")).mkdir(exist_ok=True)
    Path("broken/study.json").write_text("{")
    rows = {row["study"]: row for row in json.loads(answer("list", "--json"))}
    assert rows["study"]["kind"] == "dissect"
    assert (rows["study-causal/ablated"]["kind"], rows["study-causal/ablated"]["of"]) == ("effect", "layer2")
    assert rows["study"]["state"] == "finished"
    assert "not a whole file of a study" in rows["broken"]["state"]
    assert rows["training"]["kind"] == "monitor"
    assert "study-causal/ablated" in answer("list")
    Path("empty").mkdir(exist_ok=True)
    assert answer("list", "empty") == "no studies in empty\n"


def test_studies_at_a_url_are_listed_by_their_records_alone(
    place: Path, answer: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    names = {"study", "study-causal/ablated", "training"}
    rows = {row["study"]: row for row in json.loads(answer("list", f"file://{place}", "--json"))}
    assert {rows[name]["state"] for name in names} == {"finished"}
    rows = json.loads(answer("list", f"file://{place}/study", "--json"))
    assert [(row["study"], row["kind"]) for row in rows] == [("study", "dissect")]
    assert answer("list", f"file://{place}/none") == f"no studies in file://{place}/none\n"
    assert not list((tmp_path / "cache").rglob("*.npz"))


@pytest.mark.parametrize(
    ("study", "key"),
    [
        ("study", "concepts"),
        ("study-causal/ablated", "table"),
        ("training", "turnover"),
    ],
)
def test_every_kind_is_shown_and_reported(
    study: str, key: str, answer: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert answer("show", study)
    assert key in json.loads(answer("show", study, "--json"))
    page = tmp_path / "page.html"
    assert answer("report", study, "--out", str(page)) == f"report: {page}\n"
    assert page.stat().st_size > 5000
    if study != "study":
        assert main(["report", study, "--budget", "3"]) == 2
        assert_mistake_line(capsys.readouterr().err, "--budget")


def test_units_of_a_concept_and_of_a_layer(answer: Callable[..., str], refused: Callable[..., None]) -> None:
    study = ganatomy.open_dissection("study")
    concept = str(study.pairs.concept.iloc[0])
    found = json.loads(answer("show", "study", "--concept", concept, "--layer", "layer2", "--json"))
    assert [row["unit"] for row in found] == study.ranked(concept).unit.tolist()
    assert "IoU" in answer("show", "study", "--layer", "layer2")
    refused(["show", "study", "--layer", "layer22"], "layer2")


def test_a_directory_of_results_has_an_index(
    answer: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    here = shutil.copytree(".", tmp_path / "here")
    shutil.rmtree(here / "broken", ignore_errors=True)
    text = answer("report", str(here))
    index, page = here / "index.html", here / "study-causal" / "ablated" / "report.html"
    assert text.endswith(f"report: {index}\n")
    for link in ("study/report.html", "study-causal/ablated/report.html", "training/monitor.html"):
        assert (here / link).is_file()
        assert f'href="{link}"' in index.read_text()
    assert 'href="index.html">Further results<' in (here / "study/report.html").read_text()
    assert answer("report", str(here)) == f"report: {index}\n"  # pages that are there stay
    new = here / "study-causal" / "layer2" / "new"
    answer("ablate", str(here / "study"), "--layer", "layer2", "--units", "5", "--images", "4", "--out", str(new))
    assert "study-causal/layer2/new/report.html" in index.read_text()
    assert "../study-causal/layer2/new/report.html" in (here / "study/index.html").read_text()
    assert 'href="../../../study/index.html"' in (new / "report.html").read_text()
    assert 'href="../../../study/report.html"' in (new / "report.html").read_text()
    assert main(["report", str(page.parent.parent)]) == 0
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 2
    assert_mistake_line(capsys.readouterr().err, tmp_path / "empty")


def test_a_dissection_without_a_directory_gets_one_by_its_question(
    answer: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = json.loads(answer("dissect", "planted", *SMALL, "--json"))["study"]
    again = json.loads(answer("dissect", "planted", *SMALL, "--json"))["study"]
    other = json.loads(answer("dissect", "planted", *SMALL, "--seed", "1", "--json"))["study"]
    assert first == again != other
    assert first.startswith("planted-")
    assert (tmp_path / first / "report.html").exists()
