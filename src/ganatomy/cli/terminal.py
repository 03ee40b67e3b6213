"""What a person sees while a command runs: a statement, a bar, tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ganatomy.errors import shown

if TYPE_CHECKING:
    from pathlib import Path

    from ganatomy.experiments.dissection import Dissection


class Bar:
    """A `ganatomy.progress.Progress` with the time that is left, on stderr; silent where that is no terminal."""

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

    def end(self) -> None:
        """Take it away."""
        self._bar.stop()
        self._bar.remove_task(self._task)


def say(line: str, aside: bool = False) -> None:
    """Print a line; an aside goes to stderr, and only where that is a terminal."""
    console = Console(stderr=aside, soft_wrap=True, highlight=False, emoji=False)
    if console.is_terminal or not aside:
        console.print(shown(line), markup=False)


def say_report(page: "Path") -> None:
    """Say where a report lies; of a study at a URL, here and there."""
    from ganatomy.remote import url_of

    url = url_of(page)
    say(f"report: {page}" + (f", and {url}" if url else ""))


def warn(result: Any) -> None:
    """Print why a result is no finding, before anything else of it."""
    from ganatomy.experiments.warnings import warnings_of

    for sentence in warnings_of(result):
        say(f"warning: {sentence}")


def show(result: "Dissection") -> None:
    """Print how much each layer holds, and the concepts that most units draw."""
    warn(result)
    layers, found = result.by_layer, result.concepts[result.concepts.units_matched > 0]
    found = found.sort_values(["units_matched", "best_iou"], ascending=False).head(12)
    grid = [f"{h}×{w}" for h, w in zip(layers.height, layers.width, strict=True)]
    best = [f"{layer} {unit}" for layer, unit in zip(found.best_layer, found.best_unit, strict=True)]
    layers = layers.assign(grid=grid).rename(columns={"mean_iou": "mean IoU"})
    found = found.assign(best=best).rename(columns={"units_matched": "units", "best_iou": "IoU", "share": "chance"})
    console = Console(highlight=False, emoji=False)
    rate = result.facts.get("false_labels")
    if isinstance(rate, float):
        matched, units = int(result.units.matched.sum()), len(result.units)
        say(f"{matched} of {units} units match a concept; by chance {rate:.1%} would")
    console.print(table(layers[["layer", "grid", "units", "interpretable", "matched", "concepts", "mean IoU"]]))
    console.print(table(found[["concept", "category", "units", "best", "IoU", "chance"]]))


def show_models(
    cards: Sequence[Mapping[str, Any]],
    published: Sequence[Mapping[str, Any]],
    families: Mapping[str, Mapping[str, str]],
) -> None:
    """Print what is bundled, what can be fetched, and the families that can be opened."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print("bundled", style="bold")
    for own in cards:
        facts = f"{own['kind']}: {own['title']}; {size(own['bytes'])}; licence: {own['licence']}"
        console.print(f"  {own['name']}\n      {facts}", markup=False)
    show_published(published)
    for kind, members in families.items():
        console.print(kind, style="bold")
        for name, sentence in members.items():
            console.print(f"  {name:14} {sentence}", markup=False)


def show_published(published: Sequence[Mapping[str, Any]]) -> None:
    """Print what can be fetched, and whether it was."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print("published (ganatomy models fetch NAME)", style="bold")
    for own in published:
        here = f"fetched: {own['spec']}" if own["fetched"] else "not fetched"
        facts = f"{own['title']}; {size(own['bytes'])}; licence: {own['licence']}; {here}"
        console.print(f"  {own['name']}\n      {facts}", markup=False)


def show_layers(layers: Sequence[Mapping[str, Any]], others: Mapping[str, str], drawn: str) -> None:
    """Print the layers of a generator, and why other submodules are none."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    rows = pd.DataFrame(layers)
    rows["grid"] = [f"{own['height']}×{own['width']}" for own in layers]
    rows["per image"] = rows.bytes.map(size)
    console.print(table(rows[["layer", "units", "grid", "dtype", "per image"]]))
    console.print(f"{len(rows)} layers that can be dissected; {drawn}", markup=False)
    if others:
        console.print(f"\n{len(others)} submodules that are no layers:", markup=False)
        for name, reason in others.items():
            console.print(shown(f"  {name:24} {reason}"), markup=False)


def show_card(card: Mapping[str, Any]) -> None:
    """Print a card, one fact a line; ``--json`` has what is too long for that."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
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


def table(rows: pd.DataFrame) -> Table:
    """Return a data frame as a table; numbers to the right, a dash for what is missing."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in rows.items():
        side: Literal["left", "right"] = "right" if pd.api.types.is_numeric_dtype(column) else "left"
        made.add_column(Text(shown(str(name))), justify=side, overflow="fold")  # a name that is cut off names nothing
    for row in rows.itertuples(index=False):
        made.add_row(*map(_text, row))
    return made


def _text(value: Any) -> Text:
    """Return a cell as it stands: a name from a file is no markup, and steers no terminal."""
    if pd.isna(value):
        return Text("–")
    return Text(f"{value:.3f}" if isinstance(value, float) else shown(str(value)))


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
