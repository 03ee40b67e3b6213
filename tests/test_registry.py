"""Names are data: looked up, split and converted, never evaluated."""

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from ganatomy import registry as module
from ganatomy.errors import BadValue, UnknownName
from ganatomy.registry import Registry, convert

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
    ("spec", "error", "says"),
    [
        ("sqare:x", UnknownName, "unknown shape 'sqare'; did you mean square"),
        ("square:x?sied=3", UnknownName, "unknown option of square 'sied'; did you mean side"),
        ("square:x?device=gpu", UnknownName, "unknown option of square 'device'"),
        ("square:x?side=big", BadValue, "option side='big' is not of type int"),
        ("square:x?top=big", BadValue, "option top='big' is not of type int"),
        ("square:x?round=maybe", BadValue, "option round='maybe' is not of type bool"),
        ("square:x?side=__import__('os')", BadValue, "is not of type int"),
        ("", UnknownName, "unknown shape ''; there are: free, square"),
    ],
)
def test_mistakes_are_told(registry: Registry[Opened], spec: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        registry.open(spec)


def test_paths_are_taken_as_they_are(registry: Registry[Opened]) -> None:
    assert registry.open("free:c++/a%20b?weights=d++/x%2F=y.pt&&") == (
        "c++/a%20b",
        {"side": 1, "weights": "d++/x%2F=y.pt"},
    )


def test_what_the_caller_sets_is_no_option(registry: Registry[Opened]) -> None:
    with pytest.raises(UnknownName, match="option of free 'side'"):
        registry.make("free", "x", {"side": "3"}, side=9)


def test_packages_add_families(registry: Registry[Opened], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("round", f"{__name__}:plugged", "ganatomy.shapes")

    def entries(group: str, name: str | None = None) -> list[EntryPoint]:
        return [entry] if group == "ganatomy.shapes" and name in (None, "round") else []

    monkeypatch.setattr(module, "entry_points", entries)
    assert registry.names() == ["free", "round", "square"]
    assert registry.open("round:x?side=2") == ("x", {"side": 2})


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
