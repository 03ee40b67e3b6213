"""The effect of an edit: images before and after, and the change of every concept (Figures 4, 9 and 10)."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.core.layer_steps import is_window, spanned
from ganatomy.remote import write_text
from ganatomy.report.causal.section import (
    CONTROL,
    ERROR,
    RANDOM,
    Block,
    Section,
    colours_of,
    control_name,
    effect_bar,
    figures,
    legend,
    target_of,
)
from ganatomy.report.causal.tiles import WIDE, Box, Card, crop_tile, grouped, rows_of_tiles, sheet, tile
from ganatomy.report.charts import ChangeChart
from ganatomy.report.formats import count, effect_text, percent, percent_with_error, sentence
from ganatomy.report.svg import as_file
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.causal.effects import Effect

_SHOWN = 14
"""Concepts that have a bar; the table has all."""
_COMMON = 0.001
"""Least share of the pixels before, for a relative change to mean something."""
_APPEARS = 0.25
"""A concept appears where it newly covers so large a share of the place."""
_DONE = {"ablate": "ablated", "insert": "inserted", "apply": "edited"}
_IN_WINDOWS = "The same units, edited in one window of steps at a time, then at all steps."
_READ = {"place": "at the edited place", "image": "in the whole image"}


def effect_tables(effect: "Effect") -> list[Table]:
    """Return the change of every concept: at the place first, where one was edited."""
    columns = (
        Column("concept"),
        Column("category", "kind", brief=False),
        Column("before", form=percent),
        Column("after", form=percent),
        Column("change", form=effect_text, error="change_error"),
        Column("relative", form=effect_text, error="relative_error"),
        Column("random_change", f"{control_name(effect.facts)}: change", _signed, "random_spread"),
    )
    caption = "Every concept that is seen, share of pixels {}; ± is one standard error, of sets a spread"
    return [
        *(Table(f"effect-{read}", caption.format(_READ[read]), columns, _own(effect, read)) for read in _reads(effect)),
        *_windows(effect),
        *_by_prompt(effect),
    ]


def _change_columns(effect: "Effect", *named: Column) -> tuple[Column, ...]:
    return (
        *named,
        Column("before", form=percent),
        Column("after", form=percent),
        Column("first_change", "first: change", effect_text),
        Column("second_change", "second: change", effect_text),
        Column("change", "second − first" * ("pairs" in [each.name for each in named]), effect_text, "change_error"),
        Column("random_change", f"{control_name(effect.facts)}: change", _signed, "random_spread"),
    )


def _caption(effect: "Effect", by: str) -> str:
    where = _READ[_reads(effect)[0]] if _reads(effect) else _READ["image"]
    return f"{sentence(effect.spec.concept or '')} {by}, share of pixels {where}; ± is one standard error"


def _windows(effect: "Effect") -> list[Table]:
    """Return the effect on the concept in each window of steps, where it was measured."""
    if not len(effect.windows):
        return []
    columns, caption = _change_columns(effect, Column("steps")), _caption(effect, "by the steps that are edited")
    return [Table("effect-windows", caption, columns, effect.windows, 24, drawn=["change"], control="random_change")]


def _by_prompt(effect: "Effect") -> list[Table]:
    """Return the effect on the concept by prompt, by slot and within pairs, of a text-to-image model."""
    found = (
        ("effect-by-prompt", "by prompt", ("prompt", "images"), effect.prompts),
        ("effect-by-slot", "by what a slot of the prompt holds", ("slot", "value", "images"), effect.slots),
        ("effect-pairs", "in pairs of one noise", ("word", "instead", "pairs"), effect.prompt_pairs),
    )
    return [
        Table(name, _caption(effect, by), _change_columns(effect, *map(Column, named)), frame, keys=len(named) - 1)
        for name, by, named, frame in found
        if frame is not None
    ]


def effect_section(effect: "Effect") -> Section:
    """Return the section of an ablation, an insertion, or given edits."""
    spec = effect.spec
    tables = zip(_reads(effect), effect_tables(effect), strict=False)
    return Section(
        key=f"{spec.kind}-{spec.concept or 'units'}",
        short=f"{spec.kind} {spec.concept or ''}".strip(),
        question=_question(effect),
        answer=_answer(effect),
        blocks=[
            _images(effect),
            *_closer(effect),
            *(_bars(effect, read, table) for read, table in tables),
            *(Block("When is it decided?", _IN_WINDOWS, figures(_decided(t)) + t.html()) for t in _windows(effect)),
            *_prompt_blocks(effect),
        ],
    )


def _decided(table: Table) -> tuple[str, ChangeChart]:
    return "Change by the steps that are edited", table.chart()


def _prompt_blocks(effect: "Effect") -> list[Block]:
    tables = _by_prompt(effect)
    lead = f"What the images show of {effect.spec.concept}; in pairs, the effect on the second image less the first."
    return [Block("By prompt", lead, "".join(table.html() for table in tables))] if tables else []


def effect_charts(effect: "Effect", read: str) -> list[tuple[str, ChangeChart]]:
    """Return two charts: the relative change of each concept, and its change in share of the pixels."""
    own, where = _own(effect, read), _READ[read]
    relative = [_bar(effect, row, "relative") for row in rows(own[own["before"] >= _COMMON].head(_SHOWN))]
    points = [_bar(effect, row, "change") for row in rows(own.head(_SHOWN))]
    control = control_name(effect.facts)
    charts = (
        ChangeChart(relative, f"Relative change of each concept {where}", 1.0, control),
        ChangeChart(points, f"Change in share of pixels {where}", control=control),
    )
    headings = f"Change of each concept {where}", f"Change in share of all pixels {where}"
    return list(zip(headings, charts, strict=True))


def effect_chart(effect: "Effect") -> ChangeChart:
    """Return the change of each concept where it was counted first: relative, where any concept is common enough."""
    charts = [chart for read in _reads(effect)[:1] for _, chart in effect_charts(effect, read) if chart.rows]
    return charts[0] if charts else ChangeChart((), "No concept is seen, before or after")


def effect_cards(effect: "Effect") -> list[Card]:
    """Return each image before and after, and the same with random units, the edited region boxed."""
    boxes, done = _boxes(effect), _DONE[effect.spec.kind]
    prompts = effect.facts.get("prompts") or [""]
    ids, before, after, random = (tensor.numpy() for tensor in effect.strips.state_dict().values())
    cards: list[Card] = []
    for i, number in enumerate(ids):
        tiles = [
            (
                tile(before[i], f"Image {number} before", boxes),
                ": ".join(filter(None, [f"image {number}", prompts[number % len(prompts)]])),
            ),
            (tile(after[i], f"Image {number} with the units {done}", boxes), done),
        ]
        if len(random):
            control = control_name(effect.facts)
            tiles.append((tile(random[i], f"Image {number}, {control} {done}", boxes), control))
        cards.append(tiles)
    return cards


def save_effect(effect: "Effect", path: str | Path, images: int = 6) -> None:
    """Write what an edit does, images before and after and every concept's change, as an SVG file (Figures 9, 10)."""
    read = str(effect.table["read"].iloc[-1]) if len(effect.table) else "image"
    blocks = [("Before, after, and random units", sheet(effect_cards(effect)[:images], WIDE - 32))]
    where = ", ".join(spanned(effect.spec.layers()))
    title = f"{effect.spec.kind} {effect.spec.concept or ''} at {where}, {effect.spec.generator}"
    write_text(path, as_file(title, (), [*blocks, *effect_charts(effect, read)], WIDE))


