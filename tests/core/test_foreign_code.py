"""Modules by name: what is found, what is refused, and how it is said."""

import sys
from pathlib import Path

import pytest
import torch
from mistakes import mistake

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.foreign_code import foreign_errors, instantiate

SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width: int, scale: float | None = None, bias=True):
        super().__init__()
        self.facts = (width, scale, bias)

ready = torch.nn.Identity()
number = 3

def loud(**options):
    print("hello")
    return lambda x: options

def broken():
    raise RuntimeError("first\\nsecond")

def leaves():
    raise SystemExit(3)

def returns_none():
    pass

def unannotated(width, name="x"):
    return torch.nn.Conv2d(width, width, 1)

def listed(widths: list[int]):
    return torch.nn.Conv2d(*widths, 1)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module in the current directory; its name is new for each test, as imports are remembered."""
    name = "mod_" + "".join(c if c.isalnum() else "_" for c in request.node.name)
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return name


def test_options_are_converted_by_annotation_and_default(here: str) -> None:
    assert instantiate(f"{here}:Net", {"width": "8", "scale": "0.5", "bias": "no"}).facts == (8, 0.5, False)


def test_the_search_path_is_left_as_it_was(here: str) -> None:
    before = list(sys.path)
    instantiate(f"{here}:Net", {"width": "8"})
    with pytest.raises(UnknownName):
        instantiate(f"{here}:None", {})
    assert sys.path == before


def test_a_finished_module_is_used_as_it_is(here: str) -> None:
    assert isinstance(instantiate(f"{here}:ready", {}), torch.nn.Identity)
    with mistake("bad-value", f"{here}:ready", "a"):
        instantiate(f"{here}:ready", {"a": "1"})


def test_what_it_prints_goes_to_stderr(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert instantiate(f"{here}:loud", {"a": "1"})(None) == {"a": "1"}
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("name", "options", "code", "fact"),
    [
        ("Nett", {}, "unknown-name", "Net?"),
        ("number", {}, "bad-model", "int"),
        ("Net", {}, "bad-value", "?width=VALUE"),
        ("Net", {"width": "8", "heigth": "1"}, "unknown-name", "heigth"),
        ("Net", {"width": "wide"}, "bad-value", "width='wide'"),
        ("broken", {}, "bad-model", "RuntimeError: first"),
        ("leaves", {}, "bad-model", "SystemExit: 3"),
        ("returns_none", {}, "bad-model", "NoneType"),
        ("", {}, "bad-value", "package.module:callable"),
    ],
)
def test_mistakes_are_told_in_one_line(here: str, name: str, options: dict[str, str], code: str, fact: str) -> None:
    with mistake(code, fact):
        instantiate(f"{here}:{name}", options)


def test_a_module_that_does_not_exist(here: str) -> None:
    with mistake("unknown-name", here):
        instantiate(f"{here}x:Net", {})
    with mistake("unknown-name", "ganatomy.report"):
        instantiate("ganatomy.reprot:Net", {})


def test_a_module_that_lacks_its_own_import(here: str) -> None:
    Path("needy.py").write_text("import not_there_at_all")
    with mistake("bad-model", "needy", "ModuleNotFoundError", "not_there_at_all"):
        instantiate("needy:Net", {})


def test_guarded_lets_our_own_errors_pass() -> None:
    with pytest.raises(BadValue, match=r"^ours$"), foreign_errors("anything"):
        raise BadValue("ours")


@pytest.mark.parametrize(
    ("name", "options", "fact"),
    [
        ("unannotated", {"width": "64", "name": "a"}, "width='64'"),
        ("listed", {"widths": "64,32"}, "widths='64,32'"),
        ("broken", {}, "RuntimeError: first"),
    ],
)
def test_options_that_stay_text_are_named_when_calling_fails(
    here: str, name: str, options: dict[str, str], fact: str
) -> None:
    with mistake("bad-model", fact):
        instantiate(f"{here}:{name}", options)
