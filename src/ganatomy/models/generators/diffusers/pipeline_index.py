"""What ``model_index.json`` says of a pipeline, and which pipelines can be opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.core.registry import encoded
from ganatomy.models.generators.diffusers.checkpoint import CONFIGS, Checkpoint, find_checkpoint, with_config
from ganatomy.models.generators.diffusers.weights import ENDINGS
from ganatomy.models.weights.hub import find_directory, read_json


@dataclass(frozen=True)
class Kind:
    """A class of pipelines.

    Attributes:
        network: the class of its denoiser.
        encoders: its text encoders; their tokenizers are ``tokenizer`` and so on.
        decoder: the part that makes images of latents, with the classes that it may have; none where x are images.
        steps: unless asked otherwise.
        guidance: unless asked otherwise, as the pipeline's own call has it.
        scheduler: that its own call takes, whatever its files say; empty for the one of its files.
    """

    network: str
    encoders: tuple[str, ...] = ()
    decoder: str = "vae"
    steps: int = 20
    guidance: float = 1.0
    scheduler: str = ""

    @property
    def part(self) -> str:
        """The part that is its denoiser."""
        return "unet" if self.network.startswith("UNet") else "transformer"


ENCODER, ENCODERS = ("text_encoder",), ("text_encoder", "text_encoder_2")
PIPELINES = {
    "StableDiffusionPipeline": Kind("UNet2DConditionModel", ENCODER, guidance=7.5),
    "StableDiffusionXLPipeline": Kind("UNet2DConditionModel", ENCODERS, guidance=5.0),
    "LatentConsistencyModelPipeline": Kind("UNet2DConditionModel", ENCODER, steps=4, guidance=8.5),
    "StableDiffusion3Pipeline": Kind("SD3Transformer2DModel", (*ENCODERS, "text_encoder_3"), guidance=7.0),
    "FluxPipeline": Kind("FluxTransformer2DModel", ENCODERS, guidance=3.5),
    "Flux2KleinPipeline": Kind("Flux2Transformer2DModel", ENCODER, guidance=4.0),
    "PixArtAlphaPipeline": Kind("PixArtTransformer2DModel", ENCODER, guidance=4.5),
    "PixArtSigmaPipeline": Kind("PixArtTransformer2DModel", ENCODER, guidance=4.5),
    "DiTPipeline": Kind("DiTTransformer2DModel", guidance=4.0),
    "LDMPipeline": Kind("UNet2DModel", decoder="vqvae"),
    "DDPMPipeline": Kind("UNet2DModel", decoder=""),
    "DDIMPipeline": Kind("UNet2DModel", decoder="", scheduler="DDIMScheduler"),
    "PNDMPipeline": Kind("UNet2DModel", decoder="", scheduler="PNDMScheduler"),
}
"""Pipelines that can be opened as a whole."""
OLDER = {"DiTTransformer2DModel": "Transformer2DModel", "PixArtTransformer2DModel": "Transformer2DModel"}
"""Classes of denoisers by their names in older files."""
FROM_IMAGES = ("Img2Img", "Inpaint", "ControlNet", "Upscale", "Adapter", "Pix2Pix", "Depth2Img", "Variation")
"""Parts of the names of pipelines that begin with an image and not with noise alone."""

UNREAD = {"Flux2Pipeline": "its prompts are read by Mistral 3, with a processor of images; "}
"""Pipelines that do not open for another reason than that nobody has made them open."""


@dataclass(frozen=True)
class Index:
    """What ``model_index.json`` says.

    Attributes:
        name: of the directory or repository.
        pipeline: its class.
        parts: library and class of each part that is there.
        settings: all else.
        weights: the single file of all weights; empty where each part has its own.
    """

    name: str
    pipeline: str
    parts: Mapping[str, tuple[str, str]]
    settings: Mapping[str, Any]
    weights: str

    @property
    def kind(self) -> Kind:
        """What is known of its class."""
        return PIPELINES[self.pipeline]

    def network(self) -> Checkpoint:
        """Return its denoiser, not opened yet.

        Raises:
            BadFile, BadModel: see `part`.
        """
        own = self.kind.network
        found = self.part(self.kind.part, tuple(filter(None, (own, OLDER.get(own)))))
        return replace(found, config={**found.config, "_class_name": own})

    def part(self, part: str, classes: Sequence[str]) -> Checkpoint:
        """Return a part of one of these classes, not opened yet.

        Raises:
            BadFile: it is missing.
            BadModel: it is of another class.
        """
        own = self.part_class(part)
        if own in classes:
            found = replace(find_checkpoint(self.name, part), weights=self.weights)
            own = found.kind
        if own not in classes:
            raise BadModel(f"{self.name}: its {part} is a {own}; what can be opened is {' or '.join(classes)}")
        return found

    def part_class(self, part: str) -> str:
        """Return the class of a part.

        Raises:
            BadFile: it is missing.
        """
        if part not in self.parts:
            raise BadFile(f"{self.name}: its model_index.json names no {part}, which a {self.pipeline} needs")
        return self.parts[part][1]


def read_index(name: str, weights: str = "") -> Index:
    """Read ``model_index.json`` of a pipeline that can be opened, whose weights may be in a single file elsewhere.

    Raises:
        BadFile: there is none, or it is damaged.
        BadModel: it is of another class, or has more to it than its parts.
    """
    if Path(name).is_file():
        raise BadFile(
            f"{name}: says nothing of its settings; name the directory that has them (model_index.json, configs, "
            f"tokenizers), with these weights: diffusers:DIR?prompts=FILE&weights={encoded(name)}"
        )
    root = find_directory(name, CONFIGS, with_config)
    if not (root / "model_index.json").is_file():
        raise BadFile(f"{name}: holds no model_index.json, so it is no pipeline; leave out prompts and part")
    content = read_json(root / "model_index.json")
    pipeline = content.get("_class_name")
    if not isinstance(pipeline, str):
        raise BadModel(f"{name}: its pipeline is {str(pipeline)[:60]}, code of its own, which is not run")
    if pipeline not in PIPELINES:
        begins = "it begins with an image; " if any(word in pipeline for word in FROM_IMAGES) else ""
        reason = UNREAD.get(pipeline, begins)
        raise BadModel(f"{name}: a {pipeline} cannot be opened: {reason}what opens is {', '.join(PIPELINES)}")
    changed = sorted(file.name for file in root.glob("*lora*") if file.suffix in ENDINGS)
    if changed:
        raise BadModel(
            f"{name}: {changed[0]} changes its weights and is not applied; save the pipeline with it: "
            "load_lora_weights, fuse_lora, unload_lora_weights, save_pretrained"
        )
    parts = {
        key: (str(value[0]), str(value[1]))
        for key, value in content.items()
        if isinstance(value, list) and len(value) == 2 and None not in value
    }
    return Index(name, pipeline, parts, {key: value for key, value in content.items() if key not in parts}, weights)
