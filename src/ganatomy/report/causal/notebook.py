"""A causal study in a notebook: its question, its answer, and the first of what shows it; the page has the rest."""

from html import escape
from typing import Any

from ganatomy.report.causal.page import section_of
from ganatomy.report.page import static


def summary_text(result: Any) -> str:
    """Return the question and the answer of a causal study; first why it is no finding, where that is so."""
    section = section_of(result)
    return "\n".join([*section.warnings, section.question, section.answer])


def notebook_html(result: Any) -> str:
    """Return what a notebook draws for the result of a causal study; the styles hold for this element only."""
    section = section_of(result)
    first = section.blocks[0]
    warnings = "".join(f"<p><strong>{escape(each)}</strong></p>" for each in section.warnings)
    return (
        f"<style>.ganatomy {{ {static('notebook.css')}{static('causal.css')} }}</style>"
        f'<div class="ganatomy">{warnings}<h3>{escape(section.question)}</h3><p>{escape(section.answer)}</p>'
        f'<p class="lead">{escape(first.lead)}</p>{first.body}</div>'
    )
