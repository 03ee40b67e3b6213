"""Which units make a concept appear and vanish (3.2; S-6.4; SPEC 4-5)? α is optimised, and its top units are measured.

What chose the units is never what they are measured on: places come from the pool, some of them are held out to decide
when to stop, and every effect that is reported is measured on further images.

The insertion term E[s_c(x_i)_P] of the average causal effect (Eqn 4) is measured as E[s_c(x_i)_P - s_c(x)_P] +
E[s_c(x)]: the same expectation, as the place P is uniform, but what was at the place before drops out of the
difference. Read alone at one place an image, the term mostly measures that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.core.progress import Progress
from ganatomy.core.tensor_types import Labels, PerUnit
from ganatomy.core.vocabulary import Concept
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.ace_spec import START_NAMES, AceSpec, Schedule, scheduled
from ganatomy.experiments.causal.choice import (
    Window,
    ace_path,
    alpha_of,
    random_sets,
    ranked_layers,
    take_window,
)
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows
from ganatomy.experiments.causal.insertion import RowEdit, draw_edited
from ganatomy.experiments.causal.locations import Locations, candidates, check_scores, present, uniform_places
from ganatomy.experiments.causal.optimise import (
    EVALUATION,
    Objective,
    OptimizerState,
    PresentAbsent,
    open_samples,
    optimise,
    ranking,
)
from ganatomy.experiments.causal.places import Rows, gained_at
from ganatomy.experiments.causal.pool import Pool, open_pool, place_means, pool_path, pooling
from ganatomy.experiments.causal.shown import ImagePairs, draw_pairs, showing_most
from ganatomy.experiments.causal.trials import GRADIENT, Baseline, baselines, count_changes, render_edited
from ganatomy.experiments.result import Result, read_spec
from ganatomy.experiments.run_options import RunOptions
from ganatomy.experiments.warnings import exceeds
from ganatomy.interventions import Intervention
from ganatomy.report.causal.ace import ace_chart, ace_section, ace_tables
from ganatomy.stats.base import concat
from ganatomy.stats.paired import PairedChange, holds_zero
from ganatomy.stats.regions import concept_counts
from ganatomy.study import Study

TERMS = ("ablation", "insertion", "ace")
SHOWN = 6
"""Images that are kept before and after the ablation of the top units."""


@dataclass(frozen=True, eq=False, repr=False)
class Ace(Result):
    """Which units cause a concept.

    Attributes:
        facts: ``facts["evaluations"]``: images segmented for the pool, to find candidates, and to
            optimise, of the latter with gradients; ``facts["updates"]``: how many updates α has had.
        units: one row a unit, from the greatest α on.
        effects: of the top units by ace, iou, and random sets of as many others. The term ablation is E[s_c(x_a)], the
            whole map ablated; insertion is E[s_c(x_i)] at one place, drawn uniformly, measured as the gain of the place
            over the untouched image plus E[s_c(x)]; ace is their difference. Normalised values are in parts of
            E[s_c(x)]; random rows are means over the sets. Errors are over images, the places of one being one draw.
        curve: ablation of the n units that rank first (Figure 4).
        others: the same for every concept.
        history: one row an evaluation of α, by δ of the clipped set.
    """

    spec: AceSpec
    units: pd.DataFrame
    effects: pd.DataFrame
    curve: pd.DataFrame
    others: pd.DataFrame
    history: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `effects`."""
        return self.effects

    @classmethod
    def _fields(cls, study: Study) -> dict[str, Any]:
        read_spec(study, AceSpec)
        if "updates" not in study.facts:
            name = study.directory
            raise BadFile(f"{name} holds an ACE study of an earlier version; make it again, in another directory")
        return super()._fields(study)

    def _warnings(self) -> list[str]:
        own = self.effects[(self.effects.n == self.spec.top) & (self.effects["by"] == "ace")]
        own = own[own.term == "ace"]
        if any(map(exceeds, own.normalised, own.normalised_error)):
            return []
        return [f"The units that were found do nothing for sure: {self.spec.concept} neither goes nor comes with them."]

    def top(self, n: int | None = None) -> list[int]:
        """Return the units of greatest α, the greatest first; by default as many as were asked for."""
        units: list[int] = self.units.unit.tolist()
        return units[: self.spec.top if n is None else n]

    @cached_property
    def images(self) -> ImagePairs | None:
        """The images that show most of the concept, before and after; None by an earlier version."""
        return self.study.load_step("images", ImagePairs) if self.study.has_step("images") else None

    @property
    def updates(self) -> int:
        """How many updates the answer has had, 0 where it is the start."""
        return int(self.facts["updates"])

    @property
    def called(self) -> str:
        """How the units were ranked, in words."""
        start = START_NAMES[self.spec.start]
        return f"{self.updates} updates of {self.spec.optimiser} from {start}" if self.updates else start

    @property
    def details(self) -> dict[str, Any]:
        """How units were ranked, and what was corrected of the published run, by name."""
        own = {"ranking": self.called, "updates": self.updates}
        return own | ({"corrected": list(self.spec.corrected)} if self.spec.corrected else {})

    @property
    def constant(self) -> PerUnit:
        """What each unit of the layer is set to when the concept is inserted, the class constant."""
        return torch.from_numpy(self.units.sort_values("unit").constant.to_numpy(np.float32, copy=True))


