"""Strokes of several people are drawn in one pass, and each image is the one that it is alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.interventions import Intervention
from ganatomy.models.generators.protocol import Edit, applied
from ganatomy.web.joint_passes import RECENT, Drawing, JointPasses, RecentTensors
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.schemas import Painting, Stroke


class Counted:
    """A generator whose passes are counted; with `off` its rows depend on how many there are."""

    def __init__(self, painter: Painter, off: float = 0.0) -> None:
        self._generator, self._off = painter.source.models.generator, off
        self.rows: list[int] = []

    def render(self, r: Tensor, layer: str, z: Tensor, edits: tuple[Edit, ...] = ()) -> Tensor:
        self.rows.append(len(r))
        return self._generator.render(r, layer, z, edits) + self._off * len(r)


def drawings(painter: Painter, count: int) -> list[Drawing]:
    """Return drawings of several images, each with an edit of its own at a later layer."""
    generator = painter.source.models.generator
    first, *_, last = generator.layers
    shape = generator.layers[last]
    z = generator.latents(range(count), 0)
    r = generator.observe(z, [first]).features[first]
    edits = [Intervention.ablate(last, shape, [i % shape.units]) for i in range(count)]
    return [Drawing(first, r[i : i + 1], z[i : i + 1], edits[i : i + 1]) for i in range(count)]


def test_images_drawn_together_are_those_drawn_alone(painter: Painter) -> None:
    given = drawings(painter, 4)
    generator = Counted(painter)
    passes = JointPasses(generator)
    alone = [passes([each])[0] for each in given]
    generator.rows.clear()
    first, second = passes(given), passes(given)
    assert generator.rows == [4, 1, 1, 1, 1, 4]  # the first time it is tried
    for each, one, two in zip(alone, first, second, strict=True):
        assert torch.equal(each, one)
        assert torch.equal(each, two)


def test_what_several_ask_for_is_drawn_once(painter: Painter) -> None:
    own, other = (each._replace(key="same") for each in drawings(painter, 2))
    generator = Counted(painter)
    first, second = JointPasses(generator)([own, other])
    assert generator.rows == [1]
    assert first is second


def test_earlier_strokes_of_an_image_are_not_done_again(painter: Painter) -> None:
    layer = painter.best_layer()
    strokes = [Stroke(action="remove", layer=layer, units=[0], points=[(x, 0.5)]) for x in (0.2, 0.5, 0.8)]
    own = Painter(painter.source)
    for last in range(2, 4):
        own.paint(1, 0, strokes[:last])
    kept = own._edits_in_order(strokes[:2])
    begun = own._begun.get((1, 0, *kept))
    assert begun is not None
    assert torch.equal(begun, applied(kept, own._observe(1, 0, layer).features[layer]))
    assert np.array_equal(own.paint(1, 0, strokes), Painter(painter.source).paint(1, 0, strokes))


def test_a_generator_whose_bits_depend_on_the_batch_draws_one_by_one(painter: Painter) -> None:
    given = drawings(painter, 3)
    generator = Counted(painter, off=1e-6)
    passes = JointPasses(generator)
    alone = [passes([each])[0] for each in given]
    passes(given)
    generator.rows.clear()
    assert all(torch.equal(each, one) for each, one in zip(alone, passes(given), strict=True))
    assert generator.rows == [1, 1, 1]


def test_strokes_at_other_layers_and_none_are_answered_in_order(painter: Painter) -> None:
    first, *_, last = painter.source.dissection.layers
    strokes = [[], *([Stroke(action="draw", layer=layer, units=[0])] for layer in (last, first, last))]
    paintings = [Painting(id=id, strokes=own) for id, own in enumerate(strokes)]
    expected = [Painter(painter.source).paint(id, 0, own) for id, own in enumerate(strokes)]
    for answer, image in zip(Painter(painter.source).paint_all(paintings), expected, strict=True):
        assert np.array_equal(read(answer), image)


def test_a_mistake_in_one_painting_harms_no_other(painter: Painter) -> None:
    right = [Stroke(action="remove", layer=painter.best_layer(), units=[0])]
    wrong = [Stroke(action="remove", layer="nowhere", units=[0])]
    answers = painter.paint_all([Painting(id=i, strokes=own) for i, own in enumerate([right, wrong, right])])
    assert [type(each).__name__ for each in answers] == ["bytes", "UnknownName", "bytes"]


def test_what_cannot_be_drawn_in_one_pass_is_drawn_one_by_one(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Painter(painter.source)
    generator = own.source.models.generator
    render = generator.render

    def limited(r: Tensor, *args: object) -> Tensor:
        if len(r) > 1:
            raise RuntimeError("out of memory")
        return render(r, *args)

    monkeypatch.setattr(generator, "render", limited)
    strokes = [Stroke(action="remove", layer=own.best_layer(), units=[0])]
    answers = own.paint_all([Painting(id=i, strokes=strokes) for i in range(3)])
    assert all(isinstance(each, bytes) for each in answers)


def test_what_a_stroke_changed_takes_its_image_from_before(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Painter(painter.source)
    strokes = [Stroke(action="remove", layer=own.best_layer(), units=[0], points=[(0.5, 0.5)])]
    expected = own.changes(2, 0, strokes)
    own.paint_all([Painting(id=3, strokes=strokes)])
    monkeypatch.setattr(own.source.models.generator, "render", None)  # it would raise
    assert own.changes(2, 0, strokes) == expected
    own.changes(3, 0, strokes)


def test_few_recent_images_are_kept() -> None:
    recent = RecentTensors(1 << 24)
    for i in range(2 * RECENT):
        recent.put(i, torch.full((1, 3, 2, 2), float(i)))
        recent.put(i, torch.zeros(1, 3, 2, 2))
    assert [i for i in range(2 * RECENT) if recent.get(i) is not None] == list(range(RECENT, 2 * RECENT))
    recent.put("large", torch.zeros(1, 3, 1024, 1024))
    recent.put("larger", torch.zeros(1, 3, 2048, 2048))
    assert recent.get("large") is None


def test_small_images_are_drawn_together_once_their_size_is_known(painter: Painter) -> None:
    own = Painter(open_source(painter.source.directory))
    assert own.together.most == 1
    next(own.warmup_jobs())()
    assert own.together.most == 8


def read(file: bytes | Exception) -> np.ndarray:
    assert isinstance(file, bytes)
    return np.asarray(Image.open(io.BytesIO(file)))
