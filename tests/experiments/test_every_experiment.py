"""What every experiment owes: one entry gives a function, a command and a study, and they agree."""

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from spoilt import spoilt_place
from toy_classifier import toy_spec, write_images

import ganatomy
from ganatomy.api import experiments as api
from ganatomy.api.calls import COMMANDS
from ganatomy.cli import main
from ganatomy.cli.arguments import build
from ganatomy.experiments.base import EXPERIMENTS, NAMED, Option, experiment
from ganatomy.study import spec_digest

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

import api_signatures

ASKED: dict[str, dict[str, Any]] = {
    "ablate": {"layer": "layer2", "units": [10], "concept": "ball"},
    "unit_effects": {"layer": "layer2"},
    "insert": {"layer": "layer2", "units": [10], "concept": "ball", "pool": 16},
    "context": {"layer": "layer2", "units": [10], "concept": "ball", "cell": 8, "pool": 16},
    "apply_edits": {"edit": "edit.json"},
    "ace": {"layer": "layer2", "concept": "ball", "pool": 32, "train": 8, "held": 4, "candidates": 8, "steps": 2,
            "pairs": 2, "random": 1, "places": 2, "sizes": [1, 2], "controls": [2], "top": 2},
    "capacity": {"layers": ["layer2"], "concept": "ball", "tops": [2], "cells": [4], "pool": 16},
    "best_setting": {"layers": ["layer2"], "concept": "ball", "cell": 4, "pool": 16},
    "trace": {"layer": "layer2", "units": [10], "concept": "ball", "cell": 8, "pool": 16},
    "accuracy": {"layer": "see", "units": [0]},
    "unit_accuracy": {"layer": "see", "sizes": [1, 2]},
    "artifacts": {"layer": "layer1", "real": "real", "features": "unet:net.safetensors", "reals": 60, "top": 20},
    "quality": {"real": "real", "features": "unet:net.safetensors", "reals": 60, "textures": 20},
    "repair": {"layer": "layer1", "real": "real", "features": "unet:net.safetensors", "reals": 60, "top": 20,
               "units": [1], "textures": 0, "random": 1},
}  # fmt: skip
"""A small run of each; a new experiment has a line here."""
IMAGES = {"artifacts": 60, "quality": 60, "repair": 60, "accuracy": 60, "unit_accuracy": 60}
EVERY = pytest.mark.parametrize("name", EXPERIMENTS)
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies, real images, a feature network, and edits: what a run of any experiment takes."""
    place = tmp_path_factory.mktemp("every")
    spoilt_place(place)
    (place / "study").rename(place / "painter")
    given: dict[str, Any] = {"segmenter": "planted", "images": 40, "layers": ["layer1", "layer2"], "batch": 8}
    ganatomy.dissect("planted", out=place / "study", **given)
    images = write_images(place / "toys", 60)
    ganatomy.dissect(toy_spec(images), segmenter=f"labels:{images}", images=30, out=place / "classifier")
    found = ganatomy.ablate(place / "study", layer="layer2", units=[3], images=4, out=place / "ablated")
    (place / "edit.json").write_bytes((found.study.directory / "edit.json").read_bytes())
    return place


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run an experiment as a function."""
    monkeypatch.chdir(place)

    def call(name: str, out: str, **more: Any) -> Any:
        function, asked = getattr(ganatomy, name), {"images": IMAGES.get(name, 4), "batch": 4, **ASKED[name], **more}
        return function(study(name), out=out, **asked)

    return call


def study(name: str) -> str:
    return "study" if experiment(name).draws else "classifier"


def command_of(name: str) -> tuple[str, list[str]]:
    """Return the verb of an experiment, and what chooses it."""
    for verb, group in COMMANDS.items():
        for each in group:
            if each.function.__name__ == name:
                option, value = each.switch
                return verb, [f"--{option}", value] if value else [f"--{option}"] if option else []
    raise AssertionError(f"{name} has no command")


def as_arguments(name: str, out: str) -> list[str]:
    verb, chosen = command_of(name)
    asked = {"images": IMAGES.get(name, 4), "batch": 4, **ASKED[name]}
    given = [
        part
        for key, value in asked.items()
        for part in (f"--{key}", ",".join(map(str, value)) if isinstance(value, list) else str(value))
    ]
    return [verb, study(name), *chosen, *given, "--out", out]


