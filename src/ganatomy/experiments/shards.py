"""What is done for one shard of each step of a dissection."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ganatomy.core.devices import held_memory
from ganatomy.core.progress import report_progress
from ganatomy.core.resample import Grid
from ganatomy.core.tensor_files import Archive, packed
from ganatomy.core.tensor_types import Labels
from ganatomy.experiments.dissect_spec import HALVES, DissectSpec
from ganatomy.experiments.dissection_stats import Counting, SaidConcepts, Tally
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.prompted import said_concepts
from ganatomy.experiments.sampling import batches, chosen_layers, grid_of
from ganatomy.experiments.top_images import Strips, top_ids
from ganatomy.models.generators import LayerShape
from ganatomy.models.generators.protocol import prompts_of
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.levels import ActivationLevels, exact_levels
from ganatomy.stats.pairs import PairCounts, PairLevels, size
from ganatomy.stats.rows import Bins
from ganatomy.study.sharded import IN_MEMORY

TABLES = 0.65
"""How much of the memory left by models and a batch tables of counts may take; merging takes the rest."""
CALIBRATION_BYTES = 1 << 30
"""How much of the calibration sample's features is held at once. The images are drawn again for each part."""


def calibration_parts(spec: DissectSpec, layers: Mapping[str, LayerShape]) -> list[range]:
    """Cut the units of all layers into parts whose features over the calibration sample fit in memory."""
    images = len(spec.calibration_ids())
    sizes = [4 * images * s.height * s.width for s in layers.values() for _ in range(s.units)]
    starts, held = [0], 0
    for unit, own in enumerate(sizes):
        if held and held + own > CALIBRATION_BYTES:
            starts.append(unit)
            held = 0
        held += own
    stops = [*starts[1:], len(sizes)]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]


def measure_levels(spec: DissectSpec, models: ModelPair, batch: int, units: range) -> ActivationLevels:
    """Measure the candidate levels of some units, numbered through all layers."""
    layers, ids = chosen_layers(models.subject, spec.layers), spec.calibration_ids()
    result = ActivationLevels(sum(shape.units for shape in layers.values()), len(spec.tops()))
    pair_levels: dict[str, range] = {}
    first = 0
    for name, shape in layers.items():
        own = range(max(units.start - first, 0), min(units.stop - first, shape.units))
        if len(own):
            pair_levels[name] = own
        first += shape.units
    kept: dict[str, Tensor] = {}
    grid, done = Grid(0, 0), 0
    for part, seen in batches(spec, models.subject, batch, ids, list(pair_levels)):
        grid = grid_of(spec, seen)
        for name, own in pair_levels.items():
            r = seen.features[name][:, own.start : own.stop]
            if name not in kept:  # sized by what is seen: `observe` cuts what lies beyond the image off
                kept[name] = torch.empty(len(ids), *r.shape[1:])
            kept[name][done : done + len(part)] = r
        done += len(part)
    start = units.start
    for name, own in pair_levels.items():
        levels = exact_levels(kept.pop(name), grid, spec.tops(), spec.raw_level)
        result.update(torch.arange(start, start + len(own)), levels)
        start += len(own)
    return result


def tally_shard(
    spec: DissectSpec,
    models: ModelPair,
    batch: int,
    levels: Mapping[str, Tensor],
    pair_levels: Mapping[str, PairLevels] | None,
    memory: int | None,
    ids: range,
) -> Tally:
    """Count one shard: every layer, every statistic, in one pass over its images, or in several where room is short.

    Args:
        spec, models: what is dissected.
        batch: images a forward pass.
        levels: by layer, the thresholds to count at, float64 [u, l].
        wanted: by layer, what is counted of the evaluation half; None for the validation half.
        memory: how many bytes this process may take; None for any. Of what models and a batch leave of it,
            tables of counts take two thirds, and merging the rest. Layers that do not fit are counted in another
            pass, for which images are drawn again and labels are remembered. Counts are the same.
        ids: of the shard.
    """
    half = next(name for name, own in spec.halves().items() if ids.start in own)
    passes = _Passes(spec, models, batch, levels, pair_levels, half)
    left, done = list(levels), list[Tally]()
    labels = dict[int, Labels]() if memory is not None and sum(map(passes.nbytes, left)) > TABLES * memory / 2 else None
    while left:
        counting = passes.count(ids, left, memory, labels, first=not done)
        left = [layer for layer in left if layer not in counting.tables]
        large, parts = counting.nbytes > IN_MEMORY, dict(counting.tally().parts)
        del counting
        done += _set_aside(parts) if left or large else [Tally(parts)]  # what is counted or merged next takes as much
    return Tally.joined(done)


