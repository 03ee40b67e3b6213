"""The names and cards of the weights that come with the package; reading them loads no torch."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any


def bundled_names(*kinds: str) -> list[str]:
    """Return the names of the weights that come with the package: of some kinds, or all."""
    names = (each.name for each in asset("").iterdir())
    found = sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))
    return [name for name in found if not kinds or card(name)["kind"] in kinds]


def card(name: str) -> dict[str, Any]:
    """Return the card of bundled weights: kind, family, sha256, and how they were made."""
    facts: dict[str, Any] = json.loads(asset(f"{name}.json").read_text(encoding="utf-8"))
    return facts


def asset(file: str) -> Path:
    """Return the path of a file that comes with the package."""
    return Path(str(files("ganatomy") / "assets" / file))
