"""The effect of each unit of a layer alone, and how well a first-order estimate predicts it."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import Block, Section, colours_of, effect_bar, figures, legend
from ganatomy.report.charts import ChangeChart, Chart, Point, ScatterChart, even_axis
from ganatomy.report.formats import effect_text, percent, percent_with_error, sentence, with_error
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.causal.unit_effects import UnitEffects

_CONCEPTS, _UNITS, _SCATTERS = 12, 6, 6


def unit_effects_tables(effects: "UnitEffects") -> list[Table]:
    """Return for each concept the unit that removes most of it, and how well labels predict effects."""
    keys = ["concept", "category"]
    strongest = effects.table.loc[effects.table.groupby(keys, sort=False)["change"].idxmin()]
    found = strongest.merge(effects.agreement, on=keys).sort_values("change")
    concepts = (
        Column("concept"),
        Column("unit", help="the unit without which most of the concept disappears"),
        Column("before", form=percent),
        Column("change", form=effect_text, error="change_error"),
        Column("relative", form=effect_text, error="relative_error"),
        Column("spearman", "rank correlation", _correlation, help="of the first-order estimate with measured changes"),
        Column("clear", "clear units", help="whose change exceeds two standard errors"),
        Column("units", brief=False),
    )
    labels = (
        Column("rule", "label"),
        Column("labelled", "units"),
        Column("scored"),
        Column("shrinks", "own concept shrinks", percent_with_error, "shrinks_error"),
        Column("top_tenth", "in the top tenth", percent_with_error, "top_tenth_error"),
        Column("relative", "mean relative change", percent_with_error, "relative_error"),
    )
    return [
        Table("concepts", "The strongest unit of every concept", concepts, found, keys=2, drawn=("relative",)),
        Table("labels", "Labels against effects", labels, effects.labels),
    ]


def unit_effects_section(effects: "UnitEffects") -> Section:
    """Return the section of the effects of single units."""
    spec = effects.spec
    strongest: Any = rows(effects.table.loc[[effects.table["change"].abs().idxmax()]])[0]
    units = effects.table["unit"].nunique()
    concepts, labels = unit_effects_tables(effects)
    return Section(
        key=f"each-{spec.layer}",
        short=f"each unit of {spec.layer}",
        question=f"What does each unit of {spec.layer} do alone?",
        answer=f"The strongest is unit {strongest.unit}: without it {strongest.concept} goes from "
        f"{percent(strongest.before)} of the pixels to {percent(strongest.before + strongest.change)}: "
        f"{effect_text(strongest.change, strongest.change_error, of=' of the pixels')}. All {units} units were "
        f"ablated one by one, each in {spec.images:,} images.",
        blocks=[_strongest(effects, concepts), _estimate(effects), _labels(labels)],
    )


def _strongest(effects: "UnitEffects", table: Table) -> Block:
    colours = colours_of(effects.facts)
    drawn: list[Chart] = []
    for concept, category in _by_effect(effects.table):
        own = _of(effects.table, concept, category)
        own = own[own["relative"].notna()]
        if own.empty or len(drawn) == _CONCEPTS:
            continue
        bars = [
            effect_bar(
                f"unit {row.unit}",
                row.relative,
                row.relative_error,
                colours[concept, category],
                title=f"without unit {row.unit}: {concept} "
                f"{effect_text(row.change, row.change_error, of=' of all pixels')}",
            )
            for row in rows(own.loc[own["change"].abs().nlargest(_UNITS).index])
        ]
        heading = f"{concept}, {percent(float(own['before'].iloc[0]))} of the pixels"
        drawn.append((heading, ChangeChart(bars, f"Units that change {concept}", 1)))
    lead = (
        "For the concepts that single units change most: relative change of its pixels when one unit is ablated. "
        "Above zero, the unit suppressed it. The line is one standard error; the best of many units is lucky too."
    )
    return Block("The strongest units of each concept", lead, figures(*drawn) + table.folded("Every concept"))


def _labels(table: Table) -> Block:
    lead = (
        "Each unit was ablated alone. Of the units that have a label, so many shrink their own concept by more than "
        "two standard errors, and of so many it is among the tenth of all concepts that shrink most. Concepts on at "
        "least 0.4 % of the pixels count."
    )
    return Block("Do labels say what units cause?", lead, table.html())


def _estimate(effects: "UnitEffects") -> Block:
    heading = "Does a first-order estimate predict the effects?"
    method = sentence(str(effects.facts.get("first_order", "")))
    known = effects.agreement.dropna(subset="spearman").set_index(["concept", "category"])["spearman"]
    if known.empty:
        return Block(heading, method, "")
    colours = colours_of(effects.facts)
    drawn = [
        (f"{c}: rank correlation {_correlation(known[c, k])}", _scatter(_of(effects.table, c, k), colours[c, k]))
        for c, k in [pair for pair in _by_effect(effects.table) if pair in known.index][:_SCATTERS]
    ]
    dots = ("<i class='swatch' style='background:currentColor'></i>", "a unit; the line is equality")
    lead = f"Activation × gradient against the measured change, both as shares of all pixels. {method}"
    return Block(heading, lead, legend([dots]) + figures(*drawn))


def _scatter(own: pd.DataFrame, colour: str) -> ScatterChart:
    points = [
        Point(row.first_order, row.change, colour, f"unit {row.unit}: {effect_text(row.change, row.change_error)}")
        for row in rows(own)
    ]
    x = even_axis("first-order estimate", own["first_order"].tolist(), percent, count=3)
    y = even_axis("measured change", own["change"].tolist(), percent, count=4)
    return ScatterChart(points, x, y, "Estimated and measured change, one point a unit", diagonal=True)


def _correlation(value: float) -> str:
    return with_error(value) if pd.isna(value) else f"{value:.2f}".replace("-", "−")


def _of(own: pd.DataFrame, concept: str, category: str) -> pd.DataFrame:
    return own[(own["concept"] == concept) & (own["category"] == category)]


def _by_effect(effects: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the concepts (name, category), those first that one unit changes most."""
    changes = effects["change"].abs().groupby([effects["concept"], effects["category"]]).max()
    return list(changes.sort_values(ascending=False).index)
