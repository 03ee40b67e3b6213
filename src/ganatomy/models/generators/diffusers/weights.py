"""Where a model of diffusers keeps its weights, and under which names: one file, several, those of other releases."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ganatomy.core.errors import BadFile
from ganatomy.models.generators.diffusers.single_file import FIRST_STAGE, encoder_state, unet_state
from ganatomy.models.weights import State, read_state
from ganatomy.models.weights.hub import find_directory

DIFFUSERS = {"safetensors": "diffusion_pytorch_model", "bin": "diffusion_pytorch_model"}
"""Names of files of weights, without their ends, by the kinds of these; the first kind is preferred."""
TRANSFORMERS = {"safetensors": "model", "bin": "pytorch_model"}
"""Those of text encoders."""
ENDINGS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")
"""Suffixes of files of weights."""
SINCE = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention weights in the checkpoints of 2022, and since."""
LATENT = {
    r"\.(down|up)\.(\d+)\.block\.": r".\1_blocks.\2.resnets.",
    r"\.(down|up)\.(\d+)\.(down|up)sample\.": r".\1_blocks.\2.\3samplers.0.",
    r"\.mid\.block_1\.": ".mid_block.resnets.0.",
    r"\.mid\.block_2\.": ".mid_block.resnets.1.",
    r"\.mid\.attn_1\.": ".mid_block.attentions.0.",
    r"\.nin_shortcut\.": ".conv_shortcut.",
    r"coder\.norm_out\.": "coder.conv_norm_out.",
    r"attentions\.0\.norm\.": "attentions.0.group_norm.",
    r"attentions\.0\.([qkv])\.": r"attentions.0.to_\1.",
    r"attentions\.0\.proj_out\.": "attentions.0.to_out.0.",
}
"""Names of autoencoders in the files of latent diffusion, Stable Diffusion and FLUX, and in diffusers."""


def read_weights(name: str, folder: str, chosen: tuple[str, str], model: nn.Module) -> tuple[State, Path]:
    """Read the weights of a model, under the names that it has for them; return them and their file.

    Args:
        name: of the directory or repository.
        folder: of the model in it.
        chosen: a file of weights, in that folder or anywhere, or else "" for what is there; and the prefix of the
            names of tensors in it.
        model: built, without weights.

    Raises:
        BadFile: there are none, or several that could be meant; or they cannot be read.
    """
    file, prefix = chosen
    within = Path(name) / folder / file
    path = (within if within.is_file() else Path(file)) if file else _find_weights(name, folder, DIFFUSERS)
    state = read_state(path, prefix)
    if file and type(model).__name__ == "UNet2DConditionModel":
        config: Any = model.config
        resnets = config["layers_per_block"]
        return unet_state(state, resnets if isinstance(resnets, int) else resnets[0]) or state, path
    if any(each.startswith(FIRST_STAGE) for each in state):
        state = {each.removeprefix(FIRST_STAGE): t for each, t in state.items() if each.startswith(FIRST_STAGE)}
    return _renamed(state, model), path


def read_encoder_weights(name: str, folder: str, whole: str, model: nn.Module) -> tuple[State, Path]:
    """Read the weights of a text encoder of transformers; return them and their file.

    Args:
        name: of the directory or repository.
        folder: of the encoder in it.
        whole: the single file of all weights of its pipeline; or else "" for what is in the folder.
        model: built, without weights.

    Raises:
        BadFile: there are none, or several that could be meant; or they cannot be read.
    """
    path = Path(whole) if whole else _find_weights(name, folder, TRANSFORMERS)
    state = read_state(path)
    if whole:
        state = encoder_state(state, folder, model.state_dict(), str(path))
    # older ones count the positions of words, too
    return {each: tensor for each, tensor in state.items() if not each.endswith("embeddings.position_ids")}, path


def _find_weights(name: str, folder: str, stems: Mapping[str, str]) -> Path:
    """Return the file of weights, or the index of several, in a directory or a repository."""
    halves = ("", ".fp16")
    names = [f"{stem}{half}.{kind}" for kind, stem in stems.items() for half in halves]
    names += [f"{stem}.{kind}.index{half}.json" for kind, stem in stems.items() for half in halves]
    paths = [Path(folder) / each for each in names]
    parts = {kind: (Path(folder) / f"{stem}*-of-*.{kind}").as_posix() for kind, stem in stems.items()}
    groups = [[path.as_posix(), *(part for kind, part in parts.items() if f".{kind}." in path.name)] for path in paths]
    root = find_directory(name, groups, partial(_with_one_of, paths=paths))
    standard = [root / path for path in paths if (root / path).is_file()]
    return standard[0] if standard else _other_weights(root / folder)[0]


def _other_weights(folder: Path) -> list[Path]:
    """Return the files of weights in a folder that have other names, without parts of several."""
    return sorted(
        path for path in folder.glob("*") if path.suffix in ENDINGS and not re.search(r"-\d+-of-\d+\.", path.name)
    )


def _with_one_of(directory: Path, paths: Sequence[Path]) -> Path:
    folder = directory / paths[0].parent
    others = _other_weights(folder)
    if not any((directory / path).is_file() for path in paths) and len(others) != 1:
        shown = f"; of {', '.join(path.name for path in others)} say which: weights=FILE" if others else ""
        raise BadFile(f"{folder}: holds no weights; expected {paths[0].name} or {paths[2].name}{shown}")
    return directory


def _renamed(state: State, model: nn.Module) -> State:
    own = model.state_dict()
    ups = 1 + max((int(found[1]) for each in state if (found := re.match(r"decoder\.up\.(\d+)\.", each))), default=0)

    def name(old: str) -> str:
        new = re.sub(r"\.(query|key|value|proj_attn)(?=\.(weight|bias)$)", lambda match: f".{SINCE[match[1]]}", old)
        if old in own or new in own:
            return old if old in own else new
        for pattern, put in LATENT.items():
            new = re.sub(pattern, put, new)
        return re.sub(r"^decoder\.up_blocks\.(\d+)", lambda match: f"decoder.up_blocks.{ups - 1 - int(match[1])}", new)

    named = {name(old): tensor for old, tensor in state.items()}
    if named.keys() != state.keys():  # trainings of autoencoders keep their losses with them
        named = {each: tensor for each, tensor in named.items() if not each.startswith(("loss.", "model_ema."))}
    for each, tensor in named.items():
        if each in own and tensor.ndim == 4 and own[each].ndim == 2 and tensor.shape[2:] == (1, 1):
            named[each] = tensor[:, :, 0, 0]  # attention as convolutions of one place
    return named
