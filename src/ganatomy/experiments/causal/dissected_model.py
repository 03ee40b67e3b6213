"""A finished dissection with the models that it used, and the studies that are made of it."""

import dataclasses
import itertools
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.core.devices import choose_device
from ganatomy.core.errors import BadValue, StudyMismatch, UnknownName
from ganatomy.core.layer_steps import at_step, nearest_layers, read_steps, spanned, split_layer
from ganatomy.core.progress import Progress
from ganatomy.core.trust import require_trust
from ganatomy.core.vocabulary import Concept, find_concept
from ganatomy.engines import Engine
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.option_groups import Sample
from ganatomy.experiments.run_options import RUN, Ids, RunOptions, cut
from ganatomy.experiments.sampling import batch_size
from ganatomy.models.generators import LayerShape, Subject
from ganatomy.models.generators.protocol import forward_order, listed_layers, margin
from ganatomy.models.segmenters import Segmenter
from ganatomy.remote import display_path, local_path
from ganatomy.stats.base import Accumulator
from ganatomy.study import Study


@dataclass(frozen=True)
class SampleSpec:
    """What every causal study is asked: of which model, at which layer, on which images.

    Attributes:
        dissection: digest of the dissection that it stands on.
        generator, segmenter: names, as in `open_generator` and `open_segmenter`.
        layer: where the units are.
        images: how many images.
        first: id of the first; the default keeps clear of the images of dissections and of pools.
        seed: of the latents, and of whatever is drawn at random.
    """

    dissection: str
    generator: str
    segmenter: str
    layer: str
    images: Sample[int] = 200
    first: Sample[int] = 1_000_000
    seed: Sample[int] = 0

    def __post_init__(self) -> None:
        at_least(self, images=2, first=0)

    def ids(self) -> range:
        """Return the ids of the images."""
        return range(self.first, self.first + self.images)

    def layers(self) -> list[str]:
        """Return every layer that is edited, the first one first."""
        return [self.layer]


def at_least(spec: SampleSpec, **least: int) -> None:
    """Refuse fields that are too small.

    Raises:
        BadValue: names the first.
    """
    for name, smallest in least.items():
        if getattr(spec, name) < smallest:
            raise BadValue(f"{name}={getattr(spec, name)} is too few; give at least {smallest}")


def shrink_default(spec: SampleSpec, name: str, most: int) -> None:
    """Lower a number that is still its default to what there is, so that no default contradicts what was given."""
    default: Any = next(field.default for field in dataclasses.fields(spec) if field.name == name)
    if getattr(spec, name) == default and default > most:
        object.__setattr__(spec, name, most)


def checked_set(units: Sequence[int]) -> tuple[int, ...]:
    """Return a set of units as a tuple.

    Raises:
        BadValue: it is empty, or names a unit twice.
    """
    if not units or len(set(units)) < len(units):
        raise BadValue(f"units={list(units)}: give at least one, each once")
    return tuple(units)


