"""``--overwrite`` begins a study anew, and removes nothing but a study that nobody uses."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ganatomy
from ganatomy.cli import main
from ganatomy.study.lock import StudyLock, reading
from ganatomy.study.removal import remove_study

DISSECT = ("dissect", "planted:", "--segmenter", "planted:", "--layers", "layer2", "--batch", "8", "--out", "study")
ABLATE = ("ablate", "study", "--layer", "layer2", "--units", "10", "--images", "6", "--batch", "8", "--random", "0")


pytestmark = pytest.mark.usefixtures("here")


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name[0] != "."}


@pytest.fixture
def stays(refused: Callable[..., None]) -> Callable[..., None]:
    """Run a command that must be refused, and leave the study as it was."""

    def run(argv: Sequence[str], *facts: object) -> None:
        before = files(Path("study"))
        refused(argv, *facts)
        assert files(Path("study")) == before

    return run


def test_a_dissection_is_begun_anew_with_other_options(
    stays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    stays([*DISSECT, "--images", "24"], "study", "layers")
    Path("study/report.html").write_text("old")
    assert main([*DISSECT, "--images", "24", "--overwrite"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    removed = next(line for line in out.splitlines() if line.startswith("removed"))
    assert removed.startswith("removed the finished dissect study (")
    assert removed.endswith(" MB) from study")
    found = ganatomy.open_dissection("study")
    assert (found.spec.images, list(found.layers)) == (24, ["layer2"])
    assert set(pd.read_parquet("study/tables/units.parquet").layer) == {"layer2"}
    assert Path("study/report.html").stat().st_size > 5000


def test_an_experiment_of_the_same_question_is_counted_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(ABLATE) == 0
    (home,) = Path("study-causal/layer2").iterdir()
    before, dissection = files(home), files(Path("study"))
    capsys.readouterr()
    assert main([*ABLATE, "--overwrite", "--dry-run"]) == 0
    assert files(home) == before, "nothing is removed when only the cost is asked for"
    assert "images, about" in capsys.readouterr().out
    assert main([*ABLATE, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["study"].endswith(home.name)
    after = files(home)
    assert after.keys() == before.keys()
    assert files(Path("study")) == dissection, "what the experiment stands on stays"
    monkeypatch.setattr("ganatomy.study.count_all", None)  # which counts shards
    with pytest.raises(TypeError):
        main([*ABLATE, "--overwrite"])


def test_what_cannot_begin_removes_nothing(stays: Callable[..., None]) -> None:
    stays([*DISSECT, "--layers", "layer9", "--overwrite"], "layer9")
    stays([*DISSECT, "--images", "1", "--overwrite"], "images=1")
    stays([*DISSECT, "--overwrite", "--shard", "1/2"], "--overwrite with --shard")


def test_a_study_in_use_stays(stays: Callable[..., None]) -> None:
    with closing(StudyLock(Path("study"))):
        stays([*DISSECT, "--overwrite"], "written to by process")
    with reading(Path("study")), reading(Path("study")):
        stays([*DISSECT, "--overwrite"], "read by process")
    assert remove_study(Path("study")).startswith("the finished dissect study")


@pytest.mark.parametrize("other", ["notes.txt", "steps/notes.txt", "tables/more/a.parquet", "ablation/study.json"])
def test_a_directory_that_holds_more_than_a_study_stays(other: str, stays: Callable[..., None]) -> None:
    path = Path("study", other)
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    held = "/".join(Path(other).parts[: 1 if other.startswith("ablation") else 2])
    stays([*DISSECT, "--overwrite"], f"study holds {held}")


def test_a_link_is_never_followed(stays: Callable[..., None]) -> None:
    Path("steps").mkdir()
    Path("steps/mine.npz").write_text("mine")
    shutil.rmtree("study/steps")
    Path("study/steps").symlink_to(Path("steps").resolve())
    stays([*DISSECT, "--overwrite"], "study holds steps")
    assert Path("steps/mine.npz").read_text() == "mine"


def test_what_is_no_study_stays(stays: Callable[..., None]) -> None:
    for text in ("{", "{}", '{"format": 5}', "[]"):
        Path("study/study.json").write_text(text)
        stays([*DISSECT, "--overwrite"], "record")
    Path("study/study.json").unlink()
    stays([*DISSECT, "--overwrite"], "empty")


def test_a_study_of_another_version_can_be_removed(stays: Callable[..., None]) -> None:
    record = json.loads(Path("study/study.json").read_text())
    Path("study/study.json").write_text(json.dumps({**record, "format": 3}))
    stays(DISSECT, "format 3")
    assert remove_study(Path("study"))
    assert files(Path("study")) == {}
    assert remove_study(Path("study")) == remove_study(Path("nothing")) == ""


def test_a_removal_that_is_killed_leaves_an_unfinished_study(monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, gone = Path.unlink, []

    def killed(path: Path, *args: Any, **options: Any) -> None:
        if path.suffix in (".npz", ".parquet"):
            gone.append(path)
            if len(gone) == 3:
                raise KeyboardInterrupt
        unlink(path, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_study(Path("study"))
    assert json.loads(Path("study/study.json").read_text())["finished"] is False
    assert remove_study(Path("study")).startswith("the unfinished dissect study")
    assert files(Path("study")) == {}


def test_no_study_at_a_url_is_removed(refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(Path("cache").resolve()))
    shutil.copytree("study", "elsewhere")
    url = f"file://{Path('elsewhere').resolve()}"
    refused([*DISSECT[:-1], url, "--overwrite"], url, "URL")
    assert files(Path("elsewhere")).keys()
