"""Completion of commands, options and names in a shell: ``ganatomy completion SHELL`` prints what switches it on."""

import argparse
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from ganatomy.cli.parser import Parser, add_command, commands, local_directory, study
from ganatomy.core.errors import BadValue

SHELLS = ("bash", "zsh", "fish")
FILES = ("config", "edit", "annotations", "checkpoints")
"""Arguments that name files, in addition to those that are read as paths."""


def add_completion(commands: Any) -> None:
    """Add the command."""
    text = "print what makes a shell complete commands, options and names"
    parser = add_command(commands, "completion", completion, text, "completion bash")
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}")


def completion(arguments: Namespace) -> None:
    """Print the code for a shell."""
    sys.stdout.write(_argcomplete().shellcode(["ganatomy"], shell=arguments.shell) + "\n")


def complete(parser: Parser) -> None:
    """Answer the shell that asks how a line may go on, and end the process."""
    argcomplete, words = _argcomplete(), os.environ["COMP_LINE"].split(" ")
    known = commands(parser)
    for each in known.values():
        for action in each._actions:
            action.completer = _completer(action, each, argcomplete.FilesCompleter())  # type: ignore[attr-defined]
        for own in each.own.values():  # which argparse does not know of: the line is taken to begin with its name
            if words[1:-1][:2] == own.prog.split()[1:]:
                parser, os.environ["_ARGCOMPLETE"] = own, "3"
    argcomplete.autocomplete(parser, default_completer=argcomplete.SuppressCompleter())


def _completer(action: argparse.Action, parser: Parser, files: Any) -> Any:
    """Return what completes the value of an option; None where it may be anything."""
    from ganatomy.cli.precheck import KINDS
    from ganatomy.cli.settings import options_of
    from ganatomy.core.assets import bundled_names

    if action.dest in KINDS:
        return lambda **_: _models(action.dest)
    if action.dest == "trained_on":
        return lambda prefix="", **given: [*_models("generator"), *files(prefix=prefix, **given)]
    if action.dest == "name":
        return lambda **_: [*parser.own, *bundled_names()]
    if action.dest == "set":
        return lambda **_: [f"{name}=" for name in options_of(parser)]
    return files if action.type in (study, local_directory, Path) or action.dest in FILES else None


def _models(kind: str) -> list[str]:
    """Return the bundled models of a kind, and the families that open others."""
    from ganatomy.cli.precheck import KINDS
    from ganatomy.core.assets import bundled_names
    from ganatomy.core.registry import entries_of

    families = (family for family in entries_of(f"ganatomy.{kind}s") if family != "bundled")
    return [*(f"bundled:{name}" for name in bundled_names(*KINDS[kind])), *(f"{family}:" for family in families)]


def _argcomplete() -> Any:
    try:
        import argcomplete
    except ModuleNotFoundError as error:
        raise BadValue("completion needs one more package: pip install 'ganatomy[completion]'") from error
    return argcomplete
