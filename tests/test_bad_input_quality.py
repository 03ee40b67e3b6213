"""What bad input to the commands about quality gets: one line on stderr, exit code 2, and nothing written (SPEC 7, 10).

Every case goes through the command line, as a user would meet it.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from mistakes import assert_mistake_line
from PIL import Image
from small_runs import write_network
from torch import Tensor, nn

import ganatomy
from ganatomy.cli import main

D = 12
"""Numbers by which the small network describes an image."""
SMALL = ("--images", "40", "--top", "20", "--reals", "30", "--draws", "2")


class Maps(nn.Module):
    """A feature network that does not average its maps."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::8, ::8]


class Nowhere(nn.Module):
    """A feature network whose features are no numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] * torch.nan


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, directories of real images in every state, and a small feature network."""
    place = tmp_path_factory.mktemp("quality")
    ganatomy.dissect("planted", segmenter="planted", images=24, layers=("layer1",), batch=8, out=place / "study")
    dice = np.random.default_rng(0)
    for name in ("real", "broken", "sizes"):
        (place / name).mkdir()
        for i in range(30):
            size = (20 + i, 50 - i, 3) if name == "sizes" else (24, 24, 3)
            Image.fromarray(dice.integers(0, 256, size, dtype=np.uint8)).save(place / name / f"{i:02d}.png")
    whole = (place / "broken" / "07.png").read_bytes()
    (place / "broken" / "07.png").write_bytes(whole[: len(whole) // 2])
    (place / "empty").mkdir()
    (place / "empty" / "notes.txt").write_text("no image")
    write_network(place)
    return place


@pytest.fixture
def artifacts(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command that works where all that lies."""
    monkeypatch.chdir(place)
    usual = ("--real", "real", "--features", "unet:net.safetensors", *SMALL, "--out", "found")
    return ["artifacts", "study", "--layer", "layer1", *usual]


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (("--top", str(D)), f"top={D}"),
        (("--reals", str(D)), f"reals={D}"),
        (("--top", "41"), "images=40"),
        (("--reals", "31"), "30"),
        (("--draws", "1"), "draws=1"),
        (("--images", "0"), "images=0"),
        (("--real", "empty"), "empty"),
        (("--real", "nowhere"), "nowhere"),
        (("--real", "scenes:cathedral"), "cathedral"),
        (("--real", "broken"), "07.png"),
        (("--features", "colors"), "colors"),
        (("--features", "unet:nowhere.safetensors"), "nowhere.safetensors"),
        (("--features", f"torch:{__name__}:Maps"), "average"),
        (("--features", f"torch:{__name__}:Nowhere"), "NaN"),
        (("--layer", "layer9"), "layer9"),
        (("--threshold", "0"), "threshold=0.0"),
        (("--threshold", "nan"), "threshold=nan"),
        (("--threshold", "far"), "far"),
        (("--annotations", "nowhere.db"), "nowhere.db"),
    ],
)
def test_what_is_refused(
    artifacts: list[str], capsys: pytest.CaptureFixture[str], place: Path, given: tuple[str, ...], fact: str
) -> None:
    assert main([*artifacts, *given]) == 2
    assert_mistake_line(capsys.readouterr().err, fact)
    assert not (place / "found" / "artifacts.parquet").exists()


def test_real_images_of_all_sizes_are_looked_at_in_that_of_the_generator(artifacts: list[str]) -> None:
    assert main([*artifacts, "--real", "sizes", "--out", "of all sizes"]) == 0
