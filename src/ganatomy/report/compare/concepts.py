"""Which concepts: units over concepts side by side (Figure 5), and what appeared or vanished."""

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import Block, Colours, figures
from ganatomy.report.charts import (
    Bar,
    BarChart,
    Change,
    ChangeChart,
    Chart,
    Piece,
    Point,
    ScatterChart,
    even_axis,
    finite,
)
from ganatomy.report.compare.counts import COLUMNS
from ganatomy.report.compare.heat import Cell, heat
from ganatomy.report.formats import count, number, percent, with_error
from ganatomy.report.palette import NEUTRAL, concept_colours, ordered_colours
from ganatomy.report.tables import Column, Table, folded, rows

if TYPE_CHECKING:
    from ganatomy.experiments.compare.comparison import Comparison

_TURNED = ("appeared", "vanished")
_LISTED = 24
"""Changes that a chart shows."""
_NAMED = 12
"""Concepts that are named next to their points: those that differ most."""


def concept_block(comparison: "Comparison") -> Block | None:
    """Return the units of every concept, in the same order and to the same scale for every study."""
    layer = comparison.layer
    found = comparison.concepts[comparison.concepts["layer"] == layer]
    if found.empty:
        return None
    lead = f"Units of {layer} per concept, of every concept that a unit of any study is interpretable for. "
    if len(comparison.studies) > COLUMNS:
        lead += "Matched units, with standard errors; – where the concept is hardly drawn, or never."
        return Block("Which concepts", lead, _concept_heat(comparison, found))
    lead += "Matched ones are filled; pale are those that match nothing, and of whose interpretable pairs this is "
    lead += "the best. Lines are standard errors."
    others = [name for name in dict.fromkeys(comparison.concepts["layer"]) if name != layer]
    more = (folded(f"The same at {name}", figures(*concept_charts(comparison, name))) for name in others)
    return Block("Which concepts", lead, figures(*concept_charts(comparison, layer)) + "".join(more))


def concept_charts(comparison: "Comparison", layer: str) -> list[Chart]:
    """Return one chart a study, concepts by category, those of most units first."""
    found = _in_order(comparison, comparison.concepts[comparison.concepts["layer"] == layer])
    colours = concept_colours(comparison.studies[0].dissection.vocabulary)
    scale = float(max(found["interpretable"].max(), (found["matched"] + found["matched_error"].fillna(0)).max()))
    drawn: list[Chart] = []
    for study in comparison.studies:
        bars = [_bar(row, colours) for row in rows(found[found["study"] == study.name])]
        drawn.append((f"units of {study.name}", BarChart(bars, f"{study.name}, {layer}", scale)))
    return drawn


def change_table(comparison: "Comparison") -> Table:
    """Return every change: of the layer that the page begins with first, certain ones first, then by size."""
    found = comparison.changes[comparison.changes["change"] != "same"]
    columns = (
        Column("concept"),
        Column("category", brief=False),
        Column("study"),
        Column("against"),
        Column("layer"),
        Column("before"),
        Column("after"),
        Column("difference", form=with_error, error="difference_error"),
        Column("change"),
        Column("holds", form=percent, help="share of the resampled sets of images in which it holds"),
        Column("share_before", "pixels before", percent, brief=False),
        Column("share_after", "after", percent, brief=False),
    )
    keys = {"first": found["layer"] == comparison.layer, "size": found["difference"].abs()}
    found = found.assign(**keys).sort_values(["first", "sure", "size"], ascending=False, kind="stable")
    return Table("changes", "Every change, at every layer", columns, found, brief=20)


def change_block(comparison: "Comparison") -> Block | None:
    """Return what each study has more or less of than the one that all are compared with."""
    if comparison.changes.empty:
        return None
    drawn = change_charts(comparison, comparison.layer)
    against = comparison.spec.against or comparison.spec.names[0]
    lead = (
        f"Matched units of {comparison.layer} per concept, from {against} to another study. Appeared or vanished is "
        f"said where it holds in {comparison.spec.SURE:.0%} of the resampled sets of images or more; with a question "
        f"mark it may be the images. Changes of number are drawn where they hold as often. {_certain(comparison)}"
    )
    body = figures(*drawn[:COLUMNS]) if drawn else ""
    more = len(drawn) - COLUMNS
    body += f'<p class="small">{count(more, "more study")}: see the table.</p>' if more > 0 else ""
    table = change_table(comparison)
    return Block("What appeared, what vanished", lead, body + table.folded(table.caption))


