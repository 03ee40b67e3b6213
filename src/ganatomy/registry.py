"""Names for things that can be opened: ``progan:church.pth``, ``bundled:church``, ``torch:my.module:net?width=64``."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from ganatomy.errors import BadValue, UnknownName

T = TypeVar("T")
Factory = Callable[..., T]


class Registry(Generic[T]):
    """Families of things by name; each family is a factory that takes what follows the colon.

    A spec reads ``family:argument?key=value&key=value``. It is data: values are converted by the annotations of the
    factory's keyword parameters (str, int, float, bool, or one of these or None), never evaluated. Packages add
    families through the entry point group ``ganatomy.<kind>s``, with _ for spaces.

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

    def register(self, name: str) -> Callable[[Factory[T]], Factory[T]]:
        """Add a family; use as a decorator on its factory."""

        def add(factory: Factory[T]) -> Factory[T]:
            self._factories[name] = factory
            return factory

        return add

    def names(self) -> list[str]:
        """Return the names of all families, built in and from plug-ins."""
        plugged = {entry.name for entry in entry_points(group=self.group)}
        return sorted(plugged | self._factories.keys())

    def factory(self, name: str) -> Factory[T]:
        """Return the factory of a family.

        Raises:
            UnknownName: no such family.
        """
        if name not in self._factories:
            for entry in entry_points(group=self.group, name=name):
                self._factories[name] = entry.load()
        if name not in self._factories:
            raise UnknownName(self.kind, name, self.names())
        return self._factories[name]

    def open(self, spec: str, **extra: Any) -> T:
        """Open what the spec names; `extra` keywords go to the factory as they are.

        Raises:
            UnknownName: no such family or option.
            BadValue: an option's text is not of its type.
        """
        head, _, query = spec.partition("?")
        family, _, argument = head.partition(":")
        options = dict(option.partition("=")[::2] for option in query.split("&") if option)
        return self.make(family, argument, options, **extra)

    def make(self, family: str, argument: str, options: Mapping[str, str], **extra: Any) -> T:
        """Open what a family, its argument and the text of its options name; for families that wrap another.

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
        return factory(argument, **converted, **extra)


def convert(key: str, text: str, annotation: Any) -> Any:
    """Read the text of an option as the annotated type.

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
