"""Measure every part, one study each, so that what is finished is found again."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, TypeVar

import pandas as pd

import ganatomy
from ganatomy.core.files import write_text
from ganatomy.core.layer_steps import at_step, split_layer
from ganatomy.engines import local
from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, open_source
from ganatomy.experiments.causal.unit_effects import label_agreement
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.run_options import RunOptions
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.word_maps import SUFFIX
from ganatomy.study import Study
from word_claims.plan import Plan
from word_claims.steps import NoiseSpec, SwapSpec, after_noise, after_swap
from word_claims.units import (
    ALONE,
    Set,
    SetsSpec,
    ablate_sets,
    dissected_in,
    in_other_basis,
    randoms,
    read_sets,
    top_alone,
    top_by_iou,
)

S = TypeVar("S", bound=SampleSpec)
Measure = Callable[[S, DissectedModel, Study], pd.DataFrame]


@dataclass
class Findings:
    """What came of it.

    Attributes:
        tables: by name, as they are saved.
        contexts: the insertions, in the order of the plan.
        bases: the dissection of each basis, by its name.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)
    bases: dict[str, Dissection] = field(default_factory=dict)


class Bench:
    """A dissected model that is measured by a plan, each study in a directory of its own.

    Attributes:
        last: the last step.
        units: of the block.
        seconds: of the processor, by the name of the part; of one that was interrupted, since it was last begun.
    """

    def __init__(self, source: DissectedModel, plan: Plan, directory: Path) -> None:
        self.source, self.plan, self.directory = source, plan, directory
        self.last = sum(split_layer(name).block == plan.block for name in source.models.subject.layers)
        self.units = source.shape(self.layers[0]).units
        self._clock = directory / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self._clock.read_text()) if self._clock.exists() else {}

    @classmethod
    def dissected(cls, plan: Plan, out: Path, tiny: str = "") -> "Bench":
        """Dissect the model, or find that done, and return it ready to be measured."""
        layers = [f"{plan.block}@{step}" for step in plan.dissected_at]
        generator, segmenter = (tiny, "planted") if tiny else (plan.generator, plan.segmenter)
        place = out / "dissection"
        ganatomy.dissect(
            generator, segmenter=segmenter, layers=layers, out=place, images=plan.dissected, device="cpu"
        )  # fmt: skip
        return cls(open_source(place, "cpu", run=RunOptions(shard=16)), plan, out / "studies")

    @property
    def layers(self) -> list[str]:
        """The layers of the block, all steps."""
        return [f"{self.plan.block}@{step}" for step in range(1, self.last + 1)]

    def requested(self, images: int, source: DissectedModel | None = None) -> dict[str, Any]:
        """Return the first fields of a Spec."""
        return {**(source or self.source).names(), "layer": self.layers[0], "images": images}

    def study(self, name: str, spec: S, measured: Measure[S], source: DissectedModel | None = None) -> pd.DataFrame:
        """Return a table, measured in a study of its name, or found there."""
        with self.timed(name), (source or self.source).begin(self.directory / name, spec, local, None) as (study, own):
            if not study.finished:
                study.write_table("table", measured(spec, own, study))
                study.finish()
            return study.read_table("table")

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Keep the processor seconds of a part that has not been timed yet."""
        began = process_time()
        yield
        self.seconds.setdefault(name, round(process_time() - began, 1))
        write_text(self._clock, json.dumps(self.seconds, indent=1) + "\n")
        print(f"{name}: {self.seconds[name]} s", flush=True)


def measure(bench: Bench, names: Collection[str]) -> Findings:
    """Measure some parts of the page, by their names in `PARTS`."""
    found = Findings()
    for name, part in PARTS.items():
        if name in names:
            part(bench, found)
    return found


def decided(bench: Bench, found: Findings) -> None:
    """Measure in which steps things are decided."""
    plan, tables = bench.plan, []
    for concept, mentioned, denied in plan.words:
        swap = SwapSpec(**bench.requested(plan.swapped), concept=concept, mentioned=mentioned, denied=denied)
        tables.append(bench.study(f"swap-{concept}", swap, lambda spec, own, _: after_swap(spec, own)))
    found.tables["swap"] = pd.concat(tables, ignore_index=True)
    noise = NoiseSpec(**bench.requested(plan.renoised), concepts=plan.layout)
    found.tables["noise"] = bench.study("noise", noise, lambda spec, own, _: after_noise(spec, own))


def units(bench: Bench, found: Findings) -> None:
    """Ablate every unit alone, and sets of units that are chosen by that and by IoU."""
    windows(bench, found, labels(bench, found))


def labels(bench: Bench, found: Findings) -> pd.DataFrame:
    """Ablate every unit alone at all steps; compare with the labels of each dissected step. Return the effects."""
    whole = (1, bench.last)
    sets: tuple[Set, ...] = tuple(("", "alone", whole, (unit,)) for unit in range(bench.units))
    spec = SetsSpec(**bench.requested(bench.plan.each), first=ALONE, block=bench.plan.block, sets=sets)
    alone = bench.study("alone", spec, ablate_sets)
    layers = [f"{bench.plan.block}@{step}" for step in bench.plan.dissected_at]
    tables = {layer: label_agreement(bench.source.dissection, layer, alone) for layer in layers}
    joined = pd.concat(tables, names=["layer"]).reset_index("layer")
    random = joined.rule == "random labels"  # it knows no step
    found.tables["labels"] = pd.concat([joined[~random], joined[random][:1].assign(layer="–")], ignore_index=True)
    return alone


def windows(bench: Bench, found: Findings, alone: pd.DataFrame) -> None:
    """Ablate the units of each concept, chosen in two ways, at the steps of each window."""
    plan, source = bench.plan, bench.source
    sets = randoms(bench.units, plan.top, plan.random, plan.windows, 0)
    for concept in plan.concepts:
        by_effect = top_alone(source, alone, concept, plan.top)
        for window in plan.windows:
            by_iou = top_by_iou(source, plan.block, concept, window, plan.top)
            sets += [(concept, "IoU", window, by_iou), (concept, "effect alone", window, by_effect)]
    spec = SetsSpec(**bench.requested(plan.ablated), block=plan.block, sets=tuple(sets))
    found.tables["windows"] = read_sets(spec, source, bench.study("windows", spec, ablate_sets))


def inserted(bench: Bench, found: Findings) -> None:
    """Insert things at every place: all units of the block at every step set to what they are where the thing is."""
    plan, every = bench.plan, tuple(range(bench.units))
    for concept in plan.inserted:
        spec = ContextSpec(
            **bench.requested(plan.placed), units=every, more=tuple((layer, every) for layer in bench.layers[1:]),
            concept=concept, chosen=f"all units of {plan.block}", cell=plan.cell, stride=plan.cell, pool=plan.pool,
        )  # fmt: skip
        with bench.timed(f"context-{concept}"):
            found.contexts.append(run_context(spec, bench.source, bench.directory / f"context-{concept}"))
    for name in ("verdict", "possible"):
        own = {context.spec.concept: getattr(context, name) for context in found.contexts}
        if own:
            found.tables[name] = pd.concat(own, names=["for"]).reset_index("for")


def bases(bench: Bench, found: Findings) -> None:
    """Dissect and ablate directions in the place of units, at one step and at all."""
    plan, whole, tables = bench.plan, (1, bench.last), {}
    layer = f"{plan.block}@{plan.dissected_at[(len(plan.dissected_at) - 1) // 2]}"
    for kind in ("units", "rotation", "pca"):
        source = bench.source
        if kind != "units":
            with bench.timed(f"dissected-{kind}"):
                model = in_other_basis(source, plan.block, layer, kind, plan.sampled)
                source = dissected_in(source, model, layer, bench.directory / f"dissected-{kind}")
        found.bases[kind] = source.dissection
        sets = randoms(bench.units, plan.top, plan.random, [whole], 0)
        for concept in plan.concepts:
            step = int(layer.partition("@")[2])
            sets.append((concept, "IoU", whole, top_by_iou(source, plan.block, concept, (step, step), plan.top)))
        spec = SetsSpec(**bench.requested(plan.ablated, source), block=plan.block, sets=tuple(sets))
        tables[kind] = read_sets(spec, source, bench.study(f"basis-{kind}", spec, ablate_sets, source))
    found.tables["basis"] = pd.concat(tables, names=["basis"]).reset_index("basis")
    found.tables["matched"] = pd.DataFrame([_matched(kind, own, layer) for kind, own in found.bases.items()])


def attention(bench: Bench, found: Findings) -> None:
    """Compare the attention to each word with its thing; take it away, and for comparison units of the block."""
    plan, whole, own = bench.plan, (1, bench.last), bench.source.dissection.spec
    middle = plan.dissected_at[(len(plan.dissected_at) - 1) // 2]
    prompts = ";".join(f"a church with a {word}" for word in plan.attended)
    name = f"{own.generator}{'&' if '?' in own.generator else '?'}words=yes&prompts={prompts}"
    blocks = [block for block in open_generator(name).blocks if block.endswith(SUFFIX)]
    out, layers = bench.directory / "dissected-words", [at_step(block, middle) for block in [*blocks, plan.block]]
    with bench.timed("dissected-words"):
        ganatomy.dissect(name, segmenter=own.segmenter, layers=layers, out=out, images=own.images, device="cpu")
    source = open_source(out, "cpu", run=bench.source.run)
    found.tables["maps"] = source.dissection.word_maps
    words = list(source.models.generator.unit_names[layers[0]])
    taken: list[Set] = [(each, "its word", whole, (words.index(each),)) for each in plan.attended]
    taken += [("", "random", whole, (i,)) for i, word in enumerate(words) if word not in plan.attended]
    units = randoms(bench.units, plan.top, plan.random, [whole], 0)
    for each in plan.attended:
        units.append(
            (each, f"{plan.top} units", whole, top_by_iou(source, plan.block, each, (middle, middle), plan.top))
        )
    tables = []
    for study, block, sets in (("words", ",".join(blocks), taken), ("word-units", plan.block, units)):
        spec = SetsSpec(**bench.requested(plan.ablated, source), block=block, sets=tuple(sets))
        tables.append(read_sets(spec, source, bench.study(study, spec, ablate_sets, source)))
    found.tables["attention"] = pd.concat(tables, ignore_index=True)


def _matched(kind: str, own: Dissection, layer: str) -> dict[str, Any]:
    units = own.units[own.units.layer == layer]
    kept = units[units.matched]
    return {"basis": kind, "layer": layer, "directions": len(units), "matched": len(kept),
            "concepts": kept.label.nunique(), "iou": kept.iou.mean()}  # fmt: skip


PARTS: Mapping[str, Callable[[Bench, Findings], None]] = {
    "decided": decided,
    "units": units,
    "inserted": inserted,
    "basis": bases,
    "attention": attention,
}
"""What measures each part, by name."""
