"""Real and generated images described by features: what distances between them are computed from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress, report_progress
from ganatomy.core.tensor_types import Images
from ganatomy.datasets.protocol import CropSpec, ImageDataset
from ganatomy.datasets.rendered import RenderedScenes
from ganatomy.datasets.sets import open_images
from ganatomy.engines import Engine
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, at_least, shrink_default
from ganatomy.experiments.causal.place_truth import category_of
from ganatomy.experiments.model_pair import check_same
from ganatomy.experiments.option_groups import Sample
from ganatomy.experiments.run_options import RunOptions, cut
from ganatomy.interventions import Intervention
from ganatomy.models.features import FeatureNetwork, checked_vectors, open_features
from ganatomy.models.generators import Generator
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.study import Appended, Study, spec_digest

FEATURES = "bundled:scenes"
ORDER = "as kept"
TABLES = ("features", "peaks")
"""What is known of a generated image."""
PROBE = 8
SAVINGS = 20
"""A saving writes all images seen so far; more savings of a long run would only write."""
RUN = RunOptions(shard=500)
"""Of every comparison with real images, by default."""
Units = Sequence[int]


@dataclass(frozen=True)
class AgainstRealSpec(SampleSpec):
    """Which images of a generator to compare with which real ones.

    Attributes:
        images: M, generated images.
        real: name of a set of real images, as in `open_images`; ``scenes`` alone are those that a bundled generator
            was trained on.
        reals: how many of them.
        features: name of the feature network, as in `open_features`.
    """

    COMPARED = ("images", "reals")
    """Fields that say how many images a distance is computed from."""

    images: int = 3000
    real: Sample[str] = field(kw_only=True)
    reals: Sample[int] = 3000
    features: str = FEATURES

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, **dict.fromkeys(self.COMPARED, 2))
        if self.real == "scenes" and (category := category_of(self.generator)):
            object.__setattr__(self, "real", f"scenes:{category}")


@dataclass(frozen=True)
class ArtifactSpec(AgainstRealSpec):
    """Which units of a layer to rank by which images. The paper: images=200000, top=10000, reals=50000.

    Attributes:
        top: m, images of each unit.
        draws: how many times `top` images are drawn at random, for comparison.
    """

    COMPARED = ("top", "reals")

    top: int = 300
    draws: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, draws=2)
        shrink_default(self, "top", self.images // 2)
        if self.top > self.images:
            raise BadValue(f"top={self.top} images of each unit cannot be had of images={self.images}; draw more")


@dataclass(frozen=True)
class RealSpec:
    """Which real images were described, and by what; the same for every generator of images of that size.

    Attributes:
        images, features: fingerprints of the set and of the network.
        reals, seed: which images of the set.
        size, crop: of the `CropSpec` that was seen of them.
        order: in which they were described.
    """

    images: str
    features: str
    reals: int
    seed: int
    size: int | tuple[int, int]
    crop: float
    order: str = ORDER


class _Blocks(Mapping[str, Tensor]):
    """Tensors of several mappings under new names, each read when it is asked for."""

    def __init__(self, named: Mapping[str, tuple[Mapping[str, Tensor], str]]) -> None:
        self._named = named

    def __getitem__(self, name: str) -> Tensor:
        own, key = self._named[name]
        return own[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


class FeatureTable(Appended):
    """What is known of every generated image, one row each, in blocks of images: to merge two copies nothing.

    Args:
        blocks: float32 ``features:N`` [m, d] and ``peaks:N`` [m, u], the greatest activation of every unit, of block N;
            and int64 ``rows`` [blocks], how many images each has. Those of a file are read when they are asked for.
    """

    def __init__(self, blocks: Mapping[str, Tensor]) -> None:
        self._blocks = blocks
        self._rows: list[int] = blocks["rows"].tolist()

    @classmethod
    def of(cls, features: Sequence[Tensor], peaks: Sequence[Tensor]) -> "FeatureTable":
        """Return a block, given by the batch."""
        own = {"features:0": torch.cat(list(features)), "peaks:0": torch.cat(list(peaks))}
        return cls({"rows": torch.tensor([len(own["peaks:0"])]), **own})

    @property
    def features(self) -> Float[Tensor, "M d"]:
        """A table of the features, the caller's own."""
        return self._table("features")

    @property
    def peaks(self) -> Float[Tensor, "M u"]:
        """A table of the peaks, the caller's own."""
        return self._table("peaks")

    def merge(self, other: "FeatureTable") -> "FeatureTable":
        """Return what is known of the images of both."""
        for name in TABLES:
            if self._blocks[f"{name}:0"].shape[1:] != other._blocks[f"{name}:0"].shape[1:]:
                raise BadValue(f"descriptions of images by other {name} cannot be merged")
        rows = {"rows": torch.tensor([*self._rows, *other._rows])}
        named: dict[str, tuple[Mapping[str, Tensor], str]] = {"rows": (rows, "rows")}
        for name in TABLES:
            both = [_source(own._blocks, key) for own in (self, other) for key in own._keys(name)]
            named |= {f"{name}:{i}": source for i, source in enumerate(both)}
        return FeatureTable(_Blocks(named))

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return every block, read when it is asked for."""
        names = ("rows", *(key for name in TABLES for key in self._keys(name)))
        return _Blocks({name: _source(self._blocks, name) for name in names})

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "FeatureTable":
        """Make it again."""
        return cls(state)

    def _keys(self, name: str) -> list[str]:
        return [f"{name}:{i}" for i in range(len(self._rows))]

    def _table(self, name: str) -> Tensor:
        first, *others = self._keys(name)
        block = self._blocks[first]
        table = block.new_empty(sum(self._rows), block.shape[1])  # filled block by block: nothing is held twice
        table[: self._rows[0]], done = block, self._rows[0]
        for rows, key in zip(self._rows[1:], others, strict=True):
            table[done : done + rows] = self._blocks[key]
            done += rows
        return table


def _source(blocks: Mapping[str, Tensor], name: str) -> tuple[Mapping[str, Tensor], str]:
    """Return where a block comes from: merging again and again leads through no more mappings than once."""
    return blocks._named[name] if isinstance(blocks, _Blocks) else (blocks, name)


@dataclass(frozen=True)
class RealComparison:
    """All that a comparison with real images computes with, opened; the network stays behind when it travels.

    Attributes:
        width: how many numbers describe an image.
    """

    source: DissectedModel
    spec: AgainstRealSpec
    network: FeatureNetwork
    images: ImageDataset
    frame: CropSpec
    width: int

    @property
    def generator(self) -> Generator:
        """The generator."""
        return self.source.models.generator

    def shards(self) -> list[range]:
        """Return the ids of every shard of the generated images."""
        return cut(self.spec.ids(), max(self.source.run.shard, math.ceil(self.spec.images / SAVINGS)))

    def real(self, ids: range) -> Images:
        """Return some of the real images: those of the sample, in the order in which they are kept.

        So images that are kept together are read together, and where a sum is taken the order does not matter.
        """
        return self.images.images(self._sample[ids.start : ids.stop], self.frame)

    @cached_property
    def _sample(self) -> list[int]:
        return sorted(self.images.sample_indices(range(self.spec.reals), self.spec.seed))

    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Describe images."""
        return checked_vectors(self.network.features(images), images, self.spec.features)

    def ablation_edits(self, units: Units) -> list[Intervention]:
        """Return the edits that ablate some units of the layer, or of a block at several steps; none for no units."""
        return [Intervention.ablate(layer, self.source.shape(layer), units) for layer in self.spec.layers() if units]

    def drawn(self, ids: range, units: Units = ()) -> Iterator[tuple[Images, range]]:
        """Draw images without some units, batch by batch."""
        edits = self.ablation_edits(units)
        for part in self.source.parts(ids):
            z = self.generator.latents(part, self.spec.seed)
            yield (self.generator.edited(z, edits) if edits else self.generator.observe(z, []).images), part

    def __reduce__(self) -> tuple[Any, ...]:
        own = self.source, self.spec, self.network.fingerprint, self.images, self.frame, self.width
        return _arrived, own


