"""The commands, one function each: from arguments to a Spec, an experiment, and its answer.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import contextlib
import dataclasses
import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.cli.surroundings import takes_any_letter
from ganatomy.errors import BadFile, BadModel, UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.forecast import Forecast


def demo(arguments: Namespace) -> None:
    """Dissect the bundled generator."""
    dissect(Namespace(generator="bundled:church", **vars(arguments)))


def dissect(arguments: Namespace) -> None:
    """Dissect a generator, write the report, and show what came out."""
    from ganatomy.cli import terminal
    from ganatomy.cli.experiments import given_options
    from ganatomy.experiments.dissect import run
    from ganatomy.experiments.dissect_spec import DissectSpec
    from ganatomy.experiments.dtype import begin, settle
    from ganatomy.experiments.forecast import forecasts
    from ganatomy.experiments.models import Models
    from ganatomy.remote import display_path

    given, place = given_options(arguments), display_path(arguments.out)
    spec = DissectSpec(**{f.name: given[f.name] for f in dataclasses.fields(DissectSpec) if f.name in given})
    settled = settle(spec, Models(spec.generator, spec.segmenter, arguments.device), arguments.out)
    with naming_layers(spec.generator):
        costs = forecasts(settled.spec, settled.models, given.get("memory"))
    if settled.said:
        terminal.say(settled.said, aside=arguments.json)
    if "dry_run" in arguments:
        _say_forecasts(costs, arguments.json)
        return
    study, (spec, models, _) = begin(settled, arguments.out, arguments.execute, terminal.Bar())
    with study:
        if not study.finished:
            terminal.say(
                f"{spec.generator} through {spec.segmenter}: {_told(costs[''])} in {place}", aside=arguments.json
            )
        result = run(spec, study, models, given.get("memory"))
    page = _write_report(result, arguments.out / "report.html")
    if arguments.json:
        print_json(_summary(result, place, page))
    else:
        terminal.show(result)
        terminal.say_report(page)


def _told(cost: "Forecast") -> str:
    """Say what a dissection will take."""
    from ganatomy.cli import terminal

    again = f", images drawn {cost.passes} times for want of memory" if cost.passes > 1 else ""
    return (
        f"{cost.images} images{again}, about {terminal.duration(cost.seconds)}, "
        f"{terminal.size(cost.memory_bytes)} of memory, {terminal.size(cost.disk_bytes)}"
    )


def _say_forecasts(costs: "dict[str, Forecast]", as_json: bool) -> None:
    """Say what a dissection would take, by option, and do nothing."""
    from ganatomy.cli import terminal

    if as_json:
        print_json({option or "as asked": dataclasses.asdict(cost) for option, cost in costs.items()})
        return
    for option, cost in costs.items():
        terminal.say(f"with {option}: {_told(cost)}" if option else _told(cost))


def report(arguments: Namespace) -> None:
    """Write the report of a finished study again."""
    from ganatomy.cli import terminal
    from ganatomy.experiments.dissection import Dissection

    result = Dissection.open(arguments.directory)
    page = _write_report(result, arguments.out or arguments.directory / "report.html")
    terminal.say_report(page)


def render_scenes(arguments: Namespace) -> None:
    """Draw scenes into a directory."""
    from ganatomy.cli import terminal
    from ganatomy.scenes.folder import write_scenes

    ids = range(max(arguments.count, 0))
    with writing(arguments.out):
        write_scenes(arguments.out, arguments.category, ids, arguments.size, arguments.seed, terminal.Bar())
    terminal.say(f"{len(ids)} scenes in {arguments.out}")


def _summary(result: "Dissection", place: str, page: Path) -> dict[str, Any]:
    """What a script wants to know: where things are, and the table of each layer and concept."""
    return {
        "study": place,
        "report": str(page),
        "warnings": result.warnings,
        "spec": dataclasses.asdict(result.spec),
        "dtype": result.facts.get("dtype"),
        "layers": rows(result.by_layer),
        "concepts": rows(result.concepts),
    }


def rows(table: "pd.DataFrame") -> Any:
    """Return a table as plain JSON values, one object a row."""
    return json.loads(table.to_json(orient="records"))  # NaN becomes null


def print_json(content: Any) -> None:
    """Print for scripts."""
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=not takes_any_letter()) + "\n")


def _write_report(result: "Dissection", page: Path) -> Path:
    from ganatomy.report.html import write_report

    with writing(page, result.study.directory):
        write_report(result, page)
    return page


@contextlib.contextmanager
def naming_layers(generator: str) -> Iterator[None]:
    """Say where the layers are listed when one is asked for that is none."""
    try:
        yield
    except (UnknownName, BadModel) as error:
        if str(error).startswith(("unknown layer", "layer ")):
            error.add_note(f"see: ganatomy layers {shlex.quote(generator)}")
        raise


@contextlib.contextmanager
def writing(path: Path, study: Path | None = None) -> Iterator[None]:
    """Tell in one line why something cannot be written; a page, where the finished study is that it was to show."""
    try:
        yield
    except OSError as error:
        kept = f"; the study is finished and kept in {study}" if study else ""
        raise BadFile(f"cannot write {path} ({error.strerror or error}){kept}") from error
