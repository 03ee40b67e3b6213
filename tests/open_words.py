"""Segmenters for any words: tiny ones of each family, and one whose scores are given."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from tiny_transformers import save
from torch import Tensor

from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import Concept
from ganatomy.models.segmenters.open_vocabulary import OpenVocabularySegmenter
from ganatomy.models.segmenters.preprocessing import Preprocessing

FAMILIES = {
    "clipseg": "clipseg:{0}/clipseg?size=64",
    "grounded-sam": "grounded-sam:{0}/grounding-dino?sam={0}/sam2&size=64&boxes=3",
    "sam3": "sam3:{0}/sam3?size=32",
}
"""How each is opened, once `save_models` wrote into a directory."""


def save_models(directory: Path) -> Path:
    """Save the models of all families."""
    for name in ("clipseg", "grounding-dino", "sam2", "sam3"):
        save(directory / name, name)
    return directory


def spec(family: str, directory: Path, **options: object) -> str:
    """Return the name of a segmenter; an option replaces that of `FAMILIES`."""
    name, _, own = FAMILIES[family].format(directory).partition("?")
    given = {"concepts": "tree,door", **dict(pair.split("=") for pair in own.split("&")), **options}
    return f"{name}?" + "&".join(f"{key}={value}" for key, value in given.items())


def smooth_images(side: int = 64) -> Images:
    """Three smooth images."""
    coarse = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(coarse, (side, side), mode="bicubic").clamp(-1, 1)


class ScoredWords(OpenVocabularySegmenter):
    """Scores that are given: for each concept a function of the first colour channel."""

    model = "ScoredWords"

    def __init__(
        self, scores: Mapping[str, Callable[[Tensor], Tensor]], thresholds: Sequence[float], *, overlap: bool = False
    ) -> None:
        concepts = [Concept(name, "object") for name in scores]
        state = {"words": torch.zeros(1)}
        super().__init__(
            concepts, thresholds, [Preprocessing()], state=state, facts=["given"], overlap=overlap, dtype="float32"
        )
        self._known = tuple(scores.values())

    def _scores(self, images: Images, concepts: Sequence[int]) -> Tensor:
        return torch.stack([self._known[i - 1](images[:, 0]) for i in concepts], 1)