class Trial(NamedTuple):
    """A set of units to ablate: by what it was chosen, and which."""

    by: str
    units: tuple[int, ...]


def run_ace(
    spec: AceSpec,
    source: DissectedModel,
    directory: Path,
    pool_directory: Path | None = None,
    engine: Engine = local,
    progress: Progress | None = None,
) -> Ace:
    """Find the units that cause a concept, and measure what they do; goes on where it was stopped.

    `pool_directory` is where its pool lies; None for its default directory, where other studies find it too.

    Raises:
        UnknownName: no such layer or concept.
        BadValue: the concept is too rare, no unit has anything to do with it, or the layer has fewer units than asked.
        BadModel: the segmenter gives no scores.
        StudyMismatch: the directory holds another study.
    """
    spec.check_units(source.shape(spec.layer).units)
    source.concept(spec.concept)  # refuses what is rare
    ranked = ranked_layers(source, spec.layers()) if spec.more else [spec.layer]
    ious = torch.stack([source.ious(layer, spec.concept) for layer in ranked]).mean(0)
    if not (directory / "study.json").exists():
        check_scores(source)
    with source.begin(directory, spec, engine, progress) as (study, source):
        if not study.finished:
            where = pool_directory or pool_path(source, spec.layer, spec.pool, spec.seed)
            pool = open_pool(pooling(source), spec.pool_spec(), where, engine, progress)
            values = constants(spec, source, pool, engine, progress)
            objective, tried = prepare(spec, source, pool, values, study)
            search = optimise(objective, (ious / ious.max()).float(), study, progress)
            del objective  # and with it the features that it keeps
            units = _unit_table(search, spec, ious, values[spec.layer])
            study.write_table("units", units)
            study.write_table("history", _history(search, spec.pool + tried))
            _measure(spec, source, study, units, values)
            gradients = int(search.evaluations[-1, EVALUATION.index("gradient")])
            forward = int(search.evaluations[-1, EVALUATION.index("forward")])
            count = {"pool": spec.pool, "candidates": tried, "forward": forward, "gradients": gradients}
            updates = int(search.evaluations[search.best(spec), EVALUATION.index("step")])
            study.finish(evaluations=count, updates=updates)
    return Ace.open(directory)


