"""A small dissection that every test of the report looks at."""

from pathlib import Path

import pytest

import ganatomy
from ganatomy.experiments.dissection import Dissection
from ganatomy.report import write_report


@pytest.fixture(scope="session")
def dissection(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect(
        "planted:", segmenter="planted:", images=64, out=tmp_path_factory.mktemp("planted") / "study"
    )


@pytest.fixture(scope="session")
def page(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(dissection, path)
    return path
