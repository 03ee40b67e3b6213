"""``ganatomy merge``: the parts of a study that were counted on machines without a disk to share."""

from argparse import Namespace
from typing import Any

from ganatomy.cli.parser import add_command, study


def add_merge(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "merge", merge, "bring the parts of a study together that were counted in several places"
    )
    parser.add_argument("directories", type=study, nargs="+", metavar="DIR", help="studies with the parts of one run")
    parser.add_argument("--out", type=study, metavar="DIR", default=None, help="(the first of them)")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object and nothing else")


def merge(arguments: Namespace) -> None:
    """Copy parts into one study, and say what comes next."""
    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json
    from ganatomy.remote import display_path, download, upload
    from ganatomy.study.merge import merge_parts

    out = arguments.out or arguments.directories[0]
    parts = merge_parts([download(each) for each in arguments.directories], download(out))
    upload(out)
    if arguments.json:
        return print_json({"study": display_path(out), "parts": parts})
    from ganatomy.study.parts import numbers

    for name, found in parts.items():
        terminal.say(f"{display_path(out)} has {numbers(found)} of {name}")
    return terminal.say("the same command as before merges them there and goes on: with --shard, or without")
