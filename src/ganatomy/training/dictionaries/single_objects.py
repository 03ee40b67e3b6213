"""Is a feature about one thing? Features of scene pairs that differ in one kind of object, which the renderer draws.

Both scenes of a pair get the same noise, and the features are read where the model has them at that step. What they
differ in is summed over the places of each feature, as a share of what all features of the dictionary differ in. Of
each kind the mean over its pairs says how much of it a feature responds to; the share of the greatest kind is the
feature's score. The same with kinds shuffled among pairs is what chance gives, and is subtracted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.models.generators import Subject
from ganatomy.models.generators.directions import SAMPLE, Directions
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.scenes import ScenePairs, scene_pairs
from ganatomy.training.dictionaries.measure import Drawn, Measure

LEAST = 5
"""Pairs of a kind that are needed; of kinds of which fewer were asked for, all of these."""
AT_ONCE = 16
SHUFFLES = 5
"""Times that kinds are shuffled, each draw."""
Bytes = npt.NDArray[np.uint8]


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
    if not isinstance(subject, SampledGenerator) or not hasattr(subject.sampler, "noised"):
        return (
            "Scene pairs were not compared: the features of a rendered image take a model that begins a step from that "
            "image with noise; this one would have to be inverted, which is not exact enough for one object."
        )
    return ""


@torch.no_grad()
def pair_measure(
    subject: SampledGenerator,
    layer: str,
    dictionaries: Mapping[str, Directions],
    scenes: PairedScenes,
    draws: int,
    seed: int,
) -> Measure:
    """Return how far features respond to one kind of object, beyond chance.

    Args:
        subject: the model.
        layer: of the dictionaries, at a step.
        dictionaries: by name.
        scenes: the pairs.
        draws, seed: resamples of the pairs of each kind, the same for all.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in dictionaries}
    whole, lacking = (
        np.concatenate([getattr(own, which) for own in scenes.pairs.values()]) for which in ("shown", "without")
    )
    for start in range(0, len(whole), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        z = subject.latents(range(start, min(start + AT_ONCE, len(whole))), seed + 3 * SAMPLE)
        one, other = (_observed(subject, images[rows], z, layer) for images in (whole, lacking))
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


def _observed(subject: SampledGenerator, images: Bytes, z: Tensor, layer: str) -> Tensor:
    shown = torch.from_numpy(images).float().to(subject.device) / 127.5 - 1
    features = subject.observe_noised(shown, z, layer).float()
    if not bool(features.isfinite().all()):
        raise BadModel(f"layer {layer} is NaN or Inf for rendered scenes")
    return features


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
