"""What blocks are matched to at each step, on the page of a dissection: a chart of counts, and a table by concept."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import figures
from ganatomy.report.charts import Chart, Line, LineChart, even_axis, named_axis
from ganatomy.report.formats import number
from ganatomy.report.palette import ordered_colours
from ganatomy.report.tables import Column, Table

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection


def emergence_charts(dissection: "Dissection") -> list[Chart]:
    """Return how many concepts each block is matched to at each step; nothing, where no block has several steps."""
    counts = step_counts(dissection.emergence)
    if counts.empty:
        return []
    steps = sorted({int(step) for step in dissection.emergence["step"]})
    lines = [
        Line(str(block), range(len(steps)), [float(row.get(step, float("nan"))) for step in steps], colour=colour)
        for (block, row), colour in zip(counts.iterrows(), ordered_colours(len(counts)), strict=True)
    ]
    y = even_axis("concepts", [y for line in lines for y in line.y], lambda value: f"{value:g}")
    x = named_axis("step", [str(step) for step in steps])
    return [("Concepts matched at each step, a line a block", LineChart(lines, x, y, "Concepts matched at each step"))]


def step_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many concepts a block is matched to at a step: a row a block, a column a step; NaN: not dissected."""
    return table.pivot_table(index="block", columns="step", values="matched", aggfunc="sum", sort=False).sort_index(
        axis=1
    )


def emergence_html(dissection: "Dissection") -> str:
    """Return chart and tables as HTML; nothing, where no block has several steps."""
    table = dissection.emergence
    if table.empty:
        return ""
    counts = step_counts(table)
    steps = [int(step) for step in counts.columns]
    blocks = counts.set_axis([f"step {step}" for step in steps], axis=1).reset_index()
    columns = [Column("block"), *(Column(f"step {step}", form=_count) for step in steps)]
    cells = table.assign(cell=[_cell(row) for row in table.itertuples(index=False)])
    wide = cells.pivot_table(
        index=["block", "concept", "category"], columns="step", values="cell", aggfunc="first", sort=False
    ).sort_index(axis=1)
    first = table[table.matched].groupby(["block", "concept", "category"]).step.min()
    wide = wide.set_axis([f"step {step}" for step in wide.columns], axis=1).assign(first=first).reset_index()
    order = {block: place for place, block in enumerate(counts.index)}
    wide = wide.sort_values("first", kind="stable").sort_values("block", key=lambda own: own.map(order), kind="stable")
    names = [Column("block"), Column("concept"), Column("first", "first matched at step")]
    each = [Column(f"step {step}", help="units matched; best IoU (its control)") for step in steps]
    by_block = Table("steps", "Concepts matched, by block and step", columns, blocks)
    by_concept = Table("emergence", "Units matched; IoU of the best (its control), by step", [*names, *each], wide)
    return figures(*emergence_charts(dissection)) + by_block.html() + by_concept.folded("Each concept at each step")


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0f}"


def _cell(row: Any) -> str:
    return "–" if pd.isna(row.iou) else f"{row.units}; {number(row.iou)} ({number(row.control)})"
