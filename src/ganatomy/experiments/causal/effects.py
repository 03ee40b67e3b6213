"""What do some units do to an image? Ablate or insert them: what changes, of every concept, with errors (3.2; SPEC 4).

The same images are drawn with and without the edit, and with the same edit of random sets of as many units: what any
change of the layer does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import Layers, UnitQuery, Window
from ganatomy.experiments.causal.dissected_model import DissectedModel, default_directory
from ganatomy.experiments.causal.effect_spec import EffectSpec
from ganatomy.experiments.causal.effect_tally import EffectTally
from ganatomy.experiments.causal.insertion import (
    Part,
    check_insertion,
    constant_edits,
    control_trials,
    measured_parts,
    sets_all,
)
from ganatomy.experiments.causal.places import region_at
from ganatomy.experiments.causal.plans import BY_SETTING, MEASURED_BEST, edited_units
from ganatomy.experiments.causal.prompts import effects_by_prompt, said_of_units
from ganatomy.experiments.causal.shown import Extremes, ImagePairs, draw_extremes, draw_pairs, showing_most
from ganatomy.experiments.causal.trials import Edits, baselines, pixels_edited, random_edits, render_edited
from ganatomy.experiments.causal.windows import in_windows, window_table
from ganatomy.experiments.columns import described
from ganatomy.experiments.prompted import prompt_facts
from ganatomy.experiments.result import Result
from ganatomy.experiments.warnings import crowded_warnings, everywhere_warnings, exceeds, try_place, try_setting
from ganatomy.interventions import Intervention, edits_json, place, read_edits, write_edits
from ganatomy.models.generators import LayerShape
from ganatomy.models.generators.protocol import forward_order
from ganatomy.remote import download, local_path
from ganatomy.report.causal.effect import effect_chart, effect_section, effect_tables
from ganatomy.report.tables import rows
from ganatomy.stats.regions import concept_counts
from ganatomy.study import Study


@dataclass(frozen=True, eq=False, repr=False)
class Effect(Result):
    """What an edit did.

    Attributes:
        table: one row for each concept that the images show before or after, the asked one first, then by the size of
            the change. Errors are standard errors over images.
        windows: of an edit at several steps, one row a window of them, the last of all steps; empty where none were
            asked for.
        strips: images before and after.
    """

    FILES: ClassVar = {"table": "effect"}

    spec: EffectSpec
    table: pd.DataFrame
    strips: ImagePairs
    windows: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def _fields(cls, study: Study) -> dict[str, Any]:
        found = super()._fields(study)
        if study.has_table("windows"):
            found["windows"] = described(study.read_table("windows"), study.kind, "windows")
        return found

    def _warnings(self) -> list[str]:
        found = crowded_warnings(self.spec.layer, self.spec.units, self.spec.random, self.facts.get("layers", {}))
        if self.spec.concept is None or self.spec.kind not in ("insert", "ablate"):
            return found
        sign, name = (1 if self.spec.kind == "insert" else -1), self.spec.concept.rpartition(":")[2]
        own = self.table[self.table.concept == name] if len(self.table) else self.table
        if sign > 0 and self.spec.region is None and len(self.table):
            found += everywhere_warnings(self.spec.concept, self.table[self.table.concept != name])
        if any(map(exceeds, sign * own.change, own.change_error)):
            return found
        where = ("", ", and at the edited place by ")  # as the rows are: in the image, then at the place
        changes = "".join(
            f"{words}{100 * row.change:+.2f} ± {100 * row.change_error:.2f} % of the pixels"
            for words, row in zip(where, rows(own), strict=False)
        )
        fault = "The insertion failed" if sign > 0 else "The ablation takes nothing away"
        measured = self.spec.region is not None and self.spec.chosen.startswith(MEASURED_BEST)
        advice = f" {(try_place if measured else try_setting)(self.spec.concept)}" if sign > 0 else ""
        return [*found, f"{fault}: {name} changes by {changes or '0 % of the pixels'}.{advice}"]

    @cached_property
    def extremes(self) -> Extremes | None:
        """Where an insertion at a place gained most and least; None where nothing was, or by an earlier version."""
        return self.study.load_step("extremes", Extremes) if self.study.has_step("extremes") else None

    @property
    def prompts(self) -> pd.DataFrame | None:
        """The effect on the concept by prompt, where it is edited, of a text-to-image model; None of others.

        One row a prompt, in their order: ``prompt``, ``images``, ``before``, ``after``, ``change`` with its error over
        images, and ``random_change`` with its spread over the random sets. None too where there are more prompts than
        images, or no concept was asked for.
        """
        return self._by_prompt.get("prompts")

    @property
    def slots(self) -> pd.DataFrame | None:
        """What `prompts` says, by what each slot holds: one row a ``slot`` and ``value``; None where there are none."""
        return self._by_prompt.get("slots")

    @property
    def prompt_pairs(self) -> pd.DataFrame | None:
        """How the effect differs within pairs of images of one noise, whose prompts differ in one word; else None.

        One row for each ``word`` and what the second prompt says ``instead``: the changes of the first images and of
        the second, and ``change``, the second less the first, with its error over ``pairs``, beside random sets.
        """
        return self._by_prompt.get("prompt_pairs")

    @cached_property
    def _by_prompt(self) -> dict[str, pd.DataFrame]:
        if self.spec.concept is None or not self.facts.get("prompts") or not self.study.has_step("effect"):
            return {}
        tally = self.study.load_step("effect", EffectTally)
        whole = (tally.edited.shape[1] - 1) // (1 + self.spec.windows * (self.spec.windows > 1))
        area = float(tally.pixels[-1]) / self.spec.images
        return effects_by_prompt(self.facts, tally.edited[:, : 1 + whole].double() / area, self.spec.ids())

    def edits(self) -> list[Intervention]:
        """Return what was done to every image: ``generator.edited(z, effect.edits())`` does it again."""
        layers = {name: LayerShape(*shape) for name, shape in self.facts["layers"].items()}
        return read_edits(self.study.directory / "edit.json", layers, self.facts["inputs"]["generator"])


def check_effect(spec: EffectSpec, source: DissectedModel) -> None:
    """Refuse what cannot be done, before anything is written."""
    check_insertion(source, spec)
    if spec.concept is not None:
        source.concept(spec.concept)
    _trials(spec, _zeros(source, spec))


def run_effect(
    spec: EffectSpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
    edits: Edits = (),
) -> Effect:
    """Ablate or insert units, or apply given edits, and count what that does to every concept.

    Goes on where it was stopped. Given edits may be of any layers; `spec` is then that of `edit_spec`.
    """
    if not edits:
        check_effect(spec, source)
    layers = {name: list(shape) for name, shape in source.models.generator.layers.items()}
    without = spec.kind == "insert" and sets_all(source, spec)
    facts: dict[str, Any] = {"layers": layers, "control": "without" if without else "random"}
    facts |= prompt_facts(source.models.generator, spec.images)
    if mentioned := said_of_units(source, spec, spec.concept):
        facts["word_or_thing"] = mentioned
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        if not study.finished:
            if edits:
                trials = [list(edits), *random_edits(edits, range(spec.random), spec.seed)]
            elif spec.kind == "insert" and spec.concept is not None:
                trials = _trials(spec, measured_parts(source, spec, spec.concept, engine, progress))
            else:
                trials = _trials(spec, _zeros(source, spec))
            _measure(spec, source, study, trials)
    return Effect.open(directory)


def _zeros(source: DissectedModel, spec: EffectSpec) -> list[Part]:
    shapes = [(layer, source.shape(layer), units) for layer, units in spec.layer_units()]
    return [Part(layer, shape, units, torch.zeros(shape.units)) for layer, shape, units in shapes]


def _trials(spec: EffectSpec, parts: Sequence[Part]) -> list[list[Intervention]]:
    """Return the edits of each trial: the chosen units, then every control."""
    where = None if spec.region is None else place(parts[-1].grid, *spec.region)
    controls = control_trials(parts, where, spec.strength, spec.random, spec.seed)
    return [constant_edits(parts, where, spec.strength), *controls]


def _measure(spec: EffectSpec, source: DissectedModel, study: Study, trials: Sequence[Edits]) -> None:
    concept = None if spec.concept is None else source.concept(spec.concept)
    every = in_windows(trials, spec.layers(), spec.windows) if spec.windows > 1 else trials
    work = partial(count_effect, source, spec, every, concept)
    tally = study.sharded("effect", EffectTally, work, source.run.shards(spec.ids()))
    by = tally.shown if spec.kind == "ablate" and concept is not None else torch.zeros(spec.images)
    ids = showing_most(spec, by, spec.show)
    study.step("strips", ImagePairs, lambda: draw_pairs(source, spec, trials, ids))
    if spec.kind == "insert" and spec.region is not None and spec.show:
        had, has = tally.edited[:, :2].unbind(1)
        gain = torch.where(had == 0, has.float() / float(tally.pixels[-1] / tally.images[0]), torch.nan).cpu()
        study.step("extremes", Extremes, lambda: draw_extremes(source, spec, trials[0], gain, (spec.show + 1) // 2))
    study.write_table("effect", effect_table(source, spec, tally, len(trials), len(every)))
    if spec.windows > 1 and concept is not None:
        study.write_table("windows", window_table(tally, concept, spec.layers(), spec.windows))
    write_edits(study.directory / "edit.json", trials[0], source.models.generator.fingerprint)
    study.finish()


def count_effect(
    source: DissectedModel, spec: EffectSpec, trials: Sequence[Edits], concept: int | None, ids: range
) -> EffectTally:
    """Count one shard: every trial, read over the whole images and, where not all of them is edited, where it is."""
    segmenter = source.models.segmenter
    tally: EffectTally | None = None
    for given in baselines(source, spec, ids):
        edited = pixels_edited(trials[0], given.labels)
        read = [None] if bool(edited.all()) else [None, edited]
        before = [concept_counts(given.labels, source.concepts, each) for each in read]
        after: list[list[Tensor]] = [[] for _ in read]
        for edits in trials:
            labels = segmenter(render_edited(source, spec, given, edits))
            for own, each in zip(after, read, strict=True):
                own.append(concept_counts(labels, source.concepts, each))
        tally = tally or EffectTally(len(read), len(trials), source.concepts, given.labels.device)
        shown = [own[:, concept or 0] * (concept is not None) for own in (before[0], before[-1], *after[-1])]
        tally.update(
            torch.stack([each for each in before for _ in trials]),
            torch.stack([each for own in after for each in own]),
            shown[0],
            torch.stack(shown[1:], 1),
        )
    assert tally is not None
    return tally


def effect_table(source: DissectedModel, spec: EffectSpec, tally: EffectTally, trials: int, every: int) -> pd.DataFrame:
    """Read the first trials of every one: one row for each way to read and each concept that is there at all."""
    columns = {name: table.numpy() for name, table in tally.read()._asdict().items()}
    target = source.concept(spec.concept) if spec.concept is not None else 0
    rows = []
    for i, read in enumerate(["image", "place"][: len(tally.pixels) // every]):
        own, others = i * every, slice(i * every + 1, i * every + trials)
        for c, concept in enumerate(source.dissection.vocabulary):
            values = {name: float(table[own, c]) for name, table in columns.items()}
            if c and (values["before"] > 0 or values["after"] > 0):
                sets = columns["change"][others, c]
                control = {
                    "random_change": sets.mean() if len(sets) else np.nan,
                    "random_spread": sets.std(ddof=1) if len(sets) > 1 else np.nan,
                    "random_relative": columns["relative"][others, c].mean() if len(sets) else np.nan,
                }
                order = (i, c != target, -abs(values["change"]), c)
                rows.append((order, {**concept._asdict(), "read": read, **values, **control}))
    table = pd.DataFrame([row for _, row in sorted(rows, key=lambda row: row[0])])
    return table.rename(columns={"name": "concept"})


def plan_effect(
    source: DissectedModel, kind: str, options: Mapping[str, Any], runner: Runner | None = None
) -> Plan[Effect]:
    """Return the plan of an ablation or insertion."""
    own, cell_given = dict(options), options.get("cell") is not None
    selection, query, fields = edited_units(source, own, runner)
    at, cell = own.pop("at", None), own.pop("cell", None)
    region = region_at(at, cell if cell_given or (at is not None and len(at) == 2) else None)
    fields = {"kind": kind, "chosen": selection.chosen, "concept": query.concept, "region": region, **fields, **own}
    spec = EffectSpec(**source.names(), **fields)
    check_effect(spec, source)
    where = "" if spec.region is None else f"-at-{'-'.join(map(str, spec.region))}"
    directory = default_directory(source, spec, f"{kind}-{selection.name_for(spec.concept)}{where}")
    trials = (1 + spec.random) * (1 + spec.windows * (spec.windows > 1))
    return Plan(spec, directory, partial(run_effect, spec, source), f"{kind} {spec.chosen}", trials)


def edit_spec(source: DissectedModel, edits: Edits, chosen: str, **options: Any) -> EffectSpec:
    """Return the Spec of applying given edits; its layer is the first that they touch."""
    if not edits:
        raise BadValue(f"{chosen}: there is nothing in it to apply")
    if any(len(stroke.where) > 1 for edit in edits for stroke in edit.strokes()):
        raise BadValue(f"{chosen}: it edits every image at places of its own; apply takes edits for all images")
    layer = min((edit.layer for edit in edits), key=forward_order(source.models.generator.layers))
    text = edits_json(edits, source.models.generator.fingerprint)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return EffectSpec(**source.names(), layer=layer, kind="apply", chosen=chosen, edits=digest, **options)


@dataclass(frozen=True)
class _Where:
    """Where units are set.

    Attributes:
        at: (row, column) or (top, left, bottom, right) in places of the layer's grid, counted from 0; everywhere if it
            is not given.
        cell: with (row, column): cell × cell places from there; one, if it is not given.
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


