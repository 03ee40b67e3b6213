"""When does a model that makes an image in steps know a concept? What its blocks are matched to at each step."""

from collections.abc import Mapping

import pandas as pd

from ganatomy.core.layer_steps import split_layer

COLUMNS = ("block", "step", "concept", "category", "units", "iou", "chance", "control", "matched")
KEYS = ("layer", "concept", "category")


def emergence_table(layers: Mapping[str, object], pairs: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each concept that a block is matched to at any step, and each dissected step of the block.

    Empty unless a block was dissected at several steps.

    Args:
        layers: the dissected ones.
        pairs: as in ``Dissection.pairs``.
    """
    blocks: dict[str, dict[int, str]] = {}
    for layer in layers:
        block, step = split_layer(layer)
        if step is not None:
            blocks.setdefault(block, {})[step] = layer
    tables = [_of_block(block, steps, pairs) for block, steps in blocks.items() if len(steps) > 1]
    found = [table for table in tables if len(table)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))


def _of_block(block: str, steps: Mapping[int, str], pairs: pd.DataFrame) -> pd.DataFrame:
    own = pairs[pairs.layer.isin(steps.values())]
    concepts = own[own.matched][["concept", "category"]].drop_duplicates().to_numpy().tolist()
    every = [(step, steps[step], *concept) for step in sorted(steps) for concept in concepts]
    if not every:
        return pd.DataFrame(columns=list(COLUMNS))
    index = pd.MultiIndex.from_tuples([row[1:] for row in every], names=KEYS)
    best = own.sort_values(["matched", "iou"], ascending=False, kind="stable").drop_duplicates(list(KEYS))
    units = own[own.matched].groupby(list(KEYS)).size()
    table = best.set_index(list(KEYS)).reindex(index)[["iou", "chance", "control"]].reset_index()
    table["units"] = units.reindex(index, fill_value=0).to_numpy()
    table = table.assign(block=block, step=[row[0] for row in every], matched=table.units > 0)
    return table[list(COLUMNS)]
