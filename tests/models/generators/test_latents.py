"""Latents depend on (seed, id) only."""

import torch
from hypothesis import strategies as st

from ganatomy.models.generators.latents import standard_normal

CPU = torch.device("cpu")
seeds = st.integers(0, 2**63 - 1)


def test_they_are_normal_and_independent() -> None:
    """Ids and seeds that are neighbours, and pairs with the same sum, share nothing."""
    n = 2000
    z = standard_normal(range(n), 0, [64], CPU)
    assert abs(float(z.mean())) < 4 / (64 * n) ** 0.5
    assert abs(float(z.var()) - 1) < 4 * (2 / (64 * n)) ** 0.5
    other_seed = standard_normal(range(n), 1, [64], CPU)
    for other in (z.roll(1, 0), z.roll(1, 1), other_seed, other_seed.roll(1, 0), other_seed.roll(-1, 0)):
        assert abs(float((z * other).mean())) < 4 / (64 * n) ** 0.5
