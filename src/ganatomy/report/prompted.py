"""What a report says of a text-to-image model's prompts: concepts by prompt and slot, pairs, words and things."""

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from ganatomy.report.causal.section import Block
from ganatomy.report.formats import effect_text, number, percent_with_error, with_error
from ganatomy.report.tables import Column, Table, folded

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection

CONCEPTS, ACROSS, BRIEF = 16, 9, 6
"""Concepts and prompts that a table on the page shows, those that differ most, and rows in a terminal."""
WORDS_LEAD = (
    "Units that go best with a concept that a prompt says: their greatest activation in an image, its mean over the "
    "images whose prompt says the word, or not, and that show the thing, or not. A unit that follows the thing is "
    "stronger where the said thing is drawn than where it is missing; one that follows the word is stronger where the "
    "word is said but the thing is missing than where there is neither, each by two standard errors."
)


def share_tables(dissection: "Dissection") -> list[Table]:
    """Return each concept's share of the pixels by prompt, or by what a slot holds, and within pairs."""
    found = [
        _across(f"slot-{i}", f"by {slot}", "value", own)
        for i, (slot, own) in enumerate(
            dissection.slots.groupby("slot", sort=False) if len(dissection.slots) else (), 1
        )
    ]
    prompts = dissection.prompts
    if len(prompts) and prompts.prompt.nunique() <= ACROSS:
        found.append(_across("prompts", "by prompt", "prompt", prompts))
    if len(dissection.prompt_pairs):
        columns = (
            *map(Column, ("word", "instead", "concept", "pairs")),
            Column("share", "first", percent_with_error),
            Column("instead_share", "second", percent_with_error),
            Column("change", "second − first", effect_text, "change_error"),
        )
        caption = "Share of the pixels in pairs of images of one noise, one word apart; ± is one standard error"
        table = dissection.prompt_pairs
        order = (table.change.abs() / table.change_error).sort_values(ascending=False, kind="stable").index
        found.append(Table("prompt-pairs", caption, columns, table.loc[order].head(3 * CONCEPTS), BRIEF, keys=3))
    return found


def word_tables(dissection: "Dissection") -> list[Table]:
    """Return what units follow, the word of a prompt or the thing that is drawn; by their greatest activation."""
    if not len(dissection.words):
        return []
    columns = (
        *map(Column, ("concept", "layer", "unit")),
        Column("iou", "IoU"),
        Column("matched"),
        Column("follows"),
        Column("said_drawn", "said, drawn", with_error, "said_drawn_error"),
        Column("said_absent", "said, not drawn", with_error, "said_absent_error"),
        Column("unsaid_drawn", "not said, drawn", with_error, "unsaid_drawn_error"),
        Column("unsaid_absent", "neither", with_error, "unsaid_absent_error"),
    )
    frame = dissection.words[dissection.words["read"] == "max"]
    caption = "Greatest activation of units, mean over images; ± is one standard error"
    return [Table("words", caption, columns, frame, keys=3)]


def word_map_table(dissection: "Dissection") -> Table:
    """Return how well the attention to each word marks the concept that it names."""
    columns = (
        *map(Column, ("word", "layer", "unit", "concept")),
        Column("iou", "IoU", number),
        Column("chance", form=number),
        Column("control", form=number),
        Column("matched"),
        Column("place", help="of the words by their IoU with the concept; 1: no word's map goes better with it"),
    )
    caption = "The attention to each word, and the concept of its name"
    return Table("word-maps", caption, columns, dissection.word_maps, keys=4)


def prompt_blocks(dissection: "Dissection") -> list[Block]:
    """Return what the overview says of prompts: nothing of models without."""
    shares, words = share_tables(dissection), word_tables(dissection)
    lead = "Mean over images, ± one standard error; the concepts that differ most. tables/prompts.parquet has all."
    blocks = [Block("What do prompts change?", lead, "".join(t.html() for t in shares))] if shares else []
    if words:
        body = "".join(f"<p>{line}</p>" for line in map(escape, dissection.word_sentences))
        blocks.append(Block("The word or the thing?", WORDS_LEAD, body + folded("All units", words[0].html())))
    if len(dissection.word_maps):
        own = dissection.word_maps
        lead = (
            f"{own.matched.sum()} of {len(own)} maps of words are matched to the concept of their name, and "
            f"{(own.place == 1).sum()} go better with it than the map of any other word of their layer."
        )
        blocks.append(Block("Does attention to a word mark its thing?", lead, word_map_table(dissection).html()))
    return blocks


def _across(name: str, by: str, key: str, own: pd.DataFrame) -> Table:
    """Return concepts as rows, those that differ most first, and the values of a slot, or prompts, as columns."""
    caption = f"Share of the pixels {by}; ± is one standard error"
    values = list(dict.fromkeys(own[key]))[:ACROSS]
    values_of = ["share", "share_error"]
    wide = own.pivot(index=["concept", "category"], columns=key, values=values_of)  # noqa: PD010  others drop NaN
    shares = wide["share"][values]
    frame = pd.concat([shares, wide["share_error"][values].add_suffix(" ±")], axis=1)
    order = (shares.T.max() - shares.T.min()).sort_values(ascending=False, kind="stable").index
    columns = (Column("concept", by), *(Column(each, form=percent_with_error, error=f"{each} ±") for each in values))
    return Table(name, caption, columns, frame.loc[order].reset_index().head(CONCEPTS), BRIEF)
