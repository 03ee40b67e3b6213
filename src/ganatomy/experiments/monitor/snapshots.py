"""A snapshot: one moment of a training, dissected, or the reason why not.

::

    DIR/snapshots/000005000.json        which study, or the reason; how many units and concepts were found
    DIR/studies/000005000-1a2b3c4d  the dissection, a study like any other
    DIR/times.csv                       how long each took; a snapshot has the same bits however fast the machine is

It is one file, written when its study is finished; so a monitor can be read at any moment, and added to later.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.errors import BadFile, BadValue, StudyError
from ganatomy.core.files import read_json
from ganatomy.core.progress import Progress
from ganatomy.core.vocabulary import CATEGORIES
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.bootstrap import ALL, resampled
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.dissect import facts, run
from ganatomy.experiments.dissect_spec import RUN, DissectRun, DissectSpec
from ganatomy.experiments.dissection import Dissection, interpretable_with
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import Generator
from ganatomy.remote import download, upload, write_text
from ganatomy.report.binary_packing import reduced
from ganatomy.study import Study, require_inside, spec_digest
from ganatomy.study.files import read_record

FIXED = 8
"""Images of the same latents that each snapshot keeps: the first ones of its sample."""
FIXED_STEP, LARGEST = "fixed", 256
TIMES = "times.csv"
DRAWS = 50
"""Of the images again, for the errors of the counts; each takes as long as reading the study once."""


@dataclass(frozen=True)
class Snapshot:
    """One moment of a training: its step, the name of the checkpoint, and what was found.

    Attributes:
        study: where its dissection lies in the directory of the monitor; "" where there is none.
        reason: why there is none; "" where there is one.
        segmenter: its fingerprint.
        numbers: rows of `count_units`.
    """

    step: int
    name: str
    study: str = ""
    reason: str = ""
    segmenter: str = ""
    images: int = 0
    numbers: Sequence[Mapping[str, Any]] = ()

    def write(self, directory: Path) -> None:
        """Keep it in the directory of a monitor."""
        path = directory / "snapshots" / f"{self.step:09d}.json"
        try:
            write_text(path, json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        except OSError as error:
            raise StudyError(f"cannot write {path} ({error.strerror or error})") from error


def log_time(directory: Path, step: int, seconds: float) -> None:
    """Add a line to the log of how long the snapshots of a monitor took: step, seconds of wall clock."""
    path = download(directory / TIMES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{step},{seconds:.3f}\n" if file.tell() else f"step,seconds\n{step},{seconds:.3f}\n")
        upload(path)
    except OSError as error:
        raise StudyError(f"cannot write {path} ({error.strerror or error})") from error


def read_snapshots(directory: Path) -> list[Snapshot]:
    """Return the snapshots of a monitor by step."""
    snapshots = []
    for path in download(directory / "snapshots").glob("[0-9]*.json"):
        try:
            snapshots.append(Snapshot(**read_json(path)))
            require_inside(directory, directory / snapshots[-1].study)
        except (OSError, ValueError, TypeError) as error:
            raise BadFile(
                f"{path}: no snapshot of this version ({error}); remove it, and run the monitor again"
            ) from error
    return sorted(snapshots, key=lambda snapshot: snapshot.step)


def check_directory(directory: Path, segmenter: str) -> None:
    """Refuse a directory whose snapshots cannot be compared with new ones."""
    if directory.exists() and not directory.is_dir():
        raise StudyError(f"{directory} is a file; give a directory for the snapshots")
    ours = any((directory / name).is_dir() for name in ("snapshots", "studies", "tensorboard"))
    if directory.is_dir() and any(directory.iterdir()) and not ours:
        raise StudyError(f"{directory} holds something else than snapshots of a training; give another directory")
    if any(snapshot.study and snapshot.segmenter != segmenter for snapshot in read_snapshots(directory)):
        raise BadValue(f"{directory} has snapshots by another segmenter, so nothing could be compared; give another")


def take_snapshot(
    spec: DissectSpec,
    models: ModelPair,
    directory: Path,
    snapshot: Snapshot,
    how: tuple[Engine, Progress | None, DissectRun] = (local, None, RUN),
    draws: int = DRAWS,
) -> tuple[Snapshot, Dissection]:
    """Dissect a model into the directory of a monitor, or find that done; return what is to be kept of it."""
    used = facts(spec, models)
    study = study_path(snapshot.step, spec, used["inputs"])
    with Study.create(directory / study, spec, used, *how) as place:
        if not place.finished and isinstance(models.subject, Generator):
            place.step(FIXED_STEP, FixedImages, lambda: draw_fixed(models.generator, spec.seed))
        dissection = run(spec, place, models)
    found = dataclasses.replace(
        snapshot,
        study=study.as_posix(),
        segmenter=used["inputs"]["segmenter"],
        images=spec.images,
        numbers=_plain(count_units(dissection, draws)),
    )
    return found, dissection


@dataclass(frozen=True, eq=False)
class FixedImages(Tensors):
    """Images of the first latents, the same at every snapshot, uint8 [k, H, W, 3]."""

    images: Tensor


def draw_fixed(generator: Generator, seed: int) -> FixedImages:
    """Draw the images of the first latents; large ones are kept smaller, as they are only looked at."""
    images = as_bytes(generator.edited(generator.latents(range(FIXED), seed), []))
    return FixedImages(torch.from_numpy(reduced(images.permute(0, 2, 3, 1).numpy(), LARGEST)))


def read_fixed(dissection: Dissection) -> FixedImages | None:
    """Return the images of the first latents; None of a snapshot by an earlier version, or of a classifier."""
    study = dissection.study
    return study.load_step(FIXED_STEP, FixedImages) if study.has_step(FIXED_STEP) else None


def study_path(step: int, spec: DissectSpec, inputs: Mapping[str, str]) -> Path:
    """Return where the dissection of a step lies in the directory of a monitor, given the models' fingerprints."""
    return Path("studies", f"{step:09d}-{spec_digest(_Identity(spec, inputs))[:8]}")


