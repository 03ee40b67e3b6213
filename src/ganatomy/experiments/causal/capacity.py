"""What could a layer do at best? Every setting tried at one place an image, before one is believed in (4.4; SPEC 6).

An insertion that shows nothing may have the wrong units, or a layer, a place's size or a multiple of k with which no
units show anything. So all units are set as well, and random ones; and as k is one vector, and a thing may take several
of them side by side, real features of images that show it are put in, too. The best setting is picked on half of the
images and measured on the other half.
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

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress
from ganatomy.core.tensor_types import Labels, PerUnit
from ganatomy.core.vocabulary import find_concept
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import UnitQuery, alpha_of, random_alpha, select_units
from ganatomy.experiments.causal.dissected_model import DissectedModel, at_least, checked_set
from ganatomy.experiments.causal.insertion import RowEdit, draw_edited
from ganatomy.experiments.causal.places import (
    Rows,
    cell_counts,
    corners,
    draw_place,
    host_concepts,
    majority,
    masks,
    read_at,
    relative_frequency,
)
from ganatomy.experiments.causal.pool import Pool, PoolSpec, layer_pool
from ganatomy.experiments.causal.transplant import Donors, DonorSpec, find_donors
from ganatomy.experiments.causal.trials import Baseline, GainTable, baselines
from ganatomy.experiments.result import Result, tuples
from ganatomy.experiments.warnings import exceeds
from ganatomy.interventions import check_units
from ganatomy.report.causal.capacity import capacity_section, capacity_tables
from ganatomy.stats.clusters import clustered_mean, proportion
from ganatomy.study import spec_digest

UnitSet = tuple[str, str, tuple[int, ...]]
"""A layer, how the units were chosen (``iou``, ``ace`` …), and the units."""
CONTROLS = ("all", "random", "patch", "transplant")
"""Every unit of the layer; as many random ones as the layer's first set has, drawn anew for each image; and in the
patch where another image shows the concept, every unit, and that image's features, without any k."""
DONOR_SETS = ("patch", "transplant")
"""Those in the patch of another image."""


@dataclass(frozen=True, kw_only=True)
class CapacitySpec(DonorSpec):
    """Which settings to try.

    Attributes:
        layer: where the study is at home: a layer of `sets`.
        concept: of which k is the class constant, and whose pixels are counted.
        sets: the units to try; their layers are the ones that are tried.
        cells: a place is cell × cell of the layer's grid.
        multiples: units are set to so many times k.
        on: names of objects; only places that show mostly one of them are drawn. Empty for all.
        min_frequency: only places are drawn that, in the pool, show the concept at least so often, as a share of the
            place that shows it most; 0 for all.
        least: the concept appears where it newly covers at least this share of the place's pixels; an image that
            shows less of it lends nothing.
        pool: how many images k is measured on.
        donors: how many of them, those that show most of the concept at one place, lend their features to others.
        margin: so many places around the donor's are put in too.
    """

    concept: str
    sets: tuple[UnitSet, ...]
    multiples: tuple[float, ...] = (1.0, 2.0, 3.0)
    on: tuple[str, ...] = ()
    min_frequency: float = 0.0
    pool: int = PoolSpec.images

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, images=4, pool=2, donors=1, margin=0)
        for layer, by, units in self.sets:
            checked_set(units)
            if by in CONTROLS:
                raise BadValue(f"a set of {layer} is called {by}, as one that is always tried; give another name")
        for name in ("sets", "cells", "multiples"):
            values = [each[:2] for each in self.sets] if name == "sets" else getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise BadValue(f"{name}={tuple(values)}: give at least one, each once")
        if min(self.cells) < 1 or not all(math.isfinite(each) and each for each in self.multiples):
            raise BadValue(f"cells={self.cells}, multiples={self.multiples}: give cells of at least 1, numbers but 0")
        if self.layer not in self.layers():
            raise BadValue(f"layer={self.layer}: none of the sets is of it")
        if not 0 <= self.min_frequency <= 1:
            raise BadValue(f"min_frequency={self.min_frequency} is no share; give 0 to 1")
        if not 0 < self.least <= 1:
            raise BadValue(f"least={self.least} is no share of a place's pixels; give more than 0, at most 1")

    def layers(self) -> list[str]:
        """Return the layers that are tried."""
        return list(dict.fromkeys(layer for layer, _, _ in self.sets))

    def settings(self) -> list["Setting"]:
        """Return every setting, in the order in which they are tried."""
        return [
            setting
            for layer in self.layers()
            for cell in self.cells
            for setting in (
                *(Setting(layer, cell, times, *own) for times in self.multiples for own in self._sets_of(layer)),
                Setting(layer, cell, math.nan, "transplant", ()),
            )
        ]

    def _sets_of(self, layer: str) -> list[tuple[str, tuple[int, ...]]]:
        own = [(by, units) for name, by, units in self.sets if name == layer]
        return [*own, ("all", ()), ("random", own[0][1]), ("patch", ())]


