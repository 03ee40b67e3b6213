"""Layers that reach beyond the image lie right when they are dissected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor

from ganatomy import dissect
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.experiments.dissection import Dissection
from ganatomy.models.generators import LayerShape, Observation, open_generator
from ganatomy.models.generators.protocol import margin, within_image


class Wide:
    """A layer is on where the image is bright, in the middle half of its map; everywhere around it is on as well."""

    def __init__(self) -> None:
        self.layers, self.margins = {"wide": LayerShape(1, 32, 32)}, {"wide": 8}
        self.fingerprint, self.device = "0" * 64, torch.device("cpu")

    def latents(self, ids: range, seed: int) -> Tensor:
        return torch.tensor([[float(i)] for i in ids]).reshape(-1, 1)

    def observe(self, z: Tensor, layers: Sequence[str], edits: Sequence[Any] = ()) -> Observation:
        bright = torch.zeros(len(z), 1, 16, 16)
        for shown, number in zip(bright, z[:, 0].long().tolist(), strict=True):
            row, column = number * 5 % 12, number * 7 % 12
            shown[0, row : row + 5, column : column + 5] = 1
        wide = F.pad(bright, (8, 8, 8, 8), value=1.0)
        return Observation((bright * 2 - 1).expand(-1, 3, -1, -1), dict.fromkeys(layers, wide))

    def render(self, r: Tensor, layer: str, z: Tensor) -> Tensor:
        return r[..., 8:-8, 8:-8].expand(-1, 3, -1, -1)

    def edited(self, z: Tensor, edits: Sequence[Any]) -> Tensor:
        return self.observe(z, ()).images


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wide") / "study"
    dissect(Wide(), segmenter="colors", images=16, levels=10, out=directory)
    return directory


def test_a_unit_that_is_the_image_has_an_iou_of_one(study: Path) -> None:
    assert Dissection.open(study).units.iou[0] > 0.99


def test_experiments_on_places_ask_for_a_grid_that_is_the_image(study: Path) -> None:
    with mistake("bad-value", "wide", 8, "margins=no"):
        open_source(study, generator=Wide()).shape("wide")


def test_layers_without_margins_are_left_as_they_are() -> None:
    generator = open_generator("planted")
    seen = generator.observe(generator.latents(range(1), 0), list(generator.layers))
    again = within_image(generator, seen)
    assert all(again.features[name] is r and margin(generator, name) == 0 for name, r in seen.features.items())
    assert within_image(Wide(), Wide().observe(torch.ones(1, 1), ["wide"])).features["wide"].shape[2:] == (16, 16)
