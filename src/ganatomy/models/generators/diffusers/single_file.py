"""The single file of a whole Stable Diffusion model: which of its tensors are whose, and their names in diffusers."""

import re
from collections.abc import Iterable

from ganatomy.core.errors import BadFile
from ganatomy.models.weights import State

UNET = "model.diffusion_model."
FIRST_STAGE = "first_stage_model."
"""The prefix of the autoencoder in the file of a whole latent diffusion model."""
ENCODERS = {
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
}
"""Prefixes of text encoders: of Stable Diffusion 1 and 2, and of SDXL."""
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "middle_block.0": "mid_block.resnets.0",
    "middle_block.1": "mid_block.attentions.0",
    "middle_block.2": "mid_block.resnets.1",
}
"""Modules of a denoiser outside of the blocks on its way down and up."""
RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OPEN_CLIP = {
    r"^positional_embedding$": "embeddings.position_embedding.weight",
    r"^token_embedding\.": "embeddings.token_embedding.",
    r"^ln_final\.": "final_layer_norm.",
    r"^transformer\.resblocks\.": "encoder.layers.",
    r"\.ln_([12])\.": r".layer_norm\1.",
    r"\.attn\.out_proj\.": ".self_attn.out_proj.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}
PROJECTION = "text_projection"


def unet_state(state: State, resnets: int) -> State:
    """Return the denoiser in a whole model, under its names in diffusers; nothing where the file holds none.

    Args:
        state: of the file.
        resnets: of a block on the way down.
    """
    return {unet_name(name, resnets + 1): tensor for name, tensor in _part(state, [UNET]).items()}


def unet_name(name: str, each: int) -> str:
    """Return the name in diffusers of a tensor of a denoiser; a block spans so many numbers.

    >>> unet_name("input_blocks.4.0.in_layers.2.weight", 3)
    'down_blocks.1.resnets.0.conv1.weight'
    >>> unet_name("output_blocks.2.1.conv.bias", 3)
    'up_blocks.0.upsamplers.0.conv.bias'
    """
    for old, new in ENDS.items():
        if name.startswith(f"{old}."):
            return new + _in_resnet(name.removeprefix(old))
    found = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", name)
    if found is None:
        return name
    way, number, kind, rest = found.groups()
    block, layer = divmod(int(number) - (way == "input"), each)
    way = "down" if way == "input" else "up"
    if rest.startswith(("op.", "conv.")):
        return f"{way}_blocks.{block}.{way}samplers.0.conv.{rest.partition('.')[2]}"
    return f"{way}_blocks.{block}.{'resnets' if kind == '0' else 'attentions'}.{layer}{_in_resnet(f'.{rest}')}"


def encoder_state(state: State, part: str, own: Iterable[str], source: str) -> State:
    """Return a text encoder in a whole model, under its names in transformers.

    Args:
        state: of the file.
        part: of the pipeline: ``text_encoder`` or ``text_encoder_2``.
        own: the encoder's names for its tensors; layers beyond are left out, as Stable Diffusion 2 leaves its last.
        source: the file, for messages.

    Raises:
        BadFile: the file holds none.
    """
    found = _part(state, ENCODERS[part])
    if not found:
        raise BadFile(f"{source}: no tensor's name begins with {' or '.join(ENCODERS[part])}, its {part}")
    if not any(name.startswith("model.") for name in found):
        return {name.removeprefix("transformer."): tensor for name, tensor in found.items()}
    known = [name.removeprefix("text_model.") for name in own]
    layers = {name.split(".")[2] for name in known if name.startswith("encoder.layers.")}
    put: State = {}
    for name, tensor in found.items():
        new = name.removeprefix("model.")
        for pattern, by in OPEN_CLIP.items():
            new = re.sub(pattern, by, new)
        if new == PROJECTION:
            put |= {f"{new}.weight": tensor.T} if f"{new}.weight" in known else {}
        elif new.startswith("encoder.layers.") and new.split(".")[2] not in layers:
            continue
        elif "attn.in_proj_" in new:
            start, kind = new.split("attn.in_proj_")
            parts = zip("qkv", tensor.chunk(3), strict=True)
            put |= {f"text_model.{start}self_attn.{letter}_proj.{kind}": each for letter, each in parts}
        elif new != "logit_scale":
            put[f"text_model.{new}"] = tensor
    return put


def _part(state: State, prefixes: Iterable[str]) -> State:
    return {
        name.removeprefix(prefix): tensor
        for prefix in prefixes
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _in_resnet(name: str) -> str:
    for old, new in RESNET.items():
        name = name.replace(f".{old}.", f".{new}.")
    return name
