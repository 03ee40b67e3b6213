"""A training as one HTML file: it opens from disk, offline, without scripts."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganatomy.remote import local_path, write_text
from ganatomy.report.causal.section import Block
from ganatomy.report.formats import count
from ganatomy.report.monitor.curves import counts_block, turnover_block
from ganatomy.report.monitor.fixed import fixed_block
from ganatomy.report.monitor.followed import followed_block
from ganatomy.report.page import template
from ganatomy.report.summary import summary_of
from ganatomy.report.tables import ALL, rows

if TYPE_CHECKING:
    from ganatomy.experiments.monitor.training_history import TrainingHistory


def write_monitor_report(
    history: "TrainingHistory", path: str | Path | None = None, units: Sequence[tuple[str, int]] | None = None
) -> Path:
    """Write what was seen of a training as one HTML page, whole or not at all; return where it is.

    Args:
        history: what was seen.
        path: ``monitor.html`` in its directory if not given.
        units: (layer, unit) of those that are followed; those that match best at the end if not given.

    Raises:
        UnknownName: there is no such unit.
    """
    path = history.directory / "monitor.html" if path is None else local_path(path)
    write_text(path, monitor_html(history, units))
    return path


def monitor_html(history: "TrainingHistory", units: Sequence[tuple[str, int]] | None = None) -> str:
    """Return what was seen of a training as the text of one HTML page."""
    last = history.dissection(history.steps[-1])
    fixed = fixed_block(history)
    blocks = [*([] if fixed is None else [fixed]), counts_block(history), followed_block(history, units)]
    if len(history.turnover):
        blocks.append(turnover_block(history))
    title, found = "What do the units learn, and when?", answer(history)
    return template("monitor.html").render(
        title=title,
        summary=summary_of(title, found, history.warnings, [block.body for block in blocks], spread=True),
        warnings=history.warnings,
        answer=found,
        skipped=rows(history.skipped),
        blocks=[(_key(block), block) for block in blocks],
        snapshots=[
            (f"{snapshot.step:,}", snapshot.name, f"{snapshot.images:,}", snapshot.study)
            for snapshot in history.snapshots
        ],
        rule=last.facts.get("matched_rule", "–"),
        spec={**dataclasses.asdict(last.spec), **last.study.run_json},
        facts={name: last.facts[name] for name in ("inputs", "versions", "machine") if name in last.facts},
        version=last.facts.get("versions", {}).get("ganatomy", ""),
    )


def answer(history: "TrainingHistory") -> str:
    """Say in a sentence or two what came of the training."""
    layer = ALL if len(history.layers) > 1 else history.layers[0]
    table = history.table
    found = table[
        (table.category == ALL) & (table.layer == layer) & table.step.isin([min(table.step), max(table.step)])
    ]
    counts = [
        f"at step {row.step:,}, {row.matched} of {row.units:,} units match {count(row.concepts, 'concept')}"
        for row in rows(found)
    ]
    return f"{count(len(history.snapshots), 'checkpoint')}. {'; '.join(counts).capitalize()}."


def _key(block: Block) -> str:
    """Return the address of a block on the page."""
    return re.sub(r"[^\w]+", "-", block.heading.lower()).strip("-")
