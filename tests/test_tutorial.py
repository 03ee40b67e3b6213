"""The notebooks of the docs run from top to bottom, and their copies in the docs have their images.

``jupyter execute --inplace docs/NAME.ipynb`` draws them again, when a model is another.
"""

import ast
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter

from ganatomy.models.inversion.optimisation import Optimisation
from ganatomy.training.dictionaries.inverted_pairs import PairSpec

ROOT = Path(__file__).parents[1]
SMALLER = {
    "tutorial": {
        '"bundled:church", images=200': '"bundled:church", images=24, layers=["layer4", "layer6"]',
        'names=["church", "livingroom"]': 'names=["church", "livingroom"], draws=20',
        'layers=["layer5", "layer6"]': 'layers=["layer4", "layer6"]',
        "images=200": "images=24",
        "images=48": "images=8",
        "images=32": "images=8",
        "pool=160": "pool=32",
        '"pool": 160, "images": 32, "steps": 10': '"pool": 32, "images": 8, "steps": 2, **SEARCH',
        '"reals": 600, "images": 1000, "top": 260': '"reals": 30, "images": 60, "top": 20, "features": FEATURES',
    },
    "own_generator": {
        "range(2000)": "range(200)",
        "range(300)": "range(40)",
        "torch.randint(len(pixels), (32,))": "torch.randint(len(pixels), (8,))",
        "losses[::50]": "losses[::10]",
        'layers=["coarse", "middle", "fine"], images=200': 'layers=["coarse", "middle"], images=48, **EASY',
        "images=100": "images=8",
        "pool=500": "pool=48",
    },
    "autoencoder": {
        "features=256, sparsity=16, images=1500": "features=32, sparsity=4, images=64",
        'layers=["layer5"], images=150': 'layers=["layer5"], images=48, **EASY',
        "images=80": "images=8",
        "images=60, edited=16, pairs=2, draws=20": "images=16, edited=4, pairs=2, draws=4",
    },
}
"""What is measured on fewer images than in the docs, and described by 12 numbers instead of 256."""
NOTEBOOKS = pytest.mark.parametrize("name", SMALLER)


@NOTEBOOKS
@pytest.mark.slow
def test_it_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: a kernel would load everything again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # its studies go where the test's other files go
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "report"))
    few, fewer = partial(PairSpec, steps=4, latent_steps=4), partial(Optimisation, change_steps=4)
    monkeypatch.setattr("ganatomy.training.dictionaries.one_object.PairSpec", few)  # the scenes that `judge` inverts
    monkeypatch.setattr("ganatomy.experiments.inversion.photographs.Optimisation", fewer)
    names: dict[str, Any] = {
        "FEATURES": "torch:tiny_features:Means",
        "SEARCH": {"train": 8, "held": 4, "candidates": 16, "pairs": 2},
        "EASY": {"interpretable_iou": 0.001, "interpretable_accuracy": 0.0, "over_control": 1.0, "over_chance": 1.0},
    }
    text = "\0".join(cell.source for cell in _cells(name))
    for full, small in SMALLER[name].items():
        assert full in text, "the notebook has changed"
        text = text.replace(full, small)
    if ".plot()" in text:
        pytest.importorskip("matplotlib")
    kinds = [_run(source, names) for source in text.split("\0")]
    assert kinds == [_kinds(cell, "execute_result") for cell in _cells(name)]


@NOTEBOOKS
def test_the_docs_have_its_images_and_stay_small(name: str) -> None:
    kinds = [_kinds(cell) for cell in _cells(name)]
    assert all(kinds)
    assert sum("image/png" in kind for kind in kinds) >= 3
    assert _path(name).stat().st_size < 1_000_000


def _path(name: str) -> Path:
    return ROOT / "docs" / f"{name}.ipynb"


def _cells(name: str) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(_path(name), as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and "install" not in cell.metadata.get("tags", ())]


def _kinds(cell: nbformat.NotebookNode, output: str = "") -> set[str]:
    """Return in what formats a cell is shown; what is drawn beside its last expression is an output of its own."""
    return {
        kind for out in cell.outputs if output in out.output_type for kind in out.get("data", {out.output_type: ""})
    }


def _run(source: str, names: dict[str, Any]) -> set[str]:
    """Run a cell as a notebook does; return in what formats its last expression is shown."""
    *rest, last = ast.parse(source).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(rest, []), "notebook", "exec"), names)  # noqa: S102
    return set(DisplayFormatter().format(eval(compile(ast.Expression(last.value), "notebook", "eval"), names))[0])  # noqa: S307
