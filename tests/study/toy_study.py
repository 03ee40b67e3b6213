"""A small study of two rounds, to be counted in parts: what it counts, and what must come out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.errors import PartsMissing
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.stats.base import Accumulator, Merge, add, concat
from ganatomy.study import Study

FACTS = {"inputs": {"generator": "abc"}}
SHARDS = [range(i, i + 3) for i in range(0, 30, 3)]


@dataclass(frozen=True)
class RoundsSpec:
    seed: int = 0


class Counts(Accumulator):
    """Whole numbers, which are the same in any order, rows, which are not, and a sum of floats, whose bits are not."""

    FIELDS: Mapping[str, Merge] = {"counts": add, "rows": concat, "total": add}

    def __init__(self, ids: Sequence[int] = ()) -> None:
        self.counts = torch.zeros(7, dtype=torch.int64)
        self.rows = torch.zeros(0, dtype=torch.int64)
        self.total = torch.zeros(20)
        for i in ids:
            self.update(torch.tensor([i]))

    def update(self, *batch: Tensor) -> None:
        (ids,) = batch
        for i in ids.tolist():
            self.counts[i % 7] += i
            self.total += torch.randn(20, generator=torch.Generator().manual_seed(i)).exp()
        self.rows = torch.cat([self.rows, ids])


Work = Callable[[range], Counts]


def straight(shards: Sequence[range] = SHARDS) -> Counts:
    """What one process counts."""
    total = Counts(shards[0])
    for shard in shards[1:]:
        total = total.merge(Counts(shard))
    return total


def same_counts(one: Counts, other: Counts) -> bool:
    """The same to the bit, but for sums of floats, which are so up to rounding."""
    exact = torch.equal(one.counts, other.counts) and torch.equal(one.rows, other.rows)
    return exact and torch.allclose(one.total, other.total, rtol=1e-6)


def run(
    directory: Path,
    engine: Engine = local,
    work: Work = Counts,
    shards: Sequence[range] = SHARDS,
    progress: Progress | None = None,
) -> Counts:
    """Count, compute something from it, count again with that, write a table, and finish; return both counts merged."""
    with Study.create(directory, RoundsSpec(), FACTS, engine, progress) as study:
        if not study.finished:
            first = study.sharded("first", Counts, work, shards)
            half = study.step("half", Counts, lambda: Counts(first.rows.tolist()[::2]))
            second = study.sharded("second round", Counts, lambda ids: Counts([*ids, *half.rows.tolist()]), shards)
            study.write_table("rows", pd.DataFrame({"row": second.rows.numpy()}))
            study.finish(rows=len(second.rows))
    done = Study.open(directory)
    return done.step("first", Counts, Counts).merge(done.step("second round", Counts, Counts))


def tried(*arguments: object) -> Counts | PartsMissing:
    """Run; where others are missing, return that."""
    try:
        return run(*arguments)  # type: ignore[arg-type]
    except PartsMissing as missing:
        return missing


def contents(directory: Path) -> list[str]:
    """All files that are not hidden."""
    paths = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if not any(part.startswith(".") for part in path.parts))


WHOLE = ["steps/first.npz", "steps/half.npz", "steps/second round.npz", "study.json"]
FINISHED = sorted([*WHOLE, "tables/rows.parquet"])