def constants(
    spec: AceSpec, source: DissectedModel, pool: Pool, engine: Engine = local, progress: Progress | None = None
) -> dict[str, PerUnit]:
    """Return k of each layer that is edited: of one layer that of the pool, of several steps measured in one pass."""
    if not spec.more:
        return {spec.layer: pool.constant(source.concept(spec.concept))}
    means = place_means(source, spec.layers(), spec.concept, spec.pool, engine, progress)
    return {layer: means[layer].mean() for layer in spec.layers()}


def prepare(
    spec: AceSpec, source: DissectedModel, pool: Pool, values: Mapping[str, PerUnit], study: Study
) -> tuple[Objective, int]:
    """Find the places to learn from and those to hold out; return the objective, and how many images that took."""
    concept, device = source.concept(spec.concept), source.models.generator.device
    places = study.step("present", Locations, partial(present, spec, pool, concept))
    room, tried = candidates(source, spec, pool, values, study)
    samples = open_samples(source, spec, [each.part(out) for out in (False, True) for each in (places, room)])
    train, held = PresentAbsent(*samples[:2]), PresentAbsent(*samples[2:])
    return Objective(source, spec, concept, {layer: k.to(device) for layer, k in values.items()}, train, held), tried


def _unit_table(search: OptimizerState, spec: AceSpec, ious: Tensor, value: PerUnit) -> pd.DataFrame:
    alpha = search.alphas[search.best(spec)]
    by_iou = ious.sort(descending=True, stable=True).indices
    table = pd.DataFrame(
        {
            "unit": np.arange(len(ious)),
            "alpha": alpha.double().numpy(),
            "iou": ious.numpy(),
            "iou_rank": by_iou.argsort().numpy() + 1,
            "initial": search.start.double().numpy(),
            "constant": value.cpu().numpy(),
        }
    )
    table = table.iloc[ranking(alpha, search.start).numpy()].reset_index(drop=True)
    table.insert(2, "rank", np.arange(1, len(table) + 1))
    return table


def _history(search: OptimizerState, before: int) -> pd.DataFrame:
    table = pd.DataFrame(search.evaluations.numpy(), columns=pd.Index(EVALUATION))
    steps, gradients = table.step.astype(int), table.gradient.astype(int)
    evaluations = table.forward.astype(int) + gradients + before
    kept = table[["held_out", "error", "gain", "gain_error"]]
    return pd.concat([pd.DataFrame({"step": steps, "evaluations": evaluations, "gradients": gradients}), kept], axis=1)


def sets_of(spec: AceSpec, units: pd.DataFrame, sizes: Mapping[str, Sequence[int]]) -> list[Trial]:
    """Return the sets that rank first, of each way to rank them and each size; random ones are sets of other units."""
    ranked = {by: tuple(units.sort_values(column).unit) for by, column in (("ace", "rank"), ("iou", "iou_rank"))}
    trials = [Trial(by, ranked[by][:n]) for by in ranked for n in sizes[by]]
    for n in sizes["random"]:
        drawn = random_sets(len(units), n, range(spec.random), spec.seed, ranked["ace"][:n])
        trials += [Trial("random", own) for own in drawn]
    return trials


def _measure(
    spec: AceSpec, source: DissectedModel, study: Study, units: pd.DataFrame, values: Mapping[str, PerUnit]
) -> None:
    """Measure the sets on images that chose none of them, and write the tables."""
    concept = source.concept(spec.concept)
    trials = sets_of(spec, units, dict.fromkeys(("ace", "iou", "random"), (spec.top,)))
    sets = Sets([trial.units for trial in trials], concept, {layer: k.cpu() for layer, k in values.items()})
    shards = source.run.shards(spec.ids())
    shares = study.sharded("effects", ConceptShares, partial(evaluate_sets, source, spec, sets), shards)
    effects = effect_table(shares, [trial.by for trial in trials])
    effects.insert(1, "n", spec.top)
    study.write_table("effects", effects)
    drawn = [_ablation(source, spec, trial.units) for trial in trials if trial.by in ("ace", "random")][:2]
    ids = showing_most(spec, shares.before, SHOWN)
    study.step("images", ImagePairs, lambda: draw_pairs(source, spec, drawn, ids))

    trials = sets_of(spec, units, {"ace": spec.sizes, "iou": spec.sizes, "random": spec.controls})
    work = partial(_ablate, source, spec, trials)
    change = study.sharded("curve", PairedChange, work, shards)
    others = change_table(change, trials, source.dissection.vocabulary)
    study.write_table("others", others)
    name, category = source.named(concept)
    curve = others[(others.concept == name) & (others.category == category)]
    curve = curve[["by", "n", "relative", "relative_error", "spread"]].rename(columns={"relative_error": "error"})
    study.write_table("curve", curve.reset_index(drop=True))


