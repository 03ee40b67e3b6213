"""What some units do: images before and after, and what becomes of every concept (Figures 4, 9 and 10)."""

import math
from typing import Any

import pandas as pd

from ganatomy.experiments.causal.effects import Effect
from ganatomy.report.causal.section import (
    CONTROLS,
    Block,
    Colours,
    Section,
    charts,
    colours_of,
    control_name,
    count,
    effect_text,
    figure,
    folded,
    legend,
    measured,
    percent,
    sentence,
    table,
    target_of,
)
from ganatomy.report.causal.tiles import Box, Card, rows_of_tiles, tile
from ganatomy.report.svg import Change, change_chart
from ganatomy.report.tables import rows
from ganatomy.vocabulary import Concept

_SHOWN = 14
"""Concepts that have a bar; the table has all."""
_COMMON = 0.001
"""Least share of the pixels before, for a relative change to mean something."""
_DONE = {"ablate": "switched off", "insert": "switched on", "apply": "edited"}
_READ = {"image": "in the whole image", "place": "at the edited place"}


def effect_section(effect: Effect) -> Section:
    """Return the section of an ablation, an insertion, or given edits."""
    spec = effect.spec
    what = f"{count(len(spec.units), 'unit')} of {spec.layer}" if spec.units else "the given edits"
    short = f"{spec.kind} {spec.concept or ''}".strip()
    return Section(
        key=f"{spec.kind}-{spec.concept or 'units'}",
        short=short,
        question=_question(effect, what),
        answer=_answer(effect),
        blocks=[_pictures(effect), *(_bars(effect, read) for read in _reads(effect))],
        spec=vars(spec),
        facts=effect.facts,
    )


def effect_charts(effect: Effect, read: str) -> list[tuple[str, str]]:
    """Return two charts: how much of each concept is left or new, and what the pixels became, in points."""
    colours, target = colours_of(effect.facts), target_of(effect.facts, effect.spec.concept)
    own = _own(effect, read)
    share = [_relative_bar(row, colours, target) for row in rows(own[own["before"] >= _COMMON].head(_SHOWN))]
    points = [_points_bar(row, colours, target) for row in rows(own.head(_SHOWN))]
    where = _READ[read]
    return [
        (f"Change of each concept {where}", change_chart(share, f"Relative change of each concept {where}", 1.0)),
        (
            f"The same in points: share of all pixels {where}",
            change_chart(points, f"Change in share of pixels {where}"),
        ),
    ]


def effect_cards(effect: Effect) -> list[Card]:
    """Return each image before and after, beside the same with random units, the edited region boxed."""
    strips, boxes = effect.strips, _boxes(effect)
    done = _DONE[effect.spec.kind]
    cards: list[Card] = []
    for i, number in enumerate(strips.ids):
        tiles = [
            (tile(strips.before[i], f"Image {number} before", boxes), f"image {number}"),
            (tile(strips.after[i], f"Image {number} with the units {done}", boxes), done),
        ]
        if len(strips.random):
            control = control_name(effect.facts)
            tiles.append((tile(strips.random[i], f"Image {number}, {control} {done}", boxes), control))
        cards.append(tiles)
    return cards


def _question(effect: Effect, what: str) -> str:
    kind, concept = effect.spec.kind, effect.spec.concept
    if kind == "ablate":
        return f"What goes when {what} are switched off{f' for {concept}' if concept else ''}?"
    if kind == "insert":
        return f"What comes when {what} are set to what they are at a {concept}?"
    return f"What do {what} change?"


def _answer(effect: Effect) -> str:
    """Return the change of the target, or of what changes most, beside that by random sets."""
    if effect.table.empty:
        return "Nothing that the segmenter knows is to be seen, before or after."
    read = _reads(effect)[0]
    row: Any = rows(_own(effect, read))[0]
    text = f"{row.concept}: {percent(row.before)} of the pixels before, {percent(row.after)} after"
    known = row.before >= _COMMON and math.isfinite(row.relative)
    text += ": " + (
        effect_text(row.relative, row.relative_error)
        if known
        else effect_text(row.change, row.change_error, of=" of the pixels")
    )
    if pd.notna(row.random_change):
        beside = percent(row.before + row.random_change)
        text += f"; {beside} after " + (
            f"the same with as many units drawn at random ({count(effect.spec.random, 'set')})"
            if control_name(effect.facts) == CONTROLS["random"]
            else "setting all units to what they are at that place in images without it"
        )
    return f"{text}; {_READ[read]}, {effect.spec.images:,} images."


