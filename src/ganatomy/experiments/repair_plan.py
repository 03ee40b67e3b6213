"""From what is asked to the Spec of a repair: which units, and by which ranking."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadValue, StudyMismatch
from ganatomy.core.layer_steps import spanned
from ganatomy.experiments.artifacts import Artifacts, flagged_units, plan_artifacts, planned_ranking
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import UnitQuery, Window, select_units, take_window
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.real_comparison import RUN, ArtifactSpec, describing_seconds, named_reals
from ganatomy.experiments.repair import UNION, Repair, RepairSpec, check_sets, run_repair
from ganatomy.remote import local_path
from ganatomy.report.causal.repair import repair_chart, repair_section, repair_tables
from ganatomy.study import spec_digest

SHARED = ("real", "reals", "features", "images", "top", "seed")
"""Options of a repair that are those of the ranking, too."""
Rank = Callable[[ArtifactSpec, Path], Artifacts]


@dataclass(frozen=True)
class _Sets:
    """Which units, one or several of these.

    Attributes:
        worst: so many of the ranking by `artifacts`, which is run if it was not; none, if it is not given.
        ranking: the directory of that ranking; that of the same options, if it is not given.
        flagged: those that people annotated; takes `annotations`.
        annotations: the database of human annotations: a file, or a URL; none, if it is not given.
        units: these; none, if they are not given.
        best: so many of those of greatest IoU with the `concept`; 20, if it is not given.
    """

    worst: int | None = None
    ranking: str | Path | None = None
    flagged: bool = False
    annotations: str | Path | None = None
    units: Sequence[int] | None = None
    best: int | None = None


def plan_repair(
    source: DissectedModel, layers: Sequence[str], options: Mapping[str, Any], rank: Rank
) -> tuple[RepairSpec, Path]:
    """Return the Spec, and where its study lies by default; `layers` are one, or a block at several steps."""
    own, layer = dict(options), layers[0]
    directory, worst = own.pop("ranking", None), own.get("worst")
    if directory is not None and worst is None:
        raise BadValue("a ranking says nothing unless the worst of it are asked for; give worst, or leave it out")
    sets = _take_sets(source, layers, own)
    spec = RepairSpec(**source.names(), layer=layer, sets=tuple(sets.items()), more=tuple(layers[1:]), **own)
    check_sets(spec, source)
    if worst is not None:
        ranking = _ranking(source, spec, {name: own[name] for name in SHARED if name in own}, directory, rank)
        sets[f"worst {worst}"] = tuple(ranking.table.unit[:worst].tolist())
        spec = replace(spec, ranking=ranking.study.digest)
    if len(sets) > 1:
        sets[UNION] = tuple(dict.fromkeys(unit for each in sets.values() for unit in each))
    spec = replace(spec, sets=tuple(sets.items()))
    named = "-".join([named_reals(spec), *(name.replace(" ", "-") for name in sets if name != UNION)])
    return spec, source.sibling_path(
        "+".join(spanned(layers)), f"repair-{named}-{spec_digest(spec)[:8]}"
    )  # too many units for a name


def _take_sets(source: DissectedModel, layers: Sequence[str], options: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Take out of options which units are asked for; as the worst stand any, until all else is known to be right."""
    layer, concept, best = layers[0], options.get("concept"), options.pop("best", None)
    worst, flagged, units = (options.pop(name, None) for name in ("worst", "flagged", "units"))
    where, count = options.pop("annotations", None), source.shape(layer).units
    if bool(flagged) != (where is not None):
        raise BadValue("flagged and annotations go together: give both, or neither")
    sets: dict[str, tuple[int, ...]] = {}
    if worst is not None:
        if not 1 <= worst <= count:
            raise BadValue(f"worst={worst}: {layer} has {count} units; give 1 to {count}")
        sets[f"worst {worst}"] = tuple(range(worst))
    if where is not None:
        sets["flagged"] = tuple(flagged_units(source, layer, where))
    if units is not None:
        sets["units"] = tuple(int(unit) for unit in units)
    if concept is not None:
        query = UnitQuery(concept=concept, top=UnitQuery.top if best is None else best)
        window = layers if len(layers) > 1 else ()
        sets[concept] = select_units(source, layer, query, window).units
    elif best is not None:
        raise BadValue(f"best={best} are units of a concept; give the concept, too")
    if not sets:
        raise BadValue("no units to switch off; give concept, worst, flagged or units")
    return sets


def _ranking(
    source: DissectedModel, spec: RepairSpec, shared: Mapping[str, Any], directory: str | Path | None, rank: Rank
) -> Artifacts:
    if directory is None:
        artifact_spec, default = plan_artifacts(source, spec.layer, shared)[:2]
        _check_held_out(spec, artifact_spec)
        return rank(artifact_spec, default)
    ranking = Artifacts.open(local_path(directory))
    for name in ("dissection", "layer"):
        found, given = getattr(ranking.spec, name), getattr(spec, name)
        if found != given:
            raise StudyMismatch(f"the ranking in {directory} is of another {name}: {found}, not {given}")
    _check_held_out(spec, ranking.spec)
    return ranking


def _check_held_out(spec: RepairSpec, ranking: ArtifactSpec) -> None:
    ranked, measured = ranking.ids(), spec.ids()
    if ranking.seed == spec.seed and ranked.start < measured.stop and measured.start < ranked.stop:
        raise BadValue(
            f"images {measured.start} to {measured.stop - 1} would judge units that images {ranked.start} to "
            f"{ranked.stop - 1} chose; give first={ranked.stop} or more"
        )


def _plan(source: DissectedModel, options: dict[str, Any], runner: Runner) -> Plan[Repair]:
    ranked = replace(source, run=replace(source.run, shard=RUN.shard))

    def rank(artifact_spec: ArtifactSpec, directory: Path) -> Artifacts:
        return runner(planned_ranking(ranked, artifact_spec, directory))

    window = take_window(source, options)
    spec, default = plan_repair(source, window or [options.pop("layer")], options, rank)
    trials = [units for _, units in spec.trials(source.shape(spec.layer).units)]

    seconds = partial(describing_seconds, source, spec, trials, spec.textures)
    work = f"ablate {', '.join(name for name, _ in spec.sets)}, and {spec.random} random sets"
    return Plan(spec, default, partial(run_repair, spec, source), work, 0, seconds)


REPAIR = Experiment(
    name="repair",
    verb="repair",
    summary="ablate units that spoil the images, measure whether that helps, and write the repaired generator",
    spec=RepairSpec,
    groups=(_Sets, Window),
    filled=frozenset({"sets", "ranking", "more"}),
    planned=frozenset({"top"}),
    plan=_plan,
    result=Repair,
    tables=repair_tables,
    section=repair_section,
    chart=repair_chart,
    run=RUN,
    example='ganatomy.repair("study", "layer4", real="scenes:church", worst=20).opens',
)
