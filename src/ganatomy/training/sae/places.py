"""The places of a layer, of images drawn by (seed, id), in blocks that fit in memory; nothing is kept on disk.

A block is drawn, shuffled and given in batches, then comes the next. Each is a function of its number alone: a training
that was stopped draws the block again that it was in.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.progress import Progress
from ganatomy.experiments.sampling import batch_size
from ganatomy.models.generators import Subject
from ganatomy.models.generators.directions import SAMPLE
from ganatomy.models.generators.protocol import layers_at, listed_layers, margin, within_image

BATCH = 1024
"""Places of a step."""
BLOCK = 1 << 15
"""Places of a block, at most; of 128 units they take 17 MB."""
BLOCK_IMAGES = 512
"""Images of a block, at most."""
EACH = 256
"""Places of an image that are taken, at most: neighbours are alike."""
DRAWN = 32
"""Images drawn at once."""
HELD_OUT = 256
"""Images that trained weights are measured on."""


@dataclass(frozen=True)
class Places:
    """The places of so many images of a layer.

    Attributes:
        subject, layer: whose; of a block at several steps, ``up2@1..8``, the places of all of them together.
        images: how many images.
        seed: of images that no dissection of this seed looks at.
    """

    subject: Subject
    layer: str
    images: int
    seed: int

    @property
    def block_images(self) -> int:
        """How many images a block takes, but for the last one."""
        return max(1, min(BLOCK_IMAGES, BLOCK // self.each))

    @property
    def each(self) -> int:
        """How many places of an image are taken."""
        at = self.at
        shape, beyond = self.subject.layers[at[0]], 2 * margin(self.subject, at[0])
        return min(EACH, len(at) * (shape.height - beyond) * (shape.width - beyond))

    @property
    def at(self) -> list[str]:
        """The layers that `layer` stands for."""
        return layers_at(self.layer, self.subject.layers)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return math.ceil(self.images / self.block_images)

    def steps(self, block: int | None = None) -> int:
        """Return how many batches a block gives; all of them, if none is named."""
        if block is None:
            return sum(map(self.steps, range(self.blocks)))
        return max(1, len(self._ids(block)) * self.each // BATCH)

    def _ids(self, block: int) -> range:
        start = block * self.block_images
        return range(start, min(start + self.block_images, self.images))

    def batches(self, block: int) -> tuple[Tensor, ...]:
        """Return the places [n, u] of a block, shuffled, in batches of about the same size."""
        places, source = self.of(self._ids(block)), self._source(block)
        order = torch.randperm(len(places), generator=source)
        return places[order.to(places.device)].tensor_split(self.steps(block))

    def _source(self, block: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.seed * 1_000_003 + block) & (2**63 - 1))

    def of(self, ids: range, progress: Progress | None = None) -> Float[Tensor, "n u"]:
        """Return places of images.

        Raises:
            BadModel: one is NaN or Inf.
        """
        at, listed = self.at, listed_layers(self.subject)
        found, size = [], batch_size(DRAWN, {**listed, **{name: self.subject.layers[name] for name in at}})
        source = self._source(-1 - ids.start)
        for start in range(ids.start, ids.stop, size):
            part = range(start, min(start + size, ids.stop))
            seen = self.subject.observe(self.subject.latents(part, self.seed + SAMPLE), at)
            features = within_image(self.subject, seen).features
            r = torch.cat([features[name].detach().float().flatten(2) for name in at], 2)
            if r.shape[2] > self.each:
                order = torch.rand(len(r), r.shape[2], generator=source).argsort(1)[:, : self.each].to(r.device)
                r = r.gather(2, order[:, None].expand(-1, r.shape[1], -1))
            if not bool(r.isfinite().all()):
                raise BadModel(f"layer {self.layer} is NaN or Inf in images {part.start} to {part.stop - 1}")
            found.append(r.movedim(1, 2).flatten(0, 1))
            if progress is not None:
                progress.advance(len(part))
        return torch.cat(found)

    def first(self) -> Float[Tensor, "n u"]:
        """Return the places that an autoencoder begins with, however many images it is trained on."""
        return self.of(range(self.block_images))

    def held_out(self, progress: Progress | None = None) -> Float[Tensor, "n u"]:
        """Return places of images that no training of this seed sees."""
        return Places(self.subject, self.layer, HELD_OUT, self.seed + SAMPLE).of(range(HELD_OUT), progress)
