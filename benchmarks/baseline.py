"""A plain implementation of dissection: what `benchmarks/dissect.py` compares with.

It follows the description of Network Dissection and of GAN Dissection's published code, not their text: one pass
over the sample for every layer and again for every layer's counts, the generator (and the segmenter) run each time; a
randomised sketch of each unit's quantiles first; then one mask for every label in a batch. It gives less: one
threshold a unit instead of a hundred levels, no control, and thresholds that change with the sketch's seed.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy import Generator, Segmenter


class Sketch:
    """Approximate quantiles of many units: full buffers are sorted, every other value is kept, at twice the weight."""

    def __init__(self, units: int, size: int = 4096) -> None:
        self.buffers: list[Tensor] = [torch.empty(units, 0)]
        self.size = size

    def add(self, values: Tensor) -> None:
        """Take in values [units, n]."""
        for part in values.split(self.size, dim=1):
            self._push(part, 0)

    def _push(self, values: Tensor, depth: int) -> None:
        if depth == len(self.buffers):
            self.buffers.append(values[:, :0])
        self.buffers[depth] = torch.cat([self.buffers[depth], values], dim=1)
        if self.buffers[depth].shape[1] >= self.size:
            kept = self.buffers[depth].sort(dim=1).values[:, int(torch.randint(2, (1,))) :: 2]
            self.buffers[depth] = values[:, :0]
            self._push(kept, depth + 1)

    def quantile(self, q: float) -> Tensor:
        """Return the quantile of every unit."""
        values, order = torch.cat(self.buffers, dim=1).sort(dim=1)
        weight = torch.cat([torch.full((b.shape[1],), 2.0**depth) for depth, b in enumerate(self.buffers)])
        rank = weight[order].cumsum(1)
        place = (rank < q * rank[:, -1:]).sum(1).clamp(max=values.shape[1] - 1)
        return values.gather(1, place[:, None])[:, 0]


def dissect(
    generator: Generator, segmenter: Segmenter, layers: Sequence[str], images: int, batch: int = 32, top: float = 0.005
) -> dict[str, Tensor]:
    """Return the IoU of every unit and concept, [units, concepts], layer by layer."""
    return {layer: _layer(generator, segmenter, layer, images, batch, top) for layer in layers}


def _layer(generator: Generator, segmenter: Segmenter, layer: str, images: int, batch: int, top: float) -> Tensor:
    units, concepts = generator.layers[layer].units, len(segmenter.vocabulary)
    batches = [range(i, min(i + batch, images)) for i in range(0, images, batch)]
    sketch = Sketch(units)
    for ids in batches:
        seen = generator.observe(generator.latents(ids, 0), [layer])
        sketch.add(_upsampled(seen.features[layer], seen.images).transpose(0, 1).flatten(1))
    threshold = sketch.quantile(1 - top)
    both, on, shown = torch.zeros(units, concepts), torch.zeros(units), torch.zeros(concepts)
    for ids in batches:
        seen = generator.observe(generator.latents(ids, 0), [layer])
        labels = segmenter(seen.images)
        above = _upsampled(seen.features[layer], seen.images) > threshold[:, None, None]
        on += above.sum((0, 2, 3))
        for concept in labels.unique().tolist():
            mask = (labels == concept).any(1)
            shown[concept] += mask.sum()
            both[:, concept] += (above & mask[:, None]).sum((0, 2, 3))
    return both / (on[:, None] + shown - both).clamp(min=1)


def _upsampled(r: Tensor, images: Tensor) -> Tensor:
    return F.interpolate(r, images.shape[-2:], mode="bilinear", align_corners=False)
