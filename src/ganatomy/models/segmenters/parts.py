"""Halves of objects as concepts of their own, around any segmenter: ``parts:bundled:scenes``, ``parts:colors``."""

import torch

from ganatomy.core.errors import BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.core.vocabulary import Concept, Vocabulary
from ganatomy.models.segmenters.part_quadrants import expand
from ganatomy.models.segmenters.protocol import Segmenter
from ganatomy.models.segmenters.registry import SEGMENTERS


class Parts:
    """A segmenter whose objects also have a top, left, bottom and right (Section 4; SPEC 3).

    The plane that is expanded is "object", or the first where there is none; its concepts are those of that category.
    After the inner vocabulary come all their tops (``tree-t``), then lefts (``-l``), bottoms (``-b``) and rights
    (``-r``), category "part"; after the inner planes come "top/bottom" and "left/right".
    """

    def __init__(self, inner: Segmenter) -> None:
        plane = "object" if "object" in inner.planes else inner.planes[0]
        objects = [i for i, concept in enumerate(inner.vocabulary) if concept.category == plane]
        if not objects:
            raise BadValue(f"nothing to expand: the vocabulary has no concept of category {plane!r}")
        halves = [Concept(f"{inner.vocabulary[i].name}-{half}", "part") for half in "tlbr" for i in objects]
        self.vocabulary: Vocabulary = (*inner.vocabulary, *halves)
        self.planes = (*inner.planes, "top/bottom", "left/right")
        self.fingerprint = fingerprint({}, "parts", inner.fingerprint)
        self.device = inner.device
        self._inner, self._plane, self._count = inner, inner.planes.index(plane), len(objects)
        self._rank = torch.zeros(len(inner.vocabulary), dtype=torch.long, device=inner.device)
        self._rank[objects] = torch.arange(1, len(objects) + 1, device=inner.device)

    def __call__(self, images: Images) -> Labels:
        """Return the inner labels, and two planes of halves."""
        labels = self._inner(images)
        halves = expand(self._rank[labels[:, self._plane].long()], self._count)
        first = len(self._rank) - 1 - self._count  # rank 1's top, number 1 + count, is the first new concept
        return torch.cat([labels, torch.where(halves > 0, halves + first, 0)], 1)


@SEGMENTERS.register("parts", argument="model")
def open_parts(inner: str, /, *, device: torch.device, **options: str) -> Parts:
    """Open the segmenter that follows the colon, which takes all the options, and expand it."""
    family, _, argument = inner.partition(":")
    return Parts(SEGMENTERS.make(family, argument, options, device=device))
