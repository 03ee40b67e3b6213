"""Studies as one HTML file: it opens from disk, offline."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ganatomy.core.errors import GanatomyError
from ganatomy.remote import local_path, write_text
from ganatomy.report.causal.section import Section
from ganatomy.report.page import model_name, template
from ganatomy.study import Study

if TYPE_CHECKING:
    from ganatomy.experiments.result import Result


def write_causal_report(results: "Result | Sequence[Result]", path: str | Path) -> None:
    """Write the results of one study, or several, as one HTML page, whole or not at all."""
    write_text(path, causal_html(results, local_path(path)))


def causal_html(results: "Result | Sequence[Result]", path: Path | None = None) -> str:
    """Return results as the text of one HTML page; `path`, where it will lie, lets units link to their dissection."""
    found = list(results) if isinstance(results, Sequence) else [results]
    sections = [_linked(result.section(), "" if path is None else dissection_link(result, path)) for result in found]
    models = dict.fromkeys(model_name(section.spec["generator"]) for section in sections)
    versions = dict.fromkeys(section.facts.get("versions", {}).get("ganatomy", "") for section in sections)
    return template("causal.html").render(
        title=sections[0].question if len(sections) == 1 else f"What causes what in {', '.join(models)}?",
        models=list(models),
        sections=list(zip(_keys(sections), sections, strict=True)),
        version=", ".join(versions),
    )


def dissection_link(result: "Result", path: Path) -> str:
    """Return how a page at `path` reaches the report of the dissection of a study; nothing if it cannot.

    The dissection is looked for where `Source.sibling_path` would have put the study, and where the study's facts say.
    """
    around = str(result.study.directory.resolve().parent.parent)
    for where in (around.removesuffix("-causal"), result.facts["source"]):
        try:
            directory = local_path(where).resolve()
            report = directory / "report.html"
            if report.is_file() and Study.open(directory).digest == result.facts["inputs"]["dissection"]:
                return quote(os.path.relpath(report, path.resolve().parent))
        except GanatomyError:  # not a study, or one that is being made again
            continue
    return ""


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