def _ablate(source: DissectedModel, spec: AceSpec, trials: Sequence[Trial], ids: range) -> PairedChange:
    return count_changes(source, spec, [_ablation(source, spec, trial.units) for trial in trials], ids)


def _ablation(source: DissectedModel, spec: AceSpec, units: Sequence[int]) -> list[Intervention]:
    return [Intervention.ablate(layer, source.shape(layer), units) for layer in spec.layers()]


class ConceptShares(JoinedRows):
    """The share of pixels that shows the concept, image by image.

    Attributes:
        before: float64 [images], of the whole image.
        ablated: float64 [images, sets], of the whole image, the set ablated everywhere.
        gained: float64 [images, sets], of a place, the set inserted there, less of the same place before: the mean over
            several places of the image, one at a time.
    """

    FIELDS: ClassVar = dict.fromkeys(("before", "ablated", "gained"), concat)

    def __init__(self, sets: int) -> None:
        self.before = torch.zeros(0, dtype=torch.float64)
        self.ablated, self.gained = torch.zeros(2, 0, sets, dtype=torch.float64)


class Sets(NamedTuple):
    """Sets of units to measure; `concept` is an index, and `values` k of each layer, to which they are set there."""

    units: Sequence[Sequence[int]]
    concept: int
    values: Mapping[str, PerUnit]


def evaluate_sets(source: DissectedModel, spec: AceSpec, sets: Sets, ids: range) -> ConceptShares:
    """Ablate each set everywhere, and insert it at several places of each image, drawn uniformly, one at a time."""
    segmenter = source.models.segmenter
    found = ConceptShares(len(sets.units))
    for given in baselines(source, spec, ids):
        places = uniform_places(given.ids, spec.seed, source.grid(spec.layer), spec.places)
        gained = [_gained(source, spec, sets, given, (units, places)) for units in sets.units]
        edits = [_ablation(source, spec, units) for units in sets.units]
        ablated = [_share(segmenter(render_edited(source, spec, given, own)), sets.concept) for own in edits]
        found.update(_share(given.labels, sets.concept), torch.stack(ablated, 1), torch.stack(gained, 1))
    return found


def effect_table(shares: ConceptShares, names: Sequence[str]) -> pd.DataFrame:
    """Return the effect of each set and term, with standard errors over images: the places of one are one draw."""
    rows = []
    for i, name in enumerate(names):
        inserted = shares.gained[:, i] + shares.before
        terms = (shares.ablated[:, i], inserted, inserted - shares.ablated[:, i])
        for term, each in zip(TERMS, terms, strict=True):
            rows.append({"by": name, "term": term, **_ratio(each, shares.before)})
    table = pd.DataFrame(rows)
    groups = table.groupby(["by", "term"], sort=False)
    means = groups[["value", "error", "normalised", "normalised_error"]].mean()
    return means.assign(spread=groups["normalised"].std()).reset_index()


