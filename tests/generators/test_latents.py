"""Latents depend on (seed, id) only."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganatomy.generators.latents import standard_normal

CPU = torch.device("cpu")
seeds = st.integers(0, 2**63 - 1)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, start=st.integers(0, 2**40), before=st.integers(0, 5), after=st.integers(0, 5))
def test_a_row_does_not_know_its_range(seed: int, start: int, before: int, after: int) -> None:
    alone = standard_normal(range(start, start + 1), seed, [3, 2], CPU)
    among = standard_normal(range(max(0, start - before), start + 1 + after), seed, [3, 2], CPU)
    assert torch.equal(among[start - max(0, start - before)], alone[0])


def test_ranges_may_skip_and_be_empty() -> None:
    every = standard_normal(range(9), 5, [4], CPU)
    assert torch.equal(standard_normal(range(1, 9, 3), 5, [4], CPU), every[1::3])
    assert standard_normal(range(0), 5, [4], CPU).shape == (0, 4)


def test_they_are_normal_and_independent() -> None:
    """Ids and seeds that are neighbours, and pairs with the same sum, share nothing."""
    n = 2000
    z = standard_normal(range(n), 0, [64], CPU)
    assert abs(float(z.mean())) < 4 / (64 * n) ** 0.5
    assert abs(float(z.var()) - 1) < 4 * (2 / (64 * n)) ** 0.5
    other_seed = standard_normal(range(n), 1, [64], CPU)
    for other in (z.roll(1, 0), z.roll(1, 1), other_seed, other_seed.roll(1, 0), other_seed.roll(-1, 0)):
        assert abs(float((z * other).mean())) < 4 / (64 * n) ** 0.5


def test_the_global_seed_is_neither_used_nor_changed() -> None:
    before = torch.random.get_rng_state()
    first = standard_normal(range(3), 0, [4], CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        assert torch.equal(standard_normal(range(3), 0, [4], CPU), first)
