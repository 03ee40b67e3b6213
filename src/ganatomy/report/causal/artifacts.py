"""Which units spoil the images: the distances of all units, images of the worst and best, human annotations."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import Block, Section, figures
from ganatomy.report.causal.tiles import Card, grouped, tile
from ganatomy.report.causal.top_images import called, top_tiles
from ganatomy.report.charts import Axis, Line, LineChart, even_axis
from ganatomy.report.formats import change_text, count, number, percent, with_error
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.artifacts import Artifacts

_WORST, _RANDOM, _THRESHOLD = "#c2410c", NEUTRAL, "#2563eb"
_SIDE = 96
_UNIT = Column("unit", form="unit {}".format)
_DISTANCE = Column("fid", "distance")
_LABEL = (Column("label", "dissection"), Column("iou", "IoU"))


def artifacts_tables(artifacts: "Artifacts") -> list[Table]:
    """Return the units, the samples to compare them with, thresholds; what a threshold leaves, if there is one."""
    spread = float(artifacts.samples["spread"].iloc[0])
    units = artifacts.table.assign(excess_error=spread)
    distances = (
        _DISTANCE,
        Column("means", "of means"),
        Column("covariances", "of covariances"),
        Column("excess", "beyond random", change_text, "excess_error"),
    )
    samples = (
        Column("sample"),
        Column("images"),
        _DISTANCE,
        Column("spread"),
        Column("bias", "finite-sample bias", help="what as few images of a perfect model would have"),
    )
    tables = [
        Table("units", "All units, the farthest first", (_UNIT, *distances, *_LABEL, Column("flagged")), units),
        Table("samples", "What units are compared with", samples, artifacts.samples),
    ]
    if artifacts.curve is not None:
        precision, recall = (Column(name, form=percent) for name in ("precision", "recall"))
        columns = (Column("n", "units taken"), _UNIT, precision, recall)
        tables.append(Table("flags", "Distance against human annotations", columns, artifacts.curve))
    choices = (
        Column("threshold"),
        Column("times", "× random"),
        Column("left_out", "units excluded"),
        Column("left", "units left"),
        Column("matched", "of these matched"),
        Column("concepts", "concepts they match"),
    )
    if artifacts.threshold is None:
        return [*tables, Table("thresholds", "What thresholds would leave", choices, artifacts.choices, brief=40)]
    concepts = (
        Column("concept"),
        Column("category"),
        Column("matched", "matched units"),
        Column("realistic_matched", "realistic ones"),
        Column("interpretable", "interpretable units"),
        Column("realistic_interpretable", "realistic ones"),
    )
    left_out = (_UNIT, _DISTANCE, *_LABEL)
    assert artifacts.left_out is not None
    assert artifacts.concepts is not None
    return [
        *tables,
        Table("thresholds", "What thresholds would leave", choices, artifacts.choices, brief=0),
        Table("concepts", "Units of each concept: all, and realistic ones", concepts, artifacts.concepts, brief=40),
        Table("excluded", "Excluded units", left_out, artifacts.left_out, brief=40),
    ]


def artifacts_section(artifacts: "Artifacts") -> Section:
    """Return the section of the distances of a layer's units."""
    spec, tables = artifacts.spec, {table.name: table for table in artifacts_tables(artifacts)}
    worst: Any = rows(artifacts.table)[0]
    random: Any = rows(artifacts.samples)[0]
    blocks = [_images(artifacts), _distances(artifacts, tables)]
    if artifacts.curve is not None:
        blocks.append(_flags(artifacts, artifacts.curve, tables["flags"]))
    if artifacts.threshold is not None:
        blocks.append(_realism(artifacts, artifacts.threshold, tables))
    return Section(
        key=f"artifacts-{spec.layer}",
        short=f"artifacts of {spec.layer}",
        question=f"Which units of {spec.layer} spoil the images?",
        answer=f"Most suspect is unit {worst.unit}: the {spec.top:,} of {spec.images:,} images in which it is "
        f"greatest are {number(worst.fid)} from {spec.real}, where {spec.top:,} images at random are "
        f"{with_error(random.fid, random.spread)} away: "
        f"{change_text(worst.excess, random.spread)}. Half of the {len(artifacts.table)} units lie above "
        f"{number(float(artifacts.table['fid'].median()))}.",
        blocks=blocks,
        methods=("distance",),
    )


