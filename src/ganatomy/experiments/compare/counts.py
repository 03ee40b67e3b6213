"""How many units, how many concepts: of every layer of every study, with the error that a finite sample leaves.

Everything is counted first as found, then once for each resample of the images (see `resampled`); the standard
deviation over the resamples is the error.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.bootstrap import ALL, ConceptCounts, Drawn, Resampled, count_concepts
from ganatomy.experiments.compare.studies import StudyView


def count_study(study: StudyView, drawn: Resampled | None, concepts: Sequence[Concept]) -> dict[str, ConceptCounts]:
    """Return the counts of every layer of a study, compared or not, by its own name, and by shared concepts."""
    places = [study.dissection.vocabulary.index(concept) for concept in concepts]
    counts = count_concepts(study.dissection, drawn)
    return {layer: counts[layer].of(places) for layer in study.dissection.layers}


def count_table(
    studies: Sequence[StudyView], counts: Sequence[Mapping[str, ConceptCounts]], concepts: Sequence[Concept]
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
    studies: Sequence[StudyView], counts: Sequence[Mapping[str, ConceptCounts]], concepts: Sequence[Concept]
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


def category_rows(counted: ConceptCounts, concepts: Sequence[Concept]) -> Iterator[dict[str, object]]:
    """Yield a row of all concepts, and one of each category."""
    for category, values in counted.by_category([concept.category for concept in concepts]):
        row: dict[str, object] = {"category": category, "units": counted.units}
        for name, each in values.items():
            row[name], row[f"{name}_error"] = _with_error(each)
            if name != "matched_iou":
                row[name] = int(each[0])
        yield row


def _with_error(values: Drawn) -> tuple[float, float]:
    """Return what was found and its standard error; NaN where nothing was resampled."""
    drawn = values[1:].astype(float)
    drawn = drawn[np.isfinite(drawn)]
    return float(values[0]), float(drawn.std(ddof=1)) if len(drawn) > 1 else np.nan
