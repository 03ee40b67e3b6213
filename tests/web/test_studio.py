"""The pages in a real browser: paint a tree, take it back, find it again by its link, name a unit, flag one."""

import base64
import io
import json
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium
from PIL import Image
from proxies import serving

from ganatomy.annotations import Annotations, open_annotations
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.scenes import render
from ganatomy.web import Painter, create_app

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the pages"),
]
PIXELS = """(() => {
  const c = document.getElementById('image');
  const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(c, 0, 0);
  return Array.from(copy.getImageData(0, 0, c.width, c.height).data);
})()"""
NEWEST = "document.body.dataset.drawn === document.body.dataset.drawing"
LOADED = "document.readyState === 'complete'"
UNIT, CONCEPT = "/browse/church#unit=layer4/3", "/browse/church#concept=sky"
GRASS = (0.12, 0.78)
"""Where image 3 of the church has nothing but snow: x and y."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annotations]:
    annotations = open_annotations(tmp_path_factory.mktemp("said") / "a.sqlite")
    yield annotations
    annotations.close()


@pytest.fixture(scope="module")
def served(church: Path, kept: Annotations) -> Iterator[str]:
    with serving(create_app({"church": Painter(open_source(church))}, annotations=kept)) as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    browser.errors.clear()
    browser.requests.clear()
    browser.look(1440, 950)
    yield browser
    assert not browser.errors


def pixels(page: Page) -> Any:
    values = np.array(page.ask(PIXELS), dtype=int)
    side = int((len(values) / 4) ** 0.5)
    return values.reshape(side, side, 4)[..., :3]


def drawn(page: Page) -> int:
    return int(page.ask("document.body.dataset.drawn ?? 0"))


def settled(page: Page, since: int) -> None:
    """Wait until an image newer than `since` is drawn, and no newer one is coming."""
    page.wait(f"Number(document.body.dataset.drawn ?? 0) > {since} && {NEWEST}")


def studio(page: Page, served: str, end: str = "") -> None:
    page.ask("document.body.dataset.drawn = 0")
    page.open(f"{served}/paint/church{end}")
    settled(page, 0)
    if not end:
        page.ask("(e => { e.value = 3; e.dispatchEvent(new Event('change')) })(document.getElementById('id'))")
        settled(page, drawn(page))


def take_the_tree_brush(page: Page) -> None:
    page.ask("(e => { e.value = 'tree'; e.dispatchEvent(new Event('input')) })(document.querySelector('[name=find]'))")
    page.ask("document.querySelector('input[name=brush][value=tree]').click()")


def paint_a_tree(page: Page) -> None:
    take_the_tree_brush(page)
    before = drawn(page)
    x, y = GRASS
    page.drag("#overlay", [(x, y), (x, y - 0.1), (x, y - 0.18)])
    settled(page, before)


def click(page: Page, selector: str) -> None:
    before = drawn(page)
    page.click(selector)
    settled(page, before)


def photograph(page: Page) -> Any:
    """Choose a rendered church as the photograph; return its pixels [256, 256, 3]."""
    image = render("church", range(9, 10), 256, seed=5).images[0].transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    sent = base64.b64encode(buffer.getvalue()).decode()
    page.ask(
        f"""(async () => {{
          const bytes = Uint8Array.from(atob("{sent}"), c => c.charCodeAt(0));
          const files = new DataTransfer();
          files.items.add(window.holiday = new File([bytes], "holiday.png", {{ type: "image/png" }}));
          const input = document.getElementById("photograph");
          input.files = files.files;
          input.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()"""
    )
    return image


def about_photograph(page: Page) -> str:
    page.wait("!document.getElementById('about-photograph').hidden", 180)
    return str(page.ask("document.getElementById('about-photograph').textContent"))


def saved_at_its_own_size(page: Page) -> Any:
    """Save the photograph, and return what the file holds."""
    page.ask("window.saved = new Promise(done => { URL.createObjectURL = blob => { done(blob); return '#' } }); 0")
    page.ask("document.getElementById('save-whole').click()")
    content = page.ask(
        """window.saved.then(blob => new Promise(done => {
          const reader = new FileReader();
          reader.onload = () => done(reader.result.split(',')[1]);
          reader.readAsDataURL(blob);
        }))"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"), dtype=int)


def test_a_photograph_is_opened_painted_on_saved_and_there_after_a_reload(page: Page, served: str) -> None:
    studio(page, served)
    before = drawn(page)
    own = photograph(page).astype(int)
    about = about_photograph(page)
    settled(page, before)
    assert "holiday" in about
    assert "256 × 256" in about
    plain = pixels(page)
    small = render("church", range(9, 10), 64, seed=5).images[0].transpose(1, 2, 0).astype(int)
    assert plain.shape == small.shape
    assert np.abs(plain - small).mean() < 12  # it is the photograph
    assert page.ask("document.querySelector('#film [aria-current]').ariaLabel") == "holiday"
    click(page, "#next")  # to an image of the model, and back
    assert int(page.ask("document.getElementById('id').value")) < 100
    assert page.ask("document.getElementById('about-photograph').hidden")
    click(page, "#film [aria-label=holiday]")
    assert about_photograph(page) == about
    assert np.array_equal(pixels(page), plain)
    paint_a_tree(page)
    painted = pixels(page)
    changed = np.abs(painted - plain).max(2) > 8
    assert changed.any()
    assert not changed[: len(changed) // 4].any()  # the sky stays the photograph's
    saved = saved_at_its_own_size(page)
    assert saved.shape == own.shape
    assert np.array_equal(saved[:64], own[:64])
    change = (saved - own).reshape(64, 4, 64, 4, 3).mean((1, 3))
    where = change.max(2, where=changed[..., None], initial=0)
    assert abs(where.sum() / (painted - plain).max(2, where=changed[..., None], initial=0).sum() - 1) < 0.2
    for width, dark in ((1440, False), (390, True)):
        assert violations(page, width, dark=dark) == []
    page.look(1440, 950)
    page.wait("location.hash.length > 9")
    page.ask("delete document.body.dataset.ready; location.reload()")
    page.wait("document.body?.dataset.ready")
    assert about_photograph(page) == about
    settled(page, 0)
    assert np.array_equal(pixels(page), painted)
    assert np.array_equal(saved_at_its_own_size(page), saved)


def test_a_photograph_that_the_server_forgot_is_opened_again_from_the_browsers_copy(page: Page, served: str) -> None:
    studio(page, served)
    before = drawn(page)
    photograph(page)
    about = about_photograph(page)
    settled(page, before)
    forgotten, unknown = 2**53 - 5, 2**53 - 7
    page.ask(f"import('/static/kept_files.js').then(m => m.keepFile({forgotten}, window.holiday))")
    page.open("about:blank", LOADED)
    page.open(f"{served}/paint/church{link({'id': forgotten, 'strokes': [STROKE]})}")
    assert about_photograph(page) == about
    assert int(page.ask("document.getElementById('id').value")) not in (forgotten, 0)
    assert page.ask("document.querySelectorAll('#strokes li').length") == 1
    page.open("about:blank", LOADED)
    page.open(f"{served}/paint/church{link({'id': unknown, 'strokes': [STROKE]})}")
    page.wait("document.getElementById('id').value === '0'")
    assert "open the photograph again" in page.ask("document.body.innerText")
    assert all("404" in error for error in page.errors), "the server does not know them"
    page.errors.clear()


def test_a_tree_is_painted_where_the_brush_was_taken_back_and_found_again(page: Page, served: str) -> None:
    studio(page, served)
    plain = pixels(page)
    paint_a_tree(page)
    painted = pixels(page)
    change = np.abs(painted - plain).mean(2)
    side = len(change)
    near = change[int(0.6 * side) : int(0.95 * side), : int(0.3 * side)]
    far = change[:, int(0.6 * side) :]
    assert near.mean() > 20
    assert far.mean() < near.mean() / 10
    page.wait("document.querySelector('#changes .painted')")
    assert "tree" in page.ask("document.getElementById('strokes').textContent")
    assert page.ask("document.getElementById('found').textContent") == "It is above."
    link = page.ask("location.href")
    if os.environ.get("GANATOMY_DRAW_DOCS"):
        page.screenshot(ROOT / "docs" / "images" / "painting.png")

    click(page, "#undo")
    assert np.array_equal(pixels(page), plain)
    click(page, "#redo")
    assert np.array_equal(pixels(page), painted)
    page.click("#replay")
    time.sleep(1.5)

    page.open(f"{served}/", LOADED)
    studio(page, served, "#" + link.partition("#")[2])
    assert np.array_equal(pixels(page), painted)
    hosts = {url.partition("//")[2].partition("/")[0] for url in page.requests if url.startswith("http")}
    assert hosts == {served.partition("//")[2]}


def link(state: object) -> str:
    """Write an address as the page does."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return "#" + base64.urlsafe_b64encode(packer.compress(json.dumps(state).encode()) + packer.flush()).decode()


STROKE = {"action": "draw", "layer": "layer6", "concept": "tree", "points": [GRASS], "radius": 0.1}


@pytest.mark.parametrize(
    ("end", "strokes", "says"),
    [
        ("#%%%", 0, "no edit that can be read"),
        (link({"id": 3, "strokes": [STROKE]})[:30], 0, "no edit that can be read"),
        (link({"id": 3, "strokes": [STROKE, {**STROKE, "layer": "nope"}, None, {}]}), 1, "3 of 4 strokes"),
        (link({"id": 3, "strokes": [{**STROKE, "points": []}] * 300}), 200, "100 of 300 strokes"),
        (link({"id": 3, "strokes": [{}] * 1_000_000}), 0, "no edit that can be read"),
    ],
    ids=["garbage", "cut off", "another study's", "too many", "a million"],
)
def test_a_bad_link_is_told_and_the_page_goes_on(page: Page, served: str, end: str, strokes: int, says: str) -> None:
    page.open(f"{served}/", LOADED)
    studio(page, served, end)
    assert says in page.ask("document.getElementById('request-error').textContent")
    assert page.ask("document.querySelectorAll('#strokes li').length") == strokes
    if strokes == 200:
        page.drag("#overlay", [(0.5, 0.5), (0.6, 0.6)])
        page.wait("document.getElementById('status').textContent.includes('delete some')")
        click(page, "#strokes li button")
    before = drawn(page)
    page.drag("#overlay", [(0.5, 0.5), (0.6, 0.6)])
    settled(page, before)


def test_fingers_paint_and_a_second_one_does_nothing(page: Page, served: str) -> None:
    page.look(390, 844)
    studio(page, served)
    take_the_tree_brush(page)
    page.ask("document.getElementById('overlay').scrollIntoView({ block: 'center' })")
    box = page.ask("document.getElementById('overlay').getBoundingClientRect().toJSON()")
    first, second = (
        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": i}
        for i, (x, y) in enumerate([GRASS, (0.9, 0.1)])
    )
    before = drawn(page)
    for kind, fingers in (("Start", [first]), ("Start", [first, second]), ("Move", [first, second]), ("End", [])):
        page._call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=fingers)
    settled(page, before)
    assert page.ask("document.querySelectorAll('#strokes li').length") == 1


def test_pasted_strokes_go_on_elsewhere_and_outlast_a_reload(page: Page, served: str) -> None:
    page.open(f"{served}/", LOADED)
    two = [STROKE, {**STROKE, "layer": "layer4"}]
    studio(page, served, link({"id": 2**53, "strokes": two}))
    assert int(page.ask("document.getElementById('id').value")) == 2**52 - 1  # from there on, they are photographs
    page.click("#paste")
    page.wait("document.querySelectorAll('#pasted button').length === 8")
    click(page, "#pasted button")
    went = page.ask("document.getElementById('id').value")
    painted = pixels(page)
    assert int(went) < 2**52 - 1
    end = page.ask("location.hash")
    page.open(f"{served}/", LOADED)
    studio(page, served, end)
    assert page.ask("document.getElementById('id').value") == went
    assert page.ask("document.querySelectorAll('#strokes li').length") == 2
    assert np.array_equal(pixels(page), painted)


def test_keys_paint_and_take_back(page: Page, served: str) -> None:
    studio(page, served)
    plain = pixels(page)
    take_the_tree_brush(page)
    page.ask("document.getElementById('overlay').focus()")
    before = drawn(page)
    for _ in range(4):
        page.press("ArrowDown", 40)
    page.press(" ", 32)
    settled(page, before)
    assert np.abs(pixels(page) - plain).max() > 20
    before = drawn(page)
    page._call("Input.dispatchKeyEvent", type="keyDown", key="z", code="KeyZ", windowsVirtualKeyCode=90, modifiers=2)
    settled(page, before)
    assert np.array_equal(pixels(page), plain)


def test_an_own_set_is_a_brush(page: Page, served: str) -> None:
    studio(page, served)
    page.ask("document.querySelector('#tools .settings details').open = true")
    page.ask("document.querySelector('[name=units]').value = '3, 17'")
    page.click("#add-set")
    page.wait("document.querySelector('input[value=\"own units 3, 17\"]')?.checked")
    plain, before = pixels(page), drawn(page)
    page.drag("#overlay", [(0.3, 0.3), (0.7, 0.7)])
    settled(page, before)
    assert not np.array_equal(pixels(page), plain)
    page.click("[aria-label='Forget units 3, 17']")
    page.wait("!document.querySelector('input[value=\"own units 3, 17\"]')")


def test_a_concept_has_an_address_and_its_units_are_outlined(page: Page, served: str) -> None:
    page.open(f"{served}/browse/church#concept=sky")
    page.wait("document.body.dataset.live?.endsWith('sky')", 60)
    assert "best for sky" in page.ask("document.getElementById('about-unit').textContent")
    assert "threshold" in page.ask("document.getElementById('legend').textContent")
    page.click("#add")
    page.wait("document.querySelectorAll('#own-set li').length === 20")
    page.ask("document.querySelector('#own-set form').requestSubmit()")
    page.wait("document.querySelector('#own-set a[href^=\"/paint/church\"]')")
    page.ask("document.body.dataset.drawn = 0")
    page.ask("document.querySelector('#own-set a[href^=\"/paint/church\"]').click()")
    page.wait("document.querySelector('input[name=brush]:checked')?.value.startsWith('own ')")


def test_a_unit_is_flagged_where_it_is_looked_at(page: Page, served: str, kept: Annotations) -> None:
    page.open(f"{served}/", LOADED)
    page.open(f"{served}/browse/church#unit=layer4/5", "document.body?.dataset.live")
    page.ask("document.querySelector('#annotations input').value = 'bob'")
    page.click("#flag")
    page.wait("document.getElementById('annotations').textContent.includes('by 1 of 1')")
    flags = kept.read("flags")
    assert flags[flags.unit == 5][["rater", "artifact"]].values.tolist() == [["bob", True]]
    page.open(f"{served}/annotate/church")
    assert page.ask("document.querySelector('[name=rater]').value") == "bob"


def test_a_unit_has_an_address_is_outlined_and_can_be_left_out(page: Page, served: str) -> None:
    page.open(f"{served}/browse/church#unit=layer4/3")
    page.wait("document.body.dataset.live?.endsWith('layer4/3')", 60)
    assert "layer4/3" in page.ask("document.getElementById('unit-title').textContent")
    assert page.ask("document.querySelector('#about-unit canvas')") is not None
    page.click("#overlay")
    page.wait("document.querySelectorAll('#active-units li').length > 3")
    page.click("#pick")
    page.click("#next")
    page.wait("document.body.dataset.live?.startsWith('1 ')")
    page.click("#pick")
    page.click("#common")
    page.wait("document.querySelectorAll('#picked ol li').length > 3")


def test_a_unit_is_named_and_one_is_flagged(page: Page, served: str, kept: Annotations) -> None:
    page.open(f"{served}/annotate/church")
    page.ask("document.querySelector('[name=rater]').value = 'ann'")
    page.click("#task-form button")
    page.wait("document.querySelector('[name=words]')")
    page.wait("document.querySelector('.unit-card').naturalWidth > 100")
    page.ask("document.querySelector('[name=words]').focus()")
    page.type("green tree")
    asked = page.ask("document.body.dataset.question")
    page.press("Enter", 13)
    page.wait(f"document.body.dataset.question !== '{asked}'")
    page.ask("document.querySelector('[value=flags]').click()")
    page.click("#task-form button")
    page.wait("document.getElementById('broken')")
    asked = page.ask("document.body.dataset.question")
    page.click("#broken")
    page.wait(f"document.body.dataset.question !== '{asked}'")
    assert kept.read("labels").words.tolist() == ["green tree"]
    flags = kept.read("flags")
    assert flags[flags.rater == "ann"].artifact.tolist() == [True]
    page.ask("document.querySelector('[value=pairs]').click()")
    page.click("#task-form button")
    page.wait("document.querySelector('.pair img')")
    page.click(".pair button")
    page.wait("document.body.dataset.question === 'pairs 1'")
    assert len(kept.read("preferences")) == 1


@pytest.mark.parametrize("path", ["/", "/paint/church", UNIT, CONCEPT, "/annotate/church", "/docs"])
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_pages_fit_and_everybody_can_use_them(page: Page, served: str, path: str, width: int) -> None:
    page.look(width, 900)
    page.open(served + path, LOADED)
    time.sleep(1.0)
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert violations(page, width) == []