@dataclass(frozen=True)
class DissectedModel:
    """A finished dissection, the models that it used, open again on demand, and the options of the run.

    Attributes:
        home: where its causal studies lie; None for next to the dissection.
    """

    dissection: Dissection
    models: ModelPair
    run: RunOptions = RUN
    home: Path | None = None

    @property
    def directory(self) -> Path:
        """Where the dissection lies."""
        return self.dissection.study.directory

    def sibling_path(self, layer: str, name: str) -> Path:
        """Return the default directory of a causal study of a layer: ``STUDY-causal/LAYER/NAME``.

        Characters that no directory can have, as concepts may, become hyphens.
        """
        whole = self.directory.resolve()
        home = self.home or whole.with_name(f"{whole.name}-causal")
        return home / _file_name(layer) / _file_name(name)

    @property
    def concepts(self) -> int:
        """How many concepts there are, nothing included."""
        return len(self.dissection.vocabulary)

    def batch(self, most: int | None = None) -> int:
        """Return how many images are drawn at once: a batch, or so many; fewer where features are large."""
        return batch_size(most or self.run.batch, listed_layers(self.models.generator))

    def parts(self, ids: Ids) -> list[Ids]:
        """Return ids cut into those of the images that are drawn at once."""
        return cut(ids, self.batch())

    @contextmanager
    def begin(
        self, directory: Path, spec: SampleSpec, engine: Engine, progress: Progress | None, **facts: Any
    ) -> Iterator[tuple[Study, "DissectedModel"]]:
        """Make a study or go on with it; with it comes this source with the options of the run that began it."""
        facts = {**self.facts(), **facts}
        with Study.create(directory, spec, facts, engine, progress, self.run) as study:
            yield study, replace(self, run=study.begun(self.run))

    def names(self) -> dict[str, Any]:
        """Return the first fields of a Spec: dissection, generator, segmenter."""
        spec = self.dissection.spec
        return {"dissection": self.dissection.study.digest, "generator": spec.generator, "segmenter": spec.segmenter}

    def facts(self) -> dict[str, Any]:
        """Return what a study keeps of its inputs, as `Study.create` takes it."""
        warnings = self.dissection.warnings
        return {
            **({"warnings": warnings} if warnings else {}),
            "inputs": {"dissection": self.dissection.study.digest, **self.dissection.facts["inputs"]},
            "source": display_path(self.directory),
            "vocabulary": [list(concept) for concept in self.dissection.vocabulary],
            "versions": {name: version(name) for name in ("ganatomy", "torch", "numpy")},
            "machine": {"python": platform.python_version(), "system": platform.system(), "device": self.models.device},
        }

    def shape(self, layer: str) -> LayerShape:
        """Return the shape of a dissected layer, or of another step of its block.

        Raises:
            UnknownName: it was not dissected.
            BadValue: its map reaches beyond the image; places of the one are not those of the other.
        """
        if layer not in self.dissection.layers:
            block, step = split_layer(layer)
            known = [at_step(block, each) for each in self.dissected_steps(block)]
            if step is None or not any(layer in self.alike(each) for each in known):
                raise UnknownName("layer", layer, self.dissection.layers)
            return self.models.subject.layers[layer]
        if beyond := margin(self.models.subject, layer):
            raise BadValue(
                f"the map of {layer} reaches {beyond} places beyond the image, so its places are not the image's; "
                "open the generator with margins=no, dissect it, and edit that"
            )
        return self.dissection.layers[layer]

    def check_dissected(self, layer: str) -> None:
        """Refuse a layer of which a dissection says nothing, such as a block at another step.

        Raises:
            UnknownName: it was not dissected.
        """
        if layer not in self.dissection.layers:
            raise UnknownName("dissected layer", layer, self.dissection.layers)

    def dissected_steps(self, block: str) -> list[int]:
        """Return the steps at which a block was dissected; none, where it is no block of a model that samples."""
        parts = map(split_layer, self.dissection.layers)
        return [part.step for part in parts if part.block == block and part.step is not None]

    def window(self, block: str, text: str) -> list[str]:
        """Return the layers of a dissected block at the steps that ``1..8`` or ``3`` says.

        Raises:
            UnknownName: the block was not dissected at any step.
            BadValue: the model has no such steps, or directions stand for its units at some steps only.
        """
        steps = read_steps(text)
        if not self.dissected_steps(block):
            known = dict.fromkeys(part.block for part in map(split_layer, self.dissection.layers) if part.step)
            raise UnknownName("block that was dissected at a step", block, known)
        if at_step(block, steps[-1]) not in self.models.subject.layers:
            raise BadValue(f"at_steps={text}: the model has steps 1 to {self._steps(block)}")
        layers = [at_step(block, step) for step in steps]
        nearest = nearest_layers(self.dissection.layers, layers)
        if not {*layers, *nearest} <= set(alike := self.alike(nearest[0])):
            raise BadValue(
                f"at_steps={text}: directions stand for the units of {block} at some steps, so not all of these have "
                f"the same; give steps of {', '.join(spanned(alike))}"
            )
        return layers

    def alike(self, layer: str) -> list[str]:
        """Return the steps of a layer's block that have the same units, as layers; without a step, the layer itself.

        They differ where directions, such as the features of an autoencoder, stand for the units at some steps only.
        """
        block, step = split_layer(layer)
        if step is None:
            return [layer]
        rotated = getattr(self.models.subject, "rotated", {})
        every = [at_step(block, each) for each in range(1, self._steps(block) + 1)]
        return [name for name in every if rotated.get(name) == rotated.get(layer)]

    def last_step(self, block: str) -> int:
        """Return at how many steps a block has the same units, all of them; 0 where it has not, or has no steps."""
        last = self._steps(block)
        return last if last and len(self.alike(at_step(block, 1))) == last else 0

    def _steps(self, block: str) -> int:
        return next(step for step in itertools.count() if at_step(block, step + 1) not in self.models.subject.layers)

    def grid(self, layer: str) -> tuple[int, int]:
        """Return height and width of the map of a dissected layer, see `shape`."""
        shape = self.shape(layer)
        return shape.height, shape.width

    def in_order(self, layers: Sequence[str]) -> list[str]:
        """Return layers in the order of the network, each once."""
        return sorted(set(layers), key=forward_order(self.models.subject.layers))

    def concept(self, name: str) -> int:
        """Return the index of a concept that the dissection saw often enough to score.

        Raises:
            UnknownName: no such concept.
            BadValue: the sample hardly shows it.
        """
        c = find_concept(self.dissection.vocabulary, name)
        row = self.dissection.concepts.iloc[c - 1]
        if row.rare:
            seen = f"covers {row.share:.2g} of the pixels" if row.share else "never occurs"
            table = self.dissection.concepts
            often = table[~table.rare].sort_values("share", ascending=False).concept.head(8)
            raise BadValue(
                f"{name} {seen} in {self.directory}; what occurs often enough: {', '.join(often) or 'nothing'}"
            )
        return c

    def scored(self) -> list[int]:
        """Return the indices of the concepts that the dissection scored, in order."""
        return [i + 1 for i, rare in enumerate(self.dissection.concepts.rare) if not rare]

    def named(self, c: int) -> Concept:
        """Return the concept of an index."""
        return self.dissection.vocabulary[c]

    def ious(self, layer: str, concept: str) -> Float64[Tensor, " u"]:
        """Return the IoU of every unit of a layer with a concept, 0 where there is none.

        Raises:
            BadValue: no unit of the layer has any.
            UnknownName: the layer was not dissected.
        """
        self.check_dissected(layer)
        table = self.dissection.ranked(concept)
        table = table[table.layer == layer].sort_values("unit")
        ious = torch.from_numpy(table.iou.fillna(0).to_numpy(copy=True))
        if not float(ious.max()) > 0:
            raise BadValue(f"no unit of {layer} has any IoU with {concept}; choose another layer")
        return ious


