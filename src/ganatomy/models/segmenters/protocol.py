"""The protocols of segmenters: the concepts that each pixel of an image shows."""

from typing import Protocol, runtime_checkable

import torch

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import Vocabulary


@runtime_checkable
class Segmenter(Protocol):
    """A semantic segmentation with several kinds of label at once.

    Attributes:
        vocabulary: the concepts; entry 0 is nothing.
        planes: the name of each label plane ("object", "part", "material", …).
        fingerprint: sha256 that changes when the labels may.
        device: where it computes.
    """

    vocabulary: Vocabulary
    planes: tuple[str, ...]
    fingerprint: str
    device: torch.device

    def __call__(self, images: Images) -> Labels:
        """Return the concept that each pixel shows in each plane (0 = nothing), at the images' resolution."""
        ...


@runtime_checkable
class Scorer(Segmenter, Protocol):
    """A segmenter with probabilities."""

    def score(self, images: Images, concept: int) -> Scores:
        """Return the probability of a concept at each pixel, differentiable in the images."""
        ...


def check_concept(vocabulary: Vocabulary, concept: int) -> None:
    """Refuse a concept that has no score.

    Raises:
        BadValue: it is nothing, or not of the vocabulary.
    """
    if not 0 < concept < len(vocabulary):
        raise BadValue(f"no concept {concept} to score; there are 1 to {len(vocabulary) - 1}")


def plane_names(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the categories of a vocabulary, each once: the usual names of label planes."""
    return tuple(dict.fromkeys(concept.category for concept in vocabulary[1:]))
