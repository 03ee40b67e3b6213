"""Which setting inserts a concept best? Chosen on half of the images, measured on the other half.

The setting of the paper, 20 units of one layer at k, shows most objects nowhere. So for a set of layers every one of
some settings is tried at places of each image where the object may be and where it may not. The best is the one by
which the object appears most often at the first kind, less twice how often at the second. What it does is measured on
other images, with a control and the paper's setting.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadFile, StudyError
from ganatomy.core.layer_steps import is_window, spanned
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import (
    UnitQuery,
    Window,
    ace_path,
    default_layers,
    select_in_layers,
    select_in_window,
    take_layers,
    take_window,
)
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import (
    LayerUnits,
    check_insertion,
    constant_parts,
)
from ganatomy.experiments.causal.place_truth import (
    truth_category,
    truth_facts,
)
from ganatomy.experiments.causal.pool import place_means
from ganatomy.experiments.causal.setting_places import KINDS, ImagesOf, find_images, find_places
from ganatomy.experiments.causal.setting_spec import Rounds, Setting, SettingSpec
from ganatomy.experiments.causal.setting_trials import (
    DRAWN,
    SettingImages,
    Trial,
    draw_examples,
    measured_table,
    scores,
    setting_table,
    try_shard,
)
from ganatomy.experiments.causal.trials import GainTable
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.report.causal.setting import setting_section, setting_tables
from ganatomy.study import Study, is_study

PAPER = 20
"""Units of the paper's setting."""
TOPS = (40,)
"""Numbers of units that are tried for each ranking and layer, in addition to all of them."""
SIDES = (1 / 8, 3 / 16, 1 / 4)
"""Sides of places that are tried, as shares of the image's side."""
COARSEST = 4
"""A coarser layer is set too if its grid has at least so many rows."""
SHOWN = "shown"
"""The step that keeps images to look at."""
FINALISTS = 8
"""Settings that are tried on more images."""


