"""``ganatomy compare`` at the command line: what it prints and writes, and what it refuses in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ganatomy

Answer = Callable[..., str]


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("dissected")
    options: dict[str, Any] = {"segmenter": "planted", "images": 32, "layers": ("layer1", "layer2"), "batch": 8}
    ganatomy.dissect("planted", out=home / "one", **options)
    ganatomy.dissect("planted", out=home / "other", seed=1, **options)
    return home


@pytest.fixture(autouse=True)
def here(dissected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with two finished studies in it."""
    shutil.copytree(dissected, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_how_studies_differ_counts_and_writes_the_page(answer: Answer, here: Path) -> None:
    text = answer("compare", "one", "other", "--out", "both")
    assert text.startswith("Not the same everywhere: seed – 0 (one), 1 (other).\n")
    assert "± " in text
    assert "report: both/compare.html" in text
    assert (here / "both/compare.html").is_file()
    assert {path.name for path in (here / "both/tables").iterdir()} >= {"counts.csv", "counts.parquet", "changes.csv"}
    again = answer("compare", "one", "other", "--out", "both")
    assert again == text, "the draws have a seed"


def test_json_holds_every_table(answer: Answer) -> None:
    told = json.loads(answer("compare", "one", "other", "--names", "a,b", "--against", "b", "--out", "both", "--json"))
    assert told["spec"]["names"] == ["a", "b"]
    assert {"report", "differences", "counts", "concepts", "changes"} <= told.keys()
    assert {row["study"] for row in told["changes"]} == {"a"}
    counted = {(row["study"], row["layer"]): row["matched"] for row in told["counts"] if row["category"] == "all"}
    own = ganatomy.open_dissection("one").by_layer.set_index("layer").matched
    assert counted["a", "layer2"] == own["layer2"]


def test_one_study_is_told_layer_by_layer(answer: Answer) -> None:
    lines = answer("compare", "one", "--out", "alone").splitlines()
    assert [line.split()[0] for line in lines if line.strip().startswith("layer")] == ["layer", "layer1", "layer2"]


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (("one", "nowhere"), "nowhere"),
        (("one", "unfinished"), "unfinished study"),
        (("one", "other", "--layer", "layer9"), "layer of one 'layer9'"),
        (("one", "other", "--against", "x"), "against=x"),
        (("one", "other", "--real", "nowhere"), "study one"),
        (("one", "broken"), "broken/tables/units.parquet"),
        (("one", "damaged"), "damaged/steps/evaluation.npz"),
        (("one", "elsewhere"), "elsewhere"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    argv: tuple[str, ...], fact: str, here: Path, refused: Callable[..., None]
) -> None:
    for name in ("unfinished", "broken", "damaged", "elsewhere"):
        shutil.copytree(here / "other", here / name)
    record = json.loads((here / "other/study.json").read_text())
    (here / "unfinished/study.json").write_text(json.dumps({**record, "finished": False}))
    (here / "elsewhere/study.json").write_text(json.dumps({**record, "spec": {"dissection": "x"}}))
    (here / "broken/tables/units.parquet").write_bytes(b"PAR1")
    (here / "damaged/steps/evaluation.npz").write_bytes(b"{}")
    refused(["compare", *argv, "--out", "both"], fact)
    assert not (here / "both").exists()
