"""Segmenters for any words: what CLIPSeg, SAM 3 and Grounding DINO with SAM 2 have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile, BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import CATEGORIES, NOTHING, Concept, Vocabulary
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.segmenters.protocol import check_concept, plane_names
from ganatomy.models.weights.hub import find_repository
from ganatomy.models.weights.pretrained import load_tokenizer, read_config

DEFAULT_THRESHOLD = 0.3
"""Without calibration; the models' scores rarely reach the 1/2 of true probabilities."""
AT_ONCE = 8
"""Images that go through a network at once, at most."""
PIXELS = 1 << 20
"""Pixels of its input, or of the images, at once; but one image at least."""
FAMILIES = {"clipseg": "clipseg:", "grounding-dino": "grounded-sam:", "sam3": "sam3:", "sam3_video": "sam3:"}
"""Which family opens a type of model."""


class OpenVocabularySegmenter(ABC):
    """Scores how well words describe each pixel, and shows a concept where its score is at least its threshold.

    Where several concepts reach theirs, a pixel may show them all, each in a plane of its own, or the one that scores
    highest. The latter is for models that return masks of whole objects: several words for one object get nearly the
    same mask, and a plane of labels says one thing of a pixel.

    Attributes:
        vocabulary: nothing, and the concepts, which are asked about in words.
        planes: those of the labels: one for each concept, of its name, where a pixel may show several; else one.
        thresholds: one for each concept.
        fingerprint: of the weights, the words, the thresholds, and all else that labels depend on.
        device: where it computes.
    """

    model: ClassVar[str]
    """What the network is called."""

    def __init__(
        self,
        concepts: Sequence[Concept],
        thresholds: Sequence[float],
        inputs: Sequence[Preprocessing],
        *,
        state: Mapping[str, Tensor],
        facts: Sequence[object],
        overlap: bool,
        dtype: str,
    ) -> None:
        """Begin a segmenter.

        Args:
            concepts: by their names.
            thresholds: one for each.
            inputs: the preprocessing of each of its networks.
            state: its tensors, in float32 on its device; "words" are the embeddings or tokens of the concepts.
            facts: what else labels depend on; the first is the name of the family.
            overlap: a pixel may show several concepts, instead of the one that scores highest there.
            dtype: in which it computes.
        """
        self.vocabulary: Vocabulary = (NOTHING, *concepts)
        self.planes = tuple(concept.name for concept in concepts) if overlap else plane_names(self.vocabulary)
        self.thresholds = tuple(thresholds)
        family, *others = facts
        own = [] if dtype == "float32" else [dtype]
        self.fingerprint = fingerprint(state, family, self.vocabulary, self.thresholds, *others, *own)
        self.device = state["words"].device
        self._inputs, self._overlap, self._dtype = tuple(inputs), overlap, find_dtype(dtype)

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return the concept of each pixel in each plane, else nothing."""
        return torch.cat([self._labels(part) for part in self._parts(images)])

    def score(self, images: Images, concept: int) -> Scores:
        """Return how well the words of a concept describe each pixel, whatever the other concepts score."""
        check_concept(self.vocabulary, concept)
        return self._scores(images, [concept])[:, 0]

    def scores(self, images: Images) -> Float[Tensor, "b k H W"]:
        """Return the scores of all concepts; the image is encoded once."""
        return torch.cat([self._scores(part, range(1, len(self.vocabulary))) for part in self._parts(images)])

    @abstractmethod
    def _scores(self, images: Images, concepts: Sequence[int]) -> Float[Tensor, "b k H W"]:
        """Return the scores of some concepts, by their places in the vocabulary."""

    def _labels(self, images: Images) -> Labels:
        thresholds = torch.tensor(self.thresholds, device=self.device).view(-1, 1, 1)
        scores = self.scores(images)
        if bool(scores.isnan().any()):
            raise BadModel(f"{self.model} returned NaN in {self._dtype}")
        if self._overlap:
            concepts = torch.arange(1, len(self.vocabulary), device=self.device).view(-1, 1, 1)
            return torch.where(scores >= thresholds, concepts, 0)
        best = torch.where(scores >= thresholds, scores, -1).max(1, keepdim=True)  # of equal scores the first concept's
        return torch.where(best.values >= 0, best.indices + 1, 0)

    def _parts(self, images: Images) -> tuple[Tensor, ...]:
        """Split a batch so that neither the images nor what the networks make of them has too many pixels."""
        size = torch.Size(images.shape[-2:])
        most = max(size.numel(), *(torch.Size(each.size(*size)).numel() for each in self._inputs))
        return torch.split(images, max(1, min(AT_ONCE, PIXELS // most)))


def read_concepts(text: str) -> list[Concept]:
    """Read concepts with commas between them; within one, ``%2C`` is a comma, ``%26`` an ampersand, ``%25`` a per cent.

    >>> [str(concept) for concept in read_concepts("tree, stained glass window,black %26 white")]
    ['tree', 'stained glass window', 'black & white']
    """
    names = [name for part in text.split(",") if (name := unquote(part).strip())]
    if not names:
        raise BadValue("no words to look for; add ?concepts=tree,door,stained glass window")
    if len(set(names)) < len(names):
        raise BadValue(f"concepts={text} names one twice")
    return [Concept(name, CATEGORIES[0]) for name in names]


def read_thresholds(text: str, count: int) -> list[float]:
    """Read one threshold for all of `count` concepts, or one for each, with commas between them."""
    try:
        values = [float(value) for value in text.split(",")] if text else [DEFAULT_THRESHOLD]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= count
    if len(values) != count or not all(0 <= value <= 1 for value in values):
        raise BadValue(f"thresholds={text} is not one number from 0 to 1, nor one for each of {count} concepts")
    return values


def find_model(name: str, *kinds: str) -> tuple[Path, dict[str, Any]]:
    """Return the directory of a model, see `find_repository`, and its config, which must be of one of these types.

    Raises:
        BadFile: it is of another type.
    """
    directory = find_repository(name)
    settings = read_config(directory)
    kind = settings["model_type"]
    if kind not in kinds:
        other = FAMILIES.get(kind, "hf:")
        hint = "" if other == FAMILIES.get(kinds[0]) else f"; open it as {other}"
        raise BadFile(f"{directory}: a {kind}, not a {kinds[0]}{hint}")
    return directory, settings


def square_preprocessing(directory: Path, kind: str, side: object) -> Preprocessing:
    """Return the preprocessing of a type of model that reads squares of the side that its config says."""
    if not isinstance(side, int):
        raise BadFile(f"{directory / 'config.json'}: image_size {side!r} is no whole number")
    return read_preprocessing(directory, {"model_type": kind}, side)


def read_phrases(directory: Path, concepts: Sequence[Concept], config: Any) -> Mapping[str, Tensor]:
    """Return the tokens of each concept for a text encoder of CLIP's kind: input_ids and attention_mask, [concepts, n].

    Raises:
        BadFile: the directory lacks its tokenizer.
        BadValue: a concept has more tokens than the encoder reads.
    """
    tokens = load_tokenizer(directory)([concept.name for concept in concepts], padding=True, return_tensors="pt")
    with foreign_errors(f"reading {directory / 'config.json'}"):
        longest = int(config.text_config.max_position_embeddings)
    check_length(tokens["input_ids"], longest, concepts)
    return {name: tokens[name] for name in ("input_ids", "attention_mask")}


def check_length(tokens: Tensor, longest: int, concepts: Sequence[Concept]) -> None:
    """Refuse more tokens than a text encoder reads."""
    if tokens.shape[1] > longest:
        words = ",".join(concept.name for concept in concepts)
        raise BadValue(f"concepts={words}: more than the {longest} tokens that the model can read")


def best_masks(scores: Float[Tensor, "b q"], logits: Float[Tensor, "b q h w"], images: Images) -> Scores:
    """Return for each pixel the greatest product, over masks, of a mask's score and its probability at the pixel."""
    best = (scores[:, :, None, None] * logits.float().sigmoid()).amax(1, keepdim=True)
    return F.interpolate(best, images.shape[-2:], mode="bilinear")[:, 0].clamp(0, 1)
