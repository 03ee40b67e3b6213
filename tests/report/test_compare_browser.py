"""The page of a comparison in a real browser, from disk, on a desk and on a phone."""

from collections.abc import Iterator

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium
from test_causal_browser import OUTSIDE, READY

import ganatomy
from ganatomy.experiments.dissection import Dissection

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the page"),
]


@pytest.fixture(scope="module")
def tab(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    home = tmp_path_factory.mktemp("compare")
    other = ganatomy.dissect("planted:", segmenter="planted:", images=32, seed=1, out=home / "study-of-a-long-name")
    ganatomy.compare([dissection, other], out=home / "both", names=("a", "study-of-a-long-name"))
    page = home / "both/compare.html"
    with chromium() as tab:
        tab.look(1440, 900)
        tab.requests.clear()
        tab.open(page.as_uri(), ready=READY)
        yield tab
        assert tab.errors == []
        assert [url for url in tab.requests if not url.startswith("data:")] == [page.as_uri()]


@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits(tab: Page, width: int) -> None:
    tab.look(width)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.ask("document.documentElement.scrollWidth") == width
    assert tab.ask(OUTSIDE) == []
    assert tab.ask("document.querySelectorAll('svg.bars').length") > 4


def test_images_of_both_models_stand_side_by_side(tab: Page) -> None:
    names = "[...document.querySelectorAll('#images > figure > figcaption')].map(e => e.textContent)"
    assert tab.ask(names) == ["a", "study-of-a-long-name"]
    rows = "[...document.querySelectorAll('#images > figure')].map(e => e.querySelectorAll('svg.tile').length)"
    assert tab.ask(rows) == [8, 8]
    cards = "[...document.querySelectorAll('#images li.card')].map(e => e.querySelectorAll('div > .images').length)"
    assert tab.ask(cards)
    assert max(tab.ask(cards)) == 2


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_everybody_can_use_it(tab: Page, width: int) -> None:
    assert violations(tab, width) == []


def test_it_is_dark_in_the_dark(tab: Page) -> None:
    seen = []
    for dark in (False, True):
        tab.look(1440, 900, dark=dark)
        seen.append(tab.ask("getComputedStyle(document.querySelector('svg.bars')).color"))
    assert seen == ["rgb(29, 33, 39)", "rgb(230, 232, 235)"]


def test_parts_are_reached_and_numbers_opened_by_keyboard(tab: Page) -> None:
    tab.ask("document.querySelector('nav a[href=\"#counts\"]').focus()")
    tab.press("Enter", 13)
    tab.wait("location.hash === '#counts'")
    tab.wait("Math.abs(document.getElementById('counts').getBoundingClientRect().top) < 200")
    for _ in range(3):
        tab.press("Tab", 9)
        if tab.ask("document.activeElement.tagName") == "SUMMARY":
            break
    tab.press("Enter", 13)
    tab.wait("document.querySelector('#counts details').open")
    assert tab.ask("document.querySelectorAll('#counts details tr').length") > 4
