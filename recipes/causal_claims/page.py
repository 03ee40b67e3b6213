"""The tables as Markdown, a part for each claim, so that the guide includes them and no number is typed by hand.

A part stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from causal_claims.measure import Bench, Findings
from causal_claims.tables import GOES, STAYS, VISIBLE, fate, others
from ganatomy.experiments.causal.context import Context
from ganatomy.report.causal.context import probability_range, truth_ratio
from ganatomy.report.formats import count, effect_text, number, percent, percent_with_error, ratio_text
from ganatomy.report.tables import rows

HEAD = """---
orphan: true
---
<!-- Written by recipes/claims.py. Do not edit: run it again. -->
# What the claims rest on: all tables
"""
IMAGES = "images/claims"
_OTHERS = 6
_MARKS = {True: "✓", False: "✗"}


def page(found: Findings, tables: dict[str, pd.DataFrame], images: Sequence[str], benches: Sequence[Bench]) -> str:
    """Return the text of the file: every part, those of what was not measured with the reason."""
    parts = {
        "facts": _facts(benches),
        "figure-4": _figure_4(found, tables, images),
        "figure-4-others": _figure_4_others(found),
        "figure-9": _figure_9(tables["figure-9-objects"], images),
        "figure-10": _figure_10(tables["figure-10-categories"], images),
        "capacity": _capacity(found),
        "figure-11": _figure_11(found, images),
        "figure-17": _figure_17(found, images),
        "first-order": _first_order(tables["first-order"]),
        "skipped": _listed(found.skipped) or "Nothing was left out.",
        "cost": _cost(benches),
    }
    return HEAD + "".join(part(name, text) for name, text in parts.items())


def part(name: str, text: str) -> str:
    """Return a part of the file between its marks."""
    none = "This was not measured."
    return f"\n<!-- {name} -->\n\n{text or none}\n\n<!-- /{name} -->\n"


def with_figure_11(page: str, found: Findings, images: Sequence[str]) -> str:
    """Return the text of a file that was written before with Figure 11 measured anew."""
    begin, end = (
        page.index("\n<!-- figure-11 -->\n"),
        page.index("<!-- /figure-11 -->\n") + len("<!-- /figure-11 -->\n"),
    )
    return page[:begin] + part("figure-11", _figure_11(found, images)) + page[end:]


def _facts(benches: Sequence[Bench]) -> str:
    lines = []
    for bench in benches:
        own = bench.source.dissection
        lines.append(
            f"`{own.spec.generator}` (fingerprint `{own.facts['inputs']['generator'][:12]}`), read by "
            f"`{own.spec.segmenter}` (`{own.facts['inputs']['segmenter'][:12]}`); units and concepts as dissected with "
            f"{own.spec.images:,} images, ganatomy {own.facts['versions']['ganatomy']}"
        )
    return _listed(lines)


def _figure_4(found: Findings, tables: dict[str, pd.DataFrame], images: Sequence[str]) -> str:
    if not found.curves:
        return ""
    spec = found.curves[0].spec
    body = []
    for row in rows(tables["figure-4-at-top"]):
        sets = _pair(row.random, row.random_spread) if hasattr(row, "random") else "–"
        evaluations = row.pool + row.candidates + row.forward + row.gradients
        body.append(
            (
                row.concept, _pair(row.ace, row.ace_error), _pair(row.iou, row.iou_error), sets,
                f"{row.shared} of {row.units}", measured(row.effect, row.effect_error), f"{evaluations:,}",
                f"{row.gradients:,}",
            )
        )  # fmt: skip
    columns = (
        "concept", "removed by ACE", "by IoU", "at random", "in both lists", "ACE, normalised", "images segmented",
        "with gradients",
    )  # fmt: skip
    lead = (
        f"Share of the concept's pixels that goes when {count(spec.top, 'unit')} of {spec.layer} are switched off, "
        f"on {spec.images:,} images that chose nothing; ± one standard error over images, for random units the "
        f"spread of {count(spec.random, 'set')}."
    )
    return _parts(lead, markdown(columns, body), _image("figure-4.svg", "Pixels left by units switched off", images))


def _figure_4_others(found: Findings) -> str:
    parts = []
    for ace in found.curves:
        table = others(ace)
        body = [
            (
                row.other,
                row.category,
                percent(row.before),
                measured(row.relative, row.relative_error),
                _alone(row.random),
            )
            for row in rows(table.head(_OTHERS))
        ]
        columns = ("other concept", "kind", "share of pixels before", "change", "random units")
        parts += [
            f"**{ace.spec.concept}** switched off ({count(ace.spec.top, 'unit')} by ACE):",
            markdown(columns, body),
        ]
    note = f"The {_OTHERS} whose pixels change most, of concepts that cover at least {percent(VISIBLE)} of the pixels."
    return _parts(*parts, note) if parts else ""


def _figure_9(table: pd.DataFrame, images: Sequence[str]) -> str:
    if table.empty:
        return ""
    lead = (
        f"Each object's own {count(int(table.units.max()), 'unit')} by ACE. *Goes*: at least {percent(GOES)} of its "
        f"pixels are removed; *stays*: less than {percent(STAYS)}."
    )
    columns = ("object", "share of pixels before", "removed", "at random", "", "most of what comes instead")
    body = [(row.concept, percent(row.before), *_removed(row), _instead(row)) for row in rows(table)]
    return _parts(lead, markdown(columns, body), _image("figure-9.svg", "Objects before and after", images))


def _figure_10(table: pd.DataFrame, images: Sequence[str]) -> str:
    if table.empty:
        return ""
    columns = ("model", "concept", "share of pixels before", "removed", "at random", "", "most of what comes instead")
    body = [(row.model, row.concept, percent(row.before), *_removed(row), _instead(row)) for row in rows(table)]
    return _parts(markdown(columns, body), _image("figure-10.svg", "The same object in every category", images))


def _capacity(found: Findings) -> str:
    parts = []
    for each in found.capacities:
        sets = list(dict.fromkeys(each.table["by"]))
        body = []
        for (layer, cell), place in each.table.groupby(["layer", "cell"], sort=False):
            own = {row.by: row for row in rows(place[place["multiple"].isna()])}  # in the first row only
            for multiple, group in place.groupby("multiple", sort=False):
                own |= {row.by: row for row in rows(group)}
                cells = [_appears(own.pop(by)) if by in own else "–" for by in sets]
                body.append((f"{layer}, {cell} × {cell}, {multiple:g} k", *cells))
        on = f" on {', '.join(each.spec.on)}" if each.spec.on else ""
        places = int(each.table["places"].max())
        lead = f"**{each.spec.concept}**, at up to {count(places, 'place')}{on}. {each.section().answer}"
        parts += [lead, markdown(("layer, place, value", *sets), body)]
    note = (
        "Share of places that newly show the concept on at least a fifth of their pixels; the chosen setting is bold. "
        "*all*: every unit at so many times k. *patch*: the same at the place of an image that shows the concept, and "
        "around it. *transplant*: no k, but that image's features in the same patch; given once for all multiples."
    )
    return _parts(note, *parts) if parts else ""


def _figure_11(found: Findings, images: Sequence[str]) -> str:
    known = [each for each in (*found.accepted, *found.contexts) if len(each.possible)]
    others = [each for each in (*found.accepted, *found.contexts) if not len(each.possible)]
    parts = [_settings(found), _by_truth(known)]
    for context in known:
        parts += [_by_probability(context), *_shown(context, found, images)]
    for context in others:
        parts += [_by_object(context), _under(context.under), *_shown(context, found, images)]
    return _parts(*parts)


def _shown(context: Context, found: Findings, images: Sequence[str]) -> list[str]:
    """Return the figure of a context, once for each concept."""
    own = [each for each in (*found.accepted, *found.contexts) if each.spec.concept == context.spec.concept]
    name = _named(context.spec.concept)
    return [_image(f"figure-11-{name}.svg", f"Where a {name} can be inserted", images)] if own[0] is context else []


def _settings(found: Findings) -> str:
    """Return what the best setting of each concept does, with its control and the paper's setting."""
    body = []
    for each in found.settings:
        kinds = {row.setting: row for row in rows(each.measured)}
        cells = [
            _pair(getattr(kinds[name], where), getattr(kinds[name], f"{where}_error"))
            for name in ("picked", "control", "paper")
            for where in ("likely", "unlikely")
        ]
        places = f"{kinds['picked'].likely_places}, {kinds['picked'].unlikely_places}"
        body.append((each.spec.concept, each.best.name, *cells[:2], places, *cells[2:]))
    if not body:
        return ""
    columns = (
        "concept", "setting", "where allowed", "forbidden", "places", "control: allowed", "forbidden",
        "paper: allowed", "forbidden",
    )  # fmt: skip
    layers = ", ".join(layer for layer, _ in found.settings[0].spec.sets[0][1])
    lead = (
        f"Share of free places where the object appears; the setting was found for {layers} on one half of "
        f"{found.settings[0].spec.images:,} images and measured on the other. Control: random units, or all units as "
        "in images without the object. Paper: the 20 units of greatest IoU of the first layer at k. Up to three "
        "places an image where it is allowed, one where it is forbidden; without a renderer, where it is usual and "
        "where it is never seen."
    )
    return _parts(lead, markdown(columns, body))


