"""The same units at every step: their top images, where each is on in them, its concept and IoU (Figure 18)."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ganatomy.report.binary_packing import Array, reduced
from ganatomy.report.card import whole_zoom
from ganatomy.report.causal.section import Block, figures
from ganatomy.report.causal.tiles import tile
from ganatomy.report.charts import Line, LineChart, even_axis
from ganatomy.report.images import outlined
from ganatomy.report.monitor.curves import short, step_axis
from ganatomy.report.palette import ordered_colours
from ganatomy.report.tables import rows

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.monitor.training_history import TrainingHistory

MOMENTS = 7
"""Checkpoints whose images are shown; of more, so many are chosen evenly."""
_SIDE, _GAP = 64, 2


def followed_block(history: "TrainingHistory", units: Sequence[tuple[str, int]] | None = None) -> Block:
    """Return units through the training: those that match best at the end, unless others are named."""
    followed = history.follow(units)
    shown = even_choice(history.steps, MOMENTS)
    dissections = {step: history.dissection(step) for step in shown}
    cards = []
    for (layer, unit), own in followed.groupby(["layer", "unit"], sort=False):
        cells = [_cell(dissections[row.step], row) for row in rows(own) if row.step in dissections]
        end: Any = rows(own)[-1]
        heading = f"{layer} unit {unit}: {end.label if end.matched else 'no concept at the end'}"
        cards.append(f'<h3>{escape(heading)}</h3><div class="tiles moments"><div>{"".join(cells)}</div></div>')
    chosen = "which match best at the end, of each concept one first" if units is None else "which were named"
    some = f" Of {len(history.steps)} checkpoints, {len(shown)} are shown." if len(shown) < len(history.steps) else ""
    lead = (
        f"{len(cards)} units, {chosen}: at each checkpoint the four images in which the unit is greatest, bright "
        f"where it is on. In brackets where it matches none.{some}"
    )
    return Block("The same units, step by step", lead, _curves(history, followed) + "".join(cards))


def even_choice(steps: Sequence[int], count: int) -> list[int]:
    """Return at most so many of the steps, the first and the last among them.

    >>> even_choice([0, 10, 20, 30, 40, 50], 3)
    [0, 20, 50]
    """
    if len(steps) <= count:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (count - 1))] for i in range(count)]


def _curves(history: "TrainingHistory", followed: pd.DataFrame) -> str:
    groups = [(f"{layer} {unit}", own) for (layer, unit), own in followed.groupby(["layer", "unit"], sort=False)]
    colours = ordered_colours(len(groups))
    lines = [
        Line(name, own.step.tolist(), own.iou.tolist(), colour=colour)
        for (name, own), colour in zip(groups, colours, strict=True)
    ]
    y = even_axis("IoU", [value for line in lines for value in line.reach()], lambda value: f"{value:g}")
    heading = "IoU of each with its concept of the moment"
    return figures((heading, LineChart(lines, step_axis(history), y, heading)))


def _cell(dissection: "Dissection", row: Any) -> str:
    """Return what a unit was at one step."""
    image = mosaic(dissection, row.layer, row.unit)
    label = f"{row.label} {row.iou:.2f}" if isinstance(row.label, str) else "nothing"
    text = label if row.matched else f"({label})"
    became = f" · {row.became}" if row.became in ("changed", "lost", "gained") else ""
    title = f"step {row.step}: {text}"
    caption = f"{escape(short(row.step))}{became}<br>{escape(text)}"
    return f"<figure>{tile(image, title, side=image.shape[1])}<figcaption>{caption}</figcaption></figure>"


def mosaic(dissection: "Dissection", layer: str, unit: int) -> Array:
    """Return the four top images of a unit, two by two, uint8 [h, w, 3]; grey where there are fewer."""
    strip = dissection.top(layer, unit)
    if not len(strip.ids):
        return np.full((2 * _SIDE + _GAP, 2 * _SIDE + _GAP, 3), 128, np.uint8)
    images = reduced(outlined(strip, whole_zoom(strip.images, _SIDE))[:4], 2 * _SIDE)
    count, height, width, _ = images.shape
    sheet = np.full((2 * height + _GAP, 2 * width + _GAP, 3), 128, np.uint8)
    for i in range(count):
        top, left = (height + _GAP) * (i // 2), (width + _GAP) * (i % 2)
        sheet[top : top + height, left : left + width] = images[i]
    return sheet
