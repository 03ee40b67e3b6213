"""From what a person asks to a Spec, the place where its study lies, and how long it will take."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from ganatomy.edit import Intervention, edits_json, read_edits
from ganatomy.errors import BadValue
from ganatomy.execute import Executor
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.capacity import Capacity, CapacitySpec, candidates, check_capacity, run_capacity
from ganatomy.experiments.causal.choice import Choice, Wanted
from ganatomy.experiments.causal.chosen import Layers, Measure, best_setting_finder, chosen_units, taken_layers
from ganatomy.experiments.causal.constants import places_home
from ganatomy.experiments.causal.effects import Effect, EffectSpec, check_effect, run_edits, run_effect
from ganatomy.experiments.causal.insertion import placed_layers
from ganatomy.experiments.causal.places import PlaceSpec, prepared, tuples
from ganatomy.experiments.causal.pool import PoolSpec, pool_home
from ganatomy.experiments.causal.settings import SettingSpec
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.experiments.causal.trials import batches, redrawn
from ganatomy.progress import Progress
from ganatomy.remote import download, local_path
from ganatomy.report.causal.capacity import capacity_section, capacity_tables
from ganatomy.report.causal.effect import effect_section, effect_tables
from ganatomy.study import RUN, is_study, spec_digest

P = TypeVar("P", bound=PlaceSpec)
R = TypeVar("R")


def plan_effect(
    source: Source, kind: str, layer: str | Sequence[str], options: Mapping[str, Any], measure: Measure | None = None
) -> tuple[EffectSpec, Path]:
    """Return the Spec of an ablation or insertion, and where its study lies unless told otherwise.

    Args:
        source: the dissection.
        kind: ``ablate`` or ``insert``.
        layer: where the units are; or several, in the order of the network.
        options: fields of `Wanted`, fields of `EffectSpec`, and `at` and `cell`, see `region_at`.
        measure: finds the best setting of an insertion of which nothing else is said.

    Raises:
        GanatomyError: what is asked for is not there.
    """
    own, given = dict(options), options.get("cell")
    choice, wanted, fields = chosen_units(source, _listed(layer), own, measure if kind == "insert" else None)
    at, cell = own.pop("at", None), own.pop("cell", None)
    region = region_at(at, cell if given is not None or (at is not None and len(at) == 2) else None)
    spec = EffectSpec(
        **source.names(), kind=kind, chosen=choice.chosen, concept=wanted.concept, **{"region": region, **fields, **own}
    )
    check_effect(spec, source)
    return spec, effect_home(source, spec, choice)


def plan_places(
    source: Source,
    kind: str,
    spec_of: type[P],
    layer: str | Sequence[str],
    options: Mapping[str, Any],
    measure: Measure | None = None,
) -> tuple[P, Path]:
    """Return the Spec of inserting at one place at a time, and where its study lies unless told otherwise.

    Args:
        source: the dissection.
        kind: how its directory is called: ``context``, ``trace``.
        spec_of: the Spec.
        layer: where the units are; or several, in the order of the network.
        options: fields of `Wanted` and of the Spec.
        measure: finds the best setting where nothing else is said of the insertion.

    Raises:
        GanatomyError: what is asked for is not there.
    """
    own = dict(options)
    choice, wanted, fields = chosen_units(source, _listed(layer), own, measure)
    if wanted.concept is None:
        raise BadValue("insertion sets units to what they are where a concept is; give the concept")
    spec = spec_of(**source.names(), concept=wanted.concept, chosen=choice.chosen, **{**fields, **own})
    prepared(spec, source)
    return spec, home(source, spec, f"{kind}-{_named(choice, wanted.concept)}")


def _listed(layer: str | Sequence[str]) -> Sequence[str]:
    return [layer] if isinstance(layer, str) else layer


def plan_capacity(
    source: Source, layers: Sequence[str], concept: str, options: Mapping[str, Any]
) -> tuple[CapacitySpec, Path]:
    """Return the Spec of trying every setting of an insertion, and where its study lies unless told otherwise.

    Args:
        source: the dissection.
        layers: that are tried; the study is at home in the first.
        concept: what is inserted.
        options: `by` (one ranking, or several) and `tops` of `candidates`, and fields of the Spec.

    Raises:
        GanatomyError: what is asked for is not there.
    """
    own = {name: tuples(value) for name, value in options.items()}
    ranking = {name: own.pop(name) for name in ("by", "tops") if name in own}
    if isinstance(ranking.get("by"), str):
        ranking["by"] = (ranking["by"],)
    if not layers or isinstance(layers, str) or len(set(layers)) < len(layers):
        raise BadValue(f"layers={layers!r}: give a list of at least one, each once")
    sets = candidates(source, layers, concept, **ranking)
    spec = CapacitySpec(**source.names(), layer=layers[0], concept=concept, sets=sets, **own)
    check_capacity(spec, source)
    return spec, source.beside(spec.layer, f"capacity-{concept}-{spec_digest(spec)[:8]}")  # too many numbers for a name


def region_at(at: Sequence[int] | None, cell: int | None = None) -> tuple[int, int, int, int] | None:
    """Return the region of a place (row, column), `cell` places high and wide, or of (top, left, bottom, right).

    Rows and columns are counted from 0; bottom and right belong to the region.

    >>> region_at((3, 4)), region_at((3, 4), 2), region_at((0, 0, 1, 7)), region_at(None)
    ((3, 4, 1, 1), (3, 4, 2, 2), (0, 0, 2, 8), None)

    Raises:
        BadValue: neither two numbers nor four, or a cell without a place.
    """
    if at is not None and len(at) == 2:
        side = 1 if cell is None else cell
        return (at[0], at[1], side, side)
    if cell is not None:
        raise BadValue(f"cell={cell} needs the place (row, column) that it begins at")
    if at is None:
        return None
    if len(at) != 4:
        raise BadValue(f"at={','.join(map(str, at))}: give row,column or top,left,bottom,right")
    top, left, bottom, right = at
    return (top, left, bottom - top + 1, right - left + 1)


def effect_home(source: Source, spec: EffectSpec, choice: Choice) -> Path:
    """Return where the study of an effect lies unless told otherwise: its name says what was done to which units."""
    where = "" if spec.region is None else f"-at-{'-'.join(map(str, spec.region))}"
    return home(source, spec, f"{spec.kind}-{_named(choice, spec.concept)}{where}")


def edits_home(source: Source, spec: EffectSpec, name: str) -> Path:
    """Return where the study of given edits lies unless told otherwise."""
    assert spec.edits is not None
    return home(source, spec, f"{spec.kind}-{name}-{spec.edits[:8]}")


def home(source: Source, spec: SampleSpec, name: str) -> Path:
    """Return where a causal study lies unless told otherwise; every number that is not as usual is in its name."""
    other = ""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.name not in RUN and isinstance(field.default, int | float) and value != field.default:
            other += f"-{field.name}-{value}"
    layers = [spec.layer, *(layer for layer, _ in getattr(spec, "more", ()))]
    return source.beside("+".join(layers), name + other)


def forecast(source: Source, plan: Plan[Any]) -> float:
    """Return about how many seconds a run takes, from a few images: with the constants that are not measured yet."""
    if plan.seconds is not None:
        return plan.seconds()
    return effect_seconds(source, plan.spec, plan.trials + pooling_trials(source, plan.spec))


def effect_seconds(source: Source, spec: SampleSpec, trials: int) -> float:
    """Say how long so many trials will take, from a few images."""
    probe = dataclasses.replace(spec, images=4, batch=4)
    shape = source.models.generator.layers[spec.layer]  # given edits may be of one that was not dissected
    nothing = [Intervention.ablate(spec.layer, shape, [])]
    for _ in range(2):  # what is done once is done the first time
        start = perf_counter()
        given = next(batches(source, probe, probe.ids()))
        drawn = perf_counter()
        source.models.segmenter(redrawn(source, probe, given, nothing))
        done = perf_counter()
    return spec.images * ((drawn - start) + trials * (done - drawn)) / len(given.z)


def layers_in(spec: SampleSpec) -> list[str]:
    """Return every layer that a study edits, the first one first."""
    if isinstance(spec, CapacitySpec):
        return spec.layers()
    more = spec.sets[0][1][1:] if isinstance(spec, SettingSpec) else getattr(spec, "more", ())
    return [spec.layer, *(layer for layer, _ in more)]


def pooling_trials(source: Source, spec: SampleSpec) -> int:
    """Return how many trials of each image it takes to measure the constants that are not there yet.

    What is inserted has a pool in each layer, and one pass for all layers where it is measured at every place.
    """
    images: int | None = getattr(spec, "pool", None)
    concept: str | None = getattr(spec, "concept", None)
    if images is None or concept is None or getattr(spec, "kind", "insert") != "insert":
        return 0
    seed = spec.seed if isinstance(spec, AceSpec) else PoolSpec.seed  # whatever the images, the others share one pool
    homes = {pool_home(source, layer, images, seed) for layer in layers_in(spec)}
    inserted: Sequence[Any] = (
        spec.settings() if isinstance(spec, SettingSpec) else [spec] if hasattr(spec, "constant") else []
    )
    placed = filter(None, (placed_layers(source, each) for each in inserted))
    homes |= {places_home(source, layers, concept, images) for layers in placed}
    return round(images / spec.images) * len([home for home in homes if not is_study(home)])


def edit_spec(source: Source, edits: Sequence[Intervention], chosen: str, **options: Any) -> EffectSpec:
    """Return the Spec of applying given edits; its layer is the first that they touch.

    Raises:
        BadValue: no edits, or some that are for single images.
    """
    if not edits:
        raise BadValue(f"{chosen}: there is nothing in it to apply")
    if any(len(stroke.where) > 1 for edit in edits for stroke in edit.strokes()):
        raise BadValue(f"{chosen}: it edits every image at places of its own; apply takes edits for all images")
    touched = {edit.layer for edit in edits}
    layer = next(name for name in source.models.generator.layers if name in touched)
    text = edits_json(edits, source.models.generator.fingerprint)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return EffectSpec(**source.names(), layer=layer, kind="apply", chosen=chosen, edits=digest, **options)


def _named(choice: Choice, concept: str | None) -> str:
    """Return the name of a choice; units that were named do not say what for."""
    return f"{choice.name}-{concept}" if concept and choice.name.startswith("units") else choice.name


@dataclass(frozen=True)
class _Where:
    """Where units are set.

    Attributes:
        at: (row, column) or (top, left, bottom, right) in places of the layer's grid, counted from 0; everywhere if it
            is not given.
        cell: with (row, column): cell × cell places from there.
    """

    at: Sequence[int] | None = None
    cell: int | None = None


@dataclass(frozen=True)
class _Edit:
    """Given edits.

    Attributes:
        edit: a file of edits, such as ``edit.json`` of a study.
    """

    edit: str | Path


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


def _plan_ablation(source: Source, options: dict[str, Any], _: Runner) -> Plan[Effect]:
    spec, usual = plan_effect(source, "ablate", taken_layers(source, options), options)
    return Plan(spec, usual, partial(run_effect, spec, source), f"ablate {spec.chosen}", 1 + spec.random)


def _plan_insertion(source: Source, options: dict[str, Any], runner: Runner) -> Plan[Effect]:
    layers = taken_layers(source, options, default=True)
    spec, usual = plan_effect(source, "insert", layers, options, best_setting_finder(source, runner))
    return Plan(spec, usual, partial(run_effect, spec, source), f"insert {spec.chosen}", 1 + spec.random)


def place_plan(
    kind: str,
    spec_of: type[P],
    run: Callable[[P, Source, Path, Executor, Progress | None], R],
    trials: Callable[[P, tuple[int, int]], int],
) -> Callable[[Source, dict[str, Any], Runner], Plan[R]]:
    """Return what plans inserting at one place at a time.

    Args:
        kind, spec_of: as of `plan_places`.
        run: runs it.
        trials: how often an image is drawn, given the Spec and the grid.
    """

    def plan(source: Source, options: dict[str, Any], runner: Runner) -> Plan[R]:
        layers, measure = taken_layers(source, options, default=True), best_setting_finder(source, runner)
        spec, usual = plan_places(source, kind, spec_of, layers, options, measure)
        shape = source.shape(spec.place_layer)
        work = f"{kind} of {spec.chosen}"
        return Plan(spec, usual, partial(run, spec, source), work, trials(spec, (shape.height, shape.width)))

    return plan


def _plan_edits(source: Source, options: dict[str, Any], _: Runner) -> Plan[Effect]:
    file, generator = download(local_path(options.pop("edit"))), source.models.generator
    edits = read_edits(file, generator.layers, generator.fingerprint)
    spec = edit_spec(source, edits, f"edits of {file.name}", **options)
    run = partial(run_edits, spec, edits, source)
    return Plan(spec, edits_home(source, spec, file.stem), run, f"apply {spec.chosen}", 1 + spec.random)


def _plan_capacity(source: Source, options: dict[str, Any], _: Runner) -> Plan[Capacity]:
    spec, usual = plan_capacity(source, options.pop("layers"), options.pop("concept"), options)
    work = f"insert {spec.concept} in every way"
    return Plan(spec, usual, partial(run_capacity, spec, source), work, len(spec.settings()))


PLACED = frozenset({"layer", "units", "chosen", "more"})
"""Fields of a `PlaceSpec` that its plan fills."""
BY_SETTING = frozenset({"top", "by", "multiple", "constant", "pool", "cell"})
"""Options of an insertion that the measured best setting decides, where none of them is given."""
_CHOSEN = frozenset({"kind", "layer", "units", "chosen", "more", "region", "edits"})
ABLATE = Experiment(
    name="ablate",
    verb="ablate",
    summary="ablate units, and measure the effect on every concept",
    spec=EffectSpec,
    groups=(Layers, Wanted, _Where),
    filled=_CHOSEN | {"concept", "multiple", "constant", "pool"},
    planned=frozenset({"top", "by"}),
    plan=_plan_ablation,
    result=Effect,
    tables=effect_tables,
    section=effect_section,
    example='ganatomy.ablate("study", layer="layer4", concept="tree", top=20)',
)
INSERT = Experiment(
    name="insert",
    verb="insert",
    summary="insert a concept: set units to what they are where it is, and measure the effect on every concept",
    spec=EffectSpec,
    groups=(Layers, Wanted, _Where),
    filled=_CHOSEN | {"concept"},
    planned=BY_SETTING,
    required=frozenset({"concept"}),
    plan=_plan_insertion,
    result=Effect,
    tables=effect_tables,
    section=effect_section,
    example='ganatomy.insert("study", concept="door", at=(9, 6)).table',
)
APPLY = Experiment(
    name="apply_edits",
    verb="apply",
    summary="make the edits of a file, and measure their effect on every concept",
    spec=EffectSpec,
    groups=(_Edit,),
    filled=_CHOSEN | {"concept", "multiple", "constant", "pool", "strength"},
    plan=_plan_edits,
    result=Effect,
    tables=effect_tables,
    section=effect_section,
    example='ganatomy.apply_edits("study", edit="edit.json").table',
)
CAPACITY = Experiment(
    name="capacity",
    verb="capacity",
    summary="insert a concept in every way there is, at one place of each image",
    spec=CapacitySpec,
    groups=(_Rankings,),
    filled=frozenset({"layer", "sets"}),
    plan=_plan_capacity,
    result=Capacity,
    tables=capacity_tables,
    section=capacity_section,
    example='ganatomy.capacity("study", layers=["layer4"], concept="door", on=["building"]).table',
)