def _by_truth(known: Sequence[Context]) -> str:
    """Return how often each object appears where the renderer could put it and where it never does."""
    body = []
    for context in known:
        units, control = (row for row in rows(context.verdict))
        spec = context.spec
        layers = ", ".join([spec.layer, *(layer for layer, _ in spec.more)])
        body.append(
            (
                spec.concept, f"{spec.chosen}; {layers}", _pair(units.allowed_appears, units.allowed_appears_error),
                f"{units.allowed_places:,}", _pair(units.forbidden_appears, units.forbidden_appears_error),
                f"{units.forbidden_places:,}", truth_ratio(units),
                f"{percent(control.allowed_appears, 2)}, {percent(control.forbidden_appears, 2)}",
            )
        )  # fmt: skip
    columns = (
        "concept", "setting", "where allowed", "places", "where forbidden", "places", "compared", "control",
    )  # fmt: skip
    lead = (
        "At every place of other images: share of free places where the object appears, by what the renderer would "
        "do at that place of that scene. Allowed: P of at least 5 %; forbidden: P = 0."
    )
    return _parts(lead, markdown(columns, body)) if body else ""


def _by_probability(context: Context) -> str:
    body = [
        (
            probability_range(row.low, row.high), f"{row.places:,}", _pair(row.appears, row.appears_error),
            measured(row.effect, row.effect_error), _pair(row.random_appears, row.random_appears_error),
        )
        for row in rows(context.possible)
    ]  # fmt: skip
    lead = f"**{context.spec.concept}** ({context.spec.chosen}), by how probable the renderer makes it there:"
    return _parts(lead, markdown(("renderer", "free places", "appears", "pixels gained", "control"), body))


