"""The tutorial is a notebook: it runs from top to bottom, and the copy in the docs has its images.

``jupyter execute --inplace docs/tutorial.ipynb`` draws them again, when the bundled generator is another.
"""

import ast
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
SMALLER = {
    '"bundled:church", images=200': '"bundled:church", images=24, layers=["layer4", "layer6"]',
    'names=["church", "livingroom"]': 'names=["church", "livingroom"], draws=20',
    "images=200": "images=24",
    "images=48": "images=8",
    "images=32": "images=8",
    "pool=160": "pool=32",
    '"pool": 160, "images": 32, "steps": 10': '"pool": 32, "images": 8, "steps": 2, **SEARCH',
    '"reals": 600, "images": 1000, "top": 260': '"reals": 30, "images": 60, "top": 20, "features": FEATURES',
}
"""What is measured on fewer images than in the docs, and described by 12 numbers instead of 256."""


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: a kernel would load everything again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # its studies go where the test's other files go
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "report"))
    search = {"train": 8, "held": 4, "candidates": 16, "pairs": 2}
    names: dict[str, Any] = {"FEATURES": "torch:tiny_features:Means", "SEARCH": search}
    text = "\0".join(cell.source for cell in _cells())
    for full, small in SMALLER.items():
        assert full in text, "the tutorial has changed"
        text = text.replace(full, small)
    kinds = [_run(source, names) for source in text.split("\0")]
    assert kinds == [_kinds(cell) for cell in _cells()]


def test_the_docs_have_its_images_and_stay_small() -> None:
    kinds = [_kinds(cell) for cell in _cells()]
    assert all(kinds)
    assert sum("image/png" in kind for kind in kinds) >= 3
    assert TUTORIAL.stat().st_size < 1_000_000


def _cells() -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(TUTORIAL, as_version=4).cells if cell.cell_type == "code"]


def _kinds(cell: nbformat.NotebookNode) -> set[str]:
    return {kind for out in cell.outputs for kind in out.get("data", {out.output_type: ""})}


def _run(source: str, names: dict[str, Any]) -> set[str]:
    """Run a cell as a notebook does; return in what formats its last expression is shown."""
    *rest, last = ast.parse(source).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(rest, []), "tutorial", "exec"), names)  # noqa: S102
    return set(DisplayFormatter().format(eval(compile(ast.Expression(last.value), "tutorial", "eval"), names))[0])  # noqa: S307
