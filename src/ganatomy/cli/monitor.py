"""``ganatomy monitor``: checkpoints of one training, dissected, and one page of what their units drew when."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ganatomy.api import experiments as api
from ganatomy.api.calls import Command
from ganatomy.cli.answers import announce, answer, progress, rows
from ganatomy.cli.engine import add_engine
from ganatomy.cli.experiments import add_options, given_options, options_of
from ganatomy.cli.pages import indexed
from ganatomy.cli.parser import OUTPUT, add_command, names, study
from ganatomy.cli.verbs import writing
from ganatomy.core.errors import BadValue
from ganatomy.experiments.option_groups import MEASURED

if TYPE_CHECKING:
    from ganatomy.experiments.monitor.steps import Checkpoint
    from ganatomy.experiments.monitor.training_history import TrainingHistory, Unit

_OWN = ("checkpoints", "opening", "steps")
_DISSECTION = tuple(name for name in options_of(Command(api.monitor)) if name not in _OWN)
"""Options of the dissections."""


def add_monitor(commands: Any) -> None:
    """Add the command."""
    text = "dissect checkpoints of one training, and follow units through it"
    parser = add_command(commands, "monitor", monitor, text, "monitor a.pth b.pth --family progan --out monitor")
    page = "Without checkpoints: write the page of the snapshots that are in DIR, by a Monitor in a training too."
    parser.epilog = f"{page} {parser.epilog}"
    text = "files, or names of generators"
    parser.add_argument("checkpoints", metavar="CHECKPOINT", nargs="*", default=[], help=text)
    text = "the directory of the snapshots"
    parser.group(OUTPUT).add_argument("--out", type=study, metavar="DIR", required=True, help=text)
    own = parser.group(MEASURED)
    own.add_argument("--family", metavar="NAME", help="of the files: progan is short for --open progan:{} (none)")
    own.add_argument("--open", metavar="PATTERN", help="what opens a file, as 'progan:{}?pixelnorm=no' (none)")
    own.add_argument("--steps", type=names, metavar="N,N", help="of each checkpoint (read from its name)")
    own.add_argument("--every", type=int, metavar="N", help="only every N-th checkpoint, and the last (1)")
    own.add_argument("--units", type=names, metavar="A,B", help="to follow, as layer4/17 (the best at the end)")
    add_options(parser, [Command(api.monitor)], skip=_OWN)
    add_engine(parser)


def monitor(arguments: Namespace) -> None:
    """Dissect the checkpoints, write the page, and show the result."""
    from ganatomy.cli import terminal
    from ganatomy.experiments.monitor.snapshots import add_errors
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.remote import display_path
    from ganatomy.report.monitor.page import write_monitor_report

    given = given_options(arguments)
    if arguments.checkpoints:
        result = _dissect(arguments, given)
    elif useless := [name for name in ("family", "open", "steps", "every", *_DISSECTION) if name in given]:
        raise BadValue(f"--{useless[0]} means nothing without checkpoints; name them")
    else:
        add_errors(arguments.out)
        result = TrainingHistory.open(arguments.out)
    units = _units(result, given["units"]) if "units" in given else None
    page = arguments.out / "monitor.html"
    with indexed([arguments.out]), writing(page):
        write_monitor_report(result, page, units)

    def show_all() -> None:
        show(result)
        terminal.print_report(page)

    facts = {"directory": display_path(arguments.out), "report": str(page)}
    answer(arguments, show_all, lambda: {**facts, **monitoring_json(result, units)}, lambda: result.table)


def monitoring_json(result: "TrainingHistory", units: "list[Unit] | None" = None) -> dict[str, Any]:
    """Return what ``--json`` prints of a monitored training."""
    tables = {name: rows(getattr(result, name)) for name in ("table", "turnover", "since", "skipped")}
    return {"warnings": result.warnings, **tables, "followed": rows(result.follow(units))}


def show(result: "TrainingHistory") -> None:
    """Print what was found at each checkpoint, and which could not be dissected."""
    from ganatomy.cli import terminal
    from ganatomy.report.monitor.curves import checkpoint_table

    terminal.warn(result)
    terminal.print_line(f"{result.table.units.max()} units of {', '.join(result.layers)}")
    terminal.show_tables(checkpoint_table(result))
    for row in result.skipped.itertuples(index=False):
        terminal.print_line(f"skipped: {row.name}: {row.reason}")


def _dissect(arguments: Namespace, given: dict[str, Any]) -> "TrainingHistory":
    from ganatomy.cli import terminal
    from ganatomy.experiments.monitor.checkpoints import first_estimate, run_monitor
    from ganatomy.remote import display_path

    checkpoints = _planned(arguments.checkpoints, given)
    options = {name: value for name, value in given.items() if name in _DISSECTION}
    cost = first_estimate(checkpoints, arguments.out, options, arguments.device)
    if cost is not None:
        each = f"{cost.images} images, {terminal.size(cost.memory_bytes)} of memory, {terminal.size(cost.disk_bytes)}"
        time = terminal.duration(len(checkpoints) * cost.seconds)
        where = display_path(arguments.out)
        announce(arguments, f"{len(checkpoints)} checkpoints, about {time}: of each {each} in {where}")
    engine = arguments.opened_engine
    return run_monitor(checkpoints, arguments.out, options, arguments.device, engine, progress(arguments))


def _planned(checkpoints: list[str], given: dict[str, Any]) -> "list[Checkpoint]":
    from ganatomy.experiments.monitor.steps import plan_checkpoints

    if "family" in given and "open" in given:
        raise BadValue("--family and --open both say what opens the files; give one")
    opening = f"{given['family']}:{{}}" if "family" in given else given.get("open")
    steps = [_number("step", text) for text in given["steps"]] if "steps" in given else None
    planned = plan_checkpoints(checkpoints, opening, steps)
    every = given.get("every", 1)
    if every < 1:
        raise BadValue(f"--every {every} is too few; give at least 1")
    return [each for i, each in enumerate(planned) if i % every == 0 or i == len(planned) - 1]


def _units(result: "TrainingHistory", texts: tuple[str, ...]) -> "list[Unit]":
    """Read units as a person names them: layer4/17, or 17 where there is only one layer."""
    units = []
    for text in texts:
        layer, _, unit = text.rpartition("/")
        if not layer and len(result.layers) > 1:
            raise BadValue(f"unit {text} could be of {', '.join(result.layers)}; write {result.layers[0]}/{text}")
        units.append((layer or result.layers[0], _number("unit", unit)))
    return units


def _number(what: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise BadValue(f"{what} {text!r} is no number")
    return int(text)
