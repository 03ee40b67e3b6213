"""What the page draws from: the tables of a dissection as columns, and curves.

Nothing is computed here, only chosen and packed. Where a dissection has very many pairs of unit and concept, the best
stay listed and keep their curves, and `Numbers.left_out` says so in words for the page.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ganatomy.core.vocabulary import addresses
from ganatomy.report.binary_packing import Array, pack, short
from ganatomy.report.palette import concept_colours
from ganatomy.report.tables import rows

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection

PAIRS = 60_000
"""Most pairs of unit and concept; beyond it, matched ones and the best few concepts of each unit."""
CURVES = 3
"""Concepts of a unit whose curves travel, besides its label."""
CURVED = 30_000
"""Most curves, of the units of greatest IoU."""
STEP, UNKNOWN = 65534, 65535
"""A share, IoU or IQR of 1 as the page has it, and one that was not counted."""
BINS = 48
"""Bins of a unit's histogram."""

Index = dict[tuple[str, str], int]
"""Name and category of a concept -> its number."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """The page's numbers: plain facts (JSON), packed tables by name, and what was left out."""

    facts: dict[str, Any]
    pieces: dict[str, str]
    left_out: list[str]


def embed(dissection: "Dissection") -> Numbers:
    """Pack the numbers of a dissection for the page."""
    index: Index = {concept: i for i, concept in enumerate(dissection.vocabulary)}
    pairs = _kept_pairs(dissection.pairs)
    curved = _curved(dissection, pairs)
    tables = {
        "units": _unit_columns(dissection, index),
        "pairs": _pair_columns(dissection, pairs, index),
        "histograms": _histograms(dissection),
        "curves": _curve_arrays(dissection, curved, index),
    }
    packed = {name: pack(columns) for name, columns in tables.items()}
    names = dissection.unit_names
    facts = {
        "layers": [
            {"name": name, **shape._asdict(), **({"unit_names": names[name]} if name in names else {})}
            for name, shape in dissection.layers.items()
        ],
        "concepts": _concepts(dissection),
        **{name: manifest for name, (manifest, _) in packed.items()},
        "scale": iou_scale(dissection.units["iou"]),
    }
    pieces = {f"{name}-pack": text for name, (_, text) in packed.items()}
    return Numbers(facts, pieces, _left_out(dissection, pairs, curved))


def _concepts(dissection: "Dissection") -> list[dict[str, Any]]:
    """Return every concept in the order of the vocabulary, with its colour and what is known of it."""
    known = {(r.concept, r.category): r for r in rows(dissection.concepts)}
    keys, concepts = addresses(dissection.vocabulary), []
    for concept, colour in concept_colours(dissection.vocabulary).items():
        fact: dict[str, Any] = dict(zip(("name", "category"), concept, strict=True))
        fact |= {"key": keys[concept], "colour": colour}
        row = known.get(concept)
        if row is not None:
            fact |= {"share": float(row.share), "images": int(row.images), "rare": bool(row.rare)}
        concepts.append(fact)
    return concepts


def iou_scale(iou: "pd.Series[float]") -> float:
    """Return the right end of every IoU bar on the page: the greatest IoU, rounded up to a tenth."""
    greatest = iou.max()
    return 1.0 if np.isnan(greatest) else float(min(1.0, max(0.1, np.ceil(greatest * 10) / 10)))


