"""Which setting inserts a concept best? Measured once a study: found on half of the images, told on the other half.

The setting of the paper, 20 units of one layer at k, shows most objects nowhere. So for a set of layers every one of
some settings is tried at two places of each image, one where the object may be and one where it may not. The best is
the one by which the object appears most often at the first kind, less how often at the second. What it does is then
measured on other images, beside a control and beside the paper's setting.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.errors import StudyError
from ganatomy.execute import Engine, local
from ganatomy.experiments.causal.insertion import (
    Part,
    check_insertion,
    control_edits,
    draw_edited,
    in_order,
    layers_of,
    measured_parts,
    row_edits,
    sets_all,
)
from ganatomy.experiments.causal.place_truth import (
    LEAST,
    scene_boxes,
    scene_labels,
    truth_category,
    truth_facts,
    usual_area,
)
from ganatomy.experiments.causal.places import (
    Rows,
    cell_counts,
    corners,
    draw_place,
    layer_pool,
    masks,
    missing,
    read_at,
    read_spec,
    usualness,
)
from ganatomy.experiments.causal.settings import Setting, SettingSpec, paper_setting
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.causal.trials import Untouched, batches
from ganatomy.experiments.result import Result
from ganatomy.progress import Progress
from ganatomy.scenes.places import POSSIBLE, open_bank, place_probabilities
from ganatomy.stats.base import Accumulator, Merge, concat
from ganatomy.stats.clusters import clustered_mean, proportion
from ganatomy.study import Study, is_study
from ganatomy.weights import cache_directory

USUAL = 0.25
"""Where no renderer says where an object may be: places that show it so often, as a share of the most frequent one."""
SALT = 0x5E77
LIKELY, UNLIKELY = range(2)
DRAWN = (LIKELY, LIKELY, LIKELY, UNLIKELY)
"""The places of each image that are tried, by kind: where an object may be there is often little room for it."""


class Appeared(Accumulator):
    """How much of each place shows the concept after each setting.

    Attributes:
        gain: float32 [images, settings, places], share of each of the places of `DRAWN` that newly shows it; NaN where
            the image has no such place.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"gain": concat}

    def __init__(self, settings: int) -> None:
        self.gain = torch.zeros(0, settings, len(DRAWN))

    def update(self, *batch: Tensor) -> None:
        """Take in the gains of some images."""
        self.gain = torch.cat([self.gain, *batch])


@dataclass(frozen=True, eq=False, repr=False)
class BestSetting(Result):
    """The setting that inserts a concept best into some layers.

    Attributes:
        spec: what was asked.
        facts: what was used; ``truth`` says by what places are likely.
        table: one row a setting: by, units (how many in each layer), constant, multiple, likely, likely_places,
            unlikely, unlikely_places (shares of places where the object appears, on the half that chooses), picked.
        measured: on the other half: ``picked``, its ``control``, and ``paper`` (20 units of the first layer at k), each
            with likely, likely_error, likely_places, unlikely, unlikely_error, unlikely_places.
        study: the directory that holds it.
    """

    spec: SettingSpec
    facts: Mapping[str, Any]
    table: pd.DataFrame
    measured: pd.DataFrame
    study: Study

    @classmethod
    def open(cls, directory: Path) -> "BestSetting":
        """Open a finished study.

        Raises:
            StudyError: the directory holds no finished study.
            BadFile: it is of another kind, or a file of it is damaged.
        """
        study = Study.open(directory)
        table, measured = study.read_table("settings"), study.read_table("measured")
        return cls(read_spec(study, SettingSpec), study.facts, table, measured, study)

    @property
    def best(self) -> Setting:
        """The setting that was picked."""
        return self.spec.settings()[int(self.table["picked"].to_numpy().argmax())]

    @property
    def gains(self) -> Float[Tensor, "images settings places"]:
        """What was gained by every setting, in the order of the table, on the half that chooses."""
        return self.study.step("choosing", Appeared, missing).gain

    def told(self) -> str:
        """Say what the setting does, for people."""
        row, control = self.measured.iloc[0], self.measured.iloc[1]
        where = ("allowed", "forbidden") if self.facts.get("truth") else ("usual", "never seen")
        return (
            f"{self.best.name} of {', '.join(layer for layer, _ in layers_of(self.best))}: {self.spec.concept} appears "
            f"at {_percent(row.likely)} of places where it is {where[0]} and {_percent(row.unlikely)} where "
            f"{where[1]}; control {_percent(control.likely)} and {_percent(control.unlikely)}"
        )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def setting_home(source: Source, layers: Sequence[str], concept: str) -> Path:
    """Return where the best setting of a concept at some layers lies unless told otherwise."""
    return source.beside("+".join(in_order(source, layers)), f"setting-{concept}")


