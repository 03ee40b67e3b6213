"""A dissected model, a network that knows words, and the crops of images that the network is shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.experiments.causal.caption_words import FEW
from ganatomy.experiments.causal.choice import alpha_of, random_sets
from ganatomy.experiments.causal.describe_spec import DescribeSpec, checked_words
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.image_crops import crop_means, cropped, crops
from ganatomy.experiments.causal.insertion import RowEdit
from ganatomy.experiments.causal.word_scores import LEAST
from ganatomy.experiments.real_comparison import known_network
from ganatomy.experiments.sampling import latents_of
from ganatomy.models.features import CaptionNetwork, WordNetwork, checked_texts, checked_vectors, open_features


@dataclass(frozen=True)
class Describer:
    """A dissected model, and the network that compares its images with words; the network stays behind when it travels.

    Attributes:
        spec: what is asked.
        vectors: float32 [w, d], of the words, of length 1; None where the network writes captions.
    """

    source: DissectedModel
    spec: DescribeSpec
    network: WordNetwork | CaptionNetwork
    vectors: Float[Tensor, "w d"] | None

    @property
    def least(self) -> float:
        """The least spread of a word over random images."""
        return LEAST if self.vectors is not None else FEW

    def captions(self, images: Images) -> list[str]:
        """Return the captions of images, by a network that writes them."""
        assert isinstance(self.network, CaptionNetwork)
        return self.network.captions(images.clamp(-1, 1))

    def similarity(self, images: Images) -> Float[Tensor, "b w"]:
        """Return the cosine of images with every word, on the CPU, by a network that describes both by vectors."""
        assert isinstance(self.network, WordNetwork)
        assert self.vectors is not None
        found = checked_vectors(self.network.features(images.clamp(-1, 1)), images, self.spec.describer)
        if found.shape[1] != self.vectors.shape[1]:
            lengths = f"{found.shape[1]} numbers and words by {self.vectors.shape[1]}"
            raise BadModel(f"{self.spec.describer} describes images by {lengths}; they cannot be compared")
        return (F.normalize(found, dim=1) @ self.vectors.T).cpu()

    def shown_by(self, unit: int) -> list[int]:
        """Return the ids of the images that show a unit: where it is greatest, and above its least value."""
        dissection = self.source.dissection
        strip, least = dissection.top(self.spec.layer, unit), dissection.levels(self.spec.layer)[1][unit].min()
        above = strip.values > float(least)
        return [int(i) for i in strip.ids[above][: self.spec.top]]

    def latents(self, ids: Sequence[int]) -> Latents:
        """Return the latents of images of the dissection."""
        return latents_of(self.source.models.generator, ids, self.source.dissection.spec.seed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.source, self.spec, self.network.fingerprint)


def _arrived(source: DissectedModel, spec: DescribeSpec, network: str) -> Describer:
    opened = known_network(spec.describer, source.models.device, network)
    assert isinstance(opened, WordNetwork | CaptionNetwork)
    return _describer(source, spec, opened)


def open_describer(source: DissectedModel, spec: DescribeSpec) -> Describer:
    """Open the network, and describe the words.

    Raises:
        BadModel: it does not describe words, nor write captions.
        BadValue: no words are given to one that compares images with words.
    """
    network = open_features(spec.describer, source.models.device)
    if not isinstance(network, WordNetwork | CaptionNetwork):
        raise BadModel(f"{spec.describer} describes images and no words; give clip:DIR, or see docs/describe.md")
    return _describer(source, spec, network)


def _describer(source: DissectedModel, spec: DescribeSpec, network: WordNetwork | CaptionNetwork) -> Describer:
    if isinstance(network, CaptionNetwork):
        return Describer(source, spec, network, None)
    checked_words(spec.words)
    vectors = checked_texts(network.words(spec.words), spec.words, spec.describer)
    return Describer(source, spec, network, F.normalize(vectors.to(source.models.generator.device), dim=1))


def random_crops(describer: Describer, ids: range) -> Iterator[list[Images]]:
    """Yield every crop of the random images of each batch."""
    source, spec, grid = describer.source, describer.spec, crops(describer.spec.crop)
    for part in source.parts(ids):
        images = source.models.generator.observe(latents_of(source.models.generator, part, spec.seed), []).images
        yield [cropped(images, grid, torch.full((len(part),), place)) for place in range(len(grid))]


def unit_crops(
    describer: Describer, unit: int, ids: Sequence[int]
) -> Iterator[tuple[Int64[Tensor, " b"], list[Images]]]:
    """Yield, of the images of each batch, the crops in which a unit is greatest: their numbers, then what they show.

    First as the images are, then without the unit, then without random ones, each alone.
    """
    source, spec = describer.source, describer.spec
    generator, grid, layers = source.models.generator, crops(spec.crop), spec.layers()
    first = layers[0]
    for part in source.parts(ids):
        z = describer.latents(part)
        seen = generator.observe(z, list(dict.fromkeys((spec.layer, first))))
        r = seen.features[spec.layer]
        which = crop_means(r[:, [unit]], grid)[:, 0].argmax(1).cpu()
        trials = [[ablation(layer, units, r) for layer in layers] for units in random_units(spec, unit, part, r)]
        drawn = (generator.render(seen.features[first], first, z, edits) for edits in trials)
        yield which, [cropped(images, grid, which) for images in (seen.images, *drawn)]


def random_units(spec: DescribeSpec, unit: int, ids: Sequence[int], r: Features) -> list[list[int]]:
    """Return which unit is ablated in each image: of the first list the unit itself, of others one that is active."""
    idle = (r.amax((2, 3)) <= 0).cpu()
    sets = []
    for i, row in zip(ids, idle, strict=True):
        avoid = [unit, *row.nonzero()[:, 0].tolist()]
        number = len(row) * i + unit
        (drawn,) = random_sets(len(row), min(spec.random, len(row) - 1) or 1, [number], spec.seed, avoid)
        sets.append([unit, *drawn])
    return [list(each) for each in zip(*sets, strict=True)]


def ablation(layer: str, units: Sequence[int], r: Features) -> RowEdit:
    """Return the ablation of one unit in each image of a batch."""
    count, *grid = r.shape[1:]
    alpha = torch.stack([alpha_of([unit], count) for unit in units])
    return RowEdit(layer, alpha, torch.zeros(count), torch.ones(1, *grid))
