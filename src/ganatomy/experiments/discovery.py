"""How many of the matched units would be matched if they knew nothing: the false-discovery rate of *matched*.

Every unit has a control, its score with the labels of another picture, on both halves of the sample. So there are two
scores of a unit that knows nothing. One takes the place of the unit's score and the other that of its control, and the
units are labelled and matched again by the very rule of the dissection: what is matched now is matched by chance. Then
the two change places; the mean of both counts is the number to expect.

The two halves are of different pictures, whereas a unit's score and its control are of the same ones. So the two differ
by more than chance alone would have them differ, and the expected number is rather too great than too small.
"""

import dataclasses
import math

import pandas as pd
import torch
from torch import Tensor

from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.tables import Bools, Scores

SIDE = 1.645
"""Standard errors that a normal estimate exceeds in one case of twenty."""


def false_discovery(dissection: Dissection) -> pd.DataFrame:
    """Return how many units of each layer are matched, and how many would be by chance.

    Returns:
        One row a layer: layer, units, matched, expected (matched by chance, if no unit knew anything), rate (expected /
        matched, at most 1; missing where nothing is matched), at_most (the same of the upper end of Wilson's 95 %
        interval: no chance match among 128 units does not mean that there never is one).
    """
    rows = []
    chance = [_by_chance(dissection.scores, swapped) for swapped in (False, True)]
    for layer, shape in dissection.layers.items():
        own = (dissection.units.layer == layer).to_numpy()
        matched = int(dissection.units.matched[own].sum())
        found = sum(int(each[own].sum()) for each in chance)
        expected, most = found / 2, shape.units * _upper(found, 2 * shape.units)
        rates = (min(1.0, each / matched) if matched else math.nan for each in (expected, most))
        rows.append((layer, shape.units, matched, expected, *rates))
    return pd.DataFrame(rows, columns=["layer", "units", "matched", "expected", "rate", "at_most"])


def _by_chance(scores: Scores, swapped: bool) -> Bools:
    """Return which units are matched when one control stands for their score, and the other for the control."""
    reading = scores.reading
    one, other = reading.control, reading.control - reading.drift  # of the evaluation half; of the validation half
    if swapped:
        one, other = other, one
    accuracy = _accuracy(one, reading.on, torch.from_numpy(scores.share))
    null = dataclasses.replace(reading, iou=one, control=other, accuracy=accuracy)
    return dataclasses.replace(scores, reading=null).verdict.matched


def _accuracy(iou: Tensor, on: Tensor, share: Tensor) -> Tensor:
    """Return the share of pixels told right, given IoU and the shares that are on and that show the concept.

    Mismatching pictures changes neither share.
    """
    both = iou * (on + share) / (1 + iou)
    return 1 - (on + share) + 2 * both


def _upper(found: int, n: int) -> float:
    """Return the upper end of Wilson's interval for a share of which so many of n were found."""
    share, z = found / n, SIDE**2 / n
    return (share + z / 2 + math.sqrt(z * share * (1 - share) + z * z / 4)) / (1 + z)
