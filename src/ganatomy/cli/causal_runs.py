"""What every experiment's command does around it: say what it takes, deliver what came out.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import contextlib
import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganatomy.cli import terminal
from ganatomy.cli.verbs import print_json, rows, writing
from ganatomy.errors import GanatomyError
from ganatomy.experiments.base import Plan, Runner
from ganatomy.experiments.causal import plans
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.remote import display_path
from ganatomy.study import is_study, spec_digest
from ganatomy.study.files import read_record

LONG = 120
"""Seconds from which on a command says how to take less."""


class DryRun(Exception):
    """All that was asked for has been said."""


def runner(arguments: Namespace, source: Source, dry: bool) -> Runner:
    """Return what runs plans and says before each what it will do and take; or, `dry`, says that and no more."""

    def before(plan: Plan[Any], directory: Path) -> None:
        if _counts(directory, plan.spec):
            seconds = plans.forecast(source, plan)
            if not (dry and arguments.json):
                terminal.say(_statement(source, plan, directory, seconds), aside=arguments.json)
        else:
            seconds = 0.0
        if dry:
            if arguments.json:
                print_json({"study": display_path(directory), "images": plan.spec.images, "seconds": seconds})
            raise DryRun

    return Runner(arguments.execute, terminal.Bar(), before)


def _counts(directory: Path, spec: SampleSpec) -> bool:
    """Whether a run would count something: not where it is finished already, nor where it will be refused."""
    if not is_study(directory):
        return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
    with contextlib.suppress(GanatomyError):
        record = read_record(directory)
        return record["digest"] == spec_digest(spec) and not record["finished"]
    return False


def _statement(source: Source, plan: Plan[Any], directory: Path, seconds: float) -> str:
    """Say what a plan does, on how many images, how long that takes, and how to take less."""
    spec, layers = plan.spec, ", ".join(plans.layers_in(plan.spec))
    where = f" at {layers} of" if spec.layer in source.models.subject.layers else ":"  # or of none
    less = f"; {_less(spec, seconds)} less" if seconds > LONG else ""
    about = f"about {terminal.duration(seconds)}{less}"
    return f"{plan.work}{where} {spec.generator}: {spec.images} images, {about}, in {display_path(directory)}"


def _less(spec: SampleSpec, seconds: float) -> str:
    """Say which options would have a long command take about two minutes."""
    from ganatomy.experiments.causal.ace_spec import AceSpec

    if isinstance(spec, AceSpec):
        return "--quick takes"
    images = f"--images {max(2, int(spec.images * LONG / seconds))}"
    return f"{images} or --stride 2 take" if hasattr(spec, "stride") else f"{images} takes"


def deliver(arguments: Namespace, results: Sequence[Any]) -> None:
    """Write the report of each result; show them, or print them as one JSON object."""
    from ganatomy.report.causal.page import write_causal_report

    told = []
    for result in results:
        page = result.study.directory / "report.html"
        with writing(page, result.study.directory):
            write_causal_report(result, page)
        told.append({"study": display_path(result.study.directory), "report": str(page), **_summary(result)})
        if not arguments.json:
            terminal.show_result(result)
            terminal.say_report(page)
    if arguments.json:
        print_json(told[0] if len(told) == 1 else {"results": told})


def _summary(result: Any) -> dict[str, Any]:
    """Return the Spec and the tables of a result, but for that of every single insertion, which is long."""
    import pandas as pd

    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    told = [name for name, value in fields.items() if isinstance(value, pd.DataFrame) and name != "places"]
    tables = {name: rows(fields[name]) for name in told}
    return {"warnings": result.warnings, "spec": dataclasses.asdict(result.spec), **result.said, **tables}
