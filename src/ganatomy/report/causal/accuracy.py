"""What units do for a classifier: how well each class is told without them, beside random units."""

from typing import Any

import pandas as pd

from ganatomy.experiments.causal.accuracy import Accuracy
from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy
from ganatomy.report.causal.section import (
    Block,
    Section,
    charts,
    count,
    effect_text,
    figure,
    folded,
    legend,
    measured,
    percent,
    sentence,
    table,
)
from ganatomy.report.lines import Line, even_axis, line_chart
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.svg import Change, change_chart
from ganatomy.report.tables import rows

_CLASSES, _CURVES, _UNITS = 24, 12, 6
_COLOUR = "#386ca0"
"""Classes are no concepts, and have one colour."""


def accuracy_section(accuracy: Accuracy) -> Section:
    """Return the section of switching chosen units off."""
    spec = accuracy.spec
    first: Any = rows(accuracy.overall)[0]
    worst: Any = rows(accuracy.classes)[0]
    without = f"Without {count(len(spec.units), 'unit')}"
    return Section(
        key=f"accuracy-{spec.layer}-{spec.chosen}",
        short=f"accuracy without {spec.chosen}",
        question=f"How well are classes told without these units of {spec.layer}: {spec.chosen}?",
        answer=f"{without} accuracy goes from {percent(first.before)} to {percent(first.after)} "
        f"({effect_text(first.change, first.change_error)}; without as many random units "
        f"{measured(first.random_change, first.random_spread)}). Most is lost of {worst[0]}: from "
        f"{percent(worst.before)} of its images to {percent(worst.after)}. {count(spec.images, 'image')}.",
        blocks=[_lost(accuracy), _numbers(accuracy)],
        spec=vars(spec),
        facts=accuracy.facts,
        draws=False,
    )


def _lost(accuracy: Accuracy) -> Block:
    bars = [
        Change(
            name=row[0],
            value=row.change,
            error=row.change_error,
            colour=_COLOUR,
            note=effect_text(row.change, row.change_error, brief=True),
            control=(row.random_change, row.random_spread),
            title=f"{row[0]}: {percent(row.before)} to {percent(row.after)} of {count(row.pictures, 'image')}",
        )
        for row in rows(accuracy.classes.head(_CLASSES))
    ]
    lead = (
        "Change of the share of each class's images that are told right; the class comes first that loses most "
        "against all others. The line is one standard error, the mark in the pale band what random units do."
    )
    return Block(
        "What is lost of each class", lead, charts(figure("told right", change_chart(bars, "Change by class")))
    )


def _numbers(accuracy: Accuracy) -> Block:
    columns = ("class", "images", "before", "after", "change", "random units", "against all others, before", "after")
    body = [
        (
            row[0],
            f"{row.pictures:,}",
            measured(row.before, row.before_error, sign=False),
            measured(row.after, row.after_error, sign=False),
            effect_text(row.change, row.change_error),
            measured(row.random_change, row.random_spread),
            percent(row.balanced_before),
            percent(row.balanced_after),
        )
        for row in rows(accuracy.classes)
    ]
    together = [
        (row.measure, percent(row.before), percent(row.after), effect_text(row.change, row.change_error),
         measured(row.random_change, row.random_spread))
        for row in rows(accuracy.overall)
    ]  # fmt: skip
    overall = table(("of all classes", "before", "after", "change", "random units"), together, "All classes together")
    said = f"{sentence(accuracy.spec.chosen)} Balanced accuracy is the mean over classes."
    return Block(
        "Every class", said, overall + folded("Every class", table(columns, body, "How well classes are told"))
    )


def unit_accuracy_section(found: UnitAccuracy) -> Section:
    """Return the section of what every unit does for every class."""
    spec = found.spec
    best: Any = rows(_most_needed(found).head(1))[0]
    units = found.table["unit"].nunique()
    name = best[1]
    left = found.curve[(found.curve["class"] == name) & (found.curve["by"] == "top")].sort_values("n")
    told = ""
    if len(left):
        last: Any = rows(left)[-1]
        told = (
            f" Without the {last.n} best for it, it is told from all others with {percent(last.balanced)} accuracy, "
            f"from {percent(float(left['balanced'].iloc[0]))}; 50 % is chance."
        )
    chosen_on, told_on = found.facts["pictures"]
    return Section(
        key=f"accuracy-each-{spec.layer}",
        short=f"units of {spec.layer} that classes need",
        question=f"Which units of {spec.layer} does each class need?",
        answer=f"Of single units, unit {best.unit} is needed most, for {name} "
        f"({effect_text(best.told, best.told_error)} against all others).{told} All {units} units were switched off; "
        f"they were chosen on {count(chosen_on, 'image')}, effects are told on {told_on:,} others.",
        blocks=[_curves(found), _needed(found)],
        spec=vars(spec),
        facts=found.facts,
        draws=False,
    )


def _curves(found: UnitAccuracy) -> Block:
    start = found.curve[found.curve["n"] == 0]
    names = _most_needed(found).loc[lambda own: own["class"].isin(start["class"])]["class"].head(_CURVES)
    figures = [figure(str(name), _curve(found.curve[found.curve["class"] == name], str(name))) for name in names]
    dots = [
        (f"<i class='swatch' style='background:{_COLOUR}'></i>", "the units that the class needs most"),
        (f"<i class='swatch' style='background:{NEUTRAL}'></i>", "random units; the band is their spread"),
    ]
    kept = found.curve[found.curve["by"] == "all but top"]
    body = [
        (row[0], str(row.n), percent(row.balanced), effect_text(row.balanced_change, row.balanced_error))
        for row in rows(kept)
    ]
    columns = ("class", "units switched off", "against all others", "change")
    others = folded("All units but those", table(columns, body, "How well a class is told by its own units alone"))
    lead = (
        "How well a class is told from all others when the units that it needs most are switched off together, by how "
        "many they are. 50 % is chance. Images on which they were not chosen."
    )
    return Block("Without the units of a class", lead, legend(dots) + charts(*figures) + others)


def _curve(own: pd.DataFrame, name: str) -> str:
    lines = []
    for by, colour, dash, error in (("top", _COLOUR, "", "balanced_error"), ("random", NEUTRAL, "5 4", "spread")):
        way = own[(own["by"] == by) | (own["n"] == 0)].sort_values("n")
        if len(way) > 1:
            lines.append(Line(by, way["n"].tolist(), way["balanced"].tolist(), way[error].tolist(), colour, dash))
    x = even_axis("units switched off", own[own["by"] == "top"]["n"].tolist(), lambda n: f"{n:g}")
    y = even_axis("against all others", [1.0], percent)
    return line_chart(lines, x, y, f"How well {name} is told as its units are switched off")


def _needed(found: UnitAccuracy) -> Block:
    names = _most_needed(found)["class"]
    body = []
    for name in names:
        own = found.table[found.table["class"] == name].sort_values("rank").head(_UNITS)
        listed = ", ".join(f"{row.unit} ({effect_text(row.told, row.told_error)})" for row in rows(own))
        body.append((str(name), listed))
    lead = f"The first {_UNITS} by what they did on the images for choosing, with what they did on the others."
    return Block("The units that each class needs", lead, table(("class", "units"), body, "Units by class"))


def _most_needed(found: UnitAccuracy) -> pd.DataFrame:
    """Return the unit of first rank of each class, first the one that did most where units were chosen."""
    return found.table[found.table["rank"] == 1].sort_values("change", kind="stable")
