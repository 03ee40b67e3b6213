"""What each unit of a layer does alone: the strongest units of each concept, and how well an estimate foretells it."""

from typing import Any

import pandas as pd

from ganatomy.experiments.causal.unit_effects import UnitEffects
from ganatomy.report.causal.section import (
    Block,
    Section,
    charts,
    colours_of,
    effect_text,
    figure,
    folded,
    legend,
    measured,
    percent,
    sentence,
    table,
)
from ganatomy.report.lines import Point, even_axis, scatter_chart
from ganatomy.report.svg import Change, change_chart
from ganatomy.report.tables import rows

_CONCEPTS, _UNITS, _SCATTERS = 12, 6, 6


def unit_effects_section(effects: UnitEffects) -> Section:
    """Return the section of the effects of single units."""
    spec = effects.spec
    strongest: Any = rows(effects.table.loc[[effects.table["change"].abs().idxmax()]])[0]
    units = effects.table["unit"].nunique()
    return Section(
        key=f"each-{spec.layer}",
        short=f"each unit of {spec.layer}",
        question=f"What does each unit of {spec.layer} do alone?",
        answer=f"Most is done by unit {strongest.unit}: without it {strongest.concept} goes from "
        f"{percent(strongest.before)} of the pixels to {percent(strongest.before + strongest.change)}: "
        f"{effect_text(strongest.change, strongest.change_error, of=' of the pixels')}. All {units} units were "
        f"switched off one by one, each in {spec.images:,} images.",
        blocks=[_strongest(effects), _estimate(effects), _labels(effects)],
        spec=vars(spec),
        facts=effects.facts,
    )


def _strongest(effects: UnitEffects) -> Block:
    colours = colours_of(effects.facts)
    figures = []
    for concept, category in _moved(effects.table).head(_CONCEPTS).index:
        own = _of(effects.table, concept, category)
        best = own.loc[own["change"].abs().nlargest(_UNITS).index]
        bars = [
            Change(
                name=f"unit {row.unit}",
                value=row.relative,
                error=row.relative_error,
                colour=colours[concept, category],
                note=effect_text(row.relative, row.relative_error, brief=True),
                title=f"without unit {row.unit}: {concept} "
                f"{effect_text(row.change, row.change_error, of=' of all pixels')}",
            )
            for row in rows(best)
        ]
        share = percent(float(own["before"].iloc[0]))
        figures.append(
            figure(f"{concept}, {share} of the pixels", change_chart(bars, f"Units that change {concept}", 1))
        )
    lead = (
        "For the concepts that single units move most: relative change of its pixels when one unit is switched off. "
        "Above zero, the unit held it back. The line is one standard error; of many units the best is lucky too."
    )
    return Block("The strongest units of each concept", lead, charts(*figures))


def _labels(effects: UnitEffects) -> Block:
    lead = (
        "Each unit was ablated alone. Of the units that have a label, so many shrink their own concept by more than "
        "two standard errors, and of so many it is among the tenth of all concepts that shrink most. Concepts on at "
        "least 0.4 % of the pixels count."
    )
    body = [
        (
            row.rule,
            f"{row.labelled}",
            f"{row.scored}",
            measured(row.shrinks, row.shrinks_error, sign=False),
            measured(row.top_tenth, row.top_tenth_error, sign=False),
            percent(row.relative),
        )
        for row in rows(effects.labels)
    ]
    columns = ("label", "units", "scored", "own concept shrinks", "in the top tenth", "mean relative change")
    return Block("Do labels say what units cause?", lead, table(columns, body, "Labels against effects"))


def _estimate(effects: UnitEffects) -> Block:
    heading = "Can it be foretold without trying?"
    said = sentence(str(effects.facts.get("first_order", "")))
    told = effects.agreement.dropna(subset="spearman")
    if told.empty:
        return Block(heading, said, "")
    moved = _moved(effects.table).index
    colours = colours_of(effects.facts)
    known = set(zip(told["concept"], told["category"], strict=True))
    figures = [
        figure(f"{c}: rank correlation {_correlation(told, c, k)}", _scatter(_of(effects.table, c, k), colours[c, k]))
        for c, k in [pair for pair in moved if pair in known][:_SCATTERS]
    ]
    dots = ("<i class='swatch' style='background:currentColor'></i>", "a unit; the line is equality")
    lead = f"Activation × gradient against the measured change, both as shares of all pixels. {said}"
    body = [(row.concept, f"{row.spearman:.2f}".replace("-", "−"), f"{row.clear} of {row.units}") for row in rows(told)]
    columns = ("concept", "rank correlation", "units beyond two standard errors")
    numbers = folded("Every concept", table(columns, body, "How alike the two rank the units"))
    return Block(heading, lead, legend([dots]) + charts(*figures) + numbers)


def _scatter(own: pd.DataFrame, colour: str) -> str:
    points = [
        Point(row.first_order, row.change, colour, f"unit {row.unit}: {effect_text(row.change, row.change_error)}")
        for row in rows(own)
    ]
    x = even_axis("first-order estimate", own["first_order"].tolist(), percent, count=3)
    y = even_axis("measured change", own["change"].tolist(), percent, count=4)
    return scatter_chart(points, x, y, "Estimated and measured change, one point a unit", diagonal=True)


def _correlation(told: pd.DataFrame, concept: str, category: str) -> str:
    return f"{_of(told, concept, category)['spearman'].iloc[0]:.2f}".replace("-", "−")


def _of(own: pd.DataFrame, concept: str, category: str) -> pd.DataFrame:
    return own[(own["concept"] == concept) & (own["category"] == category)]


def _moved(effects: pd.DataFrame) -> "pd.Series[float]":
    """Return the greatest change of each concept by one unit, the most moved first."""
    return effects["change"].abs().groupby([effects["concept"], effects["category"]]).max().sort_values(ascending=False)
