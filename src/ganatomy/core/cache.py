"""The user's cache directory, and whether the network may be used."""

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Return the folder of fetched models: GANATOMY_CACHE, else the user's cache directory on this system.

    Raises:
        RuntimeError: the user has no home directory, as of `pathlib.Path.home`.
    """
    named = os.environ.get("GANATOMY_CACHE")
    found = Path(named).expanduser() if named else platformdirs.user_cache_path("ganatomy", appauthor=False)
    if found.parts[0] == "~":
        raise RuntimeError("there is no home directory")
    return found


def offline() -> bool:
    """Return whether GANATOMY_OFFLINE is set, and not to 0."""
    return os.environ.get("GANATOMY_OFFLINE", "0") not in ("", "0")
