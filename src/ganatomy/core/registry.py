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

from ganatomy.core.errors import BadModel, BadValue, UnknownName

T = TypeVar("T")
Opener = Callable[..., T]


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


ARGUMENTS = ("file", "directory or hub", "file or hub", "model", "code", "name", "none")
"""What may follow the colon of a name, see `Family`."""


@dataclass(frozen=True)
class Family:
    """What the names of a family mean, as its `register` decorator says.

    Attributes:
        argument: what follows the colon: a ``file`` or directory; a ``directory or hub`` repository, or a ``file or
            hub`` repository; another ``model``; Python ``code`` (package.module:callable); a ``name``, or any other
            word or number that the opener reads itself; ``none``, so that anything is refused.
        data: opening reads data and runs no code but this package's.
        weights: where a name has its file of plain weights: as ``argument``, or as the ``option`` weights.
        fixed: why there is no such file to replace.
        repositories: options that name a directory or hub repository too.
    """

    argument: str = "file"
    data: bool = False
    weights: str = ""
    fixed: str = "its family is not known to take other weights"
    repositories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.argument not in ARGUMENTS:
            raise UnknownName("argument of a family", self.argument, ARGUMENTS)


_FAMILIES: dict[Opener[Any], Family] = {}


def family_of(opener: Opener[Any]) -> Family:
    """Return the facts about the family of an opener; where none were registered, nothing is known of it."""
    return _FAMILIES.get(opener, Family())


@functools.cache
def entries_of(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name; those of this package before others of the same name."""
    return {each.name: each for each in sorted(entry_points(group=group), key=is_built_in)}


def is_built_in(entry: EntryPoint) -> bool:
    """Return whether an entry point is of this package."""
    return entry.value.startswith("ganatomy.")


class Registry(Generic[T]):
    """Families of models by name; each has an opener, a function that takes what follows the colon.

    A spec reads ``family:argument?key=value&key=value``, see `split_name`. It is data: values are converted by the
    annotations of the opener's keyword-only parameters (str, int, float, bool, or one of these or None), not evaluated.
    Families, also those of this package, are entry points of the group ``ganatomy.<kind>s``, with _ for spaces.

    >>> shapes: Registry[str] = Registry("shape")
    >>> @shapes.register("square")
    ... def square(argument: str, *, side: int = 1) -> str:
    ...     return f"{argument} {side * side}"
    >>> shapes.open("square:area?side=3")
    'area 9'
    """

    def __init__(self, kind: str, *passed: str) -> None:
        """Make a registry of models of a kind, whose openers are passed these keywords whatever the spec says."""
        self.kind, self.passed = kind, passed
        self.group = f"ganatomy.{kind.replace(' ', '_')}s"
        self._openers: dict[str, Opener[T]] = {}

    def register(self, name: str, **facts: Any) -> Callable[[Opener[T]], Opener[T]]:
        """Add a family, by a decorator on its opener; `facts` are the fields of `Family`.

        Raises:
            BadModel: the opener has no keywords that are always passed, or options that are not keyword-only.
        """

        def add(opener: Opener[T]) -> Opener[T]:
            _FAMILIES[opener] = Family(**facts)
            self._openers[name] = self._checked(name, opener)
            return opener

        return add

    def names(self) -> list[str]:
        """Return the names of all families, of this package and of others."""
        return sorted(entries_of(self.group).keys() | self._openers.keys())

    def opener(self, name: str) -> Opener[T]:
        """Return the opener of a family.

        Raises:
            UnknownName: no such family.
            BadModel: see `register`.
        """
        if name not in self._openers:
            if name not in (entries := entries_of(self.group)):
                raise UnknownName(self.kind, name, self.names())
            self._openers[name] = self._checked(name, entries[name].load())
        return self._openers[name]

    def open(self, spec: str, **extra: Any) -> T:
        """Open what the spec names; `extra` keywords are passed to the opener.

        Raises:
            UnknownName: no such family or option.
            BadValue: an option's text is not of its type, or `split_name` refuses the name, or it has an argument where
                its family takes none.
        """
        return self.make(*split_name(spec), **extra)

    def make(self, family: str, argument: str, options: Mapping[str, str], **extra: Any) -> T:
        """Open the model of a family, its argument and the text of its options.

        Raises:
            UnknownName: no such family or option.
            BadValue: an option's text is not of its type, or the family takes no argument.
            BadModel: the annotations of the opener cannot be read.
        """
        opener = self.opener(family)
        if argument and family_of(opener).argument == "none":
            raise BadValue(f"{family}:{argument}: write {family} alone, it takes no argument")
        try:
            parameters = inspect.signature(opener, eval_str=True).parameters  # also where annotations are postponed
        except NameError as error:
            raise BadModel(
                f"{self.kind} {family!r}: annotations of its opener tell the types of its options, but {error}; "
                "import that name where its module runs, not under TYPE_CHECKING alone"
            ) from None
        free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = {
            n: p.annotation for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n not in {"device", *extra}
        }
        for key in options:
            if key in extra or (key not in known and not free):
                raise UnknownName(f"option of {family}", key, known)
        converted = {key: convert(key, text, known.get(key, str)) for key, text in options.items()}
        try:
            return opener(argument, **converted, **extra)
        except UnknownName as error:
            if error.given not in options or error.given in known or not error.kind.startswith("option of "):
                raise
            raise UnknownName(error.kind, error.given, dict.fromkeys([*error.known, *known])) from None

    def _checked(self, name: str, opener: Opener[T]) -> Opener[T]:
        """Return an opener, if it can be called as `make` does and its options are found there."""
        parameters = inspect.signature(opener).parameters
        given = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        keywords = [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
        if len(given) != 1 or not {*self.passed} <= {*keywords}:
            first, *others = given or ["argument"]
            expected = ", ".join([first, "/", "*", *dict.fromkeys([*self.passed, *others, *keywords])])
            raise BadModel(
                f"{self.kind} {name!r}: its opener takes ({', '.join(parameters)}), expected one argument, and "
                f"{' and '.join([*self.passed, 'options'])} as keywords alone; write ({expected})"
            )
        return opener


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
