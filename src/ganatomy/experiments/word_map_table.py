"""Whether the attention to a word marks the thing that the word names."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ganatomy.experiments.prompted import said_concepts
from ganatomy.experiments.tables import Scores

COLUMNS = ("layer", "unit", "word", "concept", "category", "iou", "chance", "control", "matched", "place")


def word_map_table(names: Mapping[str, Sequence[str]], scores: Scores) -> pd.DataFrame:
    """Return how well the map of each word goes with the concept of its name.

    Args:
        names: by layer, the word that each unit is the attention to.
        scores: of units and concepts.

    Returns:
        A row for each word that names a scored concept: what a pair has, see `Dissection.pairs`, and ``place``: of the
        words of the layer by their IoU with the concept, 1 where no other word's map goes better with it.
    """
    found, first = [], 0
    for layer, shape in scores.layers.items():
        words = names.get(layer, ())
        concepts, says = said_concepts(words, scores.vocabulary)
        for unit, column in says.nonzero().tolist():
            c, row = int(concepts[column]), first + unit
            if scores.rare[c]:
                continue
            iou = scores.iou[first : first + shape.units, c]
            found.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "word": words[unit],
                    "concept": scores.vocabulary[c].name,
                    "category": scores.vocabulary[c].category,
                    "iou": iou[unit],
                    "chance": scores.share[c],
                    "control": float(scores.reading.control[row, c]),
                    "matched": bool(scores.matched[row, c]),
                    "place": 1 + int(np.sum(iou > iou[unit])),
                }
            )
        first += shape.units
    return pd.DataFrame(found, columns=list(COLUMNS))


def no_words() -> pd.DataFrame:
    """Return the table of a model without maps of words."""
    return pd.DataFrame(columns=list(COLUMNS))
