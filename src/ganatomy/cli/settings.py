"""Values of options that are given in TOML files, and by ``--set``.

They become the defaults of the options of the command, read as the command line reads them.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ganatomy.cli.parser import Parser, commands
from ganatomy.core.errors import BadFile, BadValue, GanatomyError, UnknownName

NOT_SET = ("help", "config", "set")
"""Options that have no value to give."""


class Setting(NamedTuple):
    """A value of an option, where it was given, and whether it is for every command that has the option."""

    where: str
    name: str
    value: Any
    shared: bool = False


def apply(parser: Parser, argv: Sequence[str]) -> None:
    """Make the values that are given elsewhere the defaults of the command that is called; later ones win.

    Raises:
        UnknownName: no such option or command; suggests one.
        BadValue: a value of another type.
        BadFile: a file that is missing, or no TOML.
    """
    known = commands(parser)
    words: list[str] = []
    while len(words) < len(argv) and _is_command(known, [*words, argv[len(words)]]):
        words.append(argv[len(words)])
    own = known.get(" ".join([parser.prog, *words]))
    if own is None:
        return
    options, chosen = options_of(own), dict[argparse.Action, Setting]()
    for setting in _settings(argv, words, known):
        name = setting.name.replace("_", "-")
        if name in options:
            chosen.pop(options[name], None)
            chosen[options[name]] = setting
        elif not setting.shared or not any(name in options_of(each) for each in known.values()):
            raise UnknownName(f"option of {own.prog} in {setting.where}", setting.name, sorted(options))
    for action, setting in chosen.items():
        _apply(own, action, setting)


def _is_command(known: Iterable[str], words: Sequence[str]) -> bool:
    """Whether words begin the name of a command."""
    return any(prog.split()[1 : len(words) + 1] == list(words) for prog in known)


def options_of(parser: Parser) -> dict[str, argparse.Action]:
    """Return the options of a command by name, as they are typed without dashes."""
    return {
        flag.removeprefix("--"): action
        for action in parser._actions
        for flag in (action.option_strings[:1] if action.nargs == 0 else action.option_strings)  # but --no-…
        if action.dest not in NOT_SET
    }


def _settings(argv: Sequence[str], words: Sequence[str], known: Iterable[str]) -> Iterator[Setting]:
    """Yield all that is given for a command: of files what is for all commands before what is for this one."""
    for file in _given(argv, "--config"):
        content, path = _read(file), list[str]()
        for word in [*words, ""]:
            for name, value in content.items():
                if not isinstance(value, dict) or (path and not _is_command(known, [*path, name])):
                    yield Setting(file, name, value, shared=not path)
                elif not _is_command(known, [*path, name]):
                    raise UnknownName(f"command in {file}", name, sorted({prog.split()[1] for prog in known}))
            path, content = [*path, word], content[word] if isinstance(content.get(word), dict) else {}
    for text in _given(argv, "--set"):
        name, equals, value = text.partition("=")
        if not equals:
            raise BadValue(f"--set {text} gives no value; write NAME=VALUE, as images=200")
        yield Setting("--set", name.strip(), value)


def _given(argv: Sequence[str], flag: str) -> Iterator[str]:
    """Yield every value of an option; one that lacks a value is left to argparse."""
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if word == flag and after:
            yield after
        elif word.startswith(f"{flag}="):
            yield word.partition("=")[2]


def _read(file: str) -> Mapping[str, Any]:
    import tomllib

    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"cannot read {file} ({error.strerror})") from error
    except ValueError as error:
        raise BadFile(f"{file} is no TOML file ({error})") from error


def _apply(parser: Parser, action: argparse.Action, setting: Setting) -> None:
    """Make a value the default of an option."""
    where, name, value, _ = setting
    if action.nargs == 0:
        value = {"true": True, "false": False}.get(value, value)
        if not isinstance(value, bool):
            raise BadValue(f"{where}: {name}={value!r} is neither true nor false; see {parser.prog} --help")
        if not value and action.const is not None:
            return
        found = value if action.const is None else action.const
    else:
        try:
            found = parser._get_values(action, [_text(value)])
        except argparse.ArgumentError as error:
            raise BadValue(f"{where}: {error}; see {parser.prog} --help") from None
        except GanatomyError as error:
            error.add_note(f"it was read from {where}")
            raise
    action.required = False
    for each in parser._actions:
        if each.dest == action.dest:  # --json is another name of a --format
            each.default = found


def _text(value: Any, between: str = ",") -> str:
    """Return a value as it is typed.

    >>> _text(200), _text(["layer4", "layer5"]), _text([["k", 1], ["place", 2]]), _text(True)
    ('200', 'layer4,layer5', 'k:1,place:2', 'true')
    """
    if isinstance(value, list):
        return between.join(_text(each, ":") for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
