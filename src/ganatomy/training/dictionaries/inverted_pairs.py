"""Scene pairs as a model draws them that has to be inverted for it, and how exactly it draws what they differ in."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.progress import Progress, report_progress
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.engines import Engine
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows
from ganatomy.experiments.inversion.found import InvertSpec, ModelImages
from ganatomy.experiments.inversion.photographs import Photographs
from ganatomy.models.generators import Generator
from ganatomy.models.generators.photographs import Offset
from ganatomy.models.inversion import inverted
from ganatomy.models.inversion.optimisation import OffsetInverter
from ganatomy.scenes import ScenePairs
from ganatomy.scenes.arrays import Bytes
from ganatomy.stats.base import concat

OPTIMISED = 3
"""Pairs of each kind, at most, where each takes an optimisation."""
LIKE = 0.7
"""Correlation of the differences from which on a pair is drawn: half of the variance of the one is in the other."""
EDGE = 2
"""Pixels around an object that still count as its place."""


@dataclass(frozen=True)
class PairSpec(InvertSpec):
    """Which scene pairs are inverted.

    Attributes:
        category: of the scenes.
        pairs: of each kind, at most.
    """

    category: str = ""
    pairs: int = OPTIMISED


class FoundPairs(JoinedRows):
    """What draws both scenes of each pair, one row each, and how exactly.

    Attributes:
        z, z_without: latents, flat.
        offset, offset_without: of the layer; of no units where the latents are enough.
        like: float32 [n], correlation of what the reconstructions and the scenes differ in.
        outside: float32 [n], share of the squared difference of the reconstructions outside the object's place.
    """

    FIELDS: ClassVar = dict.fromkeys(("z", "z_without", "offset", "offset_without", "like", "outside"), concat)

    def __init__(self, latent: int, offset: tuple[int, ...]) -> None:
        self.z, self.z_without = torch.zeros(2, 0, latent)
        self.offset, self.offset_without = torch.zeros(2, 0, *offset)
        self.like, self.outside = torch.zeros(2, 0)

    z: Tensor
    z_without: Tensor
    offset: Tensor
    offset_without: Tensor
    like: Tensor
    outside: Tensor

    def features(self, generator: Generator, layer: str, rows: slice) -> tuple[Features, Features]:
        """Return the features of a layer for the scenes with the object, and without it."""
        latent, sides = generator.latents(range(1), 0).shape[1:], []
        for z, offset in ((self.z, self.offset), (self.z_without, self.offset_without)):
            own = z[rows].reshape(-1, *latent).to(generator.device)
            sides.append(_features(generator, layer, own, offset[rows].to(generator.device)))
        return sides[0], sides[1]

    def refusal(self) -> str:
        """Return why nothing can be said of these pairs; empty where it can."""
        if float(self.like.median()) >= LIKE:  # NaN is refused
            return ""
        return f"Scene pairs were not compared: the model does not draw what they differ in exactly enough. {self}"

    def __str__(self) -> str:
        like, outside = (float(own.median()) for own in (self.like, self.outside))
        return (
            f"How exactly the {len(self.like)} pairs are drawn, medians: the difference of the reconstructions "
            f"correlates with that of the scenes at {like:.2f} (at least {LIKE} is needed), and {100 * outside:.0f} % "
            "of its energy is outside the object's place."
        )


def invert_pairs(
    source: DissectedModel,
    spec: PairSpec,
    pairs: ScenePairs,
    directory: Path,
    engine: Engine,
    progress: Progress | None,
) -> FoundPairs:
    """Invert both scenes of every pair; goes on where it was stopped.

    Args:
        source: with the model itself.
        spec: with the layer where an offset is added, which is the one whose features are compared.
        pairs: of all kinds.
        directory: of the study.
    """
    size = (pairs.shown.shape[-2], pairs.shown.shape[-1])
    photographs = Photographs(source, spec, (), size)
    with source.begin(directory, spec, engine, progress) as (study, begun):
        drawn = study.step("model images", ModelImages, photographs.drawn)
        work = partial(_invert, photographs, drawn, pairs)
        found = study.sharded("pairs", FoundPairs, work, begun.run.shards(range(len(pairs))))
        if not study.finished:
            study.finish()
    return found


def _invert(photographs: Photographs, drawn: ModelImages, pairs: ScenePairs, ids: range) -> FoundPairs:
    """Invert the scenes without the object first, then go on from these to the others."""
    generator, inverter, rows = photographs.source.models.generator, photographs.inverter, slice(ids[0], ids[-1] + 1)
    shown, without = (scenes_of(own[rows]).to(generator.device) for own in (pairs.shown, pairs.without))
    start, _ = photographs.nearest(without, drawn)
    one = inverted(inverter, without, start)
    other = inverter.changed(shown, one) if isinstance(inverter, OffsetInverter) else inverted(inverter, shown, start)
    change, where = other.images - one.images, torch.from_numpy(pairs.where[rows]).to(generator.device)
    found = FoundPairs(one.z.flatten(1).shape[1], tuple(one.offset.shape[1:]))
    found.update(
        other.z.flatten(1),
        one.z.flatten(1),
        other.offset,
        one.offset,
        _correlation(change, shown - without),
        _outside(change, where),
    )
    report_progress(len(ids))
    return found


def scenes_of(images: Bytes) -> Images:
    """Return rendered scenes as images in [-1, 1]."""
    return torch.from_numpy(images).float() / 127.5 - 1


def _features(generator: Generator, layer: str, z: Latents, offset: Features) -> Features:
    edits = [Offset(layer, offset)] if offset.shape[1] else []
    return generator.observe(z, [layer], edits).features[layer].float()


def _correlation(one: Images, other: Images) -> Float[Tensor, " b"]:
    """Return the correlation of two images over pixels and colours; 0 where one is flat."""
    one, other = (own.flatten(1) - own.flatten(1).mean(1, keepdim=True) for own in (one, other))
    found: Tensor = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1)).clamp(min=1e-12)
    return found


def _outside(change: Images, where: Tensor) -> Float[Tensor, " b"]:
    wide = F.max_pool2d(where[:, None].float(), 2 * EDGE + 1, 1, EDGE)
    energy = change.square()
    found: Tensor = (energy * (1 - wide)).sum((1, 2, 3)) / energy.sum((1, 2, 3)).clamp(min=1e-12)
    return found
