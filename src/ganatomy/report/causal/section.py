"""A part of the page: the question that a study answers, its answer in one line, and what shows it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ganatomy.report.palette import concept_colours
from ganatomy.vocabulary import Concept, find_concept

_SAID = ("vocabulary", "layers", "classes", "warnings")
"""Facts that the page shows in its own way."""
Colours = Mapping[tuple[str, str], str]


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
        blocks: pictures first.
        spec, facts: what was asked, and what was used.
        draws: whether pictures were drawn; else classes were told of pictures that stay as they are.
        ranks: whether nothing was edited, and units or pictures were only compared.
        described: whether pictures were compared with real ones, and not segmented.
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


def count(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number:,} {noun}" + "s" * (number != 1)


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
