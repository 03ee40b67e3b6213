"""People against dissection: which units they name alike (S-6.2), which they flag (4.2), which image they prefer."""

import math
from collections import Counter
from dataclasses import dataclass

import pandas as pd

SHARE = 0.5
"""A unit is interpretable to people if so many of its labels have a word in common."""
CONFIDENT = 0.05
"""A unit's label by dissection counts above this IoU."""
UNCLEAR = "unclear"
"""The label of who sees nothing in common: it counts as a label, and is no word that labels share."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far people and dissection agree on what units draw (S-6.2).

    Attributes:
        labelled: units that enough people labelled.
        consistent: of these, those with a word that half of the labels or more have in common.
        confident: of these, those that dissection labels too, with IoU above 0.05.
        same: of these, those where the two are the same word.
        units: one row a labelled unit: layer, unit, labels, word (of people; None without consensus), share, label (of
            dissection), iou, same.
    """

    labelled: int
    consistent: int
    confident: int
    same: int
    units: pd.DataFrame


def agreement(labels: pd.DataFrame, units: pd.DataFrame, fewest: int = 1) -> Agreement:
    """Compare what people call units with what dissection calls them.

    Args:
        labels: `Annotations.read("labels", study)`.
        units: the table of the dissection.
        fewest: labels that a unit needs to be counted.
    """
    rows = []
    known = {(row["layer"], row["unit"]): row for row in units.to_dict("records")}
    for (layer, unit), own in labels.groupby(["layer", "unit"], sort=True):
        if len(own) < fewest or (layer, unit) not in known:
            continue
        word, share = common_word(list(own.words))
        label, iou = (known[layer, unit][name] for name in ("label", "iou"))
        confident = isinstance(label, str) and iou > CONFIDENT
        same = bool(confident and share >= SHARE and _words(word) & _words(label))
        word_or_none, label_or_none = word if share >= SHARE else None, label if confident else None
        rows.append((layer, unit, len(own), word_or_none, share, label_or_none, iou, same))
    columns = ["layer", "unit", "labels", "word", "share", "label", "iou", "same"]
    table = pd.DataFrame(rows, columns=columns)
    consistent = table[table.word.notna()]
    confident_units = consistent[consistent.label.notna()]
    return Agreement(len(table), len(consistent), len(confident_units), int(confident_units.same.sum()), table)


def common_word(labels: list[str]) -> tuple[str, float]:
    """Return the word, or the pair of words, that most labels have, and the share of labels that do.

    A pair counts for itself and for each of its words; of equals a pair, then the first in the alphabet. Without any
    words, as all labels are "unclear", they are empty, and the share is 0.

    >>> common_word(["tree", "green tree", "sky"])
    ('tree', 0.6666666666666666)
    """
    counts = Counter(each for label in labels if label != UNCLEAR for each in {label, *label.split()})
    if not counts:
        return "", 0.0
    word, count = min(counts.items(), key=lambda item: (-item[1], -len(item[0].split()), item[0]))
    return word, count / len(labels)


def artifact_units(flags: pd.DataFrame, layer: str, share: float = SHARE) -> list[int]:
    """Return the units of a layer in which more than a share of those who looked see artifacts, ascending."""
    own = flags[flags.layer == layer]
    votes = own.groupby("unit").artifact.mean() if len(own) else pd.Series(dtype=float)
    return sorted(int(unit) for unit in votes[votes > share].index)


def preference(preferences: pd.DataFrame) -> tuple[float, float, float, int]:
    """Return how often the edited image was found more real, a 95 % interval, and of how many answers.

    Who saw no difference is left out.

    Args:
        preferences: `Annotations.read("preferences", study)`, of one comparison.
    """
    chosen = preferences.preferred[preferences.preferred != "same"]
    edited = int((chosen == "edited").sum())
    return (edited / len(chosen) if len(chosen) else math.nan, *wilson(edited, len(chosen)), len(chosen))


def wilson(count: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); NaN and NaN of none.

    Args:
        count: hits.
        of: trials.
        z: standard errors of the interval.
    """
    if not of:
        return math.nan, math.nan
    share, square = count / of, z**2 / of
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def share_a_word(one: str, other: str) -> bool:
    """Return whether two labels have a word in common, in the singular where that is plain to see.

    >>> share_a_word("green tree", "trees"), share_a_word("unclear", "tree")
    (True, False)
    """
    return bool(_words(one) & _words(other))


def _words(text: str) -> set[str]:
    """Return a label and its words, in the singular where that is plain to see."""
    each = {text.casefold(), *text.casefold().replace("-", " ").split()}
    return each | {word.removesuffix("s") for word in each if len(word) > 3}
