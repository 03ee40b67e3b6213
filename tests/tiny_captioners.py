"""Models of transformers that write captions, made in a moment: random weights, word pieces of letters."""

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from tiny_transformers import COMMON, SIDE, save_word_pieces

SMALL: dict[str, Any] = {**COMMON, "num_hidden_layers": 1}
VISION: dict[str, Any] = {**SMALL, "image_size": SIDE, "patch_size": 8}
TOKENS: dict[str, Any] = {"vocab_size": 1082, "bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}


def save(directory: Path, name: str) -> Any:
    """Save a captioner, ``blip``, ``git`` or ``vit-gpt2``, with its tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    save_word_pieces(directory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CAPTIONERS[name]().eval()
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        model.save_pretrained(directory)
    return model


def _blip() -> Any:
    import transformers

    text = {**SMALL, **TOKENS, "encoder_hidden_size": 16, "projection_dim": 8, "sep_token_id": 102}
    config = transformers.BlipConfig(text_config=text, vision_config=VISION, projection_dim=8)
    return transformers.BlipForConditionalGeneration(config)


def _git() -> Any:
    import transformers

    return transformers.GitForCausalLM(
        transformers.GitConfig(vision_config=VISION, max_position_embeddings=64, **SMALL, **TOKENS)
    )


def _vit_gpt2() -> Any:
    import transformers

    text = transformers.GPT2Config(n_positions=64, n_embd=16, n_layer=1, n_head=2, add_cross_attention=True, **TOKENS)
    kind = transformers.VisionEncoderDecoderConfig
    config = kind.from_encoder_decoder_configs(transformers.ViTConfig(**VISION), text)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = 101, 102, 0
    return transformers.VisionEncoderDecoderModel(config=config)


CAPTIONERS = {"blip": _blip, "git": _git, "vit-gpt2": _vit_gpt2}
