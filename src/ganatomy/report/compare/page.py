"""A comparison as a directory: one HTML page that opens from disk, its tables, its charts as files."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.annotations.store import as_text
from ganatomy.core.errors import BadFile
from ganatomy.core.files import atomic_write, write_text
from ganatomy.remote import display_path, local_path, upload
from ganatomy.report.causal.section import Block
from ganatomy.report.charts import Chart, Piece
from ganatomy.report.compare.concepts import change_block, change_charts, concept_block, concept_charts
from ganatomy.report.compare.counts import count_block, count_charts, layer_block, layer_charts
from ganatomy.report.compare.images import image_block
from ganatomy.report.compare.side_by_side import direction_block, quality_block, quality_charts, unit_block
from ganatomy.report.compare.steps import step_block
from ganatomy.report.formats import count, percent, with_error
from ganatomy.report.html import ELSEWHERE
from ganatomy.report.page import template
from ganatomy.report.palette import NEUTRAL, category_colours
from ganatomy.report.summary import summary_of
from ganatomy.report.svg import as_file
from ganatomy.report.tables import ALL, rows
from ganatomy.study.files import writing
from ganatomy.study.lock import StudyLock

if TYPE_CHECKING:
    from ganatomy.experiments.compare.comparison import Comparison

_NAMED = 4
"""Studies that a sentence names."""


def write_comparison(comparison: "Comparison", directory: str | Path) -> Path:
    """Write compare.html, compare.json, tables/ (Parquet and CSV) and figures/ (SVG); return the page.

    Raises:
        BadFile: the directory is a study, or a file.
        StudyBusy: another process is writing to it.
        StudyError: it cannot be written.
    """
    folder = local_path(directory)
    if folder.is_file() or (folder / "study.json").exists():
        raise BadFile(
            f"{folder} is a {'file' if folder.is_file() else 'study'}; give a directory for the comparison alone"
        )
    page = folder / "compare.html"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # two at once would leave the tables of one with the page of the other
    with writing(folder), contextlib.closing(StudyLock(folder)):
        _write_tables(comparison, folder / "tables")
        _write_figures(comparison, folder / "figures")
        write_text(folder / "compare.json", _record(comparison))
        write_text(page, comparison_html(comparison))
        upload(folder)
    return page


def comparison_html(comparison: "Comparison") -> str:
    """Return a comparison as the text of one HTML page."""
    blocks = comparison_blocks(comparison)
    first = comparison.studies[0].dissection
    title, found = question(comparison), answer(comparison)
    return template("compare.html").render(
        title=title,
        summary=summary_of(
            title, " ".join(found), comparison.warnings, [block.body for block in blocks.values()], spread=True
        ),
        warnings=comparison.warnings,
        answer=found,
        differences=comparison.differences,
        blocks=list(blocks.items()),
        spec=vars(comparison.spec),
        rule=first.facts.get("matched_rule", "–"),
        studies=[
            (
                s.name,
                {**dataclasses.asdict(s.dissection.spec), **s.dissection.study.run_json},
                {name: fact for name, fact in s.dissection.facts.items() if name not in ELSEWHERE},
            )
            for s in comparison.studies
        ],
        version=first.facts.get("versions", {}).get("ganatomy", ""),
    )


def comparison_blocks(comparison: "Comparison") -> dict[str, Block]:
    """Return the parts of the page by their addresses."""
    made = {
        "images": image_block(comparison),
        "counts": count_block(comparison),
        "concepts": concept_block(comparison),
        "changes": change_block(comparison),
        "quality": quality_block(comparison),
        "directions": direction_block(comparison),
        "steps": step_block(comparison),
        "layers": layer_block(comparison),
        "units": unit_block(comparison),
    }
    return {key: block for key, block in made.items() if block is not None}


def question(comparison: "Comparison") -> str:
    """Return what the page asks."""
    names = comparison.spec.names
    if len(names) == 1:
        return f"What do the layers of {names[0]} draw?"
    if len(names) > _NAMED:
        return f"What do {len(names)} models draw, and what does one draw that another does not?"
    return f"What do {', '.join(names[:-1])} and {names[-1]} draw, and what only one of them?"


def answer(comparison: "Comparison") -> list[str]:
    """Return the sentences that answer it."""
    counts, layer = comparison.counts, comparison.layer
    own = rows(counts[(counts.category == ALL) & (counts.compared == layer)])
    if len(own) > _NAMED:
        most, least = max(own, key=lambda row: row.matched), min(own, key=lambda row: row.matched)
        return [f"At {layer}, most in {_counted(most)}; fewest in {_counted(least)}."]
    sentence = f"At {layer}, {'; '.join(map(_counted, own))}."
    return [sentence, *(_turned(comparison) if len(own) > 1 else _peaks(counts))]


def _counted(row: Any) -> str:
    matched, concepts = with_error(row.matched, row.matched_error), with_error(row.concepts, row.concepts_error)
    return f"{row.study}: {matched} of {row.units} units match {concepts} concepts"


def _turned(comparison: "Comparison") -> list[str]:
    """Say which concepts appeared and vanished for sure, and of how many that is not known."""
    sentences = []
    changes = comparison.changes[comparison.changes.layer == comparison.layer]
    turned = changes[changes.change.isin(["appeared", "vanished"])]
    for study, against in dict.fromkeys(zip(turned.study, turned.against, strict=True)):
        own = turned[turned.study == study]
        parts = []
        for change, one, other in (("appeared", study, against), ("vanished", against, study)):
            names = own[own.sure & (own.change == change)].concept.tolist()
            if names:
                parts.append(f"only {one} matches {', '.join(names)} and not {other}")
        if perhaps := int((~own.sure).sum()):
            parts.append(f"of {count(perhaps, 'more concept')} it is not sure whether only one of them does")
        sentences.append(f"At {comparison.layer} {'; '.join(parts)}.")
    return sentences


def _peaks(counts: pd.DataFrame) -> list[str]:
    """Say at which layer of a model each category has the greatest share of units."""
    best: dict[str, tuple[float, str]] = {}
    for row in rows(counts[(counts.layer != ALL) & (counts.category != ALL)]):
        best[row.category] = max(best.get(row.category, (0.0, "")), (row.matched / row.units, row.layer))
    shares = [f"{kind} {percent(share, 2)} of the units of {layer}" for kind, (share, layer) in best.items() if share]
    return [f"Most units of each category: {'; '.join(shares)}."] if shares else []


def _figures(comparison: "Comparison") -> dict[str, list[Chart]]:
    layer = comparison.layer
    return {
        "counts": count_charts(comparison, layer),
        "concepts": concept_charts(comparison, layer) if len(comparison.concepts) else [],
        "changes": change_charts(comparison, layer) if len(comparison.changes) else [],
        "layers": layer_charts(comparison),
        "quality": quality_charts(comparison) if len(comparison.quality) else [],
    }


def _write_figures(comparison: "Comparison", folder: Path) -> None:
    """Write every figure that there is, and remove those of an earlier comparison that there are not."""
    kinds = [Piece(1, colour, name) for name, colour in category_colours(comparison.shared).items()]
    rule = [Piece(1, NEUTRAL, "matched"), Piece(1, NEUTRAL, "interpretable only", pale=True)]
    legends = {"counts": kinds, "concepts": rule}
    for name, drawn in _figures(comparison).items():
        path = folder / f"{name}.svg"
        if drawn:
            write_text(path, as_file(question(comparison), legends.get(name, ()), drawn))
        else:
            path.unlink(missing_ok=True)


def _write_tables(comparison: "Comparison", folder: Path) -> None:
    tables = comparison.tables
    for name in comparison.TABLES:
        for kind in ("parquet", "csv"):
            path = folder / f"{name}.{kind}"
            if name not in tables:
                path.unlink(missing_ok=True)
                continue
            with atomic_write(path) as temporary:
                table = tables[name]
                table.to_parquet(temporary, index=False) if kind == "parquet" else as_text(table).to_csv(
                    temporary, index=False
                )


def _record(comparison: "Comparison") -> str:
    """Return what was compared, for programs: the Spec, where each study lies, and how they differ."""
    studies = [
        {"name": s.name, "directory": display_path(s.dissection.study.directory), "digest": s.dissection.study.digest}
        for s in comparison.studies
    ]
    content = {"spec": vars(comparison.spec), "studies": studies, "differences": comparison.differences}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
