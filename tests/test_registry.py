"""Names are data: looked up, split and converted, never evaluated."""

import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mistakes import mistake

from ganatomy.core import registry as module
from ganatomy.core.errors import UnknownName
from ganatomy.core.registry import Family, Registry, convert, encoded, family_of, join_name, split_name
from ganatomy.models.features import FEATURES
from ganatomy.models.generators import GENERATORS
from ganatomy.models.segmenters import SEGMENTERS

Opened = tuple[str, dict[str, object]]


@pytest.fixture
def registry() -> Registry[Opened]:
    shapes: Registry[Opened] = Registry("shape")

    @shapes.register("square")
    def square(
        argument: str,
        *,
        device: str = "cpu",
        side: int = 1,
        scale: float = 1.0,
        round: bool = False,
        top: int | None = None,
    ) -> Opened:
        return argument, {"device": device, "side": side, "scale": scale, "round": round, "top": top}

    @shapes.register("free")
    def free(argument: str, *, side: int = 1, **options: str) -> Opened:
        return argument, {"side": side, **options}

    @shapes.register("named")
    def named(argument: str, *, side: int = 1, **options: str) -> Opened:
        for key in options:
            if key != "width":
                raise UnknownName(f"option of {argument}", key, ["width"])
        return argument, {}

    return shapes


def test_options_are_converted_by_their_annotations(registry: Registry[Opened]) -> None:
    argument, options = registry.open("square:a/b:c.pth?side=3&scale=1e-2&round=yes&top=5", device="gpu")
    assert argument == "a/b:c.pth"
    assert options == {"device": "gpu", "side": 3, "scale": 0.01, "round": True, "top": 5}
    assert registry.open("square") == ("", {"device": "cpu", "side": 1, "scale": 1.0, "round": False, "top": None})


def test_free_options_stay_text(registry: Registry[Opened]) -> None:
    assert registry.open("free:x?side=2&width=3&empty=") == ("x", {"side": 2, "width": "3", "empty": ""})
    assert registry.make("free", "x", {"width": "3"}, side=9) == ("x", {"side": 9, "width": "3"})


