"""Model repositories of the Hugging Face hub: a directory, the local cache, the network, in this order."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganatomy.errors import BadFile, BadValue
from ganatomy.weights.states import State, read_state

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where a repository keeps its tensors; the first of these that is there is read."""
FETCHED = (["*.json", "*.txt", "model*.safetensors"], ["pytorch_model*.bin"])
"""What is downloaded: first this; then that, if no weights came."""


def find_repository(name: str) -> Path:
    """Return the directory of a model of transformers, as `find_directory` finds it, with its config and weights."""
    return find_directory(name, FETCHED, _complete)


def find_directory(name: str, fetched: Sequence[Sequence[str]], complete: Callable[[Path], Path]) -> Path:
    """Return the directory of a model: `name` itself, or the cached copy of ``org/model`` or ``org/model@revision``.

    What is not in the cache is downloaded into it, unless GANATOMY_OFFLINE or HF_HUB_OFFLINE is set.

    Args:
        name: of the directory or repository.
        fetched: patterns of files to download, one group after the other until the directory is complete.
        complete: returns the directory, or raises BadFile where something lacks.

    Raises:
        BadFile: no such directory or repository, or it holds no model; says how to fetch one that is not in the cache.
        BadValue: the package that talks to the hub is not installed.
    """
    if Path(name).is_dir():
        return complete(Path(name))
    repository, _, revision = name.partition("@")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", repository):
        raise BadFile(f"{name}: no such directory")
    try:
        return complete(_snapshot(repository, revision or None, (), complete))
    except BadFile as error:
        if os.environ.get("GANATOMY_OFFLINE", "0") not in ("", "0"):
            raise BadFile(f"{error} (GANATOMY_OFFLINE is set, so it is not fetched now)") from None
    return complete(_snapshot(repository, revision or None, fetched, complete))


def read_pretrained(directory: Path) -> State:
    """Read all tensors of a repository, from one file or from several that an index lists.

    Raises:
        BadFile: none there, an index that is not one, or a file that `read_state` refuses.
    """
    file = directory / next(name for name in WEIGHTS if (directory / name).is_file())
    if file.suffix != ".json":
        return read_state(file)
    parts = read_json(file).get("weight_map")
    names = sorted(set(parts.values())) if isinstance(parts, dict) else []
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise BadFile(f"{file}: not an index of weights (it needs a weight_map from tensors to files beside it)")
    return {key: tensor for name in names for key, tensor in read_state(directory / name).items()}


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadFile: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadFile(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{file}: not a JSON file ({error})") from error
    if not isinstance(content, dict):
        raise BadFile(f"{file}: holds a {type(content).__name__}, not a JSON object")
    return content


def _complete(directory: Path) -> Path:
    if not (directory / "config.json").is_file():
        raise BadFile(f"{directory}: holds no config.json, so it is no model of the Hugging Face hub")
    if not any((directory / name).is_file() for name in WEIGHTS):
        raise BadFile(f"{directory}: holds no weights; expected {' or '.join(WEIGHTS[::2])}")
    return directory


def _snapshot(
    repository: str, revision: str | None, fetched: Sequence[Sequence[str]], complete: Callable[[Path], Path]
) -> Path:
    """Return the cached directory of a repository; download what lacks of these files, nothing if there are none."""
    try:
        from huggingface_hub import constants, snapshot_download
    except ImportError as error:
        raise BadValue("models of the Hugging Face hub need another package: pip install 'ganatomy[hf]'") from error
    named = f"{repository}@{revision}" if revision else repository
    directory = Path()
    try:
        if not fetched:
            return Path(snapshot_download(repository, revision=revision, local_files_only=True))
        for patterns in fetched:
            directory = Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
            with contextlib.suppress(BadFile):
                return complete(directory)
    except Exception as error:  # whatever the hub's client, or what it uses for the network, raises
        why = "" if not fetched else f", and the hub did not give it ({_line(error)})"
        fetch = f"hf download {repository}" + (f" --revision {revision}" if revision else "")
        raise BadFile(
            f"{named}: no such directory; it is not in the cache {constants.HF_HUB_CACHE} either{why}; "
            f"where there is a network, this fetches it: {fetch}"
        ) from error
    return directory


def _line(error: Exception) -> str:
    """Return the first line that says something."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
