"""The index of results: what it lists, how it links, and that nothing which lies there harms it."""

import base64
import io
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from mistakes import mistake
from PIL import Image

from ganatomy.cli.pages import indexed
from ganatomy.experiments import catalogue
from ganatomy.experiments.catalogue import Entry, entries_below, groups_of, indexes_around, write_index
from ganatomy.report.binary_packing import base64_text, jpeg
from ganatomy.report.page import template
from ganatomy.report.summary import LARGEST, Summary, read_summary, summary_of
from ganatomy.study.files import FORMAT, INDEX

CHART = '<svg class="bars" width="100%" height="42"><text>tree</text></svg>'
HOSTILE = "<script>alert(\"1\")</script> & 'x'"


def put(
    directory: Path, study: str, of: str = "", *, page: Summary | None = None, done: bool = True, **spec: Any
) -> Path:
    """Write the record of a study, and the head of its page."""
    directory.mkdir(parents=True)
    facts = {"inputs": {"dissection": of}, "source": "gone"} if of else {}
    record = {"format": FORMAT, "experiment": study, "spec": {"generator": "planted:", **spec}, "run": {}}
    digest = f"digest of {directory.name}"
    (directory / "study.json").write_text(json.dumps(record | {"digest": digest, "facts": facts, "finished": done}))
    if page:
        (directory / "report.html").write_text(template("base.html").render(summary=page))
    return directory


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A dissection with results of every sort around it, another one, and a comparison of both."""
    for name in ("one", "two"):
        put(tmp_path / name, "dissect", page=Summary(f"What does {name} draw?", "Trees.", (), CHART))
    of, where = "digest of one", tmp_path / "one-causal" / "layer4"
    for images in (100, 200):
        page = Summary(f"Which units make trees of {images} images?", "Unit 3.", ("Nothing moves.",))
        put(where / f"ace-{images}", "ace", of, page=page, images=images, layer="layer4", concept="tree", seed=0)
    put(where / "pool-16", "pool", of, layer="layer4")
    put(where / "late", "effect", of, done=False, kind="ablate", layer="layer4", concept="door")
    put(tmp_path / "beside", "trace", of)
    put(tmp_path / "of two", "trace", "digest of two", page=Summary("How far does two go?", "Far."))
    (where / "broken").mkdir()
    (where / "broken" / "study.json").write_text("{")
    (tmp_path / "both").mkdir()
    studies = [{"name": n, "directory": str(tmp_path / n), "digest": f"digest of {n}"} for n in ("one", "two")]
    (tmp_path / "both" / "compare.json").write_text(json.dumps({"spec": {"draws": 9}, "studies": studies}))
    return tmp_path


def links(page: Path) -> list[Path]:
    found = re.findall(r'<h4><a href="([^"]*)">', page.read_text(encoding="utf-8"))
    return [(page.parent / unquote(unescape(link))).resolve() for link in found]


def names(group: Any) -> list[str]:
    return [each.directory.name for each in group.entries]


def test_a_dissection_has_what_stands_on_it(place: Path) -> None:
    (group,) = groups_of(place / "one")
    assert names(group) == ["one", "late", "ace-100", "ace-200", "beside", "both"]


def test_a_relative_path_will_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert names(groups_of(Path("one"))[0]) == names(groups_of(place / "one")[0])


def test_a_directory_has_everything_below_it(place: Path) -> None:
    one, two, others = groups_of(place)
    assert names(one) == ["one", "late", "ace-100", "ace-200", "beside"]
    assert names(two) == ["two", "of two"]
    assert names(others) == ["both", "broken"]
    assert others.dissection is None


def test_of_two_copies_of_a_dissection_the_own_one_has_the_results(place: Path) -> None:
    shutil.copytree(place / "one", place / "a copy")
    assert [names(group) for group in groups_of(place)][:2] == [
        ["a copy", "beside"],  # it lies as near to both
        ["one", "late", "ace-100", "ace-200"],
    ]


def test_links_hold_after_a_move(place: Path) -> None:
    for directory in (place, place / "one"):
        write_index(directory)
    moved = place.rename(place.with_name("moved, & renamed"))
    assert len(links(moved / INDEX)) == 5
    for page in (moved / INDEX, moved / "one" / INDEX):
        assert all(link.is_file() for link in links(page))


def test_each_result_is_told_in_short(place: Path) -> None:
    text = write_index(place / "one").read_text(encoding="utf-8")
    assert "What was measured on planted" in text
    assert "Which units make trees of 100 images?" in text
    assert "Unit 3." in text
    assert "Nothing moves." in text
    assert "ace · images 100" in text
    assert "seed" not in text
    assert "ablate: door at layer4" in text
    assert "Unfinished" in text
    assert "ganatomy report ../beside" in text
    assert text.count("data:image/svg+xml,") == 1
    assert "not a whole file of a study" in write_index(place).read_text(encoding="utf-8")


def judgement(directory: Path) -> Path:
    """Write the record and the page of a judgement of a dissection inside it."""
    put(directory / "studies" / "autoencoder", "dissect")
    (directory / "judge.json").write_text(json.dumps({"spec": {"autoencoder": "sae:planted:"}, "notes": []}))
    page = Summary("Does it say more?", "1 of 2 measures in favour of this autoencoder: dead features. 2.", (), CHART)
    (directory / "judge.html").write_text(template("base.html").render(summary=page))
    return directory


def test_a_judgement_is_one_result_with_what_was_found(place: Path) -> None:
    inside = judgement(place / "judged") / "studies" / "autoencoder"
    assert names(groups_of(place)[-1]) == ["both", "judged", "broken"], "and not what it is made of"
    text = write_index(place).read_text(encoding="utf-8")
    assert '<a href="judged/judge.html">Does it say more?</a>' in text
    assert "<p>1 of 2 measures in favour of this autoencoder: dead features. 2.</p>" in text
    assert place / "judged" / "judge.html" in links(place / INDEX)
    assert names(groups_of(inside)[0]) == ["autoencoder", "judged"]
    (place / "judged" / "judge.html").unlink()
    assert "No page: the same command writes it." in write_index(place).read_text(encoding="utf-8")
    (place / "judged" / "judge.json").write_text('{"spec": [1]}')
    assert "no record of a judgement" in write_index(place).read_text(encoding="utf-8")


def test_hostile_names_and_pages_are_only_text(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "-") + "x" * 150
    page = Summary(HOSTILE, HOSTILE, (HOSTILE,), f'<svg class="bars"><script>{HOSTILE}</script></svg>')
    for i in range(2):
        put(
            tmp_path / name / str(i),
            "dissect",
            page=page,
            layers=HOSTILE,
            concept={"a": [HOSTILE]},
            note=f"{i}{HOSTILE}",
        )
    text = write_index(tmp_path).read_text(encoding="utf-8")
    assert text.count("<script") == 1, "the theme's"
    assert "&lt;script&gt;" in text
    assert unescape(text).count("'sha256-") == 1
    assert re.findall(r"(?:src|href)=\"(?!data:|#|%3C)[^\"]*", text) == []
    assert all(link.is_file() for link in links(tmp_path / INDEX))


def test_records_of_any_shape_are_listed(tmp_path: Path) -> None:
    put(tmp_path / "a", "trace", layer=[["x"]], concept=3, layers={"a": 1})
    record = json.loads((tmp_path / "a" / "study.json").read_text())
    record |= {"facts": {"inputs": [1], "source": 5}, "experiment": ["x"], "digest": None}
    for i, bad in enumerate(({}, {"studies": 3}, {"spec": {}, "studies": [{"digest": 1}]})):
        (tmp_path / f"c{i}").mkdir()
        (tmp_path / f"c{i}" / "compare.json").write_text(json.dumps(bad))
    (tmp_path / "a" / "study.json").write_text(json.dumps(record))
    (tmp_path / "a" / "report.html").write_text('<script type="application/json" id="summary">{"question": 1}</script>')
    assert len(list(entries_below(tmp_path))) == 4
    assert write_index(tmp_path).read_text(encoding="utf-8").count("no record of a comparison") == 3


def test_what_is_added_meanwhile_is_on_the_page(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(path: Path, text: str) -> None:
        if not written:
            put(place / "meanwhile", "trace", "digest of one")
        written.append(text)
        path.write_text(text, encoding="utf-8")

    monkeypatch.setattr(catalogue, "write_text", write)
    write_index(place / "one")
    assert [text.count("<li>") for text in written] == [6, 7]


def test_a_page_of_somebody_else_stays(place: Path) -> None:
    (place / INDEX).write_text("mine")
    with mistake("bad-file", place / INDEX, "--out"):
        write_index(place)
    assert indexes_around(place / "beside") == []
    assert (place / INDEX).read_text() == "mine"
    assert write_index(place, place / "other.html").name == "other.html"


def test_an_index_is_of_a_dissection_or_of_several_results(place: Path, tmp_path: Path) -> None:
    with mistake("bad-value", place / "beside"):
        write_index(place / "beside")
    (tmp_path / "empty").mkdir()
    with mistake("study-error", tmp_path / "empty"):
        write_index(tmp_path / "empty")


def test_results_refresh_the_indexes_that_link_them(place: Path) -> None:
    write_index(place)
    new = place / "one-causal" / "layer4" / "new"
    with indexed([new]):
        put(new, "trace", "digest of one")
    assert [(place / at / INDEX).read_text(encoding="utf-8").count("<li>") for at in (".", "one")] == [10, 7]
    assert not (place / "two" / INDEX).exists()
    with indexed([place / "both"]):
        pass
    assert (place / "two" / INDEX).exists()


def test_an_index_that_cannot_be_written_stops_nothing(place: Path) -> None:
    (place / "one" / INDEX).mkdir()
    with indexed([place / "one-causal" / "layer4" / "ace-100"]):
        (place / "done").mkdir()
    assert (place / "one" / INDEX).is_dir()


def test_many_results_make_a_small_page(tmp_path: Path) -> None:
    put(tmp_path / "study", "dissect")
    page = Summary("Which units make trees?", "Unit 3.", (), CHART.replace("tree", "tree" * 500))
    for i in range(500):
        put(tmp_path / f"study-causal/layer4/{i}", "ace", "digest of study", page=page, seed=i)
    written = write_index(tmp_path / "study")
    assert len(links(written)) == 500
    assert written.stat().st_size < 500 * 4000


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    figure = f"<figure><figcaption>a</figcaption>{CHART}</figure>"
    long = figure.replace("tree", "t" * LARGEST)
    made = summary_of(HOSTILE, "</script><!--", ["w"], ["<p>none</p>", long + figure])
    assert made.chart == CHART
    (tmp_path / "page.html").write_text(template("base.html").render(summary=made), encoding="utf-8")
    assert read_summary(tmp_path / "page.html") == made
    assert read_summary(tmp_path / "none.html") is None


def test_an_entry_without_a_record_is_named_by_its_place() -> None:
    assert Entry(Path("runs/lost")).title == "lost"


def test_results_are_in_order_of_what_they_are_about(place: Path) -> None:
    text = write_index(place / "one").read_text(encoding="utf-8")
    topics = re.findall(r'<h3 class="topic"[^>]*>([^<]*)', text)
    assert topics == ["What units draw", "What units cause", "What can be inserted, and where", "Side by side"]
    before = text.partition("<main")[2].partition("What can be inserted")[0]
    assert before.count("Which units make trees") == 2


TILE = '<svg class="tile" width="64" height="64" viewBox="0 0 128 128"><image href="{}" width="128"/><rect/></svg>'


def test_a_page_has_small_images_of_its_first_part_with_any() -> None:
    source = f"data:image/jpeg;base64,{base64_text(jpeg(np.zeros((128, 128, 3), np.uint8)))}"
    part = TILE.format(source) * 5
    found = summary_of("Q?", "A.", (), [CHART, part, TILE.format("other")])
    assert len(found.images) == 3
    own = re.search('base64,([^"]*)', found.images[0])
    assert own
    with Image.open(io.BytesIO(base64.b64decode(own[1]))) as image:
        assert image.size == (64, 64)
    assert found.images[0].count("<rect/>") == 1
    numbered = "".join(f'<svg class="tile">{i}</svg>' for i in range(9))
    spread = summary_of("Q?", "A.", (), [numbered], spread=True)
    assert [re.sub("<[^>]*>", "", each) for each in spread.images] == ["0", "4", "8"]
    assert summary_of("Q?", "A.", (), [CHART]).images == ()


def test_a_page_by_an_earlier_version_has_no_images(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    held = json.dumps({"question": "Q?", "answer": "A.", "warnings": [], "chart": ""})
    page.write_text(f'<script type="application/json" id="summary">{held}</script>')
    assert read_summary(page) == Summary("Q?", "A.")
