"""The curves of a training: how many units match a concept, how many concepts, how well; and how many stay with it."""

import math
from collections.abc import Sequence

import pandas as pd

from ganatomy.experiments.monitor.monitoring import Monitoring
from ganatomy.experiments.resampling import ALL
from ganatomy.report.causal.section import Block, charts, figure, folded, table, with_error
from ganatomy.report.charts import Chart
from ganatomy.report.lines import Axis, Line, even_axis, line_chart
from ganatomy.report.palette import NEUTRAL, category_colours, ordered_colours
from ganatomy.report.tables import rows

_LISTED = 30
_FATES = {"kept": "#277a55", "gained": "#386ca0", "changed": "#a16207", "lost": "#c2410c"}


def count_charts(monitoring: Monitoring) -> list[Chart]:
    """Return the curves of all that is counted at a look: matched units, distinct concepts, mean IoU."""
    found, several = monitoring.table, len(monitoring.layers) > 1
    whole = ALL if several else monitoring.layers[0]
    plain = found[found.category == ALL]
    colours = dict(zip(monitoring.layers, ordered_colours(len(monitoring.layers)), strict=True))
    by_layer = [(layer, plain[plain.layer == layer], colours[layer]) for layer in monitoring.layers]
    own = plain[plain.layer == whole]
    kinds = category_colours(monitoring.dissection(monitoring.steps[-1]).vocabulary)
    by_kind = [(kind, found[(found.layer == whole) & (found.category == kind)], kinds[kind]) for kind in kinds]
    x = step_axis(monitoring)
    if several:
        units = [_line(name, own, "matched", colour) for name, own, colour in by_layer]
    else:
        by_paper = _line("paper’s", own, "interpretable", NEUTRAL, "6 4")
        units = [_line("matched", own, "matched", colours[whole]), by_paper]
    drawn = (
        ("Matched units", "units", units),
        ("Distinct concepts among them", "concepts", [_line(k, table, "concepts", c) for k, table, c in by_kind]),
        ("Mean IoU of the matched units", "IoU", [_line(n, o, "matched_iou", c) for n, o, c in by_layer]),
    )
    return [(heading, _chart(lines, x, y, heading)) for heading, y, lines in drawn]


def counts_block(monitoring: Monitoring) -> Block:
    """Return the curves of all that is counted at a look, and every number."""
    found, several = monitoring.table, len(monitoring.layers) > 1
    errors = (
        "bands are one standard error, from drawing its images again"
        if "matched_error" in found
        else ("these dissections keep no errors")
    )
    lead = (
        f"Each point is a dissection of its own{', all layers in one pass' if several else ''}; {errors}. "
        + ("" if several else "Dashed: interpretable by the paper’s rule alone. ")
        + "Matched is interpretable, and beyond chance and the mismatched control."
    )
    figures = [figure(heading, chart) for heading, chart in count_charts(monitoring)]
    numbers = folded("Every number", _numbers(found[found.category == ALL]))
    return Block("How many, of what, how well?", lead, charts(*figures) + numbers)


def turnover_block(monitoring: Monitoring) -> Block:
    """Return how many units stay with their concept from look to look, and since when those at the end have theirs."""
    sums = monitoring.turnover.groupby("step", as_index=False)[list(_FATES)].sum()
    lines = [
        Line(word, sums.step.tolist(), [float(n) for n in sums[word]], [math.nan] * len(sums), colour)
        for word, colour in _FATES.items()
    ]
    heading = "Units since the look before"
    chart = figure(heading, _chart(lines, step_axis(monitoring), "units", heading))
    since = monitoring.since
    listed = [
        (f"{r.layer} {r.unit}", r.label, f"{r.iou:.3f}", f"{r.since:,}", r.before if isinstance(r.before, str) else "–")
        for r in rows(since.head(_LISTED))
    ]
    columns = ("unit", "concept at the end", "IoU", "since step", "before that")
    title = f"The {len(listed)} best of {len(since)} units that match a concept at the end"
    lead = (
        "Kept: matches the same concept as at the look before. Changed: another one. Lost: none any more. Gained: "
        "matched none then. A unit near the rule’s limits may be lost and gained again by the luck of the sample alone."
    )
    return Block("Do they stay with it?", lead, charts(chart) + folded(title, table(columns, listed, title)))


def step_axis(monitoring: Monitoring) -> Axis:
    """Return the axis of all steps."""
    return even_axis("step", [float(step) for step in monitoring.steps], short, count=4)


def short(step: float) -> str:
    """Return a step as a mark on an axis has it.

    >>> short(0), short(2500), short(160000), short(1.2e6)
    ('0', '2.5 k', '160 k', '1.2 M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if step >= size:
            return f"{step / size:.4g} {letter}"
    return f"{step:g}"


def _line(name: str, own: pd.DataFrame, column: str, colour: str, dash: str = "") -> Line:
    values = [float(value) for value in own[column]]
    errors = own[f"{column}_error"].tolist() if f"{column}_error" in own else [math.nan] * len(own)
    return Line(name, own.step.tolist(), values, errors, colour, dash)


def _chart(lines: Sequence[Line], x: Axis, y: str, title: str) -> str:
    values = [
        max(value, 0.0) for line in lines for value in line.reach()
    ]  # no count is below 0, though its band may be
    return line_chart(lines, x, even_axis(y, values, lambda v: f"{v:g}"), title)


def _numbers(found: pd.DataFrame) -> str:
    counted = ("interpretable", "matched", "concepts", "matched_iou")
    told = [
        (
            *(f"{row.step:,}", row.layer, f"{row.images:,}", f"{row.units:,}"),
            *(with_error(getattr(row, name), getattr(row, f"{name}_error", math.nan)) for name in counted),
        )
        for row in rows(found)
    ]
    columns = ("step", "layer", "images", "units", "interpretable", "matched", "concepts", "mean IoU of matched")
    return table(columns, told, "Counts of every look")
