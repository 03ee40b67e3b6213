"""Which setting inserts a concept best? Chosen on half of the images, measured on the other half.

The setting of the paper, 20 units of one layer at k, shows most objects nowhere. So for a set of layers every one of
some settings is tried at places of each image where the object may be and where it may not. The best is the one by
which the object appears most often at the first kind, less how often at the second. What it does is then measured on
other images, with a control and the paper's setting.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import StudyError
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import UnitQuery, ace_path, select_units, take_layers
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import (
    LayerUnits,
    check_insertion,
    measured_parts,
)
from ganatomy.experiments.causal.place_truth import (
    truth_category,
    truth_facts,
)
from ganatomy.experiments.causal.setting_spec import Setting, SettingSpec
from ganatomy.experiments.causal.setting_trials import find_places, measured_table, setting_table, try_shard
from ganatomy.experiments.causal.trials import GainTable
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.report.causal.setting import setting_section, setting_tables
from ganatomy.study import is_study

TOPS = (20, 40)
"""Numbers of units that are tried for each ranking and layer, in addition to all of them."""
SIDE = 3 / 16
"""Side of a place, as a share of the image's side."""


def setting_spec(source: DissectedModel, layers: Sequence[str], concept: str, **options: Any) -> SettingSpec:
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


def paper_setting(source: DissectedModel, spec: SettingSpec) -> Setting:
    """Return the paper's setting: the 20 best units of the first layer at k; all of a smaller layer's."""
    top = min(TOPS[0], source.shape(spec.layer).units)
    units = select_units(source, spec.layer, UnitQuery(concept=spec.concept, top=top)).units
    return spec.setting(f"iou-{top}", [(spec.layer, units)], "k", 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class BestSetting(Result):
    """The setting that inserts a concept best into some layers.

    Attributes:
        facts: ``truth`` says by what places are likely.
        table: one row a setting, on the half of the images that chooses.
        measured: three rows, on the other half: the picked one, its control, and that of the paper (20 units of the
            first layer at k).
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


def setting_path(source: DissectedModel, layers: Sequence[str], concept: str) -> Path:
    """Return the default directory of the best setting of a concept at some layers."""
    return source.sibling_path("+".join(source.in_order(layers)), f"setting-{concept}")


def known_setting(source: DissectedModel, layers: Sequence[str], concept: str) -> BestSetting | None:
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
    spec: SettingSpec, source: DissectedModel, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> BestSetting:
    """Try every setting and measure the best; what is there already is not measured again."""
    concept, settings = source.concept(spec.concept), spec.settings()
    for each in settings:
        check_insertion(source, each)
    category = truth_category(source, spec.concept, spec.grammar)
    facts = truth_facts(category, source.named(concept))
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        if not study.finished:
            places = find_places(source, spec, category, engine, progress)
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


def plan_setting(source: DissectedModel, layers: Sequence[str], concept: str, **options: Any) -> Plan[BestSetting]:
    """Return the plan of finding the best setting of a concept at some layers."""
    spec = setting_spec(source, layers, concept, **options)
    settings = len(spec.settings())
    work = f"find the best of {settings} settings for {concept}"
    return Plan(spec, setting_path(source, layers, concept), partial(run_setting, spec, source), work, settings)


def find_setting(source: DissectedModel, runner: Runner, layers: Sequence[str], concept: str) -> BestSetting:
    """Measure the best setting of a concept at some layers, or read it where it was measured before."""
    own = replace(source, run=BEST_SETTING.run)
    return known_setting(source, layers, concept) or runner(plan_setting(own, layers, concept))


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[BestSetting]:
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
