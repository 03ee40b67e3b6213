"""What the dissections of several dictionaries say: how many features are matched, to how many concepts, by chance."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ganatomy.experiments.bootstrap import own_labels, resampled
from ganatomy.experiments.dissection import Dissection
from ganatomy.study.files import as_bad_file
from ganatomy.training.dictionaries.measure import Drawn, Measure, ratio

SUBSETS = 200
"""Random subsets of as many features as the smallest dictionary has, which are counted of the dissection itself."""


class _Labels(NamedTuple):
    """What features are, [1 + draws, k]: as found, then in every resample of the images.

    Attributes:
        label: number of a concept.
        matched: whether it is matched to that.
        by_chance: whether it would be by its mismatched counts.
        blocks: that images are drawn again in.
    """

    label: npt.NDArray[np.int64]
    matched: npt.NDArray[np.bool_]
    by_chance: npt.NDArray[np.bool_]
    blocks: int


def count_measures(dissections: Mapping[str, Dissection], draws: int, seed: int) -> list[Measure]:
    """Return matched features and distinct concepts, of all and of equally many, and the false-discovery rate.

    Args:
        dissections: by dictionary, all of the same images and of one layer.
        draws: resamples of the images, the same for all.
        seed: of these, and of the subsets.
    """
    found = {name: _labels(own, draws, seed) for name, own in dissections.items()}
    least = min(own.matched.shape[1] for own in found.values())
    freedom = max(1, min(own.blocks for own in found.values()) - 1)
    subsets = {name: _subsets(own, least, seed) for name, own in found.items()}
    everything = {name: np.array(_counts(own), np.float64).T for name, own in found.items()}
    titles = (
        ("matched", "matched features", "features whose label predicts where they are on, beyond chance"),
        ("concepts", "distinct concepts", "concepts that any feature is matched to"),
    )
    measures = [
        Measure(name, title, text, {each: own[row] for each, own in everything.items()}, freedom)
        for row, (name, title, text) in enumerate(titles)
    ]
    measures += [
        Measure(
            f"{name}_at",
            f"{title}, of {least}",
            f"the same of {least} features drawn at random, on average",
            {each: own[0][row] for each, own in subsets.items()},
            freedom,
            spread={each: own[1][row] for each, own in subsets.items()},
        )
        for row, (name, title, _) in enumerate(titles)
    ]
    rates = {name: ratio(own.by_chance.sum(1), own.matched.sum(1)).clip(max=1) for name, own in found.items()}
    text = "features that would be matched by the counts of other images, as a share of the matched ones"
    rate = Measure("false_discovery", "false-discovery rate", text, rates, freedom, share=True, low_is_good=True)
    return [*measures, rate]


def _labels(dissection: Dissection, draws: int, seed: int) -> _Labels:
    with as_bad_file(dissection.study.directory):
        own, drawn = own_labels(dissection), resampled(dissection, draws, seed)
    label, matched, chance = own.label[None], own.matched[None], dissection.scores.false_labels[None]
    if drawn is None:
        return _Labels(label, matched, chance, 0)
    return _Labels(
        np.vstack([label, drawn.label]),
        np.vstack([matched, drawn.matched]),
        np.vstack([chance, drawn.false_labels]),
        drawn.blocks,
    )


def _counts(own: _Labels) -> list[tuple[int, int]]:
    """Return matched features and distinct concepts of each draw."""
    rows = zip(own.label, own.matched, strict=True)
    return [(int(matched.sum()), len(np.unique(label[matched]))) for label, matched in rows]


def _subsets(own: _Labels, size: int, seed: int) -> tuple[tuple[Drawn, Drawn], tuple[float, float]]:
    """Return the counts of random subsets: their mean and then, of each draw, those of one; and their spread.

    So the error is of the images and of the subset.
    """
    source, features = np.random.default_rng((seed, size)), own.matched.shape[1]

    def one(row: int) -> tuple[int, int]:
        chosen = source.permutation(features)[:size]
        matched = chosen[own.matched[row][chosen]]
        return len(matched), len(np.unique(own.label[row][matched]))

    many = np.array([one(0) for _ in range(SUBSETS)], np.float64)
    drawn = np.array([one(row) for row in range(1, len(own.matched))], np.float64).reshape(-1, 2)
    values = np.vstack([many.mean(0), drawn])
    spread = many.std(0, ddof=1)
    return (values[:, 0], values[:, 1]), (float(spread[0]), float(spread[1]))