def _by_object(context: Context) -> str:
    """Return the effect where a person or a grammar of objects allows it, for generators without a renderer."""
    spec = context.spec
    lead = (
        f"**{spec.concept}**: {count(len(spec.units), 'unit')} of {spec.layer} ({spec.chosen}), {spec.cell} × "
        f"{spec.cell}, {spec.multiple:g} k, {spec.images:,} images, {len(context.places):,} insertions. Pixels "
        "gained at free places, which showed none before, as a share of the place's pixels."
    )
    if context.verdict["allowed"].isna().all():
        return lead  # nothing says where it may be
    columns = (
        "units", "where allowed", "places", "where forbidden", "places", "difference (95 %)", "ratio (95 %)",
    )  # fmt: skip
    body = [
        (
            "chosen" if row.by == "units" else row.by, effect_text(row.allowed, row.allowed_error),
            f"{row.allowed_places:,}", effect_text(row.forbidden, row.forbidden_error), f"{row.forbidden_places:,}",
            f"{measured(row.difference)} ({measured(row.difference_low)} to {measured(row.difference_high)})",
            ratio_text(row.ratio, row.low, row.high),
        )
        for row in rows(context.verdict)
    ]  # fmt: skip
    return _parts(lead, markdown(columns, body))


def _under(under: pd.DataFrame) -> str:
    columns = ("under the place", "grammar", "places", "effect", "responsive", "random units")
    body = [
        (
            row.object, "–" if pd.isna(row.allowed) else _MARKS[bool(row.allowed)], f"{row.places:,}",
            effect_text(row.effect, row.effect_error), percent(row.responsive, 2),
            effect_text(row.random_effect, row.random_effect_error),
        )
        for row in rows(under[under["places"] >= 5])
    ]  # fmt: skip
    return markdown(columns, body)


