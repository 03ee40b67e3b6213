"""Which setting inserts a concept best? Chosen on half of the images, measured on the other half.

The setting of the paper, 20 units of one layer at k, shows most objects nowhere. So for a set of layers every one of
some settings is tried at places of each image where the object may be and where it may not. The best is the one by
which the object appears most often at the first kind, less how often at the second. What it does is then measured on
other images, beside a control and beside the paper's setting.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import BadValue, StudyError
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import UnitQuery, ace_path, select_units, take_layers
from ganatomy.experiments.causal.insertion import (
    InsertionSpec,
    LayerUnits,
    Part,
    check_insertion,
    constant_edits,
    control_edits,
    draw_edited,
    measured_parts,
    sets_all,
)
from ganatomy.experiments.causal.place_truth import (
    LEAST,
    scene_boxes,
    scene_labels,
    truth_category,
    truth_facts,
    typical_area,
)
from ganatomy.experiments.causal.places import (
    Rows,
    cell_counts,
    corners,
    draw_place,
    masks,
    read_at,
    relative_frequency,
)
from ganatomy.experiments.causal.pool import PoolSpec, layer_pool
from ganatomy.experiments.causal.source import SampleSpec, Source, at_least
from ganatomy.experiments.causal.trials import Baseline, GainTable, baselines
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.models.generators.protocol import Edit
from ganatomy.report.causal.setting import setting_section, setting_tables
from ganatomy.scenes.places import POSSIBLE, open_bank, place_probabilities
from ganatomy.stats.clusters import clustered_mean, proportion
from ganatomy.study import is_study

TOPS = (20, 40)
"""So many units of each ranking and layer are tried, and all of them."""
VALUES = (("k", 1.0), ("k", 2.0), ("place", 1.0))
"""Constants, and multiples of them, that are tried."""
SIDE = 3 / 16
"""A place is about so large, as a share of the image's side."""
FREQUENT = 0.25
"""Where no renderer says where an object may be: places that show it so often, as a share of the most frequent one."""
SALT = 0x5E77
LIKELY, UNLIKELY = range(2)
DRAWN = (LIKELY, LIKELY, LIKELY, UNLIKELY)
"""The places of each image that are tried, by kind: where an object may be there is often little room for it."""


@dataclass(frozen=True, kw_only=True)
class SettingSpec(SampleSpec):
    """Which settings are tried, and on how many images.

    Attributes:
        layer: the first of the layers.
        concept: what is inserted.
        sets: by name, units of every layer: ``iou-20``, ``ace-40``, ``all``.
        values: constants and multiples; each is tried with each set.
        cell: a place is cell × cell of the last layer's grid.
        pool: on how many images constants are measured.
        grammar: category of scenes whose renderer says where the object may be; None for the generator's own.
        images: half of them choose, the others are measured on.
    """

    concept: str
    sets: tuple[tuple[str, tuple[LayerUnits, ...]], ...]
    values: tuple[tuple[str, float], ...] = VALUES
    cell: int = 1
    pool: int = PoolSpec.images
    grammar: str | None = None
    images: int = 120
    first: int = 3_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, images=4, cell=1, pool=2)
        if not self.sets or not self.values:
            raise BadValue("there is no setting to try; give sets of units, and constants")

    def layers(self) -> list[str]:
        """Return every layer that is edited, the first one first."""
        return [layer for layer, _ in self.sets[0][1]]

    def settings(self) -> list["Setting"]:
        """Return every setting that is tried."""
        return [self.setting(*own, *value) for own, value in itertools.product(self.sets, self.values)]

    def setting(self, by: str, units: Sequence[LayerUnits], constant: str, multiple: float) -> "Setting":
        """Return one setting."""
        names = {name: getattr(self, name) for name in ("dissection", "generator", "segmenter", "pool")}
        (layer, first), *more = units
        return Setting(**names, layer=layer, units=first, more=tuple(more), constant=constant, multiple=multiple, by=by)

    def halves(self) -> tuple[range, range]:
        """Return the ids of the images that choose, and of those that are measured on."""
        ids, middle = self.ids(), self.images // 2
        return ids[:middle], ids[middle:]


