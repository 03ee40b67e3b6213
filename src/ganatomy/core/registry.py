"""Names for things that can be opened: ``progan:church.pth``, ``bundled:church``, ``torch:my.module:net?width=64``."""

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from ganatomy.core.errors import BadValue, UnknownName

T = TypeVar("T")
Factory = Callable[..., T]


class Name(NamedTuple):
    """A name in parts: the family, what follows the colon, and the options as text."""

    family: str
    argument: str
    options: Mapping[str, str]


def split_name(name: str) -> Name:
    """Parse a name; paths in it may be percent-encoded, ``%26`` for an &, and must be where they are ambiguous.

    A file or folder that exists is taken as it stands, whatever is in its name. ``%2C`` stays as it is unless it is in
    the path of such a file, since commas separate the members of lists. URLs are not decoded here.

    Raises:
        BadValue: an option has no value or is given twice, or two files exist that could be meant.

    >>> split_name("torch:nets:net?weights=a %26 b.pt&width=64")
    Name(family='torch', argument='nets:net', options={'weights': 'a & b.pt', 'width': '64'})
    """
    family, colon, _ = name.partition("?")[0].partition(":")
    argument, query = _split_path(name[len(family + colon) :], "?", inner=True)
    options: dict[str, str] = {}
    while query:
        key, equals, rest = query.partition("=")
        if key.startswith("&"):
            query = query[1:]
            continue
        if not equals or "&" in key:
            word = key.partition("&")[0]
            raise BadValue(f"option {word!r} has no value; write {word.strip()}=VALUE, and an & within a path as %26")
        value, query = _split_path(rest, "&")
        if key in options:
            raise BadValue(f"option {key} is given twice, {options[key]!r} and {value!r}; give it once")
        options[key] = value
    return Name(family, argument, options)


def join_name(family: str, argument: str, options: Mapping[str, str]) -> str:
    """Return the name that `split_name` parses into these.

    >>> join_name("progan", "runs/a?b.pth", {"dtype": "float16"})
    'progan:runs/a%3Fb.pth?dtype=float16'
    """
    query = "&".join(f"{key}={encoded(text, '&')}" for key, text in options.items())
    return f"{family}:{encoded(argument, '?')}" + ("?" + query if query else "")


def encoded(text: str, marks: str = "?&") -> str:
    """Return a path as it stands in a name: with its `marks` percent-encoded, and what looks like such a code."""
    if "://" in text:
        return text
    text = re.sub(r"%(?!2[Cc])(?=[0-9A-Fa-f]{2})", "%25", text)
    return re.sub(f"[{marks}]", lambda mark: f"%{ord(mark[0]):02X}", text)


def _split_path(text: str, mark: str, *, inner: bool = False) -> tuple[str, str]:
    """Return what precedes the first `mark`, or a file with such marks in its name; and what follows it.

    Where `inner`, names of families may precede the file.
    """
    ends = [found.start() for found in re.finditer(re.escape(mark), text)] + [len(text)]
    files = [text[:end] for end in ends if _exists(text[:end], mark, inner=inner)]
    longer = [file for file in files if len(file) > ends[0]]
    if longer and len(files) > 1:
        raise BadValue(f"{files[0]!r} and {files[1]!r} both exist; write the {mark} of a path as %{ord(mark):02X}")
    found = longer[0] if longer else text[: ends[0]]
    rest = text[len(found) + 1 :]
    if "%" not in found or "://" in found or _exists(found, "%", inner=inner):
        return found, rest
    whole = unquote(found)
    return whole if _exists(whole, inner=inner) else unquote(re.sub("%(?=2[Cc])", "%25", found)), rest


def _exists(text: str, mark: str = "", *, inner: bool = False) -> bool:
    """Return whether a path exists, alone or after the names of families, which have no `mark` in them."""
    before = text.partition(mark)[0] if mark else text
    starts = [0] + [found.end() for found in re.finditer(":", before)] * inner
    try:
        return any(Path(path).exists() for start in starts if (path := text[start:]))
    except (OSError, ValueError):  # too long, or with letters that no path has
        return False


