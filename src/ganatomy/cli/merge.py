"""Runs in parts: ``--shard 3/16`` for any command that measures, and ``ganatomy merge``."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ganatomy.cli.parser import Parser, add_command, study
from ganatomy.errors import BadValue, PartsMissing

if TYPE_CHECKING:
    from ganatomy.execute import Executor


def add_parts(parser: Parser) -> None:
    """Add the options of a command that can be run in parts."""
    parser.add_argument("--shard", metavar="N/OF", help="count part N of so many, beside others; 3/16 is the third")
    parser.add_argument("--wait", type=float, metavar="MINUTES", help="wait so long for the other parts (0)")


def in_parts(arguments: Namespace, execute: "Executor") -> "Executor":
    """Return an engine that counts only the part that is asked for, if one is.

    Raises:
        BadValue: there is no such part.
    """
    from ganatomy.study import Part

    if "shard" in arguments:
        return Part.read(arguments.shard, getattr(arguments, "wait", 0.0), execute)
    if "wait" in arguments:
        raise BadValue("--wait is for the other parts of a run with --shard; leave it out")
    return execute


def left_to_others(missing: PartsMissing, arguments: Namespace) -> int:
    """Say which parts of a step others have to count; return the exit code."""
    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json

    if arguments.json:
        print_json({"study": missing.study, "step": missing.step, "missing": missing.missing})
    else:
        terminal.say(str(missing))
    return 0


def add_merge(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "merge", merge, "merge the parts of a study that were counted in several places")
    parser.add_argument("directories", type=study, nargs="+", metavar="DIR", help="studies with the parts of one run")
    parser.add_argument("--out", type=study, metavar="DIR", default=None, help="(the first of them)")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object and nothing else")


def merge(arguments: Namespace) -> None:
    """Merge parts, and say what comes next."""
    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json
    from ganatomy.experiments.statistics import statistic
    from ganatomy.store import brought, named, sent
    from ganatomy.study.gather import merge_parts

    out = None if arguments.out is None else brought(arguments.out)
    found = merge_parts([brought(each) for each in arguments.directories], out, statistic)
    sent(found.directory)
    if arguments.json:
        return print_json({"study": named(found.directory), "merged": found.parts})
    for name, parts in found.parts.items():
        terminal.say(f"merged {parts} parts of {name} into {named(found.directory)}")
    return terminal.say("the same command as before goes on there: with --shard for what comes next, or without")
