"""What every public function does with its arguments: check them, open what is named, run."""

import dataclasses
import functools
import inspect
import tempfile
import typing
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, ParamSpec, TypeVar

from ganatomy.core.errors import BadValue, UnknownName

P = ParamSpec("P")
R = TypeVar("R")
KINDS: Mapping[Any, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    Path: (Path, "a path"),
}
"""What stands for a type, and how it is called."""


class Command(NamedTuple):
    """How an experiment is run from the command line.

    Attributes:
        function: the public one.
        switch: the option, and its value, that tells it from others of the verb.
        several: an option that may list several values, which are run one after the other.
        needed: options that must be given though they have a default, as one before them has.
    """

    function: Callable[..., Any]
    switch: tuple[str, str] = ("", "")
    several: str = ""
    needed: tuple[str, ...] = ()

    def needs(self, name: str) -> bool:
        """Whether an option must be given."""
        return name in self.needed or _signature(self.function).parameters[name].default is inspect.Parameter.empty


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a signature; a command line asks for that of each function once an option."""
    return inspect.signature(function)


COMMANDS: dict[str, list[Command]] = {}
"""The commands of experiments, by verb; `api.experiments` fills it."""


def command(
    verb: str, switch: tuple[str, str] = ("", ""), several: str = "", needed: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function public, see `public`, and a command; one of several of a verb has a verb of its own, too."""

    def made(function: Callable[P, R]) -> Callable[P, R]:
        checked = public(function, needed)
        COMMANDS.setdefault(verb, []).append(Command(checked, switch, several, needed))
        if switch[0]:
            COMMANDS[function.__name__.replace("_", "-")] = [Command(checked, several=several, needed=needed)]
        return checked

    return made


def public(function: Callable[P, R], needed: tuple[str, ...] = ()) -> Callable[P, R]:
    """Have a function refuse an unknown name, a value of another type, or none of what is `needed`, in one line."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in signature.parameters:
                raise UnknownName(f"option of {function.__name__}", name, signature.parameters)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise BadValue(f"{function.__name__}: {error}") from None
        for name in needed:
            if given.get(name) is None:
                raise BadValue(f"{function.__name__}: missing a required argument: '{name}'")
        for name, value in given.items():
            check_type(name, value, signature.parameters[name].annotation)
        return function(*args, **kwargs)

    return checked


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a value that is not of the type that an option is annotated with; other types than plain ones pass.

    >>> check_type("images", 12, int), check_type("units", range(3), typing.Sequence[int] | None)
    (None, None)
    """
    kinds = typing.get_args(kind) if isinstance(kind, UnionType) else (kind,)
    texts = [text for each in kinds if (text := _mismatch(value, each))]
    if len(texts) == len(kinds):
        expected = " or ".join(dict.fromkeys(text for text in texts if text != "None")) or "None"
        raise BadValue(f"{name}={value!r} is a {type(value).__name__}; give {expected}")


def _mismatch(value: Any, kind: Any) -> str:
    if kind is type(None):
        return "" if value is None else "None"
    if kind in KINDS:
        own, text = KINDS[kind]
        return "" if isinstance(value, own) and (kind is bool or not isinstance(value, bool)) else text
    if isinstance(origin := typing.get_origin(kind), type) and issubclass(origin, Iterable):
        item = typing.get_args(kind)[0]
        if isinstance(value, str) or not isinstance(value, Iterable):
            return f"a list of {KINDS[item][1].removeprefix('a ')}s" if item in KINDS else "a list"
        return next((f"a list, each {text}" for each in value if (text := _mismatch(each, item))), "")
    return ""


def run_experiment(name: str, given: dict[str, Any]) -> Any:
    """Run an experiment on a dissection with the arguments of its function, or find it finished."""
    from ganatomy.engines import local
    from ganatomy.engines.registry import engine_of
    from ganatomy.experiments.base import Runner, experiment
    from ganatomy.experiments.causal.dissected_model import open_source
    from ganatomy.remote import local_path

    entry, options = experiment(name), {key: value for key, value in given.items() if value is not None}
    study, out, engine, progress, options = _taken(options, "study", "out", "engine", "progress")
    models = {key: options.pop(key) for key in ("device", "generator", "segmenter") if key in options}
    models = {**getattr(study, "opened", {}), **models}
    source = open_source(_directory(study), **models, draws=entry.draws, run=entry.run.take(options))
    with engine_of(engine or local, source.models.device) as opened:
        runner = Runner(opened, progress)
        return runner(entry.plan(source, options, runner), None if out is None else local_path(out))


