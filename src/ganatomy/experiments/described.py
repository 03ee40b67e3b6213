"""Real and generated images described by features: what distances between them are computed from."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.execute import Engine
from ganatomy.experiments.causal.source import SampleSpec, Source, at_least
from ganatomy.experiments.models import check_same
from ganatomy.features import FeatureNetwork, checked_vectors, open_features
from ganatomy.pictures.protocol import CropSpec, ImageDataset
from ganatomy.pictures.rendered import RenderedScenes
from ganatomy.pictures.sets import open_images
from ganatomy.progress import Progress, report_progress
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.study import Study, spec_digest
from ganatomy.types import Images
from ganatomy.weights import card

FEATURES = "bundled:scenes"
ORDER = "as kept"
TABLES = ("features", "peaks")
"""What is known of a generated image."""
PROBE = 8
SAVINGS = 20
"""A saving writes all images seen so far; more savings of a long run would only write."""


@dataclass(frozen=True)
class AgainstRealSpec(SampleSpec):
    """Which images of a generator to compare with which real ones.

    Attributes:
        images: M, generated images.
        shard: images between two savings, or more where that would be very many savings.
        real: name of a set of real images, as in `open_images`; ``scenes`` alone are those that a bundled generator
            was trained on.
        reals: how many of them.
        features: name of the feature network, as in `open_features`.
    """

    COMPARED = ("images", "reals")
    """Fields that say how many images a distance is computed from."""

    images: int = 3000
    shard: int = 500
    real: str = field(kw_only=True)
    reals: int = 3000
    features: str = FEATURES

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        at_least(self, **dict.fromkeys(self.COMPARED, 2))
        family, _, name = self.generator.partition("?")[0].partition(":")
        if self.real == "scenes" and family == "bundled":
            object.__setattr__(self, "real", f"scenes:{card(name)['category']}")

    def shards(self) -> list[range]:
        """Return the ids of every shard."""
        ids, size = self.ids(), max(self.shard, math.ceil(self.images / SAVINGS))
        return [ids[i : i + size] for i in range(0, len(ids), size)]


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
        """Refuse what cannot be meant."""
        super().__post_init__()
        at_least(self, draws=2)
        if self.top > self.images:
            raise BadValue(f"top={self.top} images of each unit cannot be had of images={self.images}; draw more")


@dataclass(frozen=True)
class RealSpec:
    """Which real images were described, and by what; the same for every generator of images of that size.

    Attributes:
        pictures, features: fingerprints of the set and of the network.
        reals, seed: which images of the set.
        size, crop: of the `CropSpec` that was seen of them.
        order: in which they were described.
        batch, shard: images a forward pass, and between two savings.
    """

    pictures: str
    features: str
    reals: int
    seed: int
    size: int | tuple[int, int]
    crop: float
    order: str = ORDER
    batch: int = SampleSpec.batch
    shard: int = SampleSpec.shard


class Described:
    """What is known of every generated image, one row each, in blocks of images: to merge two copies nothing.

    Args:
        blocks: float32 ``features:N`` [m, d] and ``peaks:N`` [m, u], the greatest activation of every unit, of block N;
            and int64 ``rows`` [blocks], how many images each has. Those of a file are read when they are asked for.
    """

    def __init__(self, blocks: Mapping[str, Tensor]) -> None:
        self._blocks = blocks
        self._rows: list[int] = blocks["rows"].tolist()

    @classmethod
    def of(cls, features: Sequence[Tensor], peaks: Sequence[Tensor]) -> "Described":
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

    def merge(self, other: "Described") -> "Described":
        """Return what is known of the images of both.

        Raises:
            BadValue: the other has other numbers or units.
        """
        for name in TABLES:
            if self._blocks[f"{name}:0"].shape[1:] != other._blocks[f"{name}:0"].shape[1:]:
                raise BadValue(f"descriptions of images by other {name} cannot be merged")
        rows, first = torch.tensor([*self._rows, *other._rows]), len(self._rows)
        own = {key: self._blocks[key] for name in TABLES for key in self._names(name)}
        moved = {
            f"{name}:{first + i}": other._blocks[key] for name in TABLES for i, key in enumerate(other._names(name))
        }
        return Described({"rows": rows, **own, **moved})

    def state_dict(self) -> dict[str, Tensor]:
        """Return every block."""
        return {name: self._blocks[name] for name in ("rows", *(key for name in TABLES for key in self._names(name)))}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Described":
        """Make it again."""
        return cls(state)

    def _names(self, name: str) -> list[str]:
        return [f"{name}:{i}" for i in range(len(self._rows))]

    def _table(self, name: str) -> Tensor:
        table: Tensor | None = None
        for rows, key in zip(self._places(), self._names(name), strict=True):
            block = self._blocks[key]
            if table is None:
                table = block.new_empty(sum(self._rows), block.shape[1])
            table[rows] = block
        assert table is not None
        return table

    def _places(self) -> list[slice]:
        ends = list(itertools.accumulate(self._rows))
        return [slice(end - count, end) for end, count in zip(ends, self._rows, strict=True)]


@dataclass(frozen=True)
class Setting:
    """All that a comparison with real images computes with, opened; the network stays behind when it travels."""

    source: Source
    spec: AgainstRealSpec
    network: FeatureNetwork
    pictures: ImageDataset
    frame: CropSpec

    def real(self, ids: range) -> Images:
        """Return some of the real images: those of the sample, in the order in which they are kept.

        So images that are kept together are read together, and where a sum is taken the order does not matter.

        Raises:
            BadFile: one cannot be read; names it.
        """
        return self.pictures.images(self._sample[ids.start : ids.stop], self.frame)

    @cached_property
    def _sample(self) -> list[int]:
        return sorted(self.pictures.sample_indices(range(self.spec.reals), self.spec.seed))

    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Describe images.

        Raises:
            BadModel: the network gives no vectors.
        """
        return checked_vectors(self.network.features(images), images, self.spec.features)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.source, self.spec, self.network.fingerprint, self.pictures, self.frame)