def unit_groups(artifacts: "Artifacts") -> list[tuple[str, list[Card]]]:
    """Return the top images of the worst units, then of the best, outlined where the dissection is found."""
    ranked = artifacts.table["unit"].tolist()
    found, random = artifacts.table.set_index("unit"), float(artifacts.samples["fid"].iloc[0])
    places = {unit: i for i, unit in enumerate(ranked)}
    own: tuple[list[Card], list[Card]] = ([], [])
    for unit, images in zip(artifacts.strips.units.tolist(), artifacts.strips.images.numpy(), strict=True):
        row, title = found.loc[unit], f"unit {unit}: {number(found.loc[unit, 'fid'])}"
        notes = [title, called(row), f"{number(row.fid / random, 2)} × random"] + [""] * len(images)
        tiles = [tile(each, f"{title}, a top image", side=_SIDE) for each in images]
        if artifacts.dissection is not None:
            tiles = top_tiles(artifacts.dissection, artifacts.spec.layer, unit, len(images), _SIDE)
        own[places[unit] >= len(ranked) / 2].append(list(zip(tiles, notes, strict=False)))
    return [("The worst: farthest from real images", own[0]), ("The best: nearest to real images", own[1])]


def _images(artifacts: "Artifacts") -> Block:
    lead = (
        "The first images of the dissection in which each unit is greatest. Far from real may be spoilt, or only rare: "
        "look before you act. Below are the unit and the distance of its images from real ones, its label, and how "
        "many times the distance of images drawn at random that is."
    )
    if artifacts.dissection is not None:
        lead += " Where the unit is on, the image is bright and outlined."
    return Block("The worst units, and the best", lead, grouped(unit_groups(artifacts)))


def artifacts_chart(artifacts: "Artifacts") -> LineChart:
    """Return the distances of all units, and that of images drawn at random."""
    units, samples = artifacts.table, artifacts.samples
    ranks = [float(i + 1) for i in range(len(units))]
    ends, random = [1.0, ranks[-1]], rows(samples)[0]
    lines = [
        Line("units", ranks, units["fid"].tolist(), colour=_WORST),
        Line("random", ends, [random.fid] * 2, [random.spread] * 2, _RANDOM, dash="6 4"),
    ]
    if artifacts.threshold is not None:
        lines.append(Line("threshold", ends, [artifacts.threshold] * 2, colour=_THRESHOLD, dash="2 3"))
    x = even_axis("units, the farthest first", ranks, lambda rank: f"{rank:g}")
    y = even_axis("Fréchet distance", [end for line in lines for end in line.reach()], number, count=4)
    return LineChart(lines, x, y, "Distance of every unit's images from real ones")


def _distances(artifacts: "Artifacts", tables: dict[str, Table]) -> Block:
    spec = artifacts.spec
    lead = (
        f"Each unit's {spec.top:,} images against {spec.reals:,} real ones, by the {artifacts.facts['features']} "
        f"features of {spec.features}; distances by other features are other numbers. The dashed line is as many "
        f"images drawn at random, {spec.draws} times, and their standard deviation. A unit above it is on in one kind "
        "of image; one far above, in a kind that is rarer in reality, or does not occur at all."
    )
    chart = (f"{len(artifacts.table)} units", artifacts_chart(artifacts))
    offered = tables["thresholds"].folded("Which threshold would exclude what")
    body = figures(chart) + tables["samples"].html() + tables["units"].folded("Every unit") + offered
    return Block("How far are they?", lead, body)


def _realism(artifacts: "Artifacts", threshold: float, tables: dict[str, Table]) -> Block:
    """Both counts of every concept, and all units that the second excludes."""
    concepts, excluded = tables["concepts"], tables["excluded"]
    gone = ", ".join(artifacts.vanished)
    lead = (
        f"Without the {count(len(excluded.frame), 'unit')} whose images are {number(threshold)} or more from real "
        f"ones, {int(concepts.frame['realistic_matched'].sum())} of {int(concepts.frame['matched'].sum())} matched "
        "units of the layer are left"
        + (f", and no unit matches {gone} any more." if gone else ", and every concept keeps a unit that matches it.")
    )
    return Block("What do the realistic units draw?", lead, concepts.html() + excluded.folded("The excluded units"))


def _flags(artifacts: "Artifacts", curve: pd.DataFrame, table: Table) -> Block:
    flagged = int(artifacts.table["flagged"].sum())
    lines = [
        Line("by distance", curve["recall"].tolist(), curve["precision"].tolist(), colour=_WORST),
        Line("by chance", [0.0, 1.0], [flagged / len(curve)] * 2, colour=_RANDOM, dash="6 4"),
    ]
    marks = [(i / 4, percent(i / 4)) for i in range(5)]
    axes = Axis("share of the flagged units found", marks), Axis("share of flagged ones among those taken", marks)
    chart = "Precision and recall", LineChart(lines, *axes, "Precision and recall of distance against flags")
    lead = (
        f"People flagged {flagged} of {len(curve)} units for artifacts. Taking units in the order of their distance, "
        "how many of those taken are flagged, and how many of the flagged are taken?"
    )
    return Block("Do human annotations agree?", lead, figures(chart) + table.folded())
