"""The commands of the experiments, made from the public functions: their keywords are the options.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import argparse
import contextlib
import inspect
import re
import typing
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import UnionType
from typing import TYPE_CHECKING, Any

import ganatomy.api.experiments as api
from ganatomy.api.calls import COMMANDS, Command
from ganatomy.cli.engine import add_engine
from ganatomy.cli.parser import Parser, add_command, names, study
from ganatomy.errors import BadValue

if TYPE_CHECKING:
    from ganatomy.experiments.causal.source import Source

assert api  # it fills COMMANDS
RUN = ("out", "device", "engine", "progress")
"""Arguments of every public function that are no options of its experiment."""
OPEN = ("study", "generator", "segmenter")
"""Arguments of a function about a dissection: a command opens the models by their names."""
ARGUMENTS = ("run", "directory", "out", "dry_run", "device", "execute", "json")
CONCEPTS = ("concept", "on", "allowed", "forbidden")
"""Options that name concepts, whose names may have commas in them."""
NAMES = {"shard": "shard_size"}
"""Options that are called otherwise here: ``--shard`` names a part of a run."""
SHORT = {("ace", "quick"): "schedule"}
"""Flags that stand for the value of an option, by verb and flag."""


def add_experiments(commands: Any) -> None:
    """Add a command for each verb."""
    for verb, group in COMMANDS.items():
        text = summary(group[0].function)
        parser = add_command(commands, verb, partial(run, verb), text[0].lower() + text[1:].rstrip("."))
        parser.add_argument("directory", type=study, metavar="STUDY", help="the directory of a dissection")
        for name, flag in [own for own in SHORT if own[0] == verb]:
            parser.add_argument(f"--{flag}", action="store_true", help=f"--{SHORT[name, flag]} {flag}")
        add_options(parser, group, OPEN)
        parser.add_argument("--out", type=study, metavar="DIR", help="(STUDY-causal/LAYER/…)")
        parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
        add_engine(parser)


def add_options(parser: Parser, group: Sequence[Command], skip: Sequence[str] = ()) -> None:
    """Add the options of the experiments of a verb, and what tells them apart."""
    known = dict.fromkeys(name for each in group for name in options_of(each) if name not in skip)
    for name in known:
        _add_option(parser, name, group)
    for each in group:
        name = each.switch[0]
        if name and name not in known:
            parser.add_argument(f"--{name}", action="store_true", help=summary(each.function).rstrip("."))


def options_of(command: Command) -> dict[str, inspect.Parameter]:
    """Return the options of an experiment, by name."""
    signature = inspect.signature(command.function).parameters
    return {name: parameter for name, parameter in signature.items() if name not in RUN}


def summary(function: Callable[..., Any]) -> str:
    """Return the first sentence of what a function says of itself; its name where Python left docstrings out (-OO)."""
    return (inspect.getdoc(function) or function.__name__).partition("\n\n")[0]


@cache
def option_texts(function: Callable[..., Any]) -> dict[str, str]:
    """Return what a function says of each argument."""
    _, _, part = (inspect.getdoc(function) or "").partition("Args:\n")
    found = re.findall(r"^    (\w+(?:, \w+)*): (.+?)(?=^    \w|\Z)", part, re.M | re.S)
    texts = {name: " ".join(text.split()).rstrip(".") for group, text in found for name in group.split(", ")}
    for name, text in texts.items():
        if other := re.fullmatch(r"as of `(\w+)`", text):
            texts[name] = option_texts(getattr(api, other[1]))[name]
    return texts


def _add_option(parser: Parser, name: str, group: Sequence[Command]) -> None:
    """Add an option of the first experiment that has it; those that choose another experiment take its value, too."""
    owners = [each for each in group if name in options_of(each)]
    parameter, text = options_of(owners[0])[name], option_texts(owners[0].function).get(name, "")
    switch = {own.switch[0]: own.switch[1] for own in group}
    needed = len(owners) == len(group) and all(
        options_of(own)[name].default is inspect.Parameter.empty for own in owners
    )
    dest = NAMES.get(name, name)
    flag = flag_of(name)
    kind = _plain_kind(parameter.annotation)
    text = text.replace("%", "%%").replace("``", "")
    if kind is bool:
        parser.add_argument(flag, dest=dest, action=argparse.BooleanOptionalAction, help=text)
        return
    also = f"; or {switch[name]}: {summary(_switched(group, name).function)}" if name in switch else ""
    read, metavar = _reader(name, kind)
    if name in switch:
        read = partial(_or_switch, switch[name], read)
    parser.add_argument(flag, dest=dest, type=read, metavar=metavar, required=needed, help=text + also.rstrip("."))


def flag_of(name: str) -> str:
    """Return the flag of an option."""
    return f"--{NAMES.get(name, name).replace('_', '-')}"


def given_options(arguments: Namespace) -> dict[str, Any]:
    """Return what was given, by the names of the public function."""
    names = {dest: name for name, dest in NAMES.items()}
    return {names.get(dest, dest): value for dest, value in vars(arguments).items() if dest not in ARGUMENTS}


def _switched(group: Sequence[Command], name: str) -> Command:
    return next(each for each in group if each.switch[0] == name)


def _plain_kind(annotation: Any) -> Any:
    """Return the type of an option as a text is read: the first of those that it may have."""
    if isinstance(annotation, str):  # a name, or an open model
        return str
    return typing.get_args(annotation)[0] if isinstance(annotation, UnionType) else annotation


def _reader(name: str, kind: Any) -> tuple[Callable[[str], Any], str]:
    """Return what reads an option of a type, and what stands for its value in the help."""
    if name == "at":
        return _at, "R,C"
    if name in CONCEPTS:
        return str, "NAME"
    if typing.get_origin(kind) is not None:
        (item,) = typing.get_args(kind)
        if item is str:
            return names, "A,B"
        return (partial(_list, item), "N,N") if item in (int, float) else (_pairs, "A:X,B:X")
    return kind, {int: "N", float: "X"}.get(kind, "NAME")


def _list(item: type, text: str) -> tuple[Any, ...]:
    try:
        return tuple(item(each) for each in text.split(","))
    except ValueError:
        what = "whole numbers" if item is int else "numbers"
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} with commas between them") from None


def _pairs(text: str) -> tuple[tuple[str, float], ...]:
    try:
        return tuple((name, float(number)) for name, _, number in (each.partition(":") for each in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not names and numbers, as k:1,place:2") from None


def _at(text: str) -> tuple[int, ...] | None:
    """Read a place or a region; None for everywhere."""
    if text == "everywhere":
        return None
    try:
        return _list(int, text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither everywhere, nor row,column, nor top,left,bottom,right"
        ) from None


def _or_switch(word: str, read: Callable[[str], Any], text: str) -> Any:
    return text if text == word else read(text)


def run(verb: str, arguments: Namespace) -> None:
    """Run an experiment, write its report, and show what came out."""
    from ganatomy.cli.causal_runs import DryRun, deliver, runner
    from ganatomy.experiments.base import experiment
    from ganatomy.experiments.causal.source import open_source

    command, given = _chosen(verb, arguments)
    entry = experiment(command.function.__name__)
    source = open_source(arguments.directory, arguments.device, draws=entry.draws)
    options = {
        name: parameter.default
        for name, parameter in options_of(command).items()
        if name not in OPEN and parameter.default not in (inspect.Parameter.empty, None)
    } | {name: value for name, value in given.items() if value is not None}
    for name in CONCEPTS[1:]:
        if name in given:
            options[name] = concepts_in(source, given[name])
    turns = concepts_in(source, options[command.several]) if command.several else (None,)
    running = runner(arguments, source, dry="dry_run" in arguments)
    out, results = getattr(arguments, "out", None), []
    asked = [options if turn is None else {**options, command.several: turn} for turn in turns]
    with contextlib.suppress(DryRun):
        plans = [entry.plan(source, each, running) for each in asked]
        for plan in plans:
            with contextlib.suppress(DryRun):
                results.append(running(plan, out if out is None or len(plans) == 1 else out / plan.directory.name))
    if results:
        deliver(arguments, results)


def _chosen(verb: str, arguments: Namespace) -> tuple[Command, Mapping[str, Any]]:
    """Return the experiment of a verb that is meant, and its options.

    Raises:
        BadValue: an option of another experiment of the verb, or one that is missing.
    """
    group = COMMANDS[verb]
    given = given_options(arguments)
    for short, name in [(flag, name) for (own, flag), name in SHORT.items() if own == verb and flag in given]:
        if given.setdefault(name, short) != short:
            raise BadValue(f"--{short} and --{name} {given[name]} say two things; give one")
        del given[short]
    command, called = group[0], verb
    for each in group[1:]:
        name, value = each.switch
        if name in given and (not value or given[name] == value):
            command, called = each, f"{verb} --{name} {value}".strip()
            del given[name]
    own = {name: parameter for name, parameter in options_of(command).items() if name not in OPEN}
    for name in given:
        if name not in own:
            raise BadValue(f"{flag_of(name)} means nothing for {called}; leave it out")
    for name, parameter in own.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise BadValue(f"{called} takes {flag_of(name)}; see ganatomy {verb} --help")
    return command, given


def concepts_in(source: "Source", text: str) -> tuple[str, ...]:
    """Return the concepts in a list with commas, each once; one alone may have a comma in its name.

    Raises:
        BadValue: there is none.
    """
    if text in {concept.name for concept in source.dissection.vocabulary}:
        return (text,)
    found = tuple(dict.fromkeys(names(text)))
    if not found:
        raise BadValue(f"{text!r} names no concept; give one, or several with commas between them")
    return found
