"""Small random transformers of diffusers, with all parts of their pipelines but the scheduler."""

from pathlib import Path
from typing import Any

import torch
from diffusers_encoders import (
    WIDTH,
    qwen_encoder,
    qwen_tokenizer,
    save_tokenizer,
    t5_encoder,
    t5_tokenizer,
    text_encoder,
)
from diffusers_models import AUTOENCODERS, seeded, settings

from ganatomy.core.registry import join_name
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.sampling import SampledGenerator

TRANSFORMERS = {
    "StableDiffusion3Pipeline": True,
    "FluxPipeline": True,
    "Flux2KleinPipeline": True,
    "PixArtAlphaPipeline": False,
    "PixArtSigmaPipeline": False,
    "DiTPipeline": False,
}
"""Their pipelines, and whether each is a flow."""
FLOW = {"shift": 3.0, "use_dynamic_shifting": True}
PROMPTS = ("a tree", "a door", "the sky over a church")
CLASSES = ("3", "5", "999")
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
"""Settings of a scheduler that is none of a flow."""
SMALL: dict[str, Any] = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8}
"""What makes a transformer a small one, of 16 units."""
WORDS = 24
"""Numbers of a word of T5."""


def prompts_of(kind: str) -> tuple[str, ...]:
    """Return prompts that a pipeline takes."""
    return CLASSES if kind == "DiTPipeline" else PROMPTS


def latents(name: str = "kl", **more: Any) -> Any:
    """Return a decoder of four channels."""
    kind, config = AUTOENCODERS[name]
    with seeded(1):
        made = getattr(library(), kind)(**(settings(kind) | config | {"latent_channels": 4} | more)).eval()
        if name == "flux2":
            made.bn.running_mean.normal_()
            made.bn.running_var.uniform_(0.5, 2)
    return made


def transformer_parts(kind: str, directory: Path, **more: Any) -> dict[str, Any]:
    """Return the parts of a pipeline, with more settings of its network; tokenizers lie in the directory."""
    made = {
        "StableDiffusion3Pipeline": _sd3,
        "FluxPipeline": _flux,
        "Flux2KleinPipeline": _flux2,
        "PixArtAlphaPipeline": _pixart,
        "PixArtSigmaPipeline": _pixart,
        "DiTPipeline": _dit,
    }
    return made[kind](directory, more)


def network(kind: str, config: dict[str, Any], more: dict[str, Any]) -> Any:
    with seeded(2):
        return getattr(library(), kind)(**(SMALL | config | more)).eval()


def _clip(directory: Path, projected: bool) -> dict[str, Any]:
    return {"tokenizer": save_tokenizer(directory / "words"), "text_encoder": text_encoder(3, projected)}


def _sd3(directory: Path, more: dict[str, Any]) -> dict[str, Any]:
    config = {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "joint_attention_dim": 2 * WIDTH + 8,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 16,
        "pos_embed_max_size": 16,
        "dual_attention_layers": (0,),
        "qk_norm": "rms_norm",
    }
    second = {"tokenizer_2": save_tokenizer(directory / "words2"), "text_encoder_2": text_encoder(4, True)}
    third = {"tokenizer_3": t5_tokenizer(), "text_encoder_3": t5_encoder(5, 2 * WIDTH + 8)}
    parts = _clip(directory, True) | second | third | {"vae": latents(shift_factor=0.1)}
    return parts | {"transformer": network("SD3Transformer2DModel", config, more)}


def _flux(directory: Path, more: dict[str, Any]) -> dict[str, Any]:
    config = {
        "in_channels": 16,
        "num_single_layers": 2,
        "joint_attention_dim": WORDS,
        "pooled_projection_dim": WIDTH,
        "guidance_embeds": True,
        "axes_dims_rope": (2, 2, 4),
    }
    words = {"tokenizer_2": t5_tokenizer(), "text_encoder_2": t5_encoder(5, WORDS)}
    parts = _clip(directory, False) | words | {"vae": latents(shift_factor=0.1)}
    return parts | {"transformer": network("FluxTransformer2DModel", config, more)}


def _flux2(_directory: Path, more: dict[str, Any]) -> dict[str, Any]:
    config = {
        "in_channels": 16,
        "num_single_layers": 2,
        "joint_attention_dim": 3 * 16,
        "guidance_embeds": False,
        "axes_dims_rope": (2, 2, 2, 2),
        "timestep_guidance_channels": 16,
    }
    parts = {"tokenizer": qwen_tokenizer(), "text_encoder": qwen_encoder(5), "vae": latents("flux2")}
    return parts | {"transformer": network("Flux2Transformer2DModel", config, more)}


def _pixart(_directory: Path, more: dict[str, Any]) -> dict[str, Any]:
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 8,
        "cross_attention_dim": 16,
        "caption_channels": WORDS,
        "norm_type": "ada_norm_single",
        "num_embeds_ada_norm": 1000,
    }
    parts = {"tokenizer": t5_tokenizer(), "text_encoder": t5_encoder(5, WORDS), "vae": latents(shift_factor=None)}
    return parts | {"transformer": network("PixArtTransformer2DModel", config, more)}


def _dit(_directory: Path, more: dict[str, Any]) -> dict[str, Any]:
    config = {"sample_size": 8, "in_channels": 4, "out_channels": 8, "num_embeds_ada_norm": 1000}
    parts = {"vae": latents(shift_factor=None)}
    return parts | {"transformer": network("DiTTransformer2DModel", config, more)}


def save_transformer(
    kind: str,
    directory: Path,
    scheduler: Any = None,
    without: tuple[str, ...] = (),
    distilled: bool = False,
    seed: int = 0,
    **more: Any,
) -> Path:
    """Save a pipeline of these settings of its network, without some of its parts; return its directory."""
    parts = transformer_parts(kind, directory, **more) | dict.fromkeys(without)
    with seeded(seed):
        for weight in parts["transformer"].parameters() if seed else ():
            weight.data += 0.1 * torch.randn_like(weight)
    name, config = ("FlowMatchEulerDiscreteScheduler", FLOW) if TRANSFORMERS[kind] else ("DDIMScheduler", STABLE)
    with quiet(library()):
        steps = scheduler or getattr(library(), name).from_config(config)
        settings = {"is_distilled": True} if distilled else {}
        getattr(library(), kind)(**parts, **settings, scheduler=steps).save_pretrained(directory / "model")
    (directory / "prompts.txt").write_text("\n".join(prompts_of(kind)) + "\n")
    return directory / "model"


def opened_transformer(directory: Path, **options: object) -> SampledGenerator:
    asked = {"prompts": directory.parent / "prompts.txt", "steps": 2, "size": 16} | options
    kept = {key: str(value) for key, value in asked.items() if value is not None}
    generator = open_generator(join_name("diffusers", str(directory), kept))
    assert isinstance(generator, SampledGenerator)
    return generator
