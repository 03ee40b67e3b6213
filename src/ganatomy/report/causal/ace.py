"""Which units make a concept appear and vanish: what is left of it as more of them are ablated (Figure 4)."""

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from ganatomy.core.layer_steps import nearest_layers, spanned
from ganatomy.remote import write_text
from ganatomy.report.causal.section import (
    CONTROL,
    ERROR,
    RANDOM,
    Block,
    Section,
    colours_of,
    effect_bar,
    figures,
    legend,
    target_of,
)
from ganatomy.report.causal.tiles import Card, rows_of_tiles, tile
from ganatomy.report.causal.top_images import called, row_of_images, top_tiles
from ganatomy.report.charts import Change, ChangeChart, Line, LineChart, even_axis, finite
from ganatomy.report.formats import count, effect_text, number, percent, percent_with_error, with_error
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.svg import as_file
from ganatomy.report.tables import Column, Table, rows
from ganatomy.stats.paired import holds_zero

if TYPE_CHECKING:
    from ganatomy.experiments.causal.ace import Ace

_OTHERS = 14
"""Other concepts that have a bar."""
_TERMS = {"insertion": "inserted", "ablation": "ablated", "ace": "ACE"}
_NONE = {"insertion": 1.0, "ablation": 1.0, "ace": 0.0}
"""The value of each term without any effect."""
_COMMON = 0.001
"""Least share of the pixels before, for a relative change to mean something."""
_BY = ("ace", "iou", "random")
_TOP, _SIDE = 4, 64
"""Top images of a unit, and how wide each is."""


def ace_tables(ace: "Ace") -> list[Table]:
    """Return both terms of the effect, and what is left of the concept as more units are ablated."""
    effects = ace.effects.assign(
        name=[_term(ace, row) for row in rows(ace.effects)],
        relative=[effect_text(row.normalised, row.normalised_error, _NONE[row.term]) for row in rows(ace.effects)],
    )
    terms = (
        Column("name", "term, units"),
        Column("n", "units"),
        Column("relative", "in parts of what there is"),
        Column("value", "share of the pixels", percent_with_error, "error"),
    )
    curve = ace.curve.pivot_table("relative", "n", "by")
    curve = curve.join(ace.curve.pivot_table("error", "n", "by").add_suffix("_error")).sort_index()
    names = _names(ace)
    change = [Column(by, f"change, {names[by]}", effect_text, f"{by}_error") for by in _BY]
    return [
        Table("terms", "Both terms of the average causal effect", terms, effects),
        Table(
            "curve", "Change by the number of ablated units", (Column("n", "units"), *change), curve.reset_index(), 40
        ),
    ]


def ace_section(ace: "Ace") -> Section:
    """Return the section of a search for causal units."""
    spec = ace.spec
    terms, curve = ace_tables(ace)
    return Section(
        key=f"ace-{spec.concept}",
        short=f"ACE {spec.concept}",
        question=f"Which units of {', '.join(spanned(spec.layers()))} make {spec.concept} appear and vanish?",
        answer=_answer(ace),
        blocks=[*_images(ace), _remaining(ace, curve), _units(ace), _terms(ace, terms), _others(ace), _history(ace)],
    )


def ace_chart(ace: "Ace") -> LineChart:
    """Return what is left of the concept when the first n units are ablated, by ACE, by IoU and at random."""
    lines = []
    for by, colour, dash in (("ace", _colour(ace), ""), ("iou", "currentColor", "6 4"), ("random", NEUTRAL, "2 4")):
        own = ace.curve[ace.curve["by"] == by].sort_values("n")
        if len(own):
            error = own["spread"].fillna(own["error"]) if by == "random" else own["error"]
            left = [1.0, *(1 + own["relative"])]
            lines.append(Line(_names(ace)[by], [0, *own["n"]], left, [0.0, *error], colour, dash))
    x = even_axis("ablated units", [0, int(ace.curve["n"].max())], lambda value: f"{value:g}", count=6)
    y = even_axis(f"{ace.spec.concept} pixels left", [v for line in lines for v in line.reach()], percent)
    return LineChart(lines, x, y, f"Share of {ace.spec.concept} pixels left, by number of ablated units")


def term_chart(ace: "Ace") -> ChangeChart:
    """Return both terms of the average causal effect and their difference, by ACE, by IoU and at random."""
    found = {(row.term, row.by): row for row in rows(ace.effects)}
    bars = []
    for term, by in ((term, by) for term in _TERMS for by in _BY if (term, by) in found):
        row, control = found[term, by], found.get((term, "random")) if by != "random" else None
        name = _term(ace, row)
        bars.append(
            Change(
                name,
                row.normalised,
                row.normalised_error,
                _colour(ace) if by == "ace" else NEUTRAL,
                effect_text(row.normalised, row.normalised_error, _NONE[term], brief=True),
                control=None if control is None else (control.normalised, control.spread),
                title=f"{name}: {percent_with_error(row.value, row.error)} of the pixels that count",
                strong=by == "ace",
            )
        )
    return ChangeChart(bars, f"Both terms of the average causal effect on {ace.spec.concept}", control="random units")