def _kept_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    if len(pairs) <= PAIRS:
        return pairs
    each = max(CURVES, PAIRS // pairs.groupby(["layer", "unit"]).ngroups)
    return pairs[(pairs["rank"] <= each) | pairs["matched"]]


def _indices(names: "pd.Series[str]", categories: "pd.Series[str]", index: Index) -> Array:
    """Return concept numbers, 0 where there is no label."""
    return np.array([index.get(key, 0) for key in zip(names, categories, strict=True)], np.uint16)


def _unit_columns(dissection: "Dissection", index: Index) -> dict[str, Array]:
    units = dissection.units
    layers = {name: i for i, name in enumerate(dissection.layers)}
    columns = {
        "unit.layer": units["layer"].map(layers).to_numpy(np.uint16),
        "unit.number": units["unit"].to_numpy(np.uint32),
        "unit.label": _indices(units["label"], units["category"], index),
        "unit.flags": _flags(units),
    }
    for name in ("iou", "control", "iqr", "fraction", "threshold", "accuracy", "on", "greatest"):
        columns[f"unit.{name}"] = short(units[name])
    return columns


def _pair_columns(dissection: "Dissection", pairs: pd.DataFrame, index: Index) -> dict[str, Array]:
    columns = {
        "pair.unit": rows_of(dissection.units, pairs),
        "pair.concept": _indices(pairs["concept"], pairs["category"], index),
        "pair.flags": _flags(pairs),
    }
    for name in ("iou", "control", "iqr", "threshold", "accuracy"):
        columns[f"pair.{name}"] = short(pairs[name])
    return columns


def _flags(table: pd.DataFrame) -> Array:
    """Return 1 for interpretable, and 2 more for matched."""
    flags: Array = (table["interpretable"].to_numpy(bool) + 2 * table["matched"].to_numpy(bool)).astype(np.uint8)
    return flags


def rows_of(units: pd.DataFrame, pairs: pd.DataFrame) -> Array:
    """Return for each pair the row number of its unit in the table of units."""
    numbers = pd.Series(np.arange(len(units)), index=pd.MultiIndex.from_frame(units[["layer", "unit"]]))
    return numbers.reindex(pd.MultiIndex.from_frame(pairs[["layer", "unit"]])).to_numpy(np.uint32)


def _curved(dissection: "Dissection", pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs whose curves travel: labels and best concepts of as many units as `CURVED` allows, by layer."""
    columns = ["layer", "unit", "concept", "category", "level"]
    labels = dissection.units.rename(columns={"label": "concept"}).dropna(subset="concept")
    curved = pd.concat([labels[columns], pairs.loc[pairs["rank"] <= CURVES, columns]]).drop_duplicates(columns[:4])
    if len(curved) > CURVED:
        order = dissection.units["iou"].rank(method="first", ascending=False, na_option="bottom").to_numpy()
        curved = curved.iloc[np.sort(order[rows_of(dissection.units, curved)].argsort(kind="stable")[:CURVED])]
    return pd.concat([own for _, own in curved.groupby("layer", sort=False)] or [curved])


def _curve_arrays(dissection: "Dissection", curved: pd.DataFrame, index: Index) -> dict[str, Array]:
    """Return IoU and IQR over the levels, in steps of 1 / `STEP`, each as its difference from the level before."""
    concepts = _indices(curved["concept"], curved["category"], index)
    steps = [np.empty((0, 2, len(dissection.spec.tops())), np.uint16)]
    for layer in curved["layer"].unique():
        own = (curved["layer"] == layer).to_numpy()
        iou, iqr, _ = dissection.curves(layer, curved["unit"][own].tolist(), concepts[own].tolist())
        values = np.stack([iou, iqr], axis=1)
        counted = np.rint(np.nan_to_num(values).clip(0, 1) * STEP)
        steps.append(np.where(np.isnan(values), UNKNOWN, counted).astype(np.uint16))
    curves = np.concatenate(steps)
    curves[..., 1:] -= curves[..., :-1].copy()
    return {
        "curve.unit": rows_of(dissection.units, curved),
        "curve.concept": concepts,
        "curve.level": curved["level"].to_numpy(np.uint8),
        "curve.steps": curves,
        "curve.fraction": short(dissection.spec.tops()),
    }


def _histograms(dissection: "Dissection") -> dict[str, Array]:
    """Return how the activations of each unit are spread: shares of its pixels in even bins, and where these begin.

    They end at the greatest activation that is known. Shares follow from the levels, between which they are linear.
    """
    units, shares, lows, highs = dissection.units, [], [], []
    for layer in dissection.layers:
        tops, values = dissection.levels(layer)
        greatest = units.loc[units["layer"] == layer, "greatest"].to_numpy()
        for own, most in zip(np.asarray(values), greatest, strict=True):
            low, high = own[0], np.nanmax([own[-1], most])
            edges = np.linspace(low, high, BINS + 1)
            above = np.interp(edges, [*own, high], [*tops, 0.0])  # of equal levels the last: what is above them
            above[0] = 1.0
            shares.append(np.rint(-np.diff(above) * STEP))
            lows.append(low)
            highs.append(high)
    return {
        "histogram.shares": np.array(shares).clip(0, STEP).astype(np.uint16),
        "histogram.low": short(lows),
        "histogram.high": short(highs),
    }


def _left_out(dissection: "Dissection", pairs: pd.DataFrame, curved: pd.DataFrame) -> list[str]:
    """Return one sentence for each thing that the study holds and this page does not."""
    drawn, units = len(curved[["layer", "unit"]].drop_duplicates()), len(dissection.units)
    whose = f"{drawn:,} of {units:,} units" if len(curved) == CURVED else "each unit"
    sentences = [
        f"Curves over levels are kept for the label and the {CURVES} best concepts of {whose}; "
        "in Python, dissection.curve(layer, unit, concept) gives every one."
    ]
    if len(pairs) < len(dissection.pairs):
        sentences.append(
            f"Of {len(dissection.pairs):,} pairs of unit and concept the best {len(pairs):,} are listed; in Python, "
            "dissection.candidates(layer, unit) and dissection.ranked(concept) give every one."
        )
    return sentences