def _arrived(
    source: DissectedModel, spec: AgainstRealSpec, network: str, images: ImageDataset, frame: CropSpec, width: int
) -> RealComparison:
    described_by = known_network(spec.features, source.models.device, network)
    return RealComparison(source, spec, described_by, images, frame, width)


@lru_cache(maxsize=1)
def known_network(name: str, device: str, known: str) -> FeatureNetwork:
    """Return the feature network of a name in a process that work came to; it must be the one there."""
    network = open_features(name, device)
    check_same(name, network.fingerprint, known)
    return network


def open_comparison(spec: AgainstRealSpec, source: DissectedModel) -> RealComparison:
    """Open what is needed."""
    images = open_images(spec.real)
    images.sample_indices(range(spec.reals), spec.seed)  # so many must be there
    network = open_features(spec.features, source.models.device)
    generator = source.models.generator
    image = generator.observe(generator.latents(spec.ids()[:1], spec.seed), []).images
    crop = 0.0 if isinstance(images, RenderedScenes) else 1.0  # photographs are cut to the shape, and never squeezed
    width = checked_vectors(network.features(image.clamp(-1, 1)), image, spec.features).shape[1]
    for name in spec.COMPARED:
        if getattr(spec, name) <= width:
            raise BadValue(
                f"{name}={getattr(spec, name)} images are too few for the {width} numbers by which "
                f"{spec.features} describes each: such a distance tells of the sample and not of the images; "
                f"give {name}={width + 1} or more"
            )
    frame = CropSpec((image.shape[-2], image.shape[-1]), crop)
    return RealComparison(source, spec, network, images, frame, width)


