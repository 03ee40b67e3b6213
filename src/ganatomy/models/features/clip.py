"""Models that describe images and words by vectors of one space, as CLIP and SigLIP do: ``clip:ID_OR_DIR``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadFile, BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images
from ganatomy.models.features.protocol import checked_texts, checked_vectors
from ganatomy.models.features.registry import FEATURES
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.weights.hub import find_repository
from ganatomy.models.weights.pretrained import (
    build_config,
    load,
    load_tokenizer,
    read_config,
    transformers,
    zero_missing,
)

AT_ONCE = 32
"""Images, or texts, that go through the network at once, at most."""
PROBE = "a"
METHODS = ("get_image_features", "get_text_features")


class ClipFeatures:
    """A model of transformers with an encoder of images and one of texts.

    Args:
        net: the model, in float32 on its device.
        preprocess: of its images.
        tokenizer: of its texts.
        template: a text with ``{}``, in whose place a word stands.
    """

    def __init__(self, net: Any, preprocess: Preprocessing, tokenizer: Any, template: str) -> None:
        self._net, self._preprocess, self._tokenizer, self._template = net, preprocess, tokenizer, template
        self._name = type(net).__name__
        self._padded = net.config.model_type.startswith("siglip")  # which learned texts of one length, without a mask
        settings = net.config.to_json_string(), tokenizer.backend_tokenizer.to_str()
        self.fingerprint = fingerprint(net.state_dict(), "clip", preprocess, template, *settings)

    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Return the vector of each image, float32, of length 1."""
        return checked_vectors(self.encode_images(images), images, self._name)

    def words(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Return the vector of each text, put into the template; float32, of length 1.

        Raises:
            BadValue: a text has more tokens than the model reads.
        """
        return checked_texts(self.encode_texts(texts), texts, self._name)

    @torch.no_grad()
    def encode_images(self, images: Images) -> Float[Tensor, "b d"]:
        """Return the vectors of images, also where they are not finite."""
        with foreign_errors(f"the image encoder of {self._name}"):
            parts = [self._net.get_image_features(self._preprocess(part)) for part in torch.split(images, AT_ONCE)]
        return self._joined(parts)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Return the vectors of texts, also where they are not finite."""
        parts = []
        for i in range(0, len(texts), AT_ONCE):
            tokens = self._tokens([self._template.replace("{}", text) for text in texts[i : i + AT_ONCE]])
            with foreign_errors(f"the text encoder of {self._name}"):
                parts.append(self._net.get_text_features(**tokens))
        return self._joined(parts)

    def _joined(self, parts: Sequence[Any]) -> Tensor:
        """Return the vectors of several passes, of length 1; newer versions of transformers return them with more."""
        vectors = [getattr(part, "pooler_output", part) for part in parts]
        if not all(isinstance(each, Tensor) and each.ndim == 2 for each in vectors):
            raise BadModel(f"{self._name} returned no vector of each image or text")
        return torch.nn.functional.normalize(torch.cat(vectors).float(), dim=1)

    def _tokens(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        with foreign_errors(f"the tokenizer of {self._name}"):
            tokens = self._tokenizer(list(texts))["input_ids"]
            text = self._net.config.get_text_config()
            longest = int(getattr(text, "max_position_embeddings", 0) or max(map(len, tokens)))
        for given, own in zip(texts, tokens, strict=True):
            if len(own) > longest:
                raise BadValue(f"{given[:60]!r} has {len(own)} tokens; the model reads at most {longest}")
        with foreign_errors(f"the tokenizer of {self._name}"):
            padding = {"padding": "max_length", "max_length": longest} if self._padded else {"padding": True}
            found = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt", **padding)
            names = ("input_ids",) if self._padded else ("input_ids", "attention_mask")
            return {name: found[name].to(self._net.device) for name in names}


@FEATURES.register("clip", argument="directory or hub", data=True)
def open_clip(name: str, /, *, device: torch.device, size: int | None = None, template: str = "{}") -> ClipFeatures:
    """Open CLIP, SigLIP or another model of transformers that describes images and texts in one space.

    Args:
        name: a directory, or an id of the Hugging Face hub.
        device: where it computes.
        size: at which images are read; else as its files say.
        template: a text with ``{}``, in whose place each word stands.

    Raises:
        BadFile: no such directory, a model of another kind, or weights that are not its own or not finite.
        BadValue: the template has no ``{}``.
    """
    if "{}" not in template:
        raise BadValue(f"template={template!r} has no {{}}, in whose place words stand")
    directory = find_repository(name)
    settings = read_config(directory)
    kind = _kind(directory, settings["model_type"])
    config = build_config(directory, settings)
    vision = getattr(config, "vision_config", None)
    about = {"model_type": settings["model_type"], "image_size": getattr(vision, "image_size", None)}
    preprocess = read_preprocessing(directory, about, size)
    own = settings["model_type"] == "clip" or not (directory / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(directory, "CLIPTokenizerFast" if own else "PreTrainedTokenizerFast")
    net, missing = load(kind, config, directory)
    net.to(device)
    features = ClipFeatures(net, preprocess, tokenizer, template)
    image = torch.zeros(1, 3, 64, 64, device=device)
    seen = torch.cat([features.encode_images(image), features.encode_texts([PROBE])])  # so that errors come now
    zero_missing(net, missing, directory, lambda: seen)
    return features


def _kind(directory: Path, name: str) -> Any:
    """Return the class of transformers that describes images and texts, of this type of model."""
    package = transformers()
    if name not in package.CONFIG_MAPPING:
        raise BadFile(f"{directory}: model type {name!r} is unknown to transformers {package.__version__}")
    with foreign_errors(f"opening {directory}"):
        kind = package.MODEL_MAPPING.get(package.CONFIG_MAPPING[name], None)
    if kind is None or not all(hasattr(kind, each) for each in METHODS):
        raise BadFile(f"{directory}: a model of type {name} does not describe images and texts; give CLIP or SigLIP")
    return kind
