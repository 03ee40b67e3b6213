"""The index of results in a real browser, from disk, on a desk and on a phone, for everybody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium

from ganatomy.experiments.catalogue import write_index
from ganatomy.report.causal.page import write_causal_report
from ganatomy.report.svg import ROW

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the page"),
]

READY = "document.readyState === 'complete'"
DRAWN = "[...document.images].every(e => e.complete && e.naturalWidth)"


@pytest.fixture(scope="module")
def index(results: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("index")
    for result in results:
        directory = place / result.study.directory.name
        directory.mkdir()
        record = result.study.directory / "study.json"
        (directory / record.name).write_bytes(record.read_bytes())
        write_causal_report(result, directory / "report.html")
    (place / "broken").mkdir()
    (place / "broken" / "study.json").write_text("{")
    return write_index(place)


@pytest.fixture(scope="module")
def tab(index: Path) -> Iterator[Page]:
    with chromium() as page:
        page.requests.clear()
        page.open(index.as_uri(), ready=READY)
        yield page
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith("data:")] == [index.as_uri()]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_it_fits_is_drawn_and_everybody_can_use_it(tab: Page, width: int, dark: bool) -> None:
    tab.look(width, 900, dark=dark)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.ask("document.documentElement.scrollWidth") == width
    tab.ask("[...document.images].forEach(e => e.loading = 'eager')")
    tab.wait(DRAWN)
    assert tab.ask("document.images.length") > 5
    assert violations(tab, width, dark=dark) == []


def test_results_stand_under_what_they_are_about_with_their_images(tab: Page) -> None:
    topics = tab.ask("[...document.querySelectorAll('h3.topic')].map(e => e.textContent)")
    causes = ["What units cause", "What can be inserted, and where", "How real the images are"]
    assert topics == ["What units draw", *causes, "Photographs", "Others"]
    assert tab.ask("document.querySelectorAll('h3.topic + ul.results').length") == len(topics)
    shown = "[...document.querySelectorAll('.results > li')].filter(e => e.querySelector('.images img')).length"
    assert tab.ask(shown) >= 6, "ablate, insert, apply, ACE, context, trace, artifacts, repair"
    tab.ask("[...document.images].forEach(e => e.loading = 'eager')")
    tab.wait(DRAWN)
    widths = tab.ask("[...document.querySelectorAll('.images img')].map(e => e.naturalWidth)")
    assert min(widths) > 16


def test_charts_of_bars_end_at_a_whole_row(tab: Page) -> None:
    charts = tab.ask(
        "[...document.querySelectorAll('.results .chart img')].filter(e => decodeURIComponent(e.src).includes('bars'))"
        ".map(e => [e.height, e.parentElement.textContent.trim()])"
    )
    assert len(charts) > 3
    assert all(height % ROW == 0 for height, _ in charts)
    assert all("the first 12 of" in said for height, said in charts if height == 12 * ROW and said)
