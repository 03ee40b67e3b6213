"""How the report reads tables."""

from typing import Any

import pandas as pd

CLEAREST = 12
"""Units that the report begins with."""


def rows(table: pd.DataFrame) -> list[Any]:
    """Return the rows of a table as objects with its columns as attributes."""
    return list(table.itertuples(index=False))


def best_units(units: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the best matched unit of each concept, the greatest IoU first, at most `count`."""
    matched = units[units["matched"]].sort_values("iou", ascending=False, kind="stable")
    return matched.drop_duplicates(["label", "category"]).head(count)
