"""A part of the page: the question that a study answers, its answer in one line, and what shows it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ganatomy.report.palette import concept_colours
from ganatomy.stats.paired import holds_zero
from ganatomy.vocabulary import Concept, find_concept

_SAID = ("vocabulary", "layers", "classes", "warnings")
"""Facts that the page shows in its own way."""
Colours = Mapping[tuple[str, str], str]
NO_EFFECT = "no effect"
CONTROLS = {"random": "random units", "without": "all units as in images without it"}
"""What an insertion is compared with: where all units are set, random ones would be the same."""


@dataclass(frozen=True)
class Block:
    """A heading, a sentence or two on how to read what follows, and what follows as HTML that is safe to show."""

    heading: str
    lead: str
    body: str


@dataclass(frozen=True)
class Section:
    """One study on the page.

    Attributes:
        key: its address on the page.
        short: its name in the list of sections.
        question: its first line.
        answer: the number that answers it, with its error and its control.
        blocks: images first.
        spec, facts: what was asked, and what was used.
        draws: whether images were drawn; else classes were told of images that stay as they are.
        ranks: whether nothing was edited, and units or images were only compared.
        described: whether images were compared with real ones, and not segmented.
        warnings: what makes it no finding, said before the answer.
    """

    key: str
    short: str
    question: str
    answer: str
    blocks: Sequence[Block]
    spec: Mapping[str, Any]
    facts: Mapping[str, Any]
    draws: bool = True
    ranks: bool = False
    described: bool = False
    warnings: Sequence[str] = ()

    @property
    def shown_facts(self) -> dict[str, Any]:
        """What was used, without what the page shows in its own way."""
        return {name: fact for name, fact in self.facts.items() if name not in _SAID}


def vocabulary_of(facts: Mapping[str, Any]) -> tuple[Concept, ...]:
    """Return the concepts of a study, nothing first."""
    return tuple(Concept(*row) for row in facts["vocabulary"])


def colours_of(facts: Mapping[str, Any]) -> Colours:
    """Return the colour of each concept (name, category) of a study."""
    return concept_colours(vocabulary_of(facts))


def target_of(facts: Mapping[str, Any], concept: str | None) -> Concept:
    """Return the concept that a study asks about, given as a user names it; nothing where it asks about none."""
    vocabulary = vocabulary_of(facts)
    return vocabulary[0 if concept is None else find_concept(vocabulary, concept)]


def percent(value: float, digits: int = 3) -> str:
    """Return a share as a person reads it, – where there is none.

    >>> percent(0.03215), percent(0.5), percent(float("nan"))
    ('3.21 %', '50 %', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{float(f'{100 * value:.{digits}g}'):.10g} %".replace("-", "−")


def plain(value: float, digits: int = 3) -> str:
    """Return a number without exponent, – where there is none.

    >>> plain(-0.031581), plain(721.4, 2)
    ('−0.0316', '720')
    """
    if not math.isfinite(value):
        return "–"
    return f"{float(f'{value:.{digits}g}'):.10g}".replace("-", "−")


def measured(value: float, error: float = math.nan, sign: bool = True) -> str:
    """Return a share in per cent with its standard error, with as many digits as the error leaves meaning.

    >>> measured(-0.7432, 0.021), measured(0.00123, 0.00045), measured(0.25, float("nan"), sign=False)
    ('−74 ± 2 %', '+0.12 ± 0.04 %', '25 %')
    """
    if not math.isfinite(value):
        return "–"
    known = math.isfinite(error)
    finest = 100 * (error if known and error > 0 else abs(value) / 10)
    digits = max(0, min(3, math.ceil(-math.log10(finest) + 0.3))) if finest > 0 else 0
    text = f"{100 * value:{'+' * sign}.{digits}f}"
    text = text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")
    return f"{text} ± {100 * error:.{digits}f} %" if known else f"{text} %"


def with_error(value: float, error: float, sign: bool = False) -> str:
    """Return a number with its standard error to two digits, or to three without one; – where there is none.

    >>> with_error(0.0699, 0.0026), with_error(-14.1259, 0.4919, sign=True), with_error(412.3, 31), with_error(0.5, 0)
    ('0.0699 ± 0.0026', '−14.13 ± 0.49', '412 ± 31', '0.5')
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{'+' if sign and value > 0 else ''}{plain(value)}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:{'+' * sign}.{digits}f} ± {error:.{digits}f}".replace("-", "−")


def effect_text(value: float, error: float, none: float = 0.0, *, brief: bool = False, of: str = "") -> str:
    """Return an effect with its standard error; in words where its interval holds `none`, the value of no effect.

    Args:
        value, error: of a share; the error NaN where there is none.
        none: what the value is without any effect: 0 of a change, 1 of what is left.
        brief: leave the number out where there is no effect, as on a chart that draws it.
        of: what the share is of, to be written after it.

    >>> effect_text(-0.7432, 0.021), effect_text(0.03, 0.02), effect_text(0.03, 0.02, brief=True)
    ('−74 ± 2 %', 'no effect (+3 ± 2 %)', 'no effect')
    >>> effect_text(0.98, 0.02, 1), effect_text(0.42, 0.02, 1)
    ('no effect (98 ± 2 %)', '42 ± 2 %')
    """
    shown = measured(value, error, sign=not none) + of
    if not holds_zero(value - none, error):
        return shown
    return NO_EFFECT if brief else f"{NO_EFFECT} ({shown})"


def change_text(value: float, error: float) -> str:
    """Return the change of a number that is not a share, with its standard error, in words where there is none.

    >>> change_text(-14.1259, 0.4919), change_text(0.1, 0.2)
    ('−14.13 ± 0.49', 'no effect (+0.10 ± 0.20)')
    """
    shown = with_error(value, error, sign=True)
    return f"{NO_EFFECT} ({shown})" if holds_zero(value, error) else shown


def ratio_text(ratio: float, low: float, high: float) -> str:
    """Return how many times as much one effect is as another, with its 95 % interval; – where that cannot be said.

    >>> ratio_text(4.0, 2.5, 7.25), ratio_text(0.2, -0.4, 0.9), ratio_text(9, 2, float("inf"))
    ('4 times as much (95 %: 2.5 to 7.2)', '–', '9 times as much (95 %: at least 2)')
    """
    if not (math.isfinite(ratio) and low > 0):  # below zero it would be a multiple of the opposite effect
        return "–"
    ends = f"{plain(low, 2)} to {plain(high, 2)}" if math.isfinite(high) else f"at least {plain(low, 2)}"
    return f"{plain(ratio, 2)} times as much (95 %: {ends})"


def difference_text(value: float, low: float, high: float) -> str:
    """Return the difference of two effects with its 95 % interval; in words where the interval holds zero.

    >>> difference_text(0.3, 0.2, 0.4), difference_text(0.01, -0.2, 0.2)
    ('a difference of 30 % (95 %: 20 % to 40 %)', 'no difference (1 %; 95 %: −20 % to 20 %)')
    """
    if not math.isfinite(value):
        return "–"
    ends = f"95 %: {percent(low, 2)} to {percent(high, 2)}"
    if low <= 0 <= high:
        return f"no difference ({percent(value, 2)}; {ends})"
    return f"a difference of {percent(value, 2)} ({ends})"


def compared_text(row: Any) -> str:
    """Return how one effect compares with another: the ratio with its interval, or the difference where it has none."""
    ratio = ratio_text(row.ratio, row.low, row.high)
    return difference_text(row.difference, row.difference_low, row.difference_high) if ratio == "–" else ratio


def count(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def control_name(facts: Mapping[str, Any]) -> str:
    """Return what a study compares with."""
    return CONTROLS[facts.get("control", "random")]


def usual_places(concept: str, usual: float) -> str:
    """Say which places are told of, where not all are: a sentence, a space before it."""
    if not usual:
        return ""
    return f" Only places that show {concept} at least {percent(usual)} as often as the place that shows it most."


def sentence(text: str) -> str:
    """Return a text as a sentence: the first letter large, a full stop at the end.

    >>> sentence("top 20 for tree by ace")
    'Top 20 for tree by ace.'
    """
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def figure(heading: str, inner: str, note: str = "") -> str:
    """Return a drawing under its heading, with a note in small print below."""
    below = f'<p class="small">{escape(note)}</p>' if note else ""
    return f"<figure><figcaption>{escape(heading)}</figcaption>{inner}{below}</figure>"


def charts(*figures: str) -> str:
    """Return drawings side by side where there is room."""
    return f'<div class="charts">{"".join(figures)}</div>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a table; the first column names its rows, the others are figures."""
    head = "".join(f'<th scope="col"{_figures(i)}>{escape(name)}</th>' for i, name in enumerate(columns))
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption or columns[0])}">'
        f'<table class="ranked">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def folded(summary: str, inner: str) -> str:
    """Return something that opens when asked."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return what marks mean: (HTML of the mark, text)."""
    return '<ul class="legend">' + "".join(f"<li>{mark} {escape(text)}</li>" for mark, text in entries) + "</ul>"


def _cells(row: Sequence[str]) -> str:
    figures = "".join(f'<td class="figure">{escape(cell)}</td>' for cell in row[1:])
    return f'<th scope="row">{escape(row[0])}</th>{figures}'


def _figures(i: int) -> str:
    return ' class="figure"' if i else ""