def _set_aside(parts: dict[str, Accumulator]) -> list[Tally]:
    return [Tally.from_state(Archive(packed(Tally({name: parts.pop(name)}).state_dict()))) for name in list(parts)]


@dataclass(frozen=True)
class _Passes:
    """Counts some layers of a shard at a time; the fields are those of `tally_shard`."""

    spec: DissectSpec
    models: ModelPair
    batch: int
    levels: Mapping[str, Tensor]
    pair_levels: Mapping[str, PairLevels] | None
    half: str

    @property
    def concepts(self) -> int:
        return len(self.models.segmenter.vocabulary)

    @cached_property
    def mentioned(self) -> SaidConcepts | None:
        prompts = prompts_of(self.models.subject)
        return said_concepts(prompts, self.models.segmenter.vocabulary) if any(prompts) else None

    @property
    def whole(self) -> bool:
        return self.pair_levels is None or self.spec.validation == "cross"

    def nbytes(self, layer: str) -> int:
        whole = 8 * self.concepts * len(Bins.between(self.levels[layer]).kept) if self.whole else 0
        return whole + (size(self.pair_levels[layer], len(self.spec.halves()[self.half])) if self.pair_levels else 0)

    def count(
        self, ids: range, layers: Sequence[str], memory: int | None, labels: dict[int, Labels] | None, first: bool
    ) -> Counting:
        """Count as many of the layers as there is room for.

        Args:
            ids: of the images.
            layers: what is left to count.
            memory: see `tally_shard`.
            labels: by the first id of a batch, those that are remembered; None to remember none.
            first: whether nothing was counted before; else what is not of a layer is not counted again.
        """
        every, counting, names, room = self.spec.halves()[self.half], None, list(layers), math.inf
        for part, seen in batches(self.spec, self.models.subject, self.batch, ids, names):
            grid = grid_of(self.spec, seen)
            if counting is None:
                room = math.inf if memory is None else TABLES * (memory - held_memory())
                while self.pair_levels is not None and len(names) > 1 and sum(map(self.nbytes, names)) > room:
                    names.pop()
                counting = self._empty(names, seen.images.device, grid.height * grid.width, len(ids))
            known = labels.get(part[0]) if labels is not None else None
            if known is None:
                known = self.models.labels(seen)
                if labels is not None:
                    labels[part[0]] = known.to(torch.int16 if self.concepts < 2**15 else torch.int32).cpu()
            counting.update(part, seen.features, known.to(seen.images.device), grid)
            if self.half == HALVES[0] and first:
                counting.see(part, seen.images, len(every))
            while len(names) > 1 and counting.nbytes > room:
                counting.drop(names.pop())
            if first:
                report_progress(len(part))
        assert counting is not None
        return counting

    def _empty(self, names: Sequence[str], device: torch.device, area: int, images: int) -> Counting:
        tables: dict[str, list[Agreement | PairCounts]] = {}
        for name in names:
            tables[name] = []
            if self.whole:
                tables[name].append(Agreement(self.levels[name].to(device), self.concepts, images * area))
            if self.pair_levels is not None:
                tables[name].append(PairCounts(self.pair_levels[name].to(device), self.spec.halves()[self.half], area))
        mentioned = self.mentioned if self.half == HALVES[0] or self.spec.validation == "cross" else None
        return Counting(self.half, tables, self.spec.top, self.concepts, mentioned)


def draw_strips(
    spec: DissectSpec,
    models: ModelPair,
    batch: int,
    top: Mapping[str, Tensor],
    thresholds: Mapping[str, Tensor],
    places: range,
) -> Strips:
    """Draw some of the top images of all units again, and where the units are on in them.

    Args:
        spec, models: what is dissected.
        batch: images a forward pass.
        top: by layer, ids int64 [u, k]; -1 for none.
        thresholds: by layer, float64 [u].
        places: which, among all top images in the order of their ids.
    """
    ids = top_ids(top)[places.start : places.stop]
    strips: Strips | None = None
    for part, seen in batches(spec, models.subject, batch, ids, list(top)):
        height, width = seen.images.shape[-2:]
        strips = strips or Strips.empty(ids, (height, width), top, grid_of(spec, seen))
        strips.add(part, seen.images, seen.features, top, thresholds)
        report_progress(len(part))
    assert strips is not None
    return strips
