"""The images that a causal study keeps to be shown: before and after, the first ones or the best and the worst."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.trials import Edits
from ganatomy.experiments.sampling import latents_of


@dataclass(frozen=True, eq=False)
class ImagePairs(Tensors):
    """The same images before and after.

    Attributes:
        ids: int64 [k], latent ids.
        before, after: uint8 [k, H, W, 3].
        random: the same after the first random set of units; [0, H, W, 3] where there is none.
    """

    ids: Tensor
    before: Tensor
    after: Tensor
    random: Tensor


@dataclass(frozen=True, eq=False)
class Extremes(Tensors):
    """The images in which an insertion at one place gained most, then those in which it gained least.

    Attributes:
        gain: float32 [images], what each image gained, as a share of the place's pixels; NaN where the place showed the
            concept before.
        ids: int64 [k], latent ids: half of them gained most, the others least.
        before, after: uint8 [k, H, W, 3].
    """

    gain: Tensor
    ids: Tensor
    before: Tensor
    after: Tensor


def showing_most(spec: SampleSpec, shown: Shaped[Tensor, " images"], count: int) -> list[int]:
    """Return the ids of the images that show most of a concept, of equals the first ones."""
    return [spec.first + i for i in shown.argsort(descending=True, stable=True)[:count].tolist()]


def draw_pairs(source: DissectedModel, spec: SampleSpec, trials: Sequence[Edits], ids: Sequence[int]) -> ImagePairs:
    """Draw some images again: before, after the first trial, and after the second, if there is one."""
    generator = source.models.generator
    z = latents_of(generator, [*ids, spec.first], spec.seed)[: len(ids)]
    drawn = [generator.edited(z, edits) for edits in ([], *trials[:2])]
    before, after, *more = [as_bytes(images).permute(0, 2, 3, 1) for images in drawn]
    return ImagePairs(torch.tensor(ids, dtype=torch.long), before, after, more[0] if more else before[:0])


def draw_extremes(
    source: DissectedModel, spec: SampleSpec, edits: Edits, gain: Float[Tensor, " images"], most: int
) -> Extremes:
    """Draw the images that gained most and those that gained least, at most so many of either, before and after."""
    ids = [spec.first + i for i in extremes(gain, most).tolist()]
    drawn = draw_pairs(source, spec, [edits], ids)
    return Extremes(gain, drawn.ids, drawn.before, drawn.after)


def extremes(gain: Float[Tensor, " images"], most: int) -> Int64[Tensor, " k"]:
    """Return the numbers of the images that gained most, then as many that gained least, from the least on.

    >>> extremes(torch.tensor([0.1, float("nan"), 0.5, 0.0, 0.3]), 8).tolist()
    [2, 4, 3, 0]
    """
    known = gain.isfinite().nonzero()[:, 0]
    order = known[gain[known].argsort(descending=True, stable=True)]
    half = min(most, len(order) // 2)
    return torch.cat([order[:half], order[len(order) - half :].flip(0)])
