"""``ganatomy compare``: dissections side by side."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ganatomy.api import experiments as api
from ganatomy.api.calls import Command
from ganatomy.cli.engine import add_engine
from ganatomy.cli.experiments import add_options, given_options
from ganatomy.cli.parser import add_command, study
from ganatomy.cli.verbs import print_json, rows, writing

if TYPE_CHECKING:
    import pandas as pd

    from ganatomy.experiments.compare.comparison import Comparison

_LINES = 20


def add_compare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "compare", compare, "set dissections side by side, with the error of every count")
    parser.add_argument("directories", type=study, metavar="STUDY", nargs="+", help="the directories of dissections")
    parser.add_argument("--out", type=study, metavar="DIR", required=True, help="page, tables and figures go here")
    add_options(parser, [Command(api.compare)], skip=("studies",))
    add_engine(parser)


def compare(arguments: Namespace) -> None:
    """Compare, write the page, and show the result."""
    from ganatomy.cli import terminal
    from ganatomy.experiments.compare.comparison import planned, run_compare
    from ganatomy.experiments.warnings import warnings_of
    from ganatomy.report.compare.page import write_comparison

    spec, quality = planned(arguments.directories, given_options(arguments))
    found = run_compare(spec, arguments.directories, quality, arguments.device, arguments.execute, terminal.Bar())
    with writing(arguments.out):
        page = write_comparison(found, arguments.out)
    if not arguments.json:
        _show(found)
        return terminal.say_report(page)
    facts = {
        "report": str(page),
        "spec": vars(spec),
        "warnings": warnings_of(found),
        "differences": list(found.differences),
    }
    return print_json(facts | {name: rows(table) for name, table in found.tables.items()})


def _show(found: "Comparison") -> None:
    """Print how the studies differ, the counts of the layer that the page begins with, and what changed for sure."""
    from rich.console import Console

    from ganatomy.cli.terminal import say, table, warn

    warn(found)
    for sentence in found.differences:
        say(sentence)
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    changes = _changes(found)
    for each in (_counts(found), changes.head(_LINES), _directions(found)):
        if len(each):
            console.print(table(each))
    if len(changes) > _LINES:
        say(f"{_LINES} of {len(changes)} certain changes of {found.layer}; the page and tables/changes.csv have all")


def _counts(found: "Comparison") -> "pd.DataFrame":
    """Return every layer of one study; of several studies the layer that the page begins with."""
    import pandas as pd

    own = found.counts[(found.counts.category == "all") & (found.counts.layer != "all")]
    columns: dict[str, Any] = {"layer": own.layer}
    if len(found.studies) > 1:
        own = own[own.compared == found.layer]
        columns = {found.layer: own.study}
    columns["units"] = own.units
    for name in ("interpretable", "matched", "concepts"):
        columns[name] = _with_errors(own[name], own[f"{name}_error"])
    columns["their IoU"] = _with_errors(own.matched_iou, own.matched_iou_error)
    return pd.DataFrame(columns)


def _changes(found: "Comparison") -> "pd.DataFrame":
    """Return what changed for sure in the layer that the page begins with, the largest first."""
    own = found.changes[(found.changes.layer == found.layer) & found.changes.sure & (found.changes.change != "same")]
    order = own.sort_values("difference", key=abs, ascending=False, kind="stable")
    return order[["study", "against", "concept", "category", "before", "after", "change", "holds"]]


def _directions(found: "Comparison") -> "pd.DataFrame":
    import pandas as pd

    own = found.directions
    columns = {
        "directions": [f"{study}: {which}" for study, which in zip(own.study, own.directions, strict=True)],
        "count": own["count"],
        "matched": _with_errors(own.matched, own.matched_error),
        "concepts": _with_errors(own.concepts, own.concepts_error),
        "at one count": [f"{m:.1f} / {c:.1f}" for m, c in zip(own.matched_at, own.concepts_at, strict=True)],
        "by chance": own.by_chance,
        "false": own.false_discovery,
    }
    return pd.DataFrame(columns)


def _with_errors(values: "pd.Series[Any]", errors: "pd.Series[float]") -> list[str]:
    from ganatomy.report.compare.counts import told

    return [told(value, error) for value, error in zip(values, errors, strict=True)]
