"""The benchmark of unit distances runs, and its ordinary routine finds what all units at once find."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_it_runs() -> None:
    sizes = {"units": 3, "top": 40, "images": 100, "real": 50, "features": 16}
    asked = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "unit_fid.py", "--json", "--called", "2", "--repeats", "1", *asked]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    (row,) = found["measured"]
    assert row["size"] == sizes
    assert row["greatest_difference"] < 1e-4
    assert row["ordinary_a_unit_s"]["features"] < row["ordinary_a_unit_s"]["pictures"]
    assert found["projected"]["size"]["units"] == 512
    assert found["projected"]["seconds"] > 0
