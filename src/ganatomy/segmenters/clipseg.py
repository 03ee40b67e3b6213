"""Words of one's own choice: ``clipseg:ID_OR_DIR?concepts=tree,door,stained glass window&thresholds=0.4,0.3,0.25``."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.devices import find_dtype
from ganatomy.errors import BadFile, BadModel, BadValue, UnknownName
from ganatomy.imported import guarded
from ganatomy.registry import join_name, split_name
from ganatomy.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.segmenters.pretrained import build_config, forgive, load, load_tokenizer, read_config, transformers
from ganatomy.segmenters.protocol import Segmenter
from ganatomy.segmenters.registry import SEGMENTERS
from ganatomy.types import Images, Labels, Scores
from ganatomy.vocabulary import CATEGORIES, NOTHING, Concept, Vocabulary, find_concept
from ganatomy.weights import fingerprint
from ganatomy.weights.hub import find_repository

DEFAULT_THRESHOLD = 0.3
"""Where nothing was calibrated: the model's scores rarely reach the 1/2 that probabilities should."""
LIKELY = 1e-3
"""A concept of which the model is sure (1/2) in a smaller share of the pixels is taken to be absent."""
STEPS = 1000
"""Thresholds are tried in steps of one in so many."""
AT_ONCE = 8
"""Images that go through the network at once."""


class ClipSegmenter:
    """CLIPSeg (Lüddecke and Ecker 2022): asks how well words describe each pixel, of every concept on its own.

    Concepts do not compete: a pixel may show several, or none. So each has a plane of its own, which shows it where its
    score is at least its threshold.

    Args:
        net: `CLIPSegForImageSegmentation`, in float32 on its device.
        read: how it wants its images.
        words: the embedding of each concept's words, [concepts, d].
        concepts: what they are.
        thresholds: one for each.
        dtype: in which it computes.
    """

    def __init__(
        self,
        net: Any,
        read: Preprocessing,
        words: Float[Tensor, "k d"],
        *,
        concepts: Sequence[Concept],
        thresholds: Sequence[float],
        dtype: str = "float32",
    ) -> None:
        self.vocabulary: Vocabulary = (NOTHING, *concepts)
        self.planes = tuple(concept.name for concept in concepts)
        self.thresholds = tuple(thresholds)
        matters = (self.vocabulary, self.thresholds, read, net.config.to_json_string())
        state = {"words": words, **net.state_dict()}
        self.fingerprint = fingerprint(state, "clipseg", *matters, *([dtype] if dtype != "float32" else []))
        self.device = words.device
        self._dtype = find_dtype(dtype)
        self._net, self._read, self._words = net.to(self._dtype), read, words.to(self._dtype)

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return for each plane its concept where it is shown, else nothing.

        Raises:
            BadModel: the model raises, or returns NaN.
        """
        return torch.cat([self._labels(part) for part in torch.split(images, AT_ONCE)])

    def score(self, images: Images, concept: int) -> Scores:
        """Return the probability that the words of a concept describe a pixel.

        Raises:
            BadValue: no such concept.
        """
        if not 0 < concept < len(self.vocabulary):
            raise BadValue(f"no concept {concept} to score; there are 1 to {len(self.vocabulary) - 1}")
        return self._answer(self._look(images), concept, images)

    def scores(self, images: Images) -> Float[Tensor, "b k H W"]:
        """Return the scores of all concepts; the image is looked at once."""
        seen = self._look(images)
        return torch.stack([self._answer(seen, i, images) for i in range(1, len(self.vocabulary))], 1)

    def _labels(self, images: Images) -> Labels:
        thresholds = torch.tensor(self.thresholds, device=self.device).view(-1, 1, 1)
        concepts = torch.arange(1, len(self.vocabulary), device=self.device).view(-1, 1, 1)
        scores = self.scores(images)
        if bool(scores.isnan().any()):
            raise BadModel(f"CLIPSeg returned NaN in {self._dtype}")
        return torch.where(scores >= thresholds, concepts, 0)

    def _look(self, images: Images) -> list[Tensor]:
        """Return what the decoder wants of the image: the model's own method keeps no gradient for it."""
        pixels = self._read(images).to(self._dtype)
        with guarded("CLIPSeg's image encoder"):
            seen = self._net.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
        return [seen[layer + 1] for layer in self._net.extract_layers]

    def _answer(self, seen: list[Tensor], concept: int, images: Images) -> Scores:
        words = self._words[concept - 1].expand(len(images), -1)
        with guarded("CLIPSeg's decoder"):
            logits = self._net.decoder(seen, words).logits
        logits = logits.float().reshape(len(images), 1, *logits.shape[-2:])  # it drops the axis of a lone image
        return F.interpolate(logits, images.shape[-2:], mode="bilinear")[:, 0].sigmoid()


