"""Fréchet distances beside the formula written out with scipy and numpy, and what they say of their sample."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from numpy.typing import NDArray
from torch import Tensor

from ganatomy.stats.frechet import FeatureMoments, frechet_distance, sampling_bias

WIDTH = 24


def features(images: int, seed: int, width: int = WIDTH, scale: float = 1.0) -> Tensor:
    """Correlated, skewed, of very unequal spread, as those of a network are."""
    source = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=torch.Generator().manual_seed(99)) * torch.logspace(0, -2, width)
    return scale * (torch.randn(images, width, generator=source) @ mix.T + 0.1 * seed).relu()


def moments(x: Tensor) -> FeatureMoments:
    found = FeatureMoments(x.shape[1])
    found.update(x)
    return found


def by_the_book(a: Tensor, b: Tensor) -> float:
    one, two = (np.cov(x.double().numpy(), rowvar=False) for x in (a, b))
    root: NDArray[np.complex128] = scipy.linalg.sqrtm(one @ two)
    means = a.double().mean(0) - b.double().mean(0)
    return float(means.square().sum()) + float(np.trace(one + two - 2 * root.real))


@pytest.mark.parametrize(("images", "scale"), [(300, 1.0), (300, 1e4), (300, 1e-4), (WIDTH + 1, 1.0)])
def test_the_distance_is_that_of_the_formula(images: int, scale: float) -> None:
    a, b = features(300, 1, scale=scale), features(images, 2, scale=scale)
    found = frechet_distance(moments(a), moments(b))
    assert float(found.distance) == pytest.approx(by_the_book(a, b), rel=1e-6)
    assert float(found.distance) == pytest.approx(float(found.means + found.covariances))
    assert float(frechet_distance(moments(b), moments(a)).distance) == pytest.approx(float(found.distance))


def test_it_knows_samples_that_are_the_same_shifted_and_stretched() -> None:
    a = features(400, 1, width=3)
    assert float(frechet_distance(moments(a), moments(a)).distance) == pytest.approx(0, abs=1e-7)
    shifted = frechet_distance(moments(a), moments(a + torch.tensor([3.0, 0.0, 4.0])))
    assert float(shifted.means) == pytest.approx(25, rel=1e-5)
    assert float(shifted.covariances) == pytest.approx(0, abs=1e-5)
    stretched = frechet_distance(moments(a), moments(3 * a))
    assert float(stretched.covariances) == pytest.approx(4 * np.trace(np.cov(a.numpy(), rowvar=False)), rel=1e-5)


def test_features_far_from_zero_lose_no_digits() -> None:
    a, b = features(300, 1).double(), features(300, 2).double()
    far = frechet_distance(moments(a + 2.0**26), moments(b + 2.0**26))
    assert float(far.distance) == pytest.approx(by_the_book(a, b), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, 199), max_size=4))
def test_shards_give_the_distance_of_the_whole(cuts: set[int]) -> None:
    whole = features(200, 3) + 1000
    total = FeatureMoments(WIDTH)
    for part in whole.tensor_split(sorted(cuts)):
        total = total.merge(moments(part))
    real = moments(features(300, 1) + 1000)
    expected = float(frechet_distance(real, moments(whole)).distance)
    assert float(frechet_distance(real, total).distance) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("images", [0, 1])
def test_fewer_than_two_images_are_refused(images: int) -> None:
    with mistake("bad-value", images, "two images"):
        frechet_distance(moments(features(9, 1)), moments(features(images, 2)))


def test_what_are_no_features_is_refused() -> None:
    with mistake("bad-value", "24 numbers"):
        FeatureMoments(WIDTH).update(torch.zeros(2, WIDTH, 4, 4))
    with mistake("bad-value", 24, 3):
        frechet_distance(moments(features(9, 1)), moments(features(9, 1, width=3)))
    for bad in (torch.nan, torch.inf):
        with mistake("bad-value", "NaN"):
            moments(torch.tensor([[0.0, 1.0], [bad, 1.0]]))


def test_a_sample_of_one_distribution_is_as_far_away_as_predicted() -> None:
    source = torch.Generator().manual_seed(0)
    spread = torch.logspace(0, -2, 8)
    sizes = (500, 2000)

    def drawn(images: int) -> FeatureMoments:
        return moments(torch.randn(images, 8, generator=source) * spread)

    measured = np.mean([float(frechet_distance(drawn(sizes[0]), drawn(sizes[1])).distance) for _ in range(100)])
    assert sampling_bias(torch.diag(spread.double().square()), sizes) == pytest.approx(measured, rel=0.1)
    assert sampling_bias(torch.zeros(2, 2, dtype=torch.float64), sizes) == 0