@dataclass(frozen=True, kw_only=True)
class Setting(InsertionSpec):
    """One way to insert.

    Attributes:
        by: name of the set of units.
    """

    by: str
    units: tuple[int, ...]
    multiple: float
    constant: str
    more: tuple[LayerUnits, ...]
    pool: int

    @property
    def name(self) -> str:
        """What it is, for people and directories: ``all units at k(place)``."""
        units = "all units" if self.by == "all" else f"top {self.by.rpartition('-')[2]} by {self.by.partition('-')[0]}"
        value = "k(place)" if self.constant == "place" else "k"
        return f"{units}, {'' if self.multiple == 1 else f'{self.multiple:g} × '}{value}"

    def fields(self) -> dict[str, Any]:
        """Return the fields of a Spec that say what is inserted."""
        return {name: getattr(self, name) for name in ("layer", "units", "more", "constant", "multiple")}


def setting_spec(source: Source, layers: Sequence[str], concept: str, **options: Any) -> SettingSpec:
    """Return the Spec of the settings that are tried for a concept at some layers.

    The units of each layer are ranked by IoU, and by ACE too where that was run for all of them.
    """
    source.concept(concept)
    names = source.in_order(layers)
    shapes = {name: source.shape(name) for name in layers}
    ranked = all(
        any(is_study(ace_path(source, name, concept, each)) for each in ("fast", "published")) for name in names
    )
    most = min(shape.units for shape in shapes.values())
    sets: list[tuple[str, tuple[LayerUnits, ...]]] = []
    for by in ("iou", "ace") if ranked else ("iou",):
        for top in sorted({min(top, most) for top in TOPS} - {most}):
            query = UnitQuery(concept=concept, top=top, by=by)
            sets.append((f"{by}-{top}", tuple((name, select_units(source, name, query).units) for name in names)))
    sets.append(("all", tuple((name, tuple(range(shapes[name].units))) for name in names)))
    cell = max(1, round(SIDE * min(source.grid(names[-1]))))
    return SettingSpec(
        **{**source.names(), "layer": names[0], "concept": concept, "sets": tuple(sets), "cell": cell, **options}
    )


