"""Finished studies, of any kind: list them, show their tables again, write their pages again.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.cli.answers import answer, rows
from ganatomy.cli.pages import indexed, page_name, write_alone, write_page
from ganatomy.cli.parser import OUTPUT, add_command, add_format, study
from ganatomy.cli.verbs import dissection_json, writing
from ganatomy.core.errors import BadValue

if TYPE_CHECKING:
    from ganatomy.experiments.catalogue import Entry


def add_studies(commands: Any) -> None:
    """Add the commands."""
    text, example = "list the studies in a directory, and what each is of", "list ."
    parser = add_command(commands, "list", list_studies, text, example)
    parser.add_argument("directory", type=study, metavar="DIR", nargs="?", default=Path(), help="(this one)")
    add_format(parser)
    parser = add_command(commands, "show", show, "show the tables of a finished study of any kind again", "show study")
    parser.add_argument("directory", type=study, metavar="STUDY", help="the study directory")
    parser.add_argument("--concept", metavar="NAME", default=None, help="of a dissection: the units for it (all)")
    parser.add_argument("--layer", metavar="NAME", default=None, help="of a dissection: the units of this layer (all)")
    add_format(parser)
    text = "write the report of a finished study of any kind, or one page that links all results in a directory"
    example = "report study --out page.html"
    parser = add_command(commands, "report", report, text, example)
    parser.add_argument("directory", type=study, metavar="DIR", help="of a study, or of several results")
    text = "(DIR/report.html, or DIR/index.html)"
    parser.group(OUTPUT).add_argument("--out", type=study, metavar="FILE", default=None, help=text)
    parser.add_argument("--budget", type=float, metavar="MB", help="most that the page of a dissection may take (40)")


def list_studies(arguments: Namespace) -> None:
    """List the results in a directory."""
    import pandas as pd

    from ganatomy.cli import terminal
    from ganatomy.experiments.catalogue import listed_entries
    from ganatomy.remote import display_path
    from ganatomy.report.tables import Column, Table

    found = [_row(name, entry) for name, entry in listed_entries(arguments.directory).items()]

    def show() -> None:
        if not found:
            return terminal.print_line(f"no studies in {display_path(arguments.directory)}")
        table = pd.DataFrame(found)
        columns = tuple(map(Column, table.columns))
        return terminal.show_tables(Table("studies", "Studies", columns, table, brief=len(table)))

    answer(arguments, show, lambda: found, lambda: found)


def _row(name: str, entry: "Entry") -> dict[str, Any]:
    """Return what a row of the list has; of a study that cannot be read, why."""
    return {
        "study": name,
        "kind": entry.kind,
        "generator": entry.model,
        "of": entry.about,
        "images": entry.spec.get("images"),
        "state": entry.state,
    }


def show(arguments: Namespace) -> None:
    """Show what a study found."""
    from ganatomy.api.opening import open as open_any
    from ganatomy.cli import monitor, terminal
    from ganatomy.cli.causal_runs import result_json
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.study import as_bad_file

    result = open_any(arguments.directory)
    if arguments.concept is not None or arguments.layer is not None:
        _show_units(arguments, result)
        return
    content, print_tables = result_json, terminal.show_result
    if isinstance(result, Dissection):
        content, print_tables = dissection_json, terminal.show
    elif isinstance(result, TrainingHistory):
        content, print_tables = monitor.monitoring_json, monitor.show
    with as_bad_file(arguments.directory):
        answer(arguments, lambda: print_tables(result), lambda: content(result), lambda: result.table)


def _show_units(arguments: Namespace, result: Any) -> None:
    """Show the units of a dissection that are asked for."""
    from ganatomy.cli import terminal
    from ganatomy.core.errors import UnknownName
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.report.tables import Column, Table

    if not isinstance(result, Dissection):
        raise BadValue(f"{arguments.directory} is no dissection, so --concept and --layer show nothing of it")
    found = result.units if arguments.concept is None else result.ranked(arguments.concept)
    if arguments.layer is not None:
        if arguments.layer not in result.layers:
            raise UnknownName("layer", arguments.layer, result.layers)
        found = found[found.layer == arguments.layer]
    names = map(Column, ("layer", "unit", "label", "category"))
    columns = (*names, Column("iou", "IoU"), *map(Column, ("chance", "control", "matched")))
    table = Table("units", "Units", columns, found, brief=20, keys=2)
    return answer(arguments, lambda: terminal.show_tables(table), lambda: rows(found), lambda: found)


def report(arguments: Namespace) -> None:
    """Write the page of a finished study again; of a directory of several the pages that lack, and an index."""
    from ganatomy.api.opening import open as open_any
    from ganatomy.cli import terminal
    from ganatomy.experiments.catalogue import read_entry, write_index
    from ganatomy.remote import pull, url_of

    directory = arguments.directory
    pull(directory)
    budget = getattr(arguments, "budget", None)
    entry = read_entry(directory)
    if entry is not None and entry.measured_again:
        raise BadValue(f"{directory} is a result of ganatomy {entry.kind}, which alone writes its page")
    if entry is None and url_of(directory) is None:
        _write_missing(directory, budget)
        with writing(arguments.out or directory):
            return terminal.print_report(write_index(directory, arguments.out))
    result = open_any(directory)
    page = arguments.out or directory / page_name(result)
    write_page(result, page, directory, budget)
    return terminal.print_report(page)


def _write_missing(directory: Path, budget: float | None) -> None:
    """Write the page of each result in a directory that has none; say of which that fails, and why."""
    from ganatomy.api.opening import open as open_any
    from ganatomy.cli import terminal
    from ganatomy.core.errors import GanatomyError
    from ganatomy.experiments.catalogue import lacking_page

    lacking = lacking_page(directory)
    with indexed([each.directory for each in lacking]):
        for each in lacking:
            try:
                result = open_any(each.directory)
                write_alone(result, each.page, each.directory, budget if each.kind == "dissect" else None)
                terminal.print_report(each.page)
            except GanatomyError as error:
                terminal.print_line(f"no page of {each.directory}: {error}")
