"""A PNG file holds the image that was given."""

import io

import numpy as np
import pytest
from PIL import Image

from ganatomy.web.png import png


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (64, 48, 3), (1, 7, 3)])
def test_a_file_holds_the_image(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    image[: shape[0] // 2] = 7
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)


def test_an_image_may_lie_in_memory_in_any_way() -> None:
    image = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8).transpose(1, 2, 0)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)