def known_setting(source: Source, layers: Sequence[str], concept: str) -> BestSetting | None:
    """Return the best setting of a concept at some layers if it has been measured."""
    directory = setting_home(source, layers, concept)
    if not is_study(directory):
        return None
    try:
        found = BestSetting.open(directory)
    except StudyError:  # it is not finished
        return None
    return found if found.spec.dissection == source.dissection.study.digest else None


def run_setting(
    spec: SettingSpec, source: Source, directory: Path, execute: Engine = local, progress: Progress | None = None
) -> BestSetting:
    """Try every setting and measure the best; what is there already is not measured again.

    Raises:
        UnknownName: no such layer, unit or concept.
        BadValue: the concept is too rare, or a place does not fit the grid.
    """
    concept = source.concept(spec.concept)
    settings = spec.settings()
    for each in settings:
        check_insertion(source, each)
    category = truth_category(source, spec.concept, spec.grammar)
    facts = source.facts() | truth_facts(category, source.named(concept))
    with Study.create(directory, spec, facts, execute, progress) as study:
        spec = study.begun(spec)
        if not study.finished:
            task = _task(source, spec, category, execute, progress)
            parts = [measured_parts(source, each, spec.concept, execute, progress) for each in settings]
            choosing, measuring = spec.halves()
            tried = study.sharded("choosing", Appeared, partial(try_shard, source, spec, task, parts, ()), choosing)
            table = setting_table(source, settings, tried, task.least)
            best = int(table["picked"].to_numpy().argmax())
            paper = paper_setting(source, spec)
            own = [parts[best], measured_parts(source, paper, spec.concept, execute, progress)]
            work = partial(try_shard, source, spec, task, own, (0,))
            measured = study.sharded("measuring", Appeared, work, measuring)
            study.write_table("settings", table)
            study.write_table("measured", measured_table(measured, task.least))
            study.finish()
    return BestSetting.open(directory)


class Task(NamedTuple):
    """Where a concept is inserted.

    Attributes:
        concept: its index.
        layer: whose grid the places are of.
        category: of the scenes whose renderer says where it may be; None where none does.
        likely, unlikely: bool [rows, columns], places that usually show it and that never do, by top left corner.
        least: it appears where it newly covers so large a share of the place.
    """

    concept: int
    layer: str
    category: str | None
    likely: Tensor
    unlikely: Tensor
    least: float


def _task(source: Source, spec: SettingSpec, category: str | None, execute: Engine, progress: Progress | None) -> Task:
    layer, concept = spec.sets[0][1][-1][0], source.concept(spec.concept)
    shape = source.shape(layer)
    corners((shape.height, shape.width), spec.cell)
    usual = usualness(layer_pool(source, layer, spec.pool, spec.batch, execute, progress), concept, spec.cell).cpu()
    least = LEAST
    if category is not None:
        area = usual_area(open_bank(category, cache_directory(), progress=progress), source.named(concept))
        least = min(least, 0.5 * area * shape.height * shape.width / spec.cell**2)
    return Task(concept, layer, category, usual >= USUAL, usual == 0, least - 1e-6)


