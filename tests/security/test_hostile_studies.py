"""A study directory from a stranger: names that are HTML, terminal codes or formulas; links, pipes and bombs."""

import html.parser
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_dissections import made_dissection
from mistakes import mistake

import ganatomy
from ganatomy.annotations.store import exported
from ganatomy.cli import main, terminal
from ganatomy.core.errors import LONGEST, BadFile, BadValue, GanatomyError, StudyError
from ganatomy.core.vocabulary import read_vocabulary
from ganatomy.datasets import open_images
from ganatomy.experiments.monitor.training_history import TrainingHistory
from ganatomy.models.weights import read_state
from ganatomy.report.html import write_report
from ganatomy.report.tables import Column, Table
from ganatomy.stats.topk import TopImages
from ganatomy.study import Study

NAMES = {
    "ball": "<img src=x onerror=alert(1)>",
    "box": "</script><script>alert(2)</script>",
    "grass": '" onmouseover="alert(3)" x="',
    "sky": "<!--<script>",
    "wall": "javascript:alert(4)",
    "stripes": "{{ 7 * 7 }}${7*7}",
}


class Marks(html.parser.HTMLParser):
    """What a browser would find in a page: elements, and attributes that run scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1
        self.running += [name for name, _ in attrs if name.startswith("on")]
        places = [value for name, value in attrs if value and name in ("href", "src", "xlink:href", "action")]
        self.running += [value for value in places if value.strip().startswith("javascript:")]


def marks(text: str) -> Marks:
    found = Marks()
    found.feed(text)
    return found


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("honest") / "study"
    ganatomy.dissect("planted:", segmenter="planted:", images=16, calibration=8, out=directory)
    return directory


@pytest.fixture
def study(honest: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(honest, tmp_path / "study"))


def renamed(study: Path) -> dict[str, str]:
    """Give hostile names to the concepts and the first layer of a study; return which."""
    record = study / "study.json"
    content = json.loads(record.read_text())
    known = [name for name, _ in content["facts"]["vocabulary"][1:]]
    names = dict(zip(known, [*NAMES.values(), *known[len(NAMES) :]], strict=True))
    content["facts"]["vocabulary"] = [[names.get(name, name), kind] for name, kind in content["facts"]["vocabulary"]]
    content["facts"]["<b onclick=alert(5)>"] = "<script>alert(6)</script>"
    content["spec"]["generator"] = "planted:?x=<svg onload=alert(7)>"
    record.write_text(json.dumps(content))
    for path in (study / "tables").glob("*.parquet"):
        table = pd.read_parquet(path)
        for column in {"label", "concept"} & set(table):
            table[column] = table[column].map(names, na_action="ignore")
        table.to_parquet(path)
    return names


def test_a_report_holds_names_as_text(study: Path, honest: Path, tmp_path: Path) -> None:
    write_report(ganatomy.open_dissection(honest), tmp_path / "honest.html")
    usual = marks((tmp_path / "honest.html").read_text())
    names = renamed(study)
    assert main(["report", str(study)]) == 0
    page = (study / "report.html").read_text()
    spoilt = marks(page)
    for tag in ("script", "img", "svg", "b", "iframe"):
        assert spoilt.found.get(tag) == usual.found.get(tag), tag
    assert spoilt.running == usual.running == []
    assert "49" not in page.partition("{{ 7")[2][:20]
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert {concept["name"] for concept in json.loads(data)["concepts"]} >= set(names.values())


def test_a_page_of_a_training_holds_names_as_text(study: Path, tmp_path: Path) -> None:
    renamed(study)
    (tmp_path / "snapshots").mkdir()
    layer = "<img src=x onerror=alert(0)>"
    look = {"step": 5, "name": NAMES["ball"], "study": "study", "images": 8, "segmenter": "s" * 64}
    look["numbers"] = [{"layer": layer, "category": "all", "units": 2, "matched": 1, "concepts": 1, "interpretable": 1}]
    look["numbers"][0]["matched_iou"] = 0.5
    missed = {"step": 6, "name": NAMES["box"], "reason": NAMES["ball"]}
    for each in (look, missed):
        (tmp_path / f"snapshots/{each['step']:09d}.json").write_text(json.dumps(each))
    ganatomy.write_monitor_report(TrainingHistory.open(tmp_path), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    found = marks(page)
    assert found.running == []
    assert not {"b", "iframe"} & found.found.keys()
    assert "alert(" in page
    assert "<img src=x" not in page
    assert "<script>alert" not in page


@pytest.mark.slow
def test_a_page_of_a_comparison_holds_names_as_text(study: Path, tmp_path: Path) -> None:
    renamed(study)
    shutil.copytree(study, tmp_path / "other")
    ganatomy.compare([study, tmp_path / "other"], names=[NAMES["ball"], NAMES["grass"]], out=tmp_path / "out", draws=4)
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".html", ".svg"):
            text = path.read_text()
            assert marks(text).running == []
            assert "<img src=x" not in text
            assert "<script>alert" not in text
        if path.suffix == ".csv":
            cells = path.read_text().replace(",", "\n").splitlines()
            assert not any(cell.startswith(("=", "@", "+")) for cell in cells)


def test_terminals_are_shown_names_and_not_steered(capsys: pytest.CaptureFixture[str]) -> None:
    steering = "\x1b[2J\x1b]8;;http://evil\x07[link=http://evil]sky[/nothing]\u202e"
    table = pd.DataFrame({f"a{steering}": [steering]})
    terminal.show_tables(Table("t", "T", (Column(f"a{steering}"),), table))
    shown = capsys.readouterr().out.replace("\x1b[1m", "").replace("\x1b[0m", "")
    terminal.print_line(steering)
    for text in (shown, capsys.readouterr().out):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\x1b[2J" in text
        assert "[/nothing]" in text


def test_messages_are_one_line_of_bounded_length() -> None:
    said = str(BadValue("unknown \x1b[31m\ud800" + "x" * 10**6))
    assert said.startswith("unknown \\x1b[31m\\ud800xxx")
    assert len(said) < LONGEST + 10
    assert str(BadValue(said)) == said


def test_tables_for_spreadsheets_hold_no_formulas() -> None:
    table = pd.DataFrame({"words": ["=cmd|' /C calc'!A0", "@SUM(1)", "tree", "-1+1"], "n": [-1, 2, 3, 4]})
    said = exported(table, ".csv").decode().splitlines()
    assert said[1:] == ["'=cmd|' /C calc'!A0,-1", "'@SUM(1),2", "tree,3", "'-1+1,4"]


@pytest.mark.parametrize("file", ["study.json", "tables/units.parquet", "steps/strips.npz"])
def test_pipes_devices_and_links_are_no_files(study: Path, file: str) -> None:
    path, outside = study / file, study.parent / "outside"
    outside.write_bytes(path.read_bytes())
    for lay in (os.mkfifo, lambda p: p.symlink_to("/dev/zero"), lambda p: p.symlink_to(outside), Path.mkdir):
        path.unlink()
        lay(path)
        with pytest.raises(GanatomyError):  # at once: nobody writes into the pipe
            ganatomy.open_dissection(study).top("layer1", 0)
        path.rmdir() if path.is_dir() else None
        if not os.path.lexists(path):
            path.touch()


def test_nothing_is_written_through_a_link(study: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    spec = ganatomy.DissectSpec("planted:")
    for name in (".lock", "study.json"):
        theirs = tmp_path / f"theirs{name}"
        theirs.mkdir()
        (theirs / name).symlink_to(mine)
        with pytest.raises(GanatomyError):
            Study.create(theirs, spec, {"inputs": {}})
        assert mine.read_text() == "precious"
    (study / "report.html").unlink(missing_ok=True)
    (study / "report.html").symlink_to(mine)
    write_report(ganatomy.open_dissection(study), study / "report.html")
    assert mine.read_text() == "precious"
    theirs = tmp_path / "steps"
    Study.create(theirs, spec, {"inputs": {}}).close()
    (theirs / "steps").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with Study.create(theirs, spec, {"inputs": {}}) as made, mistake("bad-file", "escaped.parquet", "link"):
        made.write_table("../../escaped", pd.DataFrame({"a": [1]}))
    with Study.create(theirs, spec, {"inputs": {}}) as made, mistake("bad-file", "levels.npz", "link"):
        made.step("levels", TopImages, lambda: TopImages(1, 1))


def test_a_look_leads_to_no_study_elsewhere(tmp_path: Path) -> None:
    made_dissection(tmp_path / "private", {"a": ["tree"]})
    (tmp_path / "training/snapshots").mkdir(parents=True)
    for target in ("../private", str(tmp_path / "private")):
        look = {"step": 5, "name": "a", "study": target, "images": 8, "segmenter": "s", "numbers": [{"layer": "a"}]}
        (tmp_path / "training/snapshots/000000005.json").write_text(json.dumps(look))
        with mistake("bad-file", "private", "link"):
            TrainingHistory.open(tmp_path / "training")


@pytest.mark.parametrize("text", ["[" * 10**5, '{"format": 1}', "null", '{"format": NaN}', "\x00", "[1e999]"])
def test_records_that_are_none(study: Path, text: str) -> None:
    (study / "study.json").write_text(text)
    with pytest.raises((BadFile, StudyError)):
        ganatomy.open_dissection(study)


@pytest.mark.slow
def test_archives_that_unfold_are_refused(tmp_path: Path) -> None:
    for name, entry in (("bomb.pth", "archive/data.pkl"), ("bomb.npz", "a.npy")):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(entry, bytes(100 << 20))
        with mistake("bad-file", tmp_path / name, "unfold"):
            read_state(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(300 << 20))
    found, frame = open_images(str(tmp_path / "bomb.zip")), ganatomy.View.open("scenes:church", 16).frame
    with mistake("bad-file", "a.png", 300 << 20):
        found.images([0], frame)
    np.savez_compressed(tmp_path / "plain.npz", a=np.zeros(1 << 18, np.float32))
    assert torch.equal(read_state(tmp_path / "plain.npz")["a"], torch.zeros(1 << 18))


def test_a_terabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.touch()
    os.truncate(path, 1 << 40)
    with mistake("bad-file", 1099511627776):
        read_vocabulary(path)


def test_tables_of_other_concepts_than_the_vocabulary_are_refused(tmp_path: Path) -> None:
    record = made_dissection(tmp_path / "study", {"layer1": ["tree", "door"]}) / "study.json"
    content = json.loads(record.read_text())
    content["facts"]["vocabulary"][1][1] = "another category"
    record.write_text(json.dumps(content))
    with mistake("bad-file", "study", "concepts"):
        ganatomy.open_dissection(tmp_path / "study")
