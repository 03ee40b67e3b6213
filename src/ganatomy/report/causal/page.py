"""Studies as one HTML file: it opens from disk, offline."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ganatomy.remote import local_path, write_text
from ganatomy.report.causal.section import Section
from ganatomy.report.index import dissection_of, is_index
from ganatomy.report.page import model_name, template
from ganatomy.report.summary import summary_of
from ganatomy.study.files import INDEX

if TYPE_CHECKING:
    from ganatomy.experiments.result import Result

_REPORT = "The dissection"
"""What the link to the report of the dissection is called."""


def write_causal_report(results: "Result | Sequence[Result]", path: str | Path) -> None:
    """Write the results of one study, or several, as one HTML page, whole or not at all."""
    write_text(path, causal_html(results, local_path(path)))


def causal_html(results: "Result | Sequence[Result]", path: Path | None = None) -> str:
    """Return results as the text of one HTML page; `path`, where it will lie, lets it link to their dissection."""
    found = list(results) if isinstance(results, Sequence) else [results]
    links = [{} if path is None else links_back(result, path) for result in found]
    sections = [_linked(result.section(), link.get(_REPORT, "")) for result, link in zip(found, links, strict=True)]
    models = dict.fromkeys(model_name(section.spec["generator"]) for section in sections)
    versions = dict.fromkeys(section.facts.get("versions", {}).get("ganatomy", "") for section in sections)
    one = sections[0] if len(sections) == 1 else None
    return template("causal.html").render(
        title=one.question if one else f"What causes what in {', '.join(models)}?",
        summary=one and summary_of(one.question, one.answer, one.warnings, [block.body for block in one.blocks]),
        links=links[0] if links.count(links[0]) == len(links) else {},
        models=list(models),
        sections=list(zip(_keys(sections), sections, strict=True)),
        version=", ".join(versions),
    )


def links_back(result: "Result", path: Path) -> dict[str, str]:
    """Return how a page at `path` reaches the report of the dissection and the index there, as far as they exist."""
    study, facts = result.study.directory, result.facts
    directory = dissection_of(study, facts["inputs"]["dissection"], facts["source"])
    if directory is None:
        return {}
    pages = {_REPORT: directory / "report.html", "All results on it": directory / INDEX}
    return {
        name: quote(os.path.relpath(page, path.resolve().parent))
        for name, page in pages.items()
        if (is_index(page) if page.name == INDEX else page.is_file())
    }


def _linked(section: Section, link: str) -> Section:
    """Return a section whose units lead to their cards in the report of the dissection."""
    if not link:
        return section
    blocks = [
        replace(each, body=each.body.replace('<a data-unit="', f'<a href="{link}#unit=')) for each in section.blocks
    ]
    return replace(section, blocks=blocks)


def _keys(sections: Sequence[Section]) -> list[str]:
    """Return the addresses of the sections, without what an address may not have; the same names are counted."""
    names = [re.sub(r"[^\w.-]+", "-", section.key) for section in sections]
    return [name if (n := names[: i + 1].count(name)) == 1 else f"{name}~{n}" for i, name in enumerate(names)]