@EVERY
@pytest.mark.slow
def test_the_function_and_the_command_give_the_same_tables(
    name: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(name, f"{name}-python")
    assert isinstance(found, experiment(name).result)
    assert main([*as_arguments(name, f"{name}-command"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    again = experiment(name).result.open(Path(f"{name}-command"))
    assert spec_digest(found.spec) == spec_digest(again.spec)
    for field in dataclasses.fields(found):
        table = getattr(found, field.name)
        if isinstance(table, pd.DataFrame) and field.name != "history":  # of ACE: it has times
            pd.testing.assert_frame_equal(table, getattr(again, field.name))
            assert field.name == "places" or len(told[field.name]) == len(table)
    assert Path(told["report"]).stat().st_size > 5000
    assert repr(found).startswith(f"<{type(found).__name__} of ")
    assert "?\n" in found.summary(), "its question, and the answer"
    assert "<h3>" in found._repr_html_()
    assert isinstance(found.table, pd.DataFrame)
    assert type(ganatomy.open(found.study.directory)) is type(found)


@EVERY
@pytest.mark.slow
def test_a_finished_study_is_found_and_nothing_is_drawn(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(name, f"{name}-python")

    def drawn(*_: object) -> None:
        raise AssertionError("a shard was counted again")

    monkeypatch.setattr("ganatomy.study.count_all", drawn)
    run(name, f"{name}-python")
    again = run(name, f"{name}-python", batch=2, shard=7)
    assert again.study.run_json["batch"] != 2, "it keeps the batch that it was begun with"


@EVERY
def test_an_unknown_option_is_one_line(name: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ganatomy.UnknownName, match=r"unknown option of .*'imges'; did you mean images"):
        run(name, "none", imges=3)
    assert main([*as_arguments(name, "none"), "--imges", "3"]) == 2
    assert "unknown option of ganatomy" in capsys.readouterr().err
    assert not Path("none").exists()


@EVERY
@pytest.mark.parametrize(("option", "value"), [("images", "12"), ("seed", 1.5), ("batch", [4])])
def test_a_value_of_another_type_is_one_line(name: str, option: str, value: Any, place: Path) -> None:
    given = {"study": place / study(name), **ASKED[name], option: value}
    with pytest.raises(ganatomy.GanatomyError, match=f"{option}="):
        getattr(ganatomy, name)(given.pop("study"), **given)


@EVERY
def test_every_field_of_the_spec_is_reachable_and_documented(name: str) -> None:
    entry, function = experiment(name), getattr(api, name)
    options = {option.name: option for option in entry.options()}
    fields = {field.name for field in dataclasses.fields(entry.spec)}
    assert fields <= options.keys() | entry.filled | NAMED
    assert entry.filled <= fields, "what is filled is a field"
    parameters = inspect.signature(function).parameters
    verb, chosen = command_of(name)
    text = " ".join(_help(verb).split())
    for option in options.values():
        assert option.text, option.name
        assert f"{option.name}" in (function.__doc__ or "")
        assert parameters[option.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert flag(option) in text, f"ganatomy {verb} {' '.join(chosen)} has no {flag(option)}"


def flag(option: Option) -> str:
    return "--shard-size" if option.name == "shard" else f"--{option.name.replace('_', '-')}"


def _help(verb: str) -> str:
    parser = build()
    group = next(action for action in parser._actions if action.dest == "==SUPPRESS==" or action.choices)
    assert group.choices is not None
    return str(group.choices[verb].format_help())  # type: ignore[index, call-overload]


def test_what_is_generated_is_as_it_would_be_written() -> None:
    for path, write in api_signatures.WRITTEN.items():
        assert path.read_text(encoding="utf-8") == write(), "run recipes/api_signatures.py"


@EVERY
def test_every_field_of_the_spec_changes_the_digest(name: str) -> None:
    kind = experiment(name).spec
    names = [field.name for field in dataclasses.fields(kind)]

    def digest(changed: str) -> str:
        spec = object.__new__(kind)  # no field is checked
        for each in names:
            object.__setattr__(spec, each, [each, each == changed])
        return spec_digest(spec)

    assert len({digest(each) for each in ("", *names)}) == 1 + len(names)
