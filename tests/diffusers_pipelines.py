"""Small random pipelines of diffusers of every kind that opens as a whole, and tests' way to draw with them."""

from pathlib import Path
from typing import Any

import torch
from diffusers_encoders import WIDTH, save_tokenizer, text_encoder
from diffusers_models import AUTOENCODERS, build_unet, seeded, settings
from diffusers_transformers import PROMPTS, STABLE

from ganatomy.models.generators.diffusers.checkpoint import library, quiet


def vae() -> Any:
    """Return a decoder; those of these pipelines have a scale and no shift."""
    kind, _ = AUTOENCODERS["kl"]
    with seeded(1):
        return getattr(library(), kind)(**settings(kind), latent_channels=4, scaling_factor=0.5).eval()


def conditional_unet(**more: Any) -> Any:
    small: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": WIDTH,
    }
    with seeded(2):
        return library().UNet2DConditionModel(**(small | more)).eval()


def made_scheduler(name: str, **config: Any) -> Any:
    with quiet(library()):
        return getattr(library(), name).from_config(config)


def pipeline(kind: str, directory: Path, scheduler: str = "DDIMScheduler", **config: Any) -> Any:
    """Return a pipeline; its tokenizers lie in the directory."""
    package, steps = library(), made_scheduler(scheduler, **(STABLE | config))
    if kind in ("DDPMPipeline", "DDIMPipeline", "LDMPipeline"):
        with seeded(2):
            unet = build_unet(**({"in_channels": 4, "out_channels": 4, "sample_size": 8} if kind[0] == "L" else {}))
        parts = {"unet": unet, "scheduler": steps}
        if kind == "LDMPipeline":
            kind_of_vae, vq = AUTOENCODERS["vq"]
            with seeded(1):
                decoder = getattr(package, kind_of_vae)(**(settings(kind_of_vae) | vq | {"latent_channels": 4}))
                decoder.quantize.embedding.weight.data.normal_()
            parts["vqvae"] = decoder.eval()
        with quiet(package):
            return getattr(package, kind)(**parts)
    parts = {"vae": vae(), "scheduler": steps, "tokenizer": save_tokenizer(directory / "words")}
    parts["text_encoder"] = text_encoder(3)
    if "XL" in kind:
        parts |= {"tokenizer_2": save_tokenizer(directory / "words2"), "text_encoder_2": text_encoder(4, True)}
        sizes = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
        more = {**sizes, "projection_class_embeddings_input_dim": 6 * 4 + 8, "cross_attention_dim": 2 * WIDTH}
        parts |= {"unet": conditional_unet(**more), "add_watermarker": False}
    else:
        time = {"time_cond_proj_dim": 8} if "Consistency" in kind else {}
        parts |= {"unet": conditional_unet(**time), "safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    with quiet(package):
        made = getattr(package, kind)(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def save_pipeline(kind: str, directory: Path, scheduler: str = "DDIMScheduler", seed: int = 0, **config: Any) -> Path:
    """Save a pipeline and a file of prompts beside it; return its directory."""
    made = pipeline(kind, directory, scheduler, **config)
    with quiet(library()), torch.no_grad():
        for weight in made.unet.parameters():
            weight *= 1 + 0.1 * seed
        made.save_pretrained(directory / "model")
    (directory / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    return directory / "model"
