"""How many units, how many concepts: of every layer of every study, with the error that a finite sample leaves.

Everything is counted first as found, then once for each resample of the images (see `resampled`); the standard
deviation over the resamples is the error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganatomy.experiments.compare.studies import Compared
from ganatomy.experiments.interpretable import interpretable_with
from ganatomy.experiments.resampling import ALL, Resampled, by_concept
from ganatomy.vocabulary import CATEGORIES, Concept

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counts:
    """The units of a layer by concept; row 0 of each table as found, the others of one resample each.

    Attributes:
        units: how many there are.
        interpretable: int64 [1 + draws, c], units per concept that they count as interpretable with, see
            `interpretable_with`; column 0 has units without one.
        matched: int64 [1 + draws, c], units per label.
        iou: float64 [1 + draws, c], sum of the IoUs of the matched ones.
    """

    units: int
    interpretable: Ints
    matched: Ints
    iou: Floats

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of both layers."""
        return Counts(
            self.units + other.units,
            self.interpretable + other.interpretable,
            self.matched + other.matched,
            self.iou + other.iou,
        )


def count_study(study: Compared, drawn: Resampled | None, concepts: Sequence[Concept]) -> dict[str, Counts]:
    """Return the counts of every layer of a study, compared or not, by its own name."""
    units = study.dissection.units
    found: list[npt.NDArray[Any]] = [
        _indices(study, units),
        _indices(study, interpretable_with(study.dissection)),
        *(units[[name]].to_numpy().T for name in ("interpretable", "matched", "iou")),
    ]
    if drawn is not None:
        more = (drawn.label, drawn.interpretable_with, drawn.interpretable, drawn.matched, drawn.iou)
        found = [np.concatenate([own, table]) for own, table in zip(found, more, strict=True)]
    label, best, interpretable, matched, iou = found
    code, best_code = study.codes(concepts, label), study.codes(concepts, best)
    matched = matched & ((code > 0) | (label == 0))  # labels that not all vocabularies have are left out
    interpretable = interpretable & ((best_code > 0) | (best == 0))
    counted = {}
    for layer, shape in study.dissection.layers.items():
        own = study.rows(layer)
        tables = [
            by_concept(codes[:, own], weight[:, own], len(concepts))
            for codes, weight in ((best_code, interpretable), (code, matched), (code, np.where(matched, iou, 0.0)))
        ]
        counted[layer] = Counts(shape.units, tables[0].astype(int), tables[1].astype(int), tables[2])
    return counted


def _indices(study: Compared, named: pd.DataFrame) -> Ints:
    """Return columns label and category as indices into the vocabulary of the study, [1, u]."""
    numbers: dict[tuple[str, str], int] = {concept: i for i, concept in enumerate(study.dissection.vocabulary)}
    return np.array([[numbers.get(pair, 0) for pair in zip(named.label, named.category, strict=True)]])


def count_table(
    studies: Sequence[Compared], counts: Sequence[Mapping[str, Counts]], concepts: Sequence[Concept]
) -> pd.DataFrame:
    """Return one row for each study, layer and category, see `Comparison.counts`."""
    rows = []
    for study, by_layer in zip(studies, counts, strict=True):
        here = {own: name for name, own in study.layers.items()}
        compared = [by_layer[own] for own in here]
        for position, (layer, counted) in enumerate(by_layer.items()):
            first = {"study": study.name, "layer": layer, "position": position, "compared": here.get(layer)}
            rows += [{**first, **row} for row in category_rows(counted, concepts)]
        if len(compared) > 1:
            total = sum(compared[1:], compared[0])
            first = {"study": study.name, "layer": ALL, "position": -1, "compared": ALL}
            rows += [{**first, **row} for row in category_rows(total, concepts)]
    return pd.DataFrame(rows)


def concept_table(
    studies: Sequence[Compared], counts: Sequence[Mapping[str, Counts]], concepts: Sequence[Concept]
) -> pd.DataFrame:
    """Return units per concept of every compared layer, of every concept that any study has there (Figure 5)."""
    rows = []
    drawn = [study.dissection.concepts.set_index(["concept", "category"]) for study in studies]
    for here in studies[0].layers:
        own = [by_layer[study.layers[here]] for study, by_layer in zip(studies, counts, strict=True)]
        for c in (1 + np.flatnonzero(np.sum([each.interpretable[0] for each in own], axis=0)[1:])).tolist():
            for study, each, known in zip(studies, own, drawn, strict=True):
                matched, error = _with_error(each.matched[:, c])
                rows.append(
                    {
                        "study": study.name,
                        "layer": here,
                        **concepts[c]._asdict(),
                        "interpretable": int(each.interpretable[0, c]),
                        "matched": int(matched),
                        "matched_error": error,
                        "share": known.share[concepts[c]],
                        "rare": bool(known.rare[concepts[c]]),
                    }
                )
    columns = ("study", "layer", "name", "category", "interpretable", "matched", "matched_error", "share", "rare")
    return pd.DataFrame(rows, columns=columns).rename(columns={"name": "concept"})


def category_rows(counted: Counts, concepts: Sequence[Concept]) -> Iterator[dict[str, object]]:
    """Yield a row of all concepts, and one of each category."""
    kinds = [c.category for c in concepts]
    for category in (ALL, *dict.fromkeys([*(c for c in CATEGORIES if c in kinds), *kinds[1:]])):
        own = np.array([category in (ALL, kind) for kind in kinds])
        matched, iou = counted.matched[:, own].sum(1), counted.iou[:, own].sum(1)
        values = {
            "interpretable": counted.interpretable[:, own].sum(1),
            "matched": matched,
            "concepts": (counted.matched[:, own] > 0).sum(1),
            "matched_iou": iou / np.where(matched > 0, matched, np.nan),
        }
        row: dict[str, object] = {"category": category, "units": counted.units}
        for name, each in values.items():
            row[name], row[f"{name}_error"] = _with_error(each)
            if name != "matched_iou":
                row[name] = int(each[0])
        yield row


def _with_error(values: npt.NDArray[np.number]) -> tuple[float, float]:
    """Return what was found and its standard error; NaN where nothing was resampled."""
    drawn = values[1:].astype(float)
    drawn = drawn[np.isfinite(drawn)]
    return float(values[0]), float(drawn.std(ddof=1)) if len(drawn) > 1 else np.nan