class Setting(NamedTuple):
    """One way to insert; `units` are those that `by` chose, or those that random ones are compared with.

    A transplant has no multiple (NaN), as it has no k.
    """

    layer: str
    cell: int
    multiple: float
    by: str
    units: tuple[int, ...]

    def alpha(self, count: int, ids: Sequence[int], seed: int) -> Float[Tensor, "n u"]:
        """Return which units are set in each image."""
        if self.by == "random":
            return random_alpha(count, self.units, ids, seed)
        return (alpha_of(self.units, count) if self.units else torch.ones(count)).expand(len(ids), -1)


@dataclass(frozen=True, eq=False, repr=False)
class Capacity(Result):
    """What each setting could do.

    Attributes:
        table: one row a setting, measured on half of the images, and picked on the other half among the sets that were
            asked for. A transplant has neither multiple nor picking.
    """

    FILES: ClassVar = {"table": "capacity"}

    spec: CapacitySpec
    table: pd.DataFrame

    def _warnings(self) -> list[str]:
        picked = self.table[self.table.picked.astype(bool)]
        if any(map(exceeds, picked.appears, picked.appears_error)):
            return []
        return [f"No setting that was tried makes {self.spec.concept} appear: even the best shows nowhere for sure."]

    @property
    def gains(self) -> Float[Tensor, "images settings"]:
        """The gain of every image by every setting, in the order of the table."""
        return self.study.load_step("tried", GainTable).gain


def candidates(
    source: DissectedModel,
    layers: Sequence[str],
    concept: str,
    by: Sequence[str] = ("iou",),
    tops: Sequence[int] = (20, 40),
) -> tuple[UnitSet, ...]:
    """Return the sets to try: of each layer the units that rank highest for a concept, named ``iou-20`` and so on.

    A layer that has fewer units than asked is tried with the sizes that it has.
    """
    for layer in layers:
        if min(tops, default=0) > source.shape(layer).units:
            raise BadValue(f"tops={list(tops)}: {layer} has {source.shape(layer).units} units; give a smaller number")
    return tuple(
        (layer, f"{rank}-{top}", select_units(source, layer, UnitQuery(concept=concept, top=top, by=rank)).units)
        for layer in layers
        for rank in by
        for top in tops
        if top <= source.shape(layer).units
    )


def check_capacity(spec: CapacitySpec, source: DissectedModel) -> tuple[int, list[int]]:
    """Refuse what cannot be tried; return the indices of the concept, and of the objects that it is tried on."""
    for layer, _, units in spec.sets:
        check_units(layer, source.shape(layer).units, units)
        corners(source.grid(layer), max(spec.cells))
    return source.concept(spec.concept), [find_concept(source.dissection.vocabulary, name) for name in spec.on]


