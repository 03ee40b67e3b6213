"""Measure every claim: one study each, so that what is finished is found again."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, TypeVar

from causal_claims.plan import Plan
from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.files import write_text
from ganatomy.core.vocabulary import addresses
from ganatomy.engines import Engine, local
from ganatomy.experiments.causal.ace import Ace, run_ace
from ganatomy.experiments.causal.ace_spec import scheduled
from ganatomy.experiments.causal.best_setting import BestSetting, cell_of, run_setting, setting_spec
from ganatomy.experiments.causal.capacity import Capacity, CapacitySpec, run_capacity
from ganatomy.experiments.causal.choice import default_layers
from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.experiments.causal.effects import Effect, EffectSpec, run_effect
from ganatomy.experiments.causal.place_truth import placement_rules
from ganatomy.experiments.causal.places import host_concepts
from ganatomy.experiments.causal.setting_spec import SettingSpec
from ganatomy.experiments.causal.trace import Trace, TraceSpec, run_trace
from ganatomy.experiments.causal.unit_effects import UnitEffects, UnitEffectSpec, run_unit_effects
from ganatomy.experiments.run_options import RunOptions

T = TypeVar("T")
CHOOSING = 2_000_000
"""First id of the images on which a setting is chosen: none of those that it is then measured on."""
RUN = RunOptions(shard=16)
"""Few images a shard, so that several are counted at once."""
ACROSS = 8
"""Places of a context map from side to side, at most."""


@dataclass
class Findings:
    """What came of it. What could not be measured is not in the lists; `skipped` says why, a line each."""

    curves: list[Ace] = field(default_factory=list)
    ablations: list[Effect] = field(default_factory=list)
    crossing: list[Effect] = field(default_factory=list)
    capacities: list[Capacity] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    settings: list[BestSetting] = field(default_factory=list)
    accepted: list[Context] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    each: list[UnitEffects] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def all(self) -> list[Any]:
        """Return every result, in the order of the page."""
        return [
            *self.curves, *self.ablations, *[one for one in self.crossing if one not in self.ablations],
            *self.capacities, *self.settings, *self.accepted, *self.contexts, *self.traces, *self.each,
        ]  # fmt: skip


class Bench:
    """Measures one model by a plan, each study in a directory of its own, and keeps what each took.

    Attributes:
        source: the dissection.
        plan: how much.
        directory: of the studies.
        execute: the engine that counts their shards.
        found: what came of it.
        seconds: of the processor, by the name of the study; of one that was interrupted, since it was last begun.
    """

    def __init__(self, source: DissectedModel, plan: Plan, directory: Path, engine: Engine = local) -> None:
        self.source, self.plan, self.directory, self.engine = source, plan, directory, engine
        self.found = Findings()
        self._clock = directory / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self._clock.read_text()) if self._clock.exists() else {}

    def attempt(self, name: str, run: Callable[..., T], ask: Callable[[], SampleSpec]) -> list[T]:
        """Return [what a study found], made in the directory of its name; [] if the model does not have what it takes.

        Args:
            name: of the study.
            run: answers a Spec.
            ask: makes the Spec.
        """
        begun = process_time()
        try:
            result = run(ask(), self.source, self.directory / name, engine=self.engine)
        except (BadValue, UnknownName) as error:
            self.found.skipped.append(f"{name}: {error}")
            print(f"{name}: left out, {error}", flush=True)
            return []
        self.seconds.setdefault(name, round(process_time() - begun, 1))
        write_text(self._clock, json.dumps(self.seconds, indent=1) + "\n")
        print(f"{name}: {self.seconds[name]} s", flush=True)
        return [result]

    def ace(self, layer: str, concept: str, options: Mapping[str, Any]) -> list[Ace]:
        """Find the units that cause a concept."""
        given = {"layer": layer, "concept": concept, "pool": self.plan.pool, **options}
        return self.attempt(f"{layer}-ace-{plain(concept)}", run_ace, lambda: scheduled(self.source, **given))

    def ablate(self, layer: str, concept: str, units: list[int]) -> list[Effect]:
        """Switch units off, and as many random ones."""
        spec = EffectSpec(
            **self.source.names(), layer=layer, units=tuple(units), concept=concept, images=self.plan.effects,
            chosen=f"top {len(units)} for {concept} by ace", pool=self.plan.pool,
        )  # fmt: skip
        return self.attempt(f"{layer}-ablate-{plain(concept)}", run_effect, lambda: spec)

    def capacity(self, concept: str) -> list[Capacity]:
        """Try every setting of an insertion where the object is allowed, with units that an ACE of each layer found."""
        sets = [
            (layer, f"ACE-{size}", tuple(ace.top(size)))
            for layer in self.plan.layers
            for ace in self.ace(layer, concept, self._search(layer, concept))
            for size in self.plan.sizes
        ]

        def ask() -> CapacitySpec:
            if not sets:
                raise BadValue(f"no layer has units for {concept}")
            return CapacitySpec(
                **self.source.names(), layer=sets[0][0], concept=concept, sets=tuple(sets), cells=self.plan.cells,
                multiples=self.plan.multiples, on=tuple(placement_rules(self.source, concept).allowed),
                images=self.plan.tried, first=CHOOSING, pool=self.plan.pool,
            )  # fmt: skip

        return self.attempt(f"capacity-{plain(concept)}", run_capacity, ask)

    def insert(self, capacity: Capacity) -> None:
        """Insert with the chosen setting at every place, and trace it."""
        chosen = capacity.table[capacity.table.picked]
        concept = plain(capacity.spec.concept)
        if chosen.empty:
            self.found.skipped.append(f"context and trace of {concept}: no setting could be chosen")
            return
        row = chosen.iloc[0]
        units = next(units for layer, by, units in capacity.spec.sets if (layer, by) == (row.layer, row.by))
        inserted = {
            **self.source.names(), "layer": str(row.layer), "concept": capacity.spec.concept, "units": units,
            "chosen": f"top {len(units)} for {concept} by ace", "multiple": float(row.multiple), "cell": int(row.cell),
            "pool": self.plan.pool,
        }  # fmt: skip
        stride = max(int(row.cell), self.source.shape(str(row.layer)).height // ACROSS)
        context = ContextSpec(**inserted, stride=stride, images=self.plan.context)
        trace = TraceSpec(**inserted, images=self.plan.trace, places=self.plan.places, show=3)
        self.found.contexts += self.attempt(f"context-{concept}", run_context, lambda: context)
        self.found.traces += self.attempt(f"trace-{concept}", run_trace, lambda: trace)

    def accept(self, concept: str) -> None:
        """Find the setting that inserts a concept best, and insert with it at every place of other images."""
        layers, name = default_layers(self.source), plain(concept)

        def ask() -> SettingSpec:
            return setting_spec(self.source, layers, concept, images=self.plan.choosing, pool=self.plan.pool)

        found = self.attempt(f"setting-{name}", run_setting, ask)
        self.found.settings += found
        if found:
            setting = found[0]
            side = self.source.grid(setting.best.layers()[-1])[0]
            context = ContextSpec(
                **self.source.names(), **setting.best.fields(), concept=concept, chosen=setting.best.name,
                cell=cell_of(self.source, setting.best), stride=max(1, side // ACROSS), pool=self.plan.pool,
                images=max(2, self.plan.context // 2),
            )  # fmt: skip
            self.found.accepted += self.attempt(f"context-{name}-best", run_context, lambda: context)

    def objects(self) -> list[str]:
        """Return the objects that are common enough, the most common first."""
        known = self.source.dissection.concepts
        known = known.iloc[[c - 1 for c in host_concepts(self.source)]]
        own = known[(known.share >= self.plan.common) & ~known.rare].sort_values("share", ascending=False)
        named = addresses(self.source.dissection.vocabulary)
        return [named[key] for key in zip(own.concept, own.category, strict=True)]

    def scored(self, names: tuple[str, ...]) -> list[str]:
        """Return the concepts that the model draws often enough; of the others it is noted."""
        kept = []
        for name in names:
            try:
                self.source.concept(name)
                kept.append(name)
            except (BadValue, UnknownName) as error:
                self.found.skipped.append(f"{name}: {error}")
        return kept

    def _search(self, layer: str, concept: str) -> Mapping[str, Any]:
        """Return the options of a search; one that was made for the curve is found again by its own."""
        whole = layer == self.plan.layer and concept in [ace.spec.concept for ace in self.found.curves]
        return self.plan.curve if whole else self.plan.sketch


def measure(bench: Bench, other: Bench | None) -> Findings:
    """Measure every claim of the paper on one model, and one of them on another, too."""
    plan, found = bench.plan, bench.found
    for concept in bench.scored(plan.curves)[: plan.at_least]:
        found.curves += bench.ace(plan.layer, concept, plan.curve)
    causes = {ace.spec.concept: ace for ace in found.curves}
    for concept in bench.objects():
        for ace in [causes[concept]] if concept in causes else bench.ace(plan.layer, concept, plan.sketch):
            found.ablations += bench.ablate(plan.layer, concept, ace.top(plan.top))
    found.crossing = [effect for effect in found.ablations if effect.spec.concept == plan.crossing]
    if other is None:
        found.skipped.append(
            f"{plan.crossing} across categories: there is no second model; name its study with --other"
        )
    else:
        for ace in other.ace(plan.layer, plan.crossing, plan.sketch):
            found.crossing += other.ablate(plan.layer, plan.crossing, ace.top(plan.top))
        found.skipped += [f"{other.source.dissection.spec.generator}, {reason}" for reason in other.found.skipped]
    accept(bench)
    for concept in bench.scored(plan.inserted):
        for capacity in bench.capacity(concept):
            found.capacities.append(capacity)
            bench.insert(capacity)
    alone = UnitEffectSpec(**bench.source.names(), layer=plan.layer, images=plan.each)
    found.each = bench.attempt("each-unit", run_unit_effects, lambda: alone)
    return found


def accept(bench: Bench) -> None:
    """Measure where the model accepts an object, with the best setting of each (Figure 11)."""
    for concept in bench.scored(bench.plan.accepted):
        bench.accept(concept)


def together(workers: int) -> Engine:
    """Return an engine that counts so many shards at once, in threads; the same bits come of it."""

    def engine(work: Callable[[range], T], shards: Sequence[range]) -> Iterator[tuple[int, T]]:
        with ThreadPoolExecutor(workers) as pool:
            yield from ((1, result) for result in pool.map(work, shards))

    return engine


def plain(concept: str) -> str:
    """Return the name of a concept for a file: ``object:water`` is water."""
    return concept.rpartition(":")[2]
