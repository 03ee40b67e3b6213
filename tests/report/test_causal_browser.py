"""The page of causal studies in a real browser, from disk, on a desk and on a phone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium

from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.causal.page import write_causal_report
from ganatomy.report.html import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the page"),
]

READY = "document.readyState === 'complete'"
SHARP = """[...document.querySelectorAll('svg.tile')].every(e => {
  const box = e.getBoundingClientRect(), view = e.viewBox.baseVal;
  return Number.isInteger(box.width / view.width) && box.width / view.width === box.height / view.height;
})"""
THREES = "[...document.querySelectorAll('.tiles > div:has(> :nth-child(3):last-child)')]"
IN_A_ROW = f"{THREES}.every(e => new Set([...e.children].map(each => each.getBoundingClientRect().top)).size === 1)"
DECODED = """Promise.all([...document.querySelectorAll('svg.tile image')].map(e => {
  const image = new Image();
  image.src = e.getAttribute('href');
  return image.decode();
})).then(all => all.length)"""
OUTSIDE = """[...document.querySelectorAll('svg.bars text, svg.lines text')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > document.documentElement.clientWidth + 1);
}).map(e => e.textContent)"""


@pytest.fixture(scope="module")
def path(results: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("causal") / "page.html"
    write_causal_report(results, path)
    return path


@pytest.fixture(scope="module")
def tab(path: Path) -> Iterator[Page]:
    with chromium() as page:
        page.look(1280, 900)
        page.requests.clear()
        page.open(path.as_uri(), ready=READY)
        yield page
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith("data:")] == [path.as_uri()]


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_images_are_sharp_or_on_a_phone_in_a_row(tab: Page, width: int) -> None:
    tab.look(width)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.ask("document.documentElement.scrollWidth") == width
    assert tab.ask(OUTSIDE) == []
    assert tab.ask("document.querySelectorAll('svg.tile').length") > 10
    assert tab.ask(f"{THREES}.length") > 0
    assert tab.ask(SHARP if width == 1280 else IN_A_ROW)


@pytest.mark.parametrize(("width", "dark"), [(390, False), (768, False), (1440, False), (1440, True)])
def test_everybody_can_use_it(tab: Page, width: int, dark: bool) -> None:
    assert violations(tab, width, dark=dark) == []
    tab.look(1280, 900)


def test_images_of_a_trace_stand_beside_its_curve(tab: Page) -> None:
    places = "['.pair .tilerows', '.pair .charts'].map(q => document.querySelector(q).getBoundingClientRect())"
    for width, beside in ((1280, True), (390, False)):
        tab.look(width)
        tab.wait(f"document.documentElement.clientWidth === {width}")
        images, curve = tab.ask(f"{places}.map(box => [box.left, box.top, box.right, box.bottom])")
        assert (curve[0] >= images[2] - 1) == beside
        assert (curve[1] >= images[3] - 1) != beside
    tab.look(1280, 900)


def test_every_image_can_be_read(tab: Page) -> None:
    assert tab.ask(DECODED) == tab.ask("document.querySelectorAll('svg.tile image').length")


def test_it_is_dark_in_the_dark(tab: Page) -> None:
    seen = []
    for dark in (False, True):
        tab.look(1280, 900, dark=dark)
        page = "getComputedStyle(document.body)"
        seen.append(
            (tab.ask(f"{page}.backgroundColor"), tab.ask("getComputedStyle(document.querySelector('.lines')).color"))
        )
    assert seen == [("rgb(251, 251, 250)", "rgb(29, 33, 39)"), ("rgb(16, 18, 22)", "rgb(230, 232, 235)")]


def test_sections_are_reached_and_numbers_opened_by_keyboard(tab: Page) -> None:
    tab.ask("document.querySelector('nav a[href=\"#trace-ball\"]').focus()")
    tab.press("Enter", 13)
    tab.wait("location.hash === '#trace-ball'")
    tab.wait("Math.abs(document.getElementById('trace-ball').getBoundingClientRect().top) < 200")
    for _ in range(3):
        tab.press("Tab", 9)
        if tab.ask("document.activeElement.tagName") == "SUMMARY":
            break
    tab.press("Enter", 13)
    tab.wait("document.querySelector('#trace-ball details').open")
    assert tab.ask("document.querySelectorAll('#trace-ball details tr').length") > 2


def test_a_heading_sorts_its_table(tab: Page) -> None:
    table = "document.querySelector('#each-layer1 table')"
    column = f"[...{table}.tBodies[0].rows].map(row => parseFloat(row.cells[2].textContent))"
    sorted_ = []
    for order in ("descending", "ascending"):
        tab.ask(f"{table}.tHead.rows[0].cells[2].click()")
        assert tab.ask(f"{table}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == order
        sorted_.append(tab.ask(column))
    assert sorted_[0] == sorted(sorted_[0], reverse=True)
    assert sorted_[1] == sorted_[0][::-1] != sorted_[0]


def test_a_unit_leads_to_its_card(ace: Ace, dissection: Dissection, tmp_path: Path) -> None:
    study, found = tmp_path / "study", tmp_path / "study-causal/layer2/ace"
    shutil.copytree(ace.study.directory, found)
    write_report(dissection, shutil.copytree(dissection.study.directory, study) / "report.html")
    write_causal_report(Ace.open(found), found / "report.html")
    with chromium() as page:
        page.look(1280, 900)
        page.open((found / "report.html").as_uri(), ready=READY)
        page.click(".units a")
        page.wait("document.body?.dataset.ready")
        assert page.ask("location.hash") == f"#unit=layer2/{ace.top()[0]}"
        assert page.ask("location.pathname") == str(study / "report.html")
        assert f"unit {ace.top()[0]}" in page.ask("document.querySelector('main').innerText").lower()
        assert page.errors == []
