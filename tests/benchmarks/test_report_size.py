"""A study of any size can be made at random, and its report measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {"layers": 3, "units": 20, "concepts": 40, "common": 30, "images": 16, "side": 64, "top": 3}


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    size = [f"--{name}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "report_size.py", "--json", "--out", str(tmp_path), *size]
    told = json.loads(subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True).stdout)
    assert told["units"] == 60
    assert told["megabytes"] == (tmp_path / "report.html").stat().st_size / 1e6
    assert 0 < told.get("seconds to first cards", 1) < 60
