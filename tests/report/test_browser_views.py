"""Layers, units, downloads, theme and print of the report in a real browser."""

import csv
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium

from ganatomy.experiments.dissection import Dissection

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the report"),
]
SAVED = """
window.saved = [];
URL.createObjectURL = (make => blob => { window.saved.push(blob); return make.call(URL, blob); })(URL.createObjectURL);
HTMLAnchorElement.prototype.click = (click => function () {
  if (this.download) window.savedName = this.download;
  else click.call(this);
})(HTMLAnchorElement.prototype.click);
"""
"""Keeps what the page saves, and its name, in place of a download."""
ONE_SHOT = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000", "--dump-dom")
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(251, 251, 250)", "rgb(16, 18, 22)"
ADDRESSES = ["#overview", "#units", "#layer=layer2", "#concept=tree", "#unit=layer1/0", "#unit=layer2/3"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        page.at_start(SAVED)
        yield page


@pytest.fixture
def tab(browser: Page, page: Path) -> Iterator[Page]:
    browser.look(1280, 900)
    browser.open("about:blank", ready="true")
    browser.errors.clear()
    browser.open(page.as_uri())
    yield browser
    assert browser.errors == []


def go(tab: Page, address: str) -> None:
    view = address[1:].partition("=")[0]
    tab.ask(f"location.hash = {address!r}")
    tab.wait(f"document.body.dataset.view === {view!r}")


def saved(tab: Page, button: str) -> tuple[str, str, str]:
    """Press a button; return the name, the type and the text of what it saves."""
    tab.ask("window.savedName = ''")
    tab.click(button)
    tab.wait("window.savedName")
    name, kind, text = tab.ask("saved.at(-1).text().then(text => [savedName, saved.at(-1).type, text])")
    return name, kind, text


def column(tab: Page, place: int) -> list[str]:
    return tab.ask(f"[...document.querySelectorAll('#one-layer tbody tr')].map(r => r.cells[{place}].textContent)")


def test_a_layer_has_a_page(tab: Page, dissection: Dissection) -> None:
    tab.click("svg.bars a[href='#layer=layer2']")
    tab.wait("document.body.dataset.view === 'layer'")
    units = dissection.units[dissection.units.layer == "layer2"]
    text = tab.ask("document.querySelector('#one-layer .lead').textContent")
    assert text.startswith(f"{len(units)} units of ")
    assert f"{units.matched.sum()} match a concept" in text
    assert f"{units.label.isna().sum()} have no label" in text
    assert tab.ask("document.title").startswith("layer2 – ")
    tab.click(".neighbours [rel=next]")
    tab.wait("document.getElementById('layer-title').textContent === 'What does layer3 draw?'")
    tab.press("ArrowLeft", 37)
    tab.wait("document.getElementById('layer-title').textContent === 'What does layer2 draw?'")
    tab.ask("location.hash = '#layer=layer99'")
    tab.wait("document.querySelector('#error').textContent.includes('no layer called layer99')")


def test_a_table_is_sorted_by_a_heading_and_saved_as_csv(tab: Page, dissection: Dissection) -> None:
    go(tab, "#layer=layer2")
    units = dissection.units[dissection.units.layer == "layer2"].reset_index(drop=True)
    tab.click("#one-layer thead th:nth-child(2) button")
    assert column(tab, 1) == [str(u) for u in sorted(units.unit, reverse=True)]
    assert tab.ask("document.querySelector('#one-layer thead th').getAttribute('aria-sort')") == "descending"
    tab.click("#one-layer thead th:nth-child(2) button")
    assert column(tab, 1) == [str(u) for u in sorted(units.unit)]
    tab.click("#one-layer thead th:nth-child(3) button")
    labels = sorted(units.label.dropna(), key=str.lower)
    assert column(tab, 2) == [*labels, *["unlabelled"] * int(units.label.isna().sum())]
    tab.click("#one-layer thead th:nth-child(2) button")
    tab.click("#one-layer thead th:nth-child(2) button")
    name, kind, text = saved(tab, "#one-layer > .tools-row:last-child .save")
    assert (name, kind) == ("layer2-units.csv", "text/csv")
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
    assert [row["unit"] for row in rows] == [str(u) for u in units.unit]
    assert [float(row["IoU"] or "nan") for row in rows] == pytest.approx(units.iou.tolist(), rel=1e-3, nan_ok=True)
    assert [row["label"] for row in rows] == units.label.fillna("").tolist()


def test_every_row_has_a_thumbnail(tab: Page) -> None:
    go(tab, "#layer=layer2")
    tab.wait("[...document.querySelectorAll('#one-layer tbody tr')].every(r => r.querySelector('canvas').width > 0)")


def test_the_heat_map_reads_and_leads_to_pairs(tab: Page, dissection: Dissection) -> None:
    go(tab, "#layer=layer2")
    canvas = "document.querySelector('.heat-map canvas')"
    places = "[...document.querySelectorAll('.heat-rows li')].map(li => li.textContent)"
    concepts = tab.ask(places)
    units = dissection.units[dissection.units.layer == "layer2"]
    best = units[units.label == concepts[0]].sort_values("iou", ascending=False).iloc[0]
    tab.ask(
        f"(c => {{ const b = c.getBoundingClientRect(); for (const kind of ['pointermove', 'click'])"
        f" c.dispatchEvent(new PointerEvent(kind, {{clientX: b.x + 2, clientY: b.y + 8, bubbles: true}})) }})({canvas})"
    )
    assert tab.ask("document.querySelector('.heat-map output')?.textContent ?? ''") in (
        "",
        f"layer2/{best.unit} ({best.label}) with {best.label}: IoU {best.iou:.3f}, matched",
    )
    tab.wait("document.body.dataset.view === 'unit'")
    assert tab.ask("location.hash") == f"#unit=layer2/{best.unit}&with={best.label}"


def test_the_heat_map_shows_folded_concepts_on_demand_and_is_saved(tab: Page) -> None:
    go(tab, "#layer=layer2")
    shown = tab.ask("document.querySelectorAll('.heat-rows li').length")
    if tab.ask("Boolean(document.querySelector('#one-layer .check input'))"):
        tab.click("#one-layer .check input")
        tab.wait(f"document.querySelectorAll('.heat-rows li').length > {shown}")
    name, kind, text = saved(tab, ".heat-map .save")
    assert (name, kind) == ("layer2-heat-map.png", "image/png")
    assert len(text) > 200


def test_arrow_keys_lead_from_unit_to_unit(tab: Page) -> None:
    go(tab, "#unit=layer1/3")
    tab.press("ArrowRight", 39)
    tab.wait("document.getElementById('unit-title').textContent === 'What does layer1/4 draw?'")
    tab.press("ArrowLeft", 37)
    tab.wait("document.getElementById('unit-title').textContent === 'What does layer1/3 draw?'")
    tab.ask("document.querySelector('#unit select').focus()")
    tab.press("ArrowRight", 39)
    assert tab.ask("location.hash") == "#unit=layer1/3"


def test_an_image_opens_large(tab: Page) -> None:
    go(tab, "#unit=layer1/0")
    tab.click("#unit .strip button")
    tab.wait("document.querySelector('dialog[open] canvas')?.width > 300")
    first = tab.ask("document.querySelector('dialog p').textContent")
    assert first.startswith("1 of 10: image ")
    tab.press("ArrowRight", 39)
    tab.wait("document.querySelector('dialog p').textContent.startsWith('2 of 10')")
    assert saved(tab, "dialog .save")[:2] == (
        f"layer1-0-image-{tab.ask('document.querySelector(`dialog p`).textContent').split()[4].rstrip(',')}.png",
        "image/png",
    )
    tab.click("dialog .tools-row button:last-child")
    tab.wait("!document.querySelector('dialog')")
    assert tab.ask("location.hash") == "#unit=layer1/0"


def test_a_unit_has_a_histogram_and_saves_its_drawings(tab: Page, dissection: Dissection) -> None:
    go(tab, "#unit=layer1/0")
    label = tab.ask("document.querySelector('svg.histogram').getAttribute('aria-label')")
    assert label.startswith("Share of the pixels by activation of unit layer1/0, from ")
    assert tab.ask("document.querySelectorAll('svg.histogram .on').length") > 0
    names = []
    for place in range(tab.ask("document.querySelectorAll('#unit .save').length")):
        tab.ask("[...document.querySelectorAll('#unit .save')].forEach((b, i) => b.id = 'save-' + i)")
        names.append(saved(tab, f"#save-{place}")[:2])
    assert names == [
        ("layer1-0.png", "image/png"),
        ("layer1-0-concepts.csv", "text/csv"),
        ("layer1-0-histogram.png", "image/png"),
        ("layer1-0-curve.png", "image/png"),
    ]


def test_the_theme_is_switched_and_kept(tab: Page, page: Path) -> None:
    assert tab.ask(BACKGROUND) == LIGHT
    for name, background in (("light", LIGHT), ("dark", DARK)):
        tab.click("#theme")
        assert tab.ask("document.getElementById('theme').innerText") == f"Theme: {name}"
        assert tab.ask(BACKGROUND) == background
    tab.open("about:blank", ready="true")
    tab.open(page.as_uri())
    assert tab.ask(BACKGROUND) == DARK
    tab.look(1280, 900, dark=True)
    tab.click("#theme")
    assert tab.ask("document.getElementById('theme').innerText") == "Theme: system"
    assert tab.ask(BACKGROUND) == DARK
    tab.ask("localStorage.clear()")


@pytest.mark.parametrize("address", ["#layer=layer2", "#unit=layer1/0", "#concept=tree", "#units&layer=layer2"])
def test_one_shot_of_an_address_shows_its_view(page: Path, tmp_path: Path, address: str) -> None:
    """As a screenshot from a command line: the program starts, draws once and ends."""
    assert PROGRAM
    dumped = subprocess.run(
        [PROGRAM, *ONE_SHOT, f"--user-data-dir={tmp_path}", page.as_uri() + address],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    sections = re.findall(r'<section id="([\w-]+)" data-view="(\w+)"[^>]*?( hidden="")?>', dumped)
    view = re.split(r"[=&]", address[1:])[0]
    assert [name for _, name, hidden in sections if not hidden] == [view]
    drawn = re.split(f'<section [^>]*data-view="{view}"', dumped)[1].partition("</section>")[0]
    assert re.search(r'<canvas [^>]*width="\d+"', drawn)


def test_the_heat_map_is_read_by_keyboard(tab: Page, dissection: Dissection) -> None:
    go(tab, "#layer=layer2")
    tab.ask("document.querySelector('.heat-map canvas').focus({focusVisible: true})")
    output = "document.querySelector('.heat-map output').textContent"
    concepts = tab.ask("[...document.querySelectorAll('.heat-rows li')].map(li => li.textContent)")
    first = tab.ask(output)
    assert f" with {concepts[0]}: IoU " in first
    tab.press("ArrowDown", 40)
    assert tab.ask(output).startswith(first.partition(" ")[0])
    assert f" with {concepts[1]}: " in tab.ask(output)
    tab.press("ArrowRight", 39)
    assert not tab.ask(output).startswith(first.partition(" ")[0])
    cursor = "(b => [b.x, b.y, b.width, b.height])(document.querySelector('.heat-cursor').getBoundingClientRect())"
    x, y, width, height = tab.ask(cursor)
    tab.press("Home", 36)
    tab.press("ArrowUp", 38)
    assert tab.ask(cursor) == pytest.approx([x - width, y - height, width, height])
    assert tab.ask(output) == first
    tab.press("ArrowLeft", 37)
    assert tab.ask("document.body.dataset.view") == "layer", "no other layer"
    tab.press("Enter", 13)
    tab.wait("document.body.dataset.view === 'unit'")
    assert tab.ask("location.hash").startswith(f"#unit={first.partition(' ')[0]}&with=")


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_is_blank_without_scrolling(tab: Page, address: str) -> None:
    go(tab, address)
    tab.wait("[...document.querySelectorAll('section:not([hidden]) canvas')].every(c => c.width > 0 && c.isConnected)")
    tab.wait("[...document.querySelectorAll('section:not([hidden]) img')].every(i => i.naturalWidth > 0)")
    blank = (
        "[...document.querySelectorAll('section:not([hidden]) canvas')].filter(c => { const o = new OffscreenCanvas("
        "c.width, c.height).getContext('2d'); o.drawImage(c, 0, 0); const d = o.getImageData(0, 0, c.width, c.height)"
        ".data; return !d.some(v => v > 0) }).length"
    )
    tab.wait(f"{blank} === 0")
    assert tab.ask("window.scrollY") < 300  # the top of the overview is below the heading


def test_a_print_has_no_controls(tab: Page) -> None:
    go(tab, "#unit=layer1/0")
    tab._call("Emulation.setEmulatedMedia", media="print")
    shown = tab.ask(
        "[...document.querySelectorAll('button, input, select, nav')].filter(e => e.checkVisibility()"
        " && !e.matches('.image, .sort, #unit select')).map(e => e.outerHTML.slice(0, 80))"
    )
    tab._call("Emulation.setEmulatedMedia", media="")
    assert shown == []


@pytest.mark.parametrize("width", [390, 768, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_use_it(tab: Page, width: int, dark: bool) -> None:
    for address in ADDRESSES:
        go(tab, address)
        assert violations(tab, width, dark=dark) == [], address
        assert tab.ask("document.documentElement.scrollWidth") <= width, address
