"""The best setting of each brush, measured while the server is idle; kept where ``ganatomy setting`` keeps it."""

import asyncio
import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal, NamedTuple, TypeVar

from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import GanatomyError
from ganatomy.core.progress import NullProgress
from ganatomy.engines import local
from ganatomy.experiments.causal.best_setting import (
    BestSetting,
    known_setting,
    plan_setting,
)
from ganatomy.experiments.causal.choice import default_layers
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import Part, measured_parts
from ganatomy.experiments.causal.place_truth import truth_category
from ganatomy.experiments.causal.plans import pooling_trials
from ganatomy.experiments.run_options import RunOptions
from ganatomy.scenes.places import open_bank
from ganatomy.web.model_thread import ModelThread
from ganatomy.web.spare_models import Submit, spare_models

T = TypeVar("T")
RUN = RunOptions(batch=4, shard=16)
"""A stroke waits for no more than one batch."""

_log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """A measured setting, and what it sets units to."""

    setting: BestSetting
    parts: list[Part]


@dataclass
class SearchState:
    """How far the measuring of a brush is; written by the search, read by the pages.

    Attributes:
        drawn: how many images were drawn for it.
        of: how many it takes.
        seconds: since when it runs.
    """

    state: Literal["measured", "running", "waiting", "failed"] = "waiting"
    drawn: int = 0
    of: int = 1
    since: float = 0.0
    reason: str = ""
    measured: Measured | None = field(default=None, repr=False)

    @property
    def progress(self) -> float:
        """What part of it is done, at most 1."""
        return 1.0 if self.state == "measured" else min(1.0, self.drawn / self.of)

    @property
    def seconds_left(self) -> float | None:
        """How long it will take at the pace so far; None where there is none yet."""
        if self.state != "running" or not self.drawn:
            return None
        return max(0, self.of - self.drawn) * (monotonic() - self.since) / self.drawn


class _Ended(Exception):
    """The server ends."""


class BrushSearch:
    """Measures brushes one after the other.

    Args:
        source: the study.
        concepts: of the brushes, in order.
        options: of each search, as in `setting_spec`.

    Attributes:
        states: by concept.
        kept: whether what is found is kept; not where nothing can be written next to the study.
        ended: whether `run` is to return.
        call: the job that it waits for.
    """

    def __init__(self, source: DissectedModel, concepts: Sequence[str], **options: Any) -> None:
        self.states = {concept: SearchState() for concept in concepts}
        self.kept = _writable(source.directory.resolve().parent)
        self._source, self._options = source, options
        self.ended = threading.Event()
        self.call: Future[Any] | None = None
        self._lost: tempfile.TemporaryDirectory[str] | None = None

    def run(self, models: ModelThread, loop: asyncio.AbstractEventLoop) -> None:
        """Measure all of them, in this thread, while the models run in theirs, whenever there is time to spare."""
        if not self.kept:
            self._lost = tempfile.TemporaryDirectory(
                ignore_cleanup_errors=True
            )  # as long as this search, whose results may read there
        try:
            self._run(_Spare(self, models, loop), Path(self._lost.name) if self._lost else None)
        except _Ended:
            _log.info("the server ends; measuring goes on from here the next time")

    def end(self) -> None:
        """Have `run` return soon: it goes on from there the next time."""
        self.ended.set()
        if (call := self.call) is not None:
            call.cancel()
        if self._lost is not None:
            self._lost.cleanup()

    def _run(self, submit: Submit, home: Path | None) -> None:
        layers = submit(lambda: default_layers(self._source))
        spared = replace(
            self._source, models=spare_models(self._source.models, submit, self._count), run=RUN, home=home
        )
        for concept in sorted(self.states, key=lambda name: known_setting(self._source, layers, name) is None):
            own = self.states[concept]
            own.state, own.since = "running", monotonic()
            try:
                own.measured = self._measure(spared, layers, concept, submit)
                own.state = "measured"
            except GanatomyError as error:
                own.state, own.reason = "failed", " ".join(str(error).split())
            except OSError as error:
                own.state, own.reason = "failed", error.strerror or "a file could not be read or written"

    def _measure(self, source: DissectedModel, layers: list[str], concept: str, submit: Submit) -> Measured:
        found = known_setting(self._source, layers, concept) or known_setting(source, layers, concept)
        if found is None:
            plan = plan_setting(source, layers, concept, **self._options)
            self.states[concept].of = plan.spec.images * (plan.trials + pooling_trials(source, plan.spec))
            if (category := truth_category(source, concept, None)) is not None:
                open_bank(category, cache_directory(), progress=_Patient(submit))
            found = plan.run(plan.directory, local, None)
        return Measured(found, measured_parts(source, found.best, concept))

    def _count(self, images: int) -> None:
        for own in self.states.values():
            if own.state == "running":
                own.drawn += images


class _Spare:
    """Runs a job in the thread of the models, when there is time to spare, until a search is ended."""

    def __init__(self, search: BrushSearch, models: ModelThread, loop: asyncio.AbstractEventLoop) -> None:
        self._search, self._models, self._loop = search, models, loop

    def __call__(self, job: Callable[[], T]) -> T:
        """Return what the job returns."""
        call = asyncio.run_coroutine_threadsafe(self._models.run_in_spare_time(job), self._loop)
        self._search.call = call
        if self._search.ended.is_set():
            call.cancel()
        try:
            return call.result()
        except CancelledError:
            raise _Ended from None


class _Patient(NullProgress):
    """A task that goes on when there is time to spare."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def advance(self, pieces: int) -> None:  # noqa: ARG002  as the protocol names it
        """Wait for spare time."""
        self._submit(lambda: None)


def _writable(directory: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False