def _ratio(each: Tensor, before: Tensor) -> dict[str, float]:
    """Return the mean of a term and its error, plain and in units of the mean of what was there before."""
    n, mean, base = len(each), each.mean(), before.mean()
    absent = holds_zero(float(base), float(before.std() / n**0.5))  # to divide by it could give anything
    ratio = mean / base if not absent else torch.tensor(torch.nan)
    errors = [value.std() / n**0.5 for value in (each, each - ratio * before)]
    numbers = {"value": mean, "error": errors[0], "normalised": ratio, "normalised_error": errors[1] / base}
    return {name: float(number) for name, number in numbers.items()}


def _gained(
    source: DissectedModel, spec: AceSpec, sets: Sets, given: Baseline, what: tuple[Sequence[int], Tensor]
) -> Float64[Tensor, " b"]:
    """Insert some units at each of the places; return the mean gain of the place, image by image."""
    units, places = what
    alpha = alpha_of(units, source.shape(spec.layer).units)[None]
    image = torch.arange(len(places)).repeat_interleave(places.shape[1])
    gains = []
    for rows in Rows(image, places.flatten(0, 1)).split(source.batch()):
        edits = [RowEdit(layer, alpha, k, rows.where) for layer, k in sets.values.items()]
        images = draw_edited(source, given, rows, edits)
        after = source.models.segmenter(images)
        gained = gained_at(given.labels[rows.image], after, sets.concept, rows.where)
        gains.append(gained.at.double() / gained.area)
    return torch.cat(gains).view(len(places), -1).mean(1)


def _share(labels: Labels, concept: int) -> Float64[Tensor, " b"]:
    """Return the share of the pixels that shows the concept."""
    counts = concept_counts((labels == concept).any(1, keepdim=True).long(), 2).double()
    return counts[:, 1] / counts[:, 0]


def change_table(change: PairedChange, trials: Sequence[Trial], vocabulary: Sequence[Concept]) -> pd.DataFrame:
    """Return what each set does to each concept that is there before or after; random sets of a size as their mean."""
    found = {name: table.numpy() for name, table in change.read()._asdict().items()}
    rows = []
    for i, trial in enumerate(trials):
        for c, concept in enumerate(vocabulary):
            values = {name: float(table[i, c]) for name, table in found.items()}
            if c and (values["before"] > 0 or values["after"] > 0):
                named = {"by": trial.by, "n": len(trial.units), "concept": concept.name, "category": concept.category}
                rows.append({**named, **values})
    columns = ["before", "change", "change_error", "relative", "relative_error"]
    groups = pd.DataFrame(rows).groupby(["by", "n", "concept", "category"], sort=False)
    return groups[columns].mean().assign(spread=groups["relative"].std()).reset_index()


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Ace]:
    schedule, window = options.pop("schedule"), take_window(source, options)
    if window:
        options |= {"layer": window[0], "more": tuple(window[1:])}
    spec = scheduled(source, schedule, **options)
    source.concept(spec.concept)
    spec.check_units(source.shape(spec.layer).units)

    def run(directory: Path, engine: Engine, progress: Progress | None) -> Ace:
        return run_ace(spec, source, directory, None, engine, progress)

    drawn = spec.candidates + 2 * GRADIENT * spec.steps * spec.pairs
    trials = drawn // spec.images + (2 + spec.random) * (len(spec.sizes) + 1 + spec.places)
    directory = ace_path(source, spec.layers(), spec.concept, schedule)
    return Plan(spec, directory, run, f"{schedule} search for {spec.concept}", trials)


ACE = Experiment(
    name="ace",
    verb="ace",
    summary="find the units that make a concept appear and vanish: their average causal effect",
    spec=AceSpec,
    groups=(Window, Schedule),
    filled=frozenset({"more"}),
    planned=frozenset(field.name for kind in (AceSpec, RunOptions) for field in fields(kind))
    - {"layer", "concept", "more"},
    plan=_plan,
    result=Ace,
    tables=ace_tables,
    section=ace_section,
    chart=ace_chart,
    several="concept",
    example='ganatomy.ace("study", "layer4", "tree").effects',
)
