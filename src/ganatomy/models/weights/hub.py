"""Model repositories of the Hugging Face hub: a directory, the local cache, the network, in this order."""

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganatomy.core.cache import offline
from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.files import read_json as parsed_file
from ganatomy.models.weights.networks import read_state
from ganatomy.models.weights.state_dicts import State

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where a repository keeps its tensors; the first of these that is there is read."""
MARKERS = ("config.json", "model_index.json")
"""Files by which a cached repository is found."""
LARGEST = 1 << 24
"""Whole numbers of a config: units, layers, words, pixels."""
FETCHED = (["*.json", "*.txt", "model*.safetensors"], ["pytorch_model*.bin"])
"""Patterns of files to download: the first group; then the second, if no weights came."""


def find_repository(name: str) -> Path:
    """Return the directory of a model of transformers with its config and weights; see `find_directory`."""
    return find_directory(name, FETCHED, _complete)


def find_directory(name: str, fetched: Sequence[Sequence[str]], complete: Callable[[Path], Path]) -> Path:
    """Return the directory of a model: `name` itself, or the cached copy of ``org/model`` or ``org/model@revision``.

    What is not in the cache is downloaded into it, unless GANATOMY_OFFLINE or HF_HUB_OFFLINE is set.

    Args:
        name: of the directory or repository.
        fetched: patterns of files to download, one group after the other until the directory is complete.
        complete: returns the directory, or raises BadFile where something is missing.
    """
    if not name:
        raise BadFile("no model is named; expected a directory, or an id of the Hugging Face hub such as org/model")
    if Path(name).is_dir():
        return complete(Path(name))
    repository, _, revision = name.partition("@")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", repository):
        raise BadFile(f"{name}: no such directory")
    hub, directory = _hub(), Path()
    try:
        for marker in MARKERS:
            cached = hub.try_to_load_from_cache(repository, marker, revision=revision or None)
            with contextlib.suppress(BadFile):
                if isinstance(cached, str):
                    return complete(Path(cached).parent)
        if offline():
            raise ConnectionError("GANATOMY_OFFLINE is set")
        for patterns in fetched:
            directory = Path(
                hub.snapshot_download(repository, revision=revision or None, allow_patterns=list(patterns))
            )
            with contextlib.suppress(BadFile):
                return complete(directory)
    except Exception as error:  # whatever the hub's client raises, or what it uses for the network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        option = f" --revision {revision}" if revision else ""
        raise BadFile(
            f"{name}: no such directory, not in the cache {hub.constants.HF_HUB_CACHE}, and not fetched ({reason}); "
            f"where there is a network, this fetches it: hf download {repository}{option}"
        ) from error
    return complete(directory)


def read_pretrained(directory: Path) -> State:
    """Read all tensors of a repository, from one file or from several that an index lists."""
    return read_state(directory / next(name for name in WEIGHTS if (directory / name).is_file()))


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = parsed_file(file)
    except FileNotFoundError:
        raise BadFile(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{file}: not a JSON file ({error})") from error
    if not isinstance(content, dict):
        raise BadFile(f"{file}: holds a {type(content).__name__}, not a JSON object")
    return content


def check_numbers(settings: Any, source: str) -> None:
    """Refuse settings from which a library would build a model larger than any."""
    values = list(settings.values() if isinstance(settings, dict) else settings)
    for value in values:
        if isinstance(value, dict | list):
            values.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, int) and abs(value) > LARGEST:
            raise BadFile(f"{source}: has the number {value}; no model has more than {LARGEST} of anything")


def _complete(directory: Path) -> Path:
    if not (directory / "config.json").is_file():
        raise BadFile(f"{directory}: holds no config.json, so it is no model of the Hugging Face hub")
    if not any((directory / name).is_file() for name in WEIGHTS):
        raise BadFile(f"{directory}: holds no weights; expected {' or '.join(WEIGHTS[::2])}")
    return directory


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
    except ImportError as error:
        raise BadValue("models of the Hugging Face hub need another package: pip install 'ganatomy[hf]'") from error
    return huggingface_hub
