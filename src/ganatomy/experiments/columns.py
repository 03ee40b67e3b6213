"""What every column of a table holds: ``columns.md``, which docstrings and the page of file formats show."""

import inspect
import re
import textwrap
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd

from ganatomy.study import kind_name


class ColumnText(NamedTuple):
    """The type of a column in words, what it holds, and whether only some studies have it."""

    type: str
    meaning: str
    optional: bool


@cache
def columns() -> Mapping[tuple[str, str], Mapping[str, ColumnText]]:
    """Return the columns of every table by name, of every (kind of study, table)."""
    found: dict[tuple[str, str], dict[str, ColumnText]] = {}
    kind, table = "", ""
    for line in (files("ganatomy.experiments") / "columns.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"### `(\w+)`$", line):
            kind = heading[1]
        elif file := re.match(r"`tables/(\w+)\.parquet`$", line):
            table = file[1]
            found[kind, table] = {}
        elif row := re.match(r"\| `(\w+)` \| ([\w/ ]+) \| (.+) \|$", line):
            meaning = row[3].removesuffix("†").rstrip()
            found[kind, table][row[1]] = ColumnText(row[2], meaning, meaning != row[3])
    return found


def described(table: pd.DataFrame, kind: str, name: str) -> pd.DataFrame:
    """Return a table of a study with the meanings of its columns in ``attrs["columns"]``, where pages find them."""
    table.attrs["columns"] = {column: each.meaning for column, each in columns().get((kind, name), {}).items()}
    return table


def add_columns(result: type) -> None:
    """Add to each table that the docstring of a result names the columns that it has."""
    spec = result.__annotations__.get("spec")
    if not isinstance(spec, type) or not result.__doc__:  # of no study, or Python left docstrings out (-OO)
        return
    kind, names = kind_name(spec), getattr(result, "FILES", {})

    def extended(entry: re.Match[str]) -> str:
        own = columns().get((kind, str(names.get(entry[1], entry[1]))))
        if own is None or result.__annotations__.get(entry[1]) is not pd.DataFrame:
            return entry[0]
        text = "; ".join(f"`{name}`: {each.meaning}" for name, each in own.items()).replace("`", "``")
        return f"{entry[0].rstrip()}\n{textwrap.indent(textwrap.fill(f'Columns: {text}.', 108), ' ' * 8)}\n"

    head, attributes, rest = inspect.cleandoc(result.__doc__).partition("Attributes:\n")
    result.__doc__ = head + attributes + re.sub(r"^    (\w+): .+?(?=^    \w|\Z)", extended, rest, flags=re.M | re.S)
