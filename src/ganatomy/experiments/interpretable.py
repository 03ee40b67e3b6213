"""With which concept a unit counts as interpretable.

*Interpretable* is a property of pairs of unit and concept, and a label says with what a unit is matched (SPEC 2). So a
unit that is interpretable and matched to nothing has no label, and would stand in no category.
"""

import numpy as np
import pandas as pd

from ganatomy.experiments.dissection import Dissection

NAMED = ["label", "category"]


def interpretable_with(dissection: Dissection) -> pd.DataFrame:
    """Return columns label and category, in the order of `Dissection.units`: what each unit is interpretable with.

    That is its label where it has one, else the concept of greatest IoU among its interpretable pairs that beat chance
    and control; missing where there is none. From the tables, for studies that hold no more; `label_units` does so
    from scores.
    """
    own, pairs = dissection.units, dissection.pairs
    best = pairs[pairs.interpretable].sort_values("rank", kind="stable").drop_duplicates(["layer", "unit"])
    best = best[["layer", "unit", "concept", "category"]].rename(columns={"concept": "label"})
    found = own[["layer", "unit"]].merge(best, "left", ["layer", "unit"])[NAMED].set_index(own.index)
    return own[NAMED].astype(object).where(own.label.notna(), found.astype(object).replace({np.nan: None}))
