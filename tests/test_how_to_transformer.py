"""The commands of the page on transformers run in their order, on a tiny pipeline with random weights."""

import re
import shlex
from pathlib import Path

import pytest
from diffusers_transformers import save_transformer
from small_runs import write_real

from ganatomy.cli import main
from ganatomy.models.generators import open_generator

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "transformer.md").read_text(encoding="utf-8")
SMALL = {
    "dissect": "--images 12",
    "ablate": "--images 4",
    "compare": "--draws 4",
    "repair": "--images 24 --reals 16 --top 13 --textures 0 --random 1 --counted 8 --features unet:net.safetensors",
}
TINY = {
    "stabilityai/stable-diffusion-3.5-medium?": "model?size=16&",
    "transformer_blocks.9": "transformer_blocks.0",
    "transformer_blocks.22": "transformer_blocks.1",
    "steps=8": "steps=2",
    "@8": "@2",
    "1..8": "1..2",
    "unified:upp": "planted",
    "--best 20": "--best 2",
    "photographs": "real",
}


def commands() -> list[list[str]]:
    """Return what is typed, for the tiny model."""
    text = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S))
    for old, new in TINY.items():
        assert old in text
        text = text.replace(old, new)
    return [shlex.split(line)[1:] for line in text.splitlines()]


@pytest.mark.slow
def test_from_the_blocks_of_a_transformer_to_one_without_a_concept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_transformer("StableDiffusion3Pipeline", tmp_path)
    write_real(tmp_path, open_generator("planted"), 16)
    monkeypatch.chdir(tmp_path)
    ran = commands()
    assert [words[0] for words in ran] == ["layers", "dissect", "ablate", "compare", "repair"]
    for words in ran:
        assert main([*words, *SMALL.get(words[0], "").split()]) == 0, words
    assert 'id="steps"' in Path("steps/compare.html").read_text()
    written = {path.name for path in Path("without/repaired").iterdir()}
    assert written & {"erase.py", "transformer"}
