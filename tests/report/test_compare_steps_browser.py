"""Heat maps of blocks by steps in a real browser: they fit, can be read and operated, and open one at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium
from test_causal_browser import READY
from test_compare_page import drawn
from test_compare_steps import two

from ganatomy.experiments.compare.comparison import Comparison
from ganatomy.report.compare.page import write_comparison

__all__ = ["drawn", "two"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the page"),
]
OPEN = "[...document.querySelectorAll('#steps details[name]')].filter(e => e.open).length"


@pytest.fixture(scope="module")
def tab(two: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page: Path = write_comparison(two, tmp_path_factory.mktemp("page"))
    with chromium() as tab:
        tab.look(1440, 900)
        tab.open(page.as_uri(), ready=READY)
        yield tab
        assert tab.errors == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
def test_everybody_can_use_it(tab: Page, width: int, dark: bool) -> None:
    assert violations(tab, width, dark=dark) == []


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits(tab: Page, width: int) -> None:
    tab.look(width)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.ask("document.documentElement.scrollWidth") == width
    assert tab.ask("document.querySelectorAll('#steps table').length") >= 2


def test_one_measure_is_open_at_a_time(tab: Page) -> None:
    assert tab.ask(OPEN) == 1
    tab.ask("document.querySelector('#steps details[name]:not([open]) > summary').focus()")
    tab.press("Enter", 13)
    tab.wait("document.activeElement.parentElement.open")
    assert tab.ask(OPEN) == 1
