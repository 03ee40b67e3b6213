"""Is a feature about one thing? Features of scene pairs that differ in one kind of object, which the renderer draws.

A model that begins a step from an image with noise gets both scenes of a pair with the same noise, and the features are
read where it has them at that step; any other is inverted for both, see `invert_pairs`. What features differ in is
summed over the places of each, as a share of what all features of the dictionary differ in. Of each kind the mean over
its pairs says how much of it a feature responds to; the share of the greatest kind is the feature's score. The same
with kinds shuffled among pairs is what chance gives, and is subtracted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.models.generators import Generator, Subject
from ganatomy.models.generators.directions import SAMPLE, Directions
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.scenes import ScenePairs, scene_pairs
from ganatomy.training.dictionaries.inverted_pairs import scenes_of
from ganatomy.training.dictionaries.measure import Drawn, Measure

LEAST = 5
"""Pairs of a kind that are needed; of kinds of which fewer were asked for, all of these."""
AT_ONCE = 16
SHUFFLES = 5
"""Times that kinds are shuffled, each draw."""
PairFeatures = Callable[[slice], tuple[Tensor, Tensor]]
"""Returns the features of both scenes of some of the pairs, [b, u, h, w]: with the object, and without it."""


@dataclass(frozen=True, eq=False)
class PairedScenes:
    """Pairs of scenes of several kinds of object.

    Attributes:
        kinds: names.
        kind: int64 [n], of each pair.
        pairs: by kind.
    """

    kinds: tuple[str, ...]
    kind: npt.NDArray[np.int64]
    pairs: Mapping[str, ScenePairs]


def open_pairs(category: str, count: int, size: int, seed: int) -> PairedScenes:
    """Render pairs of every kind of which there are enough."""
    found = scene_pairs(category, count, size, seed)
    kept = {name: own for name, own in found.items() if len(own) >= min(count, LEAST)}
    kind = np.repeat(np.arange(len(kept)), [len(own) for own in kept.values()])
    return PairedScenes(tuple(kept), kind, kept)


def no_pairs(subject: Subject, category: str | None) -> str:
    """Return why the features of rendered scenes cannot be compared; empty where they can."""
    if category is None:
        return (
            "Scene pairs were not compared: the model is not known to draw rendered scenes; if it does, give their "
            "category, grammar=church."
        )
    if not takes_noised(subject) and not isinstance(subject, Generator):
        return "Scene pairs were not compared: the model draws no images, so it has none of these scenes."
    return ""


def takes_noised(subject: Subject) -> TypeGuard[SampledGenerator]:
    """Return whether a model begins a step from an image with noise."""
    return isinstance(subject, SampledGenerator) and hasattr(subject.sampler, "noised")


def joined(scenes: PairedScenes) -> ScenePairs:
    """Return the pairs of all kinds, one kind after the other."""
    every = list(scenes.pairs.values())
    return ScenePairs(
        *(np.concatenate([getattr(own, name) for own in every]) for name in ("shown", "without", "where"))
    )


def noised_pairs(subject: SampledGenerator, layer: str, scenes: PairedScenes, seed: int) -> PairFeatures:
    """Return what gives the features of both scenes of pairs, with the same noise for both."""
    every = joined(scenes)

    def features(rows: slice) -> tuple[Tensor, Tensor]:
        z = subject.latents(range(*rows.indices(len(every))), seed + 3 * SAMPLE)
        shown, without = (scenes_of(own[rows]).to(subject.device) for own in (every.shown, every.without))
        return subject.observe_noised(shown, z, layer).float(), subject.observe_noised(without, z, layer).float()

    return features


@torch.no_grad()
def pair_measure(
    features: PairFeatures,
    layer: str,
    dictionaries: Mapping[str, Directions],
    scenes: PairedScenes,
    draws: int,
    seed: int,
) -> Measure:
    """Return how far features respond to one kind of object, beyond chance.

    Args:
        features: of both scenes of some of the pairs.
        layer: of the dictionaries.
        dictionaries: by name.
        scenes: the pairs.
        draws, seed: resamples of the pairs of each kind, the same for all.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in dictionaries}
    for start in range(0, len(scenes.kind), AT_ONCE):
        one, other = features(slice(start, start + AT_ONCE))
        if not bool(one.isfinite().all() and other.isfinite().all()):
            raise BadModel(f"layer {layer} is NaN or Inf for rendered scenes")
        for name, own in dictionaries.items():
            directions = own.to(one.device)
            apart = directions.encode(one) - directions.encode(other)
            parts[name].append(apart.abs().double().sum((2, 3)).cpu())
    weights, shuffled = _draws(scenes, draws, seed)
    values = {name: _scores(torch.cat(own).numpy(), scenes, weights, shuffled) for name, own in parts.items()}
    return Measure(
        "one_object",
        "response to one object",
        f"share of a feature's response to scene pairs that falls on one kind of object, of {len(scenes.kinds)} "
        f"({', '.join(scenes.kinds)}), less what kinds shuffled among the pairs give",
        values,
        max(1, int(np.bincount(scenes.kind).min()) - 1),
        share=True,
    )


def _draws(scenes: PairedScenes, draws: int, seed: int) -> tuple[Drawn, Sequence[npt.NDArray[Any]]]:
    """Return how often each draw takes each pair, [1 + draws, n], as many of each kind; and shuffled kinds."""
    source, count = np.random.default_rng((seed, len(scenes.kind))), len(scenes.kind)
    weights = np.ones((1 + draws, count))
    for kind in range(len(scenes.kinds)):
        own = np.flatnonzero(scenes.kind == kind)
        taken = max(1, len(own) - 1)  # so that the variance of a mean is what it is between samples
        drawn = source.multinomial(taken, np.full(len(own), 1 / len(own)), draws)
        weights[1:, own] = drawn * (len(own) / taken)
    return weights, [np.stack([source.permutation(scenes.kind) for _ in range(SHUFFLES)]) for _ in range(1 + draws)]


def _scores(apart: Drawn, scenes: PairedScenes, weights: Drawn, shuffled: Sequence[npt.NDArray[Any]]) -> Drawn:
    """Return the mean score of the features that respond at all, less that of shuffled kinds, [1 + draws].

    Args:
        apart: [n, k], how far each feature differs in each pair.
    """
    total = apart.sum(1, keepdims=True)
    share = np.divide(apart, total, out=np.zeros_like(apart), where=total > 0)
    kinds = len(scenes.kinds)
    own = np.eye(kinds)[scenes.kind]
    found = [
        _score(share, own * w[:, None]) - np.mean([_score(share, np.eye(kinds)[each] * w[:, None]) for each in others])
        for w, others in zip(weights, shuffled, strict=True)
    ]
    return np.array(found)


def _score(share: Drawn, kinds: Drawn) -> float:
    """Return the mean over features of the share of the greatest kind; NaN where no feature responds.

    Args:
        share: [n, k].
        kinds: [n, kinds], how often each pair is taken, in the column of its kind.
    """
    mean = kinds.T @ share / np.maximum(kinds.sum(0)[:, None], 1e-12)
    total = mean.sum(0)
    alive = total > 0
    return float((mean.max(0)[alive] / total[alive]).mean()) if alive.any() else float("nan")