def setting_spec(source: DissectedModel, layers: Sequence[str], concept: str, **options: Any) -> SettingSpec:
    """Return the Spec of the settings that are tried for a concept at some layers.

    The units of each layer are ranked by IoU, and by ACE too where that was run for all of them. All units are tried in
    these layers, in the last of them, and, where they are the default ones, in the next coarser or finer one, too. Of a
    block over steps the same units are taken at each step; all units are tried at all steps and at the later half.
    """
    source.concept(concept)
    names = source.in_order(layers)
    shapes = {name: source.shape(name) for name in names}
    window = is_window(names)
    ranked = all(
        any(is_study(ace_path(source, own, concept, each)) for each in ("fast", "published"))
        for own in ([names] if window else [[name] for name in names])
    )
    most = min(shape.units for shape in shapes.values())
    sets: list[tuple[str, tuple[LayerUnits, ...]]] = []
    for by in ("iou", "ace") if ranked else ("iou",):
        for top in sorted({min(top, most) for top in TOPS} - {most}):
            sets.append((f"{by}-{top}", _ranked(source, names, UnitQuery(concept=concept, top=top, by=by))))
    for several in (names, names[len(names) // 2 :] if window else names[-1:], *wider_layers(source, names)):
        whole = ("all", tuple((name, tuple(range(source.shape(name).units))) for name in several))
        sets += [whole] if whole not in sets else []
    side = min(source.grid(names[-1]))
    cells = tuple(sorted({max(1, round(share * side)) for share in SIDES}))
    return SettingSpec(
        **{
            **source.names(),
            "layer": names[0],
            "concept": concept,
            "sets": tuple(sets),
            "cells": cells,
            **options,
        }
    )


def wider_layers(source: DissectedModel, layers: Sequence[str]) -> list[list[str]]:
    """Return the default layers with the last layer of the next coarser grid, and with the first of the next finer.

    Of other layers nothing: they are what a person asks for; nor of a block over steps.
    """
    if is_window(layers) or list(layers) != default_layers(source):
        return []
    names, grids = list(source.dissection.layers), {name: source.grid(name)[0] for name in source.dissection.layers}
    before, after = names[: names.index(layers[0])], names[names.index(layers[-1]) + 1 :]
    coarser = [name for name in before if COARSEST <= grids[name] < grids[layers[0]]][-1:]
    finer = [name for name in after if grids[name] > grids[layers[-1]]][:1]
    return [[*coarser, *layers], [*layers, *finer]]


def _ranked(source: DissectedModel, layers: Sequence[str], query: UnitQuery) -> tuple[LayerUnits, ...]:
    """Return the best units of each layer; of a block over steps the same at each."""
    one = is_window(layers) or len(layers) == 1
    _, fields = (select_in_window if one else select_in_layers)(source, layers, query)
    return ((fields["layer"], fields["units"]), *fields["more"])


def paper_setting(source: DissectedModel, spec: SettingSpec, cell: int) -> Setting:
    """Return the paper's setting: the 20 best units of the first layer at k; all of a smaller layer's.

    Of a block over steps, they are set at each of them.
    """
    layers = [layer for layer, _ in spec.sets[0][1]]
    layers = layers if is_window(layers) else layers[:1]
    top = min(PAPER, source.shape(layers[0]).units)
    units = _ranked(source, layers, UnitQuery(concept=spec.concept, top=top))
    return spec.setting(f"iou-{top}", units, ("k", 1.0, 1.0), cell)


@dataclass(frozen=True, eq=False, repr=False)
class BestSetting(Result):
    """The setting that inserts a concept best into some layers.

    Attributes:
        facts: ``truth`` says by what places are likely.
        table: one row a setting, on the images that choose: all settings on an eighth of the images, the best of them
            (`finalist`) on half.
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
    def shown(self) -> SettingImages | None:
        """Images with the picked setting; None of a study from before there were any."""
        return self.study.load_step(SHOWN, SettingImages) if self.study.has_step(SHOWN) else None

    @property
    def gains(self) -> Float[Tensor, "images settings places"]:
        """What was gained by every setting, in the order of the table, on the images on which all were tried."""
        return self.study.load_step("choosing", GainTable).gain

    def description(self) -> str:
        """Say what the setting does, for people."""
        row, control = self.measured.iloc[0], self.measured.iloc[1]
        where = ("allowed", "forbidden") if self.facts.get("truth") else ("usual", "never seen")
        return (
            f"{self.best.name} of {', '.join(spanned(self.best.layers()))}: {self.spec.concept} appears "
            f"at {_percent(row.likely)} of places where it is {where[0]} and {_percent(row.unlikely)} where "
            f"{where[1]}; control {_percent(control.likely)} and {_percent(control.unlikely)}"
        )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def cell_of(source: DissectedModel, setting: Setting) -> int:
    """Return the side of the places that a setting is meant for, in the grid of the last layer that it edits."""
    return max(1, round(setting.cell * source.grid(setting.layers()[-1])[0] / source.grid(setting.places)[0]))


def setting_path(source: DissectedModel, layers: Sequence[str], concept: str) -> Path:
    """Return the default directory of the best setting of a concept at some layers."""
    return source.sibling_path("+".join(spanned(source.in_order(layers))), f"setting-{concept}")


def known_setting(source: DissectedModel, layers: Sequence[str], concept: str) -> BestSetting | None:
    """Return the best setting of a concept at some layers if it has been measured."""
    directory = setting_path(source, layers, concept)
    if not is_study(directory):
        return None
    try:
        found = BestSetting.open(directory)
    except (StudyError, BadFile):  # it is not finished, or of an earlier version
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
            layers = source.in_order(spec.layers())
            means = place_means(source, layers, spec.concept, spec.pool, engine, progress)
            k = {layer: own.mean() for layer, own in means.items()}
            places = find_places(source, spec, category, means[spec.places].mass, progress)
            trials = [
                Trial(constant_parts(source, each, k, means), places[each.cell], each.strength) for each in settings
            ]
            images = find_images(source, spec, study, places)
            table = _choose(source, study, spec, trials, images)
            picked = trials[int(table["picked"].to_numpy().argmax())]
            paper = paper_setting(source, spec, picked.places.cell)
            parts = constant_parts(source, paper, k, means)
            own = [picked, picked._replace(control=True), Trial(parts, picked.places)]
            held_out = {key: each.last for key, each in images.items()}
            measured = _try(source, study, "measuring", spec, own, held_out)
            if any(held_out[picked.places.cell, kind] for kind in KINDS):
                study.step(SHOWN, SettingImages, lambda: draw_examples(source, spec, picked, held_out))
            study.write_table("settings", table)
            study.write_table("measured", measured_table(measured, picked.places.least))
            study.finish()
    return BestSetting.open(directory)


def _choose(
    source: DissectedModel, study: Study, spec: SettingSpec, trials: Sequence[Trial], images: ImagesOf
) -> pd.DataFrame:
    """Try all settings on some images, the best of them on more; return the table, with the one that is picked."""
    places = {trial.places.cell: trial.places for trial in trials}
    few = _try(source, study, "choosing", spec, trials, {key: each.few for key, each in images.items()})
    table = setting_table(source, spec, few, places)
    best = sorted(scores(table).to_numpy().argsort(kind="stable")[::-1][:FINALISTS].tolist())
    own = [trials[i] for i in best]
    more = _try(source, study, "finalists", spec, own, {key: each.more for key, each in images.items()})
    whole = GainTable(len(trials), len(DRAWN))
    whole.update(torch.cat([few.gain, torch.full((len(more.gain), *few.gain.shape[1:]), torch.nan)]))
    whole.gain[len(few.gain) :, best] = more.gain
    table = setting_table(source, spec, whole, places).assign(finalist=table.index.isin(best))
    return table.assign(picked=table.index == scores(table[table.finalist]).idxmax())


def _try(
    source: DissectedModel,
    study: Study,
    step: str,
    spec: SettingSpec,
    trials: Sequence[Trial],
    images: Mapping[tuple[int, int], Sequence[int]],
) -> GainTable:
    """Insert in every way, at places of the images that are meant for their size and kind."""
    cells = {trial.places.cell for trial in trials}
    most = max(1, *(len(ids) for (cell, _), ids in images.items() if cell in cells))
    work = partial(try_shard, source, spec, trials, images)
    return study.sharded(step, GainTable, work, source.run.shards(range(most)))


def plan_setting(source: DissectedModel, layers: Sequence[str], concept: str, **options: Any) -> Plan[BestSetting]:
    """Return the plan of finding the best setting of a concept at some layers."""
    spec = setting_spec(source, layers, concept, **options)
    settings = len(spec.settings())
    few, more, last = map(len, Rounds.of(spec.ids()))
    trials = spec.searched + len(DRAWN) * (few * settings + more * min(FINALISTS, settings) + 3 * last)
    work = f"find the best of {settings} settings for {concept}"
    directory = setting_path(source, layers, concept)
    return Plan(spec, directory, partial(run_setting, spec, source), work, math.ceil(trials / spec.images))


def find_setting(source: DissectedModel, runner: Runner, layers: Sequence[str], concept: str) -> BestSetting:
    """Measure the best setting of a concept at some layers, or read it where it was measured before."""
    own = replace(source, run=BEST_SETTING.run)
    return known_setting(source, layers, concept) or runner(plan_setting(own, layers, concept))


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[BestSetting]:
    layers = take_window(source, options) or take_layers(source, options, default=True)
    return plan_setting(source, layers, **options)


@dataclass(frozen=True)
class _SettingLayers:
    """Where the units are.

    Attributes:
        layers: all set at once; the last that can be aimed at, if none are given. With at_steps the block.
    """

    layers: Sequence[str] | None = None


BEST_SETTING = Experiment(
    name="best_setting",
    summary="find the setting that inserts a concept best",
    verb="setting",
    spec=SettingSpec,
    groups=(_SettingLayers, Window),
    filled=frozenset({"layer", "sets"}),
    planned=frozenset({"cells"}),
    plan=_plan,
    result=BestSetting,
    tables=setting_tables,
    section=setting_section,
    run=RunOptions(shard=16),
    several="concept",
    example='ganatomy.best_setting("study", ["layer5", "layer6"], "door").measured',
)
