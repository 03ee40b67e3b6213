"""What a canvas lets be painted, and where."""

import numpy as np
import pytest

from ganatomy.core.vocabulary import find_concept
from ganatomy.scenes import VOCABULARY, grammar
from ganatomy.scenes.arrays import Plane
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.palette import tone
from ganatomy.scenes.seeded_random import SeededRandom

SIZE = 32
BLUE, RED = tone("0000ff"), tone("ff0000")


@pytest.fixture
def canvas() -> Canvas:
    """Two scenes of sky above and grass below, with a building on the grass between 1/4 and 3/4."""
    canvas = Canvas.empty(grammar("church"), SeededRandom(0, range(2)), SIZE)
    canvas.paint("sky", everywhere(canvas), BLUE)
    canvas.paint("grass", 0.5 - canvas.y + 0 * canvas.x, BLUE)
    canvas.paint("building", np.maximum(np.abs(canvas.x - 0.5) - 0.25, 0.5 - canvas.y), BLUE, material="brick")
    return canvas


def everywhere(canvas: Canvas) -> Plane:
    return np.full_like(canvas.rough, -1)


def shown(canvas: Canvas, name: str, plane: int = 0) -> np.ndarray:
    return canvas.labels[:, plane] == find_concept(VOCABULARY, name)


def test_a_thing_is_painted_where_the_grammar_lets_it_stand(canvas: Canvas) -> None:
    before, building = canvas.image.copy(), shown(canvas, "building")
    assert building.mean() == 0.25
    canvas.paint("door", everywhere(canvas), RED, part="panel", material="wood")
    assert np.array_equal(shown(canvas, "door"), building)
    assert np.array_equal(shown(canvas, "part:panel", 1), building)
    assert np.array_equal(shown(canvas, "material:wood", 2), building)
    red = (canvas.image == RED).all(1)
    assert np.array_equal(red, building)
    assert np.array_equal(canvas.image[:, 0][~building], before[:, 0][~building])


def test_the_stage_lies_under_everything(canvas: Canvas) -> None:
    before = canvas.labels.copy()
    canvas.paint("sun", everywhere(canvas), RED)
    assert np.array_equal(shown(canvas, "sun"), before[:, 0] == find_concept(VOCABULARY, "sky"))
    canvas.paint("sky", everywhere(canvas), RED)
    assert shown(canvas, "sun").any(), "the sky does not hide the sun"


def test_only_scenes_that_have_it(canvas: Canvas) -> None:
    canvas.paint("door", everywhere(canvas), RED, present=np.array([False, True])[:, None, None])
    assert shown(canvas, "door").any((1, 2)).tolist() == [False, True]


def test_words_that_the_rule_does_not_know_are_mistakes(canvas: Canvas) -> None:
    with pytest.raises(AssertionError, match="no part spire"):
        canvas.paint("door", everywhere(canvas), RED, part="spire")
    with pytest.raises(AssertionError, match="never made of"):
        canvas.paint("door", everywhere(canvas), RED, material="snow")


def test_edges_are_as_light_as_the_share_that_is_covered(canvas: Canvas) -> None:
    edge = 0.25 + 0.25 / SIZE  # a quarter into a pixel
    canvas.paint("sun", canvas.y - edge + 0 * canvas.x, RED)
    assert canvas.image[0, 0, :10, 0] == pytest.approx([1.0] * 8 + [0.25, 0.0], abs=1e-5)


def test_shade_darkens_what_it_names(canvas: Canvas) -> None:
    canvas.shade(everywhere(canvas), 0.5, "grass")
    blue = canvas.image[:, 2]
    assert (blue[shown(canvas, "grass")] == 0.5).all()
    assert (blue[~shown(canvas, "grass")] == 1).all()


def test_a_window_is_a_view_that_holds_its_box(canvas: Canvas) -> None:
    view = canvas.window(np.full((2, 1, 1), 0.4, np.float32), 0.5, 0.6, 0.7)
    assert view.x.min() < 0.4
    assert view.x.max() > 0.6
    assert view.image.shape[2:] == (view.y.size, view.x.size) != (SIZE, SIZE)
    view.paint("door", everywhere(view), RED)
    assert shown(canvas, "door").any()


def test_textures_are_the_same_at_every_size() -> None:
    small, large = (Canvas.empty(grammar("church"), SeededRandom(0, range(4)), size) for size in (64, 256))
    for a, b in ((small.rough, large.rough), (small.fine, large.fine)):
        assert np.corrcoef(a.ravel(), b.reshape(4, 64, 4, 64, 4).mean((2, 4)).ravel())[0, 1] > 0.98