@contextmanager
def comparison_study(
    spec: AgainstRealSpec, source: DissectedModel, directory: Path, engine: Engine, progress: Progress | None
) -> Iterator[tuple[Study, RealComparison]]:
    """Open what a comparison computes with, and make its study or go on with it."""
    compared = open_comparison(spec, source)
    prints = {"real images": compared.images.fingerprint, "feature network": compared.network.fingerprint}
    facts = {"inputs": source.facts()["inputs"] | prints, "features": compared.width}
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        yield study, replace(compared, source=source)


def named_reals(spec: AgainstRealSpec) -> str:
    """Return the real images, and the features if those are not the default, as a part of a name."""
    other = "" if spec.features == FEATURES else f"-{Path(spec.features).name}"
    return f"{Path(spec.real).name}{other}"


def describe_reals(compared: RealComparison, engine: Engine, progress: Progress | None = None) -> FeatureMoments:
    """Return the moments of the real images: described now, or for an earlier study."""
    spec, frame, source = compared.spec, compared.frame, compared.source
    prints = compared.images.fingerprint, compared.network.fingerprint
    real_spec = RealSpec(*prints, spec.reals, spec.seed, frame.size, frame.crop)
    directory = source.sibling_path("real", spec_digest(real_spec)[:16])
    facts = {"inputs": {}, "real": spec.real, "features": spec.features}
    with Study.create(directory, real_spec, facts, engine, progress, source.run) as study:
        run = study.begun(source.run)
        work = partial(describe_real, replace(compared, source=replace(source, run=run)))
        moments = study.sharded("real images", FeatureMoments, work, run.shards(range(spec.reals)))
        if not study.finished:
            study.finish()
    return moments


def describing_seconds(
    source: DissectedModel, spec: AgainstRealSpec, trials: Sequence[Units] = ((),), more: int = 0
) -> float:
    """Return how long it will take to describe all images in every way, and to draw so many more, from a few."""
    compared = open_comparison(spec, source)
    few = min(PROBE, spec.images, spec.reals)
    for _ in range(2):  # the first time includes set-up
        start = perf_counter()
        describe_made(compared, trials, spec.ids()[:few])
        between = perf_counter()
        describe_real(compared, range(few))
        done = perf_counter()
    return ((spec.images + more) * (between - start) + spec.reals * (done - between)) / few


@torch.no_grad()
def describe_real(compared: RealComparison, ids: range) -> FeatureMoments:
    """Describe one shard of the real images."""
    device = compared.generator.device
    moments = FeatureMoments(compared.width, device)
    for part in compared.source.run.batches(ids):
        moments.update(compared.features(compared.real(part).to(device)))
        report_progress(len(part))
    return moments


@torch.no_grad()
def describe_made(compared: RealComparison, trials: Sequence[Units], ids: range) -> FeatureTable:
    """Describe one shard of the generated images, without each set of units.

    What comes before the layer is computed once.

    Returns:
        One row an image: the features of each trial, one after the other, and the peaks of all units before any edit;
        of a Spec that names no layer, none.
    """
    spec, generator = compared.spec, compared.generator
    layers = [spec.layer] if spec.layer in generator.layers else []
    edits = [compared.ablation_edits(own) for own in trials]
    features: list[Tensor] = []
    peaks: list[Tensor] = []
    for part in compared.source.parts(ids):
        z = generator.latents(part, spec.seed)
        seen = generator.observe(z, layers)
        r = seen.features[spec.layer] if layers else seen.images.new_zeros(len(part), 0, 1, 1)
        images = (generator.render(own[0](r), spec.layer, z, own[1:]) if own else seen.images for own in edits)
        features.append(torch.cat([compared.features(each.clamp(-1, 1)) for each in images], 1))
        peaks.append(r.amax((2, 3)))
        report_progress(len(part))
    return FeatureTable.of(features, peaks)
