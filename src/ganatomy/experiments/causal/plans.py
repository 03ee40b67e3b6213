"""Plans of insertions: which units of which layers, and how long a run takes."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine
from ganatomy.experiments.base import Plan, Runner
from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.best_setting import cell_of, find_setting
from ganatomy.experiments.causal.choice import (
    UnitQuery,
    UnitSelection,
    select_in_layers,
    select_in_window,
    take_layers,
    take_window,
)
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, default_directory
from ganatomy.experiments.causal.insertion import InsertionSpec, PlaceSpec, check_places, placed_layers
from ganatomy.experiments.causal.pool import PoolSpec, places_path, pool_path
from ganatomy.experiments.causal.setting_spec import SettingSpec
from ganatomy.experiments.causal.trials import baselines, render_edited
from ganatomy.interventions import Intervention
from ganatomy.study import is_study

P = TypeVar("P", bound=PlaceSpec)
R = TypeVar("R")
MEASURED_BEST = "measured best"
"""How units are described that the measured best setting inserts."""
BY_HAND = ("units", "top", "by", "ace", "multiple", "constant")
"""Options that say how to insert; where one is given, no setting is measured."""
PLACED = frozenset({"layer", "units", "chosen", "more"})
"""Fields of a `PlaceSpec` that its plan fills."""
BY_SETTING = frozenset({"top", "by", "multiple", "constant", "pool", "cell"})
"""Options of an insertion that the measured best setting decides, where none of them is given."""


def edited_units(
    source: DissectedModel, options: dict[str, Any], runner: Runner | None = None
) -> tuple[UnitSelection, UnitQuery, dict[str, Any]]:
    """Take out of options which units are edited; return them, what was asked, and the fields of a Spec that say it.

    An insertion, which has a runner, takes the measured best setting (SPEC 6) where nothing is said of units and
    constant; at a window of steps none is searched for.
    """
    window = take_window(source, options)
    layers = window or take_layers(source, options, default=runner is not None)
    by_hand = any(options.get(name) is not None for name in BY_HAND)
    query = UnitQuery.take(options)
    if window:
        selection, fields = select_in_window(source, window, query, options.get("constant"))
        return selection, query, fields
    if runner is None or query.concept is None or by_hand:
        selection, fields = select_in_layers(source, layers, query, options.get("constant"))
        return selection, query, fields
    found = find_setting(source, runner, layers, query.concept)
    options.setdefault("pool", found.spec.pool)
    best = found.best
    options.setdefault("cell", cell_of(source, best))
    selection = UnitSelection(best.units, f"{MEASURED_BEST}: {found.description()}", f"{query.concept}-best")
    return selection, query, best.fields()


def place_plan(
    kind: str,
    spec_of: type[P],
    run: Callable[[P, DissectedModel, Path, Engine, Progress | None], R],
    trials: Callable[[P, tuple[int, int]], int],
) -> Callable[[DissectedModel, dict[str, Any], Runner], Plan[R]]:
    """Return what plans inserting at one place at a time."""

    def plan(source: DissectedModel, options: dict[str, Any], runner: Runner) -> Plan[R]:
        selection, query, fields = edited_units(source, options, runner)
        if query.concept is None:
            raise BadValue("insertion sets units to what they are where a concept is; give the concept")
        spec = spec_of(**source.names(), concept=query.concept, chosen=selection.chosen, **{**fields, **options})
        check_places(spec, source)
        directory = default_directory(source, spec, f"{kind}-{selection.name_for(query.concept)}")
        work = f"{kind} of {spec.chosen}"
        return Plan(spec, directory, partial(run, spec, source), work, trials(spec, source.grid(spec.place_layer)))

    return plan


def forecast(source: DissectedModel, plan: Plan[Any]) -> float:
    """Return about how many seconds a run takes, from a few images: with the constants that are not measured yet."""
    if plan.seconds is not None:
        return plan.seconds()
    return effect_seconds(source, plan.spec, plan.trials + pooling_trials(source, plan.spec))


def effect_seconds(source: DissectedModel, spec: SampleSpec, trials: int) -> float:
    """Return how many seconds so many trials will take, from a few images."""
    probe = dataclasses.replace(spec, images=4)
    shape = source.models.generator.layers[spec.layer]  # given edits may be of one that was not dissected
    nothing = [Intervention.ablate(spec.layer, shape, [])]
    for _ in range(2):  # the first is warm-up
        start = perf_counter()
        given = next(baselines(source, probe, probe.ids()))
        drawn = perf_counter()
        source.models.segmenter(render_edited(source, probe, given, nothing))
        done = perf_counter()
    return spec.images * ((drawn - start) + trials * (done - drawn)) / len(given.z)


def pooling_trials(source: DissectedModel, spec: SampleSpec) -> int:
    """Return how many trials of each image it takes to measure the constants that are not there yet.

    One pass measures all layers that need constants of every place; each other layer has a pool.
    """
    images: int | None = getattr(spec, "pool", None)
    concept: str | None = getattr(spec, "concept", None)
    if images is None or concept is None or getattr(spec, "kind", "insert") != "insert":
        return 0
    seed = spec.seed if isinstance(spec, AceSpec) else PoolSpec.seed  # whatever the images, the others share one pool
    placed = placed_layers(source, spec) if isinstance(spec, InsertionSpec) else []
    if isinstance(spec, SettingSpec):
        placed = source.in_order(spec.layers())
    directories = {pool_path(source, layer, images, seed) for layer in spec.layers() if layer not in placed}
    if placed:
        directories.add(places_path(source, placed, concept, images))
    return round(images / spec.images) * len([each for each in directories if not is_study(each)])
