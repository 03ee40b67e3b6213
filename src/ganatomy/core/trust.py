"""Whether a name that stands in a file may be opened: what is only data always, what runs code if its user agreed.

A study and a repair name the models that they were made with, and may come from anybody. To open ``progan:church.pth``
is to read numbers. To open ``torch:os:system?command=…`` is to run whatever that is, so it is opened only

* by who types the name,
* from a file, once the same name was opened by its user, or ``ganatomy trust`` was called on the file.

What was agreed to is kept in the user's cache, one small file each: the name, and the path of the code that it stands
for. So the same name in another directory, with other code, needs consent again.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import BadValue, StudyError
from ganatomy.core.files import write_text
from ganatomy.core.registry import Family, entries_of, family_of, is_built_in, split_name

GROUPS = ("ganatomy.generators", "ganatomy.segmenters")
OPEN_MODEL = "given"
"""What a study writes in place of the family of a model that was open already."""
MAX_DEPTH = 8
"""Names of models within names of models; nobody needs two."""


def runs_code(name: str) -> bool:
    """Return whether to open a name runs Python code that is not ours.

    >>> runs_code("basis:torch:mycode:net?layer=a"), runs_code("progan:church.pth"), runs_code("plugin:x")
    (True, False, True)
    """
    return not all(family.data for family in _innermost(name)[0]) or "trust=" in name


def needs_trust(name: str) -> str | None:
    """Return what opening a name from somebody's file would do that its reader may not want; None if it reads data.

    A repair names another model in its record: who opens that asks again, with its name.

    >>> needs_trust("repaired:s3://bucket/x"), needs_trust("repaired:runs/x")
    ('fetches a model', None)
    >>> needs_trust("basis:progan:x.pth?images=s3://bucket/x")
    'reads from the network'
    """
    if runs_code(name):
        return "runs code"
    families, argument = _innermost(name)
    options = split_name(name).options
    path, kinds = Path(argument), {family.argument for family in families}
    is_local = path.is_dir() or (path.is_file() and "file or hub" in kinds)
    fetched = not is_local and any(kind.endswith("hub") for kind in kinds)
    others = {options[key] for family in families for key in family.repositories if key in options}
    if fetched or ":/" in argument or not all(Path(other).is_dir() for other in others):
        return "fetches a model"
    return "reads from the network" if any(":/" in value for value in options.values()) else None


def require_trust(names: Iterable[str], where: Path) -> None:
    """Refuse to open names of models that the directory `where` names, unless its reader agreed to them.

    Raises:
        BadValue: one runs code or fetches a model, and nobody agreed to that.
    """
    for name in names:
        if (does := needs_trust(name)) and not _note(name).is_file():
            raise BadValue(
                f"{where} names {name!r}, and to open that {does}; if you know who made it and want that: "
                f"ganatomy trust {where}; in Python, open the models yourself and hand them over"
            )


def record_trust(names: Iterable[str]) -> list[str]:
    """Record that a user agreed to open names; return those that needed it.

    Raises:
        StudyError: the record cannot be written.
    """
    needed = [name for name in names if needs_trust(name)]
    for name in needed:
        note = _note(name)
        try:
            write_text(note, json.dumps({"name": name, "code": _code_path(name)}) + "\n")
        except OSError as error:
            raise StudyError(f"cannot write {note} ({error.strerror}); GANATOMY_CACHE names another place") from error
    return needed


def _innermost(name: str) -> tuple[list[Family], str]:
    """Return the families of the model that is opened in the end, one of each kind of model, and its argument."""
    try:
        family, argument, _ = split_name(name)
    except BadValue:  # which nothing opens
        return [Family()], ""
    for _ in range(MAX_DEPTH):
        families = _families(family)
        if all(each.argument != "model" for each in families):
            return families, argument
        family, _, argument = argument.partition(":")
    return [Family()], argument


def _families(name: str) -> list[Family]:
    """Return the facts about built-in families of that name; those of other packages may do anything."""
    if name == OPEN_MODEL:  # which cannot be opened by name at all
        return [Family(data=True)]
    entries = [entry for group in GROUPS if (entry := entries_of(group).get(name)) and is_built_in(entry)]
    return [family_of(entry.load()) for entry in entries] or [Family()]


def _note(name: str) -> Path:
    digest = hashlib.sha256(json.dumps([name, _code_path(name)]).encode()).hexdigest()
    return cache_directory() / "trusted" / f"{digest[:32]}.json"


def _code_path(name: str) -> str:
    """Return the path of the package that a name takes its code from, found as an import would; "" for none."""
    families, argument = _innermost(name)
    package = argument.partition(":")[0].partition(".")[0]
    if all(family.argument != "code" for family in families) or not package.isidentifier():
        return ""
    found = PathFinder.find_spec(package, [str(Path.cwd()), *sys.path])
    return "" if found is None else " ".join([found.origin or "", *(found.submodule_search_locations or [])])