def paper_setting(source: Source, spec: SettingSpec) -> Setting:
    """Return the paper's setting: the 20 best units of the first layer at k; all of a smaller layer's."""
    top = min(TOPS[0], source.shape(spec.layer).units)
    units = select_units(source, spec.layer, UnitQuery(concept=spec.concept, top=top)).units
    return spec.setting(f"iou-{top}", [(spec.layer, units)], "k", 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class BestSetting(Result):
    """The setting that inserts a concept best into some layers.

    Attributes:
        facts: ``truth`` says by what places are likely.
        table: one row a setting: by, units (how many in each layer), constant, multiple, likely, likely_places,
            unlikely, unlikely_places (shares of places where the object appears, on the half that chooses), picked.
        measured: on the other half: ``picked``, its ``control``, and ``paper`` (20 units of the first layer at k), each
            with likely, likely_error, likely_places, unlikely, unlikely_error, unlikely_places.
    """

    FILES: ClassVar = {"table": "settings"}

    spec: SettingSpec
    table: pd.DataFrame
    measured: pd.DataFrame

    @property
    def best(self) -> Setting:
        """The setting that was picked."""
        return self.spec.settings()[int(self.table["picked"].to_numpy().argmax())]

    @property
    def gains(self) -> Float[Tensor, "images settings places"]:
        """What was gained by every setting, in the order of the table, on the half that chooses."""
        return self.study.load_step("choosing", GainTable).gain

    def description(self) -> str:
        """Say what the setting does, for people."""
        row, control = self.measured.iloc[0], self.measured.iloc[1]
        where = ("allowed", "forbidden") if self.facts.get("truth") else ("usual", "never seen")
        return (
            f"{self.best.name} of {', '.join(self.best.layers())}: {self.spec.concept} appears "
            f"at {_percent(row.likely)} of places where it is {where[0]} and {_percent(row.unlikely)} where "
            f"{where[1]}; control {_percent(control.likely)} and {_percent(control.unlikely)}"
        )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def setting_path(source: Source, layers: Sequence[str], concept: str) -> Path:
    """Return the default directory of the best setting of a concept at some layers."""
    return source.sibling_path("+".join(source.in_order(layers)), f"setting-{concept}")


def known_setting(source: Source, layers: Sequence[str], concept: str) -> BestSetting | None:
    """Return the best setting of a concept at some layers if it has been measured."""
    directory = setting_path(source, layers, concept)
    if not is_study(directory):
        return None
    try:
        found = BestSetting.open(directory)
    except StudyError:  # it is not finished
        return None
    return found if found.spec.dissection == source.dissection.study.digest else None


def run_setting(
    spec: SettingSpec, source: Source, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> BestSetting:
    """Try every setting and measure the best; what is there already is not measured again."""
    concept, settings = source.concept(spec.concept), spec.settings()
    for each in settings:
        check_insertion(source, each)
    category = truth_category(source, spec.concept, spec.grammar)
    facts = truth_facts(category, source.named(concept))
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        if not study.finished:
            places = _places(source, spec, category, engine, progress)
            parts = [measured_parts(source, each, spec.concept, engine, progress) for each in settings]
            choosing, measuring = map(source.run.shards, spec.halves())
            tried = study.sharded("choosing", GainTable, partial(try_shard, source, spec, places, parts, ()), choosing)
            table = setting_table(source, settings, tried, places.least)
            best = int(table["picked"].to_numpy().argmax())
            own = [parts[best], measured_parts(source, paper_setting(source, spec), spec.concept, engine, progress)]
            work = partial(try_shard, source, spec, places, own, (0,))
            measured = study.sharded("measuring", GainTable, work, measuring)
            study.write_table("settings", table)
            study.write_table("measured", measured_table(measured, places.least))
            study.finish()
    return BestSetting.open(directory)


class Places(NamedTuple):
    """Where a concept is inserted.

    Attributes:
        concept: its index.
        grid: of the last layer, whose places they are.
        category: of the scenes whose renderer says where it may be; None where none does.
        likely, unlikely: bool [rows, columns], places that usually show it and that never do, by top left corner.
        least: it appears where it newly covers so large a share of the place.
    """

    concept: int
    grid: tuple[int, int]
    category: str | None
    likely: Tensor
    unlikely: Tensor
    least: float


def _places(
    source: Source, spec: SettingSpec, category: str | None, engine: Engine, progress: Progress | None
) -> Places:
    layer, concept = spec.layers()[-1], source.concept(spec.concept)
    grid, least = source.grid(layer), LEAST
    corners(grid, spec.cell)
    pool = layer_pool(source, layer, spec.pool, engine, progress)
    often = relative_frequency(pool, concept, spec.cell).cpu()
    if category is not None:
        area = typical_area(open_bank(category, cache_directory(), progress=progress), source.named(concept))
        least = min(least, 0.5 * area * grid[0] * grid[1] / spec.cell**2)
    return Places(concept, grid, category, often >= FREQUENT, often == 0, least - 1e-6)


def try_shard(
    source: Source,
    spec: SettingSpec,
    places: Places,
    trials: Sequence[Sequence[Part]],
    controlled: Sequence[int],
    ids: range,
) -> GainTable:
    """Insert at the places of each image in every way; after the trials come the controls of those in `controlled`."""
    count = len(trials) + len(controlled)
    found = GainTable(count, len(DRAWN))
    for given in baselines(source, spec, ids):
        gain = torch.full((len(given.ids), count, len(DRAWN)), torch.nan)
        kinds = _kinds(source, spec, places, given)
        for turn, kind in enumerate(DRAWN):
            at = draw_place(kinds[kind], given.ids, spec.seed + SALT + turn)
            image = (at[:, 0] >= 0).nonzero()[:, 0]
            kinds[kind][image, at[image, 0], at[image, 1]] = False  # each place once
            if not len(image):
                continue
            rows = Rows(image, masks(places.grid, at[image], spec.cell))
            edits: list[Sequence[Edit]] = [constant_edits(parts, rows.where) for parts in trials]
            edits += [control_edits(trials[i], rows.where, image, given.ids, spec.seed) for i in controlled]
            for i, own in enumerate(edits):
                images = draw_edited(source, given, rows, own)
                shown = read_at(source.models.segmenter(images), places.concept, rows.where)
                gain[image, i, turn] = (shown.at / shown.area).float().cpu()  # none was there before
        found.update(gain)
    return found


def _kinds(source: Source, spec: SettingSpec, places: Places, given: Baseline) -> list[Tensor]:
    """Return the free places where the concept is likely, and those where it is not, bool [b, rows, columns] each."""
    free = (cell_counts(given.labels, [places.concept], places.grid, spec.cell)[:, 1] == 0).cpu()
    if places.category is None:
        return [free & places.likely, free & places.unlikely]
    bank = open_bank(places.category, cache_directory())
    boxes = scene_boxes(corners(places.grid, spec.cell), spec.cell, places.grid)
    labels = scene_labels(source.dissection.vocabulary, given.labels)
    possible = torch.from_numpy(place_probabilities(bank, source.named(places.concept), labels, boxes))
    possible = possible.reshape(free.shape)
    return [free & (possible >= POSSIBLE), free & (possible == 0)]


def setting_table(source: Source, settings: Sequence[Setting], tried: GainTable, least: float) -> pd.DataFrame:
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


def measured_table(tried: GainTable, least: float) -> pd.DataFrame:
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
    shown, image = (gain[known] >= least).numpy(), known.nonzero()[:, 0].numpy()
    share, error = clustered_mean(shown.astype(np.float64), image)
    return share, float(np.fmax(error, proportion(shown)[1])) if len(shown) else math.nan, len(shown)


def plan_setting(source: Source, layers: Sequence[str], concept: str, **options: Any) -> Plan[BestSetting]:
    """Return the plan of finding the best setting of a concept at some layers."""
    spec = setting_spec(source, layers, concept, **options)
    settings = len(spec.settings())
    work = f"find the best of {settings} settings for {concept}"
    return Plan(spec, setting_path(source, layers, concept), partial(run_setting, spec, source), work, settings)


def find_setting(source: Source, runner: Runner, layers: Sequence[str], concept: str) -> BestSetting:
    """Measure the best setting of a concept at some layers, or read it where it was measured before."""
    own = replace(source, run=BEST_SETTING.run)
    return known_setting(source, layers, concept) or runner(plan_setting(own, layers, concept))


def _plan(source: Source, options: dict[str, Any], _: Runner) -> Plan[BestSetting]:
    return plan_setting(source, take_layers(source, options, default=True), **options)


@dataclass(frozen=True)
class _SettingLayers:
    """Where the units are.

    Attributes:
        layers: all set at once; the last that can be aimed at, if none are given.
    """

    layers: Sequence[str] | None = None


BEST_SETTING = Experiment(
    name="best_setting",
    summary="find the setting that inserts a concept best",
    verb="setting",
    spec=SettingSpec,
    groups=(_SettingLayers,),
    filled=frozenset({"layer", "sets"}),
    planned=frozenset({"cell"}),
    plan=_plan,
    result=BestSetting,
    tables=setting_tables,
    section=setting_section,
    run=RunOptions(shard=16),
    several="concept",
    example='ganatomy.best_setting("study", ["layer5", "layer6"], "door").measured',
)
