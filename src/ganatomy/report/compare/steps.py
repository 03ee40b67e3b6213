"""Blocks by steps of models that sample in steps: a heat map a study, all of them to one scale."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import Block
from ganatomy.report.compare.heat import Cell, heat, shade
from ganatomy.report.formats import percent, percent_with_error, with_error
from ganatomy.report.palette import NEUTRAL, ordered_colours
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.compare.comparison import Comparison

_LESS, _MORE = ordered_colours(2)
_UNDISSECTED, _UNABLATED = "–", "·"


@dataclass(frozen=True)
class Measure:
    """What the colours of the heat maps stand for.

    Attributes:
        name: of the column; its error is in the column of its name and ``_error``.
        heading: what it is called.
        help: how to read it.
        form: makes the text of a cell from value and error.
        random: column of the same number by random labels; none where there is none.
    """

    name: str
    heading: str
    help: str
    form: Callable[..., str]
    random: str = ""


MEASURES = (
    Measure("share", "Matched units", "Share of the units of a layer that match a concept.", percent_with_error),
    Measure(
        "agreement",
        "Do labels say what units cause?",
        "Of the units whose concept is drawn often enough, the share without which that concept shrinks clearly.",
        percent_with_error,
        "agreement_random",
    ),
    Measure(
        "effect",
        "Effect of a unit on its concept",
        "Mean change of the concept of a unit’s label where that unit alone is ablated, at that step alone.",
        partial(percent_with_error, sign=True),
        "effect_random",
    ),
)


def step_block(comparison: "Comparison") -> Block | None:
    """Return a heat map for each study of a model that samples in steps; None where there is none."""
    if comparison.steps.empty:
        return None
    found = comparison.steps.assign(
        share=comparison.steps["matched"] / comparison.steps["units"],
        share_error=comparison.steps["matched_error"] / comparison.steps["units"],
    )
    lead = (
        "One row a block, in forward order, one column a step of sampling; layers are named block@step. The colours of "
        f"all studies have one scale, which is below each choice. {_UNDISSECTED}: not dissected."
    )
    measured = [measure for measure in MEASURES if found[measure.name].notna().any()]
    if len(measured) > 1:
        lead += f" {_UNABLATED}: dissected, but no labelled unit of it was ablated alone (ganatomy ablate --each)."
    parts = [_maps(comparison, found, measure, first=measure is MEASURES[0]) for measure in measured]
    table = step_table(found)
    return Block("Block by block, step by step", lead, "".join(parts) + table.folded(table.caption))


def step_table(found: pd.DataFrame) -> Table:
    """Return the numbers of the heat maps."""
    columns = (
        Column("study"),
        Column("block"),
        Column("step"),
        Column("units"),
        Column("matched", form=with_error, error="matched_error"),
        Column("concepts", form=with_error, error="concepts_error"),
        Column("scored", "units scored", help="ablated one at a time, labelled, their concept drawn often enough"),
        Column("agreement", "own concept shrinks", percent_with_error, "agreement_error"),
        Column("agreement_random", "by random labels", percent),
        Column("effect", "mean relative change", percent_with_error, "effect_error"),
        Column("effect_random", "by random labels", percent),
    )
    measured = found.dropna(axis="columns", how="all")
    return Table("steps", "Every block and step in numbers", columns, measured, keys=3)


def _maps(comparison: "Comparison", found: pd.DataFrame, measure: Measure, first: bool) -> str:
    """Return the heat maps of all studies, of one measure, folded unless it is the first."""
    greatest = float(found[measure.name].abs().max()) or 1.0
    names = [name for name in comparison.spec.names if (found["study"] == name).any()]
    drawn = "".join(
        f"<figure><figcaption>{escape(name)}</figcaption>"
        f"{_map(found[found['study'] == name], measure, greatest, f'{measure.heading}: {name}')}</figure>"
        for name in names
    )
    return (
        f'<details name="steps"{" open" * first}><summary>{escape(measure.heading)}</summary>'
        f'<p class="lead">{escape(measure.help)}</p><div class="pair">{drawn}</div>'
        f"{_scale(found, measure, greatest)}</details>"
    )


def _map(own: pd.DataFrame, measure: Measure, greatest: float, label: str) -> str:
    blocks, steps = list(dict.fromkeys(own["block"])), sorted({int(step) for step in own["step"]})
    cells = {
        (block, str(step)): Cell(_UNDISSECTED, math.nan, title=f"{block} was not dissected at step {step}")
        for block in blocks
        for step in steps
    }
    for row in rows(own):
        cells[row.block, str(row.step)] = _cell(row, measure, greatest)
    return heat(list(map(str, steps)), blocks, cells, label, "step")


def _cell(row: Any, measure: Measure, greatest: float) -> Cell:
    value, error = getattr(row, measure.name), getattr(row, f"{measure.name}_error")
    if math.isnan(value):
        return Cell(_UNABLATED, math.nan, title=f"no labelled unit of {row.layer} was ablated alone")
    title = (
        f"{row.layer}: {with_error(row.matched, row.matched_error)} of {row.units} units match "
        f"{with_error(row.concepts, row.concepts_error)} concepts"
    )
    if measure.random:
        random = percent(getattr(row, measure.random))
        title = f"{row.layer}: {measure.form(value, error)} of {row.scored:.0f} units; by random labels {random}"
    return Cell(measure.form(value, error), abs(value) / greatest, _colour(value, measure), title)


def _colour(value: float, measure: Measure) -> str:
    if measure.name != "effect":
        return NEUTRAL
    return _LESS if value < 0 else _MORE


def _scale(found: pd.DataFrame, measure: Measure, greatest: float) -> str:
    """Return what the colours mean: a bar for each that occurs, from 0 to the greatest number."""
    signs = [sign for sign in (-1, 1) if (sign * found[measure.name] > 0).any()]
    bars = "".join(
        f'<span>0 <i style="background:linear-gradient(90deg, transparent, {shade(1, _colour(sign, measure))})"></i> '
        f"{escape(percent(sign * greatest))}</span> "
        for sign in signs
    )
    return f'<p class="small scale">{bars}</p>'
