"""Where the model accepts an object: responsive places boxed, and the effect by what was there before (Figure 11)."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.remote import write_text
from ganatomy.report.causal.section import (
    CONTROL,
    ERROR,
    Block,
    Section,
    colours_of,
    control_name,
    effect_bar,
    figures,
    frequent_places,
    legend,
)
from ganatomy.report.causal.tiles import (
    CYAN,
    WIDE,
    YELLOW,
    Box,
    Card,
    crop_tile,
    heat_tile,
    rows_of_tiles,
    scale_bar,
    sheet,
    tile,
)
from ganatomy.report.charts import Change, ChangeChart
from ganatomy.report.formats import compared_text, count, effect_text, percent, percent_with_error, sentence
from ganatomy.report.page import model_name
from ganatomy.report.svg import Titled, as_file
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.causal.context import Context

_FEW = 5
"""With fewer places than that, an object has no bar; the table has it."""
_TRUTH = "#4f8a3a"
_SIDE, _SMALL = 192, 128
"""Widths of images on a page, and in a file."""
_MARKS = {True: "✓", False: "✗"}


def context_tables(context: "Context") -> list[Table]:
    """Return the effect by the object under the place, by the truth of the place, and where it is allowed or not."""
    under = (
        Column("object", "object under"),
        Column("places"),
        Column("images"),
        Column("effect", "at the place", effect_text, "effect_error"),
        Column("image_effect", "in the image", effect_text, "image_effect_error", brief=False),
        Column("responsive", form=percent),
        Column("random_effect", control_name(context.facts), effect_text, "random_effect_error"),
        Column("allowed"),
    )
    tables = [Table("under", "Gain by the object under the place", under, context.under), *truth_tables(context)]
    verdict = context.verdict
    if verdict["allowed"].isna().all() and verdict["forbidden"].isna().all():
        return tables  # nobody knows where it may be
    columns = (
        Column("by", "units"),
        Column("allowed", "where allowed", effect_text, "allowed_error"),
        Column("allowed_places", "places"),
        Column("forbidden", "where forbidden", effect_text, "forbidden_error"),
        Column("forbidden_places", "places"),
        Column("compared"),
    )
    names = {"units": "chosen units", "random": control_name(context.facts)}
    found = verdict.assign(by=verdict["by"].map(names), compared=[compared_text(row) for row in rows(verdict)])
    return [*tables, Table("verdict", "Mean gain, share of the place’s pixels", columns, found)]


def context_section(context: "Context") -> Section:
    """Return the section of an insertion at every place."""
    spec = context.spec
    under, *others = context_tables(context)
    return Section(
        key=f"context-{spec.concept}",
        short=f"context {spec.concept}",
        question=f"Where does {model_name(spec.generator)} accept a {spec.concept}?",
        answer=_answer(context),
        blocks=[_images(context), *truth_blocks(context), _under(context, under), *_verdict(context, others)],
    )


def context_chart(context: "Context") -> ChangeChart:
    """Return the mean effect by the object that was there before, what the grammar says before its name."""
    colours = colours_of(context.facts)
    own = context.under[context.under["places"] >= _FEW].sort_values("effect", ascending=False, kind="stable")
    bars = [
        effect_bar(
            row.object if pd.isna(row.allowed) else f"{_MARKS[bool(row.allowed)]} {row.object}",
            row.effect,
            row.effect_error,
            colours[row.object, row.category],
            control=(row.random_effect, row.random_effect_error),
            title=f"{count(row.places, 'place')}, {percent(row.responsive)} responsive",
        )
        for row in rows(own)
    ]
    title = f"Pixels of {context.spec.concept} gained, by the object under the place"
    return ChangeChart(bars, title, control=control_name(context.facts))


def main_chart(context: "Context") -> ChangeChart:
    """Return the effect by the truth of the place, if that is known, else by the object under it."""
    return truth_chart(context) if len(context.possible) else context_chart(context)


def context_cards(context: "Context", closer: bool = False) -> list[Card]:
    """Return each image with its responsive places boxed, the gain by place, and the best insertion.

    Args:
        context: what was measured.
        closer: whether the place of the best insertion follows six times as large, before and after.
    """
    cards: list[Card] = []
    allowed, greatest, side = _allowed(context), _greatest(context), _SIDE if closer else _SMALL
    for i, number in enumerate(context.ids):
        own, concept = _boxes(context, i), context.spec.concept
        before, after = context.images[i], context.inserted[i]
        gain = heat_tile(before, context.maps[i], greatest, f"Gain by place in image {number}", side, allowed[i])
        most = f", +{percent(float(context.maps[i].max()), 2)} at most" * closer
        inserted = f"Image {number} with {concept} inserted where most is gained"
        card = [
            (tile(before, f"Image {number}, responsive places: {len(own)}", own, side), f"image {number}"),
            (gain, f"gain by place{most}"),
            (tile(after, inserted, own[:1], side), "inserted" + ", no place gains enough" * (not own)),
        ]
        if closer and own:
            gained = f"after: +{percent(_most(context, i), 2)} of the place"
            card += [
                (crop_tile(before, own[0], f"The best place of image {number} before"), "that place before"),
                (crop_tile(after, own[0], f"The best place of image {number} after"), gained),
            ]
        cards.append(card)
    return cards


def _greatest(context: "Context") -> float:
    """Return the gain that is as bright as can be on the maps: the greatest shown, at least that of a response."""
    return max(context.spec.responsive, float(context.maps.max(initial=0.0)))


def _most(context: "Context", image: int) -> float:
    """Return the greatest gain in an image, of the places that are responsive."""
    return float(context.boxes[context.boxes["image"] == image]["gain"].max())


def _allowed(context: "Context") -> list[Any]:
    """Return where each image shown may have the concept, bool [rows, columns]; None where that is not known."""
    shape, places = context.maps.shape, context.places
    if "possible" in places:
        known = places["possible"] >= context.facts["truth"]["allowed"]
    elif context.facts["allowed"]:
        known = places["under"].isin(context.facts["allowed"])
    else:
        return [None] * shape[0]
    return list(known.to_numpy(bool)[: math.prod(shape)].reshape(shape))


def save_context(context: "Context", path: str | Path, images: int = 6) -> None:
    """Write where an object is accepted, places boxed and the effect by what was there, as an SVG file (Figure 11)."""
    blocks: list[Titled] = [
        ("Responsive places, gain by place, the best insertion", sheet(context_cards(context)[:images], WIDE - 32)),
        *(
            [(f"{context.spec.concept} appears, by what the renderer would do there", truth_chart(context))]
            if len(context.possible)
            else []
        ),
        (f"{context.spec.concept} gained, by the object under the place", context_chart(context)),
    ]
    title = f"{context.spec.concept} inserted at {context.spec.layer}, {context.spec.generator}"
    write_text(path, as_file(title, (), blocks, WIDE))


def _boxes(context: "Context", image: int) -> list[Box]:
    """Return the responsive places of an image as shares of it, the most gained first."""
    height, width = context.images.shape[1:3]
    own = context.boxes[context.boxes["image"] == image].sort_values("gain", ascending=False, kind="stable")
    return [Box(row.top / height, row.left / width, row.height / height, row.width / width) for row in rows(own)]


def _answer(context: "Context") -> str:
    if answer := truth_answer(context):
        return answer
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


def _images(context: "Context") -> Block:
    spec = context.spec
    lead = (
        f"{sentence(spec.chosen)} Set to {spec.multiple:g} × their mean where {spec.concept} is, at one place of "
        f"{spec.cell} × {spec.cell} of {spec.layers()[-1]} at a time. The map shows what each place gains. The last "
        "images are the insertion at the place that gains most, and that place six times as large. These images come "
        "first, they are not the best."
    )
    marks = [(f'<i style="background:{YELLOW}"></i>', f"{spec.concept} gains at least {percent(spec.responsive)} here")]
    if any(own is not None for own in _allowed(context)):
        marks.append((f'<i style="background:{CYAN}"></i>', f"outlined on the map: {spec.concept} may be here"))
    scale = scale_bar(f"{percent(_greatest(context), 2)} of the place gained")
    return Block("Responsive places", lead, legend(marks) + scale + rows_of_tiles(context_cards(context, closer=True)))


def _under(context: "Context", table: Table) -> Block:
    marks = [(ERROR, "standard error, places of an image taken as one"), (CONTROL, control_name(context.facts))]
    if context.under["allowed"].notna().any():
        marks += [("✓", "it may be there"), ("✗", "it may not")]
    lead = "The same units, the same values: what was there before decides. Shares of the place’s pixels."
    lead += frequent_places(context.spec.concept, context.spec.min_frequency)
    chart = (f"{context.spec.concept} gained, by the object under the place", context_chart(context))
    return Block("What decides", lead, legend(marks) + figures(chart) + table.folded())


def _verdict(context: "Context", tables: list[Table]) -> list[Block]:
    """Compare with what is expected, if anything is."""
    if not context.facts["allowed"] and not context.facts["forbidden"]:
        return []
    category = context.facts["category"]
    source = f"By the grammar of {category} scenes" if category else "By the given rules"
    allowed, forbidden = (", ".join(context.facts[name] or ["nothing"]) for name in ("allowed", "forbidden"))
    lead = (
        f"{source}, {context.spec.concept} may be on {allowed}, and not on {forbidden}; other objects are not rated. "
        "Only free places count, which show nothing of it before."
    )
    return [Block("Against the truth", lead, table.html()) for table in tables if table.name == "verdict"]


def truth_tables(context: "Context") -> list[Table]:
    """Return the effect by the probability that the renderer would put the object there, if that is known."""
    if context.possible.empty:
        return []
    columns = (
        Column("renderer"),
        Column("places"),
        Column("images"),
        Column("appears", "appears at", percent_with_error, "appears_error"),
        Column("effect", "of the place gained", effect_text, "effect_error"),
        Column("random_appears", control_name(context.facts), percent_with_error, "random_appears_error"),
    )
    return [Table("possible", "Free places, by the probability of the object", columns, _possible(context))]


def truth_answer(context: "Context") -> str:
    """Return how often the object appears where it is allowed and where it is forbidden; nothing without a truth."""
    if context.possible.empty:
        return ""
    own = {row.by: row for row in rows(context.verdict)}
    units, control = own["units"], own["random"]
    return (
        f"Where the renderer could put it, {context.spec.concept} appears at "
        f"{percent_with_error(units.allowed_appears, units.allowed_appears_error)} of free places; where it never "
        f"would, at {percent_with_error(units.forbidden_appears, units.forbidden_appears_error)}: "
        f"{truth_ratio(units)}. Control ({control_name(context.facts)}): {percent(control.allowed_appears, 2)} and "
        f"{percent(control.forbidden_appears, 2)}."
    )


def truth_ratio(row: Any) -> str:
    """Return how much more often it appears where it is allowed, or that there is no effect or too few places."""
    if not (row.allowed_places and row.forbidden_places):
        return "too few free places to compare"
    return compared_text(row, "appears_")


def probability_range(low: float, high: float) -> str:
    """Return a range of probabilities in words.

    >>> probability_range(0, 0), probability_range(0, 0.05), probability_range(0.5, 1)
    ('P = 0', 'P below 5 %', 'P from 50 %')
    """
    if high == 0:
        return "P = 0"
    if low == 0:
        return f"P below {percent(high, 2)}"
    return f"P from {percent(low, 2)}" + ("" if high == 1 else f" to {percent(high, 2)}")


def truth_chart(context: "Context") -> ChangeChart:
    """Return how often the object appears, by the probability that the renderer would put it there."""
    bars = [
        Change(
            row.renderer.replace("from ", "").replace(" % to ", "–") if " to " in row.renderer else row.renderer,
            row.appears,
            row.appears_error,
            _TRUTH,
            percent_with_error(row.appears, row.appears_error),
            control=(row.random_appears, row.random_appears_error),
            title=f"{row.places:,} places",
        )
        for row in rows(_possible(context))
        if row.places
    ]
    title = f"Share of free places where {context.spec.concept} appears"
    return ChangeChart(bars, title, 1.0, control_name(context.facts))


def truth_blocks(context: "Context") -> list[Block]:
    """Return the effect by the truth of the place, if that is known."""
    if context.possible.empty:
        return []
    truth, concept = context.facts["truth"], context.spec.concept
    drawn = (
        f"{truth['draws']} draws of it in that scene" if truth["exact"] else f"{truth['draws']} scenes that look alike"
    )
    lead = (
        f"P: with which probability would the renderer of {truth['category']} scenes put {concept} over a fifth of the "
        f"place, in this very scene, by {drawn}? Only free places count, which show no {concept} before. It appears "
        "where it newly covers half its usual area or a quarter of the place. Allowed is P of at least "
        f"{percent(truth['allowed'])}, forbidden P = 0."
    )
    (table,) = truth_tables(context)
    chart = (f"{concept} appears, by the probability of it there", truth_chart(context))
    return [Block("Against the truth of the place", lead, figures(chart) + table.html())]


def _possible(context: "Context") -> pd.DataFrame:
    own = context.possible
    return own.assign(renderer=[probability_range(*ends) for ends in zip(own["low"], own["high"], strict=True)])
