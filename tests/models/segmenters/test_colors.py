"""Colour names: the focal colours and others that have an undisputed name."""

import pytest
import torch
from mistakes import mistake

from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.colors import Colors

UNDISPUTED = {
    "black": "000000 0a0a0a",
    "blue": "0000ff 000080 4169e1 87ceeb 4682b4 191970",
    "brown": "8b4513 a0522d 654321",
    "grey": "808080 a9a9a9 696969 708090",
    "green": "008000 228b22 00ff00 2e8b57 98fb98 556b2f",
    "orange": "ffa500 ff8c00",
    "pink": "ffc0cb ff69b4",
    "purple": "800080 4b0082 9370db",
    "red": "ff0000 dc143c b22222",
    "white": "ffffff fffafa f5f5f5",
    "yellow": "ffff00 ffd700 f0e68c",
}


def image(*codes: str) -> torch.Tensor:
    pixels = torch.tensor([list(bytes.fromhex(code)) for code in codes]) / 127.5 - 1
    return pixels.T.reshape(1, 3, 1, -1)


@pytest.fixture(scope="module")
def colors() -> Colors:
    return Colors(torch.device("cpu"))


@pytest.mark.parametrize("name", UNDISPUTED)
def test_undisputed_colours(colors: Colors, name: str) -> None:
    labels = colors(image(*UNDISPUTED[name].split()))
    assert [colors.vocabulary[i].name for i in labels.flatten()] == [name] * labels.numel()


def test_every_pixel_has_one_name(colors: Colors) -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    total = sum(colors.score(images, k) for k in range(1, 12))
    torch.testing.assert_close(total, torch.ones(2, 8, 8))
    assert set(range(1, 12)) >= set(colors(images).unique().tolist())


def test_values_beyond_black_and_white_are_clipped(colors: Colors) -> None:
    images = torch.tensor([-7.0, 7.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert [colors.vocabulary[i].name for i in colors(images).flatten()] == ["black", "white"]


def test_black_can_be_made_brighter(colors: Colors) -> None:
    """Oklab takes a cube root, whose slope at black is infinite."""
    black = torch.full((1, 3, 2, 2), -1.0, requires_grad=True)
    colors.score(black, 1).sum().backward()
    assert black.grad is not None
    assert bool(black.grad.isfinite().all())


def test_it_takes_no_argument() -> None:
    with mistake("bad-value", "colors:eleven", "colors"):
        open_segmenter("colors:eleven")
