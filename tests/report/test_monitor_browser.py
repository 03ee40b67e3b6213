"""The page of a training in a real browser, from disk, on a desk and on a phone, for everybody."""

from collections.abc import Iterator

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium
from test_causal_browser import OUTSIDE, READY

import ganatomy
from ganatomy.report.monitor.page import write_monitor_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the page"),
]

FAST = {"segmenter": "planted", "images": 16, "levels": 8, "batch": 8, "layers": ("layer1",)}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    place = tmp_path_factory.mktemp("training") / "out"
    page = write_monitor_report(ganatomy.monitor(["planted", "planted"], steps=[500, 1000], out=place, **FAST))
    with chromium() as tab:
        tab.open(page.as_uri(), ready=READY)
        yield tab
        assert tab.errors == []


@pytest.mark.parametrize(("width", "columns"), [(390, 4), (768, 8), (1440, 8)])
def test_it_fits_and_a_latent_stands_below_itself(tab: Page, width: int, columns: int) -> None:
    tab.look(width, 900)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.ask("document.documentElement.scrollWidth") == width
    assert tab.ask(OUTSIDE) == []
    lefts = "[...document.querySelectorAll('.moment')].map(e => [...e.querySelectorAll('svg')]"
    first, second = tab.ask(f"{lefts}.map(svg => Math.round(svg.getBoundingClientRect().left)))")
    assert first == second
    assert len(set(first)) == columns


@pytest.mark.parametrize(("width", "dark"), [(390, False), (768, False), (1440, False), (1440, True)])
def test_everybody_can_use_it(tab: Page, width: int, dark: bool) -> None:
    assert violations(tab, width, dark=dark) == []
