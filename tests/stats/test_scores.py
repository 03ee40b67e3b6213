"""Scores against their formulas, and every rule that chooses a level on tables made for it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from torch import Tensor

from ganatomy.stats.scores import (
    Rates,
    accuracy,
    at_level,
    choose_levels,
    information_quality,
    iou,
    positive,
    rates,
)

PIXELS = 1000


def table(*concepts: list[tuple[int, int]], pixels: int = PIXELS) -> Tensor:
    """Make the counts of one unit from (pixels on, pixels on that show the concept) at each level, for each concept.

    The first pair is at no level: (all pixels, pixels that show the concept).
    """
    on = [[pixels, *(n for n, _ in concepts[0][1:])]]
    above = torch.tensor(on + [[both for _, both in concept] for concept in concepts])
    return (above - torch.cat([above[:, 1:], torch.zeros(len(above), 1, dtype=torch.long)], 1))[None]


def random_counts(seed: int, units: int = 3, concepts: int = 5, bins: int = 8) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 50, (units, concepts, bins), generator=g)
    counts *= torch.rand(counts.shape, generator=g) < 0.7
    counts[:, 0] = counts.amax(1) + torch.randint(0, 20, (units, bins), generator=g)
    counts[:, :, 0] = counts[0, :, 0]
    return counts


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_scores_are_those_of_the_masks(seed: int) -> None:
    """Rebuild every pixel from the table, and score the masks as anyone would."""
    counts = random_counts(seed)
    shares = rates(counts)
    scores = [iou(shares), accuracy(shares), information_quality(shares)]
    units, concepts, bins = counts.shape
    for u in range(units):
        place = np.repeat(np.arange(bins), counts[u, 0])
        for c in range(1, concepts):
            shown = np.concatenate([np.arange(n) < k for n, k in counts[u, [0, c]].T.tolist()])
            for level in range(bins - 1):
                on = place > level
                union, same = (on | shown).sum(), (on == shown).mean()
                expected = [(on & shown).sum() / union if union else 0, same, information(on, shown)]
                assert [float(score[u, c, level]) for score in scores] == pytest.approx(expected, abs=1e-12)


def information(on: np.ndarray, shown: np.ndarray) -> float:
    """I / H of two masks, from the definition: the sum of p log(p / (row · column)) over that of -p log p."""
    p = np.array([[(on & shown).mean(), (on & ~shown).mean()], [(~on & shown).mean(), (~on & ~shown).mean()]])
    there = p > 0
    ratio = np.divide(p, p.sum(1, keepdims=True) * p.sum(0), where=there, out=np.ones((2, 2)))
    mutual = (p * np.log(ratio)).sum()
    entropy = -(p * np.log(p, where=there, out=np.zeros((2, 2)))).sum()
    return max(mutual / entropy, 0.0) if entropy else 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_rates_sum_to_one(seed: int) -> None:
    shares = rates(random_counts(seed))
    torch.testing.assert_close(sum(shares), torch.ones_like(shares.neither))
    assert min(float(share.min()) for share in shares) >= -1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_information_is_symmetric_and_sees_through_negation(seed: int) -> None:
    shares = rates(random_counts(seed))
    both, on_only, shown_only, neither = shares
    quality = information_quality(shares)
    torch.testing.assert_close(information_quality(Rates(both, shown_only, on_only, neither)), quality)
    torch.testing.assert_close(information_quality(Rates(shown_only, neither, both, on_only)), quality)
    assert float(quality.min()) >= 0
    assert float(quality.max()) <= 1


def test_information_of_masks_that_are_the_same_or_unrelated() -> None:
    perfect = rates(table([(PIXELS, 300), (300, 300)]))
    unrelated = rates(table([(PIXELS, 300), (500, 150)]))
    constant = rates(table([(PIXELS, 0), (PIXELS, 0)]))
    assert float(information_quality(perfect)[0, 1]) == pytest.approx(1)
    assert float(information_quality(unrelated)[0, 1]) == pytest.approx(0, abs=1e-12)
    assert float(information_quality(constant)[0, 1]) == 0


def test_iou_is_of_pooled_counts() -> None:
    """One image with IoU 1 on 10 pixels and one with IoU 0 on 990: 0.01, and not the mean of the two."""
    small, large = table([(1000, 10), (10, 10)]), table([(1000, 990), (0, 0)])
    assert float(iou(rates(small + large))[0, 1, 0]) == pytest.approx(10 / 1000)


def test_iou_of_what_is_never_there_is_0() -> None:
    assert float(iou(rates(table([(PIXELS, 0), (0, 0)])))[0, 1, 0]) == 0


def test_positive_means_more_often_together_than_by_chance() -> None:
    shares = rates(table([(PIXELS, 200), (500, 101), (500, 100), (500, 99), (0, 0)]))
    assert positive(shares)[0, 1].tolist() == [True, False, False, False]


# ---------------------------------------------------------------- rules

CLIMB = [(PIXELS, 300), (900, 300), (320, 290), (200, 195), (100, 100), (5, 5)]
"""Best IQR and best IoU at index 1: 300 pixels of the concept, 320 on, 290 both."""
LEVELS = torch.arange(5, dtype=torch.float64)[None]


def chosen(counts: Tensor, rule: str, levels: Tensor = LEVELS) -> list[int]:
    return choose_levels(counts, levels, rule)[0].tolist()


@pytest.mark.parametrize("rule", ["pair", "max-iou"])
def test_each_pair_has_its_own_level(rule: str) -> None:
    late = [(PIXELS, 100), (900, 99), (320, 98), (200, 97), (100, 96), (5, 5)]
    assert chosen(table(CLIMB, late), rule) == [-1, 1, 3]


def test_pair_and_max_iou_may_differ() -> None:
    """IQR weighs that nothing above the level is wrong; IoU that little is missed."""
    split = [(PIXELS, 500), (600, 450), (330, 330), (1, 1), (0, 0), (0, 0)]
    assert chosen(table(split), "max-iou") == [-1, 0]
    shares = rates(table(split))
    assert information_quality(shares)[0, 1].argmax() == 1
    assert chosen(table(split), "pair") == [-1, 1]


@pytest.mark.parametrize("rule", ["pair", "max-iou", "unit"])
def test_levels_of_negative_association_are_no_candidates(rule: str) -> None:
    """A unit that is on exactly where the concept is not has the greatest IQR of all, and says nothing for it."""
    absent = [(PIXELS, 300), (700, 0), (699, 0), (698, 0), (697, 0), (696, 0)]
    assert float(information_quality(rates(table(absent)))[0, 1, 0]) == pytest.approx(1)
    assert chosen(table(absent), rule) == [-1, -1]


def test_ties_go_to_the_lower_level() -> None:
    same = [(PIXELS, 300), (900, 300), (310, 290), (310, 290), (310, 290), (5, 5)]
    for rule in ("pair", "max-iou", "unit"):
        assert chosen(table(same), rule)[1] == 1, rule


def test_unit_takes_the_level_of_its_best_concept() -> None:
    weak = [(PIXELS, 100), (900, 99), (320, 90), (200, 85), (100, 70), (5, 5)]
    best_of_weak = chosen(table(CLIMB, weak), "pair")[2]
    assert best_of_weak != 1
    assert chosen(table(CLIMB, weak), "unit") == [1, 1, 1]


def test_unit_wants_accuracy_above_four_fifths() -> None:
    """Both concepts are best at index 1; only one of them is accurate enough there to count."""
    loose = [(PIXELS, 500), (900, 480), (320, 300), (200, 200), (100, 100), (5, 5)]
    assert float(accuracy(rates(table(loose)))[0, 1].max()) < 0.8
    assert chosen(table(loose), "pair")[1] == 1
    assert chosen(table(loose), "unit") == [-1, -1]


def test_unit_wants_levels_above_zero() -> None:
    assert chosen(table(CLIMB), "unit", LEVELS - 1)[1] == 2, "the level at index 1 is now 0"
    assert chosen(table(CLIMB), "unit", torch.full((1, 5), -1.0, dtype=torch.float64)) == [-1, -1]
    assert chosen(table(CLIMB), "pair", LEVELS - 1)[1] == 1, "other rules do not care"


def test_other_rules_are_refused() -> None:
    with mistake("bad-value", "best"):
        choose_levels(table(CLIMB), LEVELS, "best")


def test_reading_at_a_level() -> None:
    values = torch.arange(12, dtype=torch.float64).view(1, 3, 4) + 1
    assert at_level(values, torch.tensor([[-1, 0, 3]])).tolist() == [[0, 5, 12]]
