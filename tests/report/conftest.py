"""A small dissection that every test of the report looks at, and small causal studies that stand on it."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import small_run

import ganatomy
from ganatomy.experiments.base import EXPERIMENTS
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.html import write_report


@pytest.fixture(scope="session")
def dissection(dissect_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return dissect_once(tmp_path_factory.mktemp("planted") / "study", images=64)


@pytest.fixture(scope="session")
def page(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(dissection, path)
    return path


@pytest.fixture(scope="session")
def source(dissection: Dissection) -> DissectedModel:
    return open_source(dissection.study.directory)


def result(name: str, **options: Any) -> Any:
    """Return a fixture: the result of an experiment on the dissection."""

    @pytest.fixture(scope="session")
    def found(dissection: Dissection) -> Any:
        return getattr(ganatomy, name)(dissection, **options)

    return found


BALL = {"layer": "layer2", "concept": "ball", "top": 2}
REAL = {"real": "scenes:church", "features": "torch:tiny_features:Means", "images": 40, "reals": 20}
RANKED = {"layer": "layer2", "top": 14, **REAL}
POOL = {"pool": 32, **BALL}
ACE = {"pool": 32, "train": 8, "held": 4, "candidates": 16, "steps": 2, "pairs": 2, "random": 2, "sizes": (1, 2, 3)}
CONTEXT = {"stride": 4, "draws": 20, "allowed": ("sky",), "forbidden": ("box",)}
LAYERS = {"layers": ["layer2"], "concept": "ball", "tops": (2,), "cells": (1, 4), "multiples": (1.0,), "pool": 32}

ablation = result("ablate", images=16, show=2, random=2, **BALL)
insertion = result("insert", at=(0, 4, 1, 11), images=8, show=1, random=1, **POOL)  # of 16 x 16 places
unit_effects = result("unit_effects", layer="layer1", images=4)
ace = result("ace", schedule="quick", images=8, **{**BALL, "top": 3}, **ACE)
context = result("context", images=4, cell=2, show=2, **POOL, **CONTEXT)
capacity = result("capacity", images=12, **LAYERS)
trace = result("trace", images=4, places=4, cell=4, show=1, shard=4, **POOL)
artifacts = result("artifacts", **RANKED)
quality = result("quality", textures=8, **REAL)
repair = result("repair", worst=2, units=[0], first=1_000_040, textures=8, random=2, show=2, **RANKED)


@pytest.fixture(scope="session")
def result_of(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """The result of any experiment, by its name: the study above that tests look into, or else its small run."""

    def found(name: str) -> Any:
        above = {"ablate": "ablation", "insert": "insertion"}.get(name, name)
        if above in globals():
            return request.getfixturevalue(above)
        with contextlib.chdir(request.getfixturevalue("small_place")):
            result = small_run(name)
            return type(result).open(result.study.directory.resolve())

    return found


@pytest.fixture(scope="session")
def results(result_of: Callable[[str], Any]) -> list[Any]:
    return [result_of(name) for name in EXPERIMENTS]
