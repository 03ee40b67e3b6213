"""The tutorial is a notebook: it runs from top to bottom, and the copy in the docs has its images.

``jupyter execute --inplace docs/tutorial.ipynb`` draws them again, when the bundled generator is another.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its studies go where the test's other files go
    notebook = nbformat.read(TUTORIAL, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert _kinds(notebook) == _kinds(nbformat.read(TUTORIAL, as_version=4))


def test_the_docs_have_its_pictures_and_stay_small() -> None:
    kinds = _kinds(nbformat.read(TUTORIAL, as_version=4))
    assert all(kinds)
    assert sum("image/png" in kind for kind in kinds) >= 3
    assert TUTORIAL.stat().st_size < 1_000_000


def _kinds(notebook: nbformat.NotebookNode) -> list[set[str]]:
    """Return, for each cell of code, what kinds of output it has."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [{kind for out in cell.outputs for kind in out.get("data", {out.output_type: ""})} for cell in cells]
