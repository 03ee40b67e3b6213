"""Units in words: the images that show each, what describes them, and what is left without the unit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ganatomy.core.layer_steps import spanned
from ganatomy.report.causal.section import CONTROL, ERROR, Block, Section, figures, legend
from ganatomy.report.causal.tiles import Box, Card, grouped, tile
from ganatomy.report.charts import ChangeChart
from ganatomy.report.formats import change_text, count, percent, with_error
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from torch import Tensor

    from ganatomy.experiments.causal.describe import Descriptions

_NAMED = 5
"""Units that the answer names."""
_SIDE = 96
_FATES = {"goes": "goes", "weakens": "weakens", "with other words": "falls as other words do", "stays": "stays"}
"""What becomes of the described thing, as the answer has it."""


def describe_tables(found: "Descriptions") -> list[Table]:
    """Return every unit with its description, those first that are described best, and the best words of each."""
    numbers = (
        Column("score", "similarity", with_error, "error"),
        Column("change", "change without the unit", change_text, "change_error"),
        Column("random_change", "without a random unit", change_text, "random_change_error"),
        Column("beyond_random", "difference", change_text, "beyond_random_error", brief=False),
        Column("beyond_words", "beyond other words", change_text, "beyond_words_error", brief=False),
        Column("left", "left", percent, brief=False),
    )
    units = (
        Column("unit"),
        Column("description", form=_description),
        *numbers,
        Column("ablated", "when ablated"),
        Column("margin", "over the next word", brief=False),
        Column("chance", "by chance", percent),
        Column("best", "best word", brief=False),
        Column("images", brief=False),
    )
    words = (Column("unit"), Column("rank"), Column("word"), *numbers)
    table = found.table
    order = table.assign(known=table.description.notna()).sort_values(
        ["known", "score"], ascending=False, kind="stable"
    )
    title = f"Units of {_where(found)} in words"
    return [
        Table("descriptions", title, units, order, keys=2, drawn=("change",), control="random_change"),
        Table("best_words", "The best words of each unit", words, found.best_words, keys=3),
    ]


def _description(value: object) -> str:
    return "no description" if pd.isna(value) else str(value)  # type: ignore[call-overload]  # of any scalar


def describe_chart(found: "Descriptions") -> ChangeChart:
    """Return what ablating each described unit changes of its description, beside random units."""
    table, _ = describe_tables(found)
    known = table.frame[table.frame.description.notna()]
    return Table(
        table.name, table.caption, table.columns, known, keys=2, drawn=("change",), control="random_change"
    ).chart()


def describe_section(found: "Descriptions") -> Section:
    """Return the section of units in words."""
    where = _where(found)
    table, words = describe_tables(found)
    marks = [(ERROR, "standard error over images"), (CONTROL, "other units, active there, each ablated alone")]
    chart = describe_chart(found)
    drawn = figures(("Change of the similarity with the description", chart)) if chart.rows else ""
    at = f", at {where}" if found.spec.edited else ""
    tested = (
        f"Each unit was ablated in its own images{at}. "
        "It goes: its similarity falls further than without a random unit there, further than that "
        "of the other words, and by more than half. It weakens: by less than half."
    )
    return Section(
        key=f"describe-{where}",
        short=f"{where} in words",
        question=f"What do {_units(found)} draw, in words?",
        answer=_answer(found),
        blocks=[
            Block("Units that are described best", _lead(found), grouped(describe_cards(found))),
            Block("Does what is described go?", tested, legend(marks) * bool(drawn) + drawn + table.folded()),
            Block("Other words", "Words that fit a unit nearly as well.", words.folded("The best words of each unit")),
        ],
        methods=("edit",),
    )


def describe_cards(found: "Descriptions") -> list[tuple[str, list[Card]]]:
    """Return the images of each shown unit under its description: as they are, without it, and without a random one."""
    table, shown = found.table.set_index("unit"), found.strips
    groups = []
    for place, unit in enumerate(shown.units.tolist()):
        row = table.loc[unit]
        title = f"unit {unit}: {row.description}, similarity {with_error(row.score, row.error)}; {_FATES[row.ablated]}"
        images = zip(shown.before[place], shown.after[place], shown.random[place], strict=True)
        places = zip(shown.ids[place].tolist(), shown.boxes[place].tolist(), strict=True)
        groups.append((title, [_card(unit, *at, own) for at, own in zip(places, images, strict=True)]))
    return groups


def _card(unit: int, id_: int, box: Sequence[float], images: Sequence["Tensor"]) -> Card:
    """Return an image, without the unit, and without a random one; what is compared with words is boxed."""
    captions = (f"image {id_}", f"without unit {unit}", "without a random unit")
    boxes = [Box(*box)] if box[2] < 1 else []
    drawn = zip(images, captions, strict=True)
    return [(tile(each.numpy(), f"{caption}, image {id_}", boxes, _SIDE), caption) for each, caption in drawn]


def _lead(found: "Descriptions") -> str:
    spec = found.spec
    part = "" if spec.crop == 1 else f", in the part of {percent(spec.crop)} of the sides where it is greatest (boxed)"
    at = f" at {spec.layer}" if spec.edited else ""
    return (
        f"The {spec.top} images of the dissection in which a unit is greatest{at}{part}, compared with "
        f"{count(spec.images, 'random image')} of the model by {spec.describer}. A similarity is that with the word, "
        "in standard deviations over the same part of random images; these have 0 on average. A unit has a "
        f"description where at most {percent(spec.chance)} of {spec.draws:,} random sets of as many images are as "
        "similar to the best word for them. Below: the image, without the unit, and without a random unit."
    )


def _units(found: "Descriptions") -> str:
    units, where = found.spec.units, _where(found)
    every = units == tuple(range(len(units)))
    return f"the units of {where}" if every else f"{count(len(units), 'unit')} of {where}"


def _where(found: "Descriptions") -> str:
    """Return the layer, or a block and the steps at which its units are ablated."""
    return ", ".join(spanned(found.spec.layers()))


def _answer(found: "Descriptions") -> str:
    spec, table = found.spec, found.table
    known = table[table.description.notna()].sort_values("score", ascending=False, kind="stable")
    expected = round(spec.chance * len(table), 1)
    start = (
        f"{len(known):,} of {count(len(table), 'unit')} have a description among "
        f"{count(len(spec.words), 'word') if spec.words else 'the words of the captions'}; "
        f"by chance {expected:g} would."
    )
    if known.empty:
        return start
    best = "; ".join(f"unit {row.unit}: {row.description}" for row in rows(known.head(_NAMED)))
    fates = known.ablated.value_counts()
    became = ", ".join(f"{text} in {fates[fate]}" for fate, text in _FATES.items() if fate in fates)
    row = rows(known.head(1))[0]
    change, random = (
        change_text(row.change, row.change_error),
        change_text(row.random_change, row.random_change_error),
    )
    first = f"Without unit {row.unit} the similarity with {row.description}: {change}; without a random unit: {random}."
    return f"{start} Best: {best}. When its unit is ablated, what is described {became}. {first}"
