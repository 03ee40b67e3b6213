"""What do edits do to photographs? Their change is put into each photograph, whose other pixels stay as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ganatomy.core.blending import enlarged, with_change
from ganatomy.core.progress import Progress, report_progress
from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import Vocabulary
from ganatomy.datasets.photographs import digest_of, part_used, photograph_files, whole
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows, SampleSpec, at_least
from ganatomy.experiments.causal.effects import edit_spec
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.trials import Edits
from ganatomy.experiments.inversion.found import FoundLatents
from ganatomy.experiments.inversion.invert import RUN, Inversion, photographs_of
from ganatomy.experiments.inversion.photographs import AT_ONCE
from ganatomy.experiments.result import Result
from ganatomy.interventions import read_edits, write_edits
from ganatomy.remote import download, local_path
from ganatomy.report.causal.edited_photographs import edited_section, edited_tables
from ganatomy.stats.base import concat
from ganatomy.stats.regions import concept_counts

IMAGES = "images"
"""The folder of the edited photographs."""


@dataclass(frozen=True)
class EditPhotographsSpec(SampleSpec):
    """Which edits are made in which photographs.

    Attributes:
        images: how many photographs.
        inversion: digest of the study that inverted them.
        chosen: the edits, in words.
        edits: sha256 of the edits, as JSON.
    """

    inversion: str = ""
    chosen: str = ""
    edits: str = ""

    def __post_init__(self) -> None:
        at_least(self, images=1)  # one photograph is enough


class EditedImages(JoinedRows):
    """Photographs at the size of the model's images, before and after.

    Attributes:
        before, after: float32 [n, 3, H, W].
        change: float32 [n, 3, H, W], what is added.
    """

    FIELDS: ClassVar = dict.fromkeys(("before", "after", "change"), concat)

    def __init__(self, image: Sequence[int]) -> None:
        self.before, self.after, self.change = (torch.zeros(0, *image) for _ in self.FIELDS)


@dataclass(frozen=True, eq=False, repr=False)
class EditedPhotographs(Result):
    """Photographs with edits.

    Attributes:
        table: one row for each concept that the photographs show before or after, by the size of its change. Errors are
            standard errors over photographs.
    """

    FILES: ClassVar = {"table": "changes"}

    spec: EditPhotographsSpec
    table: pd.DataFrame

    @property
    def shown(self) -> EditedImages:
        """The photographs before and after, at the size of the model's images."""
        return self.study.load_step(IMAGES, EditedImages)

    @property
    def files(self) -> list[Path]:
        """The edited photographs as files, in their order; at their own size where the photographs were still there."""
        return [self.study.directory / IMAGES / f"{name}.png" for name in self.facts["photographs"]]

    def _warnings(self) -> list[str]:
        if self.facts["own_size"]:
            return []
        return [
            "The files of the photographs are not there any more, so they are kept at the size of the model's images."
        ]


