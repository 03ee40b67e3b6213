"""Models as the package diffusers saves them: found by their JSON configs, built, and filled with all of their weights.

Only classes of diffusers are built, and only from settings; a config that names code does not get it run.
"""

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ganatomy.core.errors import BadFile, BadModel, BadValue, UnknownName
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.registry import encoded
from ganatomy.models.generators.diffusers.weights import read_weights
from ganatomy.models.weights import fit_state
from ganatomy.models.weights.hub import check_numbers, find_directory, read_json

DECODERS = (
    "AutoencoderKL",
    "AutoencoderKLFlux2",
    "AsymmetricAutoencoderKL",
    "AutoencoderTiny",
    "AutoencoderDC",
    "VQModel",
)
"""The autoencoders that can be opened."""
KINDS = (*DECODERS, "UNet2DModel")
"""All that can be opened."""
CONFIGS = (("*model_index.json", "*config.json"),)
"""What is fetched first: it says which weights there are."""


@dataclass(frozen=True)
class Checkpoint:
    """A model of diffusers that is not opened yet.

    Attributes:
        name: the directory or repository.
        parts: the class of each part, if it is one of a pipeline; else empty.
        folder: of its config and weights, below that of the pipeline.
        weights: a file of weights, in that folder or anywhere; else what is there.
        prefix: of the names of its tensors in that file.
    """

    name: str
    parts: Mapping[str, str]
    config: Mapping[str, Any]
    folder: str
    weights: str = ""
    prefix: str = ""

    @property
    def kind(self) -> str:
        """The name of the model's class."""
        return str(self.config.get("_class_name"))

    def model(self) -> nn.Module:
        """Build the model, frozen and in evaluation mode, with all of its weights and nothing else.

        Raises:
            BadFile: weights are missing, too many, of other shapes, or no plain tensors.
            BadModel: diffusers cannot build it.
        """
        where = (Path(self.name) / self.folder).as_posix()
        model: nn.Module = build(self.config, "ModelMixin", where)
        state, file = read_weights(self.name, self.folder, (self.weights, self.prefix), model)
        fit_state(model, state, str(file))
        return model.eval().requires_grad_(False)

    def scheduler(self) -> Any:
        """Build the scheduler of the model, which has the noise of training.

        Raises:
            BadFile: there is none.
            BadModel: diffusers cannot build it.
        """
        return build(self.scheduler_config(), "SchedulerMixin", str(self._scheduler_file()))

    def scheduler_config(self) -> Mapping[str, Any]:
        """Return the settings of the scheduler of the model.

        Raises:
            BadFile: there are none.
        """
        return read_json(self._scheduler_file())

    def _scheduler_file(self) -> Path:
        root = find_directory(self.name, CONFIGS, with_config)
        files = [root / folder / "scheduler_config.json" for folder in ("scheduler", "")]  # the latter in 2022
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise BadFile(
                f"{self.name}: lacks scheduler/scheduler_config.json, which says how noise was added in training"
            )
        return file


def find_checkpoint(name: str, part: str | None) -> Checkpoint:
    """Find a model in a directory, or in a repository of the Hugging Face hub; in a pipeline, a part of it.

    Raises:
        BadFile: no such directory or repository, or it holds no model of diffusers.
        BadModel: none of a pipeline's parts draws images.
        UnknownName: it has no such part.
    """
    if Path(name).is_file():
        if not (Path(name).parent / "config.json").is_file():
            raise BadFile(
                f"{name}: says nothing of its settings, and no config.json lies beside it; open the folder that has "
                f"it, with these weights: diffusers:DIR?weights={encoded(name)}"
            )
        return replace(find_checkpoint(str(Path(name).parent), part), weights=Path(name).name)
    root = find_directory(name, CONFIGS, with_config)
    index = root / "model_index.json"
    parts = {}
    if index.is_file():
        listed = {key: value for key, value in read_json(index).items() if isinstance(value, list)}
        parts = {key: str(value[1]) for key, value in listed.items() if len(value) == 2 and value[0] == "diffusers"}
        parts.pop("scheduler", None)
        part = part or _main_part(name, parts)
        if part not in parts:
            raise UnknownName(f"part of {name}", part, parts)
    folder = root / (part or "")
    if part in parts and not (folder / "config.json").is_file() and (root / "config.json").is_file():
        folder = root  # so in 2022
    config = read_json(folder / "config.json")
    return Checkpoint(name, parts, config, folder.relative_to(root).as_posix())


def build(config: Mapping[str, Any], base: str, source: str) -> Any:
    """Build the model of a config, if its class is one of diffusers; global random numbers are not changed.

    Raises:
        BadFile: a number in it is larger than any model's.
        BadModel: it is not, or it refuses the settings.
        BadValue: diffusers is not installed.
    """
    check_numbers(config, source)
    package = library()
    name = config.get("_class_name")
    with foreign_errors(f"building {name} of {source}"), quiet(package):
        kind: Any = getattr(package, name, None) if isinstance(name, str) and re.fullmatch(r"[A-Z]\w+", name) else None
        known = isinstance(kind, type) and issubclass(kind, getattr(package, base))
        if not known:
            what = "model" if base == "ModelMixin" else "scheduler"
            raise BadModel(f"{source}: {name!r} is no {what} of diffusers {package.__version__}")
        return kind.from_config(dict(config))


def library() -> ModuleType:
    """Return the package diffusers.

    Raises:
        BadValue: it is not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import diffusers
    except ImportError as error:
        raise BadValue(f"models of diffusers need that package ({error}): pip install 'ganatomy[diffusers]'") from error
    return diffusers


@contextlib.contextmanager
def quiet(package: ModuleType) -> Iterator[None]:
    """Silence diffusers; keep the process's random numbers as they are."""
    logging = package.utils.logging
    level = logging.get_verbosity()
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(level)


def _main_part(name: str, parts: Mapping[str, str]) -> str:
    """Return the part of a pipeline that draws images: its decoder of latents, or else its UNet."""
    for kind in KINDS:
        for part, own in parts.items():
            if own == kind:
                return part
    shown = ", ".join(f"{part} ({kind})" for part, kind in parts.items()) or "none of diffusers"
    raise BadModel(f"{name}: has no part that can be opened ({', '.join(KINDS)}); its parts: {shown}")


def with_config(directory: Path) -> Path:
    """Return a directory with a model or a pipeline of diffusers.

    Raises:
        BadFile: it is none.
    """
    if not any((directory / file).is_file() for file in ("model_index.json", "config.json")):
        raise BadFile(f"{directory}: holds no model_index.json and no config.json, so it is no model of diffusers")
    return directory
