"""Concepts by any words, from masks of objects: ``sam3:ID_OR_DIR?concepts=tree,door&thresholds=0.4,0.3``."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import Concept
from ganatomy.models.segmenters.open_vocabulary import (
    OpenVocabularySegmenter,
    best_masks,
    find_model,
    read_concepts,
    read_phrases,
    read_thresholds,
    square_preprocessing,
)
from ganatomy.models.segmenters.preprocessing import Preprocessing
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights.pretrained import build_config, load, transformers, zero_missing


class Sam3Segmenter(OpenVocabularySegmenter):
    """SAM 3 (Carion et al. 2025): masks of all objects that words describe, each with a score.

    Its queries are asked about one concept at a time. The score of a query is the probability that it is such an
    object, times that of any being in the image. A pixel's score is the greatest, over the queries, of the query's
    score times the mask's probability at the pixel; see `best_masks`.

    Args:
        net: `Sam3Model`, in float32 on its device.
        preprocess: of its images.
        phrases: input_ids and attention_mask of the concepts, [concepts, tokens].
        concepts: by their names.
        thresholds: one for each.
        overlap: a pixel may show several concepts; each has a plane of its own then.
        dtype: in which it computes.
    """

    model = "SAM 3"

    def __init__(
        self,
        net: Any,
        preprocess: Preprocessing,
        phrases: Mapping[str, Tensor],
        *,
        concepts: Sequence[Concept],
        thresholds: Sequence[float],
        overlap: bool = False,
        dtype: str = "float32",
    ) -> None:
        with foreign_errors("SAM 3's text encoder"), torch.no_grad():
            embeddings = net.get_text_features(**phrases).pooler_output
        super().__init__(
            concepts,
            thresholds,
            [preprocess],
            state={"words": embeddings, "read": phrases["attention_mask"], **net.state_dict()},
            facts=("sam3", preprocess, net.config.to_json_string(), overlap),
            overlap=overlap,
            dtype=dtype,
        )
        self._net, self._preprocess = net.to(self._dtype), preprocess
        self._embeddings, self._read = embeddings.to(self._dtype), phrases["attention_mask"]

    def _scores(self, images: Images, concepts: Sequence[int]) -> Float[Tensor, "b k H W"]:
        pixels = self._preprocess(images).to(self._dtype)
        with foreign_errors("SAM 3's image encoder"):
            encoded = self._net.get_vision_features(pixels)
        return torch.stack([self._masks(encoded, concept, images) for concept in concepts], 1)

    def _masks(self, encoded: Any, concept: int, images: Images) -> Float[Tensor, "b H W"]:
        words, read = (
            each[concept - 1].expand(len(images), *each.shape[1:]) for each in (self._embeddings, self._read)
        )
        with foreign_errors("SAM 3's detector"):
            found = self._net(
                vision_embeds=encoded, text_embeds=SimpleNamespace(pooler_output=words), attention_mask=read
            )
        scores = found.pred_logits.float().sigmoid() * found.presence_logits.float().sigmoid()
        return best_masks(scores, found.pred_masks, images)


@SEGMENTERS.register("sam3", argument="directory or hub", data=True)
def open_sam3(
    name: str,
    /,
    *,
    device: torch.device,
    concepts: str = "",
    thresholds: str = "",
    size: int | None = None,
    overlap: bool = False,
    dtype: str = "float32",
) -> Sam3Segmenter:
    """Open SAM 3 by its id on the Hugging Face hub or from a directory; ``concepts=`` are its concepts."""
    named = read_concepts(concepts)
    values = read_thresholds(thresholds, len(named))
    find_dtype(dtype)
    directory, settings = find_model(name, "sam3", "sam3_video")
    settings = settings.get("detector_config", settings)  # the published file is of the video model, with this inside
    if not isinstance(settings, dict):
        raise BadFile(f"{directory / 'config.json'}: its detector_config is a {type(settings).__name__}, not an object")
    config = build_config(directory, {**settings, "model_type": "sam3"})
    config.image_size = size if size is not None else config.image_size  # before its grids are made
    preprocess = square_preprocessing(directory, "sam3", config.image_size)
    phrases = read_phrases(directory, named, config)
    net, missing = load(transformers().Sam3Model, config, directory)
    net.to(device)
    segmenter = Sam3Segmenter(
        net,
        preprocess,
        {key: tokens.to(device) for key, tokens in phrases.items()},
        concepts=named,
        thresholds=values,
        overlap=overlap,
        dtype=dtype,
    )
    zero_missing(net, missing, directory, lambda: segmenter.scores(torch.zeros(1, 3, 64, 64, device=device)))
    return segmenter
