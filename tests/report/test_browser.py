"""The report in a real browser, from disk, used as a person would use it."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from chromium import PROGRAM, Page, chromium
from PIL import Image

from ganatomy.experiments.dissection import Dissection

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the report"),
]

CARDS = "document.querySelectorAll('#units .cards .card').length"
SHOWN = "[...document.querySelectorAll('main > section')].filter(s => !s.hidden).map(s => s.id).join()"
INK = """(canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4) colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  return colours.size;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def tab(browser: Page, page: Path) -> Iterator[Page]:
    """The report, freshly opened at the size of a desk; it must have stayed silent and alone when the test ends."""
    browser.look(1280, 900)
    browser.open("about:blank", ready="true")
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page.as_uri())
    yield browser
    assert browser.errors == []
    assert browser.requests == [page.as_uri()]


def go(tab: Page, address: str, view: str) -> None:
    tab.ask(f"location.hash = {address!r}")
    tab.wait(f"{SHOWN} === {view!r}")


def test_it_opens_from_disk_with_images(tab: Page, dissection: Dissection) -> None:
    matched = dissection.units[dissection.units.matched]
    tab.wait("document.querySelectorAll('#clearest canvas').length")
    assert tab.ask("document.querySelectorAll('#clearest .card').length") == matched.label.nunique()
    tab.wait(f"{INK}(document.querySelector('#clearest canvas')) > 20")
    assert tab.ask("document.querySelectorAll('svg.bars a').length") >= matched.label.nunique()


def test_filters_narrow_the_gallery_and_the_address_keeps_them(tab: Page, dissection: Dissection, page: Path) -> None:
    units = dissection.units
    tab.click("nav a[href='#units']")
    tab.wait(f"{SHOWN} === 'units'")
    assert tab.ask("document.querySelector('#units output').textContent") == f"{len(units)} units of {len(units)}"
    assert tab.ask(CARDS) == 24
    tab.ask("window.scrollTo(0, document.documentElement.scrollHeight)")
    tab.wait(f"document.querySelector('#units .cards:last-child').childElementCount === {len(units) - 24}")
    tab.ask("window.scrollTo(0, 0)")
    tab.wait("document.querySelector('#units .cards').childElementCount === 24")
    tab.ask("document.querySelector('#units [name=q]').focus()")
    tab.type("ball")
    tab.wait(f"{CARDS} === {(units.label == 'ball').sum()}")
    tab.click("#units [name=matched]")
    tab.wait(f"{CARDS} === {((units.label == 'ball') & units.matched).sum()}")
    assert tab.ask("location.hash") == "#units&q=ball&matched=1"
    address = f"{page.as_uri()}#units&label=tree&layer=layer3&sort=iou"
    tab.open("about:blank", ready="true")
    tab.requests.clear()
    tab.open(address)
    tab.requests[:] = [url.partition("#")[0] for url in tab.requests]
    assert tab.ask(CARDS) == ((units.label == "tree") & (units.layer == "layer3")).sum()
    assert tab.ask("document.querySelector('#units [name=layer]').value") == "layer3"
    tab.click("#units form button")
    tab.wait(f"document.querySelector('#units output').textContent.startsWith('{len(units)} units')")


def test_a_concept_leads_to_its_units_and_a_unit_to_its_curve(tab: Page, dissection: Dissection) -> None:
    tab.click("svg.bars a[href='#concept=tree']")
    tab.wait(f"{SHOWN} === 'concept'")
    trees = dissection.units[dissection.units.label == "tree"].sort_values("iou", ascending=False, kind="stable")
    assert tab.ask("document.querySelectorAll('#concept .card').length") == len(trees)
    best = f"{trees.layer.iloc[0]}/{trees.unit.iloc[0]}"
    assert tab.ask("document.querySelector('#concept .card a').getAttribute('href')") == f"#unit={best}"
    tab.click("#concept .card a")
    tab.wait(f"{SHOWN} === 'unit'")
    assert tab.ask("document.activeElement.textContent") == f"What does {best} draw?"
    assert tab.ask("document.querySelectorAll('#unit .strip canvas').length") == 10
    candidates = dissection.pairs[(dissection.pairs.layer + "/" + dissection.pairs.unit.astype(str)) == best]
    names = tab.ask("[...document.querySelectorAll('#unit tbody th')].map(th => th.textContent)")
    assert names == candidates.sort_values("iou", ascending=False).concept.tolist()
    curve = dissection.curve(trees.layer.iloc[0], int(trees.unit.iloc[0]), "tree")
    chosen = f"{curve.iou[curve.attrs['chosen']]:.3f}"
    assert f"IoU {chosen}" in tab.ask("document.querySelector('svg.curve').getAttribute('aria-label')")


