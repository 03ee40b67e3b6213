"""What every experiment's command does before and after it: an estimate, and the report and tables.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import contextlib
import dataclasses
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.cli import terminal
from ganatomy.cli.answers import announce, answer, progress, rows
from ganatomy.cli.pages import write_page
from ganatomy.cli.verbs import begin_anew
from ganatomy.core.errors import GanatomyError
from ganatomy.core.layer_steps import spanned
from ganatomy.experiments.base import Plan, Runner
from ganatomy.experiments.causal import plans
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.remote import display_path
from ganatomy.study import is_study, spec_digest
from ganatomy.study.files import read_record

if TYPE_CHECKING:
    import pandas as pd

LONG = 120
"""Seconds from which on a command says how to take less."""


class DryRun(Exception):
    """The estimate was all that was asked for."""


def runner(arguments: Namespace, source: DissectedModel, anew: bool = False) -> Runner:
    """Return what runs plans after an estimate of each, `anew` where a study is there; or prints the estimates only."""

    def before(plan: Plan[Any], directory: Path) -> None:
        counts = anew or _counts(directory, plan.spec)
        seconds = plans.forecast(source, plan) if counts else 0.0
        if counts:
            line = _estimate(source, plan, directory, seconds)
        else:
            line = f"nothing would be measured: {display_path(directory)} holds a study already"
        if "dry_run" in arguments:
            facts = {"study": display_path(directory), "images": plan.spec.images, "seconds": seconds}
            answer(arguments, lambda: terminal.print_line(line), lambda: facts, lambda: [facts])
            raise DryRun
        if counts:
            announce(arguments, line)
        if anew:
            begin_anew(arguments, directory)

    return Runner(arguments.opened_engine, progress(arguments), before)


def _counts(directory: Path, spec: SampleSpec) -> bool:
    """Whether a run would count something: not where it is finished already, nor where it will be refused."""
    if not is_study(directory):
        return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
    with contextlib.suppress(GanatomyError):
        record = read_record(directory)
        return record["digest"] == spec_digest(spec) and not record["finished"]
    return False


def _estimate(source: DissectedModel, plan: Plan[Any], directory: Path, seconds: float) -> str:
    """Say what a plan does, on how many images, how long that takes, and how to take about two minutes."""
    from ganatomy.experiments.causal.ace_spec import AceSpec

    spec, layers = plan.spec, ", ".join(spanned(plan.spec.layers()))
    where = f" at {layers} of" if spec.layer in source.models.subject.layers else ":"  # or of none
    about = f"about {terminal.duration(seconds)} on {source.models.device}"
    if seconds > LONG and isinstance(spec, AceSpec):
        about += "" if plan.work.startswith("quick") else "; --quick takes less"
    elif seconds > LONG:
        images = f"--images {max(2, int(spec.images * LONG / seconds))}"
        about += f"; {images} or --stride 2 take less" if hasattr(spec, "stride") else f"; {images} takes less"
    return (
        f"{plan.work}{where} {spec.generator.rstrip(':')}: {spec.images} images, {about}, in {display_path(directory)}"
    )


def deliver(arguments: Namespace, results: Sequence[Any]) -> None:
    """Write the report of each result; show them, or print them as one JSON object."""
    pages, summaries = {}, []
    for result in results:
        page, place = result.study.directory / "report.html", display_path(result.study.directory)
        write_page(result, page, result.study.directory)
        pages[place] = (result, page)
        summaries.append({"study": place, "report": str(page), **result_json(result)})

    def show() -> None:
        for result, page in pages.values():
            terminal.show_result(result)
            terminal.print_report(page)

    content = summaries[0] if len(summaries) == 1 else {"results": summaries}
    answer(arguments, show, lambda: content, lambda: _joined({place: result for place, (result, _) in pages.items()}))


def _joined(results: Mapping[str, Any]) -> "pd.DataFrame":
    """Return the table of a result; those of several below each other, with the study of each row."""
    import pandas as pd

    joined: pd.DataFrame = pd.concat({place: result.table for place, result in results.items()}, names=["study"])
    return joined if len(results) == 1 else joined.reset_index("study")


def result_json(result: Any) -> dict[str, Any]:
    """Return the Spec and the tables of a result, but for that of every single insertion, which is long."""
    import pandas as pd

    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    shown = [name for name, value in fields.items() if isinstance(value, pd.DataFrame) and name != "places"]
    tables = {name: rows(fields[name]) for name in shown}
    return {"warnings": result.warnings, "spec": dataclasses.asdict(result.spec), **result.details, **tables}
