"""Semantic segmentation models of transformers: ``hf:org/name``, ``hf:org/name@revision`` or ``hf:DIRECTORY``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile, BadModel, UnknownName
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import CATEGORIES, NOTHING, UNLABELLED, Concept, Vocabulary
from ganatomy.models.segmenters.open_vocabulary import FAMILIES
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.segmenters.protocol import check_concept, plane_names
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

PIXELS = 1 << 20
"""Pixels in the network's input or output at once: four images of 512 px."""
MENTIONED = 5
"""Most ids in a message."""
FAINT = 1e-12
"""The least evidence."""


class HuggingFaceSegmenter:
    """A model of transformers that scores the classes of each pixel, or queries with a mask and a class each.

    Scores are resized bilinearly to the images. So are the masks of queries, and then a pixel's evidence for a class
    is the sum over queries of the class's probability (of all but "no object") times the mask's (Cheng et al. 2021,
    3.4); its share in the evidence for all classes is the class's probability.

    Args:
        net: the model of transformers, in float32 on its device.
        preprocess: of its images.
        classes: the concept of each class; `NOTHING` is the rest of the image.
        task: the tokens of the task, [1, n], if the model takes any.
        dtype: in which it computes.
        facts: of the model, for the fingerprint.
    """

    def __init__(
        self,
        net: Any,
        preprocess: Preprocessing,
        classes: Sequence[Concept],
        *,
        task: Tensor | None = None,
        dtype: str = "float32",
        facts: object = None,
    ) -> None:
        self.vocabulary: Vocabulary = tuple(dict.fromkeys((NOTHING, *classes)))
        self.planes = plane_names(self.vocabulary)
        own = [] if dtype == "float32" else [dtype]
        self.fingerprint = fingerprint(net.state_dict(), "hf", classes, preprocess, facts, *own)
        self.device = next(net.parameters()).device
        self._dtype = find_dtype(dtype)
        self._net, self._preprocess = net.to(self._dtype), preprocess
        self._task = None if task is None else task.to(self.device)
        self._concepts = torch.tensor([self.vocabulary.index(each) for each in classes], device=self.device)

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return the concept of each pixel."""
        size = images.shape[-2:]
        at_once = max(1, PIXELS // max(size.numel(), torch.Size(self._preprocess.size(*size)).numel()))
        best = [self.logits(part).max(1) for part in torch.split(images, at_once)]
        if any(bool(part.values.isnan().any()) for part in best):
            raise BadModel(f"{type(self._net).__name__} returned NaN in {self._dtype}")
        return self._concepts[torch.cat([part.indices for part in best])][:, None]

    def score(self, images: Images, concept: int) -> Scores:
        """Return the softmax probability of a concept, or its share in the evidence."""
        check_concept(self.vocabulary, concept)
        return self.logits(images).softmax(1)[:, self._concepts == concept].sum(1).clamp(0, 1)

    def logits(self, images: Images) -> Float[Tensor, "b c H W"]:
        """Return numbers whose softmax over the classes is their probability, at the resolution of the images."""
        size = images.shape[-2:]
        inputs = {"pixel_values": self._preprocess(images).to(self._dtype)}
        if self._task is not None:
            inputs["task_inputs"] = self._task.expand(len(images), -1)
        with foreign_errors(self._description(*inputs["pixel_values"].shape[2:])):
            out = self._net(**inputs)
        masks = out.get("masks_queries_logits", out.get("pred_masks"))
        logits = out.get("class_queries_logits", out.get("logits"))
        if logits is None or logits.ndim != (3 if masks is not None else 4):
            raise BadModel(f"{type(self._net).__name__} returned {', '.join(out)}: no scores for pixels")
        found = logits.shape[1] if masks is None else logits.shape[2] - 1  # the last is "no object"
        if found != len(self._concepts):
            raise BadModel(
                f"{type(self._net).__name__} scores {found} classes, and the id2label of its config.json names "
                f"{len(self._concepts)}"
            )
        if masks is None:
            return F.interpolate(logits.float(), size, mode="bilinear")
        masks = F.interpolate(masks.float(), size, mode="bilinear").sigmoid()
        evidence = torch.einsum("bqc,bqhw->bchw", logits.float().softmax(2)[..., :-1], masks)
        return evidence.clamp(min=FAINT).log()

    def _description(self, height: int, width: int) -> str:
        built = getattr(self._net.config, "image_size", None)
        hint = f" where it was built for {built}" if built and built not in (height, [height, width]) else ""
        return f"{type(self._net).__name__}, given images of {height} x {width}{hint},"


@SEGMENTERS.register("hf", argument="directory or hub", data=True)
def open_huggingface(
    name: str,
    /,
    *,
    device: torch.device,
    size: int | None = None,
    dtype: str = "float32",
    category: str = "object",
) -> HuggingFaceSegmenter:
    """Open any semantic segmentation model of transformers, by its id on the Hugging Face hub or from a directory."""
    if category not in CATEGORIES:
        raise UnknownName("category", category, CATEGORIES)
    find_dtype(dtype)
    directory = find_repository(name)
    settings = read_config(directory)
    check_ids(settings, str(directory / "config.json"))
    preprocess = read_preprocessing(directory, settings, size)
    kind = _kind(directory, settings["model_type"])
    config = build_config(directory, settings)
    task = _task(config, directory)
    net, missing = load(kind, config, directory)
    net.to(device)
    classes = class_concepts(config, category)
    segmenter = HuggingFaceSegmenter(net, preprocess, classes, task=task, dtype=dtype, facts=sorted(settings.items()))
    if len(segmenter.vocabulary) == 1:
        raise BadFile(f"{directory}: its config.json names no class but the background")
    probe = torch.zeros(1, 3, 64, 64, device=device)
    zero_missing(net, missing, directory, lambda: segmenter.logits(probe))
    return segmenter


def check_ids(settings: Mapping[str, Any], source: str) -> None:
    """Refuse class names whose ids are not 0, 1, 2 …: transformers would move or drop some."""
    names = settings.get("id2label")
    if names is None:
        return
    if not isinstance(names, Mapping):
        raise BadFile(f"{source}: id2label is a {type(names).__name__}, not an object from ids to names")
    try:
        ids = {int(key) for key in names}
    except ValueError:
        raise BadFile(f"{source}: id2label has the ids {_listed(names)}, which must be whole numbers") from None
    count = settings.get("num_labels")
    count = count if isinstance(count, int) else len(names)
    wrong, missing = sorted(ids - set(range(count))), sorted(set(range(count)) - ids)
    if wrong or missing or len(names) != count:
        problems = [f"lacks the ids {_listed(missing)}"] * bool(missing) + [f"has the ids {_listed(wrong)}"] * bool(
            wrong
        )
        raise BadFile(
            f"{source}: id2label names {len(names)} classes, {' and '.join(problems) or 'some twice'}; the scores of "
            f"{count} classes need the ids 0 to {count - 1}"
        )


def _listed(ids: Iterable[Any]) -> str:
    texts = list(map(str, ids))
    return ", ".join(texts[:MENTIONED]) + (f" … {texts[-1]}" if len(texts) > MENTIONED else "")


def class_concepts(config: Any, category: str) -> list[Concept]:
    """Return the concept of each class of a config.

    Of synonyms (``door, double door`` or ``building;edifice``) the first is the name, unless another class begins
    alike; then all are. Classes that still share a name get their number. The background becomes `NOTHING`.
    """
    full = [str(config.id2label.get(i, "")).strip() or f"class {i}" for i in range(config.num_labels)]
    short = [re.split("[,;]", name)[0].strip() for name in full]
    names = [one if one and short.count(one) == 1 else all_ for one, all_ in zip(short, full, strict=True)]
    unique = [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names)]
    return [NOTHING if name.strip("_").lower() in UNLABELLED else Concept(name, category) for name in unique]


def _kind(directory: Path, name: str) -> Any:
    """Return the class of transformers that segments with this type of model."""
    package = transformers()
    if name not in package.CONFIG_MAPPING:
        raise BadFile(f"{directory}: model type {name!r} is unknown to transformers {package.__version__}")
    kinds = (package.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING, package.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING)
    for mapping in kinds:
        if package.CONFIG_MAPPING[name] in mapping:
            with foreign_errors(f"opening {directory}"):
                return mapping[package.CONFIG_MAPPING[name]]
    known = ", ".join(sorted({each.model_type for mapping in kinds for each in mapping}))
    hint = f"open it as {FAMILIES[name]}" if name in FAMILIES else f"there are: {known}"
    raise BadFile(f"{directory}: transformers has no semantic segmentation by a model of type {name}; {hint}")


def _task(config: Any, directory: Path) -> Tensor | None:
    """Return the tokens of OneFormer's task."""
    if config.model_type != "oneformer":
        return None
    tokenizer = load_tokenizer(directory)
    tokens = tokenizer("the task is semantic", padding="max_length", max_length=config.task_seq_len, truncation=True)
    return torch.tensor([tokens["input_ids"]]) * torch.tensor([tokens["attention_mask"]])
