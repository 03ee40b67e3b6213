"""The claims about a text-to-image model are measured on a tiny one; a second run finds what is finished."""

import re
from pathlib import Path

import numpy as np
import pytest
import words_claims
from tiny_words import save_words
from word_claims.page import NAME
from word_claims.steps import ratio

ROOT = Path(__file__).parents[2]


def test_a_ratio_is_of_sums_and_its_error_is_known() -> None:
    value, error = ratio(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert (value, error) == (1.0, pytest.approx(0.5))
    assert all(np.isnan(ratio(np.zeros(2), np.zeros(2))))


@pytest.mark.slow
def test_every_part_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["--out", str(tmp_path / "out"), "--tiny", save_words(tmp_path / "w.pt")]
    words_claims.main(given)
    text = (tmp_path / "out" / NAME).read_text()
    assert "nan" not in text
    for part in re.findall(r"<!-- (\w+) -->(.*?)<!-- /", text, re.S):
        assert ("not measured" in part[1]) == (part[0] == "inserted"), part
    monkeypatch.setattr("word_claims.units.count_changes", None)
    monkeypatch.setattr("word_claims.measure.after_swap", None)
    words_claims.main(given)
    assert (tmp_path / "out" / NAME).read_text() == text


def test_the_guide_includes_parts_that_are_there() -> None:
    guide, tables = ((ROOT / "docs" / name).read_text() for name in ("claims-text-to-image.md", NAME))
    parts = re.findall(r":start-after: (.+)\n:end-before: (.+)\n", guide)
    assert len(parts) == len(re.findall(f"```{{include}} {NAME}", guide)) == len(re.findall("<!-- /", tables))
    assert all(0 <= tables.find(start) < tables.find(end) for start, end in parts)
