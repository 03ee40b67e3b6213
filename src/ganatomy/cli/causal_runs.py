"""What every causal command does around its experiment: open, read arguments, say what it takes, deliver.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import dataclasses
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.cli.parser import names
from ganatomy.cli.verbs import print_json, rows, writing
from ganatomy.errors import BadValue

if TYPE_CHECKING:
    from ganatomy.cli.causal_terminal import StatedBar
    from ganatomy.experiments.causal.source import SampleSpec, Source

DELIVERY = ("run", "directory", "out", "device", "execute", "json")
SETTLED = (*DELIVERY, "layer", "layers", "each", "edit", "quick", "schedule")
"""Arguments that are no field of a Spec, or are read by hand."""
LONG = 120
"""Seconds from which on a command says how to take less."""


def opened(arguments: Namespace, draws: bool = True) -> "Source":
    """Open the dissection that a command names; `draws` says whether it must be of a generator."""
    from ganatomy.experiments.causal.source import open_source

    return open_source(arguments.directory, arguments.device, draws=draws)


def options_of(arguments: Namespace) -> dict[str, Any]:
    """Return what was given of a Spec."""
    return {name: value for name, value in vars(arguments).items() if name not in SETTLED}


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


def check_options(command: str, options: Mapping[str, Any], kinds: Sequence[Any]) -> None:
    """Refuse options that would do nothing here."""
    known = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            raise BadValue(f"--{name} means nothing for {command}; leave it out")


def stated_bar(
    arguments: Namespace,
    source: "Source",
    spec: "SampleSpec",
    directory: Path,
    work: tuple[str, int],
    seconds: "Callable[[Source, SampleSpec, int], float] | None" = None,
) -> "StatedBar":
    """Return a bar that says what a run will do, and from the number of trials a picture, how long that takes."""
    from ganatomy.cli import terminal
    from ganatomy.cli.causal_terminal import StatedBar
    from ganatomy.experiments.causal.plans import effect_seconds, layers_in, pooling_trials
    from ganatomy.remote import display_path

    what, trials = work
    pooled = pooling_trials(source, spec)  # before the run begins it

    def statement() -> str:
        time = (seconds or effect_seconds)(source, spec, trials + pooled)
        layers = ", ".join(layers_in(spec))
        where = f" at {layers} of" if spec.layer in source.models.subject.layers else ":"  # or of none
        less = f"; {_less(spec, time)} less" if time > LONG else ""
        about = f"about {terminal.duration(time)}{less}"
        return f"{what}{where} {spec.generator}: {spec.images} pictures, {about}, in {display_path(directory)}"

    return StatedBar(statement, aside=arguments.json)


def _less(spec: "SampleSpec", seconds: float) -> str:
    """Say which options would have a long command take about two minutes."""
    from ganatomy.experiments.causal.ace_spec import AceSpec

    if isinstance(spec, AceSpec):
        return "--quick takes"
    images = f"--images {max(2, int(spec.images * LONG / seconds))}"
    return f"{images} or --stride 2 take" if hasattr(spec, "stride") else f"{images} takes"


def deliver(arguments: Namespace, results: Sequence[Any], more: Mapping[str, Any] | None = None) -> None:
    """Write the report of each result; show them, or print them as one JSON object, and what `more` there is to say."""
    from ganatomy.cli import causal_terminal, terminal
    from ganatomy.remote import display_path
    from ganatomy.report import write_causal_report

    told = []
    for result in results:
        page = result.study.directory / "report.html"
        with writing(page, result.study.directory):
            write_causal_report(result, page)
        told.append(
            {"study": display_path(result.study.directory), "report": str(page), **_summary(result), **(more or {})}
        )
        if not arguments.json:
            causal_terminal.show(result)
            for name, value in (more or {}).items():
                terminal.say(f"{name}: {value}")
            terminal.say_report(page)
    if arguments.json:
        print_json(told[0] if len(told) == 1 else {"results": told})


def _summary(result: Any) -> dict[str, Any]:
    """Return the Spec and the tables of a result, but for that of every single insertion, which is long."""
    import pandas as pd

    from ganatomy.experiments.warnings import warnings_of

    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    told = [name for name, value in fields.items() if isinstance(value, pd.DataFrame) and name != "places"]
    tables = {name: rows(fields[name]) for name in told}
    return {"warnings": warnings_of(result), "spec": dataclasses.asdict(result.spec), **result.said, **tables}
