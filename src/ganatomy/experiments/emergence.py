"""When does a model that makes an image in steps know a concept? What its blocks are matched to at each step."""

from collections.abc import Mapping

import pandas as pd

from ganatomy.core.layer_steps import split_layer

COLUMNS = ("block", "step", "concept", "category", "units", "iou", "chance", "control", "matched")


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
    rows = []
    for block, steps in blocks.items():
        own = pairs[pairs.layer.isin(steps.values())]
        found = own[own.matched][["concept", "category"]].drop_duplicates()
        for step, layer in sorted(steps.items()) if len(steps) > 1 else ():
            for concept, category in found.itertuples(index=False):
                at = own[(own.layer == layer) & (own.concept == concept) & (own.category == category)]
                rows.append((block, step, concept, category, *_best(at)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _best(pairs: pd.DataFrame) -> tuple[int, float, float, float, bool]:
    """Return how many units are matched, the scores of the best one, and whether any is."""
    count = int(pairs.matched.sum())
    if pairs.empty:
        return 0, float("nan"), float("nan"), float("nan"), False
    best = pairs.sort_values(["matched", "iou"], ascending=False).iloc[0]
    return count, float(best.iou), float(best.chance), float(best.control), count > 0
