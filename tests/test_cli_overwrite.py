"""``--overwrite`` begins a study anew, and removes nothing but a study that nobody uses."""

import json
import shutil
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


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command that must end with one line, and leave the study as it was."""
    before = files(Path("study"))
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert files(Path("study")) == before
    return err


def test_a_dissection_is_begun_anew_with_other_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds another study: layers was" in refused(capsys, *DISSECT, "--images", "24")
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


def test_what_cannot_begin_removes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown layer 'layer9'" in refused(capsys, *DISSECT, "--layers", "layer9", "--overwrite")
    assert "images=1 is too few" in refused(capsys, *DISSECT, "--images", "1", "--overwrite")
    assert "--overwrite with --shard" in refused(capsys, *DISSECT, "--overwrite", "--shard", "1/2")


def test_a_study_in_use_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(StudyLock(Path("study"))):
        assert "study is being written to by process" in refused(capsys, *DISSECT, "--overwrite")
    with reading(Path("study")), reading(Path("study")):
        assert "study is being read by process" in refused(capsys, *DISSECT, "--overwrite")
    assert remove_study(Path("study")).startswith("the finished dissect study")


@pytest.mark.parametrize("other", ["notes.txt", "steps/notes.txt", "tables/more/a.parquet", "ablation/study.json"])
def test_a_directory_that_holds_more_than_a_study_stays(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("study", other)
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    held = "/".join(Path(other).parts[: 1 if other.startswith("ablation") else 2])
    assert f"study holds {held}, which is not of its study" in refused(capsys, *DISSECT, "--overwrite")


def test_a_link_is_never_followed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("steps").mkdir()
    Path("steps/mine.npz").write_text("mine")
    shutil.rmtree("study/steps")
    Path("study/steps").symlink_to(Path("steps").resolve())
    assert "study holds steps, which is not of its study" in refused(capsys, *DISSECT, "--overwrite")
    assert Path("steps/mine.npz").read_text() == "mine"


def test_what_is_no_study_stays(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("{", "{}", '{"format": 5}', "[]"):
        Path("study/study.json").write_text(text)
        assert "is not the record of a study, so nothing is removed" in refused(capsys, *DISSECT, "--overwrite")
    Path("study/study.json").unlink()
    assert "is not empty and holds no study" in refused(capsys, *DISSECT, "--overwrite")


def test_a_study_of_another_version_can_be_removed(capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(Path("study/study.json").read_text())
    Path("study/study.json").write_text(json.dumps({**record, "format": 3}))
    assert "is a study of format 3" in refused(capsys, *DISSECT)
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


def test_no_study_at_a_url_is_removed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(Path("cache").resolve()))
    shutil.copytree("study", "elsewhere")
    url = f"file://{Path('elsewhere').resolve()}"
    assert main([*DISSECT[:-1], url, "--overwrite"]) == 2
    assert f"{url} is at a URL, where no study is removed" in capsys.readouterr().err
    assert files(Path("elsewhere")).keys()
