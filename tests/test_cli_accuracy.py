import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_classifier import toy_spec, write_images

from ganatomy.cli import main


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    images = write_images(folder / "toys", 60)
    labels = ("--segmenter", f"labels:{images}")
    main(["dissect", toy_spec(images), *labels, "--images", "30", "--out", str(folder / "s")])
    return folder / "s"


def test_the_report_of_a_classifier_says_what_units_see(study: Path) -> None:
    page = (study / "report.html").read_text()
    assert "What does each unit of <em>classifier:toy_classifier:Toy</em> see?" in page
    assert "What does each layer see?" in page


def test_chosen_units(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["accuracy", str(study), "--layer", "see", "--concept", "red", "--top", "1", "--images", "60"])
    told = capsys.readouterr().out
    assert "ablate top 1 for red by iou at see" in told
    assert "balanced accuracy" in told
    page = Path(told.rpartition("report: ")[2].strip()).read_text()
    assert "How accurate is each class without 1 unit of see (top 1 for red by iou)?" in page
    assert "An image is drawn twice" not in page
    assert "McNemar" in page


def test_every_unit(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["accuracy", str(study), "--layer", "see", "--each", "--images", "60", "--sizes", "1,2", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert {row["class"] for row in told["curve"]} == {"blue", "green", "red"}
    assert len(told["table"]) == 18
    assert "Which units of see does each class need?" in Path(told["report"]).read_text()


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (["--each", "--units", "0"], "accuracy --each"),
        (["--units", "0", "--classes", "red"], "--classes"),
        (["--units", "0", "--images", "61"], "61 images"),
        ([], "no units"),
    ],
)
def test_mistakes_are_one_line(study: Path, options: list[str], fact: str, refused: Callable[..., None]) -> None:
    refused(["accuracy", str(study), "--layer", "see", *options], fact)
