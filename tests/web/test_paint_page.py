"""The page to paint, in a real browser: brushes, clone, whole image, before and after, exports."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe import violations
from chromium import PROGRAM, Page, chromium
from measured_painter import MeasuredPainter
from proxies import serving

from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.web import create_app

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install chromium to look at the pages"),
]
GRASS = (0.12, 0.78)
"""Where image 3 of the church has nothing but snow: x and y."""
PIXELS = """(async (c) => {
  if (c instanceof Blob) c = await createImageBitmap(c);
  const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(c, 0, 0);
  return [c.height, c.width, ...copy.getImageData(0, 0, c.width, c.height).data];
})"""
NEWEST = "document.body.dataset.drawn === document.body.dataset.drawing"
SAVED = """window.saved = [];
const create = URL.createObjectURL;
URL.createObjectURL = (blob) => { window.saved.push(blob); return create(blob); };"""


@pytest.fixture(scope="module")
def painter(church: Path) -> MeasuredPainter:
    return MeasuredPainter(open_source(church))


@pytest.fixture(scope="module")
def served(painter: MeasuredPainter) -> Iterator[str]:
    with serving(create_app({"church": painter})) as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        page.at_start(SAVED)
        yield page


@pytest.fixture
def studio(browser: Page, served: str) -> Iterator[Page]:
    """The page as it opens."""
    browser.errors.clear()
    browser.look(1440, 950)
    browser.open(f"{served}/", "document.readyState === 'complete'")
    browser.open(f"{served}/paint/church")
    wait_drawn(browser, 0)
    yield browser
    assert not browser.errors


def drawn(page: Page) -> int:
    return int(page.ask("document.body.dataset.drawn ?? 0"))


def wait_drawn(page: Page, since: int) -> None:
    """Wait until an image newer than `since` is drawn, and no newer one is coming."""
    page.wait(f"Number(document.body.dataset.drawn ?? 0) > {since} && {NEWEST}")


def paint(page: Page, *path: tuple[float, float]) -> None:
    before = drawn(page)
    page.drag("#overlay", list(path))
    wait_drawn(page, before)


def paint_a_tree(page: Page) -> None:
    x, y = GRASS
    paint(page, (x, y), (x, y - 0.1), (x, y - 0.18))


def pixels(page: Page, canvas: str = "image") -> Any:
    return values_of(page, f"document.getElementById('{canvas}')")


def values_of(page: Page, image: str) -> Any:
    """Return the pixels of a canvas, or of a PNG as a Blob."""
    height, width, *values = page.ask(f"{PIXELS}({image})")
    return np.array(values, dtype=int).reshape(height, width, 4)


def text(page: Page, selector: str) -> str:
    return str(page.ask(f"document.querySelector({json.dumps(selector)}).textContent"))


def choose(page: Page, action: str) -> None:
    page.ask(f"document.querySelector('[name=action][value={action}]').click()")


def box(page: Page, selector: str) -> dict[str, float]:
    return dict(page.ask(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"))


def press_mouse(page: Page, x: float, y: float, kind: str = "mousePressed", modifiers: int = 0) -> None:
    button: dict[str, Any] = {"button": "left", "buttons": 1, "clickCount": 1, "modifiers": modifiers}
    page._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)


def magenta(page: Page, canvas: str) -> tuple[float, float]:
    """Where the marker is: x and y as shares."""
    values = pixels(page, canvas)
    rows, columns = np.nonzero((values[..., :3] == [255, 95, 210]).all(2))
    assert len(rows), "no marker"
    return columns.mean() / values.shape[1], rows.mean() / values.shape[0]


def test_it_opens_on_the_start_of_the_server(studio: Page) -> None:
    assert studio.ask("document.getElementById('id').value") == "3"
    assert studio.ask("document.querySelector('[name=brush]:checked').value") == "tree"
    paint_a_tree(studio)
    assert "draw tree" in text(studio, "#strokes")


def test_eight_brushes_have_an_image_and_the_others_are_found(studio: Page) -> None:
    loaded = "[...document.querySelectorAll('#brushes img')].filter(i => i.naturalWidth === 2 * i.naturalHeight)"
    studio.ask("document.querySelectorAll('#brushes img').forEach(i => { i.loading = 'eager' })")
    studio.wait(f"{loaded}.length === 8")
    first = studio.ask("[...document.querySelectorAll('#brushes [name=brush]')].map(e => e.value)")
    assert len(first) == 8
    studio.ask("document.querySelector('[name=find]').focus()")
    studio.type("e")
    found = studio.ask("[...document.querySelectorAll('#found [name=brush]')].map(e => e.value)")
    others = [name for name in found if name not in first]
    assert others
    studio.ask(f"document.querySelector('#found [value={json.dumps(others[-1])}]').click()")
    paint(studio, (0.5, 0.5))
    assert others[-1] in text(studio, "#strokes")


def test_the_measured_setting_is_said_in_plain_words(studio: Page, painter: MeasuredPainter) -> None:
    studio.wait("document.querySelector('#about-brush').textContent.includes('74 ± 4 %')")
    about = text(studio, "#about-brush")
    assert "Appears in 74 ± 4 % of places where it may stand, in 2 ± 1 % where it may not." in about
    assert "120 places: allowed by the renderer" in about
    studio.ask("document.querySelector('[name=find]').value = 'door'")
    studio.ask("document.querySelector('[name=find]').dispatchEvent(new Event('input'))")
    studio.ask("document.querySelector('[name=brush][value=door]').click()")
    about = text(studio, "#about-brush")
    assert "not measured yet: all units of" in about
    assert "25 %, about 3 minutes left" in about
    assert "read-only" in about
    try:
        painter.progress = 1.0
        studio.wait("document.querySelector('#about-brush').textContent.includes('Appears in 74')")
    finally:
        painter.progress = 0.25


def test_a_clone_takes_from_the_place_that_was_picked(studio: Page, served: str) -> None:
    plain = pixels(studio)
    over = box(studio, "#overlay")
    source = (0.5, 0.55)
    for kind in ("mousePressed", "mouseReleased"):
        press_mouse(studio, over["x"] + source[0] * over["width"], over["y"] + source[1] * over["height"], kind, 1)
    assert studio.ask("document.querySelector('[name=action]:checked').value") == "clone"
    studio.wait("document.querySelector('#about-clone').textContent.startsWith('Paint')")
    assert studio.ask("document.querySelectorAll('#strokes li').length") == 0
    assert magenta(studio, "source-overlay") == pytest.approx(source, abs=0.02)

    start, end = (0.15, 0.7), (0.25, 0.8)
    at = [(over["x"] + x * over["width"], over["y"] + y * over["height"]) for x, y in (start, end)]
    before = drawn(studio)
    press_mouse(studio, *at[0])
    press_mouse(studio, *at[1], "mouseMoved")
    assert magenta(studio, "source-overlay") == pytest.approx((0.6, 0.65), abs=0.02)
    press_mouse(studio, *at[1], "mouseReleased")
    wait_drawn(studio, before)
    assert magenta(studio, "source-overlay") == pytest.approx(source, abs=0.02)
    change = np.abs(pixels(studio) - plain).mean(2)
    side = len(change)
    near = change[int(0.6 * side) : int(0.9 * side), int(0.05 * side) : int(0.35 * side)].mean()
    assert near > 5
    assert change[: side // 4, side // 2 :].mean() < near / 5
    assert "clone from image 3" in text(studio, "#strokes")

    painted, link = pixels(studio), studio.ask("location.href")
    studio.open(f"{served}/", "document.readyState === 'complete'")
    studio.open(link)
    wait_drawn(studio, 0)
    assert np.array_equal(pixels(studio), painted)


def test_a_clone_takes_from_another_image_without_leaving_this_one(studio: Page) -> None:
    choose(studio, "clone")
    studio.wait("document.querySelector('#source-id').value === '3'")
    studio.drag("#overlay", [(0.2, 0.7)])
    studio.wait("document.getElementById('status').textContent.includes('Pick the place')")
    studio.click("#source-next")
    studio.wait("document.querySelector('#source-id').value === '4'")
    studio.ask("document.getElementById('source-overlay').focus()")
    studio.press(" ", 32)
    studio.press("ArrowRight", 39)
    assert magenta(studio, "source-overlay") == pytest.approx((0.53, 0.5), abs=0.02)
    studio.ask("document.querySelector('#tools .settings details').open = true")
    studio.click("[name=clone-layer][value=layer4]")
    paint(studio, (0.2, 0.7), (0.25, 0.7))
    assert "clone from image 4 (layer4)" in text(studio, "#strokes")
    assert studio.ask("document.getElementById('id').value") == "3"
    studio.click("#take")
    studio.ask("document.getElementById('overlay').focus()")
    studio.press(" ", 32)
    studio.wait("document.querySelector('#source-id').value === '3'")
    assert studio.ask("document.querySelectorAll('#strokes li').length") == 1


@pytest.mark.parametrize("action", ["draw", "remove"])
def test_the_whole_image_is_one_stroke(studio: Page, action: str) -> None:
    plain, before = pixels(studio), drawn(studio)
    choose(studio, action)
    assert text(studio, "#whole").startswith(f"{action.title()} tree")
    studio.click("#whole")
    wait_drawn(studio, before)
    change = np.abs(pixels(studio) - plain).mean(2)
    half = len(change) // 2
    assert min(change[half:, :half].mean(), change[half:, half:].mean()) > 0.5
    assert f"{action} tree (whole image" in text(studio, "#strokes")


def test_the_painted_concept_is_first_in_what_changed(studio: Page) -> None:
    paint_a_tree(studio)
    studio.wait("document.querySelector('#changes .painted')")
    assert studio.ask("document.getElementById('changes').ariaBusy") is None
    assert text(studio, "#changes > :first-child strong").lower().startswith("tree: ")
    assert "points of the image" in text(studio, "#changes .painted strong")
    assert studio.ask("![...document.querySelectorAll('#changes th[scope=row]')].some(e => e.textContent === 'tree')")
    choose(studio, "clone")
    studio.click("#clear")
    studio.wait("document.querySelector('#changes').textContent.includes('Nothing has been painted')")


def test_the_canvas_grows_with_the_window(studio: Page) -> None:
    small = box(studio, "#overlay")["width"]
    studio.look(1920, 1300)
    studio.wait(f"document.getElementById('overlay').getBoundingClientRect().width > {small + 250}")
    large = box(studio, "#overlay")
    assert large["width"] == pytest.approx(large["height"], abs=1)
    assert large["bottom"] < 1300


def test_the_grid_of_the_layer_is_there_on_demand(studio: Page) -> None:
    studio.ask("document.getElementById('overlay').blur()")
    assert pixels(studio, "overlay")[..., 3].max() == 0
    assert text(studio, "#grid") == "Grid of layer6"
    studio.click("#grid")
    lines = pixels(studio, "overlay")[3, :, 3] > 0
    assert np.count_nonzero(np.diff(lines.astype(int)) > 0) == 15
    studio.click("#grid")
    assert pixels(studio, "overlay")[..., 3].max() == 0


def test_before_and_after_by_the_handle(studio: Page) -> None:
    assert studio.ask("document.getElementById('split').hidden")
    plain = pixels(studio)
    paint_a_tree(studio)
    painted = pixels(studio)
    frame = box(studio, "#split")
    y = frame["y"] + frame["height"] / 2
    press_mouse(studio, frame["x"] + 14, y)
    press_mouse(studio, frame["x"] + frame["width"] / 2, y, "mouseMoved")
    press_mouse(studio, frame["x"] + frame["width"] / 2, y, "mouseReleased")
    half = len(plain) // 2
    assert float(studio.ask("document.getElementById('split').value")) == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(pixels(studio)[:, : half - 1], plain[:, : half - 1])
    assert np.array_equal(pixels(studio)[:, half + 1 :], painted[:, half + 1 :])
    assert studio.ask("document.querySelectorAll('#strokes li').length") == 1  # the handle does not paint
    for _ in range(50):
        studio.press("ArrowRight", 39)
    assert np.array_equal(pixels(studio), plain)


def test_what_is_saved_is_what_was_painted(studio: Page) -> None:
    plain = pixels(studio)[..., :3]
    paint_a_tree(studio)
    painted = pixels(studio)[..., :3]
    studio.click("#pixels")
    side = len(plain)
    expected = {"save": painted, "save-large": painted.repeat(8, 0).repeat(8, 1)}
    for count, (button, image) in enumerate(expected.items(), 1):
        studio.ask(f"document.getElementById('{button}').click()")
        studio.wait(f"saved.length === {count}")
        assert np.array_equal(values_of(studio, "saved.at(-1)")[..., :3], image)
    studio.ask("document.getElementById('save-pair').click()")
    studio.wait("saved.length === 3")
    pair = values_of(studio, "saved.at(-1)")[..., :3]
    assert pair.shape[:2] == (8 * side, 16 * side + 8)
    assert np.array_equal(pair[::8, : 8 * side : 8], plain)
    assert np.array_equal(pair[::8, 8 * side + 8 :: 8], painted)
    studio.ask("document.getElementById('edits').click()")
    studio.wait("saved.length === 4")
    assert json.loads(studio.ask("saved.at(-1).text()"))


def test_the_edit_as_python_draws_the_image_again(
    studio: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_a_tree(studio)
    painted = pixels(studio)[..., :3]
    studio.ask("document.getElementById('menu').open = true")
    studio.click("#python")
    studio.wait("document.getElementById('program').open")
    assert not studio.ask("document.getElementById('menu').open")
    program = text(studio, "#program code")
    studio.click("#save-edits")
    studio.wait("saved.length === 1")
    (tmp_path / "edits-3.json").write_text(studio.ask("saved[0].text()"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  the program that the page shows
    drawn_again = ((names["images"][0] + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).round().numpy()
    assert np.abs(drawn_again - painted).max() <= 1
    studio.click("#close-program")
    assert not studio.ask("document.getElementById('program').open")


def test_the_same_strokes_on_eight_images_with_their_originals(studio: Page) -> None:
    paint_a_tree(studio)
    studio.click("#paste")
    loaded = "[...document.querySelectorAll('#pasted img')].filter(i => i.naturalWidth)"
    studio.wait(f"{loaded}.length === 16")
    assert "/images/4.png" in studio.ask("document.querySelector('#pasted img').src")
    assert studio.ask("document.querySelectorAll('#pasted button')[0].querySelectorAll('img').length") == 2


def test_on_a_phone_the_brushes_are_over_the_image_and_the_film_is_under_it(studio: Page) -> None:
    studio.look(390, 844)
    studio.ask("scrollTo(0, 0)")
    assert box(studio, "#brushes")["bottom"] <= box(studio, "#overlay")["top"]
    assert box(studio, "#overlay")["bottom"] <= box(studio, "#film")["top"]
    assert box(studio, "#overlay")["bottom"] <= 844


@pytest.mark.parametrize("width", [390, 768, 1440])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("action", ["draw", "clone"])
def test_everybody_can_use_it(studio: Page, width: int, dark: bool, action: str) -> None:
    studio.look(width, 900, dark)
    paint_a_tree(studio)
    choose(studio, action)
    studio.click("#paste")
    studio.wait("document.querySelectorAll('#pasted img').length === 16")
    studio.ask("document.querySelectorAll('#tools details, #menu').forEach(e => { e.open = true })")
    assert studio.ask("document.documentElement.scrollWidth") <= width
    assert violations(studio, width, dark=dark) == []
