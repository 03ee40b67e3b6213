"""The experiments of the paper's size, each as `paper_size.py` runs it in a process of its own.

What would take days is bounded, and says what the whole would take: ``whole`` has the processor seconds, scaled from
those of the part that was done. ``bound`` is the memory by formula.
"""

import argparse
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from paper_models import Regions
from torch import Tensor
from unit_fid import cost_of

from ganatomy.core.devices import held_memory
from ganatomy.core.progress import NullProgress
from ganatomy.experiments.artifacts import Distances, distances
from ganatomy.experiments.bootstrap import ROOM
from ganatomy.experiments.causal import optimise
from ganatomy.experiments.causal.ace import run_ace
from ganatomy.experiments.causal.ace_spec import SCHEDULES, AceSpec, scheduled
from ganatomy.experiments.causal.context import ContextSpec, run_context
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.causal.optimise import PREFIX_BYTES
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.dissect import facts, run
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.forecast import forecast
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.monitor.snapshots import Snapshot, study_path, take_snapshot
from ganatomy.experiments.monitor.training_history import TrainingHistory
from ganatomy.experiments.real_comparison import RUN, SAVINGS, ArtifactSpec, FeatureTable
from ganatomy.experiments.run_options import cut
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.study import Study

Found = dict[str, Any]
SLOPE = 4
"""A pass with slopes keeps so many times the features of all layers."""
LOOK_BYTES = 500
"""Bytes to count a snapshot with errors, for each unit and scored concept; the draws made at once are extra."""


def dissect(args: argparse.Namespace) -> Found:
    """Dissect all layers."""
    models = ModelPair(f"progan:{args.generator}", segmenter(args), "cpu")
    spec = DissectSpec(models.generator_given, "regions", images=args.images, calibration=min(256, args.images))
    start = time.process_time()
    predicted = forecast(spec, models, args.memory)
    cost = time.process_time() - start
    with Study.create(args.out / "study", spec, facts(spec, models)) as study:
        run(spec, study, models, args.memory)
    return {"forecast": {**vars(predicted), "cost": cost}, "bound": args.memory}


