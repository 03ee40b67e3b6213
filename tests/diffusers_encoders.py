"""Small random text encoders of every kind that pipelines have, with tokenizers that know letters."""

import json
from pathlib import Path
from typing import Any

from diffusers_models import seeded

WIDTH = 16
"""Numbers of a word in the text encoders."""


def save_tokenizer(directory: Path, limit: int = 12) -> Any:
    """Return a tokenizer that knows letters."""
    from transformers import CLIPTokenizer

    directory.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (directory / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(directory / "vocab.json"), str(directory / "merges.txt"), model_max_length=limit)


def text_encoder(seed: int, projected: bool = False, **more: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    letters = 2 * (ord("~") - ord("!") + 1)
    config = CLIPTextConfig(
        vocab_size=letters + 2,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=letters,
        eos_token_id=letters + 1,
        pad_token_id=letters + 1,
        projection_dim=8,
        **more,
    )
    with seeded(seed):
        return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def t5_tokenizer() -> Any:
    """Return a tokenizer of letters, of words that begin with a space."""
    from transformers import T5TokenizerFast

    known = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = [(chr(code), -3.0) for code in range(ord("!"), ord("~") + 1)]
    return T5TokenizerFast(vocab=[*known, *letters], extra_ids=0, model_max_length=512)


def t5_encoder(seed: int, width: int = 24) -> Any:
    from transformers import T5Config, T5EncoderModel

    sizes: dict[str, Any] = {"d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    with seeded(seed):
        return T5EncoderModel(T5Config(vocab_size=120, feed_forward_proj="gated-gelu", **sizes)).eval()


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""What the template of Qwen3 makes of one message."""


def qwen_tokenizer() -> Any:
    """Return a tokenizer of letters, whose spaces and line ends are letters, too."""
    from transformers import Qwen2TokenizerFast

    letters = [*(chr(code) for code in range(ord("!"), ord("~") + 1)), "Ġ", "Ċ", "<|endoftext|>"]
    made = Qwen2TokenizerFast(vocab={letter: i for i, letter in enumerate(letters)}, merges=[])
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = CHAT
    return made


def qwen_encoder(seed: int, width: int = 16) -> Any:
    """Return a language model of as many layers as FLUX.2 reads."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    sizes: dict[str, Any] = {"num_hidden_layers": 28, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    with seeded(seed):
        config = Qwen3Config(vocab_size=110, hidden_size=width, intermediate_size=24, **sizes)
        return Qwen3ForCausalLM(config).eval()
