"""What every experiment's command does around it: say what it takes, deliver what came out.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganatomy.cli import causal_terminal, terminal
from ganatomy.cli.verbs import print_json, rows, writing
from ganatomy.experiments.base import Plan, Runner
from ganatomy.experiments.causal import plans
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.progress import Progress
from ganatomy.store import named

LONG = 120
"""Seconds from which on a command says how to take less."""


def runner(arguments: Namespace, source: Source) -> Runner:
    """Return what runs plans, with a bar that first says what will be done and how long it takes."""

    def shown(plan: Plan[Any], directory: Path) -> Progress:
        spec = plan.spec
        pooled = plans.pooling_trials(source, spec)  # before the run begins it

        def statement() -> str:
            time = plan.seconds() if plan.seconds else plans.effect_seconds(source, spec, plan.trials + pooled)
            layers = ", ".join(plans.layers_in(spec))
            where = f" at {layers} of" if spec.layer in source.models.subject.layers else ":"  # or of none
            less = f"; {_less(spec, time)} less" if time > LONG else ""
            about = f"about {terminal.duration(time)}{less}"
            return f"{plan.work}{where} {spec.generator}: {spec.images} pictures, {about}, in {named(directory)}"

        return causal_terminal.StatedBar(statement, aside=arguments.json)

    return Runner(arguments.execute, shown=shown)


def _less(spec: SampleSpec, seconds: float) -> str:
    """Say which options would have a long command take about two minutes."""
    from ganatomy.experiments.causal.ace_spec import AceSpec

    if isinstance(spec, AceSpec):
        return "--quick takes"
    images = f"--images {max(2, int(spec.images * LONG / seconds))}"
    return f"{images} or --stride 2 take" if hasattr(spec, "stride") else f"{images} takes"


def deliver(arguments: Namespace, results: Sequence[Any]) -> None:
    """Write the report of each result; show them, or print them as one JSON object."""
    from ganatomy.report import write_causal_report

    told = []
    for result in results:
        page = result.study.directory / "report.html"
        with writing(page, result.study.directory):
            write_causal_report(result, page)
        told.append({"study": named(result.study.directory), "report": str(page), **_summary(result)})
        if not arguments.json:
            causal_terminal.show(result)
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
