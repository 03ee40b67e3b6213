"""In which step is a thing decided? Another prompt or other noise from some step on; the estimate of each step."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

import ganatomy
from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.models.generators.sampling import SampledGenerator, State

OTHER = 1 << 20
"""Added to the seed for new noise."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SwapSpec(SampleSpec):
    """One prompt for the first steps, another for the rest.

    Attributes:
        concept: whose pixels are counted.
        mentioned, denied: the two prompts.
    """

    concept: str = ""
    mentioned: str = ""
    denied: str = ""


@dataclass(frozen=True)
class NoiseSpec(SampleSpec):
    """The noise that is left after each step, replaced by other noise.

    Attributes:
        concepts: whose places are compared.
    """

    concepts: tuple[str, ...] = ()


def ratio(over: Floats, under: Floats) -> tuple[float, float]:
    """Return a ratio of sums over images, and its standard error, to first order.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    (0.5, 0.0)
    """
    n, whole = len(over), under.sum()
    if not whole:
        return float("nan"), float("nan")
    value = float(over.sum() / whole)
    return value, float(np.sqrt(n / (n - 1) * np.square(over - value * under).sum()) / abs(whole))


@torch.no_grad()
def after_swap(spec: SwapSpec, source: DissectedModel) -> pd.DataFrame:
    """Return one row for each number of steps with the first prompt: share of the concept, and whom the image obeys.

    `obeys` is 0 where the final images show as much of the concept as those that were denied it throughout, 1 where
    they show as much as those that it was said of throughout.
    """
    name = source.dissection.spec.generator.partition("?")[0]
    generator = _sampled(ganatomy.open_generator(f"{name}?prompts={spec.mentioned}; {spec.denied}"))
    c, steps = source.concept(spec.concept), generator.sampler.steps
    shown = np.concatenate(
        [_swapped(generator, partial(_shares, source, c), ids, spec.seed) for ids in source.parts(spec.ids())], 1
    )
    rows = []
    for done in range(steps + 1):
        share, error = ratio(shown[done], np.ones_like(shown[done]))
        obeys, spread = ratio(shown[done] - shown[0], shown[-1] - shown[0])
        rows.append((spec.concept, done, share, error, obeys, spread))
    return pd.DataFrame(rows, columns=["concept", "steps", "share", "error", "obeys", "obeys_error"])


def _sampled(model: object) -> SampledGenerator:
    if not isinstance(model, SampledGenerator):
        raise BadModel("only a model that makes images in steps decides things in steps")
    return model


def _swapped(generator: SampledGenerator, shares: Callable[[Images], Floats], ids: Sequence[int], seed: int) -> Floats:
    """Return the shares, steps + 1 × images, of a batch for which the first prompt was given so many steps."""
    sampler, found = generator.sampler, []
    state = start(generator, ids, seed, 0)
    for done in range(sampler.steps + 1):
        other = dataclasses.replace(state, prompt=torch.ones_like(state.prompt))
        for number in range(done + 1, sampler.steps + 1):
            other = sampler.step(other, number)
        found.append(shares(sampler.image(other)))
        if done < sampler.steps:
            state = sampler.step(state, done + 1)
    return np.stack(found)


def _shares(source: DissectedModel, c: int, images: Images) -> Floats:
    return masks(source.models.segmenter(images), c).double().mean((1, 2)).numpy()


@torch.no_grad()
def after_noise(spec: NoiseSpec, source: DissectedModel) -> pd.DataFrame:
    """Return one row a concept and number of steps: overlap with the final images of what those steps alone fix.

    After some steps the image is estimated, and other noise is put in for what is left of the noise. `kept` is the IoU
    of the concept's places in the images that come of this with those in the images proper; `estimate` that of its
    places in the estimate; `chance` that of its places in the images proper of the same prompt with other noise.
    """
    generator = _sampled(source.models.generator)
    batches = [list(_renoised(generator, source, ids, spec.seed)) for ids in source.parts(spec.ids())]
    stages = [[torch.cat(labels) for labels in zip(*stage, strict=True)] for stage in zip(*batches, strict=True)]
    final, rows = stages[-1][0], []
    for concept in spec.concepts:
        c = source.concept(concept)
        chance = overlap(masks(final, c), masks(final, c).roll(len(generator.prompts), 0))
        for done, (estimate, kept) in enumerate(stages[:-1], 1):
            values = [overlap(masks(each, c), masks(final, c)) for each in (kept, estimate)]
            rows.append((concept, done, *values[0], *values[1], *chance))
    names = ["kept", "kept_error", "estimate", "estimate_error", "chance", "chance_error"]
    return pd.DataFrame(rows, columns=["concept", "steps", *names])


def _renoised(
    generator: SampledGenerator, source: DissectedModel, ids: Sequence[int], seed: int
) -> Iterator[tuple[Labels, Labels]]:
    """Yield the labels of the estimate after each step, and of the image with other noise from there on."""
    sampler, segmenter = generator.sampler, source.models.segmenter
    state, fresh = (start(generator, ids, own) for own in (seed, seed + OTHER))
    for done in range(1, sampler.steps + 1):
        state = sampler.step(state, done)
        if done == sampler.steps:
            labels = segmenter(sampler.image(state))
            yield labels, labels
            return
        left, clean = 1 - done / sampler.steps, cast(Tensor, state.clean)
        other = State((1 - left) * clean + left * fresh.x, state.prompt)
        for number in range(done + 1, sampler.steps + 1):
            other = sampler.step(other, number)
        yield segmenter(sampler.estimate(state)), segmenter(sampler.image(other))


def start(generator: SampledGenerator, ids: Sequence[int], seed: int, prompt: int | None = None) -> State:
    """Return the state before the first step, of the images' own prompts or of one."""
    z = generator.latents(range(ids[0], ids[-1] + 1), seed)
    numbers = z[:, -1].round().long()
    numbers = numbers if prompt is None else torch.full_like(numbers, prompt)
    return generator.sampler.start(z[:, :-1].reshape(-1, *generator.sampler.shape), numbers)


def masks(labels: Labels, c: int) -> Tensor:
    """Return where a concept is, bool [b, H, W]."""
    return (labels == c).any(1).cpu()


def overlap(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Return the IoU of masks over all images, and its standard error over images."""
    both, either = ((a & b).sum((1, 2)).double().numpy(), (a | b).sum((1, 2)).double().numpy())
    return ratio(both, either)
