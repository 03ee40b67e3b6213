"""The user's cache directory, and whether the network may be used."""

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Return the folder of fetched models: GANATOMY_CACHE, else the user's cache directory on this system."""
    named = os.environ.get("GANATOMY_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("ganatomy", appauthor=False)


def offline() -> bool:
    """Return whether GANATOMY_OFFLINE is set, and not to 0."""
    return os.environ.get("GANATOMY_OFFLINE", "0") not in ("", "0")
