"""What a layer could do at best: every cell, multiple and set of units side by side."""

from html import escape
from typing import Any

from ganatomy.experiments.causal.capacity import Capacity
from ganatomy.report.causal.section import (
    Block,
    Section,
    colours_of,
    count,
    effect_text,
    measured,
    percent,
    target_of,
    usual_places,
)
from ganatomy.report.tables import rows


def capacity_section(capacity: Capacity) -> Section:
    """Return the section of a comparison of settings."""
    spec = capacity.spec
    lead = (
        f"Share of places that newly show {spec.concept} on at least {percent(spec.least)} of their pixels, "
        "± one standard error, and how much of the place is gained on average. One place an image, drawn among those "
        "that show none before. "
        "The framed setting gains most over random units on the other half of the images."
    )
    lead += (
        f" all: every unit at k. transplant: no k, but the features of one of {count(spec.donors, 'image')} that "
        f"show most {spec.concept}, at the place where that image shows it and around it. patch: there, too, but "
        "every unit at k; what a transplant does more, the pattern of the features does."
    )
    lead += f" Only places that mostly show {' or '.join(spec.on)}." if spec.on else ""
    lead += usual_places(spec.concept, spec.usual)
    return Section(
        key=f"capacity-{spec.concept}",
        short=f"capacity {spec.concept}",
        question=f"What could insertion of {spec.concept} do at best?",
        answer=_answer(capacity),
        blocks=[Block("Layer by layer, cell by cell", lead, heat_table(capacity))],
        spec=vars(spec),
        facts=capacity.facts,
    )


def heat_table(capacity: Capacity) -> str:
    """Return a table, a row for each layer, cell and multiple, a column for each set of units."""
    own = capacity.table
    colour = colours_of(capacity.facts)[target_of(capacity.facts, capacity.spec.concept)]
    sets = list(dict.fromkeys(own["by"]))
    head = "".join(f'<th scope="col" class="figure">{escape(by)}</th>' for by in sets)
    body = []
    for key, place in own.groupby(["layer", "cell"], sort=False):
        layer, cell = key
        lent = {row.by: row for row in rows(place[place["multiple"].isna()])}  # told once for all multiples
        multiples = place.groupby("multiple", sort=False)
        for i, (multiple, group) in enumerate(multiples):
            found = {row.by: row for row in rows(group)}
            name = f"{layer}, {cell} × {cell}, {multiple:g} k"
            cells = "".join(
                _cell(lent[by], colour, len(multiples)) if by in lent else _cell(found.get(by), colour)
                for by in sets
                if by not in lent or i == 0
            )
            body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    whole = f'<thead><tr><th scope="col">layer, place, value</th>{head}</tr></thead><tbody>{"".join(body)}</tbody>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Every setting">'
        f'<table class="ranked heat">{whole}</table></div>'
    )


def _cell(row: Any, colour: str, span: int = 1) -> str:
    if row is None:
        return '<td class="figure missing">–</td>'
    fill = f"background:color-mix(in srgb, {colour} {100 * max(0.0, row.appears):.0f}%, transparent)"
    kind = "figure picked" if row.picked else "figure"
    said = f"{count(row.units, 'unit')}, {count(row.places, 'place')}"
    shown = measured(row.appears, row.appears_error, sign=False)
    spanning = f' rowspan="{span}"' if span > 1 else ""
    return (
        f'<td class="{kind}" title="{said}"{spanning}><i style="{fill}"></i><b>{shown}</b>'
        f"<small>{effect_text(row.gain, row.gain_error)}</small></td>"
    )


def _answer(capacity: Capacity) -> str:
    spec, own = capacity.spec, capacity.table
    if not own["picked"].any():
        return f"No image has a place without {spec.concept} to insert at."
    row: Any = rows(own[own["picked"]])[0]
    same = own[(own["layer"] == row.layer) & (own["cell"] == row.cell) & (own["multiple"] == row.multiple)]
    beside = {each.by: each for each in rows(same)}
    text = (
        f"Best: {count(row.units, 'unit')} of {row.layer} by {row.by}, {row.cell} × {row.cell}, {row.multiple:g} × k: "
        f"{spec.concept} appears in {measured(row.appears, row.appears_error, sign=False)} of {row.places:,} places; "
        f"gain of the place: {effect_text(row.gain, row.gain_error)}"
    )
    named = {"all": "all units replaced", "patch": "in a patch where an image shows it", "random": "random units"}
    for by, said in named.items():
        if by in beside:
            text += f"; {said}: {percent(beside[by].appears, 2)}"
    lent = own[(own["layer"] == row.layer) & (own["cell"] == row.cell) & (own["by"] == "transplant")]
    text += "".join(f"; features of an image that shows it: {percent(each.appears, 2)}" for each in rows(lent))
    return f"{text}. Chosen on one half of the images, measured on the other."
