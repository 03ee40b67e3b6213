"""What the description beside an autoencoder's weights says, whichever library wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile, shortened
from ganatomy.core.files import read_json

CONFIGS = ("cfg.json", "config.json")
"""Beside weights, or else of their own name: ``sae.json`` of ``sae.safetensors``."""
WEIGHTS = ("sae.safetensors", "sae_weights.safetensors", "state_dict.pth", "weights.pt")
SUFFIXES = (".safetensors", ".pt", ".pth", ".npz")
BESIDE = ("mean.pt", "std.pt", "sparsity.safetensors", "training.safetensors")
"""What lies beside weights and is none: means and deviations of features that sdxl-unbox scales strengths by, how often
features of SAELens are active, the state of a training.
"""
OPENS = (
    "what opens are directories of sdxl-unbox (config.json, state_dict.pth), SAeUron and sparsify (cfg.json, "
    "sae.safetensors), SAELens (cfg.json, sae_weights.safetensors), ViT-Prisma (config.json, weights.pt) and ganatomy "
    "sae (sae.json, sae.safetensors), and single .safetensors, .pt, .pth and .npz files of these or of overcomplete"
)
LARGEST = 1 << 24
"""Most units or features that a description may tell."""
TIED = ("tied", "tied_weights", "tie_weights", "weight_tying")
NORMALISED = {"none": "none", "layer_norm": "layer", "constant_norm_rescale": "norm"}
ARCHITECTURES = ("standard", "gated", "jumprelu", "topk", "batchtopk")


@dataclass(frozen=True)
class Settings:
    """What a description says of an autoencoder.

    Attributes:
        format: the library that wrote it; empty where there is no description.
        activation: ``relu``, ``topk:n``, ``batchtopk:n``, ``jumprelu``, ``gated``; empty where it does not say.
        units, features: as it says; 0 where it does not.
        update: whether the features are what a block adds to its input.
        centred: whether the decoder's bias is taken from the features first.
        normalisation: of the features, see `Directions`.
        tied: whether the decoder is the encoder's transpose.
        by_norm: whether the greatest are chosen by coefficient times the length of the decoder's direction.
        scaled: whether coefficients are multiplied before they are decoded.
        layer: that of the training, if known.
    """

    format: str = ""
    activation: str = ""
    units: int = 0
    features: int = 0
    update: bool = False
    centred: bool = True
    normalisation: str = "none"
    tied: bool = False
    by_norm: bool = False
    scaled: bool = False
    layer: str = ""


def find_autoencoder(path: Path) -> tuple[Path, Settings]:
    """Return the file of weights, and what the description beside it says.

    Raises:
        BadFile: there is none, or its description is damaged or says what is not known here.
    """
    try:
        weights = _weights_of(path)
        configs = [weights.with_suffix(".json"), *(weights.with_name(name) for name in CONFIGS)]
        found = [each for each in dict.fromkeys(configs) if each != weights and each.is_file()]
        settings = [read for each in found if (read := _settings(each))]
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    if found and not settings and path.is_dir():  # a file may lie beside the description of something else
        raise BadFile(f"{found[0]}: describes no autoencoder that is known here; {OPENS}")
    return weights, settings[0] if settings else Settings()


def _weights_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    named = [path / name for name in WEIGHTS if (path / name).is_file()]
    others = [each for each in sorted(path.iterdir()) if each.suffix in SUFFIXES and each.name not in BESIDE]
    found = named or others
    if not found or (not named and len(found) > 1):
        raise BadFile(f"{path}: holds {'several files' if found else 'no file'} of weights; {OPENS}")
    return found[0]


def _settings(path: Path) -> Settings | None:
    """Read a description; None for that of something else."""
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: is no JSON that can be read ({error})") from error
    config = config.get("sae", config) if isinstance(config, dict) and isinstance(config.get("sae"), dict) else config
    if isinstance(config, dict):
        entries = _Config(path, config)
        if config.get("kind") == "sae":
            return _of_ganatomy(entries)
        if {"n_dirs_local", "d_model", "k"} <= config.keys():
            return _of_unbox(entries)
        if "d_in" in config and config.keys() & {"expansion_factor", "num_latents"} and "k" in config:
            return _of_sparsify(entries)
        if {"d_in", "d_sae"} <= config.keys():
            return _of_saelens(entries)
    return None


@dataclass(frozen=True)
class _Config:
    """The entries of a description, each of the type that it must be.

    Raises:
        BadFile: it is of another.
    """

    path: Path
    config: Mapping[str, Any]

    def whole(self, name: str, least: int = 1) -> int:
        """Return a whole number; 0 where there is none."""
        value = self.config.get(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= LARGEST:
            raise BadFile(f"{self.path}: {name} is {shortened(value)}; it must be a whole number, {least} to {LARGEST}")
        if int(value) != value:
            raise BadFile(f"{self.path}: {name} is {shortened(value)}; it must be a whole number")
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.config.get(name, default)
        if not isinstance(value, bool):
            raise BadFile(f"{self.path}: {name} is {shortened(value)}; it must be true or false")
        return value

    def text(self, name: str, default: str = "") -> str:
        value = self.config.get(name, default)
        if not isinstance(value, str | None):
            raise BadFile(f"{self.path}: {name} is {shortened(value)}; it must be a text")
        return default if value is None else value

    def refuse(self, name: str, why: str) -> None:
        """Refuse what would change the coefficients and is not known here."""
        if self.config.get(name) not in (None, False, 0, "", "none"):
            raise BadFile(f"{self.path}: {name} is {shortened(self.config[name])}, {why}")

    def tied(self) -> bool:
        return any(self.flag(name) for name in TIED)


def _of_ganatomy(config: _Config) -> Settings:
    return Settings(
        "ganatomy",
        config.text("activation", "relu"),
        config.whole("units"),
        config.whole("features"),
        layer=config.text("layer"),
        tied=config.tied(),
    )


def _of_unbox(config: _Config) -> Settings:
    return Settings(
        "sdxl-unbox",
        f"topk:{config.whole('k')}",
        config.whole("d_model"),
        config.whole("n_dirs_local"),
        update=config.text("output_or_diff", "diff") == "diff",
    )


def _of_sparsify(config: _Config) -> Settings:
    config.refuse("transcode", "and a transcoder writes to another layer than it reads")
    config.refuse("skip_connection", "which no direction of features is")
    if (kind := config.text("activation", "topk")) != "topk":
        raise BadFile(f"{config.path}: activation is {kind!r}; of sparsify, topk is known here")
    # SAeUron, too, reads SAEs that were trained with the greatest of a batch or image by the greatest of a place.
    return Settings(
        "SAeUron or sparsify",
        f"topk:{config.whole('k')}",
        config.whole("d_in"),
        config.whole("num_latents", least=0) or config.whole("expansion_factor") * config.whole("d_in"),
        normalisation="layer" if config.flag("input_unit_norm") else "none",
        tied=config.tied(),
    )


def _of_saelens(config: _Config) -> Settings:
    architecture = config.text("architecture", "standard")
    if architecture not in ARCHITECTURES:
        raise BadFile(f"{config.path}: architecture is {shortened(architecture)}; known are {', '.join(ARCHITECTURES)}")
    config.refuse("hook_head_index", "and the units of a layer are not divided by heads")
    config.refuse("reshape_activations", "and the units of a layer are not divided by heads")
    normalised = config.text("normalize_activations", "none")
    if normalised not in NORMALISED:
        raise BadFile(
            f"{config.path}: normalize_activations is {shortened(normalised)}; known are {', '.join(NORMALISED)}, "
            "as for others a number is needed that is in no file: fold it into the weights, and save them"
        )
    return Settings(
        "SAELens or ViT-Prisma",
        architecture if architecture in ("gated", "jumprelu") else _function(config, architecture),
        config.whole("d_in"),
        config.whole("d_sae"),
        centred=config.flag("apply_b_dec_to_input", True),
        normalisation=NORMALISED[normalised],
        tied=config.tied(),
        by_norm=config.flag("rescale_acts_by_decoder_norm") and architecture in ("topk", "batchtopk"),
        scaled=config.flag("finetuning_scaling_factor") or config.flag("uses_scaling_factor"),
    )


def _function(config: _Config, architecture: str) -> str:
    """Return the activation, which of standard ones is named, under a name that changed."""
    given = config.config.get("activation_fn_kwargs") or {}
    inner = _Config(config.path, given if isinstance(given, dict) else {})
    k = config.whole("k") or inner.whole("k")
    function = config.text("activation_fn_str") or config.text("activation_fn", "relu")
    name = function if architecture == "standard" else architecture
    if name not in ("relu", "topk", "batchtopk"):
        raise BadFile(f"{config.path}: the activation is {shortened(name)}; known are relu and topk")
    if name != "relu" and not k:
        raise BadFile(f"{config.path}: the activation is {name}, but k is missing")
    return name if name == "relu" else f"{name}:{k}"
