"""Candidate levels are the quantiles of the whole upsampled sample, to the last bit."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganatomy.core.resample import Grid, upsample
from ganatomy.stats.levels import ActivationLevels, exact_levels, fractions

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda x: x,
    "relu": lambda x: x.relu(),
    "mostly zero": lambda x: (x - 2).relu(),
    "constant": lambda x: torch.full_like(x, -0.3),
    "heavy tails": lambda x: (x / (1e-3 + x.roll(1, -1).abs())) ** 3,
    "outliers": lambda x: x + 1e6 * (x > 1.5) - 1e6 * (x < -1.5),
    "far from zero": lambda x: 1e4 + 1e-2 * x,
    "tiny values": lambda x: 1e-41 * x,
    "huge values": lambda x: 1e37 * x,
    "few values": lambda x: (4 * x).round() / 4,
    "saturated": lambda x: x.clamp(-0.5, 0.5),
}
SIZES = [((1, 1), (1, 1)), ((1, 1), (6, 6)), ((3, 5), (8, 9)), ((4, 4), (16, 16)), ((8, 8), (8, 8)), ((16, 12), (8, 8))]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    activations=st.sampled_from(sorted(ACTIVATIONS)),
    sizes=st.sampled_from(SIZES),
    images=st.integers(1, 6),
    smallest=st.sampled_from([1e-6, 1e-3, 0.1]),
)
def test_they_equal_numpy_quantile(
    seed: int, activations: str, sizes: tuple[tuple[int, int], tuple[int, int]], images: int, smallest: float
) -> None:
    shape, size = sizes
    g = torch.Generator().manual_seed(seed)
    r = ACTIVATIONS[activations](torch.randn(images, 2, *shape, generator=g))
    tops = fractions(50, smallest)
    values = upsample(r, Grid(*size)).transpose(0, 1).flatten(1).numpy()
    expected = np.quantile(values, 1 - tops, axis=1).T
    np.testing.assert_array_equal(exact_levels(r, Grid(*size), tops).numpy(), expected)


@pytest.mark.parametrize("activations", sorted(ACTIVATIONS))
def test_they_ascend_from_the_least_value(activations: str) -> None:
    r = ACTIVATIONS[activations](torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(0)))
    levels = exact_levels(r, Grid(11, 7), fractions())
    assert bool((levels.diff(dim=1) >= 0).all())
    assert torch.equal(levels[:, 0], upsample(r, Grid(11, 7)).amin((0, 2, 3)))


def test_half_the_values_at_one_point() -> None:
    """A point mass, as a ReLU leaves it, takes all the levels that fall on it, and the others are not disturbed."""
    r = torch.cat([torch.zeros(1, 1, 10, 10), torch.linspace(1, 2, 100).view(1, 1, 10, 10)])
    levels = exact_levels(r, Grid(10, 10), np.array([1.0, 0.75, 0.51, 0.25, 0.005]))
    assert levels[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert levels[0, 3:].tolist() == pytest.approx([1.495, 1.995], abs=0.01)


def test_the_calibration_sample_is_pooled() -> None:
    """Quantiles of all images together, not a mean of quantiles an image."""
    r = torch.tensor([0.0, 0.0, 0.0, 10.0]).view(4, 1, 1, 1)
    assert exact_levels(r, Grid(2, 2), np.array([1.0, 0.5, 0.1])).tolist() == [[0.0, 0.0, 10.0]]


def test_fractions_are_log_spaced_and_hold_what_is_asked() -> None:
    tops = fractions(100, 0.001)
    assert tops[0] == 1
    assert tops[-1] == pytest.approx(0.001, rel=1e-12)
    np.testing.assert_allclose(tops[1:] / tops[:-1], 0.001 ** (1 / 99))
    assert set(fractions(100, 0.001, [0.005])) == {*tops, 0.005}
    assert len(fractions(4, 0.001, [1.0])) == 4, "a fraction that is there already is not there twice"


def test_levels_are_handed_out_by_layer() -> None:
    gathered = ActivationLevels(5, 3)
    values = torch.arange(15, dtype=torch.float64).view(5, 3)
    gathered.update(torch.arange(2, 5), values[2:])
    gathered.update(torch.arange(2), values[:2])
    first, second = gathered.by_layer([2, 3])
    assert torch.equal(first, values[:2])
    assert torch.equal(second, values[2:])


@pytest.mark.parametrize("image", [None, (12, 10)])
def test_one_level_can_be_a_quantile_of_the_raw_activations(image: tuple[int, int] | None) -> None:
    r = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    tops = fractions(8, 0.01)
    plain, levels = (exact_levels(r, Grid(6, 5, image), tops, raw) for raw in (None, 3))
    raw = np.quantile(r.double().numpy(), 1 - tops[3], axis=(0, 2, 3))
    np.testing.assert_allclose(levels[:, 3], raw, rtol=1e-12)
    assert (levels.diff() >= 0).all()
    changed = levels != plain
    assert (levels[changed] == torch.from_numpy(raw)[:, None].expand(-1, 8)[changed]).all()
    assert not torch.equal(plain[:, 3], levels[:, 3])
