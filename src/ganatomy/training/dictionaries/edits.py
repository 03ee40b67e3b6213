"""Features of a dictionary ablated and inserted: how many pixels of every concept that leaves in each image.

One pass over the images makes all edits of a dictionary: some features that are named by a concept, each alone; as
many random features alone; for each concept the features that go best with it together, and as many random ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from ganatomy.core.progress import Progress
from ganatomy.core.tensor_types import PerUnit
from ganatomy.engines import Engine
from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows, SampleSpec
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.causal.trials import Baseline, baselines, render_edited
from ganatomy.interventions import Intervention
from ganatomy.stats.base import concat
from ganatomy.stats.regions import concept_counts, place_of_pixels

ALONE, TOGETHER, RANDOM, SETS = 3, 5, 12, 3
"""Features of each concept that are ablated alone, and together; random features alone, and random sets of these."""
SHARE = 4
"""Those of a concept are together at most so small a part of the smallest dictionary, one over this."""
PART = 4
"""An insertion is made in a square of the side of the layer's grid over this, at a random place of each image."""

Feature = tuple[int, int]
"""A feature, and the number of the concept that it is for."""


@dataclass(frozen=True)
class DictionaryEditSpec(SampleSpec):
    """Which features of a dictionary are edited, in a layer and in all steps of its block that have them.

    Attributes:
        concepts: their numbers.
        labelled: features that are matched to one of the concepts, and to which.
        sets: for each concept the features of greatest IoU with it.
        alone: random features.
        random: random sets of as many features as one of `sets` has.
        pool: how many images the strengths of an insertion are measured on.
    """

    images: int = 60
    concepts: tuple[int, ...] = ()
    labelled: tuple[Feature, ...] = ()
    sets: tuple[tuple[int, ...], ...] = ()
    alone: tuple[int, ...] = ()
    random: tuple[tuple[int, ...], ...] = ()
    pool: int = 200


class Trial(NamedTuple):
    """Features that are set: to 0 everywhere; or, of an insertion, to what they are where a concept is, in a square."""

    features: tuple[int, ...]
    inserted: int | None = None


class EditedPixels(JoinedRows):
    """Pixels of each image before and after each trial.

    Attributes:
        before: int32 [images, 2, concepts], of the whole image and of the square.
        after: int32 [images, trials, concepts]; of insertions in the square.
        changed: int32 [images, trials], pixels any of whose labels differs.
        own: int32 [images, trials, concepts], those of them that showed the concept before.
        area: int32 [images, 2], pixels of the image and of the square.
    """

    FIELDS: ClassVar = dict.fromkeys(("before", "after", "changed", "own", "area"), concat)

    def __init__(self, trials: int, concepts: int) -> None:
        self.before, self.area = torch.zeros(0, 2, concepts, dtype=torch.int32), torch.zeros(0, 2, dtype=torch.int32)
        self.after, self.own = torch.zeros(2, 0, trials, concepts, dtype=torch.int32)
        self.changed = torch.zeros(0, trials, dtype=torch.int32)

    before: Tensor
    after: Tensor
    changed: Tensor
    own: Tensor
    area: Tensor


def edit_spec(
    source: DissectedModel, layer: str, concepts: Sequence[int], images: int, seed: int, size: int
) -> DictionaryEditSpec:
    """Choose the features of a dictionary by its dissection; `size` of them go best with a concept.

    Random ones are active in some image, and none of the others as long as there are enough.
    """
    dissection = source.dissection
    alive = (dissection.scores.greatest > 0).nonzero()[0].tolist()
    iou = torch.nan_to_num(dissection.reading.iou, nan=-1.0)
    labelled: list[Feature] = []
    for c in concepts:
        units = dissection.units
        name = dissection.vocabulary[c]
        own = units[units.matched & (units.label == name.name) & (units.category == name.category)]
        best = own.sort_values("iou", ascending=False, kind="stable").unit.head(ALONE)
        labelled += [(int(unit), c) for unit in best]
    columns = torch.searchsorted(dissection.reading.concepts, torch.tensor(list(concepts)))
    sets = [tuple(row.topk(size).indices.sort().values.tolist()) for row in iou[:, columns].T]
    avoid = {feature for feature, _ in labelled}.union(*sets)
    near = [i for i, feature in enumerate(alive) if feature in avoid]
    (alone,) = random_sets(len(alive), min(RANDOM, len(alive)), range(1), seed, near)
    random = random_sets(len(alive), min(size, len(alive)), range(1, 1 + SETS), seed, near)
    return DictionaryEditSpec(
        **source.names(),
        layer=layer,
        images=images,
        seed=seed,
        concepts=tuple(concepts),
        labelled=tuple(labelled),
        sets=tuple(sets),
        alone=tuple(alive[i] for i in alone),
        random=tuple(tuple(alive[i] for i in each) for each in random),
    )


