"""What the study of a dissection holds: layers, vocabulary and tables, checked."""

import operator
from collections.abc import Mapping, Sequence

import pandas as pd

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.generators import LayerShape
from ganatomy.study import Study

TABLES = ("units", "concepts", "pairs", "by_layer")
PROMPTED = ("prompts", "slots", "prompt_pairs", "words")
"""Tables of text-to-image models."""
NUMBERS = {"units": ("unit", "iou", "interpretable", "matched"), "concepts": ("share", "rare")}
WORDS = {"units": ("layer", "label", "category"), "concepts": ("concept", "category")}
"""Columns of the tables that every use of a dissection asks for."""


def stored_names(study: Study) -> tuple[dict[str, LayerShape], tuple[Concept, ...]]:
    """Return the layers in forward order, and the vocabulary.

    Raises:
        ValueError: there are none, or they cannot be meant.
    """
    layers = {name: LayerShape(*map(operator.index, shape)) for name, shape in study.facts["layers"].items()}
    if any(min(shape) < 1 for shape in layers.values()):
        raise ValueError("a layer without units or places")
    vocabulary = tuple(Concept(str(name), str(category)) for name, category in study.facts["vocabulary"])
    if not layers or vocabulary[:1] != (NOTHING,):
        raise ValueError("no layers, or a vocabulary that does not begin with nothing")
    return layers, vocabulary


def stored_tables(
    study: Study, layers: Mapping[str, LayerShape], vocabulary: Sequence[Concept]
) -> dict[str, pd.DataFrame]:
    """Return the tables by name; of those that only text-to-image models have, the ones that are there.

    Raises:
        ValueError: they are of other layers or concepts.
        TypeError: a column that is always needed holds something else.
    """
    tables = {name: _checked(study.read_table(name), name) for name in TABLES}
    concepts = tables["concepts"]
    named = sorted(zip(concepts["concept"], concepts["category"], strict=True))
    if set(tables["units"]["layer"]) - layers.keys() or named != sorted(vocabulary[1:]):
        raise ValueError("its tables are of other layers or concepts than its facts")
    return tables | {name: study.read_table(name) for name in PROMPTED if study.has_table(name)}


def _checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    for column in NUMBERS.get(name, ()):
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise TypeError(f"the column {column} of {name} is no number")
    for column in WORDS.get(name, ()):
        if not all(isinstance(each, str) for each in table[column].dropna()):
            raise TypeError(f"the column {column} of {name} is no text")
    return table
