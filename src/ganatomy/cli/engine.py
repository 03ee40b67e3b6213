"""Which engine counts the shards: the options of every command that measures, and the one place that opens it."""

from argparse import Namespace

from ganatomy.cli.parser import Parser, add_device, add_json, names
from ganatomy.core.errors import BadValue, PartsMissing

ENGINE = ("engine", "workers", "devices", "gpus_per_worker")


def add_engine(parser: Parser) -> None:
    """Add where a command counts and computes, and how it answers."""
    parser.set_defaults(opened_engine=None)
    group = parser.add_argument_group("options of a run, which change no number")
    add_device(group)
    add_json(group)
    group.add_argument("--engine", metavar="NAME", help="local, processes, ray or ray://HOST:PORT (local)")
    group.add_argument("--workers", type=int, metavar="N", help="so many processes, or workers of Ray (one a core)")
    group.add_argument("--devices", type=names, metavar="A,B", help="a process on each: GPUs 0,1,2,3, or cpu,cpu")
    group.add_argument("--gpus-per-worker", type=float, metavar="X", help="of Ray: share of a GPU each takes (0)")
    group.add_argument("--shard", metavar="N/OF", help="count part N of so many, beside others; 3/16 is the third")
    group.add_argument("--wait", type=float, metavar="MINUTES", help="wait so long for the other parts (0)")


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
        arguments.opened_engine = engine if shard is None else Part.read(shard, wait or 0.0, engine)
        try:
            return arguments.run(arguments) or 0
        except PartsMissing as missing:
            return _report_missing(missing, arguments.json)


def _report_missing(missing: PartsMissing, json: bool) -> int:
    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json

    if json:
        print_json({"study": missing.study, "step": missing.step, "missing": missing.missing})
    else:
        terminal.print_line(str(missing))
    return 0
