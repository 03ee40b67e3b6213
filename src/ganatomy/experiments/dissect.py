"""Which unit draws what? Dissection (Bau et al. 2019, 3.1; SPEC 1-2): one pass over a sample, every layer at once."""

import contextlib
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from ganatomy import consent
from ganatomy.devices import with_memory
from ganatomy.errors import BadModel, StudyError, UnknownName
from ganatomy.experiments.dissect_spec import HALVES, DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.models import Models
from ganatomy.experiments.reading import Chosen, choose
from ganatomy.experiments.strips import Strips, top_ids
from ganatomy.experiments.tally import Tally
from ganatomy.generators import Generator, LayerShape, Observation, Subject
from ganatomy.generators.margins import within_picture
from ganatomy.progress import tick
from ganatomy.resample import Grid
from ganatomy.stats.blocks import FEW, GROUP, Blocked, BlockedAgreement, GroupedAgreement, blocks_of
from ganatomy.stats.levels import ActivationLevels, exact_levels
from ganatomy.study import Study

CALIBRATION_BYTES = 1 << 29
"""How much of the calibration sample's features is held at once."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        images: pictures drawn and segmented.
        memory_bytes: greatest need of the tables and of drawing and segmenting one batch, beside the models' weights.
        disk_bytes: of the study.
        seconds: from a probe of one batch on this machine.
    """

    images: int
    memory_bytes: int
    disk_bytes: int
    seconds: float


def facts(spec: DissectSpec, models: Models) -> dict[str, Any]:
    """Return what is used: the models' fingerprints, their layers and words, and the versions of the software.

    A segmenter whose concepts are shown from thresholds on, its `thresholds`, has them told by concept.

    Raises:
        UnknownName: a layer that the generator does not have.
        BadValue: the sample takes more pictures than there are to look at.
    """
    generator, segmenter = models.subject, models.segmenter
    layers = chosen_layers(generator, spec.layers)
    for ids in spec.halves().values():
        generator.latents(ids[-1:], spec.seed)
    thresholds = dict(zip(segmenter.planes, getattr(segmenter, "thresholds", ()), strict=False))
    return {
        "inputs": {"generator": generator.fingerprint, "segmenter": segmenter.fingerprint},
        "layers": {name: list(shape) for name, shape in layers.items()},
        "vocabulary": [list(concept) for concept in segmenter.vocabulary],
        **({"thresholds": thresholds} if thresholds else {}),
        **({} if isinstance(generator, Generator) else {"verb": "see"}),  # what its units do; those of others draw
        **({"label_size": list(generator.label_size)} if hasattr(generator, "label_size") else {}),
        **({"noun": "direction"} if set(layers) <= set(getattr(generator, "turned", ())) else {}),  # others have units
        "versions": {name: version(name) for name in ("ganatomy", "torch", "numpy", "numba")},
        "machine": {"python": platform.python_version(), "system": platform.system(), "device": models.device},
    }


def chosen_layers(generator: Subject, names: Sequence[str]) -> dict[str, LayerShape]:
    """Return the shapes of the asked layers (all, if none is asked), in forward order.

    Raises:
        UnknownName: a layer that the generator does not have.
    """
    for name in names:
        if name not in generator.layers:
            raise UnknownName("layer", name, generator.layers)
    return {name: shape for name, shape in generator.layers.items() if not names or name in names}


