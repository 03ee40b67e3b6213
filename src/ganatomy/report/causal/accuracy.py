"""What units do for a classifier: the accuracy of each class without them, and without random units."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import RANDOM, Block, Section, effect_bar, figures, legend
from ganatomy.report.charts import ChangeChart, Line, LineChart, even_axis
from ganatomy.report.formats import count, effect_text, percent, percent_with_error, sentence
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.causal.accuracy import Accuracy
    from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy

_CLASSES, _CURVES, _UNITS = 24, 12, 6
_COLOUR = "#386ca0"
"""Classes are no concepts, and have one colour."""


def accuracy_tables(accuracy: "Accuracy") -> list[Table]:
    """Return the accuracy over all classes, then of every class."""
    changes = (
        Column("change", form=effect_text, error="change_error"),
        Column("random_change", "random units", _signed, "random_spread"),
    )
    overall = (Column("measure"), Column("before", form=percent), Column("after", form=percent), *changes)
    classes = (
        Column("class"),
        Column("images", "images"),
        Column("before", form=percent_with_error, error="before_error"),
        Column("after", form=percent_with_error, error="after_error"),
        *changes,
        Column("balanced_before", "against all others, before", percent, brief=False),
        Column("balanced_after", "after", percent, brief=False),
    )
    return [
        Table("overall", "All classes together", overall, accuracy.overall),
        Table("classes", "Accuracy of each class", classes, accuracy.classes),
    ]


def accuracy_section(accuracy: "Accuracy") -> Section:
    """Return the section of ablating chosen units."""
    spec = accuracy.spec
    first: Any = rows(accuracy.overall)[0]
    worst: Any = rows(accuracy.classes)[0]
    overall, classes = accuracy_tables(accuracy)
    lead = f"{sentence(spec.chosen)} Balanced accuracy is the mean over classes."
    units = count(len(spec.units), "unit")
    return Section(
        key=f"accuracy-{spec.layer}-{spec.chosen}",
        short=f"accuracy without {spec.chosen}",
        question=f"How accurate is each class without {units} of {spec.layer} ({spec.chosen})?",
        answer=f"Without {units} accuracy goes from {percent(first.before)} to "
        f"{percent(first.after)} ({effect_text(first.change, first.change_error)}; without as many random units "
        f"{_signed(first.random_change, first.random_spread)}). {worst[0]} loses most: from "
        f"{percent(worst.before)} of its images to {percent(worst.after)}. {count(spec.images, 'image')}.",
        blocks=[_lost(accuracy), Block("Every class", lead, overall.html() + classes.folded("Every class"))],
        methods=("classifier",),
    )


def accuracy_chart(accuracy: "Accuracy") -> ChangeChart:
    """Return the change of the accuracy of each class, the one first that loses most."""
    bars = [
        effect_bar(
            row[0],
            row.change,
            row.change_error,
            _COLOUR,
            control=(row.random_change, row.random_spread),
            title=f"{row[0]}: {percent(row.before)} to {percent(row.after)} of {count(row.images, 'image')}",
        )
        for row in rows(accuracy.classes.head(_CLASSES))
    ]
    return ChangeChart(bars, "Change by class", control=RANDOM)


def _lost(accuracy: "Accuracy") -> Block:
    lead = (
        "Change of the share of each class's images that are classified correctly; the class comes first that loses "
        "most against all others. The line is one standard error, the mark in the pale band what random units do."
    )
    drawn = figures(("classified correctly", accuracy_chart(accuracy)))
    return Block("What each class loses", lead, drawn)


def unit_accuracy_tables(found: "UnitAccuracy") -> list[Table]:
    """Return the units that each class needs, and its accuracy against all others without them, or with them alone."""
    best, curve = _most_needed(found), found.curve.set_index(["by", "n", "class"])
    most = found.curve[found.curve["by"] == "top"]["n"].max()
    kept = found.curve[found.curve["by"] == "all but top"].set_index("class")
    own = best.assign(units=[_first_units(found, name) for name in best["class"]])
    for column, by, n in (("all", "top", 0), ("without", "top", most), ("random", "random", most)):
        own[column] = [curve["balanced"].get((by, n, name)) for name in best["class"]]
    own["alone"] = best["class"].map(kept["balanced"])
    columns = (
        Column("class"),
        Column("unit", "needs most", help="the first by its effect on the images that selected units"),
        Column("held_out", "without it", effect_text, "held_out_error", help="effect on the other images"),
        Column("all", "accuracy", percent, help="against all other classes; 50 % is chance"),
        Column("without", f"without its {most} best", percent),
        Column("random", f"without {most} random", percent),
        Column("alone", "with its best alone", percent, help="all other units ablated"),
        Column("units", f"its first {_UNITS} units, and their effects", brief=False),
    )
    return [Table("classes", "Units by class", columns, own)]


def unit_accuracy_section(found: "UnitAccuracy") -> Section:
    """Return the section of what every unit does for every class."""
    spec = found.spec
    best: Any = rows(_most_needed(found).head(1))[0]
    name, units = best[1], found.table["unit"].nunique()
    left = found.curve[(found.curve["class"] == name) & (found.curve["by"] == "top")].sort_values("n")
    without = ""
    if len(left):
        last: Any = rows(left)[-1]
        without = (
            f" Without its {last.n} best units, its accuracy against all others is {percent(last.balanced)}, "
            f"from {percent(float(left['balanced'].iloc[0]))}; 50 % is chance."
        )
    selection, held_out = found.facts["images"]
    (table,) = unit_accuracy_tables(found)
    lead = (
        f"Its first {_UNITS} by what they did on the images that selected them, with what they did on the others; "
        "and its accuracy against all other classes without its best units, or with these alone."
    )
    return Section(
        key=f"accuracy-each-{spec.layer}",
        short=f"units of {spec.layer} that classes need",
        question=f"Which units of {spec.layer} does each class need?",
        answer=f"Of single units, unit {best.unit} is needed most, for {name} "
        f"({effect_text(best.held_out, best.held_out_error)} against all others).{without} All {units} units were "
        f"ablated; they were selected on {count(selection, 'image')}, effects are measured on {held_out:,} others.",
        blocks=[_curves(found), Block("The units that each class needs", lead, table.html())],
        methods=("classifier",),
    )


def unit_accuracy_charts(found: "UnitAccuracy") -> list[tuple[str, LineChart]]:
    """Return the accuracy of each class without the units that it needs most, the class first that needs one most."""
    start = set(found.curve[found.curve["n"] == 0]["class"])
    names = [str(name) for name in _most_needed(found)["class"] if name in start][:_CURVES]
    return [(name, _curve(found.curve[found.curve["class"] == name], name)) for name in names]


def unit_accuracy_chart(found: "UnitAccuracy") -> LineChart:
    """Return the first of these."""
    return unit_accuracy_charts(found)[0][1]


def _curves(found: "UnitAccuracy") -> Block:
    dots = [
        (f"<i class='swatch' style='background:{_COLOUR}'></i>", "the units that the class needs most"),
        (f"<i class='swatch' style='background:{NEUTRAL}'></i>", "random units; the band is their spread"),
    ]
    lead = (
        "Accuracy of a class against all others when the units that it needs most are ablated together, by how "
        "many they are. 50 % is chance. Held-out images."
    )
    return Block("Without the units of a class", lead, legend(dots) + figures(*unit_accuracy_charts(found)))


def _curve(own: pd.DataFrame, name: str) -> LineChart:
    lines = []
    for by, colour, dash, error in (("top", _COLOUR, "", "balanced_error"), ("random", NEUTRAL, "5 4", "spread")):
        way = own[(own["by"] == by) | (own["n"] == 0)].sort_values("n")
        if len(way) > 1:
            lines.append(Line(by, way["n"].tolist(), way["balanced"].tolist(), way[error].tolist(), colour, dash))
    x = even_axis("ablated units", own[own["by"] == "top"]["n"].tolist(), lambda n: f"{n:g}")
    return LineChart(lines, x, even_axis("against all others", [1.0], percent), f"Accuracy of {name}")


def _first_units(found: "UnitAccuracy", name: str) -> str:
    own = found.table[found.table["class"] == name].sort_values("rank").head(_UNITS)
    return ", ".join(f"{row.unit} ({effect_text(row.held_out, row.held_out_error)})" for row in rows(own))


def _most_needed(found: "UnitAccuracy") -> pd.DataFrame:
    """Return the unit of first rank of each class, first the one that did most where units were selected."""
    return found.table[found.table["rank"] == 1].sort_values("change", kind="stable")


def _signed(value: float, error: float) -> str:
    return percent_with_error(value, error, sign=True)