def edited_whole(photograph: npt.NDArray[np.uint8], change: Images) -> npt.NDArray[np.uint8]:
    """Return a photograph uint8 [H, W, 3] with a change [1, 3, h, w] of its middle part, enlarged to its own size.

    What is not changed keeps its bytes.
    """
    rows, columns = part_used(photograph.shape[0], photograph.shape[1], (change.shape[-2], change.shape[-1]))
    part = torch.from_numpy(photograph[rows, columns].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    edited = with_change(part, enlarged(change, *part.shape[-2:]))
    found = photograph.copy()
    found[rows, columns] = as_bytes(edited)[0].permute(1, 2, 0).numpy()
    return found


def run_edit(
    spec: EditPhotographsSpec,
    source: DissectedModel,
    given: tuple[Inversion, Edits],
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> EditedPhotographs:
    """Edit photographs, given their inversion and the edits, and write them."""
    inversion, edits = given
    names, files = list(inversion.table.photograph), _files_of(inversion)
    facts = {"photographs": names, "own_size": bool(files)}
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        if not study.finished:
            work = partial(edit_shard, source, inversion.found, inversion.facts, edits)
            shown = study.sharded(IMAGES, EditedImages, work, source.run.shards(range(spec.images)))
            counts = [_counts(source, images) for images in (shown.before, shown.after)]
            study.write_table("changes", changes_table(source.dissection.vocabulary, *counts))
            write_edits(study.directory / "edit.json", edits, source.models.generator.fingerprint)
            _write_files(study.directory / IMAGES, names, files, shown)
            study.finish()
    return EditedPhotographs.open(directory)


def edit_shard(
    source: DissectedModel, found: FoundLatents, facts: Mapping[str, Any], edits: Edits, ids: range
) -> EditedImages:
    """Make edits in some of the photographs that were inverted."""
    generator = photographs_of(source.models.generator, found, facts)
    z, before = generator.latents(ids, 0), found.photographs[ids.start : ids.stop]
    change = generator.change(z, edits).cpu()
    rows = EditedImages(before.shape[1:])
    rows.update(before, with_change(before, change), change)
    report_progress(len(ids))
    return rows


def _files_of(inversion: Inversion) -> list[Path]:
    """Return the files of the photographs; none if they are not there any more, or have changed."""
    path = local_path(inversion.spec.image)
    files = photograph_files(path) if path.exists() else []
    return files if files and digest_of(files) == inversion.spec.contents else []


def _write_files(directory: Path, names: Sequence[str], files: Sequence[Path], shown: EditedImages) -> None:
    directory.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        own = as_bytes(shown.before[i : i + 1])[0].permute(1, 2, 0).numpy()
        photograph = whole(files[i]) if files else own
        Image.fromarray(edited_whole(photograph, shown.change[i : i + 1])).save(directory / f"{name}.png")


def _counts(source: DissectedModel, images: Images) -> Tensor:
    """Return pixels of each concept, [n, concepts], those of all pixels first."""
    segmenter, device = source.models.segmenter, source.models.generator.device
    parts = torch.split(images, AT_ONCE)
    return torch.cat([concept_counts(segmenter(part.to(device)), source.concepts).cpu() for part in parts])


def changes_table(vocabulary: Vocabulary, before: Tensor, after: Tensor) -> pd.DataFrame:
    """Return the mean share of pixels that show each concept before and after, the greatest change first."""
    shares = [(counts.double() / before[:, :1]) for counts in (before, after)]
    change = shares[1] - shares[0]
    error = change.std(0) / len(change) ** 0.5 if len(change) > 1 else torch.full_like(change[0], torch.nan)
    rows = [
        {
            "concept": concept.name,
            "category": concept.category,
            "before": float(shares[0][:, c].mean()),
            "after": float(shares[1][:, c].mean()),
            "change": float(change[:, c].mean()),
            "change_error": float(error[c]),
        }
        for c, concept in enumerate(vocabulary)
        if c and bool((before[:, c] + after[:, c]).sum() > 0)
    ]
    columns = ["concept", "category", "before", "after", "change", "change_error"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("change", key=lambda own: -own.abs(), kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Given:
    """What is edited, and how.

    Attributes:
        edit: a file of edits, such as ``edit.json`` of a study, or one that the paint page saves.
        inverted: the study of ``ganatomy invert``.
    """

    edit: str | Path
    inverted: str | Path


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[EditedPhotographs]:
    generator = source.models.generator
    inversion = Inversion.open(local_path(options["inverted"]))
    inversion.generator(generator)
    file = download(local_path(options["edit"]))
    edits = read_edits(file, generator.layers, generator.fingerprint)
    edit = edit_spec(source, edits, f"edits of {file.name}")
    spec = EditPhotographsSpec(
        **source.names(),
        layer=edit.layer,
        images=len(inversion.table),
        inversion=inversion.study.digest,
        chosen=edit.chosen,
        edits=edit.edits or "",
    )
    directory = source.sibling_path(spec.layer, f"photographs-{file.stem}-{spec.edits:.8}-{spec.inversion:.8}")
    run = partial(run_edit, spec, source, (inversion, edits))
    return Plan(spec, directory, run, f"make {spec.chosen} in photographs", 1)


EDIT = Experiment(
    name="edit_photographs",
    verb="edit-photographs",
    summary="make the edits of a file in photographs that were inverted",
    spec=EditPhotographsSpec,
    groups=(_Given,),
    filled=frozenset({"layer", "images", "first", "seed", "inversion", "chosen", "edits"}),
    plan=_plan,
    result=EditedPhotographs,
    tables=edited_tables,
    section=edited_section,
    run=RUN,
    example='ganatomy.edit_photographs("study", edit="edit.json", inverted="inversion").table',
)
