"""Mistakes are told in one line, and the tree in the docstring is the tree."""

import inspect
from pathlib import Path

import pytest

from ganatomy.core import errors
from ganatomy.core.errors import GanatomyError, UnknownName


def test_close_names_are_suggested() -> None:
    known = ["bundled:church", "bundled:livingroom", "progan"]
    assert str(UnknownName("generator", "bundled:churhc", known)) == (
        "unknown generator 'bundled:churhc'; did you mean bundled:church?"
    )
    assert str(UnknownName("layer", "layer", ["layer1", "layer2"])).endswith("did you mean layer2 or layer1?")


def test_else_what_exists_is_listed() -> None:
    assert str(UnknownName("layer", "x", [])) == "unknown layer 'x'; there are none"
    assert str(UnknownName("layer", "x", ["conv", "relu"])).endswith("there are: conv, relu")
    long = str(UnknownName("layer", "x", [f"conv{i}" for i in range(30)]))
    assert long.endswith("conv11 and 18 more")


def test_what_was_looked_up_is_kept() -> None:
    error = UnknownName("layer", "x", iter(["a", "b"]))
    assert (error.kind, error.given, error.known) == ("layer", "x", ("a", "b"))


def test_the_tree_is_drawn_as_it_is() -> None:
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, GanatomyError):
            assert name in (errors.__doc__ or ""), f"{name} is not in the drawing"
    assert issubclass(errors.StudyBusy, errors.StudyError)
    assert issubclass(errors.StudyMismatch, errors.StudyError)
    with pytest.raises(GanatomyError):
        raise UnknownName("layer", "x", [])


def test_every_kind_has_a_code_that_the_guide_lists() -> None:
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, GanatomyError)]
    codes = [each.code for each in kinds]
    assert len(set(codes)) == len(kinds)
    assert UnknownName("layer", "x", []).code == "unknown-name"
    guide = (Path(__file__).parents[1] / "docs" / "bad-input.md").read_text()
    assert [code for code in codes if f"`{code}`" not in guide] == ["mistake"]
