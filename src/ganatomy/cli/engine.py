"""Which engine counts the shards: the options of every command that measures, and the one place that opens it."""

import argparse
from argparse import Namespace
from typing import Any

from ganatomy.cli.answers import answer
from ganatomy.cli.parser import OUTPUT, Parser, add_device, add_format, add_quiet, names, study
from ganatomy.core.errors import BadValue, PartsMissing
from ganatomy.experiments.option_groups import RUN

ENGINE = ("engine", "workers", "devices", "gpus_per_worker")


def add_engine(parser: Parser) -> None:
    """Add where a command counts and computes, and how it answers."""
    parser.set_defaults(opened_engine=None)
    group = parser.group(RUN)
    add_device(group)
    group.add_argument("--engine", metavar="NAME", help="local, processes, ray or ray://HOST:PORT (local)")
    group.add_argument("--workers", type=int, metavar="N", help="so many processes, or workers of Ray (one a core)")
    group.add_argument(
        "--devices", type=names, metavar="A,B", help="a process on each: GPUs 0,1,2,3, or cpu,cpu (none)"
    )
    group.add_argument("--gpus-per-worker", type=float, metavar="X", help="of Ray: share of a GPU each takes (0)")
    group.add_argument(
        "--shard", metavar="N/OF", help="count part N of so many, in parallel with others; 3/16 is the third (all)"
    )
    group.add_argument("--wait", type=float, metavar="MINUTES", help="wait so long for the other parts (0)")
    add_format(parser)
    add_quiet(parser)


def add_place(parser: Parser, text: str, default: Any = argparse.SUPPRESS) -> None:
    """Add where the study of a command goes, and what becomes of one that is there."""
    group = parser.group(OUTPUT)
    group.add_argument("--out", type=study, metavar="DIR", default=default, help=text)
    parser.set_defaults(overwrite=False)
    text = "remove the study that is there, and begin anew (no: a study goes on, and what is finished is shown)"
    group.add_argument("--overwrite", action="store_true", help=text)
    group.add_argument("--dry-run", action="store_true", help="say what it would take, and stop (no)")


def run_with_engine(arguments: Namespace) -> int:
    """Run a command and return its exit code; one that measures finds the engine at ``arguments.opened_engine``.

    Raises:
        GanatomyError: there is no such engine, part or device, or the options contradict each other.
    """
    from ganatomy.cli.precheck import check_names

    check_names(arguments)
    given = vars(arguments)
    if "opened_engine" not in given:
        return arguments.run(arguments) or 0
    from ganatomy.engines.registry import driver_device, open_engine
    from ganatomy.study import Part

    options = {name: given.pop(name) for name in ENGINE if name in given}
    arguments.device = driver_device(arguments.device, options.get("devices", ()))
    with open_engine(options.pop("engine", None), **options, device=arguments.device) as engine:
        shard, wait = given.pop("shard", None), given.pop("wait", None)
        if shard is None and wait is not None:
            raise BadValue("--wait is for the other parts of a run with --shard; leave it out")
        if shard is not None and given.get("overwrite"):
            raise BadValue("--overwrite with --shard would remove what the other parts count; leave one out")
        arguments.opened_engine = engine if shard is None else Part.read(shard, wait or 0.0, engine)
        try:
            return arguments.run(arguments) or 0
        except PartsMissing as missing:
            _report_missing(arguments, missing)
            return 0


def _report_missing(arguments: Namespace, missing: PartsMissing) -> None:
    from ganatomy.cli import terminal

    facts = {"study": missing.study, "step": missing.step}
    answer(
        arguments,
        lambda: terminal.print_line(str(missing)),
        lambda: {**facts, "missing": missing.missing},
        lambda: [{**facts, "missing": part} for part in missing.missing],
    )
