"""Scene parsing networks as segmenters: images go in at one or several sizes, labels have the images' own size."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial, reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import Vocabulary
from ganatomy.models.segmenters.part_quadrants import expand
from ganatomy.models.segmenters.pooling_ops import bilinear
from ganatomy.models.segmenters.protocol import check_concept

PIXELS = 1 << 18
"""Pixels in the network at once, to bound memory: four images of 256 px."""

VALUES = 1 << 22
"""Logits that are upsampled at once: all channels at the size of the image would be far larger than all the rest."""

SMALLEST = 32
"""The least input size: one position of the coarsest map."""


class ChannelGroup(NamedTuple):
    """Channels that exclude each other: one softmax goes over them.

    Attributes:
        plane: the label plane that they fill.
        head: the output of the network that they are of.
        channels: which they are of that output.
        concepts: the concept of each; 0 is nothing.
        owner: the object within which alone they count; None for all pixels.
    """

    plane: str
    head: str
    channels: slice
    concepts: Sequence[int]
    owner: int | None = None


class LabelSpace(NamedTuple):
    """The concepts of a network, its groups of channels (objects first), and how many objects have halves.

    With halves, concepts 1 to `halved` are the objects, and the next 4 × `halved` their tops, lefts, bottoms, rights.
    """

    vocabulary: Vocabulary
    groups: Sequence[ChannelGroup]
    halved: int = 0


class Normalisation(NamedTuple):
    """The input of a network, from 0 to 255: whether blue comes first, the means subtracted, the scales divided by."""

    bgr: bool
    means: tuple[float, float, float]
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)


class InferenceSizes(NamedTuple):
    """The sizes of a network's input, in pixels a side, and the number format in which it computes."""

    sizes: tuple[int, ...]
    dtype: str = "float32"