def estimate(spec: DissectSpec, models: Models) -> Estimate:
    """Say what a run will take: memory of tables and disk by formula, time and memory of a batch from a few pictures.

    A table of one half has 4 bytes (8 from 2³¹ pixels on) for each unit × concept × (level + 1), matched and
    mismatched. For each block of pictures the evaluation half has three numbers more for each unit × concept, the
    validation half one for every eighth level. Four tables live at once while shards of the second half are merged.
    One batch of features comes on top, and one part of the calibration, of which the maps of one layer are copied
    twice.
    """
    generator, segmenter = models.subject, models.segmenter
    layers = chosen_layers(generator, spec.layers)
    units = sum(shape.units for shape in layers.values())
    maps = [4 * math.prod(shape) for shape in layers.values()]
    models.labels(_observe(generator, range(2), spec.seed, list(layers)))  # what is done once is done now
    ids = range(min(spec.batch, 8))
    start = perf_counter()
    seen, drawing = with_memory(lambda: _observe(generator, ids, spec.seed, list(layers)), generator.device)
    drawn = perf_counter()
    _, labelling = with_memory(lambda: models.labels(seen), segmenter.device)
    labelled = perf_counter()
    each = max(sum(maps) + labelling / len(ids), drawing / len(ids))
    height, width, _ = grid_of(spec, seen)
    number = 4 if spec.images * height * width < 2**31 else 8
    pairs = number * units * len(segmenter.vocabulary)
    table = 2 * pairs * (spec.levels + 1)
    chosen_on = table + pairs * blocks_of(len(spec.halves()["validation"]), FEW) * math.ceil((spec.levels + 1) / GROUP)
    scored = table + 3 * pairs * blocks_of(len(spec.halves()["evaluation"]))
    calibration = len(spec.calibration_ids())
    images = 2 * spec.images if spec.validation == "separate" else spec.images
    draw, label = (drawn - start) / len(ids), (labelled - drawn) / len(ids)
    count = units * height * width * 2e-9
    calibrate = calibration * (len(_calibration_parts(spec, layers)) * draw + count)
    held = CALIBRATION_BYTES + 2 * min(CALIBRATION_BYTES, calibration * max(maps))
    pictures = min(spec.images, units * spec.top) * (3 * seen.images.shape[-2] * seen.images.shape[-1] + 8)
    return Estimate(
        images=images,
        memory_bytes=round(chosen_on + 3 * scored + spec.batch * each + held),
        disk_bytes=chosen_on + scored + pictures + units * spec.top * height * width // 8,
        seconds=images * (draw + label + count) + calibrate + spec.images * draw,
    )


def grid_of(spec: DissectSpec, seen: Observation) -> Grid:
    """Return the points at which activations and labels are compared.

    At a lower resolution these are centres of label pixels, so that nothing is shifted; under the published threshold
    rule evenly spaced points, for which labels of neighbouring pixels stand, as the published code has it.
    """
    height, width = seen.images.shape[-2:]
    if spec.resolution is None:
        return Grid(height, width)
    rows, columns = spec.resolution, max(1, round(spec.resolution * width / height))
    return Grid(rows, columns, None if spec.threshold == "unit" else (height, width))


def run(spec: DissectSpec, study: Study, models: Models) -> Dissection:
    """Dissect a generator in a study directory; what is there already is not measured again.

    Raises:
        BadModel: NaN or Inf activations or pictures; names the layer, the unit and the latent id.
    """
    with contextlib.suppress(StudyError):  # it is only asked for again
        consent.agree([spec.generator, spec.segmenter])  # which stand in a file from now on, and were typed here
    if study.finished:
        return Dissection.open(study.directory)
    layers = chosen_layers(models.subject, spec.layers)
    parts = _calibration_parts(spec, layers)
    levels = study.sharded("levels", ActivationLevels, partial(measure_levels, spec, models), parts)

    def tally(half: str, level: Tensor | None) -> Tally:
        work = partial(tally_shard, spec, models, levels, level)
        return study.sharded(half, Tally, work, spec.shards(half))

    validation = tally("validation", None)
    chosen = study.step("chosen", Chosen, lambda: choose(spec, validation, layers))
    evaluation = tally("evaluation", chosen.scored(spec, validation, layers))
    draw = partial(draw_strips, spec, models)
    return Dissection.conclude(spec, study, levels, chosen, validation.beside(evaluation), draw)


def measure_levels(spec: DissectSpec, models: Models, units: range) -> ActivationLevels:
    """Measure the candidate levels of some units, numbered through all layers."""
    layers = chosen_layers(models.subject, spec.layers)
    result = ActivationLevels(sum(shape.units for shape in layers.values()), len(spec.tops()))
    wanted: dict[str, range] = {}
    first = 0
    for name, shape in layers.items():
        own = range(max(units.start - first, 0), min(units.stop - first, shape.units))
        if len(own):
            wanted[name] = own
        first += shape.units
    kept: dict[str, list[Tensor]] = {name: [] for name in wanted}
    grid = Grid(0, 0)
    for _, seen in _batches(spec, models.subject, spec.calibration_ids(), list(wanted)):
        grid = grid_of(spec, seen)
        for name, own in wanted.items():
            kept[name].append(seen.features[name][:, own.start : own.stop].float().cpu())
    start = units.start
    for name, own in wanted.items():
        levels = exact_levels(torch.cat(kept.pop(name)), grid, spec.tops(), spec.raw_level)
        result.update(torch.arange(start, start + len(own)), levels)
        start += len(own)
    return result


