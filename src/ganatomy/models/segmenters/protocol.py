"""The protocols of segmenters: the concepts that each pixel of an image shows."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import Vocabulary


@runtime_checkable
class Segmenter(Protocol):
    """A semantic segmentation with several kinds of label at once; the web app calls it in two threads.

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


def check_labels(labels: object, images: Images, segmenter: Segmenter, name: str) -> None:
    """Refuse what is no label map of images; its numbers are not looked at, see `check_range`.

    Raises:
        BadModel: it is of another type or shape.
    """
    shape = [len(images), len(segmenter.planes), *images.shape[2:]]
    kind = str(labels.dtype) if isinstance(labels, Tensor) else type(labels).__name__
    if not isinstance(labels, Tensor) or not kind.startswith(("torch.int", "torch.uint")):
        raise BadModel(f"{name} returned labels of type {kind}, expected integers {shape}; convert them by .long()")
    if list(labels.shape) != shape:
        planes = ", ".join(segmenter.planes)
        raise BadModel(
            f"{name} returned labels of shape {list(labels.shape)}, expected {shape}; return one map "
            f"for each image and plane ({planes}), of the images' height and width"
        )


def check_range(labels: Tensor, vocabulary: Vocabulary, name: str) -> None:
    """Refuse labels that are no concepts.

    Raises:
        BadModel: one is negative, or beyond the vocabulary.
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(vocabulary):
        raise BadModel(
            f"{name} returned label {low if low < 0 else high}; its vocabulary has 0 to {len(vocabulary) - 1}"
        )


def plane_names(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the categories of a vocabulary, each once: the usual names of label planes."""
    return tuple(dict.fromkeys(concept.category for concept in vocabulary[1:]))