def try_shard(
    source: Source,
    spec: SettingSpec,
    task: Task,
    trials: Sequence[Sequence[Part]],
    controlled: Sequence[int],
    ids: range,
) -> Appeared:
    """Insert at a likely and an unlikely place of each image in every way; of some, the control comes after them.

    Args:
        source: the models.
        spec: what is asked.
        task: where.
        trials: the ways.
        controlled: numbers of those whose controls are tried, too.
        ids: of the images.
    """
    found = Appeared(len(trials) + len(controlled))
    shape = source.shape(task.layer)
    grid = (shape.height, shape.width)
    for given in batches(source, spec, ids):
        gain = torch.full((len(given.ids), len(trials) + len(controlled), len(DRAWN)), torch.nan)
        kinds = _kinds(source, spec, task, given)
        for turn, kind in enumerate(DRAWN):
            at = draw_place(kinds[kind], given.ids, spec.seed + SALT + turn)
            picture = (at[:, 0] >= 0).nonzero()[:, 0]
            kinds[kind][picture, at[picture, 0], at[picture, 1]] = False  # each place once
            if not len(picture):
                continue
            rows = Rows(picture, masks(grid, at[picture], spec.cell))
            edits = [row_edits(parts, rows.where) for parts in trials]
            edits += [control_edits(trials[i], rows.where, picture, given.ids, spec.seed) for i in controlled]
            for i, own in enumerate(edits):
                images = draw_edited(source, given, rows, own)
                shown = read_at(source.models.segmenter(images), task.concept, rows.where)
                gain[picture, i, turn] = (shown.at / shown.area).float().cpu()  # none was there before
        found.update(gain)
    return found


def _kinds(source: Source, spec: SettingSpec, task: Task, given: Untouched) -> list[Tensor]:
    """Return the free places where the concept is likely, and those where it is not, bool [b, rows, columns] each."""
    shape = source.shape(task.layer)
    grid = (shape.height, shape.width)
    free = (cell_counts(given.labels, [task.concept], grid, spec.cell)[:, 1] == 0).cpu()
    if task.category is None:
        return [free & task.likely, free & task.unlikely]
    at = corners(grid, spec.cell)
    bank = open_bank(task.category, cache_directory())
    boxes, labels = scene_boxes(at, spec.cell, grid), scene_labels(source.dissection.vocabulary, given.labels)
    possible = torch.from_numpy(place_probabilities(bank, source.named(task.concept), labels, boxes))
    possible = possible.reshape(free.shape)
    return [free & (possible >= POSSIBLE), free & (possible == 0)]


def setting_table(source: Source, settings: Sequence[Setting], tried: Appeared, least: float) -> pd.DataFrame:
    """Return one row a setting, and which is picked: where the object appears most, less where it should not."""
    rows = []
    for i, setting in enumerate(settings):
        row: dict[str, Any] = {
            "by": setting.by,
            "units": len(setting.units),
            "constant": setting.constant,
            "multiple": setting.multiple,
            "control": "without" if sets_all(source, setting) else "random",
        }
        for kind, name in enumerate(("likely", "unlikely")):
            row[name], _, row[f"{name}_places"] = _share(_of_kind(tried.gain[:, i], kind), least)
        row["gain"] = float(_of_kind(tried.gain[:, i], LIKELY).nanmean())
        rows.append(row)
    table = pd.DataFrame(rows)
    score = (
        table.likely.fillna(0) - table.unlikely.fillna(0) + 1e-3 * table.gain.fillna(0)
    )  # of equals, what shows most
    return table.assign(picked=table.index == score.idxmax())


def measured_table(tried: Appeared, least: float) -> pd.DataFrame:
    """Return what the picked setting does, its control, and the paper's setting."""
    rows = []
    for i, name in ((0, "picked"), (2, "control"), (1, "paper")):
        row: dict[str, Any] = {"setting": name}
        for kind, where in enumerate(("likely", "unlikely")):
            row[where], row[f"{where}_error"], row[f"{where}_places"] = _share(_of_kind(tried.gain[:, i], kind), least)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_kind(gain: Float[Tensor, "images places"], kind: int) -> Float[Tensor, "images own"]:
    return gain[:, [i for i, own in enumerate(DRAWN) if own == kind]]


def _share(gain: Float[Tensor, "images places"], least: float) -> tuple[float, float, int]:
    """Return the share of places where the object appears, its error over images, and how many places there were."""
    known = ~gain.isnan()
    shown, picture = (gain[known] >= least).numpy(), known.nonzero()[:, 0].numpy()
    share, error = clustered_mean(shown.astype(np.float64), picture)
    return share, float(np.fmax(error, proportion(shown)[1])) if len(shown) else math.nan, len(shown)
