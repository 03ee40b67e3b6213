"""Whether a name that stands in a file may be opened: what is only data always, what runs code if its user agreed.

A study and a repair name the models that they were made with, and may come from anybody. To open ``progan:church.pth``
is to read numbers. To open ``torch:os:system?command=…`` is to run whatever that is, so it is opened only

* by who types the name,
* from a file, once the same name was opened by its user, or ``ganatomy trust`` was said of the file.

What was agreed to is kept in the user's cache, one small file each: the name, and where the code lay that it stands
for. So the same name in another directory, with other code beside it, is asked for anew.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from ganatomy.errors import BadValue, StudyError
from ganatomy.files import write_text
from ganatomy.registry import split_name
from ganatomy.weights.known import cache_directory

DATA = (
    *("bundled", "diffusers", "discriminator", "exported", "planted", "progan", "realnvp", "repaired", "stylegan"),
    *("torchscript", "vae"),
    *("ade20k", "clipseg", "colors", "hf", "labels", "unet", "unified"),
    *("given",),  # an open model, which cannot be opened by name at all
)
"""Families that read data and run nothing but our own code; those of plug-ins may do anything."""
AROUND = ("basis", "parts")
"""Families that open another, whose name follows the colon."""
DEEPEST = 8
"""So many of these may lie in each other; nobody needs two."""
FETCHED = ("clipseg", "diffusers", "hf")
"""Families whose argument, unless it is a directory, is looked for on the network."""
CODE = ("torch", "classifier")
"""Families that run the Python code that they name."""


def runs_code(name: str) -> bool:
    """Say whether to open a name runs Python code that is not ours.

    >>> runs_code("basis:torch:mycode:net?layer=a"), runs_code("progan:church.pth"), runs_code("plugin:x")
    (True, False, True)
    """
    return _opened(name)[0] not in DATA or "trust=" in name


def asks(name: str) -> str | None:
    """Return what a name in somebody's file would do that its reader may not want; None if it only reads data.

    >>> asks("repaired:s3://bucket/x"), asks("repaired:runs/x")
    ('fetches a model', None)
    """
    if runs_code(name):
        return "runs code"
    family, argument = _opened(name)
    here = Path(argument).is_dir() or (family == "diffusers" and Path(argument).is_file())
    elsewhere = ":/" in argument or (family in FETCHED and not here)
    return "fetches a model" if elsewhere else None


def check(names: Iterable[str], where: Path) -> None:
    """Refuse to open names that stand in somebody's file, unless its reader agreed to them.

    Args:
        names: of models.
        where: the directory that names them.

    Raises:
        BadValue: one runs code or fetches a model, and nobody agreed to that.
    """
    for name in names:
        if (does := asks(name)) and not _note(name).is_file():
            raise BadValue(
                f"{where} names {name!r}, and to open that {does}; if you know who made it and want that: "
                f"ganatomy trust {where}; in Python, open the models yourself and hand them over"
            )


def agree(names: Iterable[str]) -> list[str]:
    """Keep that a user agreed to open names; return those that needed it.

    Raises:
        StudyError: it cannot be kept.
    """
    needed = [name for name in names if asks(name)]
    for name in needed:
        note = _note(name)
        try:
            write_text(note, json.dumps({"name": name, "code": _origin(name)}) + "\n")
        except OSError as error:
            raise StudyError(f"cannot write {note} ({error.strerror}); GANATOMY_CACHE names another place") from error
    return needed


def _opened(name: str) -> tuple[str, str]:
    """Return the family that is opened in the end, and its argument."""
    try:
        family, argument, _ = split_name(name)
    except BadValue:  # which nothing opens
        return "", ""
    for _ in range(DEEPEST):
        if family not in AROUND:
            break
        family, _, argument = argument.partition(":")
    return family, argument


def _note(name: str) -> Path:
    said = hashlib.sha256(json.dumps([name, _origin(name)]).encode()).hexdigest()
    return cache_directory() / "trusted" / f"{said[:32]}.json"


def _origin(name: str) -> str:
    """Return where the module lies that a name takes its code from, looked for as an import would; "" for none."""
    family, argument = _opened(name)
    package = argument.partition(":")[0].partition(".")[0]
    if family not in CODE or not package.isidentifier():
        return ""
    found = PathFinder.find_spec(package, [str(Path.cwd()), *sys.path])
    places = [] if found is None else [found.origin or "", *(found.submodule_search_locations or [])]
    return " ".join(places)