class Calibrated(NamedTuple):
    """The threshold of a concept, and where it comes from.

    Attributes:
        concept: its name.
        threshold: from 0 to 1.
        how: ``reference``, the threshold of the best IoU with another segmenter; ``split``, the one that best tells
            two groups of scores apart; ``kept``, the one it had, since the concept is absent from the images.
        quality: the IoU; or the share of the scores' variance that lies between the groups; or NaN.
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

    A concept that the reference knows by the same name, and sees in the images, gets the threshold of the best IoU.
    Without that, the scores of all pixels are split in two groups so that as much of their variance as possible lies
    between the groups (Otsu 1979); but only where the model is sure (1/2) of the concept somewhere, since scores that
    are all low can be split as well, and would have what is nowhere found everywhere.
    """
    count = len(segmenter.vocabulary) - 1
    inside, outside = torch.zeros(2, count, STEPS + 1, dtype=torch.float64).unbind()
    for part in torch.split(images, AT_ONCE):
        seen = None if reference is None else reference(part.to(reference.device)).cpu()
        for i, scores in enumerate(segmenter.scores(part.to(segmenter.device)).cpu().unbind(1)):
            steps = (scores * STEPS).long().flatten()
            on = torch.zeros_like(steps, dtype=torch.float64)
            if reference is not None and seen is not None:
                on = _shown(reference, seen, segmenter.vocabulary[i + 1].name).double().flatten()
            inside[i] += torch.bincount(steps, on, minlength=STEPS + 1)
            outside[i] += torch.bincount(steps, 1 - on, minlength=STEPS + 1)
    return [_calibrated(segmenter.planes[i], inside[i], outside[i], segmenter.thresholds[i]) for i in range(count)]


def with_thresholds(spec: str, thresholds: Sequence[float]) -> str:
    """Return the name of a segmenter with other thresholds.

    >>> with_thresholds("clipseg:org/name?concepts=tree,door&thresholds=0.3&size=352", [0.25, 0.4])
    'clipseg:org/name?concepts=tree,door&size=352&thresholds=0.25,0.4'
    """
    family, argument, options = split_name(spec)
    options.pop("thresholds", None)
    return join_name(family, argument, {**options, "thresholds": ",".join(f"{value:g}" for value in thresholds)})


def _shown(reference: Segmenter, labels: Labels, name: str) -> Tensor:
    """Return where the reference shows a concept: nowhere, if it does not know it."""
    try:
        return (labels == find_concept(reference.vocabulary, name)).any(1)
    except UnknownName:
        return torch.zeros_like(labels[:, 0], dtype=torch.bool)


def _calibrated(concept: str, inside: Tensor, outside: Tensor, kept: float) -> Calibrated:
    """Choose one threshold from the histograms of scores within and without the concept."""
    both = inside + outside
    above = both.flip(0).cumsum(0).flip(0)
    share = above / above[0]
    if inside.sum() > 0:
        hit = inside.flip(0).cumsum(0).flip(0)
        quality, how = hit / (above + inside.sum() - hit), "reference"
    elif share[STEPS // 2] >= LIKELY:
        quality, how = separation(both), "split"
    else:
        return Calibrated(concept, kept, "kept", float("nan"), float(share[round(kept * STEPS)]))
    best = (quality >= quality.max() - 1e-12).nonzero().double().mean().round().long()  # the middle of a plateau
    return Calibrated(concept, float(best) / STEPS, how, float(quality[best]), float(share[best]))


def separation(histogram: Tensor) -> Tensor:
    """Return, for each place to cut a histogram, the share of its variance that lies between the two groups.

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
    """Open a CLIPSeg model by its id on the Hugging Face hub or from a directory, to find what ``concepts=`` names."""
    named = read_concepts(concepts)
    cuts = read_thresholds(thresholds, len(named))
    find_dtype(dtype)
    directory = find_repository(name)
    settings = read_config(directory)
    if settings["model_type"] != "clipseg":
        raise BadFile(f"{directory}: a {settings['model_type']}, not a clipseg; open it as hf:")
    read = read_preprocessing(directory, {"image_size": 352, "model_type": "clipseg"}, size)
    tokens = load_tokenizer(directory)([concept.name for concept in named], padding=True, return_tensors="pt")
    longest = settings.get("text_config", {}).get("max_position_embeddings", 77)
    if tokens["input_ids"].shape[1] > longest:
        raise BadValue(f"concepts={concepts}: one has more than the {longest} tokens that the model can read")
    net, missing = load(transformers().CLIPSegForImageSegmentation, build_config(directory, settings), directory)
    with guarded(f"reading the concepts of {name}"), torch.no_grad():
        words = net.get_conditional_embeddings(len(named), tokens["input_ids"], tokens["attention_mask"])
    net.to(device)
    segmenter = ClipSegmenter(net, read, words.to(device), concepts=named, thresholds=cuts, dtype=dtype)
    forgive(net, missing, directory, lambda: segmenter.scores(torch.zeros(1, 3, 64, 64, device=device)))
    return segmenter


def read_concepts(text: str) -> list[Concept]:
    """Read concepts with commas between them; within one, ``%2C`` is a comma, ``%26`` an ampersand, ``%25`` a per cent.

    Raises:
        BadValue: none, or one twice.

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
    """Read one threshold for all of `count` concepts, or one for each, with commas between them.

    Raises:
        BadValue: another number of them, or one that is no number from 0 to 1.
    """
    try:
        values = [float(value) for value in text.split(",")] if text else [DEFAULT_THRESHOLD]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= count
    if len(values) != count or not all(0 <= value <= 1 for value in values):
        raise BadValue(f"thresholds={text} is not one number from 0 to 1, nor one for each of {count} concepts")
    return values
