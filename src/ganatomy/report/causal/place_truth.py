"""What a model accepts, against what the renderer of its scenes would do at that very place (Figure 11)."""

from types import SimpleNamespace
from typing import Any

from ganatomy.experiments.causal.context import Context
from ganatomy.report.causal.section import Block, compared_text, control_name, measured, percent, table
from ganatomy.report.svg import Change, change_chart
from ganatomy.report.tables import rows

COLOUR = "#4f8a3a"


def truth_answer(context: Context) -> str:
    """Return how often the object appears where it is allowed and where it is forbidden; nothing without a truth."""
    if context.possible.empty:
        return ""
    own = {row.by: row for row in rows(context.verdict)}
    units, control = own["units"], own["random"]
    name = control_name(context.facts)
    return (
        f"Where the renderer could put it, {context.spec.concept} appears at "
        f"{measured(units.allowed_appears, units.allowed_appears_error, sign=False)} of free places; where it never "
        f"would, at {measured(units.forbidden_appears, units.forbidden_appears_error, sign=False)}: "
        f"{truth_ratio(units)}. Control ({name}): {percent(control.allowed_appears, 2)} and "
        f"{percent(control.forbidden_appears, 2)}."
    )


def truth_ratio(row: Any) -> str:
    """Return how much oftener it appears where it is allowed, or that there is no effect or too few places."""
    if not (row.allowed_places and row.forbidden_places):
        return "too few free places to compare"
    names = ("ratio", "low", "high", "difference", "difference_low", "difference_high")
    return compared_text(SimpleNamespace(**{name: getattr(row, f"appears_{name}") for name in names}))


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


def truth_chart(context: Context) -> str:
    """Return how often the object appears, by the probability that the renderer would put it there."""
    bars = [
        Change(
            name=probability_range(row.low, row.high),
            value=row.appears,
            error=row.appears_error,
            colour=COLOUR,
            note=measured(row.appears, row.appears_error, sign=False),
            control=(row.random_appears, row.random_appears_error),
            title=f"{row.places:,} places",
        )
        for row in rows(context.possible)
        if row.places
    ]
    return change_chart(bars, f"Share of free places where {context.spec.concept} appears", 1.0)


def truth_blocks(context: Context) -> list[Block]:
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
    numbers = [
        (
            probability_range(row.low, row.high),
            f"{row.places:,}",
            f"{row.images:,}",
            measured(row.appears, row.appears_error, sign=False),
            measured(row.effect, row.effect_error),
            measured(row.random_appears, row.random_appears_error, sign=False),
        )
        for row in rows(context.possible)
    ]
    columns = (
        "renderer",
        "places",
        "images",
        "appears at",
        "of the place gained",
        control_name(context.facts),
    )
    return [Block("Against the truth of the place", lead, truth_chart(context) + table(columns, numbers))]
