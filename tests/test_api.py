"""The public functions: from one call to a finished study, and back."""

import pickle
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mistakes import mistake

import ganatomy


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "study"
    ganatomy.dissect("planted", segmenter="planted", images=24, layers=("layer2",), batch=8, out=folder)
    return folder


def test_a_study_opens_again(small: Path) -> None:
    result = ganatomy.open_dissection(str(small))
    assert (result.spec.images, result.spec.layers, result.study.run_json["batch"]) == (24, ("layer2",), 8)
    assert list(result.units.layer.unique()) == ["layer2"]


def test_open_models_give_what_named_ones_give(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without `out` the study lies in a temporary directory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    generator, segmenter = ganatomy.open_generator("planted"), ganatomy.open_segmenter("planted")
    result = ganatomy.dissect(generator, segmenter=segmenter, images=24, layers=("layer2",), batch=8)
    pd.testing.assert_frame_equal(result.units, ganatomy.open_dissection(small).units)
    assert result.study.directory.parent == tmp_path


def test_an_option_that_is_none(tmp_path: Path) -> None:
    unknown: dict[str, Any] = {"imges": 24}
    with mistake("unknown-name", "imges", "images"):
        ganatomy.dissect("planted", segmenter="planted", out=tmp_path / "study", **unknown)
    assert not (tmp_path / "study").exists()


def test_a_finished_study_is_read_and_not_written_again(tmp_path: Path) -> None:
    first = ganatomy.dissect("planted:", segmenter="planted", images=8, out=tmp_path / "study")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "study").rglob("*.*") if file.name != ".lock"}
    again = ganatomy.dissect("planted:", segmenter="planted", images=8, out=tmp_path / "study")
    assert again.units.equals(first.units)
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_result_sums_itself_up(small: Path) -> None:
    result = ganatomy.open(small)
    assert isinstance(result, ganatomy.Dissection)
    assert "units match a concept" in result.summary()
    assert "<table" in result._repr_html_()
    assert repr(result) == f"<Dissection of planted by planted, {len(result.table)} units>"
    compared = ganatomy.compare([small])
    assert compared.summary().startswith("study: one study.")
    assert "<table" in compared._repr_html_()


def test_open_models_are_used_again() -> None:
    open_one = ganatomy.open_generator("planted:")
    study = ganatomy.dissect(open_one, segmenter="planted", images=24, layers=("layer2",), batch=8)
    found = study.ablate("layer2", "ball", top=1, images=4, random=0)
    assert found.spec.generator == study.spec.generator
    assert not pickle.loads(pickle.dumps(study)).opened  # noqa: S301
    with mistake("bad-value", "generator="):
        ganatomy.open_dissection(study.study.directory).ablate("layer2", "ball", top=1, images=4)


def test_what_is_needed_is_said_in_one_line(small: Path) -> None:
    for ask in (ganatomy.insert, ganatomy.context, ganatomy.trace, ganatomy.best_setting):
        with mistake("bad-value", ask.__name__, "concept"):
            ask(small)


def test_a_table_is_written_as_csv(small: Path, tmp_path: Path) -> None:
    result = ganatomy.open(small)
    assert result.to_csv(tmp_path / "units.csv") is None
    assert (tmp_path / "units.csv").read_text(encoding="utf-8") == result.to_csv()
    assert len(pd.read_csv(tmp_path / "units.csv")) == len(result.units)


def test_what_has_no_result_is_not_opened(small: Path) -> None:
    effect = ganatomy.insert(small, layer="layer2", concept="ball", top=1, images=4, pool=16)
    pool = next(path for path in effect.study.directory.parent.iterdir() if path.name.startswith("pool"))
    with mistake("study-error", pool, "pool"):
        ganatomy.open(pool)
    with pytest.raises(ganatomy.StudyError):
        ganatomy.open(small.parent)
