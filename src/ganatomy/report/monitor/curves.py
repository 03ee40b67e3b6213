"""The curves of a training: matched units, concepts and mean IoU at every checkpoint; units that keep their concept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ganatomy.report.causal.section import Block, figures
from ganatomy.report.charts import Axis, Chart, Line, LineChart, even_axis
from ganatomy.report.formats import with_error
from ganatomy.report.palette import NEUTRAL, category_colours, ordered_colours
from ganatomy.report.tables import ALL, Column, Table

if TYPE_CHECKING:
    from ganatomy.experiments.monitor.training_history import TrainingHistory

_LISTED = 30
_FATES = {"kept": "#277a55", "gained": "#386ca0", "changed": "#a16207", "lost": "#c2410c"}


def count_table(history: "TrainingHistory") -> Table:
    """Return all that is counted at every checkpoint and layer."""
    columns = (
        Column("step"),
        Column("layer"),
        Column("images"),
        Column("units"),
        Column("interpretable", form=with_error, error="interpretable_error"),
        Column("matched", form=with_error, error="matched_error"),
        Column("concepts", form=with_error, error="concepts_error"),
        Column("matched_iou", "mean IoU of matched", with_error, "matched_iou_error"),
    )
    found = history.table
    return Table("counts", "Counts of every checkpoint", columns, found[found["category"] == ALL], brief=40)


def checkpoint_table(history: "TrainingHistory") -> Table:
    """Return all that is counted at each checkpoint, over all layers, and how many units kept their concept."""
    layer = ALL if len(history.layers) > 1 else history.layers[0]
    counts = count_table(history)
    turned = history.turnover.groupby("step")[list(_FATES)].sum().astype("Int64").reset_index()
    own = counts.frame[counts.frame["layer"] == layer].merge(turned, "left", "step")
    columns = (*(c for c in counts.columns if c.name not in ("layer", "images", "units")), *map(Column, _FATES))
    return Table("checkpoints", "Counts of every checkpoint", columns, own, brief=1000)


def count_charts(history: "TrainingHistory") -> list[Chart]:
    """Return the curves of all that is counted at a checkpoint: matched units, distinct concepts, mean IoU."""
    found, layers = history.table, history.layers
    whole = ALL if len(layers) > 1 else layers[0]
    plain = found[found["category"] == ALL]
    colours = dict(zip(layers, ordered_colours(len(layers)), strict=True))
    by_layer = [(layer, plain[plain["layer"] == layer], colours[layer]) for layer in layers]
    own = plain[plain["layer"] == whole]
    kinds = category_colours(history.dissection(history.steps[-1]).vocabulary)
    parts = found[found["layer"] == whole]
    if len(layers) > 1:
        units = [_line(name, own, "matched", colour) for name, own, colour in by_layer]
    else:
        by_paper = _line("paper’s", own, "interpretable", NEUTRAL, "6 4")
        units = [_line("matched", own, "matched", colours[whole]), by_paper]
    concepts = [_line(kind, parts[parts["category"] == kind], "concepts", colour) for kind, colour in kinds.items()]
    drawn = (
        ("Matched units", "units", units),
        ("Distinct concepts among them", "concepts", concepts),
        ("Mean IoU of the matched units", "IoU", [_line(n, o, "matched_iou", c) for n, o, c in by_layer]),
    )
    return [(heading, _chart(history, lines, y, heading)) for heading, y, lines in drawn]


def counts_block(history: "TrainingHistory") -> Block:
    """Return the curves of all that is counted at a checkpoint, and every number."""
    several = len(history.layers) > 1
    errors = (
        "bands are one standard error, from bootstrap resamples of its images"
        if "matched_error" in history.table
        else "these dissections keep no errors"
    )
    lead = (
        f"Each point is a dissection of its own{', all layers in one pass' if several else ''}; {errors}. "
        + ("" if several else "Dashed: interpretable by the paper’s rule alone. ")
        + "Matched is interpretable, and beyond chance and the mismatched control."
    )
    body = figures(*count_charts(history)) + count_table(history).folded("Every number")
    return Block("How many, of what, how well?", lead, body)


def turnover_block(history: "TrainingHistory") -> Block:
    """Return how many units keep their concept from one checkpoint to the next, and since when they have it."""
    sums = history.turnover.groupby("step", as_index=False)[list(_FATES)].sum()
    lines = [
        Line(word, sums["step"].tolist(), sums[word].astype(float).tolist(), colour=colour)
        for word, colour in _FATES.items()
    ]
    heading = "Units since the checkpoint before"
    columns = (
        Column("unit", form=str),
        Column("layer"),
        Column("label", "concept at the end"),
        Column("iou", "IoU"),
        Column("since", "since step"),
        Column("before", "before that"),
    )
    listed = history.since.head(_LISTED)
    title = f"The {len(listed)} best of {len(history.since)} units that match a concept at the end"
    lead = (
        "Kept: matches the same concept as at the checkpoint before. Changed: another one. Lost: none any more. "
        "Gained: matched none then. A unit near the rule’s limits may be lost and gained again by chance."
    )
    chart = (heading, _chart(history, lines, "units", heading))
    return Block("Do they keep it?", lead, figures(chart) + Table("since", title, columns, listed).folded(title))


def step_axis(history: "TrainingHistory") -> Axis:
    """Return the axis of all steps."""
    return even_axis("step", [float(step) for step in history.steps], short, count=4)


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
    errors = own[f"{column}_error"].tolist() if f"{column}_error" in own else ()
    return Line(name, own["step"].tolist(), own[column].astype(float).tolist(), errors, colour, dash)


def _chart(history: "TrainingHistory", lines: Sequence[Line], y: str, title: str) -> LineChart:
    values = [max(value, 0.0) for line in lines for value in line.reach()]  # no count is below 0, though its band is
    return LineChart(lines, step_axis(history), even_axis(y, values, lambda v: f"{v:g}"), title)