class SceneParser:
    """An encoder and a decoder with one or several heads: a segmenter and a scorer.

    Images are average-pooled to each size (square, whatever their shape; SPEC 3), as the published code does:
    larger ones are averaged, of smaller ones pixels are repeated. Logits are upsampled to the images' own size; there
    the softmaxes of all sizes are added.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        space: LabelSpace,
        colours: Normalisation,
        inference: InferenceSizes,
        fingerprint: str,
    ) -> None:
        self.vocabulary = space.vocabulary
        self.planes = tuple(dict.fromkeys(group.plane for group in space.groups))
        self.planes += ("top/bottom", "left/right") if space.halved else ()
        self.fingerprint = fingerprint
        self.device = next(encoder.parameters()).device
        self._space, self._colours, self._inference = space, colours, inference
        self._dtype = find_dtype(inference.dtype)
        self._encoder, self._decoder = (net.eval().requires_grad_(False).to(self._dtype) for net in (encoder, decoder))

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return the concept of each pixel in each plane."""
        return torch.cat([self._labels(chunk) for chunk in self._chunks(images)])

    def score(self, images: Images, concept: int) -> Scores:
        """Return the probability of a concept at each pixel; with several sizes, their mean.

        The probability of a part is that within its owner, and 0 where another object is predicted. An object that is
        also a part has the sum of both, at most 1; a half has the probability of its object, where that half is seen.
        """
        check_concept(self.vocabulary, concept)
        chunks = self._chunks(images)
        if len(chunks) == 1 or not (images.requires_grad and torch.is_grad_enabled()):
            return torch.cat([self._score(chunk, concept) for chunk in chunks])
        # What the gradient of a chunk needs is not kept but computed again: memory stays that of one chunk.
        again = partial(checkpoint, self._score, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(chunk, concept) for chunk in chunks])

    def _chunks(self, images: Images) -> tuple[Tensor, ...]:
        return torch.split(images, max(1, PIXELS // sum(size * size for size in self._inference.sizes)))

    def _labels(self, images: Images) -> Labels:
        logits = self.logits(images, {group.head for group in self._space.groups})
        planes: dict[str, Tensor] = {}
        for group in self._space.groups:
            labels = logits.labels(group)
            if group.owner is not None:
                labels = torch.where(planes[self.planes[0]] == group.owner, labels, 0)
            planes[group.plane] = planes[group.plane] + labels if group.plane in planes else labels
        labels = torch.stack(list(planes.values()), 1)
        if self._space.halved:
            labels = torch.cat([labels, expand(labels[:, 0], self._space.halved)], 1)
        return labels

    def _score(self, images: Images, concept: int) -> Scores:
        _, (first, *_), halved = self._space
        half = halved < concept <= 5 * halved
        whole = (concept - 1) % halved + 1 if half else concept
        groups = [group for group in self._space.groups if whole in group.concepts]
        within = half or any(group.owner is not None for group in groups)
        logits = self.logits(images, {group.head for group in groups} | ({first.head} if within else set()))
        objects = logits.labels(first) if within else images.new_zeros(())
        total = images.new_zeros(len(images), *images.shape[2:])
        for group in groups:
            score = logits.probability(group, whole)
            total = total + (score if group.owner is None else score * (objects == group.owner))
        if half:
            total = total * (expand(objects, halved) == concept).any(1)
        return total.clamp(max=1)

    def logits(self, images: Images, heads: Collection[str]) -> "Logits":
        """Return the logits of some heads at each input size."""
        at_sizes = []
        for size in self._inference.sizes:
            x = images if images.shape[2:] == (size, size) else F.adaptive_avg_pool2d(images, size)
            x = (x.flip(1) if self._colours.bgr else x) * 127.5 + 127.5
            means, scales = (torch.tensor(own, device=x.device).view(3, 1, 1) for own in self._colours[1:])
            x = ((x - means) / scales).to(self._dtype, memory_format=torch.channels_last)
            at_sizes.append(self._decoder(self._encoder(x), heads))
        return Logits(at_sizes, (images.shape[2], images.shape[3]))


class Logits(NamedTuple):
    """The logits of a batch at each input size, by head, and the size of the images."""

    at_sizes: Sequence[dict[str, Float[Tensor, "b c h w"]]]
    size: tuple[int, int]

    @torch.no_grad()
    def labels(self, group: ChannelGroup) -> Int64[Tensor, "b H W"]:
        """Return the concept of a group's most probable channel."""
        rows = []
        for lines in self._upsampled(group):
            scores = lines if len(lines) == 1 else [line.softmax(3) for line in lines]
            rows.append(reduce(torch.add, scores).max(3).indices)
        best = torch.cat(rows, 1)
        return torch.tensor(group.concepts, device=best.device)[best]

    def probability(self, group: ChannelGroup, concept: int) -> Scores:
        """Return the softmax probability of the channels that show a concept."""
        channels = [i for i, each in enumerate(group.concepts) if each == concept]
        rows = []
        for lines in self._upsampled(group):
            scores = [line.softmax(3)[..., channels].sum(3) for line in lines]
            rows.append(reduce(torch.add, scores) / len(scores))
        return torch.cat(rows, 1)

    def _upsampled(self, group: ChannelGroup) -> Iterator[list[Float[Tensor, "b rows W c"]]]:
        """Yield the logits of each input size at the images' size, a few rows at a time."""
        height, width = self.size
        maps = [each[group.head][:, group.channels].permute(0, 2, 3, 1).float() for each in self.at_sizes]
        b, _, _, c = maps[0].shape
        matrices = [(bilinear(m.shape[1], height, m), bilinear(m.shape[2], width, m)) for m in maps]
        rows = max(1, VALUES // max(1, b * width * c))
        for top in range(0, height, rows):
            few = [down[top : top + rows] @ m.flatten(2) for m, (down, _) in zip(maps, matrices, strict=True)]
            yield [
                across @ lines.view(*lines.shape[:2], across.shape[1], c)
                for lines, (_, across) in zip(few, matrices, strict=True)
            ]


def parse_sizes(text: str) -> tuple[int, ...]:
    """Parse the option ``sizes=256`` or ``sizes=256,320``."""
    try:
        sizes = tuple(int(each) for each in text.split(","))
    except ValueError:
        raise BadValue(f"option sizes={text!r} is no list of whole numbers; expected such as 256 or 256,320") from None
    if min(sizes) < SMALLEST:
        raise BadValue(f"option sizes={text!r}: {min(sizes)} is too small; give at least {SMALLEST}")
    return sizes