def _question(effect: "Effect") -> str:
    spec = effect.spec
    each = [f"{count(len(units), 'unit')} of {layer}" for layer, units in spec.layer_units()]
    if is_window(spec.layers()):  # the same units at each step
        each = [f"{count(len(spec.units), 'unit')} of {layer}" for layer in spanned(spec.layers())]
    what = " and ".join(each) if spec.units else "the given edits"
    they, are = ("it", "is") if len(spec.units) == 1 else ("they", "are")
    if spec.kind == "ablate":
        return f"What disappears when {what} {are} ablated{f' for {spec.concept}' if spec.concept else ''}?"
    if spec.kind == "insert":
        return f"What appears when {what} {are} set to what {they} {are} at a {spec.concept}?"
    return f"What do {what} change?"


def _answer(effect: "Effect") -> str:
    """Return the change of the target, or of what changes most, and that by random sets."""
    if effect.table.empty:
        return "The segmenter finds no concept, before or after."
    read, spec = _reads(effect)[0], effect.spec
    row: Any = rows(_own(effect, read))[0]
    text = f"{row.concept}: {percent(row.before)} of the pixels before, {percent(row.after)} after: "
    if row.before >= _COMMON and math.isfinite(row.relative):
        text += effect_text(row.relative, row.relative_error)
    else:
        text += effect_text(row.change, row.change_error, of=" of the pixels")
    if pd.notna(row.random_change):
        control = (
            f"as many units drawn at random ({count(spec.random, 'set')})"
            if control_name(effect.facts) == RANDOM
            else "all units set to what they are at that place in images without it"
        )
        text += f"; {percent(row.before + row.random_change)} with {control}"
    words = effect.facts.get("word_or_thing", "")
    return f"{text}; {_READ[read]}, {spec.images:,} images." + (f" {words}" if words else "")


