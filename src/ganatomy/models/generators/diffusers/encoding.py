"""Prompts as the text encoders of a pipeline read them: encoded once, by one encoder after the other."""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.models.generators.diffusers.pipeline_index import Index
from ganatomy.models.generators.diffusers.weights import read_encoder_weights
from ganatomy.models.weights import fit_state
from ganatomy.models.weights.hub import find_directory
from ganatomy.models.weights.pretrained import build_config, load_tokenizer, quiet, read_config, transformers
from ganatomy.models.wrapped import weights_fingerprint

QUOTED = 40
"""Letters of a prompt in a message."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reader:
    """How a kind of text encoder reads prompts.

    Attributes:
        classes: of the encoder, in transformers.
        model_type: in its config.
        tokenizers: the classes that its tokenizer may have.
        limit: tokens of a prompt, filled up or cut off; 0 for as many as the tokenizer says.
        masked: whether it gets the mask of the tokens that fill up.
        layers: those whose outputs are wanted, from 0, before the first, or -1, the last without the norm at the end.
        settings: of its call.
    """

    classes: tuple[str, ...]
    model_type: str
    tokenizers: tuple[str, ...]
    limit: int = 0
    masked: bool = False
    layers: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


CLIP = Reader(
    ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "clip_text_model",
    ("CLIPTokenizer", "CLIPTokenizerFast"),
    layers=(-2,),
)
PROJECTED_CLIP = replace(CLIP, classes=CLIP.classes[1:])
T5 = Reader(("T5EncoderModel",), "t5", ("T5Tokenizer", "T5TokenizerFast"))
QWEN3 = Reader(
    ("Qwen3ForCausalLM",),
    "qwen3",
    ("Qwen2Tokenizer", "Qwen2TokenizerFast"),
    masked=True,
    settings={"use_cache": False, "logits_to_keep": 1},
)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as an encoder reads them.

    Attributes:
        last: output of its last layer, [texts, tokens, d]; empty where it has none.
        layers: those of the layers that were asked for, side by side, [texts, tokens, layers · d].
        pooled: of the whole text, [texts, p], projected where it has a projection; None where it has none.
        mask: 1 for the tokens of the text, 0 for those that fill up, [texts, tokens].
        facts: the encoder and the tokens, for a fingerprint: numbers of an encoder differ in their last bits between
            machines.
    """

    last: Tensor
    layers: Tensor
    pooled: Tensor | None
    mask: Tensor
    facts: tuple[object, ...]


@torch.no_grad()
def encode(
    index: Index, part: str, reader: Reader, texts: Sequence[str], device: torch.device, dtype: torch.dtype
) -> Encoded:
    """Open a text encoder of a pipeline, encode texts, each by itself, and close it.

    Args:
        index: of the pipeline.
        part: its encoder; the tokenizer is named like it.
        reader: what it must be.
        texts: to encode; what is beyond the encoder's limit is cut off, with a warning.
        device: where it computes; what it returns is on the CPU.
        dtype: in which it computes.

    Raises:
        BadFile: files are missing, or its weights do not fit.
        BadModel: it is no encoder that can be opened.
    """
    tokenizer, folder = open_tokenizer(index, part, reader), _tokenizer_folder(part)
    encoder = nn.Module.to(_encoder(index, part, reader), device, dtype)
    rows, tokens = [], _tokens(tokenizer, texts, f"{index.name}/{folder}", reader.limit)
    with foreign_errors(f"encoding prompts with {index.name}/{part}"):
        for ids, mask in tokens:
            given = {"attention_mask": mask.to(device)} if reader.masked else {}
            found = encoder(ids.to(device), output_hidden_states=bool(reader.layers), **given, **reader.settings)
            rows.append([each.cpu() for each in _outputs(found, reader)])
    last, layers, *rest = map(torch.cat, zip(*rows, strict=True))
    mask = torch.cat([mask for _, mask in tokens])
    facts = (index.part_class(part), weights_fingerprint(encoder), [ids.tolist() for ids, _ in tokens])
    return Encoded(last, layers, rest[0] if rest else None, mask, facts)


