"""Errors over images, not over places; ratios with an interval that says how sure they are."""

import numpy as np
import pytest

from ganatomy.stats.clusters import clustered_mean, contrast, proportion

RNG = np.random.default_rng(5)


def test_with_one_place_a_image_it_is_the_usual_error() -> None:
    values = RNG.normal(size=40)
    mean, error = clustered_mean(values, np.arange(40))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(40))


def test_places_that_repeat_their_image_add_nothing() -> None:
    values = RNG.normal(size=40)
    once = clustered_mean(values, np.arange(40))
    often = clustered_mean(np.repeat(values, 9), np.repeat(np.arange(40), 9))
    assert often == pytest.approx(once)


@pytest.mark.slow
def test_the_error_covers_the_truth() -> None:
    """Over many samples of images with unequal numbers of places, 95 % intervals hold the true mean as often."""
    hits = 0
    for _ in range(400):
        places = RNG.integers(1, 10, 60)
        which = np.repeat(np.arange(60), places)
        values = 2 + np.repeat(RNG.normal(size=60), places) + RNG.normal(size=places.sum())
        mean, error = clustered_mean(values, which)
        hits += abs(mean - 2) < 1.96 * error
    assert 0.90 < hits / 400 < 0.98


def test_nothing_and_a_single_image_have_no_error() -> None:
    assert np.isnan(clustered_mean(np.zeros(0), np.zeros(0, np.int64))).all()
    mean, error = clustered_mean(np.array([1.0, 2.0]), np.array([3, 3]))
    assert mean == 1.5
    assert np.isnan(error)


def test_a_share_of_many_has_the_usual_error() -> None:
    hits = np.arange(4000) % 5 == 0
    share, error = proportion(hits)
    assert share == 0.2
    assert error == pytest.approx(hits.std() / np.sqrt(4000), rel=1e-3)


def test_all_or_none_of_a_few_are_no_certainty() -> None:
    for hits in (np.zeros(9, bool), np.ones(9, bool)):
        share, error = proportion(hits)
        assert share == hits[0]
        assert error == pytest.approx(0.05)
    assert np.isnan(proportion(np.zeros(0, bool))).all()


def sample(here: float, there: float) -> tuple[np.ndarray, ...]:
    """Sixty images with four places of either kind."""
    which = np.repeat(np.arange(60), 8)
    first = np.tile([True] * 4 + [False] * 4, 60)
    values = np.where(first, here, there) + np.random.default_rng(0).normal(size=480) * 0.1
    return values, which, first, ~first


def test_a_contrast_finds_the_ratio_and_brackets_it() -> None:
    found = contrast(*sample(0.6, 0.2), draws=500, seed=0)
    assert found.ratio == pytest.approx(3, rel=0.1)
    assert found.low < 3 < found.high
    assert found.high - found.low < 1
    assert found.difference_low < 0.4 < found.difference_high


@pytest.mark.parametrize("there", [0.0, -0.01, 0.004])
def test_beside_what_is_not_clearly_above_zero_there_is_no_ratio_but_a_difference(there: float) -> None:
    """A mean of -0.0001 would make it -6000 times as much."""
    found = contrast(*sample(0.6, there), draws=200, seed=0)
    assert np.isnan([found.ratio, found.low, found.high]).all()
    assert 0.5 < found.difference_low < found.difference_high < 0.7


def test_where_neither_shows_anything_there_is_no_ratio() -> None:
    values, which, here, there = sample(0.0, 0.0)
    found = contrast(values * 0, which, here, there, draws=200, seed=0)
    assert np.isnan([found.ratio, found.low, found.high]).all()
    assert found.difference == 0


def test_without_places_of_a_kind_there_is_no_contrast() -> None:
    values, which, here, _ = sample(0.6, 0.2)
    assert np.isnan(contrast(values, which, here, np.zeros(480, bool), draws=20, seed=0)).all()


def test_the_draws_depend_on_the_seed_alone() -> None:
    given = sample(0.6, 0.2)
    assert contrast(*given, draws=200, seed=1) == contrast(*given, draws=200, seed=1)
    assert contrast(*given, draws=200, seed=1) != contrast(*given, draws=200, seed=2)


def test_without_a_ratio_there_is_no_interval_of_it() -> None:
    """Where it is forbidden something is lost, on the whole; not so in some of the draws."""
    values = np.array([-0.1, 0.2, -0.1, -0.5])
    found = contrast(values, np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0]) > 0, np.array([0, 1, 0, 1]) > 0, 50, 0)
    assert np.isnan([found.ratio, found.low, found.high]).all()
    assert found.difference == pytest.approx(0.05)
    assert found.difference_low < found.difference_high
