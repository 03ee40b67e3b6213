"""What a dissection will take: time, memory and disk, from a look at a few images.

Time is measured: some images are drawn, segmented and counted. Memory follows from the sizes of the tables
(`stats.agreement`, `stats.pairs`), for as many concepts as the labels of those images make likely, and from what
drawing and segmenting took. The largest of these tables is that of the validation half, 8 bytes (16 from 2³¹ pixels on)
for each unit, concept that occurs, and level.
"""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import torch
from torch import Tensor

from ganatomy.core.devices import free_share, held_memory, with_memory
from ganatomy.core.errors import BadValue
from ganatomy.core.resample import Grid, labels_at
from ganatomy.experiments.choosing import KEPT_BYTES
from ganatomy.experiments.dissect_spec import RUN, DissectRun, DissectSpec
from ganatomy.experiments.dissection_stats import Counting
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.sampling import batch_size, chosen_layers, grid_of, observe
from ganatomy.experiments.shards import CALIBRATION_BYTES, TABLES, calibration_parts
from ganatomy.models.generators import LayerShape, Observation
from ganatomy.models.generators.protocol import opening_bytes
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.pairs import GROUP, GROUPED, blocks_of
from ganatomy.study.sharded import IN_MEMORY

COARSE = 64
"""Label maps of half the height are advised where that leaves so many rows."""
LABELLED = 24
"""So many images are segmented to see which concepts there are."""
READING = 4e-7
"""Seconds that choosing levels and scoring take for a unit, concept and level."""
QUANTILES = 3e-9
"""Seconds that measuring levels takes for an activation at label resolution."""
PACKING = 1.5e-8
"""Seconds that a byte of counts takes to be written and read again."""
PACKED, PAIRS_PACKED, STRIPS_PACKED = 5.5, 2.8, 1.6
"""So many times smaller tables of counts, counts of pairs, and top images are on disk."""
CONCLUDING = 600 << 20
"""What choosing levels and making tables needs in addition to the counts."""
REPEATS, REPEATED = 4, 1.0
"""So often what takes less than so many seconds is timed: others may be using the cores."""
R = TypeVar("R")


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        images: how many are drawn and segmented.
        seconds: on this machine, by one process.
        memory_bytes: of each process that counts.
        disk_bytes: at most, in the study's directory.
        passes: how often the images of each shard are drawn, because the tables of all layers do not fit in that.
    """

    images: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    passes: int


@dataclass(frozen=True)
class _Probe:
    """What a few images took and showed: bytes of this process before and of one batch, seconds an image, concepts.

    `opening` are those of this process at most while it opened the generator.
    """

    base: int
    opening: int
    batch: int
    draw: float
    label: float
    count: float
    grid: Grid
    image_bytes: int
    occurring: int
    in_shard: int
    scored: int


def forecast(spec: DissectSpec, models: ModelPair, memory: int | None = None, run: DissectRun = RUN) -> Forecast:
    """Say what a run will take in so many bytes of a process; None for half of what is free.

    Raises:
        BadValue: it cannot be done in that memory; says in how much, and how else.
    """
    return forecasts(spec, models, memory, run)[""]


def forecasts(
    spec: DissectSpec, models: ModelPair, memory: int | None = None, run: DissectRun = RUN
) -> dict[str, Forecast]:
    """Say what a run will take, as `forecast`, by option: "" as it is asked for, and those that save much of it."""
    layers = chosen_layers(models.subject, spec.layers)
    probe = _probe(spec, models, layers, run)
    found = {"": _estimate(spec, run, layers, probe, memory)}
    others = {}
    if spec.validation == "separate" and spec.images >= 4:
        others["--validation cross"] = (replace(spec, validation="cross"), probe)
    if spec.resolution is None and probe.grid.height >= 2 * COARSE:
        grid = Grid(probe.grid.height // 2, probe.grid.width // 2)
        coarse = replace(probe, grid=grid, count=probe.count / 4)
        others[f"--resolution {grid.height}"] = (replace(spec, resolution=grid.height), coarse)
    for option, (other, its_probe) in others.items():
        with contextlib.suppress(BadValue):  # what does not fit is no advice
            found[option] = _estimate(other, run, layers, its_probe, memory)
    return found


def _estimate(
    spec: DissectSpec, run: DissectRun, layers: Mapping[str, LayerShape], probe: _Probe, memory: int | None
) -> Forecast:
    units, bins = sum(shape.units for shape in layers.values()), spec.levels + 1
    area = probe.grid.height * probe.grid.width
    images = 2 * spec.images if spec.validation == "separate" else spec.images
    most = max(shape.units for shape in layers.values()) / units
    whole, counted = (8 * units * concepts * bins for concepts in (probe.occurring, probe.in_shard))
    pairs = pair_bytes(spec, units, probe.scored)
    shard = max(counted, pairs if spec.validation == "separate" else counted + pairs)
    limit = memory or free_share() or math.inf
    fixed = probe.base + probe.batch
    least = most * shard
    if TABLES * (limit - fixed) < least:
        raise BadValue(_refusal(limit, fixed + least / TABLES))
    table = min(shard, TABLES * (limit - fixed))
    merging = 2 * shard if shard <= IN_MEMORY else 2 * most * max(whole, pairs)
    passes = math.ceil(shard / max(table, 1))
    parts, calibration = len(calibration_parts(spec, layers)), len(spec.calibration_ids())
    maps = 4 * calibration * sum(math.prod(shape) for shape in layers.values())
    shown = min(spec.images, units * spec.top)
    strips = shown * probe.image_bytes + units * spec.top * math.ceil(area / 8)
    shards = len(run.shards(spec.halves()["validation"]))
    written = (whole + pairs) * max(1, shards if shard > IN_MEMORY else 1)
    seconds = (
        images * (passes * probe.draw + probe.label + probe.count)
        + calibration * (parts * probe.draw + units * area * QUANTILES)
        + shown * probe.draw
        + units * probe.scored * bins * READING
        + written * PACKING
    )
    memory_bytes = probe.base + max(
        min(maps, CALIBRATION_BYTES) + probe.batch,
        probe.batch + merging + table,
        CONCLUDING + strips * 2,
    )
    memory_bytes = max(memory_bytes, probe.opening)
    merged = 2 if shard > IN_MEMORY else 1  # from one file to another
    kept = whole / PACKED if spec.validation == "cross" else 0  # else the validation half only chooses levels
    disk = max(merged * whole / PACKED, kept + merged * pairs / PAIRS_PACKED) + strips / STRIPS_PACKED
    return Forecast(images, seconds, round(memory_bytes), round(disk), passes)


def pair_bytes(spec: DissectSpec, units: int, scored: int) -> int:
    """Return how many bytes the counts of the evaluation half take, see `PairCounts`."""
    bins, blocks = spec.levels + 1, blocks_of(len(spec.halves()["evaluation"]))
    kept = min(max(scored - 1, 0), max(GROUPED, KEPT_BYTES // (12 * units * bins) - 1))
    by_block = 2 * (scored + bins) * (blocks + 1) + min(kept, GROUPED) * math.ceil(bins / GROUP) * blocks
    return 4 * units * (by_block + scored + 2 * kept * bins)


def _refusal(memory: float, least: float) -> str:
    needed = math.ceil(least / 1e8) / 10
    return (
        f"this dissection takes at least {needed} GB of memory, and may take {memory / 1e9:.1f}: "
        f"give --memory {needed}, or fewer --layers"
    )


def _probe(spec: DissectSpec, models: ModelPair, layers: Mapping[str, LayerShape], run: DissectRun) -> _Probe:
    generator, segmenter, names = models.subject, models.segmenter, list(layers)
    models.labels(observe(generator, range(2), spec.seed, names))  # the first time includes set-up
    size = batch_size(run.batch, layers)
    base, ids = held_memory(), range(size)
    (seen, drawing), drew = _timed(
        lambda: with_memory(lambda: observe(generator, ids, spec.seed, names), generator.device)
    )
    (labels, labelling), labelled = _timed(lambda: with_memory(lambda: models.labels(seen), segmenter.device))
    grid, concepts = grid_of(spec, seen), len(segmenter.vocabulary)
    every, last = [labels], min(LABELLED, len(spec.halves()["evaluation"]))
    for i in range(size, last, size):
        every.append(models.labels(observe(generator, range(i, min(i + size, last)), spec.seed, [])))
    count = _counting_seconds(spec, seen, labels, grid, concepts)
    shown = torch.cat([labels_at(x, (grid.height, grid.width)) for x in every])
    maps = 4 * sum(math.prod(shape) for shape in layers.values())
    batch = round(size * (maps + max(drawing - size * maps, labelling, 0) / size))
    image_bytes = seen.images[0].numel() + 8
    expected = expected_concepts(shown, spec, concepts, run.shard)
    return _Probe(
        base, opening_bytes(generator), batch, drew / size, labelled / size, count, grid, image_bytes, *expected
    )


def _counting_seconds(spec: DissectSpec, seen: Observation, labels: Tensor, grid: Grid, concepts: int) -> float:
    """Return how many seconds counting an image takes, at levels that are guessed from the activations."""
    tables = {}
    for name, r in seen.features.items():
        values = r.float().transpose(0, 1).flatten(1)
        cuts = values[:, :: max(1, values.shape[1] // 4096)].sort(1).values
        place = torch.from_numpy((1 - spec.tops()) * (cuts.shape[1] - 1)).long().to(cuts.device)
        tables[name] = [Agreement(cuts[:, place].double(), concepts, labels.numel())]
    ids = range(len(labels) // 2 * 2)
    features = {name: r[: len(ids)] for name, r in seen.features.items()}

    def count() -> None:
        Counting("evaluation", tables, spec.top, concepts).update(ids, features, labels[: len(ids)], grid)

    count()  # compiled loops are loaded the first time
    return _timed(count)[1] / len(ids)


def _timed(work: Callable[[], R]) -> tuple[R, float]:
    """Return what a function returns, and how long it takes: what is short is done again, and the shortest counts."""
    start = perf_counter()
    found = work()
    took = [perf_counter() - start]
    while sum(took) < REPEATED and len(took) < REPEATS:
        start = perf_counter()
        work()
        took.append(perf_counter() - start)
    return found, min(took)


def expected_concepts(labels: Tensor, spec: DissectSpec, concepts: int, shard: int) -> tuple[int, int, int]:
    """Return how many concepts half a sample is likely to show, and a shard of it, and how many are scored.

    Those that a few images do not show are at least as many as follows from how many one shows and how many two show
    (Chao 1987), and at most as many as if each further image brought new ones as often as these did (Good 1953). The
    geometric mean of both is returned.

    Args:
        labels: [b, plane, h, w], of a few images.
        spec: how many images the sample has, and what is too rare to be scored.
        concepts: how many the vocabulary has.
        shard: how many images a shard has.
    """
    images = torch.zeros(len(labels), concepts, dtype=torch.bool)
    images.scatter_(1, labels.flatten(1).long().cpu(), value=True)
    images[:, 0] = True
    shown = images.sum(0)
    pixels = torch.bincount(labels.flatten().cpu(), minlength=concepts).double() / labels[:, 0].numel()
    seen, once, twice = (int(n) for n in ((shown > 0).sum(), (shown == 1).sum(), (shown == 2).sum()))
    unseen = once * once / (2 * twice) if twice else once * (once - 1) / 2

    def occurring(count: int) -> int:
        more = max(count - len(labels), 0) / len(labels)
        least, most = seen + unseen * (1 - math.exp(-more)), seen + once * more
        return max(1, min(concepts, round(math.sqrt(min(least, concepts) * min(most, concepts)))))

    half = len(spec.halves()["evaluation"])
    common = int(((pixels >= spec.rare) & (shown > 0)).sum())
    least = min(concepts, round(seen + unseen))
    return occurring(half), occurring(min(shard, half)), max(1, min(concepts, round(least * common / seen)))
