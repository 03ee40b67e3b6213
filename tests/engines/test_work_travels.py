"""What a worker is sent holds all that it needs: no study, no open file, nothing of the disk of who sent it."""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from every_experiment import STEPS, assert_same, every_experiment, given, steps

ELSEWHERE = """
import pickle, sys
import torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[2:]
with open(sys.argv[1], "rb") as file:
    sent = pickle.load(file)
answers = [dict(pickle.loads(work)(shard).state_dict()) for work, shard in sent]
with open(sys.argv[1] + ".answers", "wb") as file:
    pickle.dump(answers, file)
"""


@pytest.mark.slow
def test_a_shard_of_every_experiment_is_counted_where_no_study_is(tmp_path: Path) -> None:
    sent: list[tuple[bytes, range]] = []
    expected: list[tuple[str, Any]] = []

    def spy(work: Callable[[range], Any], shards: Sequence[range]) -> Iterator[tuple[int, Any]]:
        sent.append((pickle.dumps(work), shards[-1]))
        for shard in shards:
            found = work(shard)
            yield 1, found
        expected.append((getattr(work, "func", work).__name__, found.state_dict()))

    given(tmp_path)
    every_experiment(tmp_path, tmp_path / "studies", spy)
    assert {Path(name).stem for name in steps(tmp_path / "studies")} >= STEPS
    shutil.rmtree(tmp_path / "studies")
    file = tmp_path / "sent"
    file.write_bytes(pickle.dumps(sent))
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(file), *map(str, sys.path)], check=True, cwd=tmp_path)
    answers = pickle.loads((tmp_path / "sent.answers").read_bytes())  # noqa: S301
    assert len(answers) == len(expected) > 20
    for found, (name, tensors) in zip(answers, expected, strict=True):
        assert_same(found, tensors, name)
