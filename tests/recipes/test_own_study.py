import json
from pathlib import Path

import pytest
import safetensors.torch
import study
import torch

import ganatomy
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.generators.progan import progan_network
from ganatomy.models.segmenters.unet import UNet, heads

WORDS = (NOTHING, Concept("sky", "object"))


def few_features(directory: Path) -> str:
    """Return the name of a network that describes an image by 8 numbers, so that few images are enough."""
    net = UNet((4, 4, 8), sum(map(len, heads(WORDS)))).state_dict()
    safetensors.torch.save_file(net, directory / "net.safetensors")
    (directory / "net.json").write_text(json.dumps({"vocabulary": WORDS}))
    return f"unet:{directory / 'net.safetensors'}"


def kept(directory: Path, *moments: int) -> None:
    directory.mkdir(parents=True)
    torch.manual_seed(len(directory.name))
    for images in moments:
        state = {name: value.half() for name, value in progan_network(8, [4] * 8).state_dict().items()}
        safetensors.torch.save_file(state, directory / f"{images:07d}.safetensors")


@pytest.mark.slow
def test_every_part_of_the_tables_is_written_with_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, moments in {"baseline-0": (64,), "deviation-0": (64,), "pixelnorm-0": (32, 64)}.items():
        kept(tmp_path / "kept" / name, *moments)
    files = sorted((tmp_path / "kept" / "pixelnorm-0").iterdir())
    quality, compare, few = ganatomy.quality, ganatomy.compare, few_features(tmp_path)
    monkeypatch.setattr(ganatomy, "quality", lambda of, **options: quality(of, **options | {"features": few}))
    monkeypatch.setattr(ganatomy, "compare", lambda of, **options: compare(of, **options, draws=20))
    scenes = {file.stem: (f"progan:{file}", study.SMALL, "scenes:church") for file in files}
    monkeypatch.setattr(study, "SCENES", scenes)
    given = ["--kept", str(tmp_path / "kept"), "--images", "20", "--made", "40"]
    study.main([*given, "--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")])

    text = (tmp_path / "docs" / "study-tables.md").read_text(encoding="utf-8")
    for part in ("data", "data-changes", "layers", "layers-figures", "variants", "monitoring"):
        body = text.partition(f"<!-- {part} -->")[2].partition(f"<!-- /{part} -->")[0]
        assert ("| ---" in body) or ("![" in body), part
    shown = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert {"images/study/monitoring.svg", "images/study/data-counts.svg"} <= set(shown)
    for name in shown:
        assert (tmp_path / "docs" / name).read_text(encoding="utf-8").startswith("<svg")
    rows = [line for line in text.splitlines() if line.startswith(("| baseline-0", "| deviation-0", "| pixelnorm-0"))]
    assert len(rows) == 3
    assert "| 32 |" in text  # a moment of the training
