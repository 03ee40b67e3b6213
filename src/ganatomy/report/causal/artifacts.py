"""Which units spoil the images: the distances of all units, the images of the worst and best, people's flags."""

import math
from typing import Any

import pandas as pd

from ganatomy.experiments.artifacts import Artifacts
from ganatomy.report.causal.section import (
    Block,
    Section,
    change_text,
    charts,
    count,
    figure,
    folded,
    percent,
    plain,
    table,
)
from ganatomy.report.causal.tiles import rows_of_tiles, tile
from ganatomy.report.lines import Axis, Line, even_axis, line_chart
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.tables import rows

_WORST, _RANDOM, _THRESHOLD = "#c2410c", NEUTRAL, "#2563eb"
_SIDE = 96


def artifacts_section(artifacts: Artifacts) -> Section:
    """Return the section of the distances of a layer's units."""
    spec = artifacts.spec
    worst: Any = rows(artifacts.table.head(1))[0]
    usual: Any = rows(artifacts.samples.head(1))[0]
    blocks = [_pictures(artifacts), _distances(artifacts)]
    if (curve := artifacts.curve) is not None:
        blocks.append(_flags(artifacts, curve))
    if artifacts.threshold is not None:
        blocks.append(_realism(artifacts, artifacts.threshold))
    return Section(
        key=f"artifacts-{spec.layer}",
        short=f"artifacts of {spec.layer}",
        question=f"Which units of {spec.layer} spoil the images?",
        answer=f"Most suspect is unit {worst.unit}: the {spec.top:,} of {spec.images:,} images in which it is "
        f"greatest are {plain(worst.fid)} from {spec.real}, where {spec.top:,} images at random are "
        f"{plain(usual.fid)} ± {plain(usual.spread, 2)} away: "
        f"{change_text(worst.excess, usual.spread)}. Half of the {len(artifacts.table)} units lie above "
        f"{plain(float(artifacts.table.fid.median()))}.",
        blocks=blocks,
        spec=vars(spec),
        facts=artifacts.facts,
        ranks=True,
    )


def _pictures(artifacts: Artifacts) -> Block:
    found = artifacts.table.set_index("unit")
    cards = []
    for unit, pictures in zip(artifacts.strips.units.tolist(), artifacts.strips.pictures.numpy(), strict=True):
        said = f"unit {unit}: {plain(found.fid[unit])}"
        notes = [said, _label(found.loc[unit])] + [""] * len(pictures)
        cards.append([(tile(each, said, side=_SIDE), note) for each, note in zip(pictures, notes, strict=False)])
    lead = (
        "The first images of the dissection in which each unit is greatest: of the units whose images are farthest "
        "from real ones, then, last, of those whose are nearest. Far from real may be ugly, or only rare: look before "
        "you act."
    )
    return Block("The worst units, and the best", lead, rows_of_tiles(cards))


def _label(row: Any) -> str:
    return f"{row.label}, IoU {plain(row.iou, 2)}" if isinstance(row.label, str) else "no concept"


def _distances(artifacts: Artifacts) -> Block:
    units, spec, samples = artifacts.table, artifacts.spec, artifacts.samples
    ranks = [float(i + 1) for i in range(len(units))]
    usual: Any = rows(samples.head(1))[0]
    lines = [
        Line("units", ranks, units.fid.tolist(), [math.nan] * len(units), _WORST),
        Line("random", [1.0, ranks[-1]], [usual.fid] * 2, [usual.spread] * 2, _RANDOM, dash="6 4"),
    ]
    if artifacts.threshold is not None:
        ends = [1.0, ranks[-1]]
        lines.append(Line("threshold", ends, [artifacts.threshold] * 2, [math.nan] * 2, _THRESHOLD, dash="2 3"))
    x = even_axis("units, the farthest first", ranks, lambda rank: f"{rank:g}")
    y = even_axis("Fréchet distance", [end for line in lines for end in line.reach()], plain, count=4)
    chart = figure(f"{len(units)} units", line_chart(lines, x, y, "Distance of every unit's images from real ones"))
    compared = [
        (row.sample, f"{row.images:,}", plain(row.fid), plain(row.spread, 2), plain(row.bias, 2))
        for row in rows(samples)
    ]
    lead = (
        f"Each unit's {spec.top:,} images against {spec.reals:,} real ones, by the {artifacts.facts['features']} "
        f"features of {spec.features}; distances by other features are other numbers. The dashed line is as many "
        f"images drawn at random, {spec.draws} times, and their standard deviation. A unit above it is on in a kind "
        "of image; one far above, in a kind that is rarer in reality, or does not occur at all."
    )
    columns = ("sample", "images", "distance", "spread", "for lack of images alone")
    body = table(columns, compared, "What units are compared with")
    offered = folded("Which threshold would leave out what", _choices(artifacts.choices))
    return Block(
        "How far are they?", lead, charts(chart) + body + folded("Every unit", _numbers(units, usual.spread)) + offered
    )


