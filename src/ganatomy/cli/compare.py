"""``ganatomy compare``: dissections side by side."""

from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ganatomy.api import experiments as api
from ganatomy.api.calls import Command
from ganatomy.cli.answers import answer, progress, rows
from ganatomy.cli.engine import add_engine
from ganatomy.cli.experiments import add_options, given_options
from ganatomy.cli.pages import indexed
from ganatomy.cli.parser import OUTPUT, add_command, study
from ganatomy.cli.verbs import writing

if TYPE_CHECKING:
    from ganatomy.experiments.compare.comparison import Comparison


def add_compare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "compare", compare, "set dissections side by side, with the error of every count")
    parser.epilog = "example: ganatomy compare study other --out both"
    parser.add_argument("directories", type=study, metavar="STUDY", nargs="+", help="the directories of dissections")
    text = "page, tables and figures go here"
    parser.group(OUTPUT).add_argument("--out", type=study, metavar="DIR", required=True, help=text)
    add_options(parser, [Command(api.compare)], skip=("studies",))
    add_engine(parser)


def compare(arguments: Namespace) -> None:
    """Compare, write the page, and show the result."""
    from ganatomy.cli import terminal
    from ganatomy.experiments.compare.comparison import planned, run_compare
    from ganatomy.report.compare.page import write_comparison

    spec, quality = planned(arguments.directories, given_options(arguments))
    how = (arguments.device, arguments.opened_engine, progress(arguments))
    found = run_compare(spec, arguments.directories, quality, *how)
    with indexed([arguments.out]), writing(arguments.out):
        page = write_comparison(found, arguments.out)

    def show() -> None:
        _show(found)
        terminal.print_report(page)

    facts = {
        "report": str(page),
        "spec": vars(spec),
        "warnings": found.warnings,
        "differences": list(found.differences),
    }
    tables = found.tables
    answer(arguments, show, lambda: facts | {name: rows(each) for name, each in tables.items()}, lambda: found.table)


def _show(found: "Comparison") -> None:
    """Print how the studies differ, the counts of the layer that the page begins with, and what changed for sure."""
    from ganatomy.cli.terminal import print_line, show_tables, warn
    from ganatomy.report.compare.concepts import change_table
    from ganatomy.report.compare.counts import count_table
    from ganatomy.report.compare.side_by_side import direction_table

    warn(found)
    for sentence in found.differences:
        print_line(sentence)
    counts, changes = count_table(found), change_table(found)
    several = len(found.studies) > 1
    if several:
        print_line(f"these tables are of {found.layer}; the report has every layer, --layer another one")
    whole = counts.frame.sort_index().drop(columns="study")
    shown = counts.frame[counts.frame.compared == found.layer] if several else whole
    certain = changes.frame[(changes.frame.layer == found.layer) & changes.frame.sure.astype(bool)]
    show_tables(replace(counts, frame=shown), replace(changes, frame=certain))
    if len(found.directions):
        show_tables(direction_table(found))
