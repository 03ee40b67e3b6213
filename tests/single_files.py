"""The single files that latent diffusion, Stable Diffusion 1, 2 and SDXL are released as, made of small pipelines."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

State = dict[str, Tensor]
UNET, VAE, TEXT = "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder"
IN_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
IN_OPEN_CLIP = {
    "encoder.layers": "transformer.resblocks",
    "layer_norm": "ln_",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_ln_": "ln_final",
}


def vae_name(name: str) -> str:
    """Return what a tensor of AutoencoderKL with two resolutions is called in the files of latent diffusion."""
    name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{1 - int(found[1])}", name).replace("down_blocks.", "down.")
    name = re.sub(r"(down|up)\.(\d)\.resnets", r"\1.\2.block", name)
    name = re.sub(r"(down|up)samplers\.0", r"\1sample", name)
    name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_shortcut", "nin_shortcut")
    name = name.replace("conv_norm_out", "norm_out").replace("group_norm", "norm").replace("to_out.0", "proj_out")
    return re.sub(r"to_([qkv])", r"\1", name)


def unet_name(name: str) -> str:
    """Return what a tensor of a denoiser with one ResNet a block down, and two up, is called there."""
    for own, put in OUTSIDE.items():
        name = re.sub(rf"^{re.escape(own)}(?=\.)", put, name)
    found = re.fullmatch(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.+)", name)
    if found:
        way, block, kind, layer, rest = found.groups()
        number = 2 * int(block) + int(layer) + (way == "down")
        if kind.endswith("samplers"):
            number += 1
            place = "0.op" if way == "down" else "2" if block == "0" else "1"
            rest = rest.replace("conv.", "", 1) if way == "down" else rest
        else:
            place = "0" if kind == "resnets" else "1"
        name = f"{'input' if way == 'down' else 'output'}_blocks.{number}.{place}.{rest}"
    for own, put in IN_RESNET.items() if "transformer_blocks" not in name else ():
        name = re.sub(rf"(?<=\.){own}(?=\.)", put, name)
    return name


def open_clip(state: State) -> State:
    """Return a text encoder as the package open_clip has it, with one more layer, which is not used."""
    put: State = {"logit_scale": torch.ones(())}
    for name, tensor in state.items():
        if ".q_proj." in name:
            parts = [state[name.replace(".q_proj.", f".{letter}_proj.")] for letter in "qkv"]
            put[name.replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
        elif name == "text_projection.weight":
            put["text_projection"] = tensor.T.contiguous()
        elif not re.search(r"\.[kv]_proj\.", name):
            put[name] = tensor
    for own, new in IN_OPEN_CLIP.items():
        put = {name.removeprefix("text_model.").replace(own, new): tensor for name, tensor in put.items()}
    layers = 1 + max(int(found[1]) for name in put if (found := re.search(r"resblocks\.(\d+)", name)))
    last = f"resblocks.{layers - 1}."
    return put | {n.replace(last, f"resblocks.{layers}."): t.clone() for n, t in put.items() if last in n}


def single_file(model: Path, clip: bool) -> State:
    """Return a saved pipeline as one file; its first encoder as that of Stable Diffusion 1 (`clip`) or 2."""
    whole = {
        f"model.diffusion_model.{unet_name(name)}": tensor
        for name, tensor in load_file(model / f"{UNET}.safetensors").items()
    }
    for name, tensor in load_file(model / f"{VAE}.safetensors").items():
        linear = ".attentions." in name and tensor.ndim == 2
        whole[f"first_stage_model.{vae_name(name)}"] = tensor[:, :, None, None].clone() if linear else tensor
    first = {
        name if name.startswith("text_model.") else f"text_model.{name}": tensor
        for name, tensor in load_file(model / TEXT / "model.safetensors").items()
    }
    two = (model / f"{TEXT}_2").is_dir()
    start = "conditioner.embedders.0." if two else "cond_stage_model."
    if clip:
        whole |= {f"{start}transformer.{name}": tensor for name, tensor in first.items()}
    else:
        whole |= {f"{start}model.{name}": tensor for name, tensor in open_clip(first).items()}
    if two:
        second = open_clip(load_file(model / f"{TEXT}_2" / "model.safetensors"))
        whole |= {f"conditioner.embedders.1.model.{name}": tensor for name, tensor in second.items()}
    return whole | {"alphas_cumprod": torch.ones(3)}
