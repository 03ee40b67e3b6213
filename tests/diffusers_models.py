"""Small random models of every kind that can be opened, saved as the package diffusers saves them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers.checkpoint import library
from ganatomy.models.generators.hooked import HookedGenerator

AUTOENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "kl": ("AutoencoderKL", {"latent_channels": 3, "scaling_factor": 0.5, "shift_factor": 0.1}),
    "normed": ("AutoencoderKL", {"latents_mean": [0.1, 0.2], "latents_std": [2.0, 0.5], "latent_channels": 2}),
    "flux2": ("AutoencoderKLFlux2", {"latent_channels": 4}),
    "asymmetric": ("AsymmetricAutoencoderKL", {}),
    "vq": ("VQModel", {"latent_channels": 3, "num_vq_embeddings": 12}),
    "tiny": ("AutoencoderTiny", {}),
    "dc": ("AutoencoderDC", {"latent_channels": 4, "scaling_factor": 0.3}),
}


def settings(kind: str) -> dict[str, Any]:
    """The rest of what makes an autoencoder a small one, by its class."""
    if kind == "AutoencoderTiny":
        return {f"{half}_block_out_channels": (8, 8) for half in ("encoder", "decoder")} | {
            f"num_{half}_blocks": (1, 1) for half in ("encoder", "decoder")
        }
    if kind == "AutoencoderDC":
        halves = {
            "block_out_channels": (8, 16),
            "layers_per_block": (1, 1),
            "block_types": "ResBlock",
            "qkv_multiscales": ((), ()),
        }
        return {f"{half}_{key}": value for half in ("encoder", "decoder") for key, value in halves.items()}
    wide = {"norm_num_groups": 4, "sample_size": 16}
    if kind == "AsymmetricAutoencoderKL":
        wide |= {f"{half}_block_out_channels": (8, 16) for half in ("down", "up")}  # type: ignore[dict-item]
        wide |= {"layers_per_down_block": 1, "layers_per_up_block": 1}
    else:
        wide |= {"block_out_channels": (8, 16)}  # type: ignore[dict-item]
    return wide | {f"{way}_block_types": (f"{way.title()}{half}Block2D",) * 2 for way, half in BLOCKS}


BLOCKS = (("down", "Encoder"), ("up", "Decoder"))


def build_unet(**config: Any) -> Any:
    small = {
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
        "attention_head_dim": 4,
    }
    return library().UNet2DModel(**(small | config)).eval()


@contextlib.contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def save_autoencoder(directory: Path, name: str, seed: int = 0) -> Path:
    kind, config = AUTOENCODERS[name]
    with seeded(seed):
        model = getattr(library(), kind)(**(settings(kind) | config))
        if kind == "VQModel":
            model.quantize.embedding.weight.data.normal_()
        if kind == "AutoencoderKLFlux2":
            model.bn.running_mean.normal_()
            model.bn.running_var.uniform_(0.5, 2)
    model.save_pretrained(directory)
    return directory


def save_pipeline(directory: Path, seed: int = 0, **config: Any) -> Path:
    with seeded(seed):
        unet = build_unet(**config)
    library().DDPMPipeline(unet, library().DDPMScheduler()).save_pretrained(directory)
    return directory


def opened(spec: object) -> HookedGenerator:
    generator = open_generator(f"diffusers:{spec}")
    assert isinstance(generator, HookedGenerator)
    return generator
