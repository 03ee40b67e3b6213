"""What bad input to the commands about quality gets: one line on stderr, exit code 2, and nothing written (SPEC 7, 10).

Every case goes through the command line, as a user would meet it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
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
def artifacts(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``ganatomy artifacts`` where all that lies; return the one line that it says, or nothing if it is content."""
    monkeypatch.chdir(place)

    def run(*more: str) -> str:
        usual = ("--real", "real", "--features", "unet:net.safetensors", *SMALL, "--out", "found")
        code = main(["artifacts", "study", "--layer", "layer1", *usual, *more])
        _, err = capsys.readouterr()
        if code == 0:
            return ""
        assert code == 2
        line: str = err.splitlines()[-1]
        assert line.startswith("ganatomy: ")
        assert "Traceback" not in err
        return line.removeprefix("ganatomy: ")

    return run


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--top", str(D)), f"top={D} images are too few for the {D} numbers"),
        (("--reals", str(D)), f"reals={D} images are too few for the {D} numbers"),
        (("--top", "41"), "top=41 images of each unit cannot be had of images=40"),
        (("--reals", "31"), "30"),
        (("--draws", "1"), "draws=1 is too few"),
        (("--images", "0"), "images=0"),
        (("--real", "empty"), "no images in it"),
        (("--real", "nowhere"), "no such"),
        (("--real", "scenes:cathedral"), "cathedral"),
        (("--real", "broken"), "07.png"),
        (("--features", "colors"), "does not describe"),
        (("--features", "unet:nowhere.safetensors"), "nowhere.safetensors"),
        (("--features", f"torch:{__name__}:Maps"), "average"),
        (("--features", f"torch:{__name__}:Nowhere"), "NaN"),
        (("--layer", "layer9"), "unknown dissected layer 'layer9'"),
        (("--threshold", "0"), "threshold=0.0 is no distance"),
        (("--threshold", "nan"), "threshold=nan is no distance"),
        (("--threshold", "far"), "far"),
        (("--annotations", "nowhere.db"), "nowhere.db: no such file"),
    ],
)
def test_what_is_refused(artifacts: Callable[..., str], place: Path, given: tuple[str, ...], says: str) -> None:
    assert says in artifacts(*given)
    assert not (place / "found" / "artifacts.parquet").exists()


def test_real_images_of_all_sizes_are_looked_at_in_that_of_the_generator(artifacts: Callable[..., str]) -> None:
    assert artifacts("--real", "sizes", "--out", "of all sizes") == ""
