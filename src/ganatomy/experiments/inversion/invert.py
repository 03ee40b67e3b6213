"""Which latents draw a photograph, how exactly, and how far is it from the images that the model draws? Inversion."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import pandas as pd
import torch

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.datasets.photographs import digest_of, photograph_files, whole
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.dissected_model import DissectedModel, default_directory
from ganatomy.experiments.inversion.found import FAR, FoundLatents, InvertSpec, ModelImages
from ganatomy.experiments.inversion.photographs import (
    AT_ONCE,
    Photographs,
    invert_shard,
    open_photographs,
    prompt_number,
    stems,
    write_images,
)
from ganatomy.experiments.inversion.tables import concepts_table, photographs_table
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.models.generators import Generator
from ganatomy.models.generators.photographs import PhotographGenerator
from ganatomy.models.inversion import inverter_of
from ganatomy.remote import local_path
from ganatomy.report.causal.inversion import inversion_chart, inversion_section, inversion_tables
from ganatomy.study import Study

RUN = RunOptions(batch=4, shard=4)
"""Of an inversion, by default: what was found is kept after every few photographs."""
FOUND = "photographs"
"""The step that holds what was found; the rows of its table are in the same order."""


@dataclass(frozen=True, eq=False, repr=False)
class Inversion(Result):
    """Photographs as a generator draws them.

    Attributes:
        table: one row a photograph.
        concepts: one row for each concept that the photographs show.
    """

    FILES: ClassVar = {"table": "photographs"}

    spec: InvertSpec
    table: pd.DataFrame
    concepts: pd.DataFrame

    @cached_property
    def found(self) -> FoundLatents:
        """The latents, photographs and reconstructions."""
        return self.study.load_step(FOUND, FoundLatents)

    def generator(self, base: Generator) -> PhotographGenerator:
        """Return the photographs as a generator, given the one that they were inverted for.

        Raises:
            BadValue: it is another one.
        """
        if base.fingerprint != self.facts["inputs"]["generator"]:
            raise BadValue(f"{self.study.directory} was made for another generator than the one that is given")
        return photographs_of(base, self.found, self.facts)

    def _warnings(self) -> list[str]:
        far = self.table[self.table.place == FAR]
        names = ", ".join(far.photograph.head(4)) + (f" and {len(far) - 4} more" if len(far) > 4 else "")
        if not len(far):
            return []
        return [
            f"{names} {'is' if len(far) == 1 else 'are'} far outside of what the model draws, {far.distance.min():.1f} "
            "times as far from its images as they are from each other; edits may do anything there."
        ]


def photographs_of(base: Generator, found: FoundLatents, facts: Mapping[str, Any]) -> PhotographGenerator:
    """Return photographs as a generator, given what was found, and the facts of that study."""
    z = found.z.reshape(-1, *facts["latent"])
    return PhotographGenerator(base, z, found.offset, found.photographs, found.images, facts["offset"])


def run_invert(
    spec: InvertSpec, source: DissectedModel, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> Inversion:
    """Invert photographs; goes on where it was stopped."""
    photographs = open_photographs(source, spec)
    inverter, generator = photographs.inverter, source.models.generator
    facts = {
        "inputs": source.facts()["inputs"] | {"feature network": photographs.network.fingerprint},
        "way": inverter.way,
        "offset": inverter.layer,
        "latent": list(generator.latents(range(1), 0).shape[1:]),
    }
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        if not study.finished:
            drawn = study.step("model images", ModelImages, photographs.drawn)
            work = partial(invert_shard, photographs, drawn)
            shards = source.run.shards(range(len(photographs.files)))
            found = study.sharded(FOUND, FoundLatents, work, shards)
            _write(study, photographs, drawn, found)
            study.finish()
    return Inversion.open(directory)


def _write(study: Study, photographs: Photographs, drawn: ModelImages, found: FoundLatents) -> None:
    """Write the tables, and the photographs and reconstructions as files."""
    labels = [_labels(photographs.source, images) for images in (found.photographs, found.images)]
    study.write_table("photographs", photographs_table(photographs.files, drawn, found, *labels))
    study.write_table("concepts", concepts_table(photographs.source.dissection.vocabulary, *labels))
    for name, images in (("photograph", found.photographs), ("reconstruction", found.images)):
        write_images(study.directory / "images", [f"{own}-{name}" for own in stems(photographs.files)], images)


def _labels(source: DissectedModel, images: Images) -> Labels:
    device = source.models.generator.device
    return torch.cat([source.models.segmenter(part.to(device)).cpu() for part in torch.split(images, AT_ONCE)])


@dataclass(frozen=True)
class _Photograph:
    """Which photographs.

    Attributes:
        image: a photograph, or a directory of them; each is cut to the shape of the model's images.
    """

    image: str | Path


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Inversion]:
    path = local_path(options.pop("image"))
    files = photograph_files(path)
    for file in files:
        whole(file)  # one that cannot be read is refused before any is inverted
    generator = source.models.generator
    if options.get("prompt") is not None:
        prompt_number(generator, options["prompt"])
    inverter = inverter_of(generator, None, options.pop("layer", None) or "")
    spec = InvertSpec(**source.names(), layer=inverter.layer, image=str(path), contents=digest_of(files), **options)
    name = f"invert-{path.stem}-{spec.contents:.8}"
    directory = default_directory(source, spec, name)
    work = f"invert {len(files)} photograph{'s' * (len(files) != 1)} by {inverter.way}"
    return Plan(spec, directory, partial(run_invert, spec, source), work, 0, partial(_seconds, source, spec))


def _seconds(source: DissectedModel, spec: InvertSpec) -> float:
    """Return how long it will take, from one image of the model."""
    photographs = open_photographs(source, spec)
    generator = source.models.generator
    z = generator.latents(spec.ids()[:2], spec.seed)
    start = perf_counter()
    images = generator.observe(z, ()).images
    photographs.network.features(images)
    one = (perf_counter() - start) / 2
    calls = {"optimisation": 4 * (spec.steps + spec.latent_steps), "steps": 10}.get(photographs.inverter.way, 1)
    return one * (spec.images + calls * len(photographs.files))


INVERT = Experiment(
    name="invert",
    verb="invert",
    summary="find the latents of photographs, and how exactly the model draws them",
    spec=InvertSpec,
    groups=(_Photograph,),
    filled=frozenset({"image", "contents"}),
    planned=frozenset({"layer"}),
    plan=_plan,
    result=Inversion,
    tables=inversion_tables,
    section=inversion_section,
    chart=inversion_chart,
    run=RUN,
    example='ganatomy.invert("study", image="photograph.png").table',
)
