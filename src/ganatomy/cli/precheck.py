"""Mistakes in the names of models and studies, found before torch is loaded, which takes seconds.

What is not found here is found when the model or study is opened; nothing is refused here that could be opened.
"""

import contextlib
import difflib
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganatomy.core.assets import bundled_names
from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import BadFile, StudyError, UnknownName
from ganatomy.core.registry import entries_of, split_name

KINDS: Mapping[str, tuple[str, ...]] = {"generator": ("generator", "discriminator"), "segmenter": ("segmenter",)}
"""Options that name a model, and the kinds of bundled weights that each opens."""
READERS = {"generator": ("progan", "stylegan", "exported"), "segmenter": ("unet",)}
"""Families to suggest for a file."""
WEIGHTS = (".pth", ".pt", ".pt2", ".pkl", ".ckpt", ".bin", ".safetensors")


def check_names(arguments: Namespace) -> None:
    """Refuse models of unknown families, files that are missing, and studies that are not there.

    Raises:
        UnknownName: no such family or bundled model; suggests one.
        BadFile: no such file of weights.
        StudyError: no such directory.
    """
    given = vars(arguments)
    for kind in KINDS:
        if isinstance(given.get(kind), str):
            _check_model(kind, given[kind])
    for directory in (given.get("directory"), *(given.get("directories") or ())):
        if isinstance(directory, Path) and not directory.exists() and not _is_copy(directory):
            raise StudyError(f"{directory} holds no study; there is nothing of that name")


def _is_copy(directory: Path) -> bool:
    """Whether a directory is in the cache, as the copy of a study at a URL, which may be still to come."""
    with contextlib.suppress(RuntimeError):  # there is no home directory
        return cache_directory() in directory.parents
    return False


def _check_model(kind: str, name: str) -> None:
    family, argument, _ = split_name(name)
    families, bundled = entries_of(f"ganatomy.{kind}s"), bundled_names(*KINDS[kind])
    if family not in families:
        suggested = list(_suggestions(kind, name, bundled))
        raise UnknownName(kind, name if suggested else family, families, suggested)
    if family == "bundled" and argument not in bundled:
        raise UnknownName(f"bundled {kind}", argument, bundled)
    if argument.endswith(WEIGHTS) and ":" not in argument and not Path(argument).exists():
        raise BadFile(f"{argument}: no such file")


def _suggestions(kind: str, name: str, bundled: list[str]) -> Iterator[str]:
    """Yield names that may have been meant by one without a family."""
    if name.endswith(WEIGHTS):
        yield from (f"{family}:{name}" for family in READERS[kind])
    elif ":" not in name:
        yield from (f"bundled:{each}" for each in difflib.get_close_matches(name, bundled, cutoff=0.7))
