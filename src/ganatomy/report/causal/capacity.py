"""What a layer could do at best: every cell, multiple and set of units side by side."""

from html import escape
from typing import TYPE_CHECKING, Any

from ganatomy.report.causal.section import Block, Section, colours_of, frequent_places, target_of
from ganatomy.report.compare.heat import shade
from ganatomy.report.formats import count, effect_text, percent, percent_with_error
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.causal.capacity import Capacity


def capacity_tables(capacity: "Capacity") -> list[Table]:
    """Return every setting: first the picked one, then those at its layer and cell."""
    own = capacity.table
    if own["picked"].any():
        best = own[own["picked"]].iloc[0]
        near = (own["layer"] == best["layer"]).astype(int) + (own["cell"] == best["cell"])
        order = own.assign(near=near).sort_values(["picked", "near"], ascending=False, kind="stable")
        own = order.drop(columns="near")
    columns = (
        Column("by", "units by"),
        Column("layer"),
        Column("cell"),
        Column("multiple", "× k"),
        Column("units"),
        Column("places"),
        Column("appears", "appears at", percent_with_error, "appears_error"),
        Column("gain", "gain of the place", effect_text, "gain_error"),
    )
    return [Table("capacity", "Every setting, the picked one first", columns, own, keys=4)]


def capacity_section(capacity: "Capacity") -> Section:
    """Return the section of a comparison of settings."""
    spec = capacity.spec
    lead = (
        f"Share of places that newly show {spec.concept} on at least {percent(spec.least)} of their pixels, "
        "± one standard error, and how much of the place is gained on average. One place an image, drawn among those "
        "that show none before. The framed setting gains most over random units on the other half of the images. "
        f"all: every unit at k. transplant: no k, but the features of one of {count(spec.donors, 'image')} that "
        f"show most {spec.concept}, at the place where that image shows it and around it. patch: there, too, but "
        "every unit at k; what a transplant does more, the pattern of the features does."
    )
    lead += f" Only places that mostly show {' or '.join(spec.on)}." if spec.on else ""
    lead += frequent_places(spec.concept, spec.min_frequency)
    (table,) = capacity_tables(capacity)
    return Section(
        key=f"capacity-{spec.concept}",
        short=f"capacity {spec.concept}",
        question=f"What could insertion of {spec.concept} do at best?",
        answer=_answer(capacity),
        blocks=[Block("By layer, cell and multiple", lead, _heat_table(capacity) + table.folded())],
    )


def _heat_table(capacity: "Capacity") -> str:
    """Return a table, a row for each layer, cell and multiple, a column for each set of units."""
    own = capacity.table
    colour = colours_of(capacity.facts)[target_of(capacity.facts, capacity.spec.concept)]
    sets = list(dict.fromkeys(own["by"]))
    head = "".join(f'<th scope="col" class="figure">{escape(by)}</th>' for by in sets)
    body = []
    for (layer, cell), place in own.groupby(["layer", "cell"], sort=False):
        donors = {row.by: row for row in rows(place[place["multiple"].isna()])}  # one cell for all multiples
        multiples = place.groupby("multiple", sort=False)
        for i, (multiple, group) in enumerate(multiples):
            found = {row.by: row for row in rows(group)}
            cells = "".join(
                _cell(donors[by], colour, len(multiples)) if by in donors else _cell(found.get(by), colour)
                for by in sets
                if by not in donors or i == 0
            )
            name = f"{layer}, {cell} × {cell}, {multiple:g} k"
            body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    whole = f'<thead><tr><th scope="col">layer, place, value</th>{head}</tr></thead><tbody>{"".join(body)}</tbody>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Every setting">'
        f'<table class="ranked heat">{whole}</table></div>'
    )


def _cell(row: Any, colour: str, span: int = 1) -> str:
    if row is None:
        return '<td class="figure missing">–</td>'
    fill = f"background:{shade(max(0.0, row.appears), colour)}"
    title = f"{count(row.units, 'unit')}, {count(row.places, 'place')}"
    spanning = f' rowspan="{span}"' if span > 1 else ""
    return (
        f'<td class="figure{" picked" * bool(row.picked)}" title="{title}"{spanning}><i style="{fill}"></i>'
        f"<b>{percent_with_error(row.appears, row.appears_error)}</b>"
        f"<small>{effect_text(row.gain, row.gain_error)}</small></td>"
    )


def _answer(capacity: "Capacity") -> str:
    spec, own = capacity.spec, capacity.table
    if not own["picked"].any():
        return f"No image has a place without {spec.concept} to insert at."
    row: Any = rows(own[own["picked"]])[0]
    near = own[(own["layer"] == row.layer) & (own["cell"] == row.cell)]
    controls = {each.by: each for each in rows(near[near["multiple"].isna() | (near["multiple"] == row.multiple)])}
    text = (
        f"Best: {count(row.units, 'unit')} of {row.layer} by {row.by}, {row.cell} × {row.cell}, {row.multiple:g} × k: "
        f"{spec.concept} appears in {percent_with_error(row.appears, row.appears_error)} of {row.places:,} places; "
        f"gain of the place: {effect_text(row.gain, row.gain_error)}"
    )
    names = {
        "all": "all units replaced",
        "patch": "in a patch where an image shows it",
        "random": "random units",
        "transplant": "features of an image that shows it",
    }
    text += "".join(f"; {name}: {percent(controls[by].appears, 2)}" for by, name in names.items() if by in controls)
    return f"{text}. Chosen on one half of the images, measured on the other."
