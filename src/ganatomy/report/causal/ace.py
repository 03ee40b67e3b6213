"""Which units make a concept appear and vanish: what is left of it as more of them are switched off (Figure 4)."""

from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import pandas as pd

from ganatomy.experiments.causal.ace import Ace
from ganatomy.report.causal.section import (
    Block,
    Section,
    charts,
    colours_of,
    count,
    effect_text,
    figure,
    folded,
    legend,
    measured,
    percent,
    plain,
    table,
    target_of,
    with_error,
)
from ganatomy.report.lines import Line, even_axis, line_chart
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.svg import Change, change_chart
from ganatomy.report.tables import rows

_OTHERS = 14
"""Other concepts that have a bar."""
_TERMS = {"insertion": "inserted", "ablation": "ablated", "ace": "ACE"}
_NONE = {"insertion": 1.0, "ablation": 1.0, "ace": 0.0}
"""What each term is without any effect."""
_COMMON = 0.001
"""Least share of the pixels before, for a relative change to mean something."""


def ace_section(ace: Ace, dissection: str = "") -> Section:
    """Return the section of a search for causal units; its units are linked to their cards in a dissection's report."""
    spec = ace.spec
    blocks = [_remaining(ace), _terms(ace), _others(ace), _units(ace, dissection), _history(ace)]
    return Section(
        key=f"ace-{spec.concept}",
        short=f"ACE {spec.concept}",
        question=f"Which units of {spec.layer} make {spec.concept} appear and vanish?",
        answer=_answer(ace),
        blocks=blocks,
        spec=vars(spec),
        facts=ace.facts,
    )


def _called(ace: Ace) -> dict[str, str]:
    """Return how each ranking is called on charts; one that optimisation did not change, after its start."""
    start = {"gradient": "first order", "iou": "by IoU (start)"}[ace.spec.start]
    return {"ace": "by ACE" if ace.updates else start, "iou": "by IoU", "random": "random"}


def ace_chart(ace: Ace) -> str:
    """Return what is left of the concept when the first n units are switched off, by ACE, by IoU and at random."""
    lines = []
    for by, colour, dash in _styles(ace):
        own = ace.curve[ace.curve["by"] == by].sort_values("n")
        if len(own):
            error = own["spread"].fillna(own["error"]) if by == "random" else own["error"]
            left = [1.0, *(1 + own["relative"])]
            lines.append(Line(_called(ace)[by], [0, *own["n"]], left, [0.0, *error], colour, dash))
    most = int(ace.curve["n"].max())
    x = even_axis("units switched off", [0, most], lambda value: f"{value:g}", count=6)
    y = even_axis(f"{ace.spec.concept} pixels left", [v for line in lines for v in line.reach()], percent)
    return line_chart(lines, x, y, f"Share of {ace.spec.concept} pixels left, by number of units switched off")


def term_chart(ace: Ace) -> str:
    """Return both terms of the average causal effect and their difference, by ACE, by IoU and at random."""
    found = {(row.term, row.by): row for row in rows(ace.effects)}
    bars = [
        _term_bar(ace, found[term, by], (found.get((term, "random")) if by != "random" else None))
        for term in _TERMS
        for by in _called(ace)
        if (term, by) in found
    ]
    return change_chart(bars, f"Both terms of the average causal effect on {ace.spec.concept}")


def _term_bar(ace: Ace, row: Any, control: Any) -> Change:
    """Return one term of one way to choose units, beside that of random sets."""
    name = _term(ace, row)
    return Change(
        name=name,
        value=row.normalised,
        error=row.normalised_error,
        colour=_colour(ace) if row.by == "ace" else NEUTRAL,
        note=effect_text(row.normalised, row.normalised_error, _NONE[row.term], brief=True),
        control=None if control is None else (control.normalised, control.spread),
        title=f"{name}: {measured(row.value, row.error)} of the pixels that are read",
        strong=row.by == "ace",
    )


