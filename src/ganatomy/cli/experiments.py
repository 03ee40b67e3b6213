"""The commands of the experiments, made from the public functions: their keywords are the options.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import argparse
import ast
import contextlib
import dataclasses
import inspect
import re
import shlex
import typing
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import UnionType
from typing import TYPE_CHECKING, Any

import ganatomy.api.experiments as api
from ganatomy.api.calls import COMMANDS, Command
from ganatomy.cli.engine import add_engine, add_place
from ganatomy.cli.parser import OneName, Parser, add_command, names, study
from ganatomy.core.errors import BadValue
from ganatomy.experiments.option_groups import MEASURED

if TYPE_CHECKING:
    from ganatomy.experiments.causal.dissected_model import DissectedModel

assert api  # it fills COMMANDS
RUN = ("out", "device", "engine", "progress")
"""Arguments of every public function that are no options of its experiment."""
OPEN = ("study", "generator", "segmenter")
"""Arguments of a function about a dissection: a command opens the models by their names."""
ARGUMENTS = (
    *("run", "directory", "directories", "out", "dry_run", "overwrite", "device", "opened_engine"),
    *("format", "quiet", "about_study"),
)
"""Options of a command in addition to those of its experiment."""
CONCEPTS = ("concept", "on", "allowed", "forbidden")
"""Options that name concepts, whose names may have commas in them."""
NAMES = {"shard": "shard_size", "describer": "with"}
"""Options that are called otherwise here: ``--shard`` names a part of a run, and ``with`` is a keyword of Python."""
LAYERS = ("layer", "layers")
"""Options that are one here: ``--layer`` and ``--layers`` take one layer, or several where that is possible."""
TOP_IMAGES = ("dissect", "monitor", "artifacts", "repair", "describe")
"""Verbs whose ``top`` counts images of a unit; that of others counts units."""


def add_experiments(commands: Any) -> None:
    """Add a command for each verb."""
    for verb, group in COMMANDS.items():
        text = summary(group[0].function)
        parser = add_command(commands, verb, partial(run, verb), text[0].lower() + text[1:].rstrip("."))
        parser.add_argument("directory", type=study, metavar="STUDY", help="the directory of a dissection")
        parser.set_defaults(about_study=True)
        if verb == "ace":
            parser.group(MEASURED).add_argument("--quick", action="store_true", help="--schedule quick (no)")
        add_options(parser, group, OPEN)
        parser.epilog = example_of(verb, group[0])
        add_place(parser, "(STUDY-causal/LAYER/…)")
        add_engine(parser)


def example_of(verb: str, command: Command) -> str:
    """Return the example of a function's docstring as a command line."""
    found = re.search(r">>> (ganatomy\.\w+\(.*\))", inspect.getdoc(command.function) or "")
    if found is None:  # Python left docstrings out (-OO)
        return ""
    call = next(node for node in ast.walk(ast.parse(found[1])) if isinstance(node, ast.Call))
    first, *placed = call.args
    named = zip(list(inspect.signature(command.function).parameters)[1:], placed, strict=False)
    words = [*each] if isinstance(each := ast.literal_eval(first), list) else [each]
    for name, node in [*named, *((str(keyword.arg), keyword.value) for keyword in call.keywords)]:
        value = ast.literal_eval(node)
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        words += [_flags(name, verb)[0], text]
    return f"example: ganatomy {verb} {shlex.join(words)}"


def add_options(parser: Parser, group: Sequence[Command], skip: Sequence[str] = ()) -> None:
    """Add the options of the experiments of a verb, and the switches between them."""
    known = dict.fromkeys(name for each in group for name in options_of(each) if name not in skip)
    for name in known:
        if name != "layer" or "layers" not in known:
            _add_option(parser, name, group)
    for each in group:
        name = each.switch[0]
        if name and name not in known:
            text = f"{summary(each.function).rstrip('.')} (no)"
            parser.group(MEASURED).add_argument(f"--{name}", action="store_true", help=text)


@cache
def options_of(command: Command) -> dict[str, inspect.Parameter]:
    """Return the options of an experiment, by name."""
    signature = inspect.signature(command.function).parameters
    return {name: parameter for name, parameter in signature.items() if name not in RUN}


def summary(function: Callable[..., Any]) -> str:
    """Return the first sentence of a function's docstring; its name where Python left docstrings out (-OO)."""
    return (inspect.getdoc(function) or function.__name__).partition("\n\n")[0]


@cache
def option_texts(function: Callable[..., Any]) -> dict[str, str]:
    """Return what a function's docstring says of each argument."""
    _, _, part = (inspect.getdoc(function) or "").partition("Args:\n")
    found = re.findall(r"^    (\w+(?:, \w+)*): (.+?)(?=^    \w|\Z)", part, re.M | re.S)
    texts = {}
    for group, text in found:
        shared, several = " ".join(text.split()).rstrip("."), group.split(", ")
        defaults = re.fullmatch(r"(.*) \(([^()]*)\)", shared)
        own = defaults[2].split(", ") if defaults else []
        for i, name in enumerate(several):
            texts[name] = f"{defaults[1]} ({own[i]})" if defaults and len(own) == len(several) else shared
    for name, text in texts.items():
        if other := re.fullmatch(r"as of `(\w+)`", text):
            texts[name] = option_texts(getattr(api, other[1]))[name]
    return texts


