"""Real images beside those of a generator that draws no squares: cut to its shape, in the order they are kept."""

import dataclasses
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from mistakes import mistake
from PIL import Image
from torch import Tensor, nn

import ganatomy
from ganatomy.core.progress import NullProgress
from ganatomy.core.tensor_files import Archive, write
from ganatomy.engines import local
from ganatomy.experiments.artifacts import run_artifacts
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.real_comparison import (
    ArtifactSpec,
    FeatureTable,
    RealComparison,
    describe_made,
    describe_real,
    describe_reals,
    open_comparison,
)
from ganatomy.experiments.run_options import RunOptions
from ganatomy.stats.frechet import FeatureMoments, frechet_distance
from ganatomy.study import sharded

SMALL = {"images": 60, "top": 20, "reals": 30, "draws": 2}
CODE = """
from torch import nn

class Corners(nn.Module):
    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
"""


class Wide(nn.Module):
    """Two units, drawn 16 × 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        r = nn.functional.interpolate(self.units(z), (16, 32), mode="bilinear")
        return torch.cat([r, r[:, :1]], 1).tanh()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DissectedModel]:
    place = tmp_path_factory.mktemp("wide")
    (place / "corner_features.py").write_text(CODE)
    (place / "real").mkdir()
    dice = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(dice.integers(0, 256, (40, 40, 3), np.uint8)).save(place / "real" / f"{i}.png")
    generator = ganatomy.as_generator(Wide(), latent=(2, 4, 8), bounds=(-1, 1), layers=("units",))
    ganatomy.dissect(generator, segmenter="colors", images=20, out=place / "study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield open_source(place / "study", generator=generator, run=RunOptions(16, 20))


@pytest.fixture
def compared(source: DissectedModel) -> RealComparison:
    own: dict[str, Any] = {"real": "real", "features": "torch:corner_features:Corners", **SMALL}
    compared = open_comparison(ArtifactSpec(**source.names(), layer="units", **own), source)
    assert compared.width == 12
    return compared


def test_real_images_are_cut_to_the_shape_of_the_generated(compared: RealComparison) -> None:
    assert compared.frame.shape == (16, 32)
    first = compared.images.sample_indices(range(30), 0)
    found = compared.real(range(30))
    for n, cropped in zip(sorted(first), found, strict=True):
        image = Image.open(f"real/{sorted(Path('real').iterdir(), key=str)[n].name}")
        middle = image.resize((32, 16), Image.Resampling.BILINEAR, (0, 10, 40, 30))
        assert torch.equal(cropped, torch.from_numpy(np.array(middle)).permute(2, 0, 1).float() / 127.5 - 1)


def test_the_order_changes_no_moment(compared: RealComparison) -> None:
    shuffled = FeatureMoments(12)
    shuffled.update(
        compared.features(compared.images.images(compared.images.sample_indices(range(30), 0), compared.frame))
    )
    parts = [describe_real(compared, ids) for ids in (range(7), range(7, 30))]
    whole = describe_reals(compared, local)
    for found in (parts[0].merge(parts[1]), whole):
        assert float(frechet_distance(shuffled, found).distance) == pytest.approx(0, abs=1e-6)
        torch.testing.assert_close(found.mean(), shuffled.mean())


def test_shards_are_kept_in_blocks_that_are_read_one_at_a_time(tmp_path: Path) -> None:
    """At the paper's size the tables take 2 GB: nothing may hold them twice."""
    x, y = torch.rand(9, 4), torch.rand(9, 2)
    shards = [slice(0, 3), slice(3, 4), slice(4, 9)]
    one, two, three = (FeatureTable.of([x[own]], [y[own]]) for own in shards)
    whole = one.merge(two).merge(three)
    for each in (whole, one.merge(two.merge(three)), FeatureTable.of(x.split(2), y.split(2))):
        assert torch.equal(each.features, x)
        assert torch.equal(each.peaks, y)
    assert [each.shape for name, each in whole.state_dict().items() if "features" in name] == [(3, 4), (1, 4), (5, 4)]
    assert whole.state_dict()["features:1"].data_ptr() == two.state_dict()["features:0"].data_ptr()
    whole.features.zero_()
    assert torch.equal(whole.features, x), "a table is the caller's own"
    write(tmp_path / "made.npz", whole.state_dict())
    read: list[str] = []

    class Noted(Archive):
        def __getitem__(self, name: str) -> torch.Tensor:
            read.extend([name] if name != "rows" else [])
            return super().__getitem__(name)

    again = FeatureTable.from_state(Noted(tmp_path / "made.npz"))
    assert not read
    assert torch.equal(again.features, x)
    assert read == ["features:0", "features:1", "features:2"]
    assert torch.equal(again.merge(one).peaks, torch.cat([y, y[:3]]))
    for name, other in (("features", FeatureTable.of([x[:, 1:]], [y])), ("peaks", FeatureTable.of([x], [y[:, 1:]]))):
        with mistake("bad-value", name):
            whole.merge(other)


def test_what_is_saved_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a long run wait in the file: its memory is that of the newest ones."""
    monkeypatch.setattr(sharded, "SAVE_RATIO", 0)
    x, held = torch.rand(5, 3), list[weakref.ref[torch.Tensor]]()

    def described(shard: range) -> FeatureTable:
        assert [each() for each in held[:-1]] == [None] * len(held[:-1])
        own = FeatureTable.of([x[shard.start : shard.stop]], [x[shard.start : shard.stop]])
        held.append(weakref.ref(own.state_dict()["features:0"]))
        return own

    job = sharded.ShardedStep("rows", FeatureTable, described, [range(i, i + 1) for i in range(5)])
    (tmp_path / "steps").mkdir()
    sharded.count(tmp_path / "steps" / "rows.npz", job, local, NullProgress())
    assert torch.equal(FeatureTable.from_state(Archive(tmp_path / "steps" / "rows.npz")).features, x)


def test_the_distance_is_that_of_the_ordinary_routine(compared: RealComparison) -> None:
    real, made = describe_real(compared, range(30)), describe_made(compared, [()], compared.spec.ids()).features
    x, y = compared.features(compared.real(range(30))).double().numpy(), made.double().numpy()
    mean, one, two = x.mean(0) - y.mean(0), np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    ordinary = mean @ mean + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)
    moments = FeatureMoments(12)
    moments.update(made)
    assert float(frechet_distance(real, moments).distance) == pytest.approx(ordinary, rel=1e-4)


def test_units_are_ranked_by_images_that_are_no_squares(
    compared: RealComparison, source: DissectedModel, tmp_path: Path
) -> None:
    assert isinstance(compared.spec, ArtifactSpec)
    found = run_artifacts(compared.spec, source, tmp_path / "out")
    assert sorted(found.table.unit) == [0, 1]
    assert found.facts["features"] == 12
    other = dataclasses.replace(compared.spec, real="scenes:church")
    assert open_comparison(other, source).real(range(2)).shape == (2, 3, 16, 32)