def run_dissect(given: dict[str, Any]) -> Any:
    """Dissect a generator."""
    from ganatomy.core.devices import choose_device
    from ganatomy.engines.registry import engine_of
    from ganatomy.experiments.dissect import run
    from ganatomy.experiments.dissect_spec import RUN, DissectSpec
    from ganatomy.experiments.dtype import begin, choose_dtype
    from ganatomy.experiments.model_pair import ModelPair, name_of
    from ganatomy.remote import local_path

    names = ("generator", "segmenter", "out", "device", "engine", "progress", "memory")
    generator, segmenter, out, device, engine, progress, memory, options = _taken(given, *names)
    how = RUN.take(options)
    spec = DissectSpec(name_of(generator), name_of(segmenter), **options)
    directory = Path(tempfile.mkdtemp(prefix="ganatomy-")) if out is None else local_path(out)
    device = choose_device(device)
    choice = choose_dtype(spec, ModelPair(generator, segmenter, device), directory)
    with engine_of(engine, device) as opened:
        study, (spec, models, _) = begin(choice, directory, opened, progress, how)
        with study:
            found = run(spec, study, models, memory)
    named = {"generator": generator, "segmenter": segmenter}
    return dataclasses.replace(found, opened={name: own for name, own in named.items() if not isinstance(own, str)})


def run_monitor(given: dict[str, Any]) -> Any:
    """Dissect the checkpoints of a training."""
    from ganatomy.core.devices import choose_device
    from ganatomy.engines.registry import engine_of
    from ganatomy.experiments.monitor.checkpoints import run_monitor as run
    from ganatomy.experiments.monitor.steps import plan_checkpoints
    from ganatomy.remote import local_path

    names = ("checkpoints", "opening", "steps", "out", "device", "engine", "progress")
    checkpoints, opening, steps, out, device, engine, progress, options = _taken(given, *names)
    planned, device = plan_checkpoints(checkpoints, opening, steps), choose_device(device)
    with engine_of(engine, device) as opened:
        return run(planned, local_path(out), options, device, opened, progress)


def run_compare(given: dict[str, Any]) -> Any:
    """Set dissections side by side."""
    from ganatomy.core.devices import choose_device
    from ganatomy.engines.registry import engine_of
    from ganatomy.experiments.compare.comparison import planned
    from ganatomy.experiments.compare.comparison import run_compare as run
    from ganatomy.remote import local_path
    from ganatomy.report.compare.page import write_comparison

    studies, out, device, engine, progress, options = _taken(given, "studies", "out", "device", "engine", "progress")
    directories = [local_path(_directory(each)) for each in studies]
    (spec, measured), device = planned(directories, options), choose_device(device)
    with engine_of(engine, device) as opened:
        found = run(spec, directories, measured, device, opened, progress)
    if out is not None:
        write_comparison(found, out)
    return found


def _taken(given: Mapping[str, Any], *names: str) -> list[Any]:
    """Return some arguments, and last the others."""
    options = {key: plain(value) for key, value in given.items()}
    return [*(options.pop(name, None) for name in names), options]


def _directory(study: Any) -> Any:
    from ganatomy.experiments.dissection import Dissection

    return study.study.directory if isinstance(study, Dissection) else study


def plain(value: Any) -> Any:
    """Return an option as a Spec keeps it: lists, ranges and arrays as tuples of plain numbers.

    >>> plain([1, [2, 3]]), plain(range(2)), plain("ab")
    ((1, (2, 3)), (0, 1), 'ab')
    """
    if isinstance(value, list | tuple | range) or (hasattr(value, "tolist") and hasattr(value, "ndim") and value.ndim):
        return tuple(map(plain, value.tolist() if hasattr(value, "tolist") else value))
    return value
