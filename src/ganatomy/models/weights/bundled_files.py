"""The weights that come with the package, and their cards."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile, UnknownName
from ganatomy.core.fingerprint import file_sha256


def bundled_names() -> list[str]:
    """Return the names of the weights that come with the package."""
    names = (each.name for each in (files("ganatomy") / "assets").iterdir())
    return sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))


def bundled(name: str) -> Path:
    """Return the path of bundled weights, verified against their card.

    Raises:
        UnknownName: none of that name.
        BadFile: the file is not the one that its card describes.
    """
    if name not in bundled_names():
        raise UnknownName("bundled model", name, bundled_names())
    path = Path(str(files("ganatomy") / "assets" / f"{name}.safetensors"))
    expected = card(name)["sha256"]
    if file_sha256(path) != expected:
        raise BadFile(f"{path}: its sha256 is not {expected}, as its card says; install ganatomy again")
    return path


def card(name: str) -> dict[str, Any]:
    """Return the card of bundled weights: kind, family, sha256, and how they were made."""
    text = (files("ganatomy") / "assets" / f"{name}.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text)
    return facts
