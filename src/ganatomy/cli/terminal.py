"""What a person sees while a command runs: a statement, a bar, tables."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api.types import is_numeric_dtype
from rich import box
from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ganatomy.core.errors import shown
from ganatomy.report.formats import chance_text
from ganatomy.report.prompted import share_tables
from ganatomy.report.tables import Column, Table

if TYPE_CHECKING:
    from pathlib import Path

    from ganatomy.experiments.dissection import Dissection


LAYERS = 1000
"""Layers that are printed."""


class Bar:
    """A `ganatomy.core.progress.Progress` with the time that is left, on stderr; silent where that is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = TaskID(0)

    def begin(self, label: str, total: int) -> None:
        """Show the bar of a task."""
        self._task = self._bar.add_task(label, total=total)
        self._bar.start()

    def advance(self, pieces: int) -> None:
        """Move it on."""
        self._bar.advance(self._task, pieces)

    def label(self, text: str) -> None:
        """Show another label."""
        self._bar.update(self._task, description=text)

    def end(self) -> None:
        """Take it away."""
        self._bar.stop()
        self._bar.remove_task(self._task)


def print_line(line: str, aside: bool = False) -> None:
    """Print a line; an aside goes to stderr, and only where that is a terminal."""
    console = Console(stderr=aside, soft_wrap=True, highlight=False, emoji=False)
    if console.is_terminal or not aside:
        console.print(shown(line), markup=False)


def print_report(page: "Path") -> None:
    """Say where a report lies; of a study at a URL, here and there."""
    from ganatomy.remote import url_of

    url = url_of(page)
    print_line(f"report: {page}" + (f", and {url}" if url else ""))


def warn(result: Any) -> None:
    """Print why a result is no finding, before anything else of it."""
    for sentence in result.warnings:
        print_line(f"warning: {sentence}")


def show_tables(*found: Table) -> None:
    """Print tables; of long ones the first rows."""
    for each in found:
        if len(each.frame) and each.brief:
            if (console := _console()).is_terminal:
                console.print(_rich(each))
            else:
                sys.stdout.write(_plain(each))
            if len(each.frame) > each.brief:
                print_line(f"{each.brief} of {len(each.frame)} rows; the report has all")


def show_result(result: Any) -> None:
    """Print the result of an experiment: its warnings, its statements other than tables, and these."""
    warn(result)
    for name, value in result.details.items():
        for line in value if isinstance(value, list) else [value]:
            print_line(f"{name}: {line}")
    show_tables(*result.tables())


def show(result: "Dissection") -> None:
    """Print how much each layer holds, and the concepts that most units draw."""
    warn(result)
    rate = result.facts.get("false_labels")
    if isinstance(rate, float):
        matched, units = int(result.units.matched.sum()), len(result.units)
        print_line(f"{matched} of {units} units match a concept; {chance_text(rate, units)}")
    counts = map(Column, ("units", "interpretable", "matched", "concepts"))
    layers = (Column("layer"), Column("grid"), *counts, Column("mean_iou", "mean IoU"))
    found = result.concepts[result.concepts.units_matched > 0]
    found = found.sort_values(["units_matched", "best_iou"], ascending=False)
    best = [f"{layer} {unit}" for layer, unit in zip(found.best_layer, found.best_unit, strict=True)]
    concepts = (
        Column("concept"),
        Column("category"),
        Column("units_matched", "units"),
        Column("units_labelled", "labelled"),
        Column("best"),
        Column("best_iou", "IoU"),
        Column("share", "chance"),
    )
    show_tables(
        Table("layers", "Layers", layers, _with_grid(result.by_layer), brief=LAYERS),
        Table("concepts", "Concepts", concepts, found.assign(best=best)),
        *share_tables(result),
    )
    for sentence in result.word_sentences:
        print_line(sentence)


def show_models(
    cards: Sequence[Mapping[str, Any]],
    published: Sequence[Mapping[str, Any]],
    families: Mapping[str, Mapping[str, str]],
) -> None:
    """Print what is bundled, what can be fetched, and the families that can be opened."""
    console = _console()
    console.print("bundled", style="bold")
    for own in cards:
        facts = f"{own['kind']}: {own['title']}; {size(own['bytes'])}; licence: {own['licence']}"
        console.print(f"  bundled:{own['name']}\n      {facts}", markup=False)
    show_published(published)
    for kind, members in families.items():
        console.print(kind, style="bold")
        for name, sentence in members.items():
            console.print(f"  {name:14} {sentence}", markup=False)


