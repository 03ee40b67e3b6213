import html
import re
from collections import Counter
from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.html import SCRIPTS, joined_scripts, report_html, write_report
from ganatomy.report.page import script_json

STATIC = Path(__file__).parents[2] / "src/ganatomy/report/static"


def test_the_page_asks_a_question_and_answers_with_both_counts(dissection: Dissection, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<h1>What does each unit of <em>planted</em> draw?</h1>" in text
    numbers = re.findall(r"<dt>([^<]*)<.*?<dd>([\d,]+)</dd>", text)
    assert numbers == [
        ("units match a concept", f"{dissection.units.matched.sum()}"),
        ("pass the paper’s rule", f"{dissection.units.interpretable.sum()}"),
        ("distinct concepts", f"{(dissection.concepts.units_matched > 0).sum()}"),
        ("units", f"{len(dissection.units)}"),
        ("images", "64"),
    ]


def test_the_page_says_how_it_was_made_and_how_to_cite(dissection: Dissection, page: Path) -> None:
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert dissection.facts["matched_rule"] in text
    assert dissection.facts["inputs"]["generator"] in text
    assert dissection.facts["versions"]["torch"] in text
    for name in dissection.spec.__dataclass_fields__:
        assert f'<th scope="row">{name}</th>' in text
    assert "bau2019gandissect" in text


def test_the_page_needs_nothing_beside_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(
        r"""(?:src|href)=["'](?!#|data:)[^"']*|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)""", text
    )


def test_concepts_that_are_too_rare_are_named(dissection: Dissection) -> None:
    import dataclasses

    concepts = dissection.concepts.assign(rare=False)
    concepts.loc[0, ["rare", "share"]] = [True, 0.0004]
    concepts.loc[1, ["rare", "share"]] = [True, 0.0]
    text = report_html(dataclasses.replace(dissection, concepts=concepts))
    assert f'<span class="rare">{concepts.concept[0]} <small>0.04 %</small></span>' in text
    assert "1 more was never seen" in text
    assert f'<p class="lead">{concepts.concept[1]}.</p>' in text
    assert f"{len(concepts) - 2} concepts were scored" in text


def test_names_cannot_break_out_of_the_page() -> None:
    assert "</script" not in script_json({"name": "</script><b>"})


def test_every_module_is_in_the_page_and_no_name_is_taken_twice() -> None:
    others = ["sort", "theme"]  # of other pages, too
    assert sorted([*SCRIPTS, *others]) == sorted(p.stem for p in STATIC.glob("*.js"))
    for i, name in enumerate(SCRIPTS):
        source = (STATIC / f"{name}.js").read_text(encoding="utf-8")
        assert set(re.findall(r'from "\./(\w+)\.js"', source)) <= set(SCRIPTS[:i]), name
        assert len(source.splitlines()) < 400
    text = joined_scripts()
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)
    names = Counter(re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", text, re.MULTILINE))
    assert not [name for name, n in names.items() if n > 1]


def test_the_same_study_gives_the_same_page(dissection: Dissection, page: Path) -> None:
    assert report_html(dissection) == page.read_text(encoding="utf-8")


def test_a_report_that_fails_leaves_the_old_one(
    dissection: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("ganatomy.report.html.embed", lambda _: 1 / 0)
    with mistake("bad-file", dissection.study.directory, "ZeroDivisionError"):
        write_report(dissection, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_keeps_to_its_budget_and_says_what_it_leaves_out(dissection: Dissection, page: Path) -> None:
    whole = page.stat().st_size
    numbers = len(report_html(dissection, 0).encode())
    for share, fewer_units in ((0.8, False), (0.4, True)):
        budget = int(numbers + share * (whole - numbers))
        text = report_html(dissection, budget)
        assert 0.85 * budget < len(text.encode()) <= budget
        said = html.unescape(text)
        assert ("units, the best of each layer by IoU" in said) == fewer_units
        assert re.search(r"Of each unit’s 10 top images \d are kept; ganatomy serve, and in Python", said)
    assert "top images" not in _left_out(page.read_text(encoding="utf-8"))


def test_numbers_are_always_there(dissection: Dissection) -> None:
    text = report_html(dissection, 0)
    assert f"Images are kept for 0 of {len(dissection.units)} units" in text
    assert "sheet-0" not in text
    assert 'id="units-pack"' in text


def _left_out(text: str) -> str:
    return text[text.index('<footer id="how"') :].split("<ul>")[1].split("</ul>")[0]
