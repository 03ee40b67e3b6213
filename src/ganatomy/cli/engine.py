"""Which engine counts the shards: the options of every command that measures, and the one place that opens it."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator

from ganatomy.cli.parser import Parser, add_delivery, names
from ganatomy.errors import BadValue, PartsMissing

ENGINE = ("engine", "workers", "devices", "gpus_per_worker")


def add_engine(parser: Parser) -> None:
    """Add where a command counts and computes, and how it answers."""
    add_delivery(parser)
    parser.set_defaults(device=None, execute=None)
    parser.add_argument("--engine", metavar="NAME", help="local, processes, ray or ray://HOST:PORT (local)")
    parser.add_argument("--workers", type=int, metavar="N", help="so many processes, or workers of Ray (one a core)")
    parser.add_argument("--devices", type=names, metavar="A,B", help="a process on each: GPUs 0,1,2,3, or cpu,cpu")
    parser.add_argument("--gpus-per-worker", type=float, metavar="X", help="of Ray: share of a GPU each takes (0)")
    parser.add_argument("--shard", metavar="N/OF", help="count part N of so many, beside others; 3/16 is the third")
    parser.add_argument("--wait", type=float, metavar="MINUTES", help="wait so long for the other parts (0)")


@contextlib.contextmanager
def opened(arguments: Namespace) -> Iterator[None]:
    """Put the engine that was asked for at ``arguments.execute``, in the place of the options that say which.

    A command that measures nothing passes through.

    Raises:
        GanatomyError: there is no such engine, part or device, or the options contradict each other.
    """
    given = vars(arguments)
    if "execute" not in given:
        yield
        return
    from ganatomy.execute.engines import driver_device, open_engine
    from ganatomy.study import Part

    asked = {name: given.pop(name) for name in ENGINE if name in given}
    arguments.device = driver_device(arguments.device, asked.get("devices", ()))
    with open_engine(asked.pop("engine", None), **asked, device=arguments.device) as engine:
        shard, wait = given.pop("shard", None), given.pop("wait", None)
        if shard is None and wait is not None:
            raise BadValue("--wait is for the other parts of a run with --shard; leave it out")
        arguments.execute = engine if shard is None else Part.read(shard, wait or 0.0, engine)
        yield


def report_missing(missing: PartsMissing, json: bool) -> None:
    """Say which parts of a step others have to count."""
    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json

    if json:
        return print_json({"study": missing.study, "step": missing.step, "missing": missing.missing})
    return terminal.say(str(missing))