def show_published(published: Sequence[Mapping[str, Any]]) -> None:
    """Print what can be fetched, and whether it was."""
    console = _console()
    console.print("published (ganatomy models fetch NAME)", style="bold")
    for own in published:
        here = f"fetched: {own['spec']}" if own["fetched"] else f"not fetched; then {own['spec']}"
        facts = f"{own['title']}; {size(own['bytes'])}; licence: {own['licence']}; {here}"
        console.print(f"  {own['name']}\n      {facts}", markup=False)


def show_layers(layers: Sequence[Mapping[str, Any]], others: Mapping[str, str], drawn: str) -> None:
    """Print the layers of a generator, and why other submodules are none."""
    console = _console()
    columns = (Column("layer"), Column("units"), Column("grid"), Column("dtype"), Column("bytes", "per image", size))
    found = _with_grid(pd.DataFrame(layers))
    show_tables(Table("layers", "Layers", columns, found, brief=LAYERS))
    console.print(f"{len(found)} layers that can be dissected; {drawn}", markup=False)
    if others:
        console.print(f"\n{len(others)} submodules that are no layers:", markup=False)
        for name, reason in others.items():
            console.print(shown(f"  {name:24} {reason}"), markup=False)


def show_card(card: Mapping[str, Any]) -> None:
    """Print a card, one fact a line; ``--json`` has what is too long for that."""
    console = _console()
    for name, value in card.items():
        facts = [(f"{name} {key}", each) for key, each in value.items()] if isinstance(value, dict) else [(name, value)]
        for title, fact in facts:
            console.print(f"{title:24} {_short(fact)}", markup=False)


def _short(fact: Any) -> str:
    if isinstance(fact, dict) and all(isinstance(each, float) for each in fact.values()):
        return ", ".join(f"{key} {each:.3f}" for key, each in fact.items())
    if isinstance(fact, list) and fact and all(isinstance(each, str) for each in fact):
        return " ".join(fact)
    return f"({len(fact)} entries)" if isinstance(fact, dict | list) else str(fact)


def _with_grid(layers: pd.DataFrame) -> pd.DataFrame:
    return layers.assign(grid=[f"{h}×{w}" for h, w in zip(layers.height, layers.width, strict=True)])


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True, emoji=False)


def _rich(table: Table) -> rich_table.Table:
    """Return what a terminal shows of a table; numbers to the right, a dash for what is missing."""
    made = rich_table.Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = _cells(table)
    for title, numeric, _ in columns:
        made.add_column(Text(title), justify="right" if numeric else "left", overflow="fold")
    for cells in zip(*(cells for *_, cells in columns), strict=True):
        made.add_row(*map(Text, cells))
    return made


def _plain(table: Table) -> str:
    """Return the same for a pipe: a line each row, with two spaces or more between columns and no empty cell."""
    columns = []
    for title, numeric, cells in _cells(table):
        texts = [" ".join(text.split()) or "–" for text in [title, *cells]]
        width = max(map(cell_len, texts))
        spaces = [" " * (width - cell_len(text)) for text in texts]
        columns.append([space + text if numeric else text + space for space, text in zip(spaces, texts, strict=True)])
    return "".join("  ".join(row).rstrip() + "\n" for row in zip(*columns, strict=True)) + "\n"


def _cells(table: Table) -> list[tuple[str, bool, list[str]]]:
    """Return title, whether it has numbers, and cells of each column; a name from a file steers no terminal."""
    frame = table.frame.head(table.brief)
    return [
        (shown(each.title or each.name), is_numeric_dtype(frame[each.name]), [*map(shown, each.cells(frame))])
        for each in table.present
        if each.brief
    ]


def duration(seconds: float) -> str:
    """Say a time as a person would.

    >>> duration(42), duration(200), duration(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Say a number of bytes as a person would.

    >>> size(2048), size(1_500_000), size(2_000_000_000)
    ('2 kB', '2 MB', '2.0 GB')
    """
    if count < 1e6:
        return f"{max(count / 1e3, 1):.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
