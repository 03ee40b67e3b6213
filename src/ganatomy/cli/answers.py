"""How a command answers: in tables for a person, as CSV, or as JSON."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ganatomy.cli.process import is_unicode
from ganatomy.core.progress import NullProgress, Progress

if TYPE_CHECKING:
    import pandas as pd


def answer(
    arguments: Namespace,
    show: Callable[[], None],
    content: Callable[[], Any],
    table: Callable[[], Any],
) -> None:
    """Print an answer in the format that was asked for.

    Args:
        arguments: of the command.
        show: prints it for a person.
        content: returns what is JSON of it.
        table: returns the rows of its main table, as a data frame or as objects.
    """
    if arguments.format == "json":
        print_json(content())
    elif arguments.format == "csv":
        import pandas as pd

        found = table()
        sys.stdout.write(
            (found if isinstance(found, pd.DataFrame) else pd.DataFrame(list(found), dtype=object)).to_csv(index=False)
        )
    else:
        show()


def announce(arguments: Namespace, line: str) -> None:
    """Print what is about to be done: with an answer for scripts only on a terminal, with ``--quiet`` not at all."""
    from ganatomy.cli import terminal

    if not arguments.quiet:
        terminal.print_line(line, aside=arguments.format != "table")


def progress(arguments: Namespace) -> Progress:
    """Return what shows how far a run is."""
    from ganatomy.cli import terminal

    return NullProgress() if arguments.quiet else terminal.Bar()


def rows(table: "pd.DataFrame") -> Any:
    """Return a table as plain JSON values, one object a row."""
    return json.loads(table.to_json(orient="records"))  # NaN becomes null


def print_json(content: Any) -> None:
    """Print for scripts."""
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=not is_unicode()) + "\n")
