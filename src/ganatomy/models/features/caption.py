"""Models that say in words what an image shows, as BLIP and GIT do: ``caption:ID_OR_DIR``."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadFile, BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images
from ganatomy.models.features.protocol import checked_captions
from ganatomy.models.features.registry import FEATURES
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing
from ganatomy.models.weights.hub import find_repository, read_json
from ganatomy.models.weights.pretrained import (
    build_config,
    load,
    load_tokenizer,
    quiet,
    read_config,
    transformers,
    zero_missing,
)

AT_ONCE = 16
"""Images that go through the network at once, at most."""
LONGEST = 512
"""Tokens of a caption, at most."""
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


class Captions:
    """A model of transformers that writes a text about an image.

    Args:
        net: the model, in float32 on its device.
        preprocess: of its images.
        tokenizer: of its texts.
        length: of a caption, in tokens, at most.
    """

    def __init__(self, net: Any, preprocess: Preprocessing, tokenizer: Any, length: int) -> None:
        self._net, self._preprocess, self._tokenizer, self._length = net, preprocess, tokenizer, length
        self._name = type(net).__name__
        settings = net.config.to_json_string(), str(net.generation_config), tokenizer.backend_tokenizer.to_str()
        self.fingerprint = fingerprint(net.state_dict(), "caption", preprocess, length, *settings)

    def features(self, images: Images) -> Tensor:
        """Refuse: it has words of an image, and no vector.

        Raises:
            BadModel: always.
        """
        raise BadModel(
            f"{self._name} describes {len(images)} images in words and not by vectors; it goes with describe"
        )

    def captions(self, images: Images) -> list[str]:
        """Return the caption of each image: at each place its most probable token."""
        found: list[str] = []
        for part in torch.split(images, AT_ONCE):
            tokens = self.write(part)
            with foreign_errors(f"the tokenizer of {self._name}"):
                found += self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return checked_captions(found, images, self._name)

    @torch.no_grad()
    def write(self, images: Images, **more: Any) -> Any:
        """Return the tokens that the model's own ``generate`` writes, with whatever `more` options ask for."""
        how = {"max_new_tokens": self._length, "do_sample": False, "num_beams": 1}
        with foreign_errors(f"writing captions with {self._name}"), quiet():
            return self._net.generate(pixel_values=self._preprocess(images), **how, **more)


@FEATURES.register("caption", argument="directory or hub", data=True)
def open_caption(name: str, /, *, device: torch.device, size: int | None = None, length: int = 20) -> Captions:
    """Open BLIP, GIT or another model of transformers that writes a caption from the image alone.

    Args:
        name: a directory, or an id of the Hugging Face hub.
        device: where it computes.
        size: at which images are read; else as its files say.
        length: of a caption, in tokens, at most.

    Raises:
        BadFile: no such directory, a model of another kind, or weights that are not its own or not finite.
        BadModel: it writes nothing without a text that is put to it.
        BadValue: the length or the size is too small or too large.
    """
    if not 1 <= length <= LONGEST:
        small = "small" if length < 1 else "large"
        raise BadValue(f"length={length} is too {small}; give the tokens that a caption has at most, up to {LONGEST}")
    directory = find_repository(name)
    settings = read_config(directory)
    kind = _kind(directory, settings["model_type"])
    config = build_config(directory, settings)
    _check_length(config, length)
    preprocess = read_preprocessing(directory, _about(config), size)
    tokenizer = load_tokenizer(directory, _tokenizer_kind(directory))
    net, missing = load(kind, config, directory)
    net.to(device)
    _set_tokens(net, directory, settings)
    found = Captions(net, preprocess, tokenizer, length)
    image = torch.zeros(1, 3, 64, 64, device=device)
    logits = torch.cat(found.write(image, return_dict_in_generate=True, output_logits=True).logits)  # errors come now
    zero_missing(net, missing, directory, lambda: logits)
    if not bool(logits[logits != -torch.inf].isfinite().all()):
        raise BadModel(f"{directory}: writes a caption by NaN or Inf")
    found.captions(image)
    return found


def _check_length(config: Any, length: int) -> None:
    """Refuse captions of more tokens than the part that writes has positions for, beside the one they begin with."""
    with foreign_errors("reading of which parts the captioner is"):
        positions = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    if isinstance(positions, int) and length >= positions:
        raise BadValue(f"length={length} is too large: this model writes at most {positions - 1} tokens")


def _kind(directory: Path, name: str) -> Any:
    """Return the class of transformers that writes texts about images, of this type of model."""
    package = transformers()
    if name not in package.CONFIG_MAPPING:
        raise BadFile(f"{directory}: model type {name!r} is unknown to transformers {package.__version__}")
    # Named anew in version 5, where the older table is no more.
    tables = ("MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", "MODEL_FOR_VISION_2_SEQ_MAPPING")
    with foreign_errors(f"opening {directory}"):
        config = package.CONFIG_MAPPING[name]
        kinds = [getattr(package, table).get(config, None) for table in tables if hasattr(package, table)]
    kind = next((each for each in kinds if each is not None), None)
    if kind is None:
        raise BadFile(f"{directory}: a model of type {name} writes no captions; give BLIP, GIT or an encoder-decoder")
    return kind


def _about(config: Any) -> dict[str, Any]:
    """Return what the preprocessing depends on: the kind of the part that sees, and the size of its images."""
    vision = getattr(config, "vision_config", None) or getattr(config, "encoder", None) or config
    as_clip = config.model_type in ("blip", "blip-2", "git")
    kind = "clip" if as_clip else str(getattr(vision, "model_type", ""))
    return {"model_type": kind, "image_size": getattr(vision, "image_size", None)}


def _tokenizer_kind(directory: Path) -> str:
    if (directory / "tokenizer.json").is_file():
        return "PreTrainedTokenizerFast"
    return "BertTokenizerFast" if (directory / "vocab.txt").is_file() else "GPT2TokenizerFast"


def _set_tokens(net: Any, directory: Path, settings: dict[str, Any]) -> None:
    """Set at which numbers a caption begins and ends, which older files have in ``config.json``; and nothing else.

    A file also has settings of a search or a time limit, by which a caption would be another one.
    """
    file, decoder = directory / "generation_config.json", settings.get("decoder")
    outer = {**settings, **(read_json(file) if file.is_file() else {})}
    known = {**(decoder if isinstance(decoder, dict) else {}), **outer}
    tokens = {name: known[name] for name in TOKENS if known.get(name) is not None}
    if "decoder_start_token_id" not in tokens and "bos_token_id" in tokens:
        tokens["decoder_start_token_id"] = tokens["bos_token_id"]
    if not all(isinstance(each, (int, list)) for each in tokens.values()):
        raise BadFile(f"{directory}: {tokens} are no numbers of tokens")
    with foreign_errors(f"opening {directory}"), quiet():
        for part in net.modules():  # a part that writes, as that of BLIP, has its own
            own = getattr(part, "generation_config", None)
            if own is not None:
                part.generation_config = type(own)(**{name: getattr(own, name, None) for name in TOKENS})
        net.generation_config.update(**tokens)
