"""Concepts by any words, from masks of boxes: ``grounded-sam:DINO?sam=SAM2&concepts=tree,door``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadValue
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images, Scores
from ganatomy.core.vocabulary import Concept
from ganatomy.models.segmenters.open_vocabulary import (
    OpenVocabularySegmenter,
    best_masks,
    check_length,
    find_model,
    read_concepts,
    read_thresholds,
    square_preprocessing,
)
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights.pretrained import build_config, load, load_tokenizer, transformers, zero_missing

BOXES = 20
"""Boxes of a concept in an image that get a mask."""


class GroundedSamSegmenter(OpenVocabularySegmenter):
    """Grounding DINO (Liu et al. 2023) and SAM 2 (Ravi et al. 2024): masks of the boxes that words describe.

    Grounding DINO reads all concepts at once, as phrases between full stops, and returns boxes. A box's score for a
    concept is the mean, over the concept's tokens, of their probabilities. The boxes that score highest for a concept
    get a mask each by SAM 2 (as in Ren et al. 2024). A pixel's score is the greatest, over these boxes, of the box's
    score times the mask's probability at the pixel; see `best_masks`.

    Args:
        detector: `GroundingDinoForObjectDetection`, in float32 on its device.
        sam: `Sam2Model`, the same.
        inputs: the preprocessing of images for the one and the other.
        tokens: of all concepts, see `read_caption`.
        shares: of the tokens in each concept.
        concepts: by their names.
        thresholds: one for each.
        boxes: how many of a concept get a mask, at most.
        overlap: a pixel may show several concepts; each has a plane of its own then.
        dtype: in which it computes.
    """

    model = "Grounding DINO with SAM 2"

    def __init__(
        self,
        detector: Any,
        sam: Any,
        inputs: tuple[Preprocessing, Preprocessing],
        tokens: Integer[Tensor, "1 t"],
        shares: Float[Tensor, "k t"],
        *,
        concepts: Sequence[Concept],
        thresholds: Sequence[float],
        boxes: int = BOXES,
        overlap: bool = False,
        dtype: str = "float32",
    ) -> None:
        nets = {"detector": detector, "sam": sam}
        state = {f"{part}.{name}": tensor for part, net in nets.items() for name, tensor in net.state_dict().items()}
        configs = [net.config.to_json_string() for net in nets.values()]
        super().__init__(
            concepts,
            thresholds,
            inputs,
            state={"words": tokens, **state},
            facts=("grounded-sam", *inputs, *configs, boxes, overlap),
            overlap=overlap,
            dtype=dtype,
        )
        self._detector, self._sam = detector.to(self._dtype), sam.to(self._dtype)
        self._tokens, self._shares, self._boxes = tokens, shares, boxes

    def detect(self, images: Images) -> tuple[Float[Tensor, "b q k"], Float[Tensor, "b q 4"]]:
        """Return the score of each box for each concept; and its left, top, right and bottom, where images end at 1."""
        tokens = self._tokens.expand(len(images), -1)
        with foreign_errors("Grounding DINO"):
            found = self._detector(
                pixel_values=self._inputs[0](images).to(self._dtype),
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
            )
        scores = found.logits.float().sigmoid()[..., : tokens.shape[1]] @ self._shares.T
        middle, size = found.pred_boxes.float().split(2, 2)
        return scores, torch.cat([middle - size / 2, middle + size / 2], 2)

    def _scores(self, images: Images, concepts: Sequence[int]) -> Float[Tensor, "b k H W"]:
        scores, boxes = self.detect(images)
        encoded = self._encode(images)
        return torch.stack([self._masks(encoded, scores[..., i - 1], boxes, images) for i in concepts], 1)

    def _encode(self, images: Images) -> list[Tensor]:
        """Return SAM 2's features of the image; the model's own method keeps no gradient for it."""
        pixels = self._inputs[1](images).to(self._dtype)
        with foreign_errors("SAM 2's image encoder"):
            *finer, coarse = self._sam.get_image_features(pixels, return_dict=True).fpn_hidden_states
            maps = [*finer, coarse + self._sam.no_memory_embedding]  # each of [places, b, d]
            sizes = self._sam.backbone_feature_sizes
            return [each.permute(1, 2, 0).unflatten(2, size) for each, size in zip(maps, sizes, strict=True)]

    def _masks(
        self, encoded: list[Tensor], scores: Float[Tensor, "b q"], boxes: Float[Tensor, "b q 4"], images: Images
    ) -> Scores:
        best = scores.topk(min(self._boxes, scores.shape[1]), 1)
        chosen = boxes.gather(1, best.indices[..., None].expand(-1, -1, 4))
        with foreign_errors("SAM 2's mask decoder"):
            side = self._sam.config.prompt_encoder_config.image_size
            found = self._sam(image_embeddings=encoded, input_boxes=chosen * side, multimask_output=False)
        return best_masks(best.values, found.pred_masks[:, :, 0], images)


@SEGMENTERS.register("grounded-sam", argument="directory or hub", data=True, repositories=("sam",))
def open_grounded_sam(
    name: str,
    /,
    *,
    device: torch.device,
    sam: str = "",
    concepts: str = "",
    thresholds: str = "",
    size: int | None = None,
    boxes: int = BOXES,
    overlap: bool = False,
    dtype: str = "float32",
) -> GroundedSamSegmenter:
    """Open Grounding DINO, and SAM 2 as ``sam=``, by their ids on the hub or from directories."""
    named = read_concepts(concepts)
    values = read_thresholds(thresholds, len(named))
    find_dtype(dtype)
    if boxes < 1:
        raise BadValue(f"boxes={boxes}: give at least 1 box of a concept a mask")
    directory, settings = find_model(name, "grounding-dino")
    config, preprocess = build_config(directory, settings), read_preprocessing(directory, settings, size)
    tokenizer = load_tokenizer(directory, "BertTokenizerFast")
    sam_net, sam_preprocess, sam_missing, sam_directory = _load_sam(sam)
    detector, missing = load(transformers().GroundingDinoForObjectDetection, config, directory)
    tokens, shares = read_caption(tokenizer, named, detector)
    segmenter = GroundedSamSegmenter(
        detector.to(device),
        sam_net.to(device),
        (preprocess, sam_preprocess),
        tokens.to(device),
        shares.to(device),
        concepts=named,
        thresholds=values,
        boxes=boxes,
        overlap=overlap,
        dtype=dtype,
    )
    probe = torch.zeros(1, 3, 64, 64, device=device)
    zero_missing(detector, missing, directory, lambda: torch.cat(segmenter.detect(probe), 2))
    zero_missing(sam_net, sam_missing, sam_directory, lambda: segmenter.scores(probe))
    return segmenter


def _load_sam(name: str) -> tuple[Any, Preprocessing, list[str], Path]:
    """Load SAM 2, alone or from the video model around it; return its missing tensors and its directory, too."""
    if not name:
        raise BadValue("grounded-sam: finds boxes, and needs a SAM 2 for their masks; add ?sam=ID_OR_DIR")
    directory, settings = find_model(name, "sam2", "sam2_video")
    config = build_config(directory, {**settings, "model_type": "sam2"})
    preprocess = square_preprocessing(directory, "sam2", config.prompt_encoder_config.image_size)
    net, missing = load(transformers().Sam2Model, config, directory)
    return net, preprocess, missing, directory


def read_caption(
    tokenizer: Any, concepts: Sequence[Concept], detector: Any
) -> tuple[Integer[Tensor, "1 t"], Float[Tensor, "k t"]]:
    """Write all concepts as phrases that end with a full stop, in small letters.

    Returns:
        The tokens; and for each concept the share of each token in it: equal ones for its own, which sum to 1.

    Raises:
        BadValue: a concept is not one phrase to the detector, or all together are too long for it.
    """
    names = [concept.name for concept in concepts]
    tokens = tokenizer(". ".join(names).lower() + ".", return_tensors="pt")["input_ids"]
    check_length(tokens, detector.config.max_text_len, concepts)
    ends = torch.isin(tokens[0], detector.model.special_tokens)
    phrases = ends.cumsum(0) * ~ends  # 0 where a phrase ends
    numbers = torch.tensor(sorted({*phrases.tolist()} - {0}))
    if len(numbers) != len(names) or any(mark in name for mark in ".?" for name in names):
        raise BadValue(
            f"concepts={','.join(names)}: Grounding DINO reads {len(numbers)} phrases where there are {len(names)} "
            "concepts; each needs words, without . or ?"
        )
    own = (phrases == numbers[:, None]).float()
    return tokens, own / own.sum(1, keepdim=True)