def _arrived(source: Source, spec: AgainstRealSpec, network: str, pictures: ImageDataset, frame: CropSpec) -> Setting:
    return Setting(source, spec, _network(spec.features, source.models.device, network), pictures, frame)


@lru_cache(maxsize=1)
def _network(name: str, device: str, known: str) -> FeatureNetwork:
    """Return the network of that name in this process, which opens it once."""
    network = open_features(name, device)
    check_same(name, network.fingerprint, known)
    return network


def open_setting(spec: AgainstRealSpec, source: Source) -> tuple[Setting, int]:
    """Open what is needed; return also how many numbers describe an image, which must be fewer than the images."""
    pictures = open_images(spec.real)
    pictures.sample_indices(range(spec.reals), spec.seed)  # so many must be there
    network = open_features(spec.features, source.models.device)
    generator = source.models.generator
    image = generator.observe(generator.latents(spec.ids()[:1], spec.seed), []).images
    crop = 0.0 if isinstance(pictures, RenderedScenes) else 1.0  # photographs are cut to the shape, and never squeezed
    setting = Setting(source, spec, network, pictures, CropSpec((image.shape[-2], image.shape[-1]), crop))
    numbers = setting.features(image.clamp(-1, 1)).shape[1]
    for name in spec.COMPARED:
        if getattr(spec, name) <= numbers:
            raise BadValue(
                f"{name}={getattr(spec, name)} images are too few for the {numbers} numbers by which "
                f"{spec.features} describes each: such a distance tells of the sample and not of the images; "
                f"give {name}={numbers + 1} or more"
            )
    return setting, numbers


def describe_reals(setting: Setting, numbers: int, execute: Engine, progress: Progress | None = None) -> FeatureMoments:
    """Return the moments of the real images: described now, or for an earlier study."""
    spec, frame = setting.spec, setting.frame
    prints = setting.pictures.fingerprint, setting.network.fingerprint
    asked = RealSpec(*prints, spec.reals, spec.seed, frame.size, frame.crop, batch=spec.batch, shard=spec.shard)
    directory = setting.source.sibling_path("real", spec_digest(asked)[:16])
    facts = {"inputs": {}, "real": spec.real, "features": spec.features}
    with Study.create(directory, asked, facts, execute, progress) as study:
        asked = study.begun(asked)
        shards = [range(i, min(i + asked.shard, spec.reals)) for i in range(0, spec.reals, asked.shard)]
        work = partial(describe_real, replace(setting, spec=replace(spec, batch=asked.batch)), numbers)
        moments = study.sharded("real images", FeatureMoments, work, shards)
        if not study.finished:
            study.finish()
    return moments


def describing_seconds(source: Source, spec: AgainstRealSpec, units: int) -> float:
    """Say how long it will take to describe all images, from a few of them, and so many units of the layer."""
    setting, numbers = open_setting(spec, source)
    few = min(PROBE, spec.images, spec.reals)
    for _ in range(2):  # what is done once is done the first time
        start = perf_counter()
        describe_made(setting, units, spec.ids()[:few])
        between = perf_counter()
        describe_real(setting, numbers, range(few))
        done = perf_counter()
    return (spec.images * (between - start) + spec.reals * (done - between)) / few


@torch.no_grad()
def describe_real(setting: Setting, numbers: int, ids: range) -> FeatureMoments:
    """Describe one shard of the real images."""
    spec, device = setting.spec, setting.source.models.generator.device
    moments = FeatureMoments(numbers, device)
    for i in range(0, len(ids), spec.batch):
        part = ids[i : i + spec.batch]
        moments.update(setting.features(setting.real(part).to(device)))
        report_progress(len(part))
    return moments


@torch.no_grad()
def describe_made(setting: Setting, units: int, ids: range) -> Described:
    """Describe one shard of the generated images; with units=0 by their features alone."""
    spec, generator = setting.spec, setting.source.models.generator
    layers = [spec.layer] if units else []
    features: list[Tensor] = []
    peaks: list[Tensor] = []
    for part in setting.source.parts(ids, spec.batch):
        seen = generator.observe(generator.latents(part, spec.seed), layers)
        peaks.append(seen.features[spec.layer].amax((2, 3)) if units else seen.images.new_zeros(len(part), 0))
        features.append(setting.features(seen.images.clamp(-1, 1)))
        report_progress(len(part))
    return Described.of(features, peaks)
