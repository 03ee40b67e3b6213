"""The segmenter of the planted generator, exact for its images."""

import torch
from torch import Tensor

from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import Vocabulary
from ganatomy.models.segmenters.protocol import check_concept, plane_names
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.toy_world import COLOURS, VOCABULARY

STEEPNESS = 6.0
"""Slope of the sigmoid of a channel: half-way between two colours the score is 1/2."""


class PlantedSegmenter:
    """Labels each pixel by the nearest of eight pure colours."""

    def __init__(self, device: torch.device) -> None:
        self.vocabulary: Vocabulary = VOCABULARY
        self.planes = plane_names(VOCABULARY)
        self.device = device
        self.fingerprint = fingerprint({}, "planted", VOCABULARY, COLOURS, STEEPNESS)
        names = [concept.name for concept in VOCABULARY]
        self._shown = torch.zeros(len(COLOURS), len(VOCABULARY), device=device)
        self._meaning = torch.zeros(len(self.planes), len(COLOURS), dtype=torch.long, device=device)
        for number, shown in enumerate(COLOURS):
            for concept in map(names.index, shown):
                self._shown[number, concept] = 1
                self._meaning[self.planes.index(VOCABULARY[concept].category), number] = concept

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return the object, part and material of each pixel."""
        bits = (images > 0).long()
        number = bits[:, 0] * 4 + bits[:, 1] * 2 + bits[:, 2]
        return self._meaning[:, number].transpose(0, 1)

    def score(self, images: Images, concept: int) -> Scores:
        """Return the closeness of each pixel to the colours that show a concept, from 0 to 1."""
        check_concept(VOCABULARY, concept)
        set_ = torch.sigmoid(STEEPNESS * images)
        total: Tensor = torch.zeros_like(images[:, 0])
        for number in self._shown[:, concept].nonzero()[:, 0].tolist():
            channels = [set_[:, i] if number & bit else 1 - set_[:, i] for i, bit in enumerate((4, 2, 1))]
            total = total + channels[0] * channels[1] * channels[2]
        return total


@SEGMENTERS.register("planted", argument="none", data=True)
def open_planted(_argument: str, /, *, device: torch.device) -> PlantedSegmenter:
    """Open the segmenter of the planted world; it takes no argument."""
    return PlantedSegmenter(device)
