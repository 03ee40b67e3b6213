"""What a training learns, unit by unit: how many draw something, what, how well, and since when."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganatomy.core.errors import StudyError, UnknownName
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.snapshots import Snapshot, read_fixed, read_snapshots
from ganatomy.experiments.result import Summarised, matched_text
from ganatomy.remote import local_path
from ganatomy.report.charts import Drawing
from ganatomy.study import as_bad_file

Unit = tuple[str, int]
"""A layer and the number of a unit in it."""
FOLLOWED = 6
"""Units that are followed unless others are named."""
_MOMENT = ["layer", "unit", "label", "category", "iou", "matched"]


@dataclass(frozen=True, eq=False, repr=False)
class TrainingHistory(Summarised):
    """One training at several moments, in the order of its steps. It opens without any model.

    Attributes:
        directory: where it lies.
        table: one row for each snapshot, layer (and ``all``), and category (and ``all``): step, name, images, layer,
            category, units, interpretable, matched, concepts (distinct, matched), matched_iou (of the matched units).
        history: one row for each snapshot and unit: step, layer, unit, label, category, iou, matched.
        turnover: one row for each snapshot but the first, and layer: step, before (the step of the snapshot before),
            layer, kept, changed, lost, gained: how many units match the same concept as before, another, none any more,
            or one where they matched none. Layers that have grown meanwhile have no row.
        skipped: what could not be dissected: step, name, reason.
    """

    directory: Path
    snapshots: tuple[Snapshot, ...]
    table: pd.DataFrame
    history: pd.DataFrame
    turnover: pd.DataFrame
    skipped: pd.DataFrame

    @classmethod
    def open(cls, directory: str | Path) -> "TrainingHistory":
        """Open what was seen of a training so far, by `monitor`, by ``ganatomy monitor`` or by a `Monitor`.

        Raises:
            StudyError: nothing was seen.
            BadFile: a file of it is damaged.
        """
        directory = local_path(directory)
        with as_bad_file(directory):
            return cls._opened(directory)

    @classmethod
    def _opened(cls, directory: Path) -> "TrainingHistory":
        snapshots = read_snapshots(directory)
        done = tuple(snapshot for snapshot in snapshots if snapshot.study)
        if not done:
            why = f": step {snapshots[0].step}: {snapshots[0].reason}" if snapshots else ""
            raise StudyError(f"{directory} holds no snapshot of a training{why}")
        history = pd.concat([_moment(directory, snapshot) for snapshot in done], ignore_index=True)
        counts = [
            pd.DataFrame(snapshot.numbers).assign(step=snapshot.step, name=snapshot.name, images=snapshot.images)
            for snapshot in done
        ]
        table = pd.concat(counts, ignore_index=True)
        fractional = [name for name in map(str, table) if name == "matched_iou" or name.endswith("_error")]
        table = table.astype(dict.fromkeys(fractional, float))
        first = ["step", "name", "images"]
        missed = [(snapshot.step, snapshot.name, snapshot.reason) for snapshot in snapshots if not snapshot.study]
        return cls(
            directory,
            done,
            table[first + [name for name in table if name not in first]],
            history,
            _turnover(history),
            pd.DataFrame(missed, columns=["step", "name", "reason"]),
        )

    def chart(self) -> Drawing:
        """Return the matched units at every step."""
        from ganatomy.report.monitor.curves import count_charts

        return count_charts(self)[0][1]

    def _warnings(self) -> list[str]:
        step = self.steps[-1]  # early ones show little in any training
        return [f"Step {step:,}: {sentence}" for sentence in self.dissection(step).warnings]

    def _summary(self) -> list[str]:
        first, last = (matched_text(self.dissection(step).units, None) for step in (self.steps[0], self.steps[-1]))
        skipped = [f"Skipped: {row.name}: {row.reason}" for row in self.skipped.itertuples(index=False)]
        return [f"Step {self.steps[0]:,}: {first}", f"Step {self.steps[-1]:,}: {last}", *skipped]

    def __repr__(self) -> str:
        return f"<TrainingHistory of {len(self.snapshots)} snapshots, steps {self.steps[0]} to {self.steps[-1]}>"

    @property
    def steps(self) -> list[int]:
        """The steps that were dissected."""
        return [snapshot.step for snapshot in self.snapshots]

    @cached_property
    def layers(self) -> list[str]:
        """The layers of the last snapshot, in forward order, then those that only earlier ones had."""
        found = [dict.fromkeys(self.history.layer[self.history.step == step]) for step in reversed(self.steps)]
        return list(dict.fromkeys(layer for layers in found for layer in layers))

    def dissection(self, step: int) -> Dissection:
        """Open the dissection of a step.

        Raises:
            UnknownName: there was no snapshot at that step.
        """
        for snapshot in self.snapshots:
            if snapshot.step == step:
                return Dissection.open(self.directory / snapshot.study)
        raise UnknownName("step", str(step), map(str, self.steps))

    def fixed(self) -> dict[int, npt.NDArray[np.uint8]]:
        """Return the images of the same latents at each step that has them, uint8 [k, H, W, 3]."""
        found = {step: read_fixed(self.dissection(step)) for step in self.steps}
        return {step: own.images.numpy() for step, own in found.items() if own is not None}

    def best(self, count: int = FOLLOWED) -> list[Unit]:
        """Return the units that match best at the end: of each concept the best one first, then the next best."""
        last = self.history[self.history.step == self.steps[-1]].sort_values("iou", ascending=False, kind="stable")
        again = last.duplicated(["label", "category"])
        ranked = last.assign(again=again, none=~last.matched).sort_values(["none", "again"], kind="stable")
        return [(row.layer, int(row.unit)) for row in _rows(ranked.head(count))]

    def follow(self, units: Sequence[Unit] | None = None) -> pd.DataFrame:
        """Return the same units at every step, those of `best` if none are named: rows of `history`, with what became.

        Returns:
            Columns step, layer, unit, label, category, iou, matched, and became, which is ``kept``, ``changed``,
            ``lost`` or ``gained``, as in `turnover`; None at the first snapshot, and where the unit matches nothing and
            did not before.

        Raises:
            UnknownName: there is no such unit.
        """
        parts = []
        for layer, unit in self.best() if units is None else units:
            own = self.history[(self.history.layer == layer) & (self.history.unit == unit)]
            if own.empty:
                raise UnknownName("unit", f"{layer}/{unit}", [f"{name}/0 …" for name in self.layers])
            concept = [_concept(row) for row in _rows(own)]
            became = [None, *(_became(a, b) for a, b in itertools.pairwise(concept))]
            parts.append(own.assign(became=pd.Series(became, own.index, dtype=object)))
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def since(self) -> pd.DataFrame:
        """Since when each unit that matches a concept at the end has matched it without a break, best first.

        Columns layer, unit, label, category, iou (at the end), since (step), before (what it matched before that).
        """
        rows = []
        end = self.steps[-1]
        matched = self.history[(self.history.step == end) & self.history.matched]
        past = {key: _rows(own)[::-1] for key, own in self.history.groupby(["layer", "unit"], sort=False)}
        for row in _rows(matched.sort_values("iou", ascending=False, kind="stable")):
            moments = past[row.layer, row.unit]
            same = next((i for i, each in enumerate(moments) if _concept(each) != _concept(row)), len(moments))
            others = [each.label for each in moments[same:] if each.matched]
            before = others[0] if others else None
            rows.append((row.layer, row.unit, row.label, row.category, row.iou, moments[same - 1].step, before))
        return pd.DataFrame(rows, columns=["layer", "unit", "label", "category", "iou", "since", "before"])


def _moment(directory: Path, snapshot: Snapshot) -> pd.DataFrame:
    table = Dissection.open(directory / snapshot.study).units[_MOMENT]
    return table.assign(step=snapshot.step)[["step", *_MOMENT]]


def _turnover(history: pd.DataFrame) -> pd.DataFrame:
    columns = ["step", "before", "layer", "kept", "changed", "lost", "gained"]
    rows = []
    last: dict[Any, tuple[Any, list[Any]]] = {}
    for (step, layer), own in history.groupby(["step", "layer"], sort=False):
        concepts = [_concept(row) for row in _rows(own)]
        before, old = last.get(layer, (0, []))
        if len(old) == len(concepts):
            became = [_became(a, b) for a, b in zip(old, concepts, strict=True)]
            rows.append((step, before, layer, *(became.count(word) for word in columns[3:])))
        last[layer] = (step, concepts)
    return pd.DataFrame(rows, columns=columns)


def _concept(row: Any) -> tuple[str, str] | None:
    return (row.label, row.category) if row.matched else None


def _became(before: object, after: object) -> str | None:
    if before is None:
        return None if after is None else "gained"
    if after is None:
        return "lost"
    return "kept" if before == after else "changed"


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples(index=False))
