"""Weights of diffusers in several files, under other names, and in the single files of latent diffusion."""

import json
from pathlib import Path

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30
BRIEF = 16


def seeds() -> list[Tree]:
    """Return a decoder of a few channels, its weights in two files with an index, in one of latent diffusion, in one of
    another name.
    """
    import safetensors.torch
    import torch
    from diffusers_models import save_autoencoder

    stem = "diffusion_pytorch_model"
    whole = tree_of(lambda root: save_autoencoder(root / "vae", "kl"))
    state = safetensors.torch.load(whole[f"vae/{stem}.safetensors"])
    config = {"vae/config.json": whole["vae/config.json"]}
    halves = [sorted(state)[0::2], sorted(state)[1::2]]
    parts = {f"{stem}-0000{i + 1}-of-00002.safetensors": half for i, half in enumerate(halves)}
    index = {"weight_map": {name: file for file, half in parts.items() for name in half}}

    def packed(names: list[str]) -> bytes:
        return safetensors.torch.save({name: state[name] for name in names})

    def single(root: Path) -> None:
        named = {f"first_stage_model.{_latent(name)}": tensor for name, tensor in state.items()}
        torch.save({"state_dict": {**named, "model.diffusion.weight": torch.zeros(2)}}, root / "vae.ckpt")

    return [
        {
            **config,
            **{f"vae/{file}": packed(half) for file, half in parts.items()},
            f"vae/{stem}.safetensors.index.json": json.dumps(index).encode(),
        },
        {**config, **{f"vae/{file}": content for file, content in tree_of(single).items()}},
        {**config, "vae/other.safetensors": packed(sorted(state))},
    ]


def read(root: Path) -> None:
    """Build the model and fill it, as the decoder of the directory."""
    from ganatomy.models.generators.diffusers.checkpoint import find_checkpoint

    find_checkpoint(str(root / "vae"), None).model()


def _latent(name: str) -> str:
    """Return what latent diffusion calls a tensor of the decoder's middle; the others keep their names."""
    return name.replace(".mid_block.resnets.0.", ".mid.block_1.").replace(".mid_block.resnets.1.", ".mid.block_2.")