def save_ace_curve(ace: "Ace", path: str | Path) -> None:
    """Write what is left of a concept as more units are switched off as an SVG file (Figure 4)."""
    blocks = [(f"{ace.spec.concept} pixels left, by number of units switched off", ace_chart(ace))]
    write_text(path, as_file(f"{ace.spec.layer} of {ace.spec.generator}", (), blocks))


def _names(ace: "Ace") -> dict[str, str]:
    """Return the name of each ranking; that of one which optimisation did not change is that of its start."""
    start = {"gradient": "first order", "iou": "by IoU (start)"}[ace.spec.start]
    return {"ace": "by ACE" if ace.updates else start, "iou": "by IoU", "random": "random"}


def _term(ace: "Ace", row: Any) -> str:
    """Return the name of a term by a ranking, short enough for the rows of a chart."""
    ranked = {"ace": "ACE" if ace.updates else "start", "iou": "IoU"}
    return f"{_TERMS[row.term]}, {ranked.get(row.by, row.by)}"


def _colour(ace: "Ace") -> str:
    return colours_of(ace.facts)[target_of(ace.facts, ace.spec.concept)]


def _size(ace: "Ace", table: pd.DataFrame) -> int:
    """Return the greatest number of ablated units in a table that is not above the requested one."""
    return int(table[table["n"] <= ace.spec.top]["n"].max())


def _answer(ace: "Ace") -> str:
    spec, at = ace.spec, _size(ace, ace.curve)
    own = {row.by: row for row in rows(ace.curve[ace.curve["n"] == at])}
    chosen = f"selected by ACE ({ace.called})" if ace.updates else f"selected by {ace.called}"
    left = [
        f"{effect_text(1 + own[by].relative, own[by].error, 1.0)} {name}"
        for by, name in zip(_BY, (chosen, "by IoU", "at random"), strict=True)
        if by in own
    ]
    return (
        f"With {count(at, 'unit')} ablated, this much of the {spec.concept} pixels is left: {'; '.join(left)}. "
        f"{_significance(own)} Measured on {spec.images:,} held-out images."
    )


def _significance(own: Mapping[str, Any]) -> str:
    """Say whether the chosen units remove more than those of greatest IoU and random ones, beyond two errors."""
    found: dict[str, list[str]] = {}
    for by, name in (("iou", "those by IoU"), ("random", "random ones")):
        if by in own and "ace" in own:
            errors = [max(finite(own[each].error), finite(own[each].spread)) for each in ("ace", by)]
            change, error = own["ace"].relative - own[by].relative, math.hypot(*errors)
            sure = "clearly more than" if change < 0 else "clearly less than"
            word = "not clearly more or less than" if holds_zero(change, error) else sure
            found.setdefault(word, []).append(name)
    text = " and ".join(f"{word} {' and '.join(names)}" for word, names in found.items())
    return f"The first of these remove {text} (clearly: beyond two standard errors)." if text else ""


def _images(ace: "Ace") -> list[Block]:
    found, at = ace.images, ace.spec.top
    if found is None:
        return []
    cards: list[Card] = []
    ids, before, after, random = (tensor.numpy() for tensor in found.state_dict().values())
    for i, image in enumerate(ids):
        card = [
            (tile(before[i], f"Image {image} before"), f"image {image}"),
            (tile(after[i], f"Image {image} without the {at} units"), f"without {count(at, 'unit')}"),
        ]
        if len(random):
            card.append((tile(random[i], f"Image {image} without {at} random units"), RANDOM))
        cards.append(card)
    lead = (
        f"The {count(at, 'unit')} of greatest α are ablated everywhere, then as many random ones. These images show "
        f"the most {ace.spec.concept}: they are selected, the numbers are not."
    )
    return [Block("Before and after", lead, rows_of_tiles(cards))]


def _remaining(ace: "Ace", table: Table) -> Block:
    lead = (
        "Units are ablated everywhere, the first of each ranking first; lower is better. "
        f"Bands: one standard error over images; for random, the spread of {count(ace.spec.random, 'set')}."
    )
    drawn = figures((f"What is left of {ace.spec.concept}", ace_chart(ace)))
    return Block("How many units does it take?", lead, drawn + table.folded())


def _terms(ace: "Ace", table: Table) -> Block:
    lead = (
        f"Inserted: how much {ace.spec.concept} a place shows, anywhere, when the {ace.spec.top} units are set there "
        f"to their mean where it is: what it gains at {count(ace.spec.places, 'place')} of each image, one at a time, "
        "and what there is on average. Ablated: how much images show when they are ablated. ACE: the difference. "
        "All divided by how much there is without any edit, so 100 % of either is no effect."
    )
    marks = [
        (ERROR, "standard error over images, the places of one being one draw"),
        (CONTROL, "random sets of as many units"),
    ]
    body = legend(marks) + figures(("Both terms, and ACE", term_chart(ace))) + table.folded()
    return Block("Average causal effect", lead, body)


