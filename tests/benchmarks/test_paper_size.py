"""The job of the paper, at a small size: every experiment runs alone, and reports its cost and its bound."""

import json
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SMALL = """--images 4 --size 16 --units 24 --concepts 60 --common 20 --memory 3 --pool 24 --candidates 8 --updates 2
    --described 1200 --features 8"""


@pytest.fixture(scope="module")
def benchmark_module(load: Any) -> ModuleType:
    load("paper_jobs")
    return load("paper_size")


@pytest.fixture(scope="module")
def found(benchmark_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The command, but that its processes are calls: what each experiment printed."""
    out = tmp_path_factory.mktemp("paper")

    def alone(command: list[str], **_: Any) -> Namespace:
        args = benchmark_module.parse(command[2:])
        return Namespace(stdout=json.dumps(benchmark_module.measured(args)).encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_module.subprocess, "run", alone)
        benchmark_module.main(["--out", str(out), *SMALL.split()])
    return out, {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}


def test_every_experiment_tells_what_it_took_beside_its_bound(
    benchmark_module: ModuleType, found: tuple[Path, dict[str, Any]]
) -> None:
    assert found[1].keys() == set(benchmark_module.NAMES)
    for name, row in found[1].items():
        line = benchmark_module.described(name, row)
        assert line.startswith(name)
        assert f"bound {row['bound'] / 2**30:.2f}" in line
        assert 0 < row["cpu"] <= 10
        assert row["disk"] <= row["disk_most"]


def test_what_is_bounded_says_what_the_whole_takes(found: tuple[Path, dict[str, Any]]) -> None:
    rows = found[1]
    assert {"seconds", "memory_bytes", "disk_bytes", "passes"} < rows["dissect"]["forecast"].keys()
    assert rows["ace"]["phases"].keys() == {"pool", "candidates", "alpha", "effects", "curve"}
    assert rows["ace"]["phases"]["pool"][1] == 24
    assert rows["ace"]["whole"] > 100 * rows["ace"]["cpu"]
    assert rows["context"]["phases"]["context"][1] == 2
    assert "pool" not in rows["context"]["phases"], "that of ACE is found beside the dissection"
    assert rows["unit-fid"]["state"] == 4 * 1200 * (8 + 24)
    assert rows["unit-fid"]["disk"] < 20_000, "features go when all is done"
    assert rows["monitor"]["phases"]["snapshots"][1] == 3
    assert rows["monitor"]["rows"]["follows"] == 18
    assert rows["monitor"]["disk_most"] < 100_000, "three names of the files of one dissection"