def tally_shard(spec: DissectSpec, models: Models, levels: ActivationLevels, level: Tensor | None, ids: range) -> Tally:
    """Count one shard: every layer, every statistic, one pass.

    Args:
        spec, models: what is dissected.
        levels: of every unit, the thresholds to count at.
        level: int16 [u, c], the one at which each pair is also counted by blocks of pictures; None for no blocks.
        ids: of the shard.
    """
    layers = chosen_layers(models.subject, spec.layers)
    half = next(name for name, own in spec.halves().items() if ids.start in own)
    tally: Tally | None = None
    for batch, seen in _batches(spec, models.subject, ids, list(layers)):
        grid = grid_of(spec, seen)
        if tally is None:
            pixels = spec.images * grid.height * grid.width
            units = [shape.units for shape in layers.values()]
            cuts = [cut.to(seen.images.device) for cut in levels.by_layer(units)]
            every = spec.halves()[half]
            tables: list[Blocked]
            if level is None:
                tables = [GroupedAgreement(cut, len(models.segmenter.vocabulary), every, pixels) for cut in cuts]
            else:
                pairs = zip(cuts, torch.split(level, units), strict=True)
                tables = [BlockedAgreement(cut, own, every, pixels) for cut, own in pairs]
            tally = Tally.empty(half, dict(zip(layers, tables, strict=True)), spec.top)
        tally.update(half, batch, seen.features, models.labels(seen), grid)
        if half == HALVES[0]:
            tally.see(half, batch, seen.images, len(every))
        tick(len(batch))
    assert tally is not None
    return tally


def draw_strips(
    spec: DissectSpec, models: Models, top: Mapping[str, Tensor], thresholds: Mapping[str, Tensor], places: range
) -> Strips:
    """Draw some of the top images of all units again, and where the units are on in them.

    Args:
        spec, models: what is dissected.
        top: by layer, ids int64 [u, k]; -1 for none.
        thresholds: by layer, float64 [u].
        places: which, among all top images in the order of their ids.
    """
    ids = top_ids(top)[places.start : places.stop]
    strips: Strips | None = None
    for batch, seen in _batches(spec, models.subject, ids, list(top)):
        height, width = seen.images.shape[-2:]
        strips = strips or Strips.empty(ids, (height, width), top, grid_of(spec, seen))
        strips.add(batch, seen.images, seen.features, top, thresholds)
        tick(len(batch))
    assert strips is not None
    return strips


def _batches(
    spec: DissectSpec, generator: Subject, ids: Sequence[int], layers: Sequence[str]
) -> Iterator[tuple[Sequence[int], Observation]]:
    for i in range(0, len(ids), spec.batch):
        batch = ids[i : i + spec.batch]
        seen = _observe(generator, batch, spec.seed, layers)
        _check_finite(seen, batch)
        yield batch, seen


def _observe(generator: Subject, ids: Sequence[int], seed: int, layers: Sequence[str]) -> Observation:
    if isinstance(ids, range):
        z = generator.latents(ids, seed)
    else:
        z = torch.cat([generator.latents(range(i, i + 1), seed) for i in ids])
    return within_picture(generator, generator.observe(z, layers))


def _check_finite(seen: Observation, ids: Sequence[int]) -> None:
    """Stop a run whose activations or pictures are not numbers.

    Raises:
        BadModel: names the first layer, unit and latent id.
    """
    for layer, r in (*seen.features.items(), ("picture", seen.images)):
        if not math.isfinite(float(r.sum())):
            bad = (~torch.isfinite(r)).flatten(2).any(2).nonzero()
            if len(bad):
                image, unit = bad[0].tolist()
                what = f"colour channel {unit} of the picture" if layer == "picture" else f"layer {layer}, unit {unit}"
                raise BadModel(f"{what} is NaN or Inf for latent id {ids[image]}; the model cannot be dissected")


def _calibration_parts(spec: DissectSpec, layers: Mapping[str, LayerShape]) -> list[range]:
    """Cut the units of all layers into parts whose features over the calibration sample fit in memory."""
    images = len(spec.calibration_ids())
    sizes = [4 * images * s.height * s.width for s in layers.values() for _ in range(s.units)]
    starts, held = [0], 0
    for unit, size in enumerate(sizes):
        if held and held + size > CALIBRATION_BYTES:
            starts.append(unit)
            held = 0
        held += size
    stops = [*starts[1:], len(sizes)]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]
