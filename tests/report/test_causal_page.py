import dataclasses
import html
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ganatomy.experiments.base import EXPERIMENTS
from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.causal.effects import Effect
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.causal.page import causal_html, write_causal_report

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Checked(HTMLParser):
    """Elements close in the order in which they open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attributes if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(params=EXPERIMENTS)
def result(request: pytest.FixtureRequest, result_of: Callable[[str], Any]) -> Any:
    return result_of(request.param)


def test_every_study_has_a_page_that_asks_and_answers(result: Any) -> None:
    section = result.section()
    text = html.unescape(causal_html(result))
    assert section.question.endswith("?")
    assert f"<h1>{section.question}</h1>" in text
    assert section.answer in text
    words = re.sub(r"base64,[^\"]*|<script.*?</script>", "", text, flags=re.S).lower()
    assert "nan" not in words.replace("ganatomy", "")
    for name in result.spec.__dataclass_fields__:
        assert f'<th scope="row">{name}</th>' in text
    assert result.facts["inputs"]["generator"] in text
    assert "bau2019gandissect" in text


def test_one_page_for_all_is_whole_and_needs_nothing_beside_it(results: list[Any]) -> None:
    text = causal_html(results)
    checked = Checked()
    checked.feed(text)
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids)
    assert set(re.findall(r'href="#([\w.-]+)"', text)) <= set(checked.ids)
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)|url\((?!#)|@import|https?://""", text)
    assert text.count("<script") == 2, "the theme's, and the one that sorts tables"


def test_two_studies_of_one_kind_have_addresses_of_their_own(ablation: Effect) -> None:
    text = causal_html([ablation, ablation, ablation])
    assert re.findall(r'<section id="([^"]*)"', text) == ["ablate-ball", "ablate-ball~2", "ablate-ball~3"]


def test_the_same_study_gives_the_same_page(ablation: Effect, tmp_path: Path) -> None:
    write_causal_report(ablation, tmp_path / "a.html")
    again = Effect.open(ablation.study.directory)
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == causal_html([again])


def test_names_cannot_break_out(ablation: Effect) -> None:
    spec = dataclasses.replace(ablation.spec, chosen="<script>alert(1)</script>")
    assert "<script>" not in causal_html(dataclasses.replace(ablation, spec=spec))


def test_a_notebook_shows_question_answer_and_the_first_images(result: Any) -> None:
    section, shown = result.section(), result._repr_html_()
    spec, kind = result.spec, type(result).__name__
    assert repr(result) == f"<{kind} of {spec.generator}, {spec.layer}, {spec.images} images>"
    assert section.question in html.unescape(shown)
    assert section.answer in html.unescape(shown)
    assert section.blocks[0].body in shown
    assert section.blocks[-1].body not in shown or len(section.blocks) == 1


def test_units_lead_to_their_cards_where_the_dissection_is(ace: Ace, dissection: Dissection, tmp_path: Path) -> None:
    """Moved together, both are found; a dissection of something else, or none, is not linked."""
    home = tmp_path / "my studies"
    moved = home / "a study-causal/layer2/ace"
    shutil.copytree(ace.study.directory, moved)
    shutil.copytree(dissection.study.directory, home / "a study")
    opened, page = Ace.open(moved), moved / "report.html"

    def links(at: Path = page, result: Ace = opened) -> list[str]:
        write_causal_report(result, at)
        return re.findall(r'<strong><a href="([^"]*)">unit \d+</a>', at.read_text())

    assert links() == [], "there is no report yet"
    (home / "a study/report.html").write_text("here")
    units = opened.top()
    assert links() == [f"../../../a%20study/report.html#unit=layer2/{unit}" for unit in units]
    assert links(home / "both.html") == [f"a%20study/report.html#unit=layer2/{unit}" for unit in units]
    inputs = {**opened.facts["inputs"], "dissection": "another"}
    assert links(result=dataclasses.replace(opened, facts={**opened.facts, "inputs": inputs})) == []
    (home / "a study").rename(home / "b")
    moved = dataclasses.replace(opened, facts={**opened.facts, "source": str(home / "b")})
    assert (links(), len(links(result=moved))) == ([], len(units))
    (home / "b/study.json").write_text("{")
    assert links(result=moved) == []
