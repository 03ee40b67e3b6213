"""The two charts that sum up a dissection: units per concept (Figure 5) and layers side by side (Figure 6)."""

from typing import Any
from urllib.parse import quote

import pandas as pd

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.palette import NEUTRAL, category_colours, concept_colours
from ganatomy.report.svg import Bar, Piece, bar_chart
from ganatomy.report.tables import rows
from ganatomy.vocabulary import addresses

Chart = tuple[str, str]
"""A heading and an SVG element."""


def concept_charts(dissection: Dissection) -> list[Chart]:
    """Return one chart per category: how many units are matched to each concept, most first."""
    colours, keys = concept_colours(dissection.vocabulary), addresses(dissection.vocabulary)
    table = dissection.concepts[dissection.concepts["units_matched"] > 0]
    table = table.sort_values(["units_matched", "units_labelled"], ascending=False, kind="stable")
    scale = float(table["units_matched"].max()) if len(table) else 1.0
    charts = []
    for category in category_colours(dissection.vocabulary):
        own = rows(table[table["category"] == category])
        bars = [_concept_bar(r, keys[r.concept, category], colours[r.concept, category]) for r in own]
        if bars:
            heading = f"{category}: {len(bars)} concept{'s' * (len(bars) > 1)}"
            charts.append((heading, bar_chart(bars, f"Units per {category} concept", scale)))
    return charts


def _concept_bar(row: Any, key: str, colour: str) -> Bar:
    others = row.units_matched - row.units_labelled
    pieces = (
        Piece(row.units_labelled, colour, f"{row.concept}: the label of {row.units_labelled} units"),
        Piece(others, colour, f"{row.concept}: {others} more are matched to it, and better to another", pale=True),
    )
    note = f"{row.units_labelled}" + (f" + {others}" if others else "")
    return Bar(row.concept, pieces, note, f"#concept={quote(key, safe=':')}")


def layer_charts(dissection: Dissection) -> list[Chart]:
    """Return three charts with one row per layer: matched units by category, distinct concepts, mean IoU."""
    layers = rows(dissection.by_layer)
    colours = {c: v for c, v in category_colours(dissection.vocabulary).items() if c in dissection.by_layer.columns}
    iou = {str(layer): own["iou"] for layer, own in dissection.units.groupby("layer")}
    units = [_units_bar(row, colours) for row in layers]
    concepts = [Bar(r.layer, (Piece(r.concepts, NEUTRAL, ""),), f"{r.concepts}", _gallery(r.layer)) for r in layers]
    means = [_mean_bar(row, iou[row.layer]) for row in layers]
    return [
        ("Matched units, by category", bar_chart(units, "Matched units per layer, by category")),
        ("Distinct concepts among them", bar_chart(concepts, "Distinct concepts per layer")),
        (
            "Mean IoU (line: the middle half of units)",
            bar_chart(means, "Mean IoU per layer, with the middle half of its units"),
        ),
    ]


def _units_bar(row: Any, colours: dict[str, str]) -> Bar:
    counts = {category: int(getattr(row, category)) for category in colours}
    pieces = [Piece(n, colours[c], f"{row.layer}: {n} units match a concept of kind {c}") for c, n in counts.items()]
    return Bar(row.layer, pieces, f"{row.matched} of {row.units}", f"{_gallery(row.layer)}&matched=1", track=row.units)


def _mean_bar(row: Any, iou: "pd.Series[float]") -> Bar:
    if pd.isna(row.mean_iou):
        return Bar(row.layer, (), "–", _gallery(row.layer))
    low, high = float(iou.quantile(0.25)), float(iou.quantile(0.75))
    pieces = (Piece(row.mean_iou, NEUTRAL, f"{row.layer}: half of its units lie between {low:.3f} and {high:.3f}"),)
    return Bar(row.layer, pieces, f"{row.mean_iou:.3f}", _gallery(row.layer), spread=(low, high))


def _gallery(layer: str) -> str:
    return f"#units&layer={quote(layer)}"
