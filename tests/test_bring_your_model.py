"""The page of the guide that takes a stranger's module to a report does so: its code is run as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganatomy.cli import main
from ganatomy.core.foreign_code import instantiate

PAGE = Path(__file__).parents[1] / "docs" / "bring-your-model.md"


def blocks(language: str) -> list[str]:
    """Return the code of the page in that language, in its order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def python(code: str) -> str:
    """Run code as a stranger would, in the current directory; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the page's module and a checkpoint: the real one where it is at hand, else untrained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mycode.py").write_text(next(code for code in blocks("python") if code.startswith("# mycode.py")))
    shared = os.environ.get("GANATOMY_SHARED")
    if shared:
        (tmp_path / "face-gan.pt").symlink_to(Path(shared) / "real" / "face-gan.pt")
    else:
        torch.save(instantiate("mycode:FaceGAN", {}).state_dict(), "face-gan.pt")
    return tmp_path


@pytest.mark.slow
def test_ten_lines_lead_to_a_report(stranger: Path) -> None:
    code, *others = blocks("python")
    look = "".join(block for block in others if "generator.observe" in block or "look.png" in block)
    assert len([line for line in code.splitlines() if line]) <= 10
    code = code.replace("images=300", "images=32") + look
    shown = python(code + "print(tuple(images.shape), float(images.min()) >= -1)")
    assert "generator_deconv.3" in shown
    assert "(8, 3, 32, 32) True" in shown
    assert (stranger / "look.png").is_file()
    assert (stranger / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


@pytest.mark.slow
def test_so_do_the_commands(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [shlex.split(line) for line in blocks("sh")[0].splitlines()]
    assert [words[:2] for words in commands] == [["ganatomy", "layers"], ["ganatomy", "dissect"]]
    for words in commands:
        assert main(["32" if word == "300" else word for word in words[1:]]) == 0
        told = capsys.readouterr()
        assert told.err == ""
        assert re.search(r"generator_deconv\.3 +32", " ".join(told.out.split())) or "report: " in told.out
    assert (stranger / "study-of-faces" / "report.html").is_file()


def test_what_the_page_shows_of_the_layers_is_so(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganatomy import open_generator

    generator = open_generator("torch:mycode:FaceGAN?weights=face-gan.pt")
    (shown,) = blocks("text")
    for name, units, grid in re.findall(r"^ (generator\S+) +(\d+) +(\S+)", shown, re.MULTILINE):
        shape = generator.layers[name]
        assert (units, grid) == (str(shape.units), f"{shape.height}×{shape.width}")
    assert f"{len(generator.layers)} layers that can be dissected" in shown
    others: dict[str, str] = getattr(generator, "others", {})
    assert f"{len(others)} submodules that are no layers" in shown
    for name, reason in re.findall(r"^  (generator\S+) +(.*)$", shown, re.MULTILINE):
        assert others[name] == reason
    assert torch.is_tensor(generator.latents(range(1), 0))