def _figure_17(found: Findings, images: Sequence[str]) -> str:
    parts = []
    for trace in found.traces:
        cells = {(row.layer, bool(row.visible)): row for row in rows(trace.lines)}
        body = []
        for layer in dict.fromkeys(trace.lines["layer"]):
            both = [cells.get((layer, seen)) for seen in (True, False)]
            body.append((layer, *[measured(row.change, row.error, sign=False) if row else "–" for row in both]))
        places = [int(getattr(cells.get((trace.spec.layer, seen)), "places", 0)) for seen in (True, False)]
        columns = ("layer", f"visible ({count(places[0], 'place')})", f"not visible ({count(places[1], 'place')})")
        parts += [f"**{trace.spec.concept}**, inserted at {trace.spec.layer}:", markdown(columns, body)]
        parts.append(_image(f"figure-17-{_named(trace.spec.concept)}.svg", "Change by layer", images))
    return _parts(*parts) if parts else ""


def _first_order(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    body = [
        (row.concept, number(row.spearman, 2), str(row.clear), str(row.units))
        for row in rows(table.sort_values("spearman", ascending=False))
    ]
    return markdown(("concept", "rank correlation", "units with a clear effect", "units"), body)


def _cost(benches: Sequence[Bench]) -> str:
    body = [(name, f"{seconds:,.0f}") for bench in benches for name, seconds in bench.seconds.items()]
    total = sum(seconds for bench in benches for seconds in bench.seconds.values())
    return markdown(("step", "processor seconds"), [*body, ("**all**", f"**{total:,.0f}**")])


def _removed(row: Any) -> tuple[str, str, str]:
    return _pair(row.removed, row.error), _pair(row.random, row.random_spread), fate(row.removed)


def _instead(row: Any) -> str:
    gained = isinstance(row.instead, str) and row.instead and row.instead_change > 0
    return f"{row.instead} ({measured(row.instead_change, row.instead_error)} of the image)" if gained else "–"


def _appears(row: Any) -> str:
    text = measured(row.appears, row.appears_error, sign=False)
    return f"**{text}**" if row.picked else text


def _pair(value: float, error: float) -> str:
    return measured(value, error, sign=False)


def _alone(value: float) -> str:
    return measured(value) if math.isfinite(value) else "–"


def _named(concept: str) -> str:
    return concept.rpartition(":")[2]


def _image(name: str, title: str, images: Sequence[str]) -> str:
    return f"![{title}]({IMAGES}/{name})" if name in images else ""


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _parts(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def markdown(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] + ["--:"] * (len(columns) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def measured(value: float, error: float = math.nan, sign: bool = True) -> str:
    return percent_with_error(value, error, sign)
