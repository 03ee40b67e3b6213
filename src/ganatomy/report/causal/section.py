"""A part of a page: the question that a study answers, its answer in one line, and what shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ganatomy.core.vocabulary import Concept, find_concept
from ganatomy.report.charts import Change, Chart
from ganatomy.report.formats import effect_text, percent
from ganatomy.report.page import static
from ganatomy.report.palette import concept_colours
from ganatomy.report.svg import svg

_ELSEWHERE = ("vocabulary", "layers", "classes", "warnings", "repaired", "prompts", "slots", "word_or_thing")
"""Facts that the page shows in its own way."""
Colours = Mapping[tuple[str, str], str]
RANDOM = "random units"
CONTROLS = {"random": RANDOM, "without": "all units as in images without it"}
"""What an insertion is compared with: where all units are set, random ones would be the same."""
ERROR, CONTROL = "<i class='mark error'></i>", "<i class='mark control'></i>"
"""Marks of a legend."""


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
        methods: what the page explains of the method: any of ``edit``, ``segmenter``, ``classifier``, ``distance``.
        spec, facts, warnings: of the study; `Result.section` fills them in.
    """

    key: str
    short: str
    question: str
    answer: str
    blocks: Sequence[Block]
    methods: tuple[str, ...] = ("edit", "segmenter")
    spec: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def shown_facts(self) -> dict[str, Any]:
        """The facts, without those that the page shows in its own way."""
        return {name: fact for name, fact in self.facts.items() if name not in _ELSEWHERE}

    def notebook(self) -> str:
        """Return question, answer and the first block as HTML; the styles hold for this element only."""
        first = self.blocks[0]
        warnings = "".join(f"<p><strong>{escape(each)}</strong></p>" for each in self.warnings)
        return (
            f"<style>.ganatomy {{ {static('notebook.css')}{static('causal.css')} }}</style>"
            f'<div class="ganatomy">{warnings}<h3>{escape(self.question)}</h3><p>{escape(self.answer)}</p>'
            f'<p class="lead">{escape(first.lead)}</p>{first.body}</div>'
        )


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


def control_name(facts: Mapping[str, Any]) -> str:
    """Return what a study compares with."""
    return CONTROLS[facts.get("control", "random")]


def frequent_places(concept: str, least: float) -> str:
    """Say which places count, where not all do: a sentence, a space before it."""
    if not least:
        return ""
    return f" Only places that show {concept} at least {percent(least)} as often as the place that shows it most."


def effect_bar(name: str, value: float, error: float, colour: str, **more: Any) -> Change:
    """Return the bar of an effect, named in words where there is none."""
    return Change(name, value, error, colour, effect_text(value, error, brief=True), **more)


def figures(*charts: Chart) -> str:
    """Return charts under their headings, side by side where there is room; nothing for none."""
    if not charts:
        return ""
    drawn = (f"<figure><figcaption>{escape(heading)}</figcaption>{svg(chart)}</figure>" for heading, chart in charts)
    return f'<div class="charts">{"".join(drawn)}</div>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return what marks mean: (HTML of the mark, text)."""
    return '<ul class="legend">' + "".join(f"<li>{mark} {escape(text)}</li>" for mark, text in entries) + "</ul>"
