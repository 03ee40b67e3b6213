"""What the page draws from: the tables of a dissection as columns, its pictures once each, its regions as bits.

Nothing is computed here, only chosen and packed. Where a dissection is too large to travel whole, the best units of
each layer keep their pictures, the best pairs stay listed, and `Embedded.left_out` says so in words for the page.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.pack import Array, pack, pack_masks, reduced, short, sprite_sheets, thinned
from ganatomy.report.palette import concept_colours
from ganatomy.report.tables import rows
from ganatomy.vocabulary import addresses

PICTURED = 2000
"""Most units that travel with pictures and curves, in equal shares from each layer."""
PAIRS = 60_000
"""Most pairs of unit and concept; beyond it, matched ones and the best few concepts of each unit."""
CURVES = 3
"""Concepts of a unit whose curves travel."""
PICTURE_SIDE, MASK_SIDE = 128, 64

Index = dict[tuple[str, str], int]
"""Name and category of a concept -> its number."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """The page's data: plain facts (JSON), packed arrays, sprite sheets (base64 JPEG), and what was left out."""

    facts: dict[str, Any]
    arrays: str
    sheets: list[str]
    left_out: list[str]


def embed(dissection: Dissection) -> Embedded:
    """Pack a dissection for the page."""
    units: pd.DataFrame = dissection.units
    index: Index = {concept: i for i, concept in enumerate(dissection.vocabulary)}
    chosen = _pictured(units)
    pairs = _kept_pairs(dissection.pairs)
    arrays = _unit_columns(dissection, index) | _pair_columns(dissection, pairs, index)
    arrays |= _curve_arrays(dissection, pairs, chosen, index)
    strips, pictures = _strip_arrays(dissection, chosen)
    manifest, text = pack(arrays | strips)
    sheets, capacity = sprite_sheets(pictures)
    _, height, width = pictures.shape[:3]
    facts = {
        "layers": [{"name": name, **shape._asdict()} for name, shape in dissection.layers.items()],
        "concepts": _concepts(dissection),
        "arrays": manifest,
        "sprites": {"width": width, "height": height, "capacity": capacity},
        "scale": _scale(units["iou"]),
    }
    return Embedded(facts, text, sheets, _left_out(dissection, len(chosen), len(pairs), (height, width)))


def _concepts(dissection: Dissection) -> list[dict[str, Any]]:
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


def _scale(iou: "pd.Series[float]") -> float:
    """Return the right end of every IoU bar on the page: the greatest IoU, rounded up to a tenth."""
    greatest = iou.max()
    return 1.0 if np.isnan(greatest) else float(min(1.0, max(0.1, np.ceil(greatest * 10) / 10)))


def _pictured(units: pd.DataFrame) -> Array:
    """Return the row numbers of the units that travel with pictures, ascending."""
    if len(units) <= PICTURED:
        return np.arange(len(units))
    share = PICTURED // units["layer"].nunique()
    rank = units.groupby("layer", sort=False)["iou"].rank(method="first", ascending=False, na_option="bottom")
    return np.flatnonzero(rank.to_numpy() <= share)


