"""The commands of the README run in the order in which they stand, at small sizes."""

import re
import shlex
from pathlib import Path

import pytest

import ganatomy
from ganatomy.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMALL = {
    "ablate": "--images 8 --random 1",
    "ace": "--images 8 --pool 32 --train 8 --held 4 --candidates 16 --steps 2 --pairs 2 --random 1",
    "insert": "--layer layer6 --top 5 --images 4 --random 1 --pool 32",
    "context": "--layer layer4 --top 5 --images 2 --stride 8 --pool 32",
    "dissect": "--images 24 --layers layer4",
    "compare": "--layer layer4 --draws 10",
}
"""What makes a command small, and skips the search for the best setting; the others are small."""
ELSEWHERE = ("progan:progan-church", "stylegan:network.pkl", "diffusers:stabilityai", "torch:mycode:load", "serve")
"""Commands that need files or a network that are not here, or do not end."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.mark.slow
def test_every_command_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "make demo " in README
    assert main(["demo", "--out", "demo", "--images", "32"]) == 0
    commands = [line.partition(" #")[0] for block in blocks("sh") for line in block.splitlines()]
    commands = [
        line for line in commands if line.startswith("ganatomy ") and not any(each in line for each in ELSEWHERE)
    ]
    assert len(commands) >= 8
    for line in commands:
        _, verb, *rest = shlex.split(line)
        assert main([verb, *rest, *SMALL.get(verb, "").split()]) == 0, line
    for block in blocks("python"):
        exec(block.replace('"tree").table', '"tree", images=8, random=1).table'), {})  # noqa: S102
    assert ganatomy.open("demo").units.shape[0] > 0
