"""How far people agree with each other: Krippendorff's alpha, with an interval by drawing the items again."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

DRAWS = 1000
"""Bootstrap draws of an interval."""


@dataclass(frozen=True)
class Reliability:
    """How far people agree with each other beyond chance.

    Attributes:
        alpha: 1 for full agreement, 0 for that of chance; NaN where no two people answered the same, or all answers
            are equal, which says nothing.
        low, high: its 95 % interval: quantiles over bootstrap draws of the items; NaN where alpha is.
        items: units or images that two people or more answered.
        answers: of these items.
        raters: who gave them.
    """

    alpha: float
    low: float
    high: float
    items: int
    answers: int
    raters: int


def reliability(
    answers: pd.DataFrame, item: list[str], value: str, same: Callable[[str, str], bool] = lambda a, b: a == b
) -> Reliability:
    """Return Krippendorff's alpha of some answers (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    ``alpha = 1 - D_o / D_e``: the share of pairs of answers to one item that differ, over that among all answers.
    An item's pairs weigh 1 / (its answers - 1); items with one answer are left out.

    Args:
        answers: one row an answer, with a column ``rater``.
        item: columns that say what was asked about.
        value: column of the answer.
        same: whether two answers are equal.
    """
    several = answers[answers.groupby(item)["rater"].transform("size") > 1] if len(answers) else answers
    if not len(several):
        return Reliability(math.nan, math.nan, math.nan, 0, 0, 0)
    counts = pd.crosstab([several[name] for name in item], several[value].astype(str))
    values = list(counts.columns)
    differ = np.array([[not same(a, b) for b in values] for a in values], dtype=float)
    table = counts.to_numpy(dtype=float)
    each = table.sum(1)
    within = ((table @ differ) * table).sum(1) / (each - 1)
    drawn = np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / len(table)), DRAWS)
    draws = [_alpha(weights, table, each, within, differ) for weights in drawn]
    finite = [each for each in draws if math.isfinite(each)]
    alpha = _alpha(np.ones(len(table)), table, each, within, differ)
    low, high = np.quantile(finite, [0.025, 0.975]) if math.isfinite(alpha) and finite else (math.nan, math.nan)
    return Reliability(alpha, float(low), float(high), len(table), len(several), several["rater"].nunique())


def _alpha(weights: np.ndarray, table: np.ndarray, each: np.ndarray, within: np.ndarray, differ: np.ndarray) -> float:
    """Return alpha where each item counts as often as its weight says; NaN where all answers are equal."""
    n, totals = float(weights @ each), weights @ table
    expected = float(totals @ differ @ totals) / (n * (n - 1))
    return 1 - float(weights @ within) / n / expected if expected else math.nan
