"""``ganatomy trust``: say that the models which studies of somebody else name may be opened."""

from argparse import Namespace
from typing import Any

from ganatomy.cli.parser import add_command


def add_trust(commands: Any) -> None:
    """Add the command."""
    text = "allow the code, and models of the network, that a study names to be opened from it"
    parser = add_command(commands, "trust", trust, text)
    parser.add_argument("directory", metavar="STUDY", help="a finished dissection, made elsewhere")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object and nothing else")


def trust(arguments: Namespace) -> None:
    """Agree to what a study names, and say what that is."""
    from ganatomy.api.opening import trust as agree
    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json

    names = agree(arguments.directory)
    if arguments.json:
        print_json({"study": str(arguments.directory), "trusted": names})
        return
    for name in names:
        terminal.say(f"trusted: {name}")
    if not names:
        terminal.say("it names only data, which needs no trust")