def run_capacity(
    spec: CapacitySpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> Capacity:
    """Try every setting; what is there already is not measured again."""
    concept, on = check_capacity(spec, source)
    with source.begin(directory, spec, engine, progress) as (study, source):
        if not study.finished:
            pools = {layer: layer_pool(source, layer, spec.pool, engine, progress) for layer in spec.layers()}
            work = partial(try_shard, source, spec, _tasks(source, spec, pools, concept, on))
            tried = study.sharded("tried", GainTable, work, source.run.shards(spec.ids()))
            study.write_table("capacity", capacity_table(source, spec, tried))
            study.finish()
    return Capacity.open(directory)


class LayerTask(NamedTuple):
    """What is inserted in a layer, and where.

    Attributes:
        concept: its index.
        value: k.
        on: the objects that it is inserted on; none for any.
        frequent: by cell, bool [rows, columns], the places that may be drawn, by top left corner.
        donors: by cell.
    """

    concept: int
    value: PerUnit
    on: Sequence[int]
    frequent: Mapping[int, Tensor]
    donors: Mapping[int, Donors]


def _tasks(
    source: DissectedModel, spec: CapacitySpec, pools: Mapping[str, Pool], concept: int, on: Sequence[int]
) -> dict[str, LayerTask]:
    found = find_donors(source, spec, pools, concept)
    tasks = {}
    for layer, pool in pools.items():
        often = {cell: relative_frequency(pool.occupancy[concept], cell) for cell in spec.cells}
        frequent = {cell: (share >= spec.min_frequency).cpu() for cell, share in often.items()}
        donors = {cell: found[layer, cell] for cell in spec.cells}
        tasks[layer] = LayerTask(concept, pool.constant(concept).cpu(), on, frequent, donors)
    return tasks


def try_shard(source: DissectedModel, spec: CapacitySpec, tasks: Mapping[str, LayerTask], ids: range) -> GainTable:
    """Try every setting on one shard; `tasks` say what to insert in each layer and where."""
    tried = GainTable(len(spec.settings()))
    for given in baselines(source, spec, ids, spec.layers()):
        gains = []
        for layer in spec.layers():
            gains += _try_layer(source, spec, given._replace(features=given.layers[layer]), layer, tasks[layer])
        tried.update(torch.stack(gains, 1))
    return tried


@torch.no_grad()
def _try_layer(
    source: DissectedModel, spec: CapacitySpec, given: Baseline, layer: str, task: LayerTask
) -> list[Float[Tensor, " b"]]:
    """Return the gains by every setting of one layer."""
    shape, grid = source.shape(layer), source.grid(layer)
    gains = []
    for cell in spec.cells:
        free, donors = _free(source, given.labels, grid, cell, task), task.donors[cell]
        drawn, donor = draw_place(free, given.ids, spec.seed), donors.taken(free, given.ids, spec.seed)
        for setting in [each for each in spec.settings() if (each.layer, each.cell) == (layer, cell)]:
            donated = setting.by in DONOR_SETS
            image = ((donor if donated else drawn[:, 0]) >= 0).nonzero()[:, 0]
            gain = torch.full((len(given.ids),), torch.nan)
            if len(image):
                own = donor[image]
                read = masks(grid, donors.place[own] if donated else drawn[image], cell)
                if setting.by == "transplant":
                    r = donors.put(given.features[image], own)
                    images = source.models.generator.render(r, layer, given.z[image])
                else:
                    alpha = setting.alpha(shape.units, given.ids, spec.seed)[image]
                    where = donors.patches(own, grid) if donated else read
                    edit = RowEdit(layer, alpha, task.value * setting.multiple, where)
                    images = draw_edited(source, given, Rows(image, where), [edit])
                shown = read_at(source.models.segmenter(images), task.concept, read)
                gain[image] = (shown.at / shown.area).float().cpu()  # none was there before
            gains.append(gain)
    return gains


def _free(source: DissectedModel, labels: Labels, grid: tuple[int, int], cell: int, task: LayerTask) -> Tensor:
    """Return the places that may be drawn, bool [b, rows, columns], by top left corner."""
    free = cell_counts(labels, [task.concept], grid, cell)[:, 1] == 0
    if task.on:
        under = majority(labels, host_concepts(source), grid, cell)
        free &= torch.isin(under, torch.tensor(task.on, device=free.device))
    return free.cpu() & task.frequent[cell]


def capacity_table(source: DissectedModel, spec: CapacitySpec, tried: GainTable) -> pd.DataFrame:
    """Read what was tried: measured on the images with odd numbers, picked on those with even ones."""
    even, odd = (tried.gain[half::2].double().numpy() for half in (0, 1))
    settings = spec.settings()
    rows = []
    for i, setting in enumerate(settings):
        gain = odd[~np.isnan(odd[:, i]), i]
        controls = [j for j, each in enumerate(settings) if each[:3] == setting[:3] and each.by == "random"]
        picking = clustered_mean(*_numbered(even[:, i] - even[:, controls[0]]))[0] if controls else math.nan
        rows.append(
            {
                **setting._asdict(),
                "units": len(setting.units) or source.shape(setting.layer).units,
                "places": len(gain),
                **dict(zip(("gain", "gain_error"), clustered_mean(*_numbered(gain)), strict=True)),
                **dict(zip(("appears", "appears_error"), proportion(gain >= spec.least), strict=True)),
                "picking": picking,
            }
        )
    table = pd.DataFrame(rows)
    chosen = table.picking.where(~table.by.isin(CONTROLS))
    best = chosen.idxmax() if chosen.notna().any() else -1
    return table.assign(picked=table.index == best)


def _numbered(values: Any) -> tuple[Any, Any]:
    """Return the values that are there, each with a number of its own: one place an image."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    return values, np.arange(len(values))


@dataclass(frozen=True)
class _Rankings:
    """What is tried.

    Attributes:
        layers: which to try.
        by: rankings of the units: ``iou``, ``random``, and ``ace`` once it has been run.
        tops: so many of the units of each ranking.
    """

    layers: Sequence[str]
    by: Sequence[str] = ("iou",)
    tops: Sequence[int] = (20, 40)


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Capacity]:
    layers, concept = options.pop("layers"), options.pop("concept")
    own = {name: tuples(value) for name, value in options.items()}
    ranking = {name: own.pop(name) for name in ("by", "tops") if name in own}
    if isinstance(ranking.get("by"), str):
        ranking["by"] = (ranking["by"],)
    if not layers or isinstance(layers, str) or len(set(layers)) < len(layers):
        raise BadValue(f"layers={layers!r}: give a list of at least one, each once")
    sets = candidates(source, layers, concept, **ranking)
    spec = CapacitySpec(**source.names(), layer=layers[0], concept=concept, sets=sets, **own)
    check_capacity(spec, source)
    directory = source.sibling_path(spec.layer, f"capacity-{concept}-{spec_digest(spec)[:8]}")
    work = f"insert {concept} in every way"
    return Plan(spec, directory, partial(run_capacity, spec, source), work, len(spec.settings()))


CAPACITY = Experiment(
    name="capacity",
    verb="capacity",
    summary="insert a concept in every way there is, at one place of each image",
    spec=CapacitySpec,
    groups=(_Rankings,),
    filled=frozenset({"layer", "sets"}),
    plan=_plan,
    result=Capacity,
    tables=capacity_tables,
    section=capacity_section,
    example='ganatomy.capacity("study", ["layer4"], "door", on=["building"]).table',
)
