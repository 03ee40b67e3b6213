"""Concepts by any words: ``clipseg:ID_OR_DIR?concepts=tree,door,stained glass window&thresholds=0.4,0.3,0.25``."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.devices import find_dtype
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import Concept
from ganatomy.models.segmenters.open_vocabulary import (
    OpenVocabularySegmenter,
    find_model,
    read_concepts,
    read_phrases,
    read_thresholds,
)
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights.pretrained import build_config, load, transformers, zero_missing


class ClipSegmenter(OpenVocabularySegmenter):
    """CLIPSeg (Lüddecke and Ecker 2022): how well words describe each pixel, for every concept on its own.

    Concepts do not compete: a pixel may show several, or none. So each has a plane of its own, which shows it where its
    score is at least its threshold.

    Args:
        net: `CLIPSegForImageSegmentation`, in float32 on its device.
        preprocess: of its images.
        embeddings: of each concept's words, [concepts, d].
        concepts: by their names.
        thresholds: one for each.
        dtype: in which it computes.
    """

    model = "CLIPSeg"

    def __init__(
        self,
        net: Any,
        preprocess: Preprocessing,
        embeddings: Float[Tensor, "k d"],
        *,
        concepts: Sequence[Concept],
        thresholds: Sequence[float],
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            concepts,
            thresholds,
            [preprocess],
            state={"words": embeddings, **net.state_dict()},
            facts=("clipseg", preprocess, net.config.to_json_string()),
            overlap=True,
            dtype=dtype,
        )
        self._net, self._preprocess = net.to(self._dtype), preprocess
        self._embeddings = embeddings.to(self._dtype)

    def _scores(self, images: Images, concepts: Sequence[int]) -> Float[Tensor, "b k H W"]:
        encoded = self._encode(images)
        return torch.cat([self._decode(encoded, concept, images) for concept in concepts], 1)

    def _encode(self, images: Images) -> list[Tensor]:
        """Return the decoder's input of the image; the model's own method keeps no gradient for it."""
        pixels = self._preprocess(images).to(self._dtype)
        with foreign_errors("CLIPSeg's image encoder"):
            encoded = self._net.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
        return [encoded[layer + 1] for layer in self._net.extract_layers]

    def _decode(self, encoded: list[Tensor], concept: int, images: Images) -> Float[Tensor, "b 1 H W"]:
        embedding = self._embeddings[concept - 1].expand(len(images), -1)
        with foreign_errors("CLIPSeg's decoder"):
            logits = self._net.decoder(encoded, embedding).logits
        logits = logits.float().reshape(len(images), 1, *logits.shape[-2:])  # it drops the axis of a lone image
        return F.interpolate(logits, images.shape[-2:], mode="bilinear").sigmoid()


@SEGMENTERS.register("clipseg", argument="directory or hub", data=True)
def open_clipseg(
    name: str,
    /,
    *,
    device: torch.device,
    concepts: str = "",
    thresholds: str = "",
    size: int | None = None,
    dtype: str = "float32",
) -> ClipSegmenter:
    """Open a CLIPSeg model by its id on the Hugging Face hub or from a directory; ``concepts=`` are its concepts."""
    named = read_concepts(concepts)
    values = read_thresholds(thresholds, len(named))
    find_dtype(dtype)
    directory, settings = find_model(name, "clipseg")
    preprocess = read_preprocessing(directory, {"image_size": 352, "model_type": "clipseg"}, size)
    config = build_config(directory, settings)
    phrases = read_phrases(directory, named, config)
    net, missing = load(transformers().CLIPSegForImageSegmentation, config, directory)
    with foreign_errors(f"reading the concepts of {name}"), torch.no_grad():
        embeddings = net.get_conditional_embeddings(len(named), phrases["input_ids"], phrases["attention_mask"])
    net.to(device)
    segmenter = ClipSegmenter(net, preprocess, embeddings.to(device), concepts=named, thresholds=values, dtype=dtype)
    zero_missing(net, missing, directory, lambda: segmenter.scores(torch.zeros(1, 3, 64, 64, device=device)))
    return segmenter
