"""The oldest versions are those that the requirements name."""

import re
import tomllib
from pathlib import Path

import pytest
from lower_bounds import PROJECT, lower_bounds
from packaging.requirements import Requirement

TABLE = Path(__file__).parents[2] / "docs" / "install.md"


def test_they_are_the_least_that_every_requirement_allows() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    bounds = dict(line.split("==") for line in lower_bounds(project))
    for text in project["dependencies"] + project["optional-dependencies"]["hf"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(bounds[wanted.name]), text
        assert not wanted.specifier.contains(f"{bounds[wanted.name]}.dev0", prereleases=True), text
    assert not {"pytest", "sphinx", "ganatomy"} & bounds.keys()


def test_the_guide_names_them() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    bounds = dict(line.split("==") for line in lower_bounds(project))
    bounds |= {"python": project["requires-python"].removeprefix(">="), "pytorch": bounds["torch"]}
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| [\d.]+ \|$", TABLE.read_text(encoding="utf-8"), re.M)
    assert len(rows) == 4
    assert {name: bounds[name.lower()] for name, _ in rows} == dict(rows)


def test_a_requirement_without_one_is_refused() -> None:
    with pytest.raises(ValueError, match="'torch<3' is no name>=version"):
        lower_bounds({"name": "x", "dependencies": ["torch<3"]})
