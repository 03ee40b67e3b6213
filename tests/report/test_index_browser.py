"""The index of results in a real browser, from disk, on a desk and on a phone, for everybody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import PROGRAM, Page, chromium

from ganatomy.experiments.catalogue import write_index
from ganatomy.report.causal.page import write_causal_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the page"),
]

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
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
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_is_drawn_and_everybody_can_use_it(tab: Page, width: int, dark: bool) -> None:
    tab.look(width, 900, dark=dark)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.ask("document.documentElement.scrollWidth") == width
    tab.ask("[...document.images].forEach(e => e.loading = 'eager')")
    tab.wait(DRAWN)
    assert tab.ask("document.images.length") > 5
    if not AXE.is_file():
        pytest.skip("axe is not here; npm ci fetches it")
    tab.ask(AXE.read_text(encoding="utf-8") + "; true")
    found = tab.ask("axe.run().then(r => r.violations.map(v => [v.id, v.impact, v.nodes[0].html]))")
    assert [row for row in found if row[1] in ("serious", "critical")] == []