def _others(ace: "Ace") -> Block:
    spec, colours, at = ace.spec, colours_of(ace.facts), _size(ace, ace.others)
    found = ace.others[ace.others["n"] == at]
    chosen = found[(found["by"] == "ace") & (found["before"] >= _COMMON)]
    chosen = chosen.loc[chosen["change"].abs().sort_values(ascending=False).index].head(_OTHERS)
    order = chosen[["concept", "category"]]
    drawn = []
    for by in _BY:
        bars = [
            effect_bar(
                row.concept,
                row.relative,
                row.relative_error,
                colours[row.concept, row.category],
                strong=(row.concept, row.category) == target_of(ace.facts, spec.concept),
            )
            for row in rows(order.merge(found[found["by"] == by], on=["concept", "category"]))
        ]
        if bars:
            heading = f"{count(at, 'unit')} {_names(ace)[by]}"
            drawn.append((heading, ChangeChart(bars, f"Change of other concepts, {heading}", 1.0)))
    lead = (
        f"The change of every other concept when {count(at, 'unit')} are ablated: what disappears with {spec.concept}?"
    )
    return Block("What else changes", lead, figures(*drawn))


def _units(ace: "Ace") -> Block:
    top = ace.units.sort_values("rank").head(ace.spec.top)
    shared = int((top["iou_rank"] <= ace.spec.top).sum())
    lead = (
        f"The {count(len(top), 'unit')} of greatest α. {shared} are also among the {ace.spec.top} of greatest IoU: "
        "what looks like the concept and what causes it are not the same list."
    )
    if ace.dissection is not None:
        layer = nearest_layers(ace.dissection.layers, ace.spec.layers())[0]
        lead += f" Their top images are those of the dissection of {layer}, bright where the unit is on."
    cards = "".join(f'<li class="card tiles">{_unit(ace, row)}</li>' for row in rows(top))
    return Block("The units", lead, f'<ol class="units">{cards}</ol>')


def _unit(ace: "Ace", row: Any) -> str:
    """Return the card of a unit; the page makes its name a link where the dissection's report is known."""
    iou, layer, dissection = "–" if pd.isna(row.iou) else f"{row.iou:.3f}", ace.spec.layer, ace.dissection
    label = tiles = ""
    if dissection is not None:
        known = dissection.units
        layer = nearest_layers(dissection.layers, ace.spec.layers())[0]
        (own,) = rows(known[(known["layer"] == layer) & (known["unit"] == row.unit)])
        label = f'<span class="small">{escape(called(own))}</span>'
        tiles = row_of_images(top_tiles(dissection, layer, int(row.unit), _TOP, _SIDE))
    return (
        f'{tiles}<strong><a data-unit="{quote(layer)}/{row.unit}">unit {row.unit}</a></strong> {label}'
        f'<div class="bar"><span style="width:{100 * row.alpha:.1f}%;background:{_colour(ace)}"></span></div>'
        f'<span class="small">α {row.alpha:.2f} · IoU with {escape(ace.spec.concept)} {iou}, rank {row.iou_rank}</span>'
    )


def _history(ace: "Ace") -> Block:
    x_, y_, error = (ace.history[name].tolist() for name in ("evaluations", "held_out", "error"))
    line = Line("held out", x_, y_, error, _colour(ace))
    x = even_axis("images drawn and segmented", line.x, lambda value: f"{value:,.0f}", count=4)
    chart = LineChart([line], x, even_axis("held-out effect", line.reach(), number), "Held-out effect")
    last = rows(ace.history)[-1]
    lead = (
        f"The effect of the {ace.spec.top} units of greatest α on held-out places while α was optimised: "
        f"{last.evaluations:,} images drawn and segmented, {last.gradients:,} of them with gradients. "
        f"{_updates(ace)}"
    )
    corrected = "".join(f"<li>{escape(each)}</li>" for each in ace.spec.corrected)
    published = f"<p>Differences from the published run:</p><ul>{corrected}</ul>" if corrected else ""
    return Block("What it took", lead, figures(("Held-out effect", chart)) + published)


def _updates(ace: "Ace") -> str:
    """Say how many updates the answer has had, and why."""
    if not ace.spec.patience:
        return f"The answer is the last α: {ace.called}."
    if not ace.updates:
        return (
            "No evaluation exceeds the start by more than its error, so the answer is the start: "
            f"{ace.called}, no update."
        )
    own: Any = rows(ace.history[ace.history["step"] == ace.updates])[-1]
    gain = with_error(own.gain, own.gain_error, sign=True)
    return f"The answer is the best evaluation that exceeds the start by more than its error: {ace.called} ({gain})."