@dataclass(frozen=True)
class Family:
    """What the names of a family mean, as its `register` decorator says.

    Attributes:
        argument: what follows the colon: a ``file`` or directory; a ``directory or hub`` repository, or a ``file or
            hub`` repository; another ``model``; Python ``code`` (package.module:callable); a ``name`` of this package.
        data: opening reads data and runs no code but this package's.
        weights: where a name has its file of plain weights: as ``argument``, or as the ``option`` weights.
        fixed: why there is no such file to replace.
    """

    argument: str = "file"
    data: bool = False
    weights: str = ""
    fixed: str = "its family is not known to take other weights"


_FAMILIES: dict[Factory[Any], Family] = {}


def family_of(factory: Factory[Any]) -> Family:
    """Return the facts about the family that a factory opens; where none were registered, nothing is known of it."""
    return _FAMILIES.get(factory, Family())


@functools.cache
def entries_of(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name; those of this package before others of the same name."""
    return {each.name: each for each in sorted(entry_points(group=group), key=is_built_in)}


def is_built_in(entry: EntryPoint) -> bool:
    """Return whether an entry point is of this package."""
    return entry.value.startswith("ganatomy.")


class Registry(Generic[T]):
    """Families of models by name; each family is a factory that takes what follows the colon.

    A spec reads ``family:argument?key=value&key=value``, see `split_name`. It is data: values are converted by the
    annotations of the factory's keyword parameters (str, int, float, bool, or one of these or None), never evaluated.
    Families, also those of this package, are entry points of the group ``ganatomy.<kind>s``, with _ for spaces.

    >>> shapes: Registry[str] = Registry("shape")
    >>> @shapes.register("square")
    ... def square(argument: str, *, side: int = 1) -> str:
    ...     return f"{argument} {side * side}"
    >>> shapes.open("square:area?side=3")
    'area 9'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.group = f"ganatomy.{kind.replace(' ', '_')}s"
        self._factories: dict[str, Factory[T]] = {}

    def register(self, name: str, **facts: Any) -> Callable[[Factory[T]], Factory[T]]:
        """Add a family, by a decorator on its factory; `facts` are the fields of `Family`."""

        def add(factory: Factory[T]) -> Factory[T]:
            self._factories[name] = factory
            _FAMILIES[factory] = Family(**facts)
            return factory

        return add

    def names(self) -> list[str]:
        """Return the names of all families, of this package and of others."""
        return sorted(entries_of(self.group).keys() | self._factories.keys())

    def factory(self, name: str) -> Factory[T]:
        """Return the factory of a family.

        Raises:
            UnknownName: no such family.
        """
        if name not in self._factories:
            if name not in (entries := entries_of(self.group)):
                raise UnknownName(self.kind, name, self.names())
            self._factories[name] = entries[name].load()
        return self._factories[name]

    def open(self, spec: str, **extra: Any) -> T:
        """Open what the spec names; `extra` keywords are passed to the factory.

        Raises:
            UnknownName: no such family or option.
            BadValue: an option's text is not of its type, or `split_name` refuses the name.
        """
        return self.make(*split_name(spec), **extra)

    def make(self, family: str, argument: str, options: Mapping[str, str], **extra: Any) -> T:
        """Open the model of a family, its argument and the text of its options.

        Raises:
            UnknownName: no such family or option.
            BadValue: an option's text is not of its type.
        """
        factory = self.factory(family)
        parameters = inspect.signature(factory).parameters
        free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = {
            n: p.annotation for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n not in {"device", *extra}
        }
        for key in options:
            if key in extra or (key not in known and not free):
                raise UnknownName(f"option of {family}", key, known)
        converted = {key: convert(key, text, known.get(key, str)) for key, text in options.items()}
        try:
            return factory(argument, **converted, **extra)
        except UnknownName as error:
            if error.given not in options or error.given in known or not error.kind.startswith("option of "):
                raise
            raise UnknownName(error.kind, error.given, dict.fromkeys([*error.known, *known])) from None


def convert(key: str, text: str, annotation: Any) -> Any:
    """Return the text of an option as a value of the annotated type.

    Raises:
        BadValue: it is not of that type.
    """
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    try:
        if annotation is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if annotation in (int, float):
            return annotation(text)
    except (KeyError, ValueError):
        raise BadValue(f"option {key}={text!r} is not of type {annotation.__name__}") from None
    return text
