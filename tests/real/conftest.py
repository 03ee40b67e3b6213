"""Where other people's weights lie, and the directory from which a stranger would name the code beside them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ganatomy import Dissection


@pytest.fixture(scope="module")
def real(shared: Path) -> Iterator[Path]:
    """Other people's weights; ``torch:nets:…`` is importable, since the current directory holds nets.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parent)
        yield shared / "real"


class Look:
    """How the top images of a unit look where it is on, and elsewhere: mean red, green and blue, 0 to 255."""

    def __init__(self, dissection: Dissection, layer: str, unit: int) -> None:
        strip = dissection.top(layer, unit)
        assert len(strip.ids) == 10
        self.on = np.asarray(strip.images[strip.masks].mean(0))
        self.off = np.asarray(strip.images[~strip.masks].mean(0))


@pytest.fixture(scope="session")
def look() -> type[Look]:
    return Look