def _pictures(effect: Effect) -> Block:
    spec = effect.spec
    lead = sentence(spec.chosen or "the edits were given")
    if spec.kind == "insert":
        where = " at that very place" if spec.constant == "place" else ""
        lead += f" Set to {spec.multiple:g} × their mean{where} where {spec.concept} is."
    if spec.strength != 1:
        lead += f" Taken {percent(spec.strength)} of the way."
    boxes = len(_boxes(effect))
    lead += f" The yellow {'box is' if boxes == 1 else 'boxes are'} what is edited." if boxes else " Edited everywhere."
    if spec.kind == "ablate" and spec.concept:
        lead += f" These images show the most {spec.concept}: they are chosen, the numbers below are not."
    return Block("Before and after", lead, rows_of_tiles(effect_cards(effect)))


def _bars(effect: Effect, read: str) -> Block:
    marks = [("<i class='mark error'></i>", "standard error over images")]
    if effect.spec.random:
        sets = f"{count(effect.spec.random, 'random set')} of as many units: mean and standard deviation"
        random = control_name(effect.facts) == CONTROLS["random"]
        marks.append(("<i class='mark control'></i>", sets if random else control_name(effect.facts)))
    drawn = charts(*(figure(heading, chart) for heading, chart in effect_charts(effect, read)))
    lead = "The asked concept first, then by how many pixels change. What goes makes room for what comes."
    heading = "What changes" + (f" {_READ[read]}" if len(_reads(effect)) > 1 else "")
    return Block(heading, lead, legend(marks) + drawn + folded("All numbers", _numbers(effect, _own(effect, read))))


def _numbers(effect: Effect, own: pd.DataFrame) -> str:
    columns = ("concept", "kind", "before", "after", "change", "relative", f"{control_name(effect.facts)}: change")
    body = [
        (
            row.concept,
            row.category,
            percent(row.before),
            percent(row.after),
            effect_text(row.change, row.change_error),
            effect_text(row.relative, row.relative_error),
            measured(row.random_change, row.random_spread),
        )
        for row in rows(own)
    ]
    return table(
        columns, body, "Every concept that is seen, share of pixels; ± is one standard error, of sets a spread"
    )


def _relative_bar(row: Any, colours: Colours, target: Concept) -> Change:
    return Change(
        name=row.concept,
        value=row.relative,
        error=row.relative_error,
        colour=colours[row.concept, row.category],
        note=effect_text(row.relative, row.relative_error, brief=True),
        control=(row.random_relative, row.random_spread / row.before if row.before else math.nan),
        title=f"{row.concept}: {percent(row.before)} of the pixels before, {percent(row.after)} after",
        strong=(row.concept, row.category) == target,
    )


def _points_bar(row: Any, colours: Colours, target: Concept) -> Change:
    return Change(
        name=row.concept,
        value=row.change,
        error=row.change_error,
        colour=colours[row.concept, row.category],
        note=effect_text(row.change, row.change_error, brief=True),
        control=(row.random_change, row.random_spread),
        title=f"{row.concept}: {percent(row.before)} of the pixels before, {percent(row.after)} after",
        strong=(row.concept, row.category) == target,
    )


def _reads(effect: Effect) -> list[str]:
    """Return how the pixels were read: at the place first, where one was edited."""
    found = set(effect.table.get("read", ()))  # where nothing is seen, there are no columns
    return [read for read in ("place", "image") if read in found]


def _own(effect: Effect, read: str) -> pd.DataFrame:
    """Return the rows of one reading: the target first, then by how many pixels change."""
    return effect.table[effect.table["read"] == read]


def _boxes(effect: Effect) -> list[Box]:
    """Return what is edited as shares of the image: around each part of it, unless one of them is everywhere."""
    boxes = []
    for where in (stroke.where[0] for edit in effect.edits() for stroke in edit.strokes()):
        rows_, columns = (where > 0).any(1).nonzero()[:, 0].tolist(), (where > 0).any(0).nonzero()[:, 0].tolist()
        if bool((where > 0).all()):
            return []
        if rows_:
            top, left = rows_[0] / where.shape[0], columns[0] / where.shape[1]
            bottom, right = (rows_[-1] + 1) / where.shape[0], (columns[-1] + 1) / where.shape[1]
            boxes.append(Box(top, left, bottom - top, right - left))
    return list(dict.fromkeys(boxes))
