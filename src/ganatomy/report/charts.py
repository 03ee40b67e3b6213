"""The two charts that sum up a dissection: units per concept (Figure 5) and layers side by side (Figure 6)."""

from typing import Any
from urllib.parse import quote

import pandas as pd

from ganatomy.report.palette import NEUTRAL, category_colours, concept_colours
from ganatomy.report.svg import Bar, Piece, bar_chart

Chart = tuple[str, str]
"""A heading and an SVG element."""


def concept_charts(dissection: Any) -> list[Chart]:
    """Return one chart per category: how many units draw each concept, most first; matched solid, only interpretable pale."""
    colours = dict(zip(dissection.vocabulary, concept_colours(dissection.vocabulary), strict=True))
    names = [c.name for c in dissection.vocabulary]
    table = dissection.concepts[dissection.concepts["units_interpretable"] > 0]
    table = table.sort_values(["units_matched", "units_interpretable"], ascending=False, kind="stable")
    scale = float(table["units_interpretable"].max()) if len(table) else 1.0
    charts = []
    for category in category_colours(dissection.vocabulary):
        bars = []
        for row in table[table["category"] == category].itertuples():
            key = row.concept if names.count(row.concept) == 1 else f"{category}:{row.concept}"
            bars.append(_concept_bar(row, key, colours[row.concept, category]))
        if bars:
            heading = f"{category}: {len(bars)} concept{'s' * (len(bars) > 1)}"
            charts.append((heading, bar_chart(bars, f"Units per {category} concept", scale)))
    return charts


def _concept_bar(row: Any, key: str, colour: str) -> Bar:
    only = row.units_interpretable - row.units_matched
    pieces = (
        Piece(row.units_matched, colour, f"{row.concept}: {row.units_matched} units match it beyond chance"),
        Piece(only, colour, f"{row.concept}: {only} more are interpretable, but not beyond their control", pale=True),
    )
    note = f"{row.units_matched}" + (f" + {only}" if only else "")
    return Bar(row.concept, pieces, note, f"#concept={quote(key, safe=':')}")


def layer_charts(dissection: Any) -> list[Chart]:
    """Return three charts with one row per layer: matched units by category, distinct concepts, mean IoU."""
    layers = list(dissection.by_layer.itertuples())
    colours = {c: v for c, v in category_colours(dissection.vocabulary).items() if c in dissection.by_layer.columns}
    quartiles = dissection.units.groupby("layer")["iou"].quantile([0.25, 0.75]).unstack()
    units = [_units_bar(row, colours) for row in layers]
    concepts = [Bar(r.layer, (Piece(r.concepts, NEUTRAL, ""),), f"{r.concepts}", f"#units&layer={quote(r.layer)}") for r in layers]
    means = [_mean_bar(r, quartiles.loc[r.layer]) for r in layers]
    return [
        ("Matched units, by category", bar_chart(units, "Matched units per layer, by category")),
        ("Distinct concepts among them", bar_chart(concepts, "Distinct concepts per layer")),
        ("Mean IoU of the layer's units", bar_chart(means, "Mean IoU per layer, with the middle half of its units")),
    ]


def _units_bar(row: Any, colours: dict[str, str]) -> Bar:
    pieces = [Piece(getattr(row, c), colour, f"{row.layer}: {getattr(row, c)} units match a {c}") for c, colour in colours.items()]
    return Bar(row.layer, pieces, f"{row.matched} of {row.units}", f"#units&layer={quote(row.layer)}&matched=1", track=row.units)


def _mean_bar(row: Any, quartiles: "pd.Series[float]") -> Bar:
    href = f"#units&layer={quote(row.layer)}"
    if pd.isna(row.mean_iou):
        return Bar(row.layer, (), "–", href)
    spread = (float(quartiles[0.25]), float(quartiles[0.75]))
    title = f"{row.layer}: half of its units lie between {spread[0]:.3f} and {spread[1]:.3f}"
    return Bar(row.layer, (Piece(row.mean_iou, NEUTRAL, title),), f"{row.mean_iou:.3f}", href, spread=spread)
