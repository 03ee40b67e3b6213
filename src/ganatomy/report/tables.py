"""How the report reads tables: row by row, each concept under the address that the page gives it."""

from typing import Any

import pandas as pd

from ganatomy.vocabulary import Vocabulary


def rows(table: pd.DataFrame) -> list[Any]:
    """Return the rows of a table as objects with its columns as attributes."""
    return list(table.itertuples(index=False))


def addresses(vocabulary: Vocabulary) -> dict[tuple[str, str], str]:
    """Return for (name, category) what `find_concept` takes: a name, or category:name where two share it.

    >>> from ganatomy.vocabulary import NOTHING, Concept
    >>> words = (NOTHING, Concept("tree", "object"), Concept("glass", "object"), Concept("glass", "material"))
    >>> list(addresses(words).values())
    ['nothing', 'tree', 'object:glass', 'material:glass']
    """
    names = [c.name for c in vocabulary]
    return {c: c.name if names.count(c.name) == 1 else f"{c.category}:{c.name}" for c in vocabulary}


def best_units(units: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the best matched unit of each concept, the greatest IoU first, at most `count`."""
    matched = units[units["matched"]].sort_values("iou", ascending=False, kind="stable")
    return matched.drop_duplicates(["label", "category"]).head(count)
