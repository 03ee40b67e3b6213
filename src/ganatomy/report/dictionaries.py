"""An autoencoder beside other dictionaries as a directory: one page that opens from disk, its tables, its charts."""

import contextlib
import dataclasses
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.annotations.store import as_text
from ganatomy.core.errors import BadFile
from ganatomy.core.files import atomic_write, write_text
from ganatomy.remote import local_path, upload
from ganatomy.report.causal.section import Block, figures
from ganatomy.report.causal.tiles import tile
from ganatomy.report.causal.top_images import row_of_images
from ganatomy.report.charts import Change, ChangeChart, Chart
from ganatomy.report.compare.images import image_block
from ganatomy.report.formats import number, percent, percent_with_error, with_error
from ganatomy.report.html import ELSEWHERE
from ganatomy.report.page import template
from ganatomy.report.palette import ordered_colours
from ganatomy.report.summary import summary_of
from ganatomy.report.svg import as_file
from ganatomy.report.tables import Column, Table
from ganatomy.study.files import writing
from ganatomy.study.lock import StudyLock

if TYPE_CHECKING:
    from ganatomy.training.dictionaries.judgement import Judgement
    from ganatomy.training.dictionaries.measure import Measure

PAGE = "judge.html"


def write_judgement(found: "Judgement", directory: str | Path) -> Path:
    """Write judge.html, judge.json, tables/ (Parquet and CSV) and figures/ (SVG); return the page.

    Raises:
        BadFile: the directory is a study, or a file.
        StudyBusy: another process is writing to it.
        StudyError: it cannot be written.
    """
    folder = check_directory(directory)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder), contextlib.closing(StudyLock(folder)):
        for name in found.TABLES:
            _write_table(getattr(found, name), folder / "tables" / ("measures" if name == "table" else name))
        charts = [measure_chart(each) for each in found.measures]
        write_text(folder / "figures" / "measures.svg", as_file(question(found), (), charts))
        record = {"spec": dataclasses.asdict(found.spec), "notes": found.notes}
        write_text(folder / "judge.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        write_text(folder / PAGE, judgement_html(found))
        upload(folder)
    return folder / PAGE


def check_directory(directory: str | Path) -> Path:
    """Return a directory that a judgement may be written to.

    Raises:
        BadFile: it is a study, or a file.
    """
    folder = local_path(directory)
    if folder.is_file() or (folder / "study.json").exists():
        kind = "file" if folder.is_file() else "study"
        raise BadFile(f"{folder} is a {kind}; give a directory for the judgement alone")
    return folder


def judgement_html(found: "Judgement") -> str:
    """Return a judgement as the text of one HTML page."""
    blocks, sentences = judgement_blocks(found), list(found.separations.sentence)
    first, title = found.studies[0].dissection, question(found)
    return template("judge.html").render(
        title=title,
        summary=summary_of(
            title, answer(found), found.warnings, [block.body for block in blocks.values()], spread=True
        ),
        warnings=found.warnings,
        answer=answer(found),
        sentences=sentences,
        notes=found.notes,
        blocks=list(blocks.items()),
        spec=vars(found.spec),
        rule=first.facts.get("matched_rule", "–"),
        studies=[
            (
                s.name,
                {**dataclasses.asdict(s.dissection.spec), **s.dissection.study.run_json},
                {name: fact for name, fact in s.dissection.facts.items() if name not in ELSEWHERE},
            )
            for s in found.studies
        ],
        version=first.facts.get("versions", {}).get("ganatomy", ""),
    )


def question(found: "Judgement") -> str:
    """Return what the page asks."""
    return f"Does this autoencoder say more of {found.layer} than an untrained one, and than its units?"


def answer(found: "Judgement") -> str:
    """Return how many measures say so, and which; and those that say the contrary."""
    kept, parts = found.separations, []
    for better, of in (("autoencoder", "this autoencoder"), ("untrained", "an untrained one")):
        own = list(kept.title[kept.better == better])
        parts.append(f"{len(own)} of {len(kept)} measures in favour of {of}{': ' * bool(own)}{', '.join(own)}")
    return f"{'; '.join(parts)}."


def judgement_blocks(found: "Judgement") -> dict[str, Block]:
    """Return the parts of the page by their addresses."""
    lead = (
        "Every measure of every dictionary, on the same images and with equally many active features at a place. Lines "
        "are 95 % intervals, ± is the standard error: over images, of the response to one object over scene pairs."
    )
    charts = [measure_chart(each) for each in found.measures]
    made = {
        "images": image_block(found),
        "measures": Block("Measure by measure", lead, figures(*charts)),
        "scenes": _scene_block(found),
        "table": Block(
            "All of them in one table", "± is the standard error.", dictionary_table(found).html() + _numbers(found)
        ),
    }
    return {key: block for key, block in made.items() if block is not None}


def _scene_block(found: "Judgement") -> Block | None:
    """Return a pair of scenes of each kind of object."""
    if found.scenes is None:
        return None
    cards = []
    for name, own in found.scenes.pairs.items():
        shown, without = (each[0].transpose(1, 2, 0) for each in (own.shown, own.without))
        tiles = [tile(shown, f"A scene with {name}", side=96), tile(without, f"The same without {name}", side=96)]
        cards.append(
            f"<figure><figcaption>{escape(name)}, {len(own)} pairs</figcaption>{row_of_images(tiles)}</figure>"
        )
    lead = (
        "Rendered scenes that differ in one kind of object, and in nothing else. The features that the model "
        "has for both are compared: one that responds to one kind alone is about one thing."
    )
    return Block("Scene pairs", lead, f'<div class="charts">{"".join(cards)}</div>')


def measure_chart(measure: "Measure") -> Chart:
    """Return a bar for each dictionary, with its 95 % interval."""
    colours, form = ordered_colours(len(measure.values)), percent_with_error if measure.share else with_error
    bars = []
    for row, colour in zip(measure.rows(), colours, strict=True):
        note = form(row.value, row.error)
        title = f"{row.dictionary}: {measure.title} {note}"
        bars.append(Change(row.dictionary, row.value, row.high - row.value, colour, note, title=title))
    return measure.title, ChangeChart(bars, measure.title, form=percent if measure.share else number)


def dictionary_table(found: "Judgement") -> Table:
    """Return the dictionaries × measures."""
    frame: dict[str, list[Any]] = {"dictionary": list(found.measures[0].values)}
    columns = [Column("dictionary")]
    for each in found.measures:
        for row in each.rows():
            frame.setdefault(each.name, []).append(row.value)
            frame.setdefault(f"{each.name}_error", []).append(row.error)
        form = percent_with_error if each.share else with_error
        columns.append(Column(each.name, each.title, form, f"{each.name}_error", each.help))
    return Table("measures", "Dictionaries and measures", columns, pd.DataFrame(frame))


def _numbers(found: "Judgement") -> str:
    columns = [Column(str(name)) for name in found.table]
    return Table("intervals", "Every number with its interval", columns, found.table).folded("Intervals")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    for kind in ("parquet", "csv"):
        with atomic_write(path.with_suffix(f".{kind}")) as temporary:
            if kind == "parquet":
                table.to_parquet(temporary, index=False)
            else:
                as_text(table).to_csv(temporary, index=False)