def _images(effect: "Effect") -> Block:
    spec, boxes = effect.spec, len(_boxes(effect))
    lead = sentence(spec.chosen or "the edits were given")
    if spec.kind == "insert":
        where = " at that very place" if spec.constant == "place" else ""
        lead += f" Set to {spec.multiple:g} × their mean{where} where {spec.concept} is."
    if spec.strength != 1:
        lead += f" At {percent(spec.strength)} strength."
    lead += f" The yellow {'box is' if boxes == 1 else 'boxes are'} what is edited." if boxes else " Edited everywhere."
    if spec.kind == "ablate" and spec.concept:
        lead += f" These images show the most {spec.concept}: they are selected, the numbers below are not."
    return Block("Before and after", lead, rows_of_tiles(effect_cards(effect)))


def closer_cards(effect: "Effect") -> list[tuple[str, list[Card]]]:
    """Return the edited place before and after, six times as large: where it gains most, then where it gains least."""
    found, boxes = effect.extremes, _boxes(effect)
    if found is None or not boxes or not len(found.ids):
        return []
    box, concept = min(boxes, key=lambda own: own.height * own.width), effect.spec.concept
    cards: list[Card] = []
    for number, *pair in zip(found.ids.tolist(), found.before.numpy(), found.after.numpy(), strict=True):
        gain = f"{concept}: +{percent(float(found.gain[number - effect.spec.first]), 2)} of the place"
        titles = (f"The place in image {number} before", f"The place in image {number} after, {gain}")
        before, after = (crop_tile(image, box, title) for image, title in zip(pair, titles, strict=True))
        cards.append([(before, f"image {number}"), (after, gain)])
    half = len(cards) // 2
    return [("Where it gains most", cards[:half]), ("Where it gains least", cards[half:])]


def _closer(effect: "Effect") -> list[Block]:
    groups = closer_cards(effect)
    if not groups or effect.extremes is None:
        return []
    gain = effect.extremes.gain[effect.extremes.gain.isfinite()]
    appears = int((gain >= _APPEARS).sum())
    lead = (
        f"Of {effect.spec.images:,} images, {len(gain):,} show no {effect.spec.concept} at that place before. In "
        f"{appears:,} of them ({percent(appears / len(gain), 2)}) it then covers at least {percent(_APPEARS)} of the "
        "place. Shown are those that gain most and those that gain least: the place, and half as much around it."
    )
    return [Block("The place, before and after", lead, grouped(groups))]


def _bars(effect: "Effect", read: str, table: Table) -> Block:
    marks = [(ERROR, "standard error over images")]
    if effect.spec.random:
        control = control_name(effect.facts)
        sets = f"{count(effect.spec.random, 'random set')} of as many units: mean and standard deviation"
        marks.append((CONTROL, sets if control == RANDOM else control))
    heading = "What changes" + (f" {_READ[read]}" if len(_reads(effect)) > 1 else "")
    body = legend(marks) + figures(*effect_charts(effect, read)) + table.folded()
    return Block(heading, "The requested concept first, then by how many pixels change.", body)


def _bar(effect: "Effect", row: Any, value: str) -> Any:
    """Return the bar of a concept: its relative change, or its change in share of the pixels."""
    relative = value == "relative"
    spread = row.random_spread / (row.before or math.nan) if relative else row.random_spread
    return effect_bar(
        row.concept,
        getattr(row, value),
        getattr(row, f"{value}_error"),
        colours_of(effect.facts)[row.concept, row.category],
        control=(row.random_relative if relative else row.random_change, spread),
        title=f"{row.concept}: {percent(row.before)} of the pixels before, {percent(row.after)} after",
        strong=(row.concept, row.category) == target_of(effect.facts, effect.spec.concept),
    )


def _signed(value: float, error: float) -> str:
    return percent_with_error(value, error, sign=True)


def _reads(effect: "Effect") -> list[str]:
    """Return where the pixels were counted: at the place first, where one was edited."""
    found = set(effect.table.get("read", ()))  # where nothing is seen, there are no columns
    return [read for read in _READ if read in found]


def _own(effect: "Effect", read: str) -> pd.DataFrame:
    """Return the rows of one of them: the target first, then by how many pixels change."""
    return effect.table[effect.table["read"] == read]


def _boxes(effect: "Effect") -> list[Box]:
    """Return what is edited as shares of the image: around each part of it, unless one of them is everywhere."""
    boxes = []
    for where in (stroke.where[0] > 0 for edit in effect.edits() for stroke in edit.strokes()):
        if bool(where.all()):
            return []
        (height, width), at = where.shape, where.nonzero()
        if len(at):
            top, left = at.amin(0).tolist()
            bottom, right = (at.amax(0) + 1).tolist()
            boxes.append(Box(top / height, left / width, (bottom - top) / height, (right - left) / width))
    return list(dict.fromkeys(boxes))