def _add_option(parser: Parser, name: str, group: Sequence[Command]) -> None:
    """Add an option of the first experiment that has it; a switch between experiments takes the switch's word, too."""
    owners = [each for each in group if name in options_of(each)]
    kind, text = options_of(owners[0])[name].annotation, option_texts(owners[0].function).get(name, "")
    if name == "layers" and "layer" in options_of(owners[0]):
        text = f"{option_texts(owners[0].function)['layer']}; several with commas between them are edited at once"
    text = text.replace("%", "%%").replace("``", "")
    if isinstance(kind, str):  # a name, or an open model
        kind = str
    elif isinstance(kind, UnionType):  # a text is read as the first type that it may have
        kind = typing.get_args(kind)[0]
    dest, flag, home = NAMES.get(name, name), flag_of(name), parser.group(api.OPTION_GROUPS.get(name, MEASURED))
    if kind is bool:
        text += f" ({'yes' if options_of(owners[0])[name].default else 'no'})"
        home.add_argument(flag, dest=dest, action=argparse.BooleanOptionalAction, help=text)
        return
    read, metavar = _reader(name, kind)
    for each in group:
        if each.switch[0] == name:
            read = partial(_word_or, each.switch[1], read)
            text += f"; or {each.switch[1]}: {summary(each.function)}".rstrip(".")
    needed = all(name in options_of(own) and own.needs(name) for own in group)
    flags = _flags(name, parser.prog.split()[-1])
    action = OneName if name in LAYERS else "store"
    home.add_argument(*flags, action=action, dest=dest, type=read, metavar=metavar, required=needed, help=text)


def flag_of(name: str) -> str:
    """Return the flag of an option."""
    return f"--{NAMES.get(name, name).replace('_', '-')}"


def _flags(name: str, verb: str) -> tuple[str, ...]:
    """Return every way to write an option, the one that help begins with first."""
    if name in LAYERS:
        return flag_of(name), *(flag_of(each) for each in LAYERS if each != name)
    if name == "top":
        return f"--top-{'images' if verb in TOP_IMAGES else 'units'}", "--top"
    return (flag_of(name),)


def given_options(arguments: Namespace) -> dict[str, Any]:
    """Return what was given, by the names of the public function."""
    names = {dest: name for name, dest in NAMES.items()}
    return {names.get(dest, dest): value for dest, value in vars(arguments).items() if dest not in ARGUMENTS}


def _reader(name: str, kind: Any) -> tuple[Callable[[str], Any], str]:
    """Return what reads an option of a type, and what stands for its value in the help."""
    if name == "at":
        return _at, "R,C"
    if name in CONCEPTS:
        return str, "NAME"
    if typing.get_origin(kind) is None:
        return kind, {int: "N", float: "X"}.get(kind, "NAME")
    (item,) = typing.get_args(kind)
    if item is str:
        return names, "A,B"
    return (partial(_list, item), "N,N") if item in (int, float) else (_pairs, "A:X,B:X")


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
    try:
        return None if text == "everywhere" else _list(int, text)
    except argparse.ArgumentTypeError:
        expected = "neither everywhere, nor row,column, nor top,left,bottom,right"
        raise argparse.ArgumentTypeError(f"{text!r} is {expected}") from None


def _word_or(word: str, read: Callable[[str], Any], text: str) -> Any:
    return text if text == word else read(text)


def run(verb: str, arguments: Namespace) -> None:
    """Run an experiment, write its report, and show the result."""
    from ganatomy.cli.causal_runs import DryRun, deliver, runner
    from ganatomy.experiments.base import experiment
    from ganatomy.experiments.causal.dissected_model import open_source

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
    several: list[dict[str, str]] = [{}]
    if command.several:
        several = [{command.several: concept} for concept in concepts_in(source, options[command.several])]
    source = dataclasses.replace(source, run=entry.run.take(options))
    planning, running = runner(arguments, source), runner(arguments, source, anew=arguments.overwrite)
    out, results = getattr(arguments, "out", None), []
    with contextlib.suppress(DryRun):
        plans = [entry.plan(source, options | own, planning) for own in several]
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
    if given.pop("quick", False) and given.setdefault("schedule", "quick") != "quick":
        raise BadValue(f"--quick and --schedule {given['schedule']} say two things; give one")
    command, called = group[0], verb
    for each in group[1:]:
        name, value = each.switch
        if name in given and (not value or given[name] == value):
            command, called = each, f"{verb} --{name} {value}".strip()
            del given[name]
    own = {name: parameter for name, parameter in options_of(command).items() if name not in OPEN}
    if "layers" in given and "layers" not in own and "layer" in own:
        given["layer"], *more = given.pop("layers") or ("",)
        if more:
            raise BadValue(f"{called} takes one layer, not {','.join([given['layer'], *more])}")
    for name in given:
        if name not in own:
            raise BadValue(f"{flag_of(name)} means nothing for {called}; leave it out")
    for name in own:
        if command.needs(name) and name not in given:
            raise BadValue(f"{called} takes {flag_of(name)}; see ganatomy {verb} --help")
    return command, given


def concepts_in(source: "DissectedModel", text: str) -> tuple[str, ...]:
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