def ace(args: argparse.Namespace) -> Found:
    """Find the units that cause a concept, by the published schedule with few candidates and updates."""
    source = opened(args)
    published = {**SCHEDULES["published"], "images": AceSpec.images}
    few = {"pool": args.pool, "candidates": args.candidates, "steps": args.updates, "images": 2}
    places = {"train": max(4, min(1000, args.pool // 10)), "held": max(2, min(200, args.pool // 50))}
    spec = scheduled(source, "published", layer=args.layer, concept=most_shown(source), **few, **places)
    base, phases = held_memory(), Phases()
    with timed(optimise, "begin") as begun:  # done once, however many updates follow
        run_ace(spec, source, args.out / "ace", progress=phases)
    names = {"pool": "pool", "candidates": "candidates", "alpha": "steps", "effects": "images", "curve": "images"}
    whole = phases.whole({name: published[field] for name, field in names.items()})
    whole -= sum(begun) * (published["steps"] / args.updates - 1)
    pool, drawing = pool_bytes(source, args), drawing_bytes(source, source.run.batch)
    shape = source.shape(args.layer)
    prefix = min(PREFIX_BYTES, 8 * (spec.train + spec.held) * math.prod(shape))
    bound = base + max(3 * pool + drawing, pool + prefix + SLOPE * 2 * drawing_bytes(source, spec.pairs))
    return {"bound": bound, "whole": whole, "phases": phases.took}


def context(args: argparse.Namespace) -> Found:
    """Insert 20 units at every place of two images; 48 images is what is asked for usually."""
    source = opened(args)
    name = most_shown(source)
    best = source.ious(args.layer, name).sort(descending=True, stable=True).indices
    query: dict[str, Any] = {"layer": args.layer, "concept": name, "units": tuple(best[:20].tolist()), "chosen": "IoU"}
    spec = ContextSpec(**source.names(), **query, images=2, pool=args.pool)
    base, phases = held_memory(), Phases()
    run_context(spec, source, args.out / "context", progress=phases)
    pool, drawing = pool_bytes(source, args), drawing_bytes(source, source.run.batch)
    whole = phases.whole({"pool": PoolSpec.images, "context": ContextSpec.images})
    return {"bound": base + max(3 * pool, pool + drawing) + drawing, "whole": whole, "phases": phases.took}


def unit_fid(args: argparse.Namespace) -> Found:
    """Rank units by the distances of their images, of which features and greatest activations are random."""
    m, units, d = args.described, args.units, args.features
    names: dict[str, Any] = dict.fromkeys(("dissection", "generator", "segmenter", "layer", "real"), "random")
    spec = ArtifactSpec(**names, images=m, top=m // 20, reals=m // 4)
    real = FeatureMoments(d)
    for own in torch.split(torch.arange(spec.reals), 4096):
        real.update(random_features(d, range(int(own[0]), int(own[-1]) + 1), seed=1))
    shards = cut(spec.ids(), max(RUN.shard, math.ceil(m / SAVINGS)))
    base, phases = held_memory(), Phases(distances=args.ranked)
    with Study.create(args.out / "unit-fid", spec, {"inputs": {}}, progress=phases) as study:
        made = study.sharded("generated images", FeatureTable, partial(random_described, d, units), shards)
        work = partial(distances, made, real, spec, torch.device("cpu"), phases)
        with contextlib.suppress(Enough):
            study.step("distances", Distances, work)
        study.finish(without=["generated images"])
    tables = 4 * m * (d + units)
    samples, shard = units + spec.draws, len(shards[0])
    own = cost_of(samples, spec.top, m, d, overwrite=True).memory_bytes
    collecting = tables + 2 * 4 * shard * (d + units)
    bound = base + max(collecting, 4 * m * d + own)
    return {"bound": bound, "whole": phases.whole({"distances": samples}), "state": tables, "phases": phases.took}


def monitor(args: argparse.Namespace) -> Found:
    """Count the units of three snapshots, each a finished dissection, with their errors, and read the history."""
    source = opened(args)
    directory, steps = args.out / "monitor", (1000, 2000, 3000)
    spec, inputs = source.dissection.spec, source.dissection.facts["inputs"]
    base, phases = held_memory(), Phases()
    for step in steps:
        linked(source.directory, directory / study_path(step, spec, inputs))
        phases.begin("snapshots", 1)
        snapshot, _ = take_snapshot(spec, source.models, directory, Snapshot(step, str(step)))
        phases.advance(1)
        phases.end()
        snapshot.write(directory)
    phases.begin("reading", len(steps))
    seen = TrainingHistory.open(directory)
    follows, turnover, since = seen.follow(), seen.turnover, seen.since
    phases.advance(len(steps))
    phases.end()
    kept = {"follows": len(follows), "turnover": len(turnover), "since": len(since)}
    bound = base + 2 * ROOM + LOOK_BYTES * source.dissection.reading.level.numel()
    state = sum(file.stat().st_size for file in source.directory.rglob("*") if file.is_file())  # of each snapshot
    return {"bound": bound, "state": state, "phases": phases.took, "rows": kept}


EXPERIMENTS: Mapping[str, Callable[[argparse.Namespace], Found]] = {
    "dissect": dissect,
    "ace": ace,
    "unit-fid": unit_fid,
    "context": context,
    "monitor": monitor,
}


@contextlib.contextmanager
def timed(module: ModuleType, name: str) -> Iterator[list[float]]:
    """Note the processor seconds of each call of a function."""
    function, took = getattr(module, name), []

    def calling(*given: Any) -> Any:
        since = time.process_time()
        result = function(*given)
        took.append(time.process_time() - since)
        return result

    setattr(module, name, calling)
    try:
        yield took
    finally:
        setattr(module, name, function)


class Enough(Exception):
    """A phase is as far as was asked for."""


class Phases(NullProgress):
    """Progress that notes what each phase took.

    Args:
        most: of a phase, by name, so many pieces are enough.

    Attributes:
        took: processor seconds and pieces of each phase, by name.
    """

    def __init__(self, **most: int) -> None:
        self.took: dict[str, tuple[float, int]] = {}
        self._most, self._label, self._since, self._done = most, "", 0.0, 0

    def begin(self, label: str, total: int) -> None:  # noqa: ARG002  what is done counts
        """Note when a phase begins."""
        self._label, self._since, self._done = label, time.process_time(), 0

    def advance(self, pieces: int) -> None:
        """Note that so many more pieces are done; stop where that is enough."""
        self._done += pieces
        if self._done >= self._most.get(self._label, math.inf):
            raise Enough

    def end(self) -> None:
        """Note when it ends."""
        seconds, pieces = self.took.get(self._label, (0.0, 0))
        self.took[self._label] = (seconds + time.process_time() - self._since, pieces + self._done)

    def whole(self, full: Mapping[str, int]) -> float:
        """Return the processor seconds until now, had each phase had so many pieces."""
        more = (seconds * (full.get(name, pieces) / pieces - 1) for name, (seconds, pieces) in self.took.items())
        return time.process_time() + sum(more)


def segmenter(args: argparse.Namespace) -> Regions:
    """Return what labels the images."""
    return Regions(args.concepts, min(args.common, args.concepts))


def opened(args: argparse.Namespace) -> DissectedModel:
    """Open the dissection that is given, by links beside which other studies may lie, or the one that was made here."""
    study = args.out / "study"
    if args.study is not None and not study.exists():
        linked(args.study, study)
    return open_source(study, segmenter=segmenter(args))


def linked(study: Path, place: Path) -> None:
    """Have a finished study lie in another place, too; its files take no more room."""
    for file in (file for file in study.rglob("*") if file.is_file() and not file.name.startswith(".")):
        own = place / file.relative_to(study)
        own.parent.mkdir(parents=True, exist_ok=True)
        if not own.exists():
            os.link(file, own)


def most_shown(source: DissectedModel) -> str:
    """Return the name of the concept that covers most of the images."""
    concepts = source.dissection.concepts
    return str(concepts.concept[concepts.share.idxmax()])


def pool_bytes(source: DissectedModel, args: argparse.Namespace) -> int:
    """Return what the tables of a pool take: by concept and unit, by concept and place, by image and concept."""
    units, height, width = source.shape(args.layer)
    return 8 * source.concepts * (units + height * width + args.pool)


def drawing_bytes(source: DissectedModel, images: int) -> int:
    """Return what the features of all layers take of the images that are drawn at once."""
    return 4 * source.batch(images) * sum(math.prod(shape) for shape in source.models.generator.layers.values())


def random_features(d: int, ids: range, seed: int = 0) -> Tensor:
    """Return skewed, correlated features [ids, d]."""
    dice = torch.Generator().manual_seed(2 * ids.start + seed)
    mix = torch.randn(64, d, generator=torch.Generator().manual_seed(0))
    common = torch.randn(len(ids), 64, generator=dice) @ mix
    return common.add_(torch.randn(len(ids), d, generator=dice)).relu_()


def random_described(d: int, units: int, ids: range) -> FeatureTable:
    """Return random images described."""
    dice = torch.Generator().manual_seed(ids.start)
    return FeatureTable.of([random_features(d, ids)], [torch.randn(len(ids), units, generator=dice)])
