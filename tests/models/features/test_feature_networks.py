"""Feature networks by name: segmenters that describe images, any torch module, and what is refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake
from safetensors.torch import save_file
from torch import Tensor, nn

import ganatomy
from ganatomy.cli import main
from ganatomy.models.features import FEATURES, FeatureNetwork, checked_vectors, open_features
from ganatomy.models.features.module import ModuleFeatures, Preprocess

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
CPU = torch.device("cpu")
CODE = """
import torch
from torch import nn

class Means(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 1)
        self.drop = nn.Dropout(0.5)
    def forward(self, x):
        return self.drop(self.conv(x).mean((2, 3)))

def maps():
    return nn.Conv2d(3, 5, 3)

def shapes(x=None):
    return lambda x: torch.tensor([x.shape[2], x.shape[3]]).float().expand(len(x), 2)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_features.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    for name in ("own_features", "own_seen"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def given(module: Callable[..., Any], pool: bool = False, **options: Any) -> ModuleFeatures:
    return ModuleFeatures(module, Preprocess(**options), pool=pool, device=CPU, name="own")


def test_the_bundled_segmenter_describes_images_as_before() -> None:
    network: Any = ganatomy.open_features("bundled:scenes?size=64")
    segmenter: Any = ganatomy.open_segmenter("bundled:scenes?size=64")
    assert isinstance(network, FeatureNetwork)
    assert network.fingerprint == segmenter.fingerprint
    assert torch.equal(network.features(IMAGES), segmenter.features(IMAGES))


def test_a_module_by_name_has_its_weights(here: Path) -> None:
    weights = {"net.conv.weight": torch.ones(2, 3, 1, 1), "net.conv.bias": torch.tensor([0.0, 5.0])}
    save_file(weights, here / "w.safetensors")
    spec = "torch:own_features:Means?width=2&weights=w.safetensors&prefix=net."
    network = open_features(spec)
    means = IMAGES.mean((2, 3)).sum(1)
    torch.testing.assert_close(network.features(IMAGES), torch.stack([means, means + 5], 1))  # without dropout
    assert not network.features(IMAGES).requires_grad
    assert open_features(spec).fingerprint == network.fingerprint
    others = [spec + option for option in ("&size=4", "&bounds=0..1", "&mean=0,0,1", "&std=1,1,2", "&pool=yes")]
    weights["net.conv.bias"] += 1
    save_file(weights, here / "w.safetensors")
    prints = {network.fingerprint, *(open_features(each).fingerprint for each in [spec, *others])}
    assert len(prints) == 2 + len(others)


def test_maps_are_averaged_if_asked(here: Path) -> None:
    torch.manual_seed(0)
    with mistake("bad-model", [3, 5, 6, 6], "vector", "pool=yes"):
        open_features("torch:own_features:maps").features(IMAGES)
    assert open_features("torch:own_features:maps?pool=yes").features(IMAGES).shape == (3, 5)
    halves = given(lambda x: x.half(), pool=True).features(IMAGES)
    assert halves.dtype == torch.float32
    torch.testing.assert_close(halves, IMAGES.mean((2, 3)), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("options", "black", "white"),
    [
        ("", -1.0, 1.0),
        ("bounds=0..255", 0.0, 255.0),
        ("mean=0.5,0.5,0.5&std=0.25,0.25,0.25", -2.0, 2.0),
        ("bounds=0..2&mean=1,1,1", -1.0, 1.0),
    ],
)
def test_as_what_images_are_given(options: str, black: float, white: float, here: Path) -> None:
    (here / "own_seen.py").write_text("def seen():\n    return lambda x: x[:, :, 0, 0]\n")
    ends = torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 3, 4, 4)
    found = open_features(f"torch:own_seen:seen?{options}").features(ends)
    assert found.tolist() == [[black] * 3, [white] * 3]


def test_images_are_resized_if_asked() -> None:
    assert open_features("torch:own_features:shapes").features(IMAGES).tolist() == [[8, 8]] * 3
    assert open_features("torch:own_features:shapes?size=5").features(IMAGES[..., :6]).tolist() == [[5, 5]] * 3


def test_nothing_is_made_on_another_device() -> None:
    seen = []

    def watch(x: Tensor) -> Tensor:
        seen.append(x.device.type)
        return torch.zeros(3, 2)

    given(watch, size=4, mean=(0.5, 0.5, 0.5), std=(2.0, 2.0, 2.0)).features(IMAGES.to("meta"))
    assert seen == ["meta"]


@pytest.mark.parametrize(
    ("found", "fact"),
    [
        (None, "NoneType"),
        ((torch.zeros(3, 2),), "tuple"),
        (torch.zeros(3, 2, dtype=torch.long), "torch.int64"),
        (torch.zeros(2, 2), "[2, 2]"),
        (torch.zeros(3), "[3]"),
        (torch.zeros(3, 0), "[3, 0]"),
        (torch.zeros(3, 2, 4), "[3, 2, 4]"),
        (torch.tensor([[1.0], [torch.nan], [0.0]]), "NaN"),
    ],
)
def test_what_is_no_vector_of_each_image(found: Any, fact: str) -> None:
    with mistake("bad-model", "own", fact):
        given(lambda x: found).features(IMAGES)


def test_a_module_that_raises_is_named() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("no kernel\nfor this")

    with mistake("bad-model", "own", "RuntimeError", "no kernel"):
        given(broken).features(IMAGES)
    net = nn.Linear(2, 2)
    nn.init.constant_(net.weight, torch.nan)
    with mistake("bad-file", "weight", "NaN"):
        given(net)


def test_ones_at_the_end_are_no_places() -> None:
    assert checked_vectors(torch.ones(3, 5, 1, 1), IMAGES, "own").shape == (3, 5)


@pytest.mark.parametrize(
    ("spec", "code", "fact"),
    [
        ("colors", "bad-model", "bundled:scenes"),
        ("nothing", "unknown-name", "bundled, caption, clip, inception, torch, unet"),
        ("bundled:church", "unknown-name", "church"),
        ("bundled:scenes?width=4", "unknown-name", "width"),
        ("unet:nowhere.safetensors", "bad-file", "nowhere.safetensors"),
        ("torch:own_features:means", "unknown-name", "Means"),
        ("torch:own_features:Means?weights=nowhere.pth", "bad-file", "nowhere.pth"),
        ("torch:own_features:shapes?weights=own_features.py", "bad-value", "weights=own_features.py"),
        ("torch:own_features:Means?bounds=1..0", "bad-value", "bounds=(1.0, 0.0)"),
        ("torch:own_features:Means?bounds=a..b", "bad-value", "bounds='a..b'"),
        ("torch:own_features:Means?mean=1,2", "bad-value", "mean=(1.0, 2.0)"),
        ("torch:own_features:Means?std=0,1,1", "bad-value", "std=(0.0, 1.0, 1.0)"),
        ("torch:own_features:Means?size=0", "bad-value", "size=0"),
    ],
)
def test_what_cannot_be_opened(spec: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        open_features(spec)


def test_the_families_are_listed_and_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert FEATURES.group == "ganatomy.feature_networks"  # as doctor looks for plug-ins, and the guide says
    assert main(["models"]) == 0
    listed = capsys.readouterr().out.partition("feature networks")[2]
    guide = (Path(__file__).parents[3] / "docs" / "features.md").read_text(encoding="utf-8")
    for name in FEATURES.names():
        assert f"  {name} " in listed
        assert f"`{name}" in guide