def _outputs(found: Any, reader: Reader) -> Iterator[Tensor]:
    """Yield what an encoder returned of one text: `last`, `layers` and, if there is one, `pooled` of `Encoded`."""
    none = torch.empty(1, 0)
    yield getattr(found, "last_hidden_state", none)
    yield torch.cat([found.hidden_states[layer] for layer in reader.layers], -1) if reader.layers else none
    pooled = getattr(found, "text_embeds", getattr(found, "pooler_output", None))
    if pooled is not None:
        yield pooled


def _tokens(tokenizer: Any, texts: Sequence[str], where: str, limit: int) -> list[tuple[Tensor, Tensor]]:
    """Return the tokens of each text and their mask, [1, limit], filled up or cut off."""
    limit = limit or int(tokenizer.model_max_length)
    with foreign_errors(f"reading prompts with {where}"), quiet():
        cut = [text for text in texts if len(tokenizer(text).input_ids) > limit]
        how = {"padding": "max_length", "max_length": limit, "truncation": True, "return_attention_mask": True}
        filled = [tokenizer(text, return_tensors="pt", **how) for text in texts]
        tokens = [(each.input_ids, each.attention_mask) for each in filled]
    if cut:
        more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
        _warn(f"longer than the {limit} tokens of {where}, and cut off: {cut[0][:QUOTED] + '…'!r}{more}")
    return tokens


@functools.lru_cache(maxsize=64)
def _warn(message: str) -> None:
    """Warn once in a process, which may open a pipeline several times."""
    _log.warning("%s", message)


def _encoder(index: Index, folder: str, reader: Reader) -> Any:
    name, kind = index.name, index.part_class(folder)
    if kind not in reader.classes:
        raise BadModel(f"{name}: its {folder} is a {kind}; what can be opened is {' or '.join(reader.classes)}")
    root = find_directory(name, [[f"{folder}/config.json"]], partial(_with, file=f"{folder}/config.json"))
    settings = read_config(root / folder)
    if settings["model_type"] != reader.model_type:
        own = settings["model_type"]
        raise BadModel(f"{root / folder}: its model_type is {own!r}, that of {kind} {reader.model_type}")
    config = build_config(root / folder, settings)
    with foreign_errors(f"building {kind} of {root / folder}"), quiet():
        encoder = getattr(transformers(), kind)(config)
    state, file = read_encoder_weights(name, folder, index.weights, encoder)
    fit_state(encoder, state, str(file))
    return encoder.eval().requires_grad_(False)


def open_tokenizer(index: Index, part: str, reader: Reader) -> Any:
    """Open the tokenizer of a text encoder.

    Raises:
        BadFile: files are missing.
        BadModel: it is of another class.
    """
    name, folder = index.name, _tokenizer_folder(part)
    if index.part_class(folder) not in reader.tokenizers:
        own = index.part_class(folder)
        raise BadModel(f"{name}: its {folder} is a {own}; it must be a {reader.tokenizers[0]}")
    patterns = [[f"{folder}/*.json", f"{folder}/*.txt"]]
    root = find_directory(name, patterns, partial(_with, file=f"{folder}/tokenizer_config.json"))
    tokenizer = load_tokenizer(root / folder, reader.tokenizers[-1])
    if not reader.limit and not 2 < int(tokenizer.model_max_length) < 1 << 16:
        raise BadFile(f"{root / folder}: its model_max_length is {tokenizer.model_max_length}; expected some 77 tokens")
    return tokenizer


def _tokenizer_folder(part: str) -> str:
    return part.replace("text_encoder", "tokenizer")


def _with(directory: Path, file: str) -> Path:
    if not (directory / file).is_file():
        raise BadFile(f"{directory}: lacks {file}, a part of its pipeline")
    return directory