def _term(ace: Ace, row: Any) -> str:
    """Return how a term by a ranking is called, short enough for the rows of a chart."""
    ranked = {"ace": "ACE" if ace.updates else "start", "iou": "IoU"}
    return f"{_TERMS[row.term]}, {ranked.get(row.by, row.by)}"


def _styles(ace: Ace) -> Sequence[tuple[str, str, str]]:
    """Return the colour and dashes of each way to choose units."""
    return [("ace", _colour(ace), ""), ("iou", "currentColor", "6 4"), ("random", NEUTRAL, "2 4")]


def _colour(ace: Ace) -> str:
    return colours_of(ace.facts)[target_of(ace.facts, ace.spec.concept)]


def _answer(ace: Ace) -> str:
    spec = ace.spec
    at = int(ace.curve[ace.curve["n"] <= spec.top]["n"].max())
    own = {row.by: row for row in rows(ace.curve[ace.curve["n"] == at])}
    chosen = f"chosen by ACE ({ace.called})" if ace.updates else f"chosen by {ace.called}"
    left = [
        f"{effect_text(1 + own[by].relative, own[by].error, 1.0)} {said}"
        for by, said in (("ace", chosen), ("iou", "by IoU"), ("random", "at random"))
        if by in own
    ]
    return (
        f"With {count(at, 'unit')} switched off, this much of the {spec.concept} pixels is left: {'; '.join(left)}. "
        f"Measured on {spec.images:,} images that chose nothing."
    )


def _remaining(ace: Ace) -> Block:
    spec = ace.spec
    lead = (
        "Units are switched off everywhere, the first of each ranking first. The less is left, the more the ranking "
        f"knows. Bands: one standard error over images; for random, the spread of {count(spec.random, 'set')}."
    )
    numbers = [
        (f"{row.n} {_called(ace)[row.by]}", effect_text(row.relative, row.error))
        for row in rows(ace.curve.sort_values(["by", "n"]))
    ]
    drawn = charts(figure(f"What is left of {spec.concept}", ace_chart(ace)))
    return Block(
        "How many units does it take?", lead, drawn + folded("All numbers", table(("units", "change"), numbers))
    )


def _terms(ace: Ace) -> Block:
    lead = (
        f"Inserted: how much {ace.spec.concept} a place shows, anywhere, when the {ace.spec.top} units are set there "
        f"to their mean where it is: what it gains at {count(ace.spec.places, 'place')} of each image, one at a time, "
        "and what there is on average. Ablated: how much images show when they are switched off. ACE: the difference. "
        "All divided by how much there is without any edit, so 100 % of either is no effect."
    )
    terms = [
        (
            _term(ace, row),
            effect_text(row.normalised, row.normalised_error, _NONE[row.term]),
            measured(row.value, row.error, sign=False),
        )
        for row in rows(ace.effects)
    ]
    columns = ("term, units", "in parts of what there is", "share of the pixels")
    marks = [
        ("<i class='mark error'></i>", "standard error over images, the places of one being one draw"),
        ("<i class='mark control'></i>", "random sets of as many units"),
    ]
    return Block(
        "Average causal effect",
        lead,
        legend(marks)
        + charts(figure("Both terms, and ACE", term_chart(ace)))
        + folded("All numbers", table(columns, terms)),
    )


def _others(ace: Ace) -> Block:
    spec, colours = ace.spec, colours_of(ace.facts)
    target = target_of(ace.facts, spec.concept)
    at = int(ace.others[ace.others["n"] <= spec.top]["n"].max())
    figures = []
    for by in ("ace", "iou", "random"):
        own = ace.others[(ace.others["n"] == at) & (ace.others["by"] == by)]
        bars = [
            Change(
                name=row.concept,
                value=row.relative,
                error=row.relative_error,
                colour=colours[row.concept, row.category],
                note=effect_text(row.relative, row.relative_error, brief=True),
                strong=(row.concept, row.category) == target,
            )
            for row in rows(_in_order(ace, own))
        ]
        if bars:
            heading = f"{count(at, 'unit')} {_called(ace)[by]}"
            figures.append(figure(heading, change_chart(bars, f"Change of other concepts, {heading}", 1.0)))
    lead = (
        f"The change of every other concept when {count(at, 'unit')} are switched off: what goes with {spec.concept}?"
    )
    return Block("What else changes", lead, charts(*figures))