def change_charts(comparison: "Comparison", layer: str) -> list[Chart]:
    """Return one chart for each study but the one that all are compared with."""
    colours = concept_colours(comparison.studies[0].dissection.vocabulary)
    found: dict[str, list[Change]] = {}
    for study, own in comparison.changes[comparison.changes["layer"] == layer].groupby("study", sort=False):
        turned = own[own["change"].isin(_TURNED)].sort_values(["sure", "holds"], ascending=False, kind="stable")
        moved = own[own["change"].isin(["more", "fewer"]) & own["sure"]]
        picked = pd.concat([turned, moved.sort_values("difference", key=abs, ascending=False, kind="stable")])
        if len(picked):
            heading = f"from {own['against'].iloc[0]} to {study}"
            found[heading] = [_change(row, colours) for row in rows(picked.head(_LISTED))]
    ends = [ChangeChart(bars, "").ends() for bars in found.values()]
    span = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None
    return [(heading, ChangeChart(bars, heading, form=number, span=span)) for heading, bars in found.items()]


def against_chart(comparison: "Comparison") -> ScatterChart:
    """Return the matched units of every concept, those of each study over those of the one that it is set against."""
    against = comparison.spec.against or comparison.spec.names[0]
    others = [name for name in comparison.spec.names if name != against]
    keys, numbers = ["concept", "category"], ["matched", "matched_error"]
    found = comparison.concepts[comparison.concepts["layer"] == comparison.layer]
    first = found[found["study"] == against][keys + numbers]
    points, legend = [], dict(zip(others, ordered_colours(len(others)), strict=True))
    for study, colour in legend.items():
        both = first.merge(found[found["study"] == study][keys + numbers], on=keys, suffixes=("_x", "_y"))
        apart = (both["matched_y"] - both["matched_x"]).abs()
        named = set(apart[apart > 0].nlargest(_NAMED).index)
        for i, row in enumerate(rows(both)):
            title = f"{row.concept}: {row.matched_x} units in {against}, {row.matched_y} in {study}"
            errors, name = (row.matched_error_x, row.matched_error_y), row.concept if i in named else ""
            points.append(Point(row.matched_x, row.matched_y, colour, title, *errors, name))
    label = others[0] if len(others) == 1 else "the others"
    x = even_axis(against, [p.x + finite(p.x_error) for p in points], number)
    y = even_axis(label, [p.y + finite(p.y_error) for p in points], number)
    return ScatterChart(points, x, y, f"Matched units of {comparison.layer} per concept", True, legend)


def _in_order(comparison: "Comparison", found: pd.DataFrame) -> pd.DataFrame:
    """Return the concepts by category, then by the units of all studies."""
    kinds = {kind: i for i, kind in enumerate(dict.fromkeys(c.category for c in comparison.shared))}
    total = found.groupby(["concept", "category"], sort=False)[["matched", "interpretable"]].transform("sum")
    keyed = found.assign(kind=found["category"].map(kinds), most=-total["matched"], next=-total["interpretable"])
    return keyed.sort_values(["kind", "most", "next", "concept"], kind="stable")[found.columns.tolist()]


def _bar(row: Any, colours: Colours) -> Bar:
    colour, only = colours[row.concept, row.category], row.interpretable - row.matched
    pieces = (
        Piece(row.matched, colour, f"{row.concept}: {row.matched} units match it beyond chance"),
        Piece(only, colour, f"{row.concept}: {only} more match nothing; this is their best interpretable", pale=True),
    )
    error, note = row.matched_error, with_error(row.matched, row.matched_error)
    if row.rare:
        note = "– hardly drawn" if row.share else "– never drawn"
    known = math.isfinite(error) and error > 0
    spread = (max(0.0, row.matched - error), row.matched + error) if known else None
    return Bar(row.concept, pieces, note, spread=spread)


def _change(row: Any, colours: Colours) -> Change:
    turned = row.change in _TURNED
    word = f" {row.change}{'' if row.sure else '?'}" if turned else ""
    title = (
        f"{row.concept}: {row.before} units in {row.against}, which draws it on {percent(row.share_before)} of the "
        f"pixels; {row.after} in {row.study}, on {percent(row.share_after)}"
    )
    note, colour = f"{row.before} → {row.after}{word}", colours[row.concept, row.category]
    strong = turned and bool(row.sure)
    return Change(row.concept, row.difference, row.difference_error, colour, note, title=title, strong=strong)


def _certain(comparison: "Comparison") -> str:
    """Say how many of all appearances and disappearances are certain."""
    turned = comparison.changes[comparison.changes["change"].isin(_TURNED)]
    if not len(turned) or turned["holds"].isna().all():
        return ""
    certain = int(turned["sure"].sum())
    return f"Over all layers, {certain} of {len(turned)} appearances and disappearances are certain."


def _concept_heat(comparison: "Comparison", found: pd.DataFrame) -> str:
    """Return matched units per concept of many studies as a table."""
    colours = concept_colours(comparison.studies[0].dissection.vocabulary)
    ordered, most = _in_order(comparison, found), max(1, int(found["matched"].max()))
    cells = {
        (row.concept, row.study): Cell(
            with_error(row.matched, row.matched_error),
            row.matched / most,
            colours.get((row.concept, row.category), NEUTRAL),
        )
        for row in rows(ordered)
        if not row.rare
    }
    return heat(comparison.spec.names, list(dict.fromkeys(ordered["concept"])), cells)
