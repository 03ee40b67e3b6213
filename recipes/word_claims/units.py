"""Which units cause a thing, over which steps? Sets of units, each unit alone, and directions in place of units."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

import ganatomy
from ganatomy.core.layer_steps import at_step
from ganatomy.experiments.causal.choice import random_sets, ranked_layers
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, open_source
from ganatomy.experiments.causal.trials import count_changes
from ganatomy.experiments.causal.unit_effects import unit_effect_table
from ganatomy.interventions import Intervention
from ganatomy.models.generators import Subject
from ganatomy.models.generators.basis import in_basis
from ganatomy.models.generators.directions import DIRECTIONS
from ganatomy.stats.paired import PairedChange
from ganatomy.study import Study

Window = tuple[int, int]
Set = tuple[str, str, Window, tuple[int, ...]]
"""What an ablation is for, how its units were chosen, at which steps, and the units."""
ALONE = 2_000_000
"""First id of the images on which each unit is ablated alone: none of those that sets are measured on."""


@dataclass(frozen=True)
class SetsSpec(SampleSpec):
    """Sets of units of a block that are ablated at the steps of a window.

    Attributes:
        block: whose units; several, ``a,b``, where the same units of each are ablated at once.
        sets: see `Set`.
    """

    block: str = ""
    sets: tuple[Set, ...] = ()


def ablate_sets(spec: SetsSpec, source: DissectedModel, study: Study) -> pd.DataFrame:
    """Return one row for each set and scored concept, as `Effect.table` has them; `unit` numbers the sets."""
    trials = [
        [
            Intervention.ablate(layer, source.shape(layer), units)
            for block in spec.block.split(",")
            for layer in (at_step(block, step) for step in range(first, last + 1))
        ]
        for *_, (first, last), units in spec.sets
    ]
    work = partial(count_changes, source, spec, trials)
    change = study.sharded("sets", PairedChange, work, source.run.shards(spec.ids()))
    return unit_effect_table(source, change, None).drop(columns="first_order")


def top_by_iou(source: DissectedModel, block: str, concept: str, window: Window, top: int) -> tuple[int, ...]:
    """Return the units of greatest mean IoU at the dissected steps of a window."""
    layers = ranked_layers(source, [f"{block}@{step}" for step in range(window[0], window[1] + 1)])
    mean = sum(source.ious(layer, concept) for layer in layers)
    return tuple(mean.sort(descending=True, stable=True).indices[:top].tolist())  # type: ignore[union-attr]


def top_alone(source: DissectedModel, alone: pd.DataFrame, concept: str, top: int) -> tuple[int, ...]:
    """Return the units whose ablation alone took most of a concept away."""
    name = source.named(source.concept(concept))
    own = alone[(alone.concept == name.name) & (alone.category == name.category)]
    return tuple(own.sort_values("change", kind="stable").unit[:top].tolist())


def randoms(count: int, size: int, number: int, windows: Sequence[Window], seed: int) -> list[Set]:
    """Return random sets, the same for all concepts."""
    sets = random_sets(count, size, range(number), seed)
    return [("", "random", window, units) for window in windows for units in sets]


def read_sets(spec: SetsSpec, source: DissectedModel, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a concept, choice of units and window: its relative change, beside that of the random sets."""
    random = {window: [i for i, own in enumerate(spec.sets) if own[1:3] == ("random", window)]
              for window in {own[2] for own in spec.sets}}  # fmt: skip
    rows = []
    for i, (concept, by, window, units) in enumerate(spec.sets):
        if not concept:
            continue
        name = source.named(source.concept(concept))
        own = table[(table.concept == name.name) & (table.category == name.category)].set_index("unit")
        chance = own.relative[random[window]]
        row = own.loc[i]
        rows.append(
            (concept, by, f"{window[0]}..{window[1]}", len(units), row.before, row.relative, row.relative_error,
             chance.mean(), chance.std())
        )  # fmt: skip
    names = ["concept", "by", "steps", "units", "before", "relative", "error", "random", "random_spread"]
    return pd.DataFrame(rows, columns=names)


def in_other_basis(source: DissectedModel, block: str, layer: str, kind: str, images: int) -> Subject:
    """Return the model with directions in place of the block's units, at every step the same ones."""
    model: Subject = source.models.generator
    options = {"images": str(images)} if kind == "pca" else {}
    directions = DIRECTIONS.make(kind, kind, options, subject=model, layer=layer)
    for name in list(model.layers):
        if name.partition("@")[0] == block:
            model = in_basis(model, name, directions)
    return model


def dissected_in(source: DissectedModel, model: Subject, layer: str, out: Path) -> DissectedModel:
    """Dissect a model at one layer, as the source was dissected."""
    own = source.dissection.spec
    ganatomy.dissect(model, segmenter=source.models.segmenter, layers=[layer], out=out, images=own.images, device="cpu")
    return open_source(out, "cpu", model, source.models.segmenter, run=source.run)
