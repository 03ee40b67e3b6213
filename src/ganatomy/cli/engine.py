"""Which engine counts the shards: the options of every command that measures, and the one place that opens it."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator

from ganatomy.cli.merge import add_parts, in_parts
from ganatomy.cli.parser import Parser, add_delivery, names

ENGINE = ("engine", "workers", "devices", "gpus_per_worker")
PARTS = ("shard", "wait")


def add_engine(parser: Parser) -> None:
    """Add where a command counts and computes, and how it answers."""
    add_delivery(parser)
    parser.set_defaults(device=None, execute=None)
    parser.add_argument("--engine", metavar="NAME", help="local, processes, ray or ray://HOST:PORT (local)")
    parser.add_argument("--workers", type=int, metavar="N", help="so many processes, or workers of Ray (one a core)")
    parser.add_argument("--devices", type=names, metavar="A,B", help="a process on each: GPUs 0,1,2,3, or cpu,cpu")
    parser.add_argument("--gpus-per-worker", type=float, metavar="X", help="of Ray: share of a GPU each takes (0)")
    add_parts(parser)


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
    from ganatomy.execute.engines import home_device, open_engine

    asked = {name: given.pop(name) for name in ENGINE if name in given}
    arguments.device = home_device(arguments.device, asked.get("devices", ()))
    with open_engine(asked.pop("engine", None), **asked, device=arguments.device) as engine:
        arguments.execute = in_parts(arguments, engine)
        for name in PARTS:
            given.pop(name, None)
        yield
