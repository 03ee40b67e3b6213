"""Prompts as the text encoders of a pipeline read them: encoded once, by one encoder after the other."""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.models.generators.diffusers.weights import read_encoder_weights
from ganatomy.models.weights import fit_state
from ganatomy.models.weights.hub import find_directory
from ganatomy.models.weights.pretrained import build_config, load_tokenizer, quiet, read_config, transformers
from ganatomy.models.wrapped import weights_fingerprint

ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection")
TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
QUOTED = 40
"""Letters of a prompt in a message."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as an encoder reads them.

    Attributes:
        last: output of its last layer, [texts, tokens, d].
        earlier: that of the layer before, without the norm at the end.
        pooled: its projection of the whole text, [texts, p]; None where it has none.
        facts: the encoder and the tokens, for a fingerprint: numbers of an encoder differ in their last bits between
            machines.
        size: bytes of its weights, which it held while it was open.
    """

    last: Tensor
    earlier: Tensor
    pooled: Tensor | None
    facts: tuple[object, ...]
    size: int


@torch.no_grad()
def encode(
    name: str, files: tuple[str, str, str], kind: str, texts: Sequence[str], device: torch.device, dtype: torch.dtype
) -> Encoded:
    """Open a text encoder, encode texts, each by itself, and close it.

    Args:
        name: of the pipeline.
        files: the folders of the encoder and of its tokenizer in it, and the single file of all weights, or "".
        kind: the encoder's class.
        texts: to encode; what is beyond the encoder's limit is cut off, with a warning.
        device: where it computes; what it returns is on the CPU.
        dtype: in which it computes.

    Raises:
        BadFile: files are missing, or its weights do not fit.
        BadModel: it is no encoder that can be opened.
    """
    part, folder, whole = files
    tokenizer = _tokenizer(name, folder)
    encoder = nn.Module.to(_encoder(name, part, kind, whole), device, dtype)
    rows, ids = [], _token_ids(tokenizer, texts, f"{name}/{folder}")
    with foreign_errors(f"encoding prompts with {name}/{part}"):
        for row in ids:
            found = encoder(row.to(device), output_hidden_states=True)
            pooled = getattr(found, "text_embeds", None)
            last, earlier = found.last_hidden_state, found.hidden_states[-2]
            rows.append([each.cpu() for each in (last, earlier, pooled) if each is not None])
    last, earlier, *rest = map(torch.cat, zip(*rows, strict=True))
    size = sum(each.nbytes for each in encoder.state_dict().values())
    facts = (kind, weights_fingerprint(encoder), [row.tolist() for row in ids])
    return Encoded(last, earlier, rest[0] if rest else None, facts, size)


def _token_ids(tokenizer: Any, texts: Sequence[str], where: str) -> list[Tensor]:
    """Return the tokens of each text, [1, limit], filled up or cut off."""
    limit = int(tokenizer.model_max_length)
    with foreign_errors(f"reading prompts with {where}"), quiet():
        cut = [text for text in texts if len(tokenizer(text).input_ids) > limit]
        filled = [
            tokenizer(text, padding="max_length", max_length=limit, truncation=True, return_tensors="pt").input_ids
            for text in texts
        ]
    if cut:
        more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
        _warn(f"longer than the {limit} tokens of {where}, and cut off: {cut[0][:QUOTED] + '…'!r}{more}")
    return filled


@functools.lru_cache(maxsize=64)
def _warn(message: str) -> None:
    """Warn once in a process, which may open a pipeline several times."""
    _log.warning("%s", message)


def _encoder(name: str, folder: str, kind: str, whole: str) -> Any:
    if kind not in ENCODERS:
        raise BadModel(f"{name}: its {folder} is a {kind}; what can be opened is {' or '.join(ENCODERS)}")
    root = find_directory(name, [[f"{folder}/config.json"]], partial(_with, file=f"{folder}/config.json"))
    settings = read_config(root / folder)
    if settings["model_type"] != "clip_text_model":
        raise BadModel(f"{root / folder}: its model_type is {settings['model_type']!r}, that of {kind} clip_text_model")
    config = build_config(root / folder, settings)
    with foreign_errors(f"building {kind} of {root / folder}"), quiet():
        encoder = getattr(transformers(), kind)(config)
    state, file = read_encoder_weights(name, folder, whole, encoder)
    fit_state(encoder, state, str(file))
    return encoder.eval().requires_grad_(False)


def _tokenizer(name: str, folder: str) -> Any:
    patterns = [[f"{folder}/*.json", f"{folder}/*.txt"]]
    root = find_directory(name, patterns, partial(_with, file=f"{folder}/tokenizer_config.json"))
    tokenizer = load_tokenizer(root / folder)
    if not 2 < int(tokenizer.model_max_length) < 1 << 16:
        raise BadFile(f"{root / folder}: its model_max_length is {tokenizer.model_max_length}; expected some 77 tokens")
    return tokenizer


def _with(directory: Path, file: str) -> Path:
    if not (directory / file).is_file():
        raise BadFile(f"{directory}: lacks {file}, a part of its pipeline")
    return directory
