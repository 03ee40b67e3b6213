"""The files of the weights that come with the package."""

from pathlib import Path

from ganatomy.core.assets import asset, bundled_names, card
from ganatomy.core.errors import BadFile, UnknownName
from ganatomy.core.fingerprint import file_sha256


def bundled(name: str) -> Path:
    """Return the path of bundled weights, verified against their card.

    Raises:
        UnknownName: none of that name.
        BadFile: the file is not the one that its card describes.
    """
    if name not in bundled_names():
        raise UnknownName("bundled model", name, bundled_names())
    path = asset(f"{name}.safetensors")
    expected = card(name)["sha256"]
    if file_sha256(path) != expected:
        raise BadFile(f"{path}: its sha256 is not {expected}, as its card says; install ganatomy again")
    return path