def _plan_ablation(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Effect]:
    return plan_effect(source, "ablate", options)


def _plan_insertion(source: DissectedModel, options: dict[str, Any], runner: Runner) -> Plan[Effect]:
    return plan_effect(source, "insert", options, runner)


def _plan_edits(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Effect]:
    file, generator = download(local_path(options.pop("edit"))), source.models.generator
    edits = read_edits(file, generator.layers, generator.fingerprint)
    spec = edit_spec(source, edits, f"edits of {file.name}", **options)
    directory = default_directory(source, spec, f"apply-{file.stem}-{spec.edits or '':.8}")
    run = partial(run_effect, spec, source, edits=edits)
    return Plan(spec, directory, run, f"apply {spec.chosen}", 1 + spec.random)


_CHOSEN = frozenset({"kind", "layer", "units", "chosen", "more", "region", "edits"})
ABLATE = Experiment(
    name="ablate",
    verb="ablate",
    summary="ablate units, and measure the effect on every concept",
    spec=EffectSpec,
    groups=(Layers, Window, UnitQuery, _Where),
    filled=_CHOSEN | {"concept", "multiple", "constant", "pool"},
    planned=frozenset({"top", "by"}),
    plan=_plan_ablation,
    result=Effect,
    tables=effect_tables,
    section=effect_section,
    chart=effect_chart,
    example='ganatomy.ablate("study", "layer4", "tree", top=20)',
)
INSERT = Experiment(
    name="insert",
    verb="insert",
    summary="insert a concept: set units to what they are where it is, and measure the effect on every concept",
    spec=EffectSpec,
    groups=(Layers, Window, UnitQuery, _Where),
    filled=_CHOSEN | {"concept"},
    planned=BY_SETTING,
    required=frozenset({"concept"}),
    plan=_plan_insertion,
    result=Effect,
    tables=effect_tables,
    section=effect_section,
    chart=effect_chart,
    example='ganatomy.insert("study", concept="door", at=(9, 6)).table',
)
APPLY = Experiment(
    name="apply_edits",
    verb="apply",
    summary="make the edits of a file, and measure their effect on every concept",
    spec=EffectSpec,
    groups=(_Edit,),
    filled=_CHOSEN | {"concept", "multiple", "constant", "pool", "strength", "windows"},
    plan=_plan_edits,
    result=Effect,
    tables=effect_tables,
    section=effect_section,
    chart=effect_chart,
    example='ganatomy.apply_edits("study", edit="edit.json").table',
)
