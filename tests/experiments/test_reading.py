"""The control holds what it promises: units that do not know the image are not matched."""

from collections.abc import Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import ganatomy
from ganatomy.core.tensor_types import Latents
from ganatomy.models.generators import Edit, LayerShape, Observation
from ganatomy.models.generators.planted import PlantedGenerator

UNITS = 64


class Blind:
    """The planted images, beside units that have not seen them: random fields, some of them with a favourite place.

    Each unit is smooth noise of its own for every image, plus a pattern that is the same in all, `bias` times.
    """

    device = torch.device("cpu")

    def __init__(self, bias: float, noise_seed: int) -> None:
        self._images = PlantedGenerator(self.device)
        self._seed = noise_seed
        self.fingerprint = f"blind {bias} {noise_seed}"
        self.layers: Mapping[str, LayerShape] = {"coarse": LayerShape(UNITS, 3, 3), "fine": LayerShape(UNITS, 16, 16)}
        self._places = bias * self._noise(-1)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of the images, each followed by its id."""
        return torch.cat([self._images.latents(ids, seed), torch.tensor(ids)[:, None].float()], 1)

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        assert not edits
        fields = torch.cat([self._places + self._noise(int(i)) for i in z[:, -1]])
        features = {
            name: F.interpolate(fields, self.layers[name][1:], mode="bicubic", align_corners=True) for name in layers
        }
        return Observation(self._images.observe(z[:, :-1], []).images, features)

    def render(self, r: Tensor, layer: str, z: Latents) -> Tensor:
        raise NotImplementedError

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Tensor:
        raise NotImplementedError

    def _noise(self, i: int) -> Tensor:
        return torch.randn(1, UNITS, 4, 4, generator=torch.Generator().manual_seed(self._seed * 100_003 + i + 1))


@pytest.mark.slow
@pytest.mark.parametrize("validation", ["separate", "cross"])
@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_units_that_do_not_know_the_image_are_not_matched(bias: float, validation: str) -> None:
    scored, above, matched, interpretable = 0, 0, 0, 0
    for seed in range(2):
        found = ganatomy.dissect(
            Blind(bias, seed), segmenter="planted", images=80, resolution=16, validation=validation, seed=seed
        )
        scored += len(found.units) * int((~found.concepts.rare).sum())
        above += int(found.pairs.matched.sum())
        matched += int(found.units.matched.sum())
        interpretable += int(found.units.interpretable.sum())
    assert interpretable > 0, "no unit passes the paper's rule by accident, so the test shows nothing"
    assert above <= 0.01 * scored
    assert matched <= 0.02 * 4 * UNITS
