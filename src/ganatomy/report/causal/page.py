"""Causal studies as one HTML file: it opens from disk, offline, without scripts."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganatomy.errors import GanatomyError
from ganatomy.experiments.artifacts import Artifacts
from ganatomy.experiments.causal.accuracy import Accuracy
from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.causal.best_setting import BestSetting
from ganatomy.experiments.causal.capacity import Capacity
from ganatomy.experiments.causal.context import Context
from ganatomy.experiments.causal.effects import Effect
from ganatomy.experiments.causal.trace import Trace
from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy
from ganatomy.experiments.causal.unit_effects import UnitEffects
from ganatomy.experiments.quality import Quality
from ganatomy.experiments.repair import Repair
from ganatomy.experiments.warnings import warnings_of
from ganatomy.remote import local_path, write_text
from ganatomy.report.causal.accuracy import accuracy_section, unit_accuracy_section
from ganatomy.report.causal.ace import ace_section
from ganatomy.report.causal.artifacts import artifacts_section
from ganatomy.report.causal.capacity import capacity_section
from ganatomy.report.causal.context import context_section
from ganatomy.report.causal.each import unit_effects_section
from ganatomy.report.causal.effect import effect_section
from ganatomy.report.causal.quality import quality_section
from ganatomy.report.causal.repair import repair_section
from ganatomy.report.causal.section import Section
from ganatomy.report.causal.setting import setting_section
from ganatomy.report.causal.trace import trace_section
from ganatomy.report.page import model_name, static, template
from ganatomy.study import Study

CausalResult = (
    Effect
    | UnitEffects
    | Ace
    | BestSetting
    | Context
    | Capacity
    | Trace
    | Accuracy
    | UnitAccuracy
    | Artifacts
    | Quality
    | Repair
)
_SECTIONS: dict[type[Any], Callable[[Any], Section]] = {
    Effect: effect_section,
    UnitEffects: unit_effects_section,
    Ace: ace_section,
    Context: context_section,
    Capacity: capacity_section,
    BestSetting: setting_section,
    Trace: trace_section,
    Accuracy: accuracy_section,
    UnitAccuracy: unit_accuracy_section,
    Artifacts: artifacts_section,
    Quality: quality_section,
    Repair: repair_section,
}


def write_causal_report(results: CausalResult | Sequence[CausalResult], path: str | Path) -> None:
    """Write what one causal study found, or several, as one HTML page, whole or not at all."""
    write_text(path, causal_html(results, local_path(path)))


def causal_html(results: CausalResult | Sequence[CausalResult], path: Path | None = None) -> str:
    """Return what causal studies found as the text of one HTML page; where it is to lie, if units are to be linked."""
    sections = [section_of(result, path) for result in (results if isinstance(results, Sequence) else [results])]
    models = dict.fromkeys(model_name(section.spec["generator"]) for section in sections)
    versions = dict.fromkeys(section.facts.get("versions", {}).get("ganatomy", "") for section in sections)
    return template("causal.html").render(
        title=sections[0].question if len(sections) == 1 else f"What causes what in {', '.join(models)}?",
        models=list(models),
        sections=list(zip(_keys(sections), sections, strict=True)),
        version=", ".join(versions),
        style=static("report.css") + static("causal.css"),
    )


def section_of(result: CausalResult, path: Path | None = None) -> Section:
    """Return a result as a section of the page that lies at `path`."""
    if isinstance(result, Ace) and path is not None:
        section = ace_section(result, dissection_link(result.facts, result.study.directory, path))
    else:
        section = _SECTIONS[type(result)](result)
    return replace(section, warnings=warnings_of(result))


def dissection_link(facts: Mapping[str, Any], study: Path, path: Path) -> str:
    """Return how a page at `path` reaches the report of the dissection that a study stands on; nothing if it cannot.

    The dissection is looked for beside the study, as `Source.beside` has put that, and where the study's facts say.
    """
    around = str(study.resolve().parent.parent)
    for where in (around.removesuffix("-causal"), facts["source"]):
        try:
            directory = local_path(where).resolve()
            report = directory / "report.html"
            if report.is_file() and Study.open(directory).digest == facts["inputs"]["dissection"]:
                return quote(os.path.relpath(report, path.resolve().parent))
        except GanatomyError:  # not a study, or one that is being made again
            continue
    return ""


def _keys(sections: Sequence[Section]) -> list[str]:
    """Return the addresses of the sections, without what an address may not have; the same names are counted."""
    names = [re.sub(r"[^\w.-]+", "-", section.key) for section in sections]
    return [name if (n := names[: i + 1].count(name)) == 1 else f"{name}~{n}" for i, name in enumerate(names)]
