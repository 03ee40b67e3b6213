"""What the guide says word for word: messages of its troubleshooting page, the version to cite, names of segmenters."""

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ganatomy.cli import main
from ganatomy.models.segmenters import SEGMENTERS
from ganatomy.models.weights import MODEL_ZOO

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("dissect bundled:chruch --out s", 1),
        ("dissect bundled:church --layers layer44 --out s", 1),
        ("dissect bundled:church --segmenter unified:upp --out s", 2),
        ("dissect progan:church.pth --out s", 1),
        ("dissect torch:mycode:load --out s", 2),
        ("dissect bundled:church --images 0 --out s", 1),
        ("dissect bundled:church --imagse 3 --out s", 1),
        ("dissect bundled:church --out full", 1),
        ("report nothing", 1),
    ],
)
def test_messages_of_the_faq(
    command: str, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each stands there as it is printed; where `parts` is more than one, with an ellipsis between."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mycode", raising=False)  # other tests have one
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert main(command.split()) == 2
    said = capsys.readouterr().err.strip().removeprefix("ganatomy: ")
    entries = [entry.split(" … ") for entry in re.findall(r"^`([^`\n]+)`$", page("faq.md"), re.M)]
    assert any(len(own) == parts and said.startswith(own[0]) and said.endswith(own[-1]) for own in entries), said


def test_the_version_to_cite() -> None:
    assert f"\nversion: {version('ganatomy')}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version = {{{version('ganatomy')}}}" in page("cite.md")


def test_segmenters_to_choose_from_exist() -> None:
    named = re.findall(r"`((\w+):([\w-]+)[^`]*)`", page("which-segmenter.md").split("## How to decide")[0])
    assert {"unified", "ade20k", "hf", "torch", "clipseg", "bundled", "labels", "parts"} <= {own[1] for own in named}
    assert {own[1] for own in named} <= set(SEGMENTERS.names())
    assert {own[2] for own in named if own[1] in ("unified", "ade20k")} <= set(MODEL_ZOO)


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.[mi][dp]*")), ids=lambda path: path.name)
def test_links_have_words(path: Path) -> None:
    """Sphinx fills in the title of a page; who reads the file elsewhere would see nothing."""
    assert not re.findall(r"\[\]\([^)]*\)", path.read_text(encoding="utf-8"))
