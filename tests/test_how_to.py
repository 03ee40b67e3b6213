"""The commands of the how-to page run in their order, on a tiny pipeline with random weights."""

import re
import shlex
from pathlib import Path

import pytest
from diffusers_pipelines import save_pipeline

from ganatomy.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "text-to-image.md").read_text(encoding="utf-8")
SMALL = {"dissect": "--images 12", "ablate": "--images 4 --random 1", "insert": "--images 4 --random 1 --pool 8"}
TINY = {
    "diffusers:stabilityai/sd-turbo": "diffusers:model",
    "unified:upp": "planted",
    "--top 20": "--top 2",
    "top=20": "top=2",
    "16,4,28,14": "2,1,6,5",  # its grid has 8 × 8 places
    "at=(16, 4, 28, 14)": "at=(2, 1, 6, 5), images=4, random=1, pool=8",
}


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    for old, new in TINY.items():
        found = [block.replace(old, new) for block in found]
    return found


@pytest.mark.slow
def test_from_a_pipeline_to_a_painted_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pipeline("StableDiffusionPipeline", tmp_path)
    monkeypatch.chdir(tmp_path)
    (written,) = re.findall(r"```\n# prompts.txt\n(.*?)```", PAGE, re.S)
    (tmp_path / "prompts.txt").write_text(written)
    commands = [shlex.split(line)[1:] for block in blocks("sh") for line in block.splitlines() if "ganatomy " in line]
    ran = [words for words in commands if words[0] not in ("install", "models")]  # these need a network
    assert [words[0] for words in ran] == ["layers", "dissect", "ablate", "insert", "list"]
    for words in ran:
        assert main([*words, *SMALL.get(words[0], "").split()]) == 0, words
    assert (tmp_path / "turbo" / "report.html").exists()
    exec(blocks("python")[0], {})  # noqa: S102
    assert len(list(tmp_path.glob("painted-*.png"))) == 4


def test_the_table_of_costs_adds_up() -> None:
    """What follows from the two numbers that are counted."""
    step, decoder = (float(re.findall(rf"{name}.*\| ([\d.]+) \|", PAGE)[0]) for name in ("a call", "once"))
    image = 4 * step + decoder
    assert f"{image:.1f}" in PAGE
    assert f"{20 * step + decoder:.1f} TFLOP" in PAGE
    for images, total, minutes in re.findall(r"\| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|\n", PAGE):
        drawn, whole = (float(text.replace(",", "")) for text in (images, total))
        assert whole == pytest.approx(drawn * image, rel=0.03)
        assert float(minutes) == pytest.approx(whole / 100 / 60, abs=0.06)
