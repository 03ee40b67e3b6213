"""Memory, descriptors and threads of a long run with small shards stay where they were."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = """
import json, sys
from pathlib import Path
sys.path.insert(0, {benchmarks!r})
import soak, torch, ganatomy
torch.set_num_threads(1)
watch = soak.Watch(every=32)
small = {{"segmenter": "planted", "layers": ("layer2",), "levels": 20, "calibration": 32, "resolution": 16}}
ganatomy.dissect("planted", **small, images=4000, shard=32, validation="cross", out=Path({out!r}), progress=watch)
found = soak.rows("dissect", watch.steps, least=1900)
print(json.dumps([soak.asdict(row) | {{"growth": row.growth}} for row in found]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this kernel does not tell")
def test_four_thousand_images_take_no_more_memory_than_the_first(tmp_path: Path) -> None:
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    code = SOAK.format(benchmarks=str(benchmarks), out=str(tmp_path / "study"))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    rows = json.loads(done.stdout)
    assert rows, "no step was long enough"
    for row in rows:
        assert abs(row["growth"]) < 0.08, f"{row['step']}: {row['first']} to {row['last']} bytes"
        for kind in ("descriptors", "threads"):  # some come and go; one a shard would be sixty
            assert abs(row[kind][1] - row[kind][0]) < 5, f"{row['step']}: {kind} {row[kind]}"
    assert not list(tmp_path.rglob("*.tmp"))