def set_size(features: int) -> int:
    """Return how many features go together, where the smallest dictionary has so many.

    >>> set_size(12), set_size(128)
    (3, 5)
    """
    return max(1, min(TOGETHER, features // SHARE))


def trials(spec: DictionaryEditSpec) -> dict[str, list[Trial]]:
    """Return what is done, by kind, in the order of the tables."""
    inserted = list(zip(spec.concepts, spec.sets, strict=True))
    return {
        "labelled": [Trial((feature,)) for feature, _ in spec.labelled],
        "alone": [Trial((feature,)) for feature in spec.alone],
        "sets": [Trial(each) for each in spec.sets],
        "random": [Trial(each) for each in spec.random],
        "inserted": [Trial(own, c) for c, own in inserted],
        "inserted at random": [Trial(spec.random[i % len(spec.random)], c) for i, (c, _) in enumerate(inserted)],
    }


def edited_pixels(
    source: DissectedModel, spec: DictionaryEditSpec, directory: Path, engine: Engine, progress: Progress | None
) -> EditedPixels:
    """Edit the features of a dictionary, and count; goes on where it was stopped."""
    pools = [layer_pool(source, layer, spec.pool, engine, progress) for layer in source.alike(spec.layer)]
    strengths = {c: [pool.constant(c).cpu() for pool in pools] for c in spec.concepts}
    with source.begin(directory, spec, engine, progress) as (study, source):
        work = partial(_count, source, spec, strengths)
        found = study.sharded("edited", EditedPixels, work, source.run.shards(spec.ids()))
        if not study.finished:
            study.finish()
    return found


@torch.no_grad()
def _count(
    source: DissectedModel, spec: DictionaryEditSpec, strengths: Mapping[int, Sequence[PerUnit]], ids: Sequence[int]
) -> EditedPixels:
    every = [trial for own in trials(spec).values() for trial in own]
    concepts, result = list(spec.concepts), EditedPixels(len(every), len(spec.concepts))
    shape, layers = source.shape(spec.layer), source.alike(spec.layer)
    for given in baselines(source, spec, ids):
        where = squares(given.ids, (shape.height, shape.width), spec.seed)
        pixels = _pixels(where, given)
        reads = [torch.ones_like(pixels), pixels]
        counts = [concept_counts(given.labels, source.concepts, read) for read in reads]
        showed = torch.stack([(given.labels == c).any(1) for c in concepts], 1)
        after, changed, own = [], [], []
        for trial in every:
            edits = [Intervention.ablate(layer, shape, trial.features) for layer in layers]
            if trial.inserted is not None:
                edits = [
                    Intervention.insert(layer, shape, trial.features, own, where)
                    for layer, own in zip(layers, strengths[trial.inserted], strict=True)
                ]
            labels = source.models.segmenter(render_edited(source, spec, given, edits))
            differs = (labels != given.labels).any(1)
            after.append(concept_counts(labels, source.concepts, reads[trial.inserted is not None])[:, concepts])
            changed.append(differs.sum((1, 2)))
            own.append((differs[:, None] & showed).sum((2, 3)))
        result.update(
            torch.stack([each[:, concepts] for each in counts], 1).int(),
            torch.stack(after, 1).int(),
            torch.stack(changed, 1).int(),
            torch.stack(own, 1).int(),
            torch.stack([each[:, 0] for each in counts], 1).int(),
        )
    return result


def squares(ids: Sequence[int], grid: tuple[int, int], seed: int) -> Tensor:
    """Return a square of each image as a map [b, h, w], at a place that depends on (seed, id) only."""
    where, sizes = torch.zeros(len(ids), *grid), [max(1, n // PART) for n in grid]
    for row, i in enumerate(ids):
        source = torch.Generator().manual_seed((seed * 1_000_003 + i) & (2**63 - 1))
        room = zip(grid, sizes, strict=True)
        top, left = (int(torch.randint(n - size + 1, (), generator=source)) for n, size in room)
        where[row, top : top + sizes[0], left : left + sizes[1]] = 1
    return where


def _pixels(where: Tensor, given: Baseline) -> Bool[Tensor, "b H W"]:
    """Return the pixels of places."""
    size = (given.labels.shape[-2], given.labels.shape[-1])
    places = place_of_pixels(size, (where.shape[1], where.shape[2]), given.labels.device)[0]
    return (where > 0).to(given.labels.device).flatten(1)[:, places]
