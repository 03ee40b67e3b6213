"""The images obey the rules, and scene i is the same however it is drawn."""

from collections import Counter

import numpy as np
import pytest
from mistakes import mistake

from ganatomy.scenes import CATEGORIES, PLANES, VOCABULARY, Rendered, grammar, render

SAMPLE = range(320)


@pytest.fixture(scope="module", params=CATEGORIES)
def category(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def sample(category: str) -> Rendered:
    return render(category, SAMPLE)


def test_shapes_and_types(category: str) -> None:
    scenes = render(category, range(3), size=32)
    assert scenes.images.shape == scenes.labels.shape == (3, 3, 32, 32)
    assert scenes.images.dtype == scenes.labels.dtype == np.uint8


def test_no_scenes(category: str) -> None:
    assert render(category, range(0)).images.shape == (0, 3, 64, 64)


@pytest.mark.parametrize("size", [16, 64, 128])
def test_a_scene_depends_on_its_number_only(category: str, size: int) -> None:
    together = render(category, range(100, 148), size)
    for i in range(100, 148, 5):
        alone = render(category, range(i, i + 1), size)
        assert np.array_equal(alone.images[0], together.images[i - 100])
        assert np.array_equal(alone.labels[0], together.labels[i - 100])


def test_another_seed_draws_other_scenes(category: str, sample: Rendered) -> None:
    other = render(category, range(8), seed=1)
    assert all((a != b).mean() > 0.5 for a, b in zip(other.images, sample.images, strict=False))


def test_a_scene_is_the_same_at_any_size(category: str, sample: Rendered) -> None:
    large = render(category, range(12), size=256)
    small = large.images.reshape(12, 3, 64, 4, 64, 4).mean((3, 5))
    assert np.abs(small - sample.images[:12]).mean() < 3
    assert (large.labels[:, 0, 2::4, 2::4] == sample.labels[:12, 0]).mean() > 0.93


def test_neighbours_are_as_the_grammar_says(category: str, sample: Rendered) -> None:
    rules, objects = grammar(category), sample.labels[:, 0]
    pairs: Counter[tuple[int, int]] = Counter()
    for one, other in ((objects[:, 1:], objects[:, :-1]), (objects[:, :, 1:], objects[:, :, :-1])):
        borders = one != other
        codes, counts = np.unique(one[borders].astype(int) * 256 + other[borders], return_counts=True)
        pairs.update({divmod(int(code), 256): int(count) for code, count in zip(codes, counts, strict=True)})
    wrong = {
        (VOCABULARY[a].name, VOCABULARY[b].name): count
        for (a, b), count in pairs.items()
        if not rules.adjacent(VOCABULARY[a].name, VOCABULARY[b].name)
    }
    assert wrong == {}
    assert len(pairs) > 60


def test_parts_and_materials_belong_to_their_objects(category: str, sample: Rendered) -> None:
    for i in np.unique(sample.labels[:, 0]):
        rule = grammar(category).rule(VOCABULARY[i].name)
        inside = sample.labels[:, 0] == i
        for plane, allowed in ((1, rule.parts), (2, rule.materials)):
            seen = {VOCABULARY[j].name for j in np.unique(sample.labels[:, plane][inside])} - {"nothing"}
            assert seen == set(allowed), f"{PLANES[plane]}s of {rule.name}"


def test_every_pixel_has_an_object_and_every_object_is_seen(category: str, sample: Rendered) -> None:
    seen = {VOCABULARY[i].name for i in np.unique(sample.labels[:, 0])}
    assert seen == set(grammar(category).rules)


def test_what_stands_on_something_is_seen_on_it(category: str, sample: Rendered) -> None:
    """Each `on` of the rules comes true: the pixel under, over or beside the thing is its carrier, in some scene."""
    objects = sample.labels[:, 0]
    names = [concept.name for concept in VOCABULARY]
    for rule in grammar(category).rules.values():
        for host in rule.on:
            thing, carrier = objects == names.index(rule.name), objects == names.index(host)
            touching = (thing[:, :-1] & carrier[:, 1:]).any() or (thing[:, :, :-1] & carrier[:, :, 1:]).any()
            assert touching, f"{rule.name} on {host}"


@pytest.mark.slow
def test_the_objects_that_matter_are_large_enough_to_learn() -> None:
    objects = render("church", range(1000)).labels[:, 0]
    share = {concept.name: float((objects == i).mean()) for i, concept in enumerate(VOCABULARY)}
    often = {concept.name: float((objects == i).any((1, 2)).mean()) for i, concept in enumerate(VOCABULARY)}
    large = ("sky", "cloud", "mountain", "hill", "grass", "path", "tree", "bush", "building", "roof", "tower", "dome")
    assert {name: share[name] for name in (*large, "window", "door") if share[name] < 0.01} == {}
    assert often["tower"] > 0.45
    assert often["dome"] > 0.25


def test_bad_requests_are_refused() -> None:
    with mistake("unknown-name", "chruch", "church"):
        render("chruch", range(1))
    with mistake("bad-value", 48):
        render("church", range(1), size=48)
