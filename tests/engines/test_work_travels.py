"""What a worker is sent holds all that it needs: no study, no open file, nothing of the disk of who sent it."""

import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import small_runs
from kept_steps import assert_same
from small_runs import make_place, small_run

from ganatomy import experiments
from ganatomy.experiments.base import EXPERIMENTS
from ganatomy.study import Study

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


PARTS = r'\.sharded\("([^"]+)"'
"""How experiments name what they count by the shard."""


@pytest.mark.slow
def test_a_shard_of_every_experiment_is_counted_where_no_study_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[bytes, range]] = []
    expected: list[tuple[str, Any]] = []
    counted = set()

    def spy(work: Callable[[range], Any], shards: Sequence[range]) -> Iterator[tuple[int, Any]]:
        sent.append((pickle.dumps(work), shards[-1]))
        for shard in shards:
            found = work(shard)
            yield 1, found
        expected.append((getattr(work, "func", work).__name__, found.state_dict()))

    def sharded(self: Study, name: str, *rest: Any) -> Any:
        counted.add(name)
        return count(self, name, *rest)

    count = Study.sharded
    monkeypatch.setattr(Study, "sharded", sharded)
    monkeypatch.chdir(make_place(tmp_path, engine=spy))
    for name in EXPERIMENTS:
        before = len(sent)
        small_run(name, engine=spy)
        assert len(sent) > before, f"{name} counts nothing by the shard"
    small_run("describe", engine=spy, describer="torch:planted_words:Sayer", words=None, out="studies/captions")
    written = {
        name for file in Path(experiments.__path__[0]).rglob("*.py") for name in re.findall(PARTS, file.read_text())
    }
    assert counted >= written > {"pool"}, f"let a run of {small_runs.__file__} count {written - counted}"
    shutil.rmtree(tmp_path / "studies")
    file = tmp_path / "sent"
    file.write_bytes(pickle.dumps(sent))
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(file), *map(str, sys.path)], check=True, cwd=tmp_path)
    answers = pickle.loads((tmp_path / "sent.answers").read_bytes())  # noqa: S301
    assert len(answers) == len(expected) > 20
    for found, (name, tensors) in zip(answers, expected, strict=True):
        assert_same(found, tensors, name)
