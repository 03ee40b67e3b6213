"""Photographs before and after edits, and what these changed."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ganatomy.report.causal.section import Block, Section
from ganatomy.report.causal.tiles import Card, heat_tile, rows_of_tiles, tile
from ganatomy.report.formats import count, effect_text, percent, percent_with_error
from ganatomy.report.tables import Column, Table, rows
from ganatomy.stats.paired import holds_zero

if TYPE_CHECKING:
    from ganatomy.experiments.inversion.edit import EditedPhotographs

SHOWN = 24
"""Photographs of which images are shown."""


def edited_tables(edited: "EditedPhotographs") -> list[Table]:
    """Return what the edits changed, of every concept."""
    columns = (
        Column("concept"),
        Column("category"),
        Column("before", form=percent),
        Column("after", form=percent),
        Column("change", form=effect_text, error="change_error"),
    )
    return [Table("changes", "Share of the pixels that show each concept", columns, edited.table)]


def edited_cards(edited: "EditedPhotographs") -> list[Card]:
    """Return each photograph before and after, and how far each pixel is changed."""
    shown, cards = edited.shown, list[Card]()
    both = (((each[:SHOWN] + 1) * 127.5).round().byte() for each in (shown.before, shown.after))
    before, after = (each.permute(0, 2, 3, 1).numpy() for each in both)
    for name, own, edit in zip(edited.facts["photographs"], before, after, strict=False):
        difference = np.abs(own.astype(float) - edit).mean(-1)
        cards.append(
            [
                (tile(own, f"{name}: the photograph"), name),
                (tile(edit, f"{name}: edited"), "edited"),
                (heat_tile(own, difference, float(difference.max()), f"{name}: what changed"), "what changed"),
            ]
        )
    return cards


def edited_section(edited: "EditedPhotographs") -> Section:
    """Return the section of edited photographs."""
    spec, (table,) = edited.spec, edited_tables(edited)
    lead = (
        "An edited photograph is the photograph and what the edits add to its reconstruction, where that is more than "
        "2 of 255; every other pixel is the photograph's."
    )
    size = "at the photographs' own size, the change enlarged to it" if edited.facts["own_size"] else "at this size"
    return Section(
        key=f"photographs-{spec.edits:.8}",
        short="edited photographs",
        question=f"What do {spec.chosen} do to {count(spec.images, 'photograph')}?",
        answer=greatest_change(edited.table),
        blocks=[
            Block("The photographs", f"{lead} The files in images/ are {size}.", rows_of_tiles(edited_cards(edited))),
            Block(table.caption, "Errors are standard errors over photographs.", table.html()),
        ],
    )


def greatest_change(table: pd.DataFrame) -> str:
    """Return, as a sentence, the greatest change of a table that is beyond its error."""
    if table.empty:
        return "The segmenter sees no concept in them."
    for row in rows(table):  # the greatest change first
        if not holds_zero(row.change, row.change_error):
            change = percent_with_error(row.change, row.change_error, sign=True)
            return f"{row.concept} changes most beyond its error: {change} of the pixels."
    return "No effect: no concept changes beyond its error."
