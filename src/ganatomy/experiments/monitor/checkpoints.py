"""Saved checkpoints of one training, dissected one after the other (S-6.6, Figure 18)."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from ganatomy.core.errors import BadModel, GanatomyError, StudyError
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.dissect_spec import RUN, DissectSpec
from ganatomy.experiments.forecast import Forecast, forecast
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.monitor.snapshots import Snapshot, check_directory, log_time, take_snapshot
from ganatomy.experiments.monitor.steps import Checkpoint
from ganatomy.experiments.monitor.training_history import TrainingHistory
from ganatomy.experiments.sampling import chosen_layers
from ganatomy.models.segmenters import Segmenter, open_segmenter


def run_monitor(
    checkpoints: Sequence[Checkpoint],
    directory: Path,
    options: Mapping[str, Any],
    device: str = "cpu",
    engine: Engine = local,
    progress: Progress | None = None,
) -> TrainingHistory:
    """Dissect checkpoints into the directory of a monitor; what was dissected already is not dissected again.

    A checkpoint that cannot be dissected is noted and passed over, as is one that has none of the layers yet.

    Args:
        checkpoints: see `plan_checkpoints`.
        directory: of the monitor; snapshots that it has already stay, those of the same step are replaced.
        options: fields of `DissectSpec` and `DissectRun`, but for the generator.
        device: where to compute.
        execute: the engine that counts the shards.
        progress: who shows how far it is.
    """
    run = RUN.take(own := dict(options))
    requested, segmenter = prepare(checkpoints, directory, own, device)
    reasons = []
    for number, checkpoint in enumerate(checkpoints, start=1):
        shown = _Numbered(progress or NullProgress(), f"{number}/{len(checkpoints)} step {checkpoint.step}: ")
        snapshot = Snapshot(checkpoint.step, checkpoint.name)
        started = perf_counter()
        try:
            spec, models = _open(requested, checkpoint, segmenter, device)
            snapshot, _ = take_snapshot(spec, models, directory, snapshot, (engine, shown, run))
        except StudyError:
            raise
        except GanatomyError as error:
            snapshot = dataclasses.replace(snapshot, reason=" ".join(str(error).split()))
            reasons.append(f"{checkpoint.name}: {snapshot.reason}")
        snapshot.write(directory)
        log_time(directory, checkpoint.step, perf_counter() - started)
    if len(reasons) == len(checkpoints):
        raise BadModel(f"none of {len(checkpoints)} checkpoints could be dissected; {reasons[0]}")
    return TrainingHistory.open(directory)


def prepare(
    checkpoints: Sequence[Checkpoint], directory: Path, options: Mapping[str, Any], device: str
) -> tuple[DissectSpec, Segmenter]:
    """Refuse what cannot be meant, before anything is dissected; return what is asked of each, and the segmenter.

    A network that grows has all of its layers at the end: the last checkpoint that opens must have all that are asked.
    """
    requested = DissectSpec(checkpoints[0].generator, **options)
    segmenter = open_segmenter(requested.segmenter, device)
    check_directory(directory, segmenter.fingerprint)
    if requested.layers and (last := _last(checkpoints, requested, segmenter, device)):
        _, models = last
        chosen_layers(models.subject, requested.layers)
    return requested, segmenter


def first_estimate(
    checkpoints: Sequence[Checkpoint], directory: Path, options: Mapping[str, Any], device: str
) -> Forecast | None:
    """Say what a snapshot will take, by the last checkpoint that opens: the largest, where a network grows."""
    run = RUN.take(own := dict(options))
    last = _last(checkpoints, *prepare(checkpoints, directory, own, device), device)
    return None if last is None else forecast(*last, run=run)


def _last(
    checkpoints: Sequence[Checkpoint], requested: DissectSpec, segmenter: Segmenter, device: str
) -> tuple[DissectSpec, ModelPair] | None:
    """Return the last checkpoint that opens; None if none does, each is then reported when its turn comes."""
    for checkpoint in reversed(checkpoints):
        with contextlib.suppress(GanatomyError):
            return _open(requested, checkpoint, segmenter, device)
    return None


def _open(
    requested: DissectSpec, checkpoint: Checkpoint, segmenter: Segmenter, device: str
) -> tuple[DissectSpec, ModelPair]:
    """Open a checkpoint; return the Spec of its dissection, with those of the asked layers that it has."""
    models = ModelPair(checkpoint.generator, segmenter, device)
    there = models.subject.layers
    present = [layer for layer in requested.layers if layer in there]
    if requested.layers and not present:
        chosen_layers(models.subject, requested.layers)
    return dataclasses.replace(requested, generator=checkpoint.generator, layers=present), models


class _Numbered:
    """Progress whose tasks have a prefix before their names, to tell them apart."""

    def __init__(self, inner: Progress, prefix: str) -> None:
        self._inner, self._prefix = inner, prefix
        self.advance: Callable[[int], None] = inner.advance
        self.end = inner.end

    def begin(self, label: str, total: int) -> None:
        self._inner.begin(self._prefix + label, total)
