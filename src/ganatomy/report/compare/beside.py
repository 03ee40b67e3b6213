"""Quality against interpretability (Figure 7), units against other directions, the same units at two moments."""

import math

import pandas as pd

from ganatomy.experiments.compare.comparison import Comparison
from ganatomy.experiments.compare.qualities import MEAN
from ganatomy.experiments.resampling import ALL
from ganatomy.report.causal.section import Block, charts, figure, folded, percent, plain, table
from ganatomy.report.charts import Chart
from ganatomy.report.compare.counts import told
from ganatomy.report.lines import Point, even_axis, scatter_chart
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.tables import rows

_MEASURES = {"fid": "Fréchet distance", MEAN: "sliced Wasserstein distance × 10³"}
_COUNTED = {"matched": "matched units", "concepts": "distinct concepts"}
_FOLLOWED = 40
"""Followed units that are listed."""


def quality_block(comparison: Comparison) -> Block | None:
    """Return distances from real images against counts of units and concepts."""
    found = comparison.quality
    if found.empty:
        return None
    lead = (
        f"Each point is a study at {comparison.layer}: across, how far its images are from {found.real.iloc[0]} "
        f"(the less, the better), upwards, its matched units and distinct concepts. Crosses are standard errors; the "
        f"distances are by {found.features.iloc[0]}, others by other features."
    )
    drawn = [figure(heading, svg) for heading, svg in quality_charts(comparison)]
    size = len(_COUNTED)
    body = "".join(charts(*drawn[i : i + size]) for i in range(0, len(drawn), size))
    listed = [
        (f"{row.study}, {row.measure}", told(row.value, row.error), f"{row.images:,}", f"{row.reals:,}")
        for row in rows(found)
    ]
    numbers = table(("measure", "distance", "images", "real ones"), listed, "Distance from real images")
    return Block("Quality against interpretability", lead, body + folded("Every distance", numbers))


def quality_charts(comparison: Comparison) -> list[Chart]:
    """Return a chart for each distance and count."""
    counts = comparison.counts
    own = counts[(counts.category == ALL) & (counts.compared == comparison.layer)].set_index("study")
    drawn = []
    for measure in [name for name in _MEASURES if name in set(comparison.quality.measure)]:
        found = comparison.quality[comparison.quality.measure == measure]
        for name, what in _COUNTED.items():
            points = [
                Point(
                    row.value,
                    float(own.loc[row.study, name]),
                    NEUTRAL,
                    f"{row.study}: {measure} {told(row.value, row.error)}, {what} "
                    f"{told(float(own.loc[row.study, name]), float(own.loc[row.study, f'{name}_error']))}",
                    row.error,
                    float(own.loc[row.study, f"{name}_error"]),
                    row.study,
                )
                for row in rows(found)
            ]
            x = even_axis(_MEASURES[measure], [p.x + _finite(p.x_error) for p in points], plain, count=4)
            y = even_axis(what, [p.y + _finite(p.y_error) for p in points], plain, count=4)
            drawn.append((f"{what} against {x.name}", scatter_chart(points, x, y, f"{what} against {x.name}")))
    return drawn


def direction_block(comparison: Comparison) -> Block | None:
    """Return units beside directions of the same layer at the same count."""
    found = comparison.directions
    if found.empty:
        return None
    lead = (
        "The same layer seen along its units and along other directions. A rotation keeps all that the layer holds and "
        "mixes its units; what units have more than it does is in the units themselves. Sets of another size are told "
        "as so many of them have on average. By chance: matched ones to be expected if none knew the image, and what "
        "share of the matched that is."
    )
    listed = [
        (
            f"{row.study}, {row.layer}: {row.directions}",
            f"{row.count:,}",
            told(row.interpretable, row.interpretable_error),
            told(row.matched, row.matched_error),
            told(row.concepts, row.concepts_error),
            f"{plain(row.matched_at)} / {plain(row.concepts_at)}",
            plain(row.by_chance, 2),
            percent(row.false_discovery, 2),
        )
        for row in rows(found)
    ]
    columns = ("directions", "count", "interpretable", "matched", "concepts", f"of {_at(found)}", "by chance", "false")
    return Block("Units against other directions", lead, table(columns, listed, "Units and directions"))


def unit_block(comparison: Comparison) -> Block | None:
    """Return what became of the same units."""
    found = comparison.units
    if found.empty:
        return None
    lead = (
        f"Units of {comparison.layer}, followed from {found.against.iloc[0]}: how many of those that were matched "
        "still are, and to the same concept; beside it, how many would be if concepts were dealt to them at random."
    )
    kept = [
        _kept(str(study), own) for study, own in found[found.layer == comparison.layer].groupby("study", sort=False)
    ]
    columns = ("study", "were matched", "still are", "to the same concept", "at random")
    shown = found[(found.matched_before | found.matched_after) & ~found.kept]
    moved = shown.assign(by=(shown.iou_after.fillna(0) - shown.iou_before.fillna(0)).abs())
    listed = [
        (
            f"{row.study}, {row.layer}: unit {row.unit}",
            _label(row.label_before, row.iou_before, row.matched_before),
            _label(row.label_after, row.iou_after, row.matched_after),
        )
        for row in rows(moved.sort_values("by", ascending=False, kind="stable").head(_FOLLOWED))
    ]
    numbers = table(("unit", "before", "after"), listed, "Units that changed most")
    body = table(columns, kept, "Units that kept their concepts") + folded("Units that changed most", numbers)
    return Block("The same units", lead, body)


def _kept(study: str, own: pd.DataFrame) -> tuple[str, ...]:
    """Return how many units are still matched, to the same concept, and as many by chance."""
    both = own[own.matched_before & own.matched_after]
    chance = sum(
        (both.label_before == each).mean() * (both.label_after == each).sum() for each in set(both.label_before)
    )
    return (study, f"{own.matched_before.sum()}", f"{len(both)}", f"{own.kept.sum()}", plain(chance, 2))


def _label(label: object, iou: float, matched: bool) -> str:
    if not isinstance(label, str):
        return "no concept"
    return f"{label}, IoU {plain(iou, 2)}" + ("" if matched else " (not matched)")


def _at(found: pd.DataFrame) -> str:
    return " or ".join(f"{n:,}" for n in dict.fromkeys(found["at"]))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
