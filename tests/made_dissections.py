"""Finished dissections whose tables are written by hand, so that every count of them is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.bootstrap import Resampled
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.study import Study

WORDS = (
    NOTHING,
    Concept("tree", "object"),
    Concept("door", "object"),
    Concept("dome", "part"),
    Concept("brick", "material"),
)
UNDRAWN = ("dome",)
"""Concepts of no pixel unless a unit has them."""


def made_dissection(
    directory: Path,
    layers: Mapping[str, Sequence[str | None]],
    vocabulary: Sequence[Concept] = WORDS,
    segmenter: str = "s" * 64,
    **spec: Any,
) -> Path:
    """Write a finished dissection.

    A unit is given by its label, ``~label`` where it is interpretable only; ``?concept`` has no label, and an
    interpretable pair with that concept.
    """
    rows = []
    kinds = {concept.name: concept.category for concept in vocabulary}
    for layer, labels in layers.items():
        for unit, text in enumerate(labels):
            best = text.lstrip("~?") if text else None
            label = None if text and text.startswith("?") else best
            rows.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "label": label,
                    "category": kinds[label] if label else None,
                    "iou": 0.1 + 0.01 * unit if label else np.nan,
                    "interpretable": bool(text),
                    "matched": bool(text) and text[0] not in "~?",
                    "best": best,
                }
            )
    units = pd.DataFrame(rows)
    pairs = units.assign(concept=units.best, category=units.best.map(kinds), rank=1).dropna(subset="concept")
    units = units.drop(columns="best")
    share = [0.0 if c.name in UNDRAWN and c.name not in set(units.label) else 0.2 for c in vocabulary[1:]]
    concepts = pd.DataFrame(vocabulary[1:], columns=["concept", "category"]).assign(
        share=share, rare=[not each for each in share]
    )
    facts = {
        "inputs": {"generator": "g" * 64, "segmenter": segmenter},
        "layers": {layer: [len(labels), 8, 8] for layer, labels in layers.items()},
        "vocabulary": [list(concept) for concept in vocabulary],
        "versions": {"ganatomy": "0"},
    }
    asked = DissectSpec(**{"generator": "planted:", "segmenter": "planted:", "resolution": 8, **spec})
    with Study.create(directory, asked, facts) as study:
        for name, table in zip(
            ("units", "concepts", "pairs", "by_layer"),
            (units, concepts, pairs.drop(columns=["label", "best"]), units),
            strict=True,
        ):
            study.write_table(name, table)
        study.finish(matched_rule="by hand")
    return directory


def made_draws(dissection: Dissection, draws: Sequence[Sequence[str | None]]) -> Resampled:
    """Return resamples of a dissection by hand: in each draw every unit, as above."""
    number = {concept.name: i for i, concept in enumerate(dissection.vocabulary)}
    texts = np.array([[text or "" for text in draw] for draw in draws])
    best = np.array([[number[text.lstrip("~?")] if text else 0 for text in draw] for draw in texts])
    label = np.where(np.char.startswith(texts, "?"), 0, best)
    matched = (label > 0) & ~np.char.startswith(texts, "~")
    return Resampled(dissection, 0, 4, label, np.full(label.shape, 0.2), best, texts != "", matched, matched & False)
