"""The parser that every command is made with: a mistake is one line, with a suggestion where there is one."""

import argparse
import math
from pathlib import Path
from typing import Any, NoReturn

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.experiments.option_groups import MEASURED, RUN, SAMPLE

Arguments = argparse._ActionsContainer
"""A parser, or a group of its options."""
MANY = 8
"""From so many options on, the first line of a help lists those alone that must be given."""
OUTPUT, EVERY = "output", "every command"
GROUPS = (MEASURED, SAMPLE, RUN, OUTPUT, EVERY)
"""Titles of groups of options in the order of a help, behind those of argparse."""
DEVICE = "cpu, cuda, cuda:1 …; auto takes a GPU if there is one (auto)"


class Parser(argparse.ArgumentParser):
    """An argument parser that raises our errors.

    `own` holds commands that stand where a free argument may stand too: ``models fetch`` as well as ``models church``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, argument_default=argparse.SUPPRESS, add_help=False, **options)
        self.own: dict[str, Parser] = {}
        self.group(EVERY).add_argument("-h", "--help", action="help", help="show this help, and stop")

    def group(self, title: str) -> argparse._ArgumentGroup:
        """Return the group of options with a title, made when first asked for."""
        made = (group for group in self._action_groups if group.title == title)
        return next(made, None) or self.add_argument_group(title)

    def error(self, message: str) -> NoReturn:
        """Raise, where argparse prints the usage and leaves."""
        raise BadValue(f"{message}; see {self.prog} --help")

    def format_help(self) -> str:
        """Return the help; its first line has what must be given, and no list of every option."""
        options = [each for each in self._actions if each.option_strings]
        if self.usage is None and len(options) > MANY:
            needed = [f"{each.option_strings[0]} {each.metavar}" for each in options if each.required]
            several = {"+": "{0} …", "*": "[{0} …]", "?": "[{0}]"}
            free = [several.get(str(each.nargs), "{0}").format(each.metavar) for each in self._get_positional_actions()]
            self.usage = " ".join([self.prog, *free, *needed, "[options]"])
        self._action_groups.sort(key=lambda group: GROUPS.index(group.title) if group.title in GROUPS else -1)
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read what is known, and refuse the rest: each verb's parser is asked through this method."""
        if args and args[0] in self.own:
            return self.own[args[0]].parse_known_args(args[1:], namespace)
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            kind = "option" if extra[0].startswith("-") else "argument"
            raise UnknownName(f"{kind} of {self.prog}", extra[0].partition("=")[0], self._option_string_actions)
        return found, extra

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise UnknownName(str(action.metavar or action.dest).lower(), value, action.choices)


class OneName(argparse.Action):
    """Keeps the last value of an option, and refuses one that is given by two of its names."""

    def __call__(self, _: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Keep the value; raises BadValue."""
        first = self.__dict__.setdefault("first", option)
        if option != first:
            raise BadValue(f"{first} and {option} are both given; leave one out")
        setattr(namespace, self.dest, values)


def add_command(commands: Any, name: str, run: Any, text: str, example: str = "") -> Parser:
    """Add a command that calls `run`; the text says what it does, the example is a command line."""
    sentence = text[0].upper() + text[1:] + ("" if text.endswith("?") else ".")
    parser: Parser = commands.add_parser(name, help=text, description=sentence)
    parser.epilog = f"example: ganatomy {example}" if example else None
    parser.set_defaults(run=run)
    add_settings(parser)
    return parser


def commands(parser: Parser) -> dict[str, Parser]:
    """Return every command that does something, with its parser."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        return {parser.prog: parser} | {own.prog: own for own in parser.own.values()}
    return {name: own for child in inner[0].choices.values() for name, own in commands(child).items()}


def add_settings(parser: Parser) -> None:
    """Add the options of every command; `settings.apply` reads them before all others."""
    group = parser.group(EVERY)
    text = "a TOML file with values of options; a table [COMMAND] is of that command alone (none)"
    group.add_argument("--config", action=_Read, metavar="FILE", help=text)
    text = "value of an option, before --config and behind the option itself (none)"
    group.add_argument("--set", action=_Read, metavar="NAME=VALUE", help=text)


class _Read(argparse.Action):
    """An option that was read before."""

    def __call__(self, *_: Any) -> None:
        """Keep nothing."""


def add_device(parser: Arguments) -> None:
    """Add where a command computes."""
    parser.add_argument("--device", metavar="NAME", default="auto", help=DEVICE)


def add_format(parser: Parser, tables: bool = True) -> None:
    """Add how a command answers; one without tables has ``--json`` alone."""
    group = parser.group(OUTPUT)
    parser.set_defaults(format="table")
    if tables:
        text = "table, csv (every row and column of the main table) or json (table)"
        group.add_argument("--format", choices=("table", "csv", "json"), metavar="NAME", help=text)
    text = "print one JSON object and nothing else (no)"
    group.add_argument("--json", dest="format", action="store_const", const="json", help=text)


def add_quiet(parser: Parser) -> None:
    """Add the option that leaves out whatever is no result."""
    parser.set_defaults(quiet=False)
    text = "print results, warnings and errors alone, no progress (no)"
    parser.group(OUTPUT).add_argument("--quiet", action="store_true", help=text)


def study(text: str) -> Path:
    """Read where a study lies, a directory or a URL."""
    if ":/" not in text:
        return Path(text)
    from ganatomy.remote import local_path

    return local_path(text)


def local_directory(text: str) -> Path:
    """Read a directory of this machine."""
    if "://" in text:
        raise BadValue(f"{text} is a URL; give a directory of this machine")
    return Path(text)


def memory(text: str) -> int:
    """Read gigabytes of memory as bytes; raises BadValue.

    >>> memory("4"), memory("1.5GB")
    (4000000000, 1500000000)
    """
    try:
        size = float(text.strip().upper().removesuffix("GB"))
    except ValueError:
        size = 0.0
    if not 0 < size < math.inf:
        raise BadValue(f"memory {text!r} is no number of gigabytes; give 4, or 1.5")
    return round(size * 1e9)


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
