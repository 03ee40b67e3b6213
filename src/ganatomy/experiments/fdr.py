"""How many of the matched units would be matched if they knew nothing: the false-discovery rate of *matched*.

Every unit has mismatched counts, of features with the labels of another image. The dissection puts these through the
same rule (`Reading.null`): the units that are matched to some concept so are matched by chance.
"""

import math

import pandas as pd

from ganatomy.experiments.dissection import Dissection

Z_95 = 1.645
"""Standard errors that a normal estimate exceeds in one case of twenty."""


def false_discovery(dissection: Dissection) -> pd.DataFrame:
    """Return how many units of each layer are matched, and how many would be by chance.

    Returns:
        One row a layer: layer, units, matched, expected (matched to some concept by mismatched counts), rate
        (expected / matched, at most 1; missing where nothing is matched), at_most (the same of the upper end of
        Wilson's 95 % interval: no chance match among 128 units does not mean that there never is one).
    """
    rows = []
    for layer, shape in dissection.layers.items():
        own = (dissection.units.layer == layer).to_numpy()
        matched, found = int(dissection.units.matched[own].sum()), int(dissection.scores.false_labels[own].sum())
        most = shape.units * _upper(found, shape.units)
        rates = (min(1.0, each / matched) if matched else math.nan for each in (found, most))
        rows.append((layer, shape.units, matched, found, *rates))
    return pd.DataFrame(rows, columns=["layer", "units", "matched", "expected", "rate", "at_most"])


def _upper(found: int, n: int) -> float:
    """Return the upper end of Wilson's interval for a share of which so many of n were found."""
    share, z = found / n, Z_95**2 / n
    return (share + z / 2 + math.sqrt(z * share * (1 - share) + z * z / 4)) / (1 + z)
