"""Other people's modules, by name: imported, built and run, their errors in one line.

A name is data (``package.module:callable``): it is looked up and called, never evaluated.
"""

import contextlib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ganatomy.core.errors import BadModel, BadValue, GanatomyError, UnknownName
from ganatomy.core.registry import convert


def instantiate(argument: str, options: Mapping[str, str]) -> Callable[..., Any]:
    """Build the module that ``package.module:callable`` names, with options as its keyword arguments.

    The current directory is importable. The text of options is converted by the annotations of the callable's
    parameters, or by the type of the default where there are none. A name of a finished module is that module.

    Raises:
        UnknownName: no such module, name or option.
        BadValue: an option is of another type, or one that is needed is missing.
        BadModel: importing or calling raises, or what comes back cannot be called.
    """
    path, colon, name = argument.partition(":")
    if not (path and colon and name):
        raise BadValue(f"{argument!r} does not name a callable; write package.module:callable")
    directory = str(Path.cwd())
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        target = _attribute(_imported(path), name)
        if isinstance(target, torch.nn.Module):
            if options:
                raise BadValue(f"{argument} is a finished module and takes no options; leave out {', '.join(options)}")
            return target
        arguments = _arguments(argument, target, options)
        texts = [key for key in options if isinstance(arguments[key], str) and not _takes_text(target, key)]
        listed = ", ".join(f"{key}={options[key]!r}" for key in texts)
        given = f" with {listed} as text (annotate the parameter to have a number)" if texts else ""
        with foreign_errors(f"calling {argument}{given}"):
            made = target(**arguments)
    finally:
        sys.path.remove(directory)
    if not callable(made):
        raise BadModel(f"{argument} returned a {type(made).__name__}; it must return a torch module")
    return made  # type: ignore[no-any-return]


@contextlib.contextmanager
def foreign_errors(doing: str) -> Iterator[None]:
    """Run foreign code: what it prints goes to stderr, what it raises becomes a one-line `BadModel`."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except GanatomyError:
            raise
        except (Exception, SystemExit) as error:
            reason = (str(error).strip() or "no message").splitlines()[0]
            raise BadModel(f"{doing} raised {type(error).__name__}: {reason}") from error


def _imported(path: str) -> ModuleType:
    """Import ``a.b.c`` step by step, to name the part that does not exist."""
    parent: ModuleType | None = None
    parts = path.split(".")
    for i in range(len(parts)):
        name = ".".join(parts[: i + 1])
        try:
            with foreign_errors(f"importing {name}"):
                parent = importlib.import_module(name)
        except BadModel as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and cause.name == name:
                where, prefix = [str(Path.cwd())], ""
                if parent is not None:
                    where, prefix = getattr(parent, "__path__", []), f"{parent.__name__}."
                siblings = sorted(module.name for module in pkgutil.iter_modules(where, prefix))
                unknown = UnknownName("module", path, siblings)
                if parent is None:
                    unknown.add_note(f"modules are looked for in {Path.cwd()} and where Python finds its own")
                raise unknown from None
            raise
    assert parent is not None
    return parent


def _attribute(module: ModuleType, name: str) -> Callable[..., Any]:
    found: Any = module
    for step in name.split("."):
        if not hasattr(found, step):
            known = [n for n, value in vars(found).items() if callable(value) and not n.startswith("_")]
            raise UnknownName(f"callable in {module.__name__}", name, known)
        found = getattr(found, step)
    if not callable(found):
        raise BadModel(f"{module.__name__}:{name} is of type {type(found).__name__}; it cannot be called")
    return found  # type: ignore[no-any-return]


def _arguments(argument: str, target: Callable[..., Any], options: Mapping[str, str]) -> dict[str, Any]:
    parameters = _signature(target).parameters.values()
    known = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    free = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for key in options:
        if key not in known and not free:
            raise UnknownName(f"option of {argument}", key, known)
    missing = [n for n, p in known.items() if p.default is p.empty and n not in options]
    if missing:
        raise BadValue(f"{argument} needs the option {missing[0]}; add ?{missing[0]}=VALUE")
    kinds = {key: _kind(parameter) for key, parameter in known.items()}
    return {key: convert(key, text, kinds.get(key, str)) for key, text in options.items()}


def _takes_text(target: Callable[..., Any], key: str) -> bool:
    parameter = _signature(target).parameters.get(key)
    return parameter is not None and (parameter.annotation is str or isinstance(parameter.default, str))


def _signature(target: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(target, eval_str=True)
    except NameError:  # annotations that name what was imported for type checkers only
        return inspect.signature(target)
    except ValueError as error:
        raise BadModel(f"{target!r} does not say what arguments it takes; wrap it in a function") from error


def _kind(parameter: inspect.Parameter) -> Any:
    if parameter.annotation is not parameter.empty:
        return parameter.annotation
    return type(parameter.default) if parameter.default is not parameter.empty else str
