"""Which concepts: units over concepts side by side (Figure 5), and what appeared or vanished."""

import math
from typing import Any

import pandas as pd

from ganatomy.experiments.compare.comparison import Comparison
from ganatomy.experiments.compare.spec import SURE
from ganatomy.report.causal.section import Block, charts, count, figure, folded, percent, table
from ganatomy.report.charts import Chart
from ganatomy.report.compare.counts import BESIDE, heat, told
from ganatomy.report.palette import NEUTRAL, concept_colours
from ganatomy.report.svg import Bar, Change, Piece, bar_chart, change_chart
from ganatomy.report.tables import rows

_TURNED = ("appeared", "vanished")
_LISTED = 24
"""Changes that a chart shows."""


def concept_block(comparison: Comparison) -> Block | None:
    """Return the units of every concept, in the same order and to the same scale for every study."""
    layer = comparison.layer
    found = comparison.concepts[comparison.concepts.layer == layer]
    if found.empty:
        return None
    lead = f"Units of {layer} per concept, of every concept that a unit of any study is interpretable for. "
    if len(comparison.studies) > BESIDE:
        lead += "Matched units, with standard errors; – where the concept is hardly drawn, or never."
        body = _concept_heat(comparison, found)
    else:
        lead += "Matched ones are filled; pale are those that match nothing, and of whose interpretable pairs this is "
        lead += "the best. Lines are standard errors."
        body = _beside(comparison, layer)
        others = [name for name in dict.fromkeys(comparison.concepts.layer) if name != layer]
        body += "".join(folded(f"The same at {name}", _beside(comparison, name)) for name in others)
    return Block("Which concepts", lead, body)


def _beside(comparison: Comparison, layer: str) -> str:
    return charts(*(figure(heading, svg) for heading, svg in concept_charts(comparison, layer)))


def concept_charts(comparison: Comparison, layer: str) -> list[Chart]:
    """Return one chart a study, concepts by category, those of most units first."""
    found = _in_order(comparison, comparison.concepts[comparison.concepts.layer == layer])
    colours = concept_colours(comparison.studies[0].dissection.vocabulary)
    scale = float(max(found.interpretable.max(), (found.matched + found.matched_error.fillna(0)).max()))
    return [
        (
            f"units of {study.name}",
            bar_chart([_bar(row, colours) for row in rows(own)], f"{study.name}, {layer}", scale),
        )
        for study in comparison.studies
        for own in [found[found.study == study.name]]
    ]


def change_block(comparison: Comparison) -> Block | None:
    """Return what each study has more or less of than the one that all are set against."""
    found = comparison.changes
    if found.empty:
        return None
    shown = change_charts(comparison, comparison.layer)
    against = comparison.spec.against or comparison.spec.names[0]
    lead = (
        f"Matched units of {comparison.layer} per concept, from {against} to another study. Appeared or vanished is "
        f"said where it holds in {SURE:.0%} of the resampled sets of images or more; with a question mark it may be "
        f"the images. Changes of number are drawn where they hold as often. {_certain(found)}"
    )
    bodies = charts(*(figure(heading, svg) for heading, svg in shown[:BESIDE])) if shown else ""
    more = len(shown) - BESIDE
    bodies += f'<p class="small">{count(more, "more study")}: see the table.</p>' if more > 0 else ""
    return Block("What appeared, what vanished", lead, bodies + folded("Every change, at every layer", _numbers(found)))


def change_charts(comparison: Comparison, layer: str) -> list[Chart]:
    """Return one chart for each study but the one that all are set against."""
    colours = concept_colours(comparison.studies[0].dissection.vocabulary)
    drawn = []
    for study, own in comparison.changes[comparison.changes.layer == layer].groupby("study", sort=False):
        turned = own[own.change.isin(_TURNED)].sort_values(["sure", "holds"], ascending=False, kind="stable")
        moved = own[own.change.isin(["more", "fewer"]) & own.sure]
        picked = pd.concat([turned, moved.sort_values("difference", key=abs, ascending=False, kind="stable")])
        if len(picked):
            heading = f"from {own.against.iloc[0]} to {study}"
            drawn.append((heading, change_chart([_change(r, colours) for r in rows(picked.head(_LISTED))], heading)))
    return drawn


def _in_order(comparison: Comparison, found: pd.DataFrame) -> pd.DataFrame:
    """Return the concepts by category, then by the units of all studies."""
    kinds = {kind: i for i, kind in enumerate(dict.fromkeys(c.category for c in comparison.shared))}
    total = found.groupby(["concept", "category"], sort=False)[["matched", "interpretable"]].transform("sum")
    keyed = found.assign(kind=found.category.map(kinds), most=-total.matched, next=-total.interpretable)
    return keyed.sort_values(["kind", "most", "next", "concept"], kind="stable")[found.columns.tolist()]


def _bar(row: Any, colours: Any) -> Bar:
    colour, only = colours[row.concept, row.category], row.interpretable - row.matched
    pieces = (
        Piece(row.matched, colour, f"{row.concept}: {row.matched} units match it beyond chance"),
        Piece(only, colour, f"{row.concept}: {only} more match nothing; this is their best interpretable", pale=True),
    )
    error = row.matched_error
    known = math.isfinite(error) and error > 0
    note = told(row.matched, error if known else math.nan)
    if row.rare:
        note = "– hardly drawn" if row.share else "– never drawn"
    spread = (max(0.0, row.matched - error), row.matched + error) if known else None
    return Bar(row.concept, pieces, note, spread=spread)


def _change(row: Any, colours: Any) -> Change:
    turned = row.change in _TURNED
    word = f" {row.change}{'' if row.sure else '?'}" if turned else ""
    title = (
        f"{row.concept}: {row.before} units in {row.against}, which draws it on {percent(row.share_before)} of the "
        f"pixels; {row.after} in {row.study}, on {percent(row.share_after)}"
    )
    colour = colours[row.concept, row.category]
    note = f"{row.before} → {row.after}{word}"
    return Change(
        row.concept, row.difference, row.difference_error, colour, note, title=title, strong=turned & row.sure
    )


def _certain(found: pd.DataFrame) -> str:
    """Say how much of all that turned is certain."""
    turned = found[found.change.isin(_TURNED)]
    if not len(turned) or turned.holds.isna().all():
        return ""
    return f"Over all layers, {int(turned.sure.sum())} of {len(turned)} appearances and disappearances are certain."


def _numbers(found: pd.DataFrame) -> str:
    listed = [
        (
            f"{row.concept} ({row.category})",
            row.study,
            row.layer,
            f"{row.before}",
            f"{row.after}",
            told(row.difference, row.difference_error),
            row.change,
            percent(row.holds),
            f"{percent(row.share_before)} → {percent(row.share_after)}",
        )
        for row in rows(found[found.change != "same"])
    ]
    columns = ("concept", "study", "layer", "before", "after", "difference", "change", "holds", "share of the pixels")
    return table(columns, listed, f"Changes against {found.against.iloc[0]}")


def _concept_heat(comparison: Comparison, found: pd.DataFrame) -> str:
    """Return matched units per concept of many studies as a table."""
    colours = concept_colours(comparison.studies[0].dissection.vocabulary)
    ordered, most = _in_order(comparison, found), max(1, int(found.matched.max()))
    cells = {
        (row.concept, row.study): (
            told(row.matched, row.matched_error if row.matched_error else math.nan),
            row.matched / most,
            colours.get((row.concept, row.category), NEUTRAL),
        )
        for row in rows(ordered)
        if not row.rare
    }
    return heat(comparison.spec.names, list(dict.fromkeys(ordered.concept)), cells)
