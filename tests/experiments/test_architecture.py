"""What docs/architecture.md shows as code runs as it stands."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ganatomy
from ganatomy.api.calls import run_experiment
from ganatomy.experiments.base import EXPERIMENTS
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.causal.page import causal_html

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


@pytest.fixture
def saliency(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the example of an experiment, where the page says that it lies."""
    name = "ganatomy.experiments.causal.saliency"
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "SALIENCY" in each)
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(EXPERIMENTS, "saliency", "causal.saliency:SALIENCY")  # type: ignore[arg-type]
    exec(compile(code, str(PAGE), "exec"), vars(module))  # noqa: S102
    return module


def test_the_example_of_an_experiment_measures_saliency(
    saliency: ModuleType, planted: Dissection, tmp_path: Path
) -> None:
    def run(out: str, **more: Any) -> Any:
        given = {"study": planted.study.directory, "layer": "layer1", "images": 6, "probes": 60, **more}
        return run_experiment("saliency", {**given, "out": tmp_path / out})

    found, again = run("one", shard=6, batch=6), run("other", shard=4, batch=2)
    assert found.table.saliency.to_numpy() == pytest.approx(again.table.saliency.to_numpy())
    generator = ganatomy.open_generator("planted")
    z = generator.latents(range(found.spec.first, found.spec.first + 6), 0)
    r = generator.observe(z, ["layer1"]).features["layer1"]
    unit = int(found.table.unit[0])
    total = 0.0
    for y in range(r.shape[2]):  # the planted generator is not smooth, so the slope is taken over a tiny step
        for x in range(r.shape[3]):
            moved = r.clone()
            moved[:, unit, y, x] += 1e-3
            slope = (generator.render(moved, "layer1", z) - generator.render(r, "layer1", z)) / 1e-3
            total += slope.square().sum((1, 2, 3))
    assert found.table.saliency[0] == pytest.approx(float(total.sqrt().mean()), rel=0.1)
    page = causal_html(found)
    assert "On which units of layer1 does the image depend most?" in page
    assert "compared with real" not in page
    assert "ablated or set" not in page