def unfinished(directory: Path, step: int) -> list[Path]:
    """Return the studies of a step that nobody has finished."""
    found = (path.parent for path in directory.glob(f"studies/{step:09d}-*/study.json"))
    return [study for study in found if not read_record(study)["finished"]]


@dataclass(frozen=True)
class _Identity:
    """What tells a study from others of the same step: another file may have the same name tomorrow."""

    spec: DissectSpec
    inputs: Mapping[str, str]


def add_errors(directory: Path) -> None:
    """Give errors to the counts of snapshots that had no time for them, as those of a training that runs."""
    for snapshot in read_snapshots(directory):
        if snapshot.study and not any("matched_error" in row for row in snapshot.numbers):
            found = count_units(Dissection.open(directory / snapshot.study), DRAWS)
            dataclasses.replace(snapshot, numbers=_plain(found)).write(directory)


def count_units(dissection: Dissection, draws: int = DRAWS) -> pd.DataFrame:
    """Count what was found, of each layer and all together, of each category and all together.

    Returns:
        Columns layer, category, units, interpretable, matched, concepts (distinct, matched), matched_iou (mean over
        matched units, NaN where there are none); and standard errors, such as matched_error, see `resampled`. An
        interpretable unit counts for the category that `interpretable_with` says.
    """
    present = [concept.category for concept in dissection.vocabulary[1:]]
    categories = dict.fromkeys([*(name for name in CATEGORIES if name in present), *present])
    layers, units = list(dissection.layers), dissection.units
    units = units.assign(best=interpretable_with(dissection).category)
    rows = []
    for layer in [*layers, *([ALL] if len(layers) > 1 else [])]:
        own = units if layer == ALL else units[units.layer == layer]
        for category in (ALL, *categories):
            matched = own[own.matched & ((own.category == category) | (category == ALL))]
            interpretable = own.interpretable & ((own.best == category) | (category == ALL))
            rows.append(
                {
                    "layer": layer,
                    "category": category,
                    "units": len(own),
                    "interpretable": int(interpretable.sum()),
                    "matched": len(matched),
                    "concepts": matched.groupby(["label", "category"]).ngroups,
                    "matched_iou": float(matched.iou.mean()),
                }
            )
    counted, drawn = pd.DataFrame(rows), resampled(dissection, draws) if draws else None
    if drawn is None:
        return counted
    errors = drawn.counts.pivot_table("error", ["layer", "category"], "quantity", dropna=False)
    return counted.merge(errors.add_suffix("_error").reset_index(), "left", ["layer", "category"])


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    return [{n: None if isinstance(v, float) and math.isnan(v) else v for n, v in row.items()} for row in rows]
