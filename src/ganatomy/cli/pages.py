"""The page of a result, as every command writes it, and the indexes that link it.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganatomy.cli.verbs import writing
from ganatomy.core.errors import BadValue, GanatomyError


def page_name(result: Any) -> str:
    """Return what the page of a result is called."""
    from ganatomy.experiments.monitor.training_history import TrainingHistory

    return "monitor.html" if isinstance(result, TrainingHistory) else "report.html"


def write_page(result: Any, page: Path, directory: Path, budget: float | None = None) -> None:
    """Write the page of the result in a directory, and bring the indexes up to date that link it; see `write_alone`."""
    with indexed([directory]):
        write_alone(result, page, directory, budget)


def write_alone(result: Any, page: Path, directory: Path, budget: float | None = None) -> None:
    """Write the page of the result in a directory.

    Args:
        budget: megabytes that the page of a dissection may take.

    Raises:
        BadValue: a budget for another page.
        BadFile: it cannot be written.
    """
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.report.causal.page import write_causal_report
    from ganatomy.report.html import write_report
    from ganatomy.report.monitor.page import write_monitor_report
    from ganatomy.study import as_bad_file

    if budget is not None and not isinstance(result, Dissection):
        raise BadValue("--budget is for the page of a dissection; leave it out")
    with as_bad_file(directory), writing(page, directory):
        if isinstance(result, Dissection):
            write_report(result, page, **({} if budget is None else {"budget": round(budget * 1e6)}))
        elif isinstance(result, TrainingHistory):
            write_monitor_report(result, page)
        else:
            write_causal_report(result, page)


@contextlib.contextmanager
def indexed(directories: Sequence[Path]) -> Iterator[None]:
    """Let the indexes link what a block writes into directories of results, and be there for it to link back to."""
    from ganatomy.cli import terminal
    from ganatomy.experiments.catalogue import indexes_around, write_index
    from ganatomy.study.files import INDEX

    def around() -> dict[Path, None]:
        return dict.fromkeys(place for directory in directories for place in indexes_around(directory))

    for place in around():
        if not (place / INDEX).exists():
            with contextlib.suppress(GanatomyError, OSError):
                write_index(place)
    yield
    for place in around():
        try:
            write_index(place)
        except (GanatomyError, OSError) as error:  # the result is there, and ganatomy report writes the index again
            terminal.print_line(f"{place / INDEX} is not up to date: {error}", aside=True)