def _kept_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    if len(pairs) <= PAIRS:
        return pairs
    each = max(CURVES, PAIRS // pairs.groupby(["layer", "unit"]).ngroups)
    return pairs[(pairs["rank"] <= each) | pairs["matched"]]


def _indices(names: "pd.Series[str]", categories: "pd.Series[str]", index: Index) -> Array:
    """Return concept numbers, 0 where there is no label."""
    return np.array([index.get(key, 0) for key in zip(names, categories, strict=True)], np.uint16)


def _unit_columns(dissection: Dissection, index: Index) -> dict[str, Array]:
    units = dissection.units
    layers = {name: i for i, name in enumerate(dissection.layers)}
    columns = {
        "unit.layer": units["layer"].map(layers).to_numpy(np.uint16),
        "unit.number": units["unit"].to_numpy(np.uint32),
        "unit.label": _indices(units["label"], units["category"], index),
        "unit.flags": _flags(units),
    }
    for name in ("iou", "chance", "lift", "control", "iqr", "fraction", "threshold", "accuracy", "on", "greatest"):
        columns[f"unit.{name}"] = short(units[name])
    return columns


def _pair_columns(dissection: Dissection, pairs: pd.DataFrame, index: Index) -> dict[str, Array]:
    columns = {
        "pair.unit": _rows_of(dissection.units, pairs),
        "pair.concept": _indices(pairs["concept"], pairs["category"], index),
        "pair.flags": _flags(pairs),
    }
    for name in ("iou", "chance", "lift", "control", "iqr", "threshold", "accuracy"):
        columns[f"pair.{name}"] = short(pairs[name])
    return columns


def _flags(table: pd.DataFrame) -> Array:
    """Return 1 for interpretable, and 2 more for matched."""
    flags: Array = (table["interpretable"].to_numpy(bool) + 2 * table["matched"].to_numpy(bool)).astype(np.uint8)
    return flags


def _rows_of(units: pd.DataFrame, pairs: pd.DataFrame) -> Array:
    """Return for each pair the row number of its unit."""
    numbers = pd.Series(np.arange(len(units)), index=pd.MultiIndex.from_frame(units[["layer", "unit"]]))
    return numbers.reindex(pd.MultiIndex.from_frame(pairs[["layer", "unit"]])).to_numpy(np.uint32)


def _curve_arrays(dissection: Dissection, pairs: pd.DataFrame, chosen: Array, index: Index) -> dict[str, Array]:
    """Return IoU and IQR over the levels, in steps of 1/65535, for each pictured unit's label and best pairs."""
    columns = ["layer", "unit", "concept", "category", "level"]
    labels = dissection.units.rename(columns={"label": "concept"}).dropna(subset="concept")
    wanted = pd.concat([labels[columns], pairs.loc[pairs["rank"] <= CURVES, columns]]).drop_duplicates(columns[:4])
    wanted = wanted[np.isin(_rows_of(dissection.units, wanted), chosen)]
    steps = [np.empty((0, 2, len(dissection.spec.tops())), np.uint16)]
    by_layer = [own for _, own in wanted.groupby("layer", sort=False)]
    for own in by_layer:
        concepts = _indices(own["concept"], own["category"], index)
        iou, iqr, _ = dissection.curves(own["layer"].iloc[0], own["unit"].tolist(), concepts.tolist())
        steps.append(np.rint(np.nan_to_num(np.stack([iou, iqr], axis=1)).clip(0, 1) * 65535).astype(np.uint16))
    wanted = pd.concat(by_layer or [wanted])
    curves = np.concatenate(steps)
    curves[..., 1:] -= curves[..., :-1].copy()
    return {
        "curve.unit": _rows_of(dissection.units, wanted),
        "curve.concept": _indices(wanted["concept"], wanted["category"], index),
        "curve.level": wanted["level"].to_numpy(np.uint8),
        "curve.steps": curves,
        "curve.fraction": short(dissection.spec.tops()),
    }


def _strip_arrays(dissection: Dissection, chosen: Array) -> tuple[dict[str, Array], Array]:
    """Return the strips of the chosen units as tile numbers, values and bits, and every picture they show once."""
    tiles: dict[int, int] = {}
    pictures, shown, values, bits, grid = [], [], [], [], (0, 0)
    for layer, unit in dissection.units[["layer", "unit"]].iloc[chosen].itertuples(index=False):
        strip = dissection.top(layer, int(unit))
        fresh = [i for i, id_ in enumerate(strip.ids.tolist()) if id_ not in tiles]
        if fresh:
            tiles |= {int(strip.ids[i]): len(tiles) + n for n, i in enumerate(fresh)}
            pictures.append(reduced(strip.pictures[fresh], PICTURE_SIDE))
        masks = thinned(strip.masks, MASK_SIDE)
        grid = masks.shape[1:]
        shown.append([tiles[i] for i in strip.ids.tolist()])
        values.append(strip.values)
        bits.append(pack_masks(masks))
    arrays = {
        "strip.unit": chosen.astype(np.uint32),
        "strip.tile": np.array(shown, np.uint32),
        "strip.value": short(values),
        "strip.bits": np.array(bits, np.uint8),
        "strip.grid": np.array(grid, np.uint32),
        "strip.id": np.array(list(tiles), np.uint32),
    }
    return arrays, np.concatenate(pictures)


def _left_out(dissection: Dissection, pictured: int, pairs: int, side: tuple[int, int]) -> list[str]:
    """Return one sentence for each thing that the study holds and this page does not."""
    units = len(dissection.units)
    height, width = dissection.top(next(iter(dissection.layers)), 0).pictures.shape[1:3]
    sentences = [
        f"Curves over levels are kept for the {CURVES} best concepts of each pictured unit; "
        "in Python, dissection.curve(layer, unit, concept) gives every one."
    ]
    if pictured < units:
        sentences.append(
            f"Pictures are kept for {pictured:,} of {units:,} units, the best {PICTURED // len(dissection.layers)} "
            "of each layer by IoU; the others have numbers only."
        )
    if pairs < len(dissection.pairs):
        sentences.append(f"Of {len(dissection.pairs):,} pairs of unit and concept the best {pairs:,} are listed.")
    if (height, width) != side:
        sentences.append(f"Pictures of {width}×{height} pixels are shown at {side[1]}×{side[0]}.")
    return sentences
