"""Finished studies, of any kind: list them, show their tables again, write their pages again.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganatomy.cli.parser import add_command, add_json, study
from ganatomy.cli.verbs import dissection_json, print_json, writing
from ganatomy.core.errors import BadValue

DEEP = 6
"""Directories below the one that is asked for in which studies are looked for."""


def add_studies(commands: Any) -> None:
    """Add the commands."""
    text, example = "list the studies in a directory, and what each is of", "list ."
    parser = add_command(commands, "list", list_studies, text, example)
    parser.add_argument("directory", type=study, metavar="DIR", nargs="?", default=Path(), help="(this one)")
    add_json(parser)
    parser = add_command(commands, "show", show, "show the tables of a finished study of any kind again", "show study")
    parser.add_argument("directory", type=study, metavar="STUDY", help="the study directory")
    add_json(parser)
    text, example = "write the report of a finished study of any kind", "report study --out page.html"
    parser = add_command(commands, "report", report, text, example)
    parser.add_argument("directory", type=study, metavar="STUDY", help="the study directory")
    parser.add_argument("--out", type=study, metavar="FILE", default=None, help="(STUDY/report.html)")
    parser.add_argument("--budget", type=float, metavar="MB", help="most that the page of a dissection may take (40)")


def list_studies(arguments: Namespace) -> None:
    """List the studies in a directory."""
    import pandas as pd

    from ganatomy.cli import terminal
    from ganatomy.report.tables import Column, Table

    found = [_facts(path, arguments.directory) for path in _studies(arguments.directory, DEEP)]
    if arguments.json:
        return print_json(found)
    if not found:
        return terminal.print_line(f"no studies in {arguments.directory}")
    table = pd.DataFrame(found)
    return terminal.show_tables(Table("studies", "Studies", tuple(map(Column, table.columns)), table, brief=len(table)))


def _studies(directory: Path, deep: int) -> Iterator[Path]:
    """Yield the studies in a directory, each before those within it; parts of a study that are no study are skipped."""
    from ganatomy.study import is_study

    if is_study(directory):
        yield directory
    if deep:
        for path in sorted(directory.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and path.name != "steps":
                yield from _studies(path, deep - 1)


def _facts(path: Path, directory: Path) -> dict[str, Any]:
    """Return what a row of the list has; of a study that cannot be read, why."""
    from ganatomy.core.errors import GanatomyError
    from ganatomy.study.files import read_record

    row = {"study": str(path.relative_to(directory)) if path != directory else path.name, "kind": "", "generator": ""}
    try:
        record = read_record(path)
    except GanatomyError as error:
        return {**row, "of": "", "images": None, "state": str(error)}
    spec = record["spec"]
    what = {"of": spec.get("concept") or "", "images": spec.get("images")}
    layers = spec.get("layer") or ", ".join(spec.get("layers") or ())
    what["of"] = " at ".join(filter(None, (str(what["of"]), str(layers))))
    state = "finished" if record["finished"] else "unfinished"
    return {**row, "kind": record["experiment"], "generator": spec.get("generator", ""), **what, "state": state}


def show(arguments: Namespace) -> None:
    """Show what a study found."""
    from ganatomy.api.opening import open as open_any
    from ganatomy.cli import monitor, terminal
    from ganatomy.cli.causal_runs import result_json
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.monitor.training_history import TrainingHistory

    result = open_any(arguments.directory)
    if isinstance(result, Dissection):
        return print_json(dissection_json(result)) if arguments.json else terminal.show(result)
    if isinstance(result, TrainingHistory):
        return print_json(monitor.monitoring_json(result)) if arguments.json else monitor.show(result)
    return print_json(result_json(result)) if arguments.json else terminal.show_result(result)


def report(arguments: Namespace) -> None:
    """Write the page of a finished study again."""
    from ganatomy.api.opening import open as open_any
    from ganatomy.cli import terminal
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.report.causal.page import write_causal_report
    from ganatomy.report.html import write_report
    from ganatomy.report.monitor.page import write_monitor_report

    result, budget = open_any(arguments.directory), getattr(arguments, "budget", None)
    if budget is not None and not isinstance(result, Dissection):
        raise BadValue("--budget is for the page of a dissection; leave it out")
    name = "monitor.html" if isinstance(result, TrainingHistory) else "report.html"
    page = arguments.out or arguments.directory / name
    with writing(page, arguments.directory):
        if isinstance(result, Dissection):
            write_report(result, page, **({} if budget is None else {"budget": round(budget * 1e6)}))
        elif isinstance(result, TrainingHistory):
            write_monitor_report(result, page)
        else:
            write_causal_report(result, page)
    terminal.print_report(page)
