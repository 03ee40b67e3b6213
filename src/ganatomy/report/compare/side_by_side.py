"""Quality against interpretability (Figure 7), units against other directions, the same units at two moments."""

import math
from typing import TYPE_CHECKING

import pandas as pd

from ganatomy.report.causal.section import Block, figures
from ganatomy.report.charts import Chart, Point, ScatterChart, even_axis
from ganatomy.report.formats import number, percent, with_error
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.tables import ALL, Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.compare.comparison import Comparison

_MEASURES = {"fid": "Fréchet distance", "swd-mean": "sliced Wasserstein distance × 10³"}
_COUNTED = {"matched": "matched units", "concepts": "distinct concepts"}
_FOLLOWED = 40
"""Followed units that are listed."""


def quality_block(comparison: "Comparison") -> Block | None:
    """Return distances from real images against counts of units and concepts."""
    found = comparison.quality
    if found.empty:
        return None
    lead = (
        f"Each point is a study at {comparison.layer}: across, how far its images are from {found['real'].iloc[0]} "
        f"(lower is better), upwards, its matched units and distinct concepts. Crosses are standard errors; the "
        f"distances are by {found['features'].iloc[0]}, others by other features."
    )
    drawn, size = quality_charts(comparison), len(_COUNTED)
    body = "".join(figures(*drawn[i : i + size]) for i in range(0, len(drawn), size))
    columns = (
        Column("study"),
        Column("measure"),
        Column("value", "distance", with_error, "error"),
        Column("images"),
        Column("reals", "real images"),
    )
    table = Table("quality", "Distance from real images", columns, found)
    return Block("Quality against interpretability", lead, body + table.folded("Every distance"))


def quality_charts(comparison: "Comparison") -> list[Chart]:
    """Return a chart for each distance and count."""
    counts = comparison.counts
    own = counts[(counts["category"] == ALL) & (counts["compared"] == comparison.layer)].set_index("study")
    drawn: list[Chart] = []
    for measure in [name for name in _MEASURES if name in set(comparison.quality["measure"])]:
        found = rows(comparison.quality[comparison.quality["measure"] == measure])
        for name, what in _COUNTED.items():
            points = []
            for row in found:
                value, error = (float(own.loc[row.study, column]) for column in (name, f"{name}_error"))
                distance = f"{measure} {with_error(row.value, row.error)}"
                title = f"{row.study}: {distance}, {what} {with_error(value, error)}"
                points.append(Point(row.value, value, NEUTRAL, title, row.error, error, row.study))
            x = even_axis(_MEASURES[measure], [p.x + _finite(p.x_error) for p in points], number, count=4)
            y = even_axis(what, [p.y + _finite(p.y_error) for p in points], number, count=4)
            drawn.append((f"{what} against {x.name}", ScatterChart(points, x, y, f"{what} against {x.name}")))
    return drawn


def direction_table(comparison: "Comparison") -> Table:
    """Return units and directions of the same layer."""
    at = " or ".join(f"{n:,}" for n in dict.fromkeys(comparison.directions["at"]))
    columns = (
        Column("directions"),
        Column("study"),
        Column("layer"),
        Column("count"),
        Column("interpretable", form=with_error, error="interpretable_error", brief=False),
        Column("matched", form=with_error, error="matched_error"),
        Column("concepts", form=with_error, error="concepts_error"),
        Column("matched_at", f"matched of {at}", help="of so many, on average"),
        Column("concepts_at", f"concepts of {at}"),
        Column("by_chance", "by chance", help="matched ones expected if none predicted the image"),
        Column("false_discovery", "false", percent, help="share of the matched that is by chance"),
    )
    return Table("directions", "Units and directions", columns, comparison.directions)


def direction_block(comparison: "Comparison") -> Block | None:
    """Return units and directions of the same layer at the same count."""
    if comparison.directions.empty:
        return None
    lead = (
        "The same layer seen along its units and along other directions. A rotation keeps all that the layer holds and "
        "mixes its units; what units have more than it does is in the units themselves. Sets of another size are "
        "counted as so many of them have on average."
    )
    return Block("Units against other directions", lead, direction_table(comparison).html())


def unit_block(comparison: "Comparison") -> Block | None:
    """Return what became of the same units."""
    found = comparison.units
    if found.empty:
        return None
    lead = (
        f"Units of {comparison.layer}, followed from {found['against'].iloc[0]}: how many of those that were matched "
        "still are, and to the same concept; and how many would be if concepts were assigned at random."
    )
    kept = [_kept(own) for _, own in found[found["layer"] == comparison.layer].groupby("study", sort=False)]
    columns = (
        Column("study"),
        Column("before", "were matched"),
        Column("after", "still are"),
        Column("kept", "to the same concept"),
        Column("chance", "at random"),
    )
    moved = found[(found["matched_before"] | found["matched_after"]) & ~found["kept"]]
    size = (moved["iou_after"].fillna(0) - moved["iou_before"].fillna(0)).abs()
    moved = moved.assign(size=size).sort_values("size", ascending=False, kind="stable").head(_FOLLOWED)
    changed = (
        Column("study"),
        Column("layer"),
        Column("unit"),
        Column("label_before", "before"),
        Column("iou_before", "IoU"),
        Column("matched_before", "matched"),
        Column("label_after", "after"),
        Column("iou_after", "IoU"),
        Column("matched_after", "matched"),
    )
    body = Table("kept", "Units that kept their concepts", columns, pd.DataFrame(kept)).html()
    table = Table("changed", "Units that changed most", changed, moved)
    return Block("The same units", lead, body + table.folded(table.caption))


def _kept(own: pd.DataFrame) -> dict[str, object]:
    """Return how many units are still matched, to the same concept, and as many by chance."""
    both = own[own["matched_before"] & own["matched_after"]]
    chance = sum(
        (both["label_before"] == each).mean() * (both["label_after"] == each).sum()
        for each in set(both["label_before"])
    )
    counts = {"before": own["matched_before"].sum(), "after": len(both), "kept": own["kept"].sum(), "chance": chance}
    return {"study": own["study"].iloc[0], **counts}


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
