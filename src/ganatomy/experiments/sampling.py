"""The sample of a dissection: images and features of latents, batch by batch."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch

from ganatomy.core.errors import BadModel
from ganatomy.core.resample import Grid
from ganatomy.core.tensor_types import Latents
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.models.generators import LayerShape, Observation, Subject
from ganatomy.models.generators.protocol import check_layers, forward_order, listed_layers, within_image

FEATURE_BYTES = 1 << 28
"""How much room the features of one batch may take; a batch has fewer images where the model is large."""


def chosen_layers(generator: Subject, names: Sequence[str]) -> dict[str, LayerShape]:
    """Return the shapes of the asked layers, in forward order; of those that are listed, if none is asked."""
    check_layers(names, generator.layers)
    if not names:
        return dict(listed_layers(generator))
    return {name: generator.layers[name] for name in sorted(set(names), key=forward_order(generator.layers))}


def batch_size(batch: int, layers: Mapping[str, LayerShape]) -> int:
    """Return how many images a forward pass takes: `batch`, or fewer, where features are large.

    It follows from what is asked and the model alone: rounding differs with it, so it must not follow from the machine.
    """
    image = 4 * sum(math.prod(shape) for shape in layers.values())
    return min(batch, max(2, FEATURE_BYTES // image // 2 * 2))


def grid_of(spec: DissectSpec, seen: Observation) -> Grid:
    """Return the points at which activations and labels are compared.

    At a lower resolution these are centres of label pixels, so that nothing is shifted; under the published threshold
    rule evenly spaced points, for which labels of neighbouring pixels stand, as the published code has it.
    """
    height, width = seen.images.shape[-2:]
    if spec.resolution is None:
        return Grid(height, width)
    rows, columns = spec.resolution, max(1, round(spec.resolution * width / height))
    return Grid(rows, columns, None if spec.threshold == "unit" else (height, width))


def batches(
    spec: DissectSpec, generator: Subject, batch: int, ids: Sequence[int], layers: Sequence[str]
) -> Iterator[tuple[Sequence[int], Observation]]:
    """Yield the ids of every batch, of so many images at most, and what was seen of them."""
    size = batch_size(batch, chosen_layers(generator, spec.layers))
    for i in range(0, len(ids), size):
        part = ids[i : i + size]
        seen = observe(generator, part, spec.seed, layers)
        _check_finite(seen, part)
        yield part, seen


def observe(generator: Subject, ids: Sequence[int], seed: int, layers: Sequence[str]) -> Observation:
    """Return the images and features of some latents."""
    return within_image(generator, generator.observe(latents_of(generator, ids, seed), list(layers)))


def latents_of(generator: Subject, ids: Sequence[int], seed: int) -> Latents:
    """Return the latents of any ids, one at least, in their order."""
    if isinstance(ids, range):
        return generator.latents(ids, seed)
    return torch.cat([generator.latents(range(i, i + 1), seed) for i in ids])


def _check_finite(seen: Observation, ids: Sequence[int]) -> None:
    for layer, r in (*seen.features.items(), ("image", seen.images)):
        if not math.isfinite(float(r.sum())):
            bad = (~torch.isfinite(r)).flatten(2).any(2).nonzero()
            if len(bad):
                image, unit = bad[0].tolist()
                what = f"colour channel {unit} of the image" if layer == "image" else f"layer {layer}, unit {unit}"
                raise BadModel(f"{what} is NaN or Inf for latent id {ids[image]}; the model cannot be dissected")