def test_the_curve_follows_the_picker(tab: Page, dissection: Dissection) -> None:
    best = dissection.pairs[dissection.pairs["rank"] == 2].iloc[0]
    go(tab, f"#unit={best.layer}/{best.unit}", "unit")
    choose = f"p.value = {best.concept!r}; p.dispatchEvent(new Event('change'))"
    tab.ask(f"(p => {{ {choose} }})(document.querySelector('#unit select'))")
    assert f"with {best.concept} over" in tab.ask("document.querySelector('svg.curve').getAttribute('aria-label')")


def test_regions_are_bright_and_outlined_and_can_be_hidden(tab: Page, dissection: Dissection) -> None:
    go(tab, "#unit=layer1/0", "unit")
    switch = "#unit input[type=checkbox]"
    strip = dissection.top("layer1", 0)
    with_region = shown_pixels(tab)
    tab.click(switch)
    tab.wait(f"!document.querySelector({switch!r}).checked")
    plain = shown_pixels(tab)
    outline = (with_region == (255, 225, 77)).all(-1)
    assert outline.any()
    assert not (plain == (255, 225, 77)).all(-1).any()
    middles = (slice(None), slice(2, None, 4), slice(2, None, 4))
    lit = plain[middles].max(-1) > 20
    changed = (with_region[middles] != plain[middles]).any(-1)
    np.testing.assert_array_equal(changed[lit], ~strip.masks[lit])
    assert np.abs(plain[middles].astype(int) - strip.images).mean() < 5
    tab.click(switch)
    tab.wait(f"document.querySelector({switch!r}).checked")
    np.testing.assert_array_equal(shown_pixels(tab), with_region)


def shown_pixels(tab: Page) -> npt.NDArray[np.uint8]:
    """Return what the canvases of a unit show, uint8 [k, h, w, 3]."""
    files = tab.ask("[...document.querySelectorAll('#unit .strip canvas')].map(c => c.toDataURL().split(',')[1])")
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB")) for file in files])


def test_missing_values_are_shown_as_missing(tab: Page, dissection: Dissection) -> None:
    row = dissection.units[dissection.units.label.isna()].iloc[0]
    go(tab, f"#unit={row.layer}/{row.unit}", "unit")
    text = tab.ask("document.querySelector('#unit').innerText")
    assert "Unlabelled: no concept beyond chance and control" in text
    assert "On in" not in text
    assert "NaN" not in text
    tab.ask("location.hash = '#unit=layer9/999'")
    tab.wait("document.querySelector('#error').textContent.includes('layer9/999')")


def test_it_works_by_keyboard_alone(tab: Page) -> None:
    tab.press("Tab", 9)
    assert tab.ask("document.activeElement.className") == "skip"
    tab.press("Tab", 9)
    tab.press("Tab", 9)
    assert tab.ask("document.activeElement.getAttribute('href')") == "#units"
    assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter", 13)
    tab.wait(f"{SHOWN} === 'units'")
    for _ in range(20):
        tab.press("Tab", 9)
        if tab.ask("Boolean(document.activeElement.closest('.card'))"):
            break
    tab.press("Enter", 13)
    tab.wait(f"{SHOWN} === 'unit'")


@pytest.mark.parametrize("address", ["#overview", "#units", "#concept=tree", "#unit=layer1/0"])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out_on_a_phone(tab: Page, address: str, dark: bool) -> None:
    tab.look(390, 844, dark=dark, ratio=2)
    go(tab, address, address[1:].partition("=")[0])
    assert tab.ask("document.documentElement.scrollWidth") == 390
    tab.ask("document.querySelectorAll('.bars .note').forEach(note => { note.textContent = '512 of 512' })")
    sticking = tab.ask(
        "[...document.querySelectorAll('section:not([hidden]) *')].filter(e => !e.closest('.scroll, svg.curve')"
        " && e.getBoundingClientRect().right > 390.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert sticking == []
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == (
        "rgb(16, 18, 22)" if dark else "rgb(251, 251, 250)"
    )


def test_images_are_whole_multiples_of_their_pixels(tab: Page) -> None:
    go(tab, "#unit=layer1/0", "unit")
    width = tab.ask("document.querySelector('#unit .strip canvas').getBoundingClientRect().width")
    assert width == 4 * 32
    assert tab.ask("getComputedStyle(document.querySelector('#unit .strip canvas')).imageRendering") == "pixelated"


def test_every_control_and_image_has_a_name(tab: Page) -> None:
    for address in ("#overview", "#units", "#concept=tree", "#unit=layer1/0"):
        go(tab, address, address[1:].partition("=")[0])
        unnamed = tab.ask(
            "[...document.querySelectorAll('section:not([hidden]) :is(canvas, a, input, select, button, svg)')]"
            ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))"
            ".map(e => e.outerHTML.slice(0, 90))"
        )
        assert unnamed == []