def _file_name(name: str) -> str:
    """Return a name as one part of a path.

    >>> _file_name("ablate-material:water"), _file_name("../a/b"), _file_name("red light, warm")
    ('ablate-material-water', '---a-b', 'red light, warm')
    """
    return re.sub(r"^\.+|[^\w .,=+()-]", lambda found: "-" * len(found[0]), name)


def open_source(
    directory: str | Path,
    device: str = "auto",
    generator: Subject | None = None,
    segmenter: Segmenter | None = None,
    *,
    draws: bool = True,
    run: RunOptions = RUN,
) -> DissectedModel:
    """Open a finished dissection and the models that it names, or those that are given.

    Args:
        directory: of the dissection.
        device: where models that are opened by name compute.
        generator, segmenter: open models, instead of those that the dissection names.
        draws: whether images will be drawn, which takes a generator.
        run: of its studies.

    Raises:
        BadModel: images will be drawn, and the dissection was of a model that only looks at them.
        StudyError: no finished dissection.
        StudyMismatch: a model is no longer the one that was dissected.
        BadValue: the dissection was of an open model, which has to be given again; or it names code or a model on the
            network, and its user has not agreed to that.
    """
    dissection = Dissection.open(local_path(directory))
    spec, used = dissection.spec, dissection.facts["inputs"]
    given = {"generator": generator or spec.generator, "segmenter": segmenter or spec.segmenter}
    require_trust([name for name in given.values() if isinstance(name, str)], dissection.study.directory)
    for kind, model in given.items():
        if isinstance(model, str) and model.startswith("given:"):
            raise BadValue(f"{directory} dissected an open {kind}; hand the same one over: {kind}=…")
    models = ModelPair(given["generator"], given["segmenter"], choose_device(device))  # type: ignore[arg-type]  # as the keys say
    subject = models.generator if draws else models.subject
    for kind, model in (("generator", subject), ("segmenter", models.segmenter)):
        if model.fingerprint != used[kind]:
            raise StudyMismatch(
                f"the {kind} {getattr(spec, kind)} has changed since {directory} was made; dissect it again"
            )
    return DissectedModel(dissection, models, run)


def default_directory(source: DissectedModel, spec: SampleSpec, name: str) -> Path:
    """Return the default directory of a causal study: its name has every number that differs from the default."""
    other = ""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if isinstance(field.default, int | float) and value != field.default:
            other += f"-{field.name}-{value}"
    return source.sibling_path("+".join(spanned(spec.layers())), name + other)


class JoinedRows(Accumulator):
    """Tables that grow by the rows of each batch, which are kept in the order of `FIELDS`."""

    def update(self, *batch: Tensor) -> None:
        """Take in the new rows of the first tables, in order."""
        for name, new in zip(self.FIELDS, batch, strict=False):
            setattr(self, name, torch.cat([getattr(self, name), new.cpu()]))
