"""A dissection now and then while a network is trained: a few lines in any loop, and no trace in the training.

The time that a snapshot takes is bounded: a trial before the training says how many images fit, and a snapshot that is
about to take longer than it may is given up.
"""

import contextlib
import functools
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadValue, GanatomyError, UnknownName
from ganatomy.core.progress import NullProgress
from ganatomy.core.tensor_types import Latents
from ganatomy.engines import local
from ganatomy.experiments.dissect_spec import RUN, DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.forecast import forecast
from ganatomy.experiments.model_pair import ModelPair, name_of
from ganatomy.experiments.monitor.snapshots import (
    Snapshot,
    check_directory,
    log_time,
    read_snapshots,
    take_snapshot,
    unfinished,
)
from ganatomy.experiments.monitor.training_history import FOLLOWED, TrainingHistory, Unit
from ganatomy.models.generators.hooked import HookedGenerator, LatentSource
from ganatomy.models.generators.module import as_generator
from ganatomy.models.segmenters import Segmenter, open_segmenter
from ganatomy.models.wrapped import unwrapped
from ganatomy.remote import local_path
from ganatomy.training.preserve_state import preserve_state
from ganatomy.training.tensorboard import Board, log_snapshot, open_board

Sample = Callable[[nn.Module, Latents], Tensor]
_log = logging.getLogger(__name__)

FEWEST = 50
"""Images below which counts of units would say little."""
_TRIED = 4
_SLACK = 1.25
"""A snapshot is planned to take so much less than it may."""
_NEVER = sys.maxsize


class OutOfTime(Exception):
    """A snapshot took all the time that it had."""


