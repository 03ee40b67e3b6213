"""Distances from real images, with 10-block jackknife errors over the generated images.

The real images are the same for every model that is compared with them: they move all distances together, and are
not among the errors.

**Interval.** A Fréchet distance is too great for lack of images: its bias falls as 1/n, and with few images a feature
as 1/n² too. Samples of all images, of nine tenths and of halves say how much, and what is left at infinitely many
images. The interval is around that value: 2.262 times the jackknife's error (Student's t for ten blocks), combined with
how much the term in 1/n² mattered. `benchmarks/intervals.py` shows how often it holds the distance.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress
from ganatomy.core.tensor_types import Images
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.real_comparison import AgainstRealSpec, RealComparison
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.stats.jackknife import BLOCKS, blocks_left_out, halves, jackknife_error, student, without_bias
from ganatomy.stats.unit_frechet import unit_frechet
from ganatomy.stats.wasserstein import Patches, sliced_wasserstein

FEW_DIRECTIONS = 64
"""Directions that textures without a block are compared along: an error needs fewer digits."""


@dataclass(frozen=True, eq=False)
class Jackknife(Tensors):
    """Some numbers of a sample of images, and the same without each block of it.

    Attributes:
        whole: float64 [values].
        rest: float64 [blocks, values].
        limits: float64 [2, values], the same of infinitely many images, if the bias falls as 1/n, and if there is a
            term in 1/n² as well; NaN where nobody knows how it falls.
    """

    whole: Float64[Tensor, " values"]
    rest: Float64[Tensor, "blocks values"]
    limits: Float64[Tensor, "2 values"]

    @property
    def error(self) -> Float64[Tensor, " values"]:
        """The standard error of each; NaN where no block was left out."""
        return jackknife_error(self.rest) if len(self.rest) else torch.full_like(self.whole, torch.nan)

    @property
    def interval(self) -> tuple[Tensor, Tensor, Tensor]:
        """Each number of infinitely many images, and where a 95 % interval for it begins and ends."""
        first, second = self.limits
        half = student(BLOCKS - 1) * torch.hypot(self.error, second - first)
        return second, second - half, second + half

    def minus(self, other: "Jackknife") -> "Jackknife":
        """Return the difference from the same numbers of the same images, drawn otherwise."""
        return Jackknife(self.whole - other.whole, self.rest - other.rest, self.limits - other.limits)

    @classmethod
    def mean(cls, several: Sequence["Jackknife"]) -> "Jackknife":
        """Return the mean of the same numbers of the same images, drawn in several ways."""
        tables = zip(*(vars(each).values() for each in several), strict=True)
        return cls(*(torch.stack(table).mean(0) for table in tables))


def frechet_jackknife(
    features: Float[Tensor, "M d"], real: FeatureMoments, chosen: Int64[Tensor, " m"] | None = None
) -> Jackknife:
    """Return the Fréchet distance, and its terms of means and covariances.

    Args:
        features: of generated images.
        real: of the real ones.
        chosen: which of the generated ones; None for all.
    """
    chosen = torch.arange(len(features)) if chosen is None else chosen
    samples = [chosen[None], chosen[blocks_left_out(len(chosen))], chosen[halves(len(chosen))]]
    found = [unit_frechet(features, sample, real) for sample in samples]
    terms = [torch.stack([each.distance, each.means, each.covariances], 1).cpu() for each in found]
    means, images = [each.mean(0) for each in terms], [sample.shape[1] for sample in samples]
    limits = [without_bias(means[:sizes], images[:sizes]) for sizes in (2, 3)]
    return Jackknife(terms[0][0], terms[1], torch.stack(limits))


def textures_jackknife(real: Patches, made: Patches) -> Jackknife:
    """Return the sliced Wasserstein distance of every level, finest first, × 10³.

    Without a block as many real images are left out, always the same: the two sets must be of one size.
    """
    whole = sliced_wasserstein(real, made)
    blocks = blocks_left_out(len(made.values))
    fewer = _some(real, torch.arange(blocks.shape[1]))
    rest = [sliced_wasserstein(fewer, _some(made, block), FEW_DIRECTIONS) for block in blocks]
    return Jackknife(whole, torch.stack(rest), torch.full((2, len(whole)), torch.nan, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class NoiseFloor(Tensors):
    """The levels of textures, and how far as many other real images are: what a perfect model would have.

    Attributes:
        heights: int64 [levels], in pixels.
        distance: float64 [levels], × 10³; NaN where there are no other real images.
    """

    heights: Tensor
    distance: Tensor


@dataclass(frozen=True)
class Textures:
    """The textures of generated images and those of real ones.

    Attributes:
        compared: where the real images are.
        count: how many images, of either kind.
        progress: who shows how far it is.
    """

    compared: RealComparison
    count: int
    progress: Progress

    @cached_property
    def real(self) -> Patches:
        """Patches of the first real images."""
        return self._patches("real textures", self._real(range(self.count)))

    def perfect(self) -> NoiseFloor:
        """Return the levels, and the distance of as many other real images."""
        heights = torch.tensor([height for height, _ in self.real.sizes])
        if self.compared.spec.reals < 2 * self.count:
            return NoiseFloor(heights, torch.full(heights.shape, torch.nan, dtype=torch.float64))
        others = self._patches("real textures", self._real(range(self.count, 2 * self.count)))
        return NoiseFloor(heights, sliced_wasserstein(self.real, others))

    def of(self, label: str, drawn: Iterable[tuple[Images, range]]) -> Jackknife:
        """Return the distance of generated images, given with their ids, at every level."""
        return textures_jackknife(self.real, self._patches(label, drawn))

    def _real(self, ids: range) -> Iterator[tuple[Images, range]]:
        spec, images = self.compared.spec, self.compared.images
        for part in self.compared.source.run.batches(ids):
            yield images.images(images.sample_indices(part, spec.seed), self.compared.frame), part

    def _patches(self, label: str, drawn: Iterable[tuple[Images, range]]) -> Patches:
        device, patches = self.compared.generator.device, None
        self.progress.begin(label, self.count)
        try:
            for images, ids in drawn:
                patches = patches or Patches((images.shape[2], images.shape[3]), self.compared.spec.seed, device=device)
                patches.update(images.clamp(-1, 1).to(device), torch.tensor(ids))
                self.progress.advance(len(ids))
        finally:
            self.progress.end()
        assert patches is not None
        return patches


def check_textures(spec: AgainstRealSpec, textures: int) -> None:
    """Refuse a number of textures that there are not."""
    most = min(spec.images, spec.reals)
    if textures and not 2 <= textures <= most:
        raise BadValue(f"textures={textures}: give 0, or 2 to {most}, of which there are as many real and generated")


def _some(patches: Patches, images: Int64[Tensor, " m"]) -> Patches:
    values = patches.values[images.to(patches.values.device)]
    return Patches.from_state({**patches.state_dict(), "values": values})
