"""Thresholds of segmenters for any words, chosen on images."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganatomy.core.errors import UnknownName
from ganatomy.core.registry import join_name, split_name
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.core.vocabulary import find_concept
from ganatomy.models.segmenters.open_vocabulary import OpenVocabularySegmenter
from ganatomy.models.segmenters.protocol import Segmenter

LIKELY = 1e-3
"""A concept that scores 1/2 in a smaller share of the pixels is taken to be absent."""
STEPS = 1000
"""Thresholds that are tried between 0 and 1."""
AT_ONCE = 8
"""Images that are scored at once."""


class Calibrated(NamedTuple):
    """The calibrated threshold of a concept.

    Attributes:
        concept: its name.
        threshold: from 0 to 1.
        how: ``reference``, the threshold of the best IoU with another segmenter; ``split``, the one that best separates
            two groups of scores; ``kept``, the one before, since the concept is absent from the images.
        quality: the IoU; or the share of the scores' variance between the groups; or NaN.
        shown: the share of pixels that show the concept.
    """

    concept: str
    threshold: float
    how: str
    quality: float
    shown: float


@torch.no_grad()
def calibrate(
    segmenter: OpenVocabularySegmenter, images: Images, reference: Segmenter | None = None
) -> list[Calibrated]:
    """Choose the thresholds of all concepts on images.

    A concept that the reference has under the same name, and finds in the images, gets the threshold of the best IoU.
    Otherwise the scores of all pixels are split in two groups with the greatest variance between them (Otsu 1979); but
    only where some scores reach 1/2, since low scores can be split as well.
    """
    count = len(segmenter.vocabulary) - 1
    inside, outside = torch.zeros(2, count, STEPS + 1, dtype=torch.float64).unbind()
    for part in torch.split(images, AT_ONCE):
        labels = None if reference is None else reference(part.to(reference.device)).cpu()
        for i, scores in enumerate(segmenter.scores(part.to(segmenter.device)).cpu().unbind(1)):
            steps = (scores * STEPS).long().flatten()
            on = torch.zeros_like(steps, dtype=torch.float64)
            if reference is not None and labels is not None:
                on = _pixels_of(reference, labels, segmenter.vocabulary[i + 1].name).double().flatten()
            inside[i] += torch.bincount(steps, on, minlength=STEPS + 1)
            outside[i] += torch.bincount(steps, 1 - on, minlength=STEPS + 1)
    return [
        _calibrated(segmenter.vocabulary[i + 1].name, inside[i], outside[i], segmenter.thresholds[i])
        for i in range(count)
    ]


def with_thresholds(spec: str, thresholds: Sequence[float]) -> str:
    """Return the name of a segmenter with other thresholds.

    >>> with_thresholds("clipseg:org/name?concepts=tree,door&thresholds=0.3&size=352", [0.25, 0.4])
    'clipseg:org/name?concepts=tree,door&size=352&thresholds=0.25,0.4'
    """
    family, argument, options = split_name(spec)
    others = {key: value for key, value in options.items() if key != "thresholds"}
    return join_name(family, argument, {**others, "thresholds": ",".join(f"{value:g}" for value in thresholds)})


def _pixels_of(reference: Segmenter, labels: Labels, name: str) -> Tensor:
    """Return the pixels of a concept; none if the reference lacks it."""
    try:
        return (labels == find_concept(reference.vocabulary, name)).any(1)
    except UnknownName:
        return torch.zeros_like(labels[:, 0], dtype=torch.bool)


def _calibrated(concept: str, inside: Tensor, outside: Tensor, before: float) -> Calibrated:
    """Choose a threshold from the histograms of scores inside and outside the concept."""
    both = inside + outside
    above = both.flip(0).cumsum(0).flip(0)
    share = above / above[0]
    if inside.sum() > 0:
        hit = inside.flip(0).cumsum(0).flip(0)
        quality, how = hit / (above + inside.sum() - hit), "reference"
    elif share[STEPS // 2] >= LIKELY:
        quality, how = separation(both), "split"
    else:
        return Calibrated(concept, before, "kept", float("nan"), float(share[round(before * STEPS)]))
    best = (quality >= quality.max() - 1e-12).nonzero().double().mean().round().long()  # the middle of a plateau
    return Calibrated(concept, float(best) / STEPS, how, float(quality[best]), float(share[best]))


def separation(histogram: Tensor) -> Tensor:
    """Return, for each bin at which a histogram may be split, the share of its variance between the two groups.

    >>> separation(torch.tensor([5.0, 0.0, 0.0, 5.0])).tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    p = histogram.double() / histogram.sum()
    place = torch.arange(len(p), dtype=torch.float64)
    mean = (p * place).sum()
    below = torch.cat([p.new_zeros(1), p.cumsum(0)[:-1]])
    moment = torch.cat([p.new_zeros(1), (p * place).cumsum(0)[:-1]])
    between = (mean * below - moment) ** 2 / (below * (1 - below))
    return (between / (p * (place - mean) ** 2).sum()).nan_to_num(0, 0, 0)
