"""The home page, the browser of units, the questions to people and the calls to try, in a real browser."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium
from proxies import serving

from ganatomy.annotations import Annotations, open_annotations
from ganatomy.report.html import write_report
from ganatomy.web import Painter, create_app
from ganatomy.web.pages import browse
from ganatomy.web.pages.browse import top_images
from ganatomy.web.readers import ImageBytes

LOADED = "document.readyState === 'complete'"
TEXT = "document.body.textContent"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the pages"),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annotations]:
    annotations = open_annotations(tmp_path_factory.mktemp("kept") / "a.sqlite")
    yield annotations
    annotations.close()


@pytest.fixture(scope="module")
def served(painter: Painter, kept: Annotations) -> Iterator[str]:
    with serving(create_app({"planted": painter}, annotations=kept)) as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page, served: str) -> Iterator[Page]:
    browser.look(1440, 950)
    browser.open(f"{served}/docs", LOADED)  # a page with another address: the next one is loaded anew
    browser.errors.clear()
    yield browser
    assert not browser.errors


def text(page: Page, selector: str) -> str:
    found: str = page.ask(f"document.querySelector({selector!r}).textContent")
    return found


def test_the_home_page_counts_and_leads_to_units_brushes_and_reports(page: Page, served: str, painter: Painter) -> None:
    page.open(f"{served}/")
    units = painter.source.dissection.units
    assert f"{int(units.matched.sum())} of {len(units)} units" in " ".join(text(page, ".studies").split())
    page.wait("[...document.querySelectorAll('.unit-tiles img')].every((image) => image.naturalWidth > 32)")
    assert 1 <= page.ask("document.querySelectorAll('.unit-tiles li').length") <= 4
    brush = page.ask("document.querySelector('.brush-link').textContent")
    page.ask("document.querySelector('.brush-link').click()")
    page.wait("document.querySelector('input[name=brush]:checked')")
    assert page.ask("document.querySelector('input[name=brush]:checked').value") == brush
    page.open(f"{served}/")
    page.ask("document.querySelector('.unit-tiles a').click()")
    page.wait("document.body?.dataset.live?.includes('/')")


def click_image(page: Page) -> None:
    page.click("#overlay")
    page.wait("document.querySelector('#active-units h3') && !document.querySelector('#active-units').ariaBusy")


def test_a_click_on_the_image_is_marked_and_answered_by_units(page: Page, served: str, painter: Painter) -> None:
    page.open(f"{served}/browse/planted", "document.body?.dataset.live")
    assert page.ask("document.getElementById('marker').hidden")
    click_image(page)
    assert not page.ask("document.getElementById('marker').hidden")
    centre = page.ask(
        "(() => { const box = (id) => document.getElementById(id).getBoundingClientRect();"
        " const [m, c] = [box('marker'), box('overlay')];"
        " return [m.x + m.width / 2 - c.x - c.width / 2, m.y + m.height / 2 - c.y - c.height / 2] })()"
    )
    assert max(map(abs, centre)) < 2
    shown = page.ask("[...document.querySelectorAll('#active-units a')].map((a) => a.hash.slice('#unit='.length))")
    assert len(shown) > 3
    page.ask("document.querySelectorAll('#active-units details').forEach((each) => { each.open = true })")
    page.wait("[...document.querySelectorAll('#active-units img')].every((image) => image.naturalWidth > 32)")


def test_an_answer_about_another_image_is_marked(page: Page, served: str) -> None:
    page.open(f"{served}/browse/planted", "document.body?.dataset.live")
    click_image(page)
    page.click("#next")
    page.wait("document.body.dataset.live.startsWith('1 ')")
    assert "This is of image 0" in text(page, "#active-units .stale-note")
    assert page.ask("document.getElementById('marker').hidden")
    click_image(page)
    assert page.ask("document.querySelector('#active-units .stale-note')") is None
    page.ask(
        "(s => { s.value = [...s.options].find((each) => !each.selected).value; s.dispatchEvent(new Event('change')) })"
        "(document.getElementById('layer'))"
    )
    assert "another layer" in text(page, "#active-units .stale-note")


def test_a_unit_is_outlined_or_shown_as_a_heat_map_with_a_legend(page: Page, served: str, painter: Painter) -> None:
    layer = painter.best_layer()
    unit = painter.brushes(layer)[0].units[0]
    page.open(f"{served}/browse/planted#unit={layer}/{unit}", "document.body?.dataset.live?.includes('/')")
    count = """(c => {
      const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', { willReadFrequently: true });
      copy.drawImage(c, 0, 0);
      const { data } = copy.getImageData(0, 0, c.width, c.height);
      return data.filter((v, i) => i % 4 === 3 && v > 0).length / c.width / c.height;
    })(document.getElementById('overlay'))"""
    assert "threshold" in text(page, "#legend")
    outlined = page.ask(count)
    page.click("#legend [value=heat]")
    page.wait("document.querySelector('#legend .heat-scale')")
    assert "greatest of the sample" in text(page, "#legend")
    assert page.ask(count) > outlined
    page.click("#legend [value=outline]")


def begin(page: Page, served: str, rater: str, task: str) -> None:
    page.open(f"{served}/annotate/planted")
    page.ask(f"document.querySelector('[name=rater]').value = '{rater}'")
    page.ask(f"document.querySelector('[value={task}]').click()")


def asked(page: Page) -> str:
    found: str = page.ask("document.body.dataset.question")
    return found


def press(page: Page, key: str, code: int) -> str:
    """Press a key, and return what is asked next."""
    before = asked(page)
    page.press(key, code)
    page.wait(f"document.body.dataset.question !== {before!r}")
    return asked(page)


def test_units_are_named_by_keys_skipped_and_asked_again(page: Page, served: str, kept: Annotations) -> None:
    begin(page, served, "ann", "labels")
    page.click("#task-form button")
    page.wait("document.querySelector('.unit-card')?.naturalWidth > 100")
    assert page.ask("(e => e.scrollWidth <= e.clientWidth)(document.documentElement)")
    first = asked(page)
    page.type("green tree")
    second = press(page, "Enter", 13)
    third = press(page, "1", 49)  # the same
    fourth = press(page, "0", 48)  # unclear
    fifth = press(page, "Escape", 27)  # skipped
    assert len({first, second, third, fourth, fifth}) == 5
    page.click("#undo")
    page.wait(f"document.body.dataset.question === {third!r}")
    page.type("door")
    press(page, "Enter", 13)
    labels = kept.read("labels")
    said = {f"labels {row.layer}/{row.unit}": row.words for row in labels[labels.rater == "ann"].itertuples()}
    assert said == {first: "green tree", second: "green tree", third: "door"}
    page.wait("document.getElementById('results').textContent.includes('People named 3 units')")


def test_buttons_of_a_question_stay_where_they_are_while_images_are_slow(
    page: Page, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> ImageBytes:
        time.sleep(1)
        return top_images(*arguments)

    monkeypatch.setattr(browse, "top_images", slow)
    begin(page, served, "eve", "labels")
    page.click("#task-form button")
    place = "document.getElementById('undo')?.offsetTop"
    page.wait(place)
    first = page.ask(place)
    page.wait("document.querySelector('.unit-card')?.naturalWidth > 100")
    assert page.ask(place) == first


def test_flags_take_number_keys_and_people_are_compared(page: Page, served: str, kept: Annotations) -> None:
    for rater in ("ann", "bob"):
        begin(page, served, rater, "flags")
        page.click("#task-form button")
        page.wait("document.getElementById('broken')")
        for unit in range(6):
            press(page, "1" if (unit + (rater == "bob")) % 2 else "2", 49)
    assert len(kept.read("flags")) == 12
    page.wait("document.getElementById('results').textContent.includes('12 answers on 6 units by 2 people')")
    assert "Krippendorff’s α" in text(page, "#results")


def test_a_pair_may_look_the_same_and_is_named_a_and_b(page: Page, served: str, kept: Annotations) -> None:
    begin(page, served, "ann", "pairs")
    page.ask("document.querySelector('[name=units]').value = '1, 2'")
    page.click("#task-form button")
    page.wait("document.querySelector('.pair img')")
    assert page.ask("[...document.querySelectorAll('.pair span')].map((each) => each.textContent[0]).join('')") == "AB"
    for key, code in (("1", 49), ("3", 51), ("Escape", 27), ("2", 50)):
        press(page, key, code)
    preferences = kept.read("preferences")
    assert preferences.image.tolist() == [0, 1, 3]
    assert preferences.preferred[1] == "same"
    page.wait("document.getElementById('results').textContent.includes('of 2 (')")  # the last answer counts, too
    assert "1 more, people saw no difference" in text(page, "#results")


def test_calls_are_tried_on_the_page_of_the_api(page: Page, served: str) -> None:
    page.open(f"{served}/docs")

    def send(call: str) -> str:
        page.ask(
            f"document.querySelectorAll('details.call').forEach((d) => {{ d.open = d.textContent.includes('{call}') }})"
        )
        page.wait("document.querySelector('details.call[open] .try')")
        page.ask("document.querySelector('details.call[open] .try button').click()")
        page.wait("document.querySelector('details.call[open] .try :is(pre, img, a)')")
        return text(page, "details.call[open] .try [aria-live]")

    assert '"status": "ok"' in send("GET /api/health")
    assert "curl" in send("POST /api/studies/{study}/active")
    assert '"concepts"' in text(page, "details.call[open] .try pre")
    assert "200 OK" in send("POST /api/studies/{study}/paint")
    assert page.ask("document.querySelector('details.call[open] .try img').naturalWidth") > 0


def test_an_address_that_is_nowhere_gets_a_page(page: Page, served: str) -> None:
    page.open(f"{served}/no/such/page", LOADED)
    assert "no page has the address" in text(page, "main").lower()
    page.ask("document.querySelector('main a').click()")
    page.wait("location.pathname === '/'")
    assert len(page.errors) == 1  # the browser's own word on the status
    assert "404" in page.errors.pop()


BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(251, 251, 250)", "rgb(16, 18, 22)"


def test_a_theme_holds_on_every_page_and_in_reports(page: Page, served: str, painter: Painter) -> None:
    """A report is cut off from the storage of the browser, so links carry the theme to it and back."""
    directory = painter.source.dissection.study.directory
    write_report(painter.source.dissection, directory / "report.html")
    page.open(f"{served}/", LOADED)
    assert page.ask(BACKGROUND) == LIGHT
    page.click("#theme")
    page.click("#theme")
    assert page.ask(BACKGROUND) == DARK
    for path in ("docs", "paint/planted", "browse/planted", "annotate/planted", "nowhere"):
        page.open(f"{served}/{path}", LOADED)
        assert page.ask(BACKGROUND) == DARK, path
        assert page.ask("document.getElementById('theme').innerText.trim()") == "Theme: dark", path
    page.errors.clear()  # the browser's own word on the status of /nowhere
    page.open(f"{served}/", LOADED)
    page.click(".report-links a")
    page.wait("location.pathname.endsWith('report.html') && document.body?.dataset.ready")
    assert page.ask(BACKGROUND) == DARK
    page.click("#theme")
    assert page.ask("document.getElementById('theme').innerText") == "Theme: system"
    page.ask("document.body.append(Object.assign(document.createElement('a'), {href: '/', id: 'back'}))")
    page.ask("document.getElementById('back').click()")
    page.wait("location.pathname === '/' && document.readyState === 'complete'")
    assert page.ask("location.search") == ""
    assert page.ask(BACKGROUND) == LIGHT
    page.ask("localStorage.clear()")


OPENED = "document.querySelectorAll('details').forEach((each) => { each.open = true })"
CASES = {
    "/": "",
    "/docs": OPENED,
    "/browse/planted": "document.getElementById('overlay').click()",
    "/annotate/planted": "document.querySelector('[name=rater]').value = 'eve';"
    " document.querySelector('#task-form button').click()",
    "/nowhere": "",
}


@pytest.mark.parametrize("path", CASES)
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_pages_fit_and_everybody_can_use_them(page: Page, served: str, path: str, width: int) -> None:
    page.look(width, 900, dark=width == 768)
    page.open(served + path, LOADED)
    time.sleep(1.5)
    page.ask(f"{CASES[path]}; true")
    time.sleep(1.5)
    page.errors.clear()
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert violations(page, width, dark=width == 768) == []


def test_everybody_can_give_the_token_that_a_page_asks_for(browser: Page, painter: Painter) -> None:
    with serving(create_app({"planted": painter}, token="secret")) as port:
        browser.open(f"http://localhost:{port}/", LOADED)
        for width in (390, 768, 1440):
            assert violations(browser, width) == []
            assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask("[...document.querySelectorAll('nav :is(a, button)')].map(e => e.id)") == ["theme"]
        browser.ask("document.querySelector('[name=token]').focus()")
        browser.type("secret")
        browser.ask("document.querySelector('form').requestSubmit()")
        browser.wait("document.querySelector('.studies')")
    browser.errors.clear()  # the browser's own word on the status