@pytest.mark.parametrize(
    ("spec", "code", "fact"),
    [
        ("sqare:x", "unknown-name", "square"),
        ("square:x?sied=3", "unknown-name", "option of square 'sied'"),
        ("square:x?device=gpu", "unknown-name", "option of square 'device'"),
        ("square:x?side=big", "bad-value", "side='big'"),
        ("square:x?top=big", "bad-value", "top='big'"),
        ("square:x?side=1&side=2", "bad-value", "'1' and '2'"),
        ("free:m:net?weights=/a & b/x.pt", "bad-value", "%26"),
        ("free:x?side", "bad-value", "side=VALUE"),
        ("named:x?sied=3&width=2", "unknown-name", "option of x 'sied'"),
        ("named:x?zzz=3", "unknown-name", "width, side"),
        ("square:x?round=maybe", "bad-value", "round='maybe'"),
        ("square:x?side=__import__('os')", "bad-value", "__import__"),
        ("", "unknown-name", "free, named, square"),
    ],
)
def test_mistakes_are_told(registry: Registry[Opened], spec: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        registry.open(spec)


def test_paths_may_be_percent_encoded(registry: Registry[Opened]) -> None:
    assert registry.open("free:c++/a%20b%3F?weights=d++/x%2F=%C3%A9%26y.pt&&") == (
        "c++/a b?",
        {"side": 1, "weights": "d++/x/=é&y.pt"},
    )
    assert registry.open("free:s3://a%20b?words=a%2Cb,100%25") == ("s3://a%20b", {"side": 1, "words": "a%2Cb,100%"})


HARD = ["a & b/x.pt", "a?b/x.pt", "a=b&side=3/x.pt", "a#b/%26 é,.pt", "a%20b/50%.pt", "a%2Cb/ü?&=.pt", "c:d/e&f.pt"]
"""Paths with what means something in a name."""


@pytest.mark.parametrize("path", HARD)
def test_a_file_that_is_there_is_opened_as_it_stands(
    registry: Registry[Opened], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).touch()
    for each in (path, quote(path), quote(path, safe=""), encoded(path)):
        assert registry.open(f"free:m:net?weights={each}&side=2") == ("m:net", {"side": 2, "weights": path})
        assert registry.open(f"free:{each}?side=2") == (path, {"side": 2})
        assert registry.open(f"free:square:{each}") == (f"square:{path}", {"side": 1})


@pytest.mark.parametrize("path", HARD)
def test_names_are_joined_as_they_are_split(path: str) -> None:
    for options in ({}, {"side": "2", "weights": path, "x": ""}):
        assert split_name(join_name("free", path, options)) == ("free", path, options)


def test_what_could_be_two_files_is_refused(
    registry: Registry[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.pt", "x.pt&side=2", "y.pt", "y.pt?side=2"):
        (tmp_path / name).touch()
    for name, code in (("free:m:net?weights=x.pt&side=2", "%26"), ("free:y.pt?side=2", "%3F")):
        with mistake("bad-value", "side=2'", code):
            registry.open(name)
    (tmp_path / "church").mkdir()
    assert registry.open("free:m:net?weights=x.pt&images=scenes:church")[1]["images"] == "scenes:church"
    assert registry.open("free:m:net?weights=x.pt%26side=2") == ("m:net", {"side": 1, "weights": "x.pt&side=2"})


def test_what_the_caller_sets_is_no_option(registry: Registry[Opened]) -> None:
    with mistake("unknown-name", "free", "side"):
        registry.make("free", "x", {"side": "3"}, side=9)


def test_options_of_a_module_with_postponed_annotations(registry: Registry[Opened]) -> None:
    scope: dict[str, Any] = {}
    head = "from __future__ import annotations\n"
    exec(f"{head}def late(_: str, *, side: int = 1, top: int | None = None): return side, top", scope)  # noqa: S102
    registry.register("late")(scope["late"])
    assert registry.open("late:?side=2&top=3") == (2, 3)
    exec(f"{head}def lost(_: str, *, side: Side = 1): return side", scope)  # noqa: S102
    registry.register("lost")(scope["lost"])
    with mistake("bad-model", "lost", "Side"):
        registry.open("lost:?side=2")


@pytest.mark.parametrize(
    ("opener", "facts"),
    [
        (lambda argument, *, side=1: 0, ("(argument, side)", "(argument, /, *, device, side)")),
        (lambda a, device, side=1: 0, ("(a, device, side)", "(a, /, *, device, side)")),
        (lambda a, side=1, *, device: 0, ("(a, side, device)", "(a, /, *, device, side)")),
        (lambda a, **options: 0, ("(a, options)", "(a, /, *, device)")),
        (lambda *, device: 0, ("(device)", "(argument, /, *, device)")),
    ],
)
def test_openers_that_could_not_be_called_are_refused(
    opener: Callable[..., Opened], facts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: Registry[Opened] = Registry("shape", "device")
    with mistake("bad-model", "square", *facts):
        shapes.register("square")(opener)
    assert not shapes._openers
    monkeypatch.setattr(EntryPoint, "load", lambda self: opener)
    monkeypatch.setattr(module, "entries_of", lambda group: {"round": EntryPoint("round", "m:f", group)})
    with mistake("bad-model", "round", *facts):
        shapes.opener("round")


def test_a_family_without_an_argument_refuses_one(registry: Registry[Opened]) -> None:
    registry.register("dot", argument="none")(lambda _, *, side=1: ("", {"side": side}))
    assert registry.open("dot?side=2") == registry.open("dot:?side=2") == ("", {"side": "2"})
    with mistake("bad-value", "dot:x", "dot"):
        registry.open("dot:x")
    with mistake("unknown-name", "nome", "none", "name"):
        registry.register("dot", argument="nome")(plugged)


def test_families_are_entry_points(registry: Registry[Opened], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("round", f"{__name__}:plugged", "ganatomy.shapes")
    monkeypatch.setattr(module, "entries_of", {"ganatomy.shapes": {"round": entry}}.get)
    assert registry.names() == ["free", "named", "round", "square"]
    assert registry.open("round:x?side=2") == ("x", {"side": 2})


def test_families_of_this_package_come_before_others_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = (EntryPoint("a", f"{package}.a:open", "g") for package in ("ganatomy", "theirs"))
    for order in ([own, other], [other, own]):
        monkeypatch.setattr(module, "entry_points", lambda group, order=order: order)
        assert module.entries_of.__wrapped__("g") == {"a": own}


ENTRIES: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())[
    "project"
]["entry-points"]


@pytest.mark.parametrize("group", ENTRIES)
def test_every_built_in_family_is_an_entry_point(group: str) -> None:
    registries = {each.group: each for each in (GENERATORS, SEGMENTERS, FEATURES)}
    for name, value in ENTRIES[group].items():
        opener = EntryPoint(name, value, group).load()
        assert registries[group]._openers[name] is opener
        assert group == FEATURES.group or family_of(opener) != Family(), "its decorator says nothing of it"
    assert {*registries[group]._openers} == {*ENTRIES[group]}
    installed = {each.name: each.value for each in entry_points(group=group) if module.is_built_in(each)}
    assert installed == ENTRIES[group], "install again: make .venv/.developed"


def plugged(argument: str, *, side: int) -> Opened:
    return argument, {"side": side}


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("1", int, 1),
        ("1", float, 1.0),
        ("1", str, "1"),
        ("1", bool, True),
        ("FALSE", bool, False),
        ("1", int | None, 1),
        ("x", str | None, "x"),
    ],
)
def test_text_is_read_as_its_type(text: str, annotation: Callable[..., object], value: object) -> None:
    read = convert("key", text, annotation)
    assert read == value
    assert type(read) is type(value)
