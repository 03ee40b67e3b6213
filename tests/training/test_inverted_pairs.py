"""Scene pairs of models that are inverted for them: drawn exactly by a flow, by few places of a GAN, or refused."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ganatomy
from ganatomy.engines import local
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import Generator, as_generator
from ganatomy.models.generators.directions import Directions
from ganatomy.models.generators.flow import RealNVP
from ganatomy.scenes import ScenePairs
from ganatomy.training.dictionaries.inverted_pairs import FoundPairs, PairSpec, invert_pairs
from ganatomy.training.dictionaries.single_objects import PairedScenes, pair_measure
from ganatomy.training.dictionaries.spec import NAMES

SIDE, EACH = 32, 3


class Colours(nn.Module):
    """Three units on 8 × 8 places, each of which draws one colour."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.ConvTranspose2d(4, 3, 8)
        nn.init.normal_(self.units.weight, std=0.7)  # so that the scenes are no farther than a standard deviation
        self.larger = nn.Upsample(scale_factor=SIDE // 8, mode="bilinear")

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = torch.tanh(self.larger(self.units(z[:, :, None, None])))
        return found


def squares() -> PairedScenes:
    """Return pairs of dark scenes, one of which has a red, green or blue square."""
    kinds = {}
    for colour, name in enumerate(("red", "green", "blue")):
        without = np.full((EACH, 3, SIDE, SIDE), 40, np.uint8)
        shown, where = without.copy(), np.zeros((EACH, SIDE, SIDE), bool)
        for i in range(EACH):
            where[i, 4 * i : 4 * i + 12, 8 + 4 * i : 20 + 4 * i] = True
            shown[i, colour][where[i]] = 230
        kinds[name] = ScenePairs(shown, without, where)
    return PairedScenes(tuple(kinds), np.repeat(np.arange(3), EACH), kinds)


def every(scenes: PairedScenes) -> ScenePairs:
    parts = [scenes.pairs[name] for name in scenes.kinds]
    return ScenePairs(
        *(np.concatenate([getattr(own, name) for own in parts]) for name in ("shown", "without", "where"))
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DissectedModel:
    place = tmp_path_factory.mktemp("planted") / "study"
    found = ganatomy.dissect("planted:", segmenter="planted", images=8, layers=["layer1"], out=place)
    return DissectedModel(found, ModelPair("planted:", "planted", "cpu"))


def inverted(source: DissectedModel, generator: Generator, layer: str, directory: Path, steps: int = 200) -> FoundPairs:
    own = dataclasses.replace(source, models=ModelPair(generator, "planted", "cpu"))
    spec = PairSpec(**source.names(), layer=layer, images=8, steps=steps, category="squares", pairs=EACH)
    return invert_pairs(own, spec, every(squares()), directory, local, None)


def measured(found: FoundPairs, generator: Generator, layer: str) -> dict[str, float]:
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    given = {name: Directions.linear(torch.eye(3) if name == "units" else rotation) for name in NAMES}
    scenes = squares()
    measure = pair_measure(partial(found.features, generator, layer), layer, given, scenes, 4, 0)
    return {name: float(own[0]) for name, own in measure.values.items()}


@pytest.mark.slow
def test_units_that_draw_one_object_each_are_known_and_what_was_found_is_kept(
    source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    generator = as_generator(Colours(), latent=(4,), bounds=(-1, 1))
    found = inverted(source, generator, "units", tmp_path / "pairs")
    assert found.refusal() == ""
    assert float(found.like.min()) > 0.8
    assert torch.equal(found.z, found.z_without), "the latent is shared"
    values = measured(found, generator, "units")
    assert values["units"] > 0.15, "of 0.45 at most, as few pairs give much by chance"
    assert values["units"] > 2 * values["rotation"]
    monkeypatch.setattr("ganatomy.study.count_all", None)  # which counts shards
    again = inverted(source, generator, "units", tmp_path / "pairs")
    assert torch.equal(again.offset, found.offset)


@pytest.mark.slow
def test_a_flow_draws_pairs_exactly(source: DissectedModel, tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = RealNVP(SIDE, (4, 4), steps=2)
    generator = as_generator(flow, latent=(flow.latent,), bounds=(-1, 1))
    generator.encode = lambda images: flow.inverse(images)[0]
    found = inverted(source, generator, "", tmp_path / "pairs")
    assert found.refusal() == ""
    assert float(found.like.min()) > 0.999
    assert float(found.outside.max()) < 1e-3
    layer = next(iter(generator.layers))
    one, other = found.features(generator, layer, slice(0, 2))
    assert one.shape == (2, *generator.layers[layer])
    assert not torch.allclose(one, other)


@pytest.mark.slow
def test_pairs_that_are_not_drawn_are_refused_in_a_sentence(source: DissectedModel, tmp_path: Path) -> None:
    torch.manual_seed(0)
    colours = Colours()
    colours.larger = nn.Sequential(colours.larger, nn.Conv2d(3, 3, 1, bias=False))  # type: ignore[assignment]
    nn.init.constant_(colours.larger[1].weight, 0.01)  # nearly black, whatever the units are
    generator = as_generator(colours, latent=(4,), bounds=(-1, 1))
    text = inverted(source, generator, "units", tmp_path / "pairs", steps=5).refusal()
    assert text.startswith("Scene pairs were not compared: the model does not draw what they differ in exactly enough.")


def test_of_pairs_at_least_half_of_the_variance_is_drawn() -> None:
    found, ones = FoundPairs(1, (0, 1, 1)), torch.ones(2)
    found.like, found.outside = 0.75 * ones, 0.1 * ones
    assert found.refusal() == ""
    found.like = 0.65 * ones
    assert "correlates with that of the scenes at 0.65 (at least 0.7 is needed)" in found.refusal()
    found.like = torch.nan * ones
    assert found.refusal()
