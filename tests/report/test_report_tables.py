"""One list of columns makes the HTML, the terminal's text and the CSV of a table."""

import dataclasses
import io
import re
from urllib.parse import unquote

import pandas as pd
import pytest

from ganatomy.cli.terminal import show_tables
from ganatomy.report.formats import effect_text
from ganatomy.report.tables import Column, Table

FRAME = pd.DataFrame({"name": ["<tree>", "sky"], "change": [-0.5, 0.123456789], "error": [0.1, 0.2], "n": [1200, 3]})
TABLE = Table(
    "effects",
    "Effects",
    (
        Column("name", "concept"),
        Column("change", form=effect_text, error="error", help="of the pixels"),
        Column("n", "units", brief=False),
        Column("absent"),
    ),
    FRAME,
)


def test_html_has_every_column_that_there_is_and_links_to_the_csv() -> None:
    text = TABLE.html()
    assert re.findall(r"<th scope=\"col\"[^>]*>([^<]*)", text) == ["concept", "change", "units"]
    assert 'title="of the pixels"' in text
    assert "&lt;tree&gt;</th>" in text
    explained = FRAME.copy()
    explained.attrs["columns"] = {"n": "how <many>", "change": "another"}
    text_explained = dataclasses.replace(TABLE, frame=explained.sort_values("n")).html()
    assert re.findall(r'<th [^>]*title="([^"]*)"', text_explained) == ["of the pixels", "how &lt;many&gt;"]
    assert re.findall(r"<td[^>]*>([^<]*)", text) == ["−50 ± 10 %", "1,200", "no effect (+12 ± 20 %)", "3"]
    found = re.search(r'download="effects.csv" href="data:text/csv,([^"]*)"', text)
    assert found
    assert unquote(found[1]) == TABLE.csv()
    read = pd.read_csv(io.StringIO(TABLE.csv()))
    assert read.columns.tolist() == ["name", "change", "error", "n"]
    assert read["change"].tolist() == pytest.approx(FRAME["change"].tolist(), rel=1e-5)


def test_a_terminal_has_the_first_rows_of_the_brief_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_tables(Table(TABLE.name, TABLE.caption, TABLE.columns, FRAME, brief=1))
    head, row, more = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert head.split() == ["concept", "change"]
    assert row.split() == ["<tree>", "−50", "±", "10", "%"]
    assert more == "1 of 2 rows; the report has all"
