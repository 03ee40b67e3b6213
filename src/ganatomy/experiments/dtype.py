"""``dtype=auto``: the number format that a segmenter computes in, measured once for a study and kept in it.

The name that a Spec has says the format that was taken, so whatever follows (a worker, another machine, a causal study)
reads it there, and nothing is measured again.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch

from ganatomy.core.devices import DTYPES, has_bfloat16
from ganatomy.core.errors import BadModel, StudyMismatch
from ganatomy.core.progress import Progress
from ganatomy.core.registry import Name, join_name, split_name
from ganatomy.engines import Engine, local
from ganatomy.experiments.dissect import facts
from ganatomy.experiments.dissect_spec import RUN, DissectRun, DissectSpec
from ganatomy.experiments.model_pair import ModelPair, name_of
from ganatomy.experiments.sampling import observe
from ganatomy.models.generators import Subject
from ganatomy.models.segmenters import Segmenter
from ganatomy.remote import local_path
from ganatomy.study import Study, is_study
from ganatomy.study.files import read_record

IMAGES = 24
"""So many images of the validation half are labelled in both formats."""
AT_ONCE = 8
"""Images that are labelled, and timed, together."""
LIMIT = 0.005
"""bfloat16 is not taken where a greater share of the pixels changes its label, in any plane."""
FASTER = 0.9
"""Nor where it takes a greater share of the time than this."""


class DtypeChoice(NamedTuple):
    """What a study begins with, or goes on with, once it is known which number format ``dtype=auto`` means.

    Attributes:
        dtype: the facts of a study on it, None where nobody asked: `taken` and `reason`; where it was measured also how
            many `images` were labelled in both, the share of pixels `changed` by plane, its `limit`, and the `seconds`
            an image by format: of processor time, on a GPU of time.
    """

    spec: DissectSpec
    models: ModelPair
    dtype: Mapping[str, Any] | None = None

    @property
    def message(self) -> str:
        """The decision in one line; empty where nobody asked."""
        return "" if self.dtype is None else f"dtype=auto takes {self.dtype['taken']}: {self.dtype['reason']}"


def choose_dtype(spec: DissectSpec, models: ModelPair, directory: str | Path | None) -> DtypeChoice:
    """Decide what ``dtype=auto`` means: as the study that is there was begun, else as is measured.

    A segmenter whose name asks for another format, and one that is given open, is left as it is.
    """
    if split_name(spec.segmenter).options.get("dtype") != "auto":
        return DtypeChoice(spec, models)
    begun = None if directory is None else _begun(spec, models, directory)
    return begun or _measured(spec, models)


def begin(
    choice: DtypeChoice,
    directory: str | Path,
    engine: Engine = local,
    progress: Progress | None = None,
    run: DissectRun = RUN,
) -> tuple[Study, DtypeChoice]:
    """Make the study of what was choice, as `Study.create`.

    Of several parts that begin at once the first decides; the others go on as it did.
    """
    (spec, models, dtype), how = choice, (engine, progress, run)
    used = facts(spec, models)
    if dtype is None:
        return Study.create(directory, spec, used, *how), choice
    try:
        return Study.create(directory, spec, {**used, "dtype": dtype}, *how), choice
    except StudyMismatch:
        first = _begun(spec, models, directory)
        if first is None or first.spec == spec:
            raise
        return Study.create(directory, first.spec, facts(first.spec, first.models), *how), first


def _begun(spec: DissectSpec, models: ModelPair, directory: str | Path) -> DtypeChoice | None:
    """Return the format in which the study that is there was begun; None if there is none of this segmenter."""
    directory = local_path(directory)
    if not is_study(directory):
        return None
    name = read_record(directory)["spec"].get("segmenter")
    if not isinstance(name, str) or _bare(name) != _bare(spec.segmenter):
        return None
    taken = split_name(name).options.get("dtype", "float32")
    if taken not in DTYPES:
        return None
    decision = {"taken": taken, "reason": "the study was begun in it"}
    return DtypeChoice(replace(spec, segmenter=name), models.with_segmenter(name), decision)


def _bare(name: str) -> Name:
    family, argument, options = split_name(name)
    return Name(family, argument, {key: value for key, value in options.items() if key != "dtype"})


def _measured(spec: DissectSpec, models: ModelPair) -> DtypeChoice:
    family, argument, options = split_name(spec.segmenter)
    subject = models.subject
    exact, fast = (
        models.with_segmenter(join_name(family, argument, {**options, "dtype": dtype}))
        for dtype in ("float32", "bfloat16")
    )
    if not has_bfloat16(exact.segmenter.device):
        decision = {"taken": "float32", "reason": f"{exact.segmenter.device} has no bfloat16 in hardware"}
    else:
        try:
            decision = _compare(spec, subject, exact.segmenter, fast.segmenter)
        except BadModel as error:
            exact.segmenter(observe(subject, range(1), spec.seed, []).images)  # or it fails in any format
            decision = {"taken": "float32", "reason": f"in bfloat16 it fails: {error}"}
    taken = fast if decision["taken"] == "bfloat16" else exact
    return DtypeChoice(replace(spec, segmenter=name_of(taken.segmenter_given)), taken, decision)


def _compare(spec: DissectSpec, subject: Subject, exact: Segmenter, fast: Segmenter) -> dict[str, Any]:
    """Say which of two segmenters to take, and why: it must change few labels, and save time."""
    ids = spec.halves()["validation"][:IMAGES]
    changed, seconds = torch.zeros(len(exact.planes), dtype=torch.float64), [math.inf, math.inf]
    for start in range(0, len(ids), AT_ONCE):
        images = observe(subject, ids[start : start + AT_ONCE], spec.seed, []).images
        labels = []
        for i, segmenter in enumerate((exact, fast)):
            if start == 0:
                segmenter(images)  # set-up is not timed
            began = _clock(segmenter.device)
            labels.append(segmenter(images))
            seconds[i] = min(seconds[i], (_clock(segmenter.device) - began) / len(images))
        changed += (labels[0] != labels[1]).double().mean((2, 3)).sum(0).cpu()
    shares = dict(zip(exact.planes, (changed / len(ids)).tolist(), strict=True))
    plane = max(shares, key=lambda name: shares[name])
    few, quick = shares[plane] <= LIMIT, seconds[1] <= FASTER * seconds[0]
    return {
        "taken": "bfloat16" if few and quick else "float32",
        "reason": (
            f"in bfloat16 {shares[plane]:.2%} of the pixels of {len(ids)} images change their {plane} label (limit "
            f"{LIMIT:.1%}), and an image takes {1000 * seconds[1]:.1f} ms, in float32 {1000 * seconds[0]:.1f} ms"
        ),
        "images": len(ids),
        "changed": {name: round(share, 6) for name, share in shares.items()},
        "limit": LIMIT,
        "seconds": {"float32": round(seconds[0], 6), "bfloat16": round(seconds[1], 6)},
    }


def _clock(device: torch.device) -> float:
    """Return seconds: of this process, which others on the same cores do not add to; of a GPU, once it is done."""
    if device.type == "cpu":
        return process_time()
    torch.cuda.synchronize(device)
    return perf_counter()