def _numbers(units: pd.DataFrame, spread: float) -> str:
    told = [
        (
            f"unit {row.unit}" + (" (flagged)" if getattr(row, "flagged", False) else ""),
            plain(row.fid),
            plain(row.means),
            plain(row.covariances),
            change_text(row.excess, spread),
            _label(row),
        )
        for row in rows(units)
    ]
    return table(("unit", "distance", "of means", "of covariances", "beyond random", "dissection"), told, "All units")


def _choices(choices: pd.DataFrame) -> str:
    told = [
        (
            f"{plain(row.threshold)} ({plain(row.times, 2)} × random)",
            *map(str, (row.left_out, row.left, row.matched, row.concepts)),
        )
        for row in rows(choices)
    ]
    columns = ("threshold", "units left out", "units left", "of these matched", "concepts they match")
    return table(columns, told, "What thresholds would leave")


def _realism(artifacts: Artifacts, threshold: float) -> Block:
    """Both counts of every concept, and all units that the second leaves out."""
    left_out, concepts = artifacts.left_out, artifacts.concepts
    assert left_out is not None
    assert concepts is not None
    counted = [
        (
            row.concept,
            row.category,
            f"{row.matched} → {row.realistic_matched}",
            f"{row.interpretable} → {row.realistic_interpretable}",
        )
        for row in rows(concepts)
    ]
    units = [(f"unit {row.unit}", plain(row.fid), _label(row)) for row in rows(left_out)]
    gone = ", ".join(artifacts.vanished)
    lead = (
        f"Without the {count(len(left_out), 'unit')} whose images are {plain(threshold)} or more from real ones, "
        f"{int(concepts.realistic_matched.sum())} of {int(concepts.matched.sum())} matched units of the layer are left"
        + (f", and no unit matches {gone} any more." if gone else ", and every concept keeps a unit that matches it.")
    )
    body = table(
        ("concept", "category", "matched units", "interpretable units"),
        counted,
        "Concepts by all units → by realistic ones",
    )
    return Block(
        "What do the realistic units draw?",
        lead,
        body + folded("The units left out", table(("unit", "distance", "dissection"), units, "Units left out")),
    )


def _flags(artifacts: Artifacts, curve: pd.DataFrame) -> Block:
    flagged = int(artifacts.table.flagged.sum())
    share = flagged / len(curve)
    lines = [
        Line("by distance", curve.recall.tolist(), curve.precision.tolist(), [math.nan] * len(curve), _WORST),
        Line("by chance", [0.0, 1.0], [share] * 2, [math.nan] * 2, _RANDOM, dash="6 4"),
    ]
    marks = [(i / 4, percent(i / 4)) for i in range(5)]
    axes = Axis("share of the flagged units found", marks), Axis("share of flagged ones among those taken", marks)
    chart = figure("Precision and recall", line_chart(lines, *axes, "Precision and recall of distance against flags"))
    lead = (
        f"People flagged {flagged} of {len(curve)} units for artifacts. Taking units in the order of their distance, "
        "how many of those taken are flagged, and how many of the flagged are taken?"
    )
    return Block("Do people see it, too?", lead, charts(chart))