def _in_order(ace: Ace, own: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the concepts that the units chosen by ACE change most, the same for each way of choosing."""
    chosen = ace.others[(ace.others["n"] == own["n"].max()) & (ace.others["by"] == "ace")]
    chosen = chosen[chosen["before"] >= _COMMON]
    order = chosen.loc[chosen["change"].abs().sort_values(ascending=False).index, ["concept", "category"]]
    rank = {key: i for i, key in enumerate(order.head(_OTHERS).itertuples(index=False, name=None))}
    keys = pd.Series(list(zip(own["concept"], own["category"], strict=True)), index=own.index).map(rank)
    return own.loc[keys.dropna().sort_values().index]


def _units(ace: Ace, dissection: str) -> Block:
    top = ace.units.sort_values("rank").head(ace.spec.top)
    shared = int((top["iou_rank"] <= ace.spec.top).sum())
    lead = (
        f"The {count(len(top), 'unit')} of greatest α. {shared} are also among the {ace.spec.top} of greatest IoU: "
        "what looks like the concept and what causes it are not the same list."
    )
    card = f"{dissection}#unit={quote(ace.spec.layer)}/" if dissection else ""
    cards = "".join(f"<li>{_unit(row, _colour(ace), card)}</li>" for row in rows(top))
    return Block("The units", lead, f'<ol class="units">{cards}</ol>')


def _unit(row: Any, colour: str, card: str) -> str:
    name = f'<a href="{card}{row.unit}">unit {row.unit}</a>' if card else f"unit {row.unit}"
    bar = f'<span style="width:{100 * row.alpha:.1f}%;background:{colour}"></span>'
    iou = "–" if pd.isna(row.iou) else f"{row.iou:.3f}"
    return (
        f'<strong>{name}</strong> <span class="small">α {row.alpha:.2f}</span><div class="bar">{bar}</div>'
        f'<span class="small">IoU {iou}, rank {row.iou_rank}</span>'
    )


def _history(ace: Ace) -> Block:
    history = ace.history
    x_, y_, error = (history[name].tolist() for name in ("evaluations", "held_out", "error"))
    line = Line("held out", x_, y_, error, _colour(ace))
    x = even_axis("images drawn and segmented", line.x, lambda value: f"{value:,.0f}", count=4)
    y = even_axis("held-out effect", line.reach(), plain)
    last = rows(history)[-1]
    lead = (
        f"The effect of the {ace.spec.top} units of greatest α on held-out places while α was optimised: "
        f"{last.evaluations:,} images drawn and segmented, {last.gradients:,} of them with gradients. "
        f"{_answered(ace)}"
    )
    corrected = "".join(f"<li>{escape(each)}</li>" for each in ace.spec.corrected)
    published = f"<p>What is done otherwise than in the published run:</p><ul>{corrected}</ul>" if corrected else ""
    return Block(
        "What it took", lead, charts(figure("Held-out effect", line_chart([line], x, y, "Held-out effect"))) + published
    )


def _answered(ace: Ace) -> str:
    """Say how many updates the answer has had, and why."""
    own: Any = rows(ace.history[ace.history["step"] == ace.updates])[-1]
    if not ace.spec.patience:
        return f"The answer is the last α: {ace.called}."
    if not ace.updates:
        return f"No look beats the start by more than its error, so the answer is the start: {ace.called}, no update."
    gain = with_error(own.gain, own.gain_error, sign=True)
    return f"The answer is the best look that beats the start by more than its error: {ace.called} ({gain})."
