"""A small dissection that every test of the report looks at, and small causal studies that stand on it."""

from pathlib import Path
from typing import Any

import pytest

from ganatomy.experiments.artifacts import Artifacts, run_artifacts
from ganatomy.experiments.causal.ace import Ace, run_ace
from ganatomy.experiments.causal.ace_spec import scheduled
from ganatomy.experiments.causal.capacity import Capacity, CapacitySpec, run_capacity
from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.effects import Effect, EffectSpec, run_effect
from ganatomy.experiments.causal.source import Source, open_source
from ganatomy.experiments.causal.trace import Trace, TraceSpec, run_trace
from ganatomy.experiments.causal.unit_effects import UnitEffects, UnitEffectSpec, run_unit_effects
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.quality import Quality, QualitySpec, run_quality
from ganatomy.experiments.real_comparison import ArtifactSpec
from ganatomy.experiments.repair import Repair, RepairSpec, run_repair
from ganatomy.report.html import write_report

LAYER = "layer2"
REAL = {"real": "scenes:church", "features": "torch:tiny_features:Means", "images": 40, "reals": 20}


@pytest.fixture(scope="session")
def dissection(dissect_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return dissect_once(tmp_path_factory.mktemp("planted") / "study", images=64)


@pytest.fixture(scope="session")
def page(dissection: Dissection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(dissection, path)
    return path


@pytest.fixture(scope="session")
def source(dissection: Dissection) -> Source:
    return open_source(dissection.study.directory)


@pytest.fixture(scope="session")
def balls(source: Source) -> dict[str, Any]:
    """Fields of a Spec: the two units of greatest IoU with ball."""
    units = tuple(source.ious(LAYER, "ball").topk(2).indices.tolist())
    return {
        **source.names(),
        "layer": LAYER,
        "concept": "ball",
        "units": units,
        "chosen": "top 2 for ball by iou",
    }


@pytest.fixture(scope="session")
def ablation(source: Source, balls: dict[str, Any]) -> Effect:
    spec = EffectSpec(**balls, kind="ablate", images=16, show=2, random=2)
    return run_effect(spec, source, source.sibling_path(LAYER, "ablate"))


@pytest.fixture(scope="session")
def insertion(source: Source, balls: dict[str, Any]) -> Effect:
    region = (0, 4, 2, 8)  # of 16 x 16 places
    spec = EffectSpec(**balls, kind="insert", images=8, show=1, random=1, region=region, pool=32)
    return run_effect(spec, source, source.sibling_path(LAYER, "insert"))


@pytest.fixture(scope="session")
def unit_effects(source: Source) -> UnitEffects:
    spec = UnitEffectSpec(**source.names(), layer="layer1", images=4)
    return run_unit_effects(spec, source, source.sibling_path("layer1", "each"))


@pytest.fixture(scope="session")
def ace(source: Source) -> Ace:
    options = {"images": 8, "pool": 32, "train": 8, "held": 4, "candidates": 16, "steps": 2, "pairs": 2}
    spec = scheduled(source, "quick", layer=LAYER, concept="ball", top=3, random=2, sizes=(1, 2, 3), **options)
    return run_ace(spec, source, source.sibling_path(LAYER, "ace"))


@pytest.fixture(scope="session")
def context(source: Source, balls: dict[str, Any]) -> Context:
    expected = {"allowed": ("sky",), "forbidden": ("box",)}
    spec = ContextSpec(**balls, images=4, cell=2, stride=4, show=2, pool=32, draws=20, **expected)
    return run_context(spec, source, source.sibling_path(LAYER, "context"))


@pytest.fixture(scope="session")
def capacity(source: Source, balls: dict[str, Any]) -> Capacity:
    names = {name: balls[name] for name in ("dissection", "generator", "segmenter", "layer", "concept")}
    sets = ((LAYER, "iou", balls["units"]),)
    spec = CapacitySpec(**names, sets=sets, cells=(1, 4), multiples=(1.0,), images=12, pool=32)
    return run_capacity(spec, source, source.sibling_path(LAYER, "capacity"))


@pytest.fixture(scope="session")
def trace(source: Source, balls: dict[str, Any]) -> Trace:
    spec = TraceSpec(**balls, images=4, places=4, cell=4, show=1, pool=32)
    return run_trace(spec, source, source.sibling_path(LAYER, "trace"))


@pytest.fixture(scope="session")
def artifacts(source: Source) -> Artifacts:
    spec = ArtifactSpec(**source.names(), layer=LAYER, **REAL, top=14)
    return run_artifacts(spec, source, source.sibling_path(LAYER, "artifacts"))


@pytest.fixture(scope="session")
def quality(source: Source) -> Quality:
    return run_quality(
        QualitySpec(**source.names(), **REAL, textures=8), source, source.sibling_path("image", "quality")
    )


@pytest.fixture(scope="session")
def repair(source: Source, balls: dict[str, Any]) -> Repair:
    sets = (("worst 2", balls["units"]), ("flagged", (0,)))
    spec = RepairSpec(**source.names(), layer=LAYER, sets=sets, **REAL, top=14, textures=8, random=2, show=2)
    return run_repair(spec, source, source.sibling_path(LAYER, "repair"))
