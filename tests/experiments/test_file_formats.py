"""The page of file formats has every table of every study, with its columns and their types."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from jsonschema import Draft202012Validator
from small_runs import small_run
from torch import Tensor

from ganatomy.annotations.store import COLUMNS
from ganatomy.experiments.base import EXPERIMENTS, experiment
from ganatomy.experiments.columns import columns
from ganatomy.experiments.compare.comparison import Comparison
from ganatomy.experiments.dissection import Dissection
from ganatomy.interventions import FORMAT as EDITS
from ganatomy.interventions import Intervention, edits_json
from ganatomy.study import kind_name
from ganatomy.study.files import FORMAT

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "file-formats.md").read_text(encoding="utf-8")
TYPES = {"number": "f", "whole number": "iu", "true/false": "b", "text": "OUT"}
"""Kinds of numpy, by the words of the page."""


def follows(content: Any, schema: str) -> bool:
    """Return whether a record is as the docs' JSON Schema says."""
    rules = json.loads((DOCS / "schemas" / f"{schema}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(rules)
    return bool(Draft202012Validator(rules).is_valid(content))


def check(directory: Path) -> None:
    """Compare the records and every table of a study with the page and its schemas."""
    record = json.loads((directory / "study.json").read_text(encoding="utf-8"))
    assert follows(record, "study")
    assert not follows(record | {"digest": "?"}, "study")
    for file, schema in (("edit.json", "edits"), ("repaired/repaired.json", "repaired")):
        if (directory / file).exists():
            assert follows(json.loads((directory / file).read_text(encoding="utf-8")), schema)
    tables = {path.stem: pd.read_parquet(path) for path in (directory / "tables").iterdir()}
    columns_of = {name: own for (kind, name), own in columns().items() if kind == record["experiment"]}
    assert tables.keys() <= columns_of.keys()
    assert all(each.optional for name in columns_of.keys() - tables for each in columns_of[name].values())
    for name, table in tables.items():
        layers = set(table.columns) & set(record["facts"].get("traced", ()))
        own = dict(columns_of[name])
        if layers:
            own |= dict.fromkeys(layers, own.pop("LAYER"))
        assert set(table.columns) <= own.keys()
        assert {column for column in own.keys() - set(table.columns) if not own[column].optional} == set()
        for column in table if len(table) else ():
            assert kind_of(table[column]) in TYPES[own[column].type], (name, column)


def kind_of(column: pd.Series) -> str:
    return "O" if isinstance(column.dtype, pd.StringDtype) else str(column.dtype.kind)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_tables_of_every_experiment(name: str, small_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_place)
    found = small_run(name)
    check(found.study.directory)
    assert found.table.attrs["columns"].keys() >= set(found.table.columns) - set(found.facts.get("traced", ()))


def test_tables_of_a_dissection(planted: Dissection) -> None:
    check(planted.study.directory)


@pytest.mark.parametrize("result", [Dissection, *(experiment(name).result for name in EXPERIMENTS)])
def test_docstrings_have_every_column_once(result: type) -> None:
    kind = kind_name(result.__annotations__["spec"])
    names = {table: field for field, table in getattr(result, "FILES", {}).items()}
    for (_, table), own in ((key, own) for key, own in columns().items() if key[0] == kind):
        entry = re.search(rf"^    {names.get(table, table)}: (.+?)(?=^    \w|\Z)", str(result.__doc__), re.M | re.S)
        assert entry, f"{result.__name__} says nothing of {table}"
        assert [len(re.findall(rf"``{name}``:\s", entry[1])) for name in own] == [1] * len(own)
        assert ", ".join(list(own)[:3]) not in entry[1]


def test_every_result_is_described() -> None:
    kinds = {kind for kind, _ in columns()}
    assert kinds == {"dissect", *(kind_name(experiment(name).spec) for name in EXPERIMENTS)}


def rows_of(section: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the first cell of every row of a section, and the names in its last cell."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    for first, last in re.findall(r"^\| `(\w+)` \|.*?([^|]+)\|$", text, re.M):
        yield first, set(re.findall(r"`(\w+)`", last))


def test_tables_of_a_comparison() -> None:
    assert [name for name, _ in rows_of("A comparison")] == list(Comparison.TABLES)


def test_tables_of_annotations() -> None:
    assert dict(rows_of("Annotations")) == {name: set(columns) for name, columns in COLUMNS.items()}


@pytest.mark.parametrize("value", [torch.ones(3), torch.ones(3, 2, 2)])
def test_schema_of_edits(value: Tensor) -> None:
    edit = Intervention.insert("layer1", (3, 2, 2), [0, 2], value)
    content = json.loads(edits_json([edit, edit.then(edit)], "fingerprint"))
    assert follows(content, "edits")
    content["edits"][0]["strokes"][0]["alpha"][0] = 2
    assert not follows(content, "edits")


def test_versions_of_the_formats() -> None:
    assert f"version of the layout, now {FORMAT};" in PAGE
    assert f"| `format` | {EDITS} |" in PAGE
