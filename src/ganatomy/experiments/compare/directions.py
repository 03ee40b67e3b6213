"""Units against other directions of the same layer: a rotation of it, its principal directions, a matrix of a file.

If a rotation, which knows nothing of the network, matches as many concepts as the units do, then the concepts are in
the layer and not in its units (the control of Network Dissection).
"""

from collections.abc import Mapping, Sequence
from math import exp, lgamma

import numpy as np
import pandas as pd

from ganatomy.core.layer_steps import each_step
from ganatomy.core.registry import join_name, split_name
from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.bootstrap import ConceptCounts
from ganatomy.experiments.compare.counts import category_rows
from ganatomy.experiments.compare.studies import StudyView
from ganatomy.experiments.fdr import false_discovery
from ganatomy.models.generators.inner_model import inner_model

WHICH = ("generator", "layer", "study", "directions", "count")
COUNTS = ("interpretable", "interpretable_error", "matched", "matched_error", "matched_at")
CONCEPTS = ("concepts", "concepts_error", "concepts_at", "at")
CHANCE = ("by_chance", "false_discovery", "at_most")


def direction_table(
    studies: Sequence[StudyView], counts: Sequence[Mapping[str, ConceptCounts]], concepts: Sequence[Concept]
) -> pd.DataFrame:
    """Return units and directions of one layer at the same count, see `Comparison.directions`."""
    rows = []
    for base, others in _groups(studies):
        for here, own in studies[base].layers.items():
            members = {i: names for i, (layer, names) in others.items() if studies[i].layers[here] in each_step(layer)}
            if not members:
                continue
            names = {base: "units", **members}
            tables = {i: counts[i][studies[i].layers[here]] for i in names}
            at = min(each.units for each in tables.values())
            generator = studies[base].dissection.spec.generator
            for i, table in tables.items():
                row = _row(studies[i], studies[i].layers[here], table, concepts, at)
                rows.append({**row, "generator": generator, "layer": own, "directions": names[i]})
    return pd.DataFrame(rows, columns=[*WHICH, *COUNTS, *CONCEPTS, *CHANCE])


def _row(study: StudyView, layer: str, table: ConceptCounts, concepts: Sequence[Concept], at: int) -> dict[str, object]:
    chance = false_discovery(study.dissection).set_index("layer")
    return {
        **next(category_rows(table, concepts)),
        "study": study.name,
        "count": table.units,
        "matched_at": table.matched[0].sum() * at / table.units,
        "concepts_at": rarefied(table.matched[0], table.units, at),
        "at": at,
        "by_chance": chance.expected[layer],
        "false_discovery": chance.rate[layer],
        "at_most": chance.at_most[layer],
    }


def rarefied(per_concept: Sequence[int] | np.ndarray, units: int, count: int) -> float:
    """Return how many concepts so few of the units have on average, drawn at random without putting back.

    >>> rarefied([0, 4, 4], 8, 1), rarefied([0, 4, 4], 8, 8)
    (1.0, 2.0)
    """

    def missed(k: int) -> float:
        if units - k < count:
            return 0.0
        ways = lgamma(units - k + 1) + lgamma(units - count + 1) - lgamma(units - k - count + 1) - lgamma(units + 1)
        return exp(ways)

    return round(sum(1 - missed(int(k)) for k in per_concept if k), 12)


def _groups(studies: Sequence[StudyView]) -> list[tuple[int, dict[int, tuple[str, str]]]]:
    """Return each study of units with those of directions in the same generator: place -> (layer, which)."""
    names = [study.dissection.spec.generator for study in studies]
    inner = {i: found for i, name in enumerate(names) if (found := inner_model(name)) is not None}
    groups = []
    for base, name in enumerate(names):
        others = {
            i: (own.get("layer", ""), _shown_options(own))
            for i, (within, own) in inner.items()
            if within == join_name(*split_name(name))
        }
        if others:
            groups.append((base, others))
    return groups


def _shown_options(options: Mapping[str, str]) -> str:
    named = options.get("directions") or options.get("file", "directions")
    rest = [f"{name} {value}" for name, value in options.items() if name not in ("layer", "directions", "file")]
    return ", ".join([named, *rest])
