"""Concepts by any words: ``clipseg:ID_OR_DIR?concepts=tree,door,stained glass window&thresholds=0.4,0.3,0.25``."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile, BadModel, BadValue, UnknownName
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.registry import join_name, split_name
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import CATEGORIES, NOTHING, Concept, Vocabulary, find_concept
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.segmenters.protocol import Segmenter, check_concept
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights.hub import find_repository
from ganatomy.models.weights.pretrained import (
    build_config,
    load,
    load_tokenizer,
    read_config,
    transformers,
    zero_missing,
)

DEFAULT_THRESHOLD = 0.3
"""Without calibration; the model's scores rarely reach the 1/2 of true probabilities."""
LIKELY = 1e-3
"""A concept that scores 1/2 in a smaller share of the pixels is taken to be absent."""
STEPS = 1000
"""Thresholds that are tried between 0 and 1."""
AT_ONCE = 8
"""Images that go through the network at once."""


class ClipSegmenter:
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
        self.vocabulary: Vocabulary = (NOTHING, *concepts)
        self.planes = tuple(concept.name for concept in concepts)
        self.thresholds = tuple(thresholds)
        matters = (self.vocabulary, self.thresholds, preprocess, net.config.to_json_string())
        state = {"words": embeddings, **net.state_dict()}
        self.fingerprint = fingerprint(state, "clipseg", *matters, *([dtype] if dtype != "float32" else []))
        self.device = embeddings.device
        self._dtype = find_dtype(dtype)
        self._net, self._preprocess = net.to(self._dtype), preprocess
        self._embeddings = embeddings.to(self._dtype)

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return for each plane its concept where it is shown, else nothing."""
        return torch.cat([self._labels(part) for part in torch.split(images, AT_ONCE)])

    def score(self, images: Images, concept: int) -> Scores:
        """Return the probability that the words of a concept describe a pixel."""
        check_concept(self.vocabulary, concept)
        return self._decode(self._encode(images), concept, images)

    def scores(self, images: Images) -> Float[Tensor, "b k H W"]:
        """Return the scores of all concepts; the image is encoded once."""
        encoded = self._encode(images)
        return torch.stack([self._decode(encoded, i, images) for i in range(1, len(self.vocabulary))], 1)

    def _labels(self, images: Images) -> Labels:
        thresholds = torch.tensor(self.thresholds, device=self.device).view(-1, 1, 1)
        concepts = torch.arange(1, len(self.vocabulary), device=self.device).view(-1, 1, 1)
        scores = self.scores(images)
        if bool(scores.isnan().any()):
            raise BadModel(f"CLIPSeg returned NaN in {self._dtype}")
        return torch.where(scores >= thresholds, concepts, 0)

    def _encode(self, images: Images) -> list[Tensor]:
        """Return the decoder's input of the image; the model's own method keeps no gradient for it."""
        pixels = self._preprocess(images).to(self._dtype)
        with foreign_errors("CLIPSeg's image encoder"):
            encoded = self._net.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
        return [encoded[layer + 1] for layer in self._net.extract_layers]

    def _decode(self, encoded: list[Tensor], concept: int, images: Images) -> Scores:
        embedding = self._embeddings[concept - 1].expand(len(images), -1)
        with foreign_errors("CLIPSeg's decoder"):
            logits = self._net.decoder(encoded, embedding).logits
        logits = logits.float().reshape(len(images), 1, *logits.shape[-2:])  # it drops the axis of a lone image
        return F.interpolate(logits, images.shape[-2:], mode="bilinear")[:, 0].sigmoid()


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
def calibrate(segmenter: ClipSegmenter, images: Images, reference: Segmenter | None = None) -> list[Calibrated]:
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
    return [_calibrated(segmenter.planes[i], inside[i], outside[i], segmenter.thresholds[i]) for i in range(count)]


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
    directory = find_repository(name)
    settings = read_config(directory)
    if settings["model_type"] != "clipseg":
        raise BadFile(f"{directory}: a {settings['model_type']}, not a clipseg; open it as hf:")
    preprocess = read_preprocessing(directory, {"image_size": 352, "model_type": "clipseg"}, size)
    tokens = load_tokenizer(directory)([concept.name for concept in named], padding=True, return_tensors="pt")
    longest = settings.get("text_config", {}).get("max_position_embeddings", 77)
    if tokens["input_ids"].shape[1] > longest:
        raise BadValue(f"concepts={concepts}: one has more than the {longest} tokens that the model can read")
    net, missing = load(transformers().CLIPSegForImageSegmentation, build_config(directory, settings), directory)
    with foreign_errors(f"reading the concepts of {name}"), torch.no_grad():
        embeddings = net.get_conditional_embeddings(len(named), tokens["input_ids"], tokens["attention_mask"])
    net.to(device)
    segmenter = ClipSegmenter(net, preprocess, embeddings.to(device), concepts=named, thresholds=values, dtype=dtype)
    zero_missing(net, missing, directory, lambda: segmenter.scores(torch.zeros(1, 3, 64, 64, device=device)))
    return segmenter


def read_concepts(text: str) -> list[Concept]:
    """Read concepts with commas between them; within one, ``%2C`` is a comma, ``%26`` an ampersand, ``%25`` a per cent.

    >>> [str(concept) for concept in read_concepts("tree, stained glass window,black %26 white")]
    ['tree', 'stained glass window', 'black & white']
    """
    names = [name for part in text.split(",") if (name := unquote(part).strip())]
    if not names:
        raise BadValue("clipseg: needs the words to look for; add ?concepts=tree,door,stained glass window")
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