@dataclass(kw_only=True, eq=False)
class Monitor:
    """Dissects a network every so many steps of its training, in a stated time, and leaves no trace in it.

    Call it with the step, every step: ``monitor(step)``. It dissects at the first call, then whenever a multiple of
    `every` is reached. Each snapshot is a dissection in ``out``; `TrainingHistory` opens what there is, at any time,
    and ``ganatomy monitor --out DIR`` makes a page of it. In a training of several processes the first one dissects.

    A snapshot that fails is logged in one line, through `logging`, and the training goes on.

    Args:
        network: what is trained, or its average, wrapped or not.
        sample: how to draw with it, ``sample(network, z)``, if not ``network(z)``.
        out: the directory of the snapshots; those that are there already stay.
        latent: the shape of one latent; see `as_generator`.
        latents: what gives the latents of ids and a seed instead.
        bounds: the values of its images that mean black and white.
        segmenter: a name, as in `open_segmenter`, or an open one.
        layers: to dissect; empty for all.
        every: steps between two snapshots.
        images: images of a snapshot, or fewer if `budget` asks for fewer; the snapshots say how many.
        budget: seconds that a snapshot may take.
        share: of the time since the monitor was made, what snapshots may take all together, 0 to 1; a snapshot that
            would take more waits. None: there is no such bound.
        units: that are shown on the board, (layer, unit); else those that match best when any do.
        board: shows numbers and images: a `SummaryWriter` of TensorBoard or the like, a directory to write one to, or
            True for one in `out`.
        strict: raise what goes wrong in a snapshot.
        options: other options of `dissect`: batch, seed, levels, resolution …

    Raises:
        GanatomyError: the network cannot be dissected in this way; the message says what to do.
    """

    network: nn.Module = field(kw_only=False)
    sample: Sample | None = field(default=None, kw_only=False)
    out: str | Path
    latent: Sequence[int] | None = None
    latents: LatentSource | None = None
    bounds: Sequence[float] = (-1.0, 1.0)
    segmenter: str | Segmenter = "bundled:scenes"
    layers: Sequence[str] = ()
    every: int = 1000
    images: int = 1000
    budget: float = 60.0
    share: float | None = None
    units: Sequence[Unit] = ()
    board: Any = None
    strict: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    _segmenters: dict[str, Segmenter] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("every", "budget", "images"):
            if not getattr(self, name) > 0:
                raise BadValue(f"{name}={getattr(self, name)} must be above 0")
        if self.share is not None and not 0 < self.share <= 1:
            raise BadValue(f"share={self.share} is not a part of the time; give more than 0, at most 1")
        self._directory, self._shown = local_path(self.out), list(self.units)
        self._asked = dict(self.options)
        self._run = RUN.take(self._asked)
        self._due = 0 if _first_process() else _NEVER
        if self._due == 0:
            network = unwrapped(self.network)
            with preserve_state(network):
                self._begin(network)

    def __call__(self, step: int) -> Dissection | None:
        """Dissect, if it is time to; return the dissection, or None."""
        if step < self._due or self._must_wait():
            return None
        self._due = (step // self.every + 1) * self.every
        return self.snapshot(step)

    def _repr_html_(self) -> str:
        if any(snapshot.study for snapshot in read_snapshots(self._directory)):
            return TrainingHistory.open(self._directory)._repr_html_()
        return f"<p>No snapshot yet; they will lie in {escape(str(self._directory))}.</p>"

    def snapshot(self, step: int) -> Dissection | None:
        """Dissect now; return the dissection, or None where that did not work out.

        Raises:
            Exception: whatever went wrong, if the monitor is `strict`.
        """
        if self._due == _NEVER:
            return None
        started = perf_counter()
        try:
            network = unwrapped(self.network)
            with preserve_state(network):
                return self._snapshot(network, step, started)
        except Exception as error:  # a long training is worth more than a snapshot of it
            if self.strict:
                raise
            self._log_failure(step, error, perf_counter() - started)
            return None
        finally:
            self._spent += perf_counter() - started

    def _begin(self, network: nn.Module) -> None:
        generator = self._generator(network)
        models = self._models(generator)
        check_directory(self._directory, models.segmenter.fingerprint)
        if snapshots := read_snapshots(self._directory):
            _log.warning("%s has snapshots up to step %d; new ones are added", self._directory, snapshots[-1].step)
        self._board: Board | None = open_board(self.board, self._directory)
        few = self._spec(generator, _TRIED)
        if absent := [layer for layer in self.layers if layer not in generator.layers]:
            _log.warning("not there (yet): %s; there are: %s", ", ".join(absent), ", ".join(generator.layers))
        for _ in range(2):  # the first time includes set-up
            started = perf_counter()
            with tempfile.TemporaryDirectory() as place:
                take_snapshot(few, models, Path(place), Snapshot(0, "trial"), (local, None, self._run), 0)
            self._least = perf_counter() - started
        self._each = forecast(self._spec(generator, self.images), models, run=self._run).seconds / self.images
        self._images = self._fitting()
        self._spent, self._since = 0.0, perf_counter()

    def _fitting(self) -> int:
        """Return how many images fit into the budget: all that are asked, or half as many, or a quarter, …"""
        halves = [self.images // 2 >> n << 1 for n in range(20)]
        for images in halves:
            if images >= min(FEWEST, halves[0]) and self._seconds(images) <= self.budget:
                return images
        raise BadValue(
            f"a snapshot of {FEWEST} images takes about {self._seconds(FEWEST):.1f} s, and budget={self.budget:g} s; "
            "name fewer layers, or give more time"
        )

    def _seconds(self, images: int) -> float:
        return _SLACK * (self._least + self._each * images)

    def _must_wait(self) -> bool:
        if self.share is None:
            return False
        return self._spent + self._seconds(self._images) > self.share * (perf_counter() - self._since)

    def _snapshot(self, network: nn.Module, step: int, started: float) -> Dissection:
        generator = self._generator(network)
        spec = self._spec(generator, self._images)
        deadline = _Deadline(started + self.budget - self._least, self.budget)
        try:
            models, how = self._models(generator), (local, deadline, self._run)
            snapshot, found = take_snapshot(spec, models, self._directory, Snapshot(step, str(step)), how, 0)
        except OutOfTime:
            self._images = self._fewer()
            raise
        seconds = perf_counter() - started
        if seconds > self.budget:
            self._images = self._fewer()
        snapshot.write(self._directory)
        log_time(self._directory, step, seconds)
        if self._board is not None:
            log_snapshot(self._board, snapshot, found, self._chosen(found), seconds)
        return found

    def _fewer(self) -> int:
        half = self._images // 4 * 2
        return half if half >= FEWEST else self._images

    def _chosen(self, found: Dissection) -> list[Unit]:
        if not self.units:
            matched = found.units[found.units.matched].sort_values("iou", ascending=False, kind="stable")
            best = matched.drop_duplicates(["label", "category"])
            units = [(layer, int(unit)) for layer, unit in zip(best.layer, best.unit, strict=True)]
            self._shown = list(dict.fromkeys([*self._shown, *units]))[:FOLLOWED]
        return [(layer, unit) for layer, unit in self._shown if layer in found.layers]

    def _log_failure(self, step: int, error: Exception, seconds: float) -> None:
        reason = " ".join(str(error).split())
        if not isinstance(error, GanatomyError | OutOfTime):
            reason = f"{type(error).__name__}: {reason}"
        _log.warning("no snapshot at step %d: %s; the training goes on", step, reason)
        with contextlib.suppress(GanatomyError, OSError):  # the disk may be what is wrong
            for study in unfinished(self._directory, step):
                shutil.rmtree(study, ignore_errors=True)
            if step not in [snapshot.step for snapshot in read_snapshots(self._directory) if snapshot.study]:
                Snapshot(step, str(step), reason=reason).write(self._directory)
                log_time(self._directory, step, seconds)

    def _generator(self, network: nn.Module) -> HookedGenerator:
        drawn = network if self.sample is None else SamplerModule(network, self.sample)
        return as_generator(
            drawn, latent=self.latent, latents=self.latents, bounds=self.bounds, name=type(network).__name__
        )

    def _models(self, generator: HookedGenerator) -> ModelPair:
        """Return the generator with the segmenter, which is opened once, on the network's device."""
        device = str(generator.device)
        if device not in self._segmenters:
            given = self.segmenter
            self._segmenters = {device: open_segmenter(given, device) if isinstance(given, str) else given}
        return ModelPair(generator, self._segmenters[device], device)

    def _spec(self, generator: HookedGenerator, images: int) -> DissectSpec:
        layers = [layer for layer in self.layers if layer in generator.layers]
        if self.layers and not layers:
            raise UnknownName("layer", self.layers[0], generator.layers)
        return DissectSpec(name_of(generator), name_of(self.segmenter), layers=layers, images=images, **self._asked)


class SamplerModule(nn.Module):
    """A network that is called in a way of its own, as by class or at a stage; its submodules keep their names."""

    def __init__(self, network: nn.Module, sample: Sample) -> None:
        super().__init__()
        self._parameters, self._buffers, self._modules = network._parameters, network._buffers, network._modules
        self._draw = functools.partial(sample, network)  # inside, so that the network is not its own submodule

    def forward(self, z: Latents) -> Tensor:
        """Draw images."""
        return self._draw(z)


class _Deadline(NullProgress):
    """Progress that stops a snapshot when its time is over."""

    def __init__(self, end: float, budget: float) -> None:
        self._end, self._budget = end, budget

    def advance(self, pieces: int) -> None:
        super().advance(pieces)
        if perf_counter() > self._end:
            raise OutOfTime(f"it would have taken longer than budget={self._budget:g} s")


def _first_process() -> bool:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0
