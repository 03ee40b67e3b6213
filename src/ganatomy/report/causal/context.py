"""Where the model accepts an object: responsive places boxed, and the effect by what was there before (Figure 11)."""

import math
from typing import Any

import pandas as pd

from ganatomy.experiments.causal.context import Context
from ganatomy.report.causal.place_truth import truth_answer, truth_blocks
from ganatomy.report.causal.section import (
    Block,
    Section,
    charts,
    colours_of,
    compared_text,
    control_name,
    count,
    effect_text,
    figure,
    folded,
    legend,
    percent,
    sentence,
    table,
    usual_places,
)
from ganatomy.report.causal.tiles import Box, Card, heat_tile, rows_of_tiles, scale_bar, tile
from ganatomy.report.page import model_name
from ganatomy.report.svg import Change, change_chart
from ganatomy.report.tables import rows

_FEW = 5
"""With fewer places than that, an object has no bar; the table has it."""
_MARKS = {True: "✓ ", False: "✗ "}


def context_section(context: Context) -> Section:
    """Return the section of an insertion at every place."""
    spec = context.spec
    return Section(
        key=f"context-{spec.concept}",
        short=f"context {spec.concept}",
        question=f"Where does {model_name(spec.generator)} accept a {spec.concept}?",
        answer=_answer(context),
        blocks=[_pictures(context), *truth_blocks(context), _under(context), *_verdict(context)],
        spec=vars(spec),
        facts=context.facts,
    )


def context_chart(context: Context) -> str:
    """Return the mean effect by the object that was there before, what the grammar says before its name."""
    colours = colours_of(context.facts)
    own = context.under[context.under["places"] >= _FEW].sort_values("effect", ascending=False, kind="stable")
    bars = [
        Change(
            name=f"{_mark(row.allowed)}{row.object}",
            value=row.effect,
            error=row.effect_error,
            colour=colours[row.object, row.category],
            note=effect_text(row.effect, row.effect_error, brief=True),
            control=(row.random_effect, row.random_effect_error),
            title=f"{count(row.places, 'place')}, {percent(row.responsive)} responsive",
        )
        for row in rows(own)
    ]
    return change_chart(bars, f"Pixels of {context.spec.concept} gained, by the object under the place")


def context_cards(context: Context) -> list[Card]:
    """Return each image with its responsive places boxed, after its best insertion, and the gain by place."""
    spec = context.spec
    cards: list[Card] = []
    for i, number in enumerate(context.ids):
        own = _boxes(context, i)
        said = f"Image {number} with {spec.concept} inserted where most is gained"
        heat = f"Gain by place in image {number}"
        cards.append(
            [
                (
                    tile(context.pictures[i], f"Image {number}, responsive places: {len(own)}", own),
                    f"image {number}",
                ),
                (tile(context.inserted[i], said, own[:1]), "inserted" if own else "inserted, no place gains enough"),
                (heat_tile(context.pictures[i], context.maps[i], 1.0, heat), "gain by place"),
            ]
        )
    return cards


def _boxes(context: Context, image: int) -> list[Box]:
    """Return the responsive places of an image as shares of it, the most gained first."""
    height, width = context.pictures.shape[1:3]
    own = context.boxes[context.boxes["image"] == image].sort_values("gain", ascending=False, kind="stable")
    return [Box(row.top / height, row.left / width, row.height / height, row.width / width) for row in rows(own)]


def _mark(allowed: Any) -> str:
    return "" if pd.isna(allowed) else _MARKS[bool(allowed)]


def _answer(context: Context) -> str:
    if told := truth_answer(context):
        return told
    own = {row.by: row for row in rows(context.verdict)}
    units: Any = own["units"]
    if not (math.isfinite(units.allowed) and math.isfinite(units.forbidden)):
        best: Any = rows(context.under.sort_values("effect", ascending=False))[0]
        return f"Most on {best.object}: {effect_text(best.effect, best.effect_error)} of the place’s pixels."
    random: Any = own["random"]
    return (
        f"{context.spec.concept} gained where it may be, in parts of a place that showed none: "
        f"{effect_text(units.allowed, units.allowed_error)}; where it may not: "
        f"{effect_text(units.forbidden, units.forbidden_error)}; {compared_text(units)}. "
        f"{sentence(control_name(context.facts)).rstrip('.')}: {effect_text(random.allowed, random.allowed_error)} and "
        f"{effect_text(random.forbidden, random.forbidden_error)}."
    )


def _pictures(context: Context) -> Block:
    spec = context.spec
    lead = (
        f"{sentence(spec.chosen)} Set to {spec.multiple:g} × their mean where {spec.concept} is, at one place of "
        f"{spec.cell} × {spec.cell} of {spec.layer} at a time. Yellow: places where {spec.concept} gains at least "
        f"{percent(spec.responsive)} of the pixels. Beside it, inserted where most is gained. These images come "
        "first, they are not the best."
    )
    return Block(
        "Responsive places", lead, rows_of_tiles(context_cards(context)) + scale_bar("all of the place gained")
    )


def _under(context: Context) -> Block:
    marks = [
        ("<i class='mark error'></i>", "standard error, places of an image taken as one"),
        ("<i class='mark control'></i>", control_name(context.facts)),
    ]
    if context.under["allowed"].notna().any():
        marks += [("✓", "it may be there"), ("✗", "it may not")]
    numbers = [
        (
            f"{_mark(row.allowed)}{row.object}",
            f"{row.places:,}",
            f"{row.images:,}",
            effect_text(row.effect, row.effect_error),
            effect_text(row.image_effect, row.image_effect_error),
            percent(row.responsive),
            effect_text(row.random_effect, row.random_effect_error),
        )
        for row in rows(context.under)
    ]
    control = control_name(context.facts)
    columns = ("object under", "places", "images", "at the place", "in the image", "responsive", control)
    drawn = charts(figure(f"{context.spec.concept} gained, by the object under the place", context_chart(context)))
    lead = "The same units, the same values: what was there before decides. Shares of the place’s pixels."
    lead += usual_places(context.spec.concept, context.spec.usual)
    return Block("What decides", lead, legend(marks) + drawn + folded("All numbers", table(columns, numbers)))


def _verdict(context: Context) -> list[Block]:
    """Compare with what is expected, if anything is."""
    if not context.facts["allowed"] and not context.facts["forbidden"]:
        return []
    category = context.facts["category"]
    said = f"By the grammar of {category} scenes" if category else "As was said beforehand"
    allowed, forbidden = (", ".join(context.facts[name] or ["nothing"]) for name in ("allowed", "forbidden"))
    numbers = [
        (
            "chosen units" if row.by == "units" else control_name(context.facts),
            effect_text(row.allowed, row.allowed_error),
            f"{row.allowed_places:,}",
            effect_text(row.forbidden, row.forbidden_error),
            f"{row.forbidden_places:,}",
            compared_text(row),
        )
        for row in rows(context.verdict)
    ]
    columns = ("", "where allowed", "places", "where forbidden", "places", "compared")
    lead = (
        f"{said}, {context.spec.concept} may be on {allowed}, and not on {forbidden}; of others nothing is said. Only "
        "free places count, which show nothing of it before."
    )
    return [Block("Against the truth", lead, table(columns, numbers, "Mean gain, share of the place’s pixels"))]
