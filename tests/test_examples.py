"""The scripts in examples/ run, at small sizes, and say something."""

import functools
import runpy
from pathlib import Path

import pytest
from small_runs import write_network

import ganatomy

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SMALL = {
    "dissect": {"layers": ["layer4"], "calibration": 16},
    "compare": {"draws": 10},
    "ace": {"images": 8, "pool": 32, "train": 8, "held": 4, "candidates": 16, "steps": 2, "pairs": 2, "random": 1},
    "ablate": {"images": 8, "random": 1},
    "context": {"layer": "layer4", "top": 5, "stride": 8, "pool": 32},
    "artifacts": {"features": "unet:net.safetensors", "top": 16, "draws": 2},
    "repair": {"features": "unet:net.safetensors", "top": 16, "textures": 0, "random": 1},
}
"""Options that make a function small."""


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_network(tmp_path)
    for name, options in SMALL.items():
        monkeypatch.setattr(ganatomy, name, functools.partial(getattr(ganatomy, name), **options), raising=False)
    main = runpy.run_path(str(path))["main"]
    main(tmp_path, images=32, **({"shown": 2} if path.stem == "where_does_it_fit" else {}))
    assert capsys.readouterr().out.strip()
    assert path.name in (path.parent / "README.md").read_text()
