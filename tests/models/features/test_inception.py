"""Inception-v3 beside pytorch-fid's, with the same weights made of seeds; then what files are refused.

The expected numbers are those of pytorch-fid 0.3.0 with torchvision 0.28.0 and torch 2.13.0 on a CPU.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from safetensors.torch import save_file
from torch import Tensor

from ganatomy.core.fingerprint import file_sha256
from ganatomy.models.features import FeatureNetwork, inception, open_features
from ganatomy.models.features.inception import CLASSES, Inception, InceptionFeatures
from ganatomy.models.weights import MODEL_ZOO, State

EXPECTED = json.loads((Path(__file__).parent / "inception_expected.json").read_text())


def seeded_weights(shapes: Mapping[str, torch.Size]) -> State:
    """Weights with which signals neither die nor grow, one seed a tensor."""
    state = {}
    for seed, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        uniform = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros(shape, dtype=torch.long)
        elif len(shape) > 1:
            state[name] = (2 * uniform - 1) * math.sqrt(6 / shape[1:].numel())
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = uniform / 2 + 0.75
        else:
            state[name] = (2 * uniform - 1) / 5
    return state


def random_images(side: int) -> Tensor:
    """One image of smooth colours, one of noise."""
    dice = torch.Generator().manual_seed(side)
    noise = torch.rand(2, 3, side, side, generator=dice) * 2 - 1
    angles = torch.linspace(0, 9, side)
    smooth = torch.stack([(angles[:, None] * a).sin() * (angles * b).cos() for a, b in ((1, 2), (2, 1), (3, 0.5))])
    return torch.stack([smooth, noise[1]])


@pytest.fixture(scope="module")
def state() -> State:
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Inception().state_dict().items()}
    return seeded_weights({**shapes, "fc.weight": torch.Size([CLASSES, 2048]), "fc.bias": torch.Size([CLASSES])})


@pytest.fixture(scope="module")
def network(state: State) -> InceptionFeatures:
    return InceptionFeatures(state, "seeds", torch.device("cpu"))


@pytest.mark.slow
def test_the_published_names_are_all_there(state: State) -> None:
    assert len(state) == EXPECTED["tensors"]
    assert sum(tensor.numel() for tensor in state.values()) == EXPECTED["numbers"]


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 299, 400])
def test_features_are_those_of_pytorch_fid(network: InceptionFeatures, side: int) -> None:
    own = EXPECTED["features"][str(side)]
    found = network.features(random_images(side))
    assert found.shape == (2, 2048)
    assert isinstance(network, FeatureNetwork)
    for i in range(2):
        torch.testing.assert_close(found[i, :: EXPECTED["every"]], torch.tensor(own["some"][i]), rtol=1e-4, atol=1e-5)
        assert float(found[i].double().norm()) == pytest.approx(own["norm"][i], rel=1e-5)


@pytest.mark.slow
def test_images_are_described_one_by_one(network: InceptionFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
    two = random_images(32)
    together = network.features(two)
    assert network.features(two[:0]).shape == (0, 2048)
    monkeypatch.setattr(inception, "AT_ONCE", 1)
    torch.testing.assert_close(network.features(two), together)


def test_it_computes_in_whole_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watch(images: Tensor) -> Tensor:
        seen.append(torch.backends.cudnn.allow_tf32)
        return images.mean((2, 3))

    monkeypatch.setattr(inception, "load_folded", lambda *_: torch.nn.Identity())
    network = InceptionFeatures({}, "nothing", torch.device("cpu"))
    network._net = watch  # type: ignore[assignment]
    before = torch.backends.cudnn.allow_tf32
    network.features(random_images(8))
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.slow
def test_it_is_opened_by_its_file(state: State, network: InceptionFeatures, tmp_path: Path) -> None:
    save_file(state, tmp_path / "net.safetensors")
    assert open_features(f"inception:{tmp_path / 'net.safetensors'}").fingerprint == network.fingerprint


def test_what_was_fetched_is_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    there = tmp_path / "cache" / "inception" / MODEL_ZOO["inception"].files[0]
    there.parent.mkdir(parents=True)
    torch.save({"other": torch.zeros(1)}, there)
    with mistake("bad-file", there, "sha256"):
        open_features("inception")
    monkeypatch.setitem(MODEL_ZOO, "inception", replace(MODEL_ZOO["inception"], sha256=file_sha256(there)))
    with mistake("bad-file", there, "Inception-v3"):
        open_features("inception")


def test_offline_and_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    with mistake("bad-file", "inception", "96 MB", "ganatomy models fetch inception"):
        open_features("inception")
    with mistake("bad-file", tmp_path / "nowhere.pth"):
        open_features(f"inception:{tmp_path / 'nowhere.pth'}")
    with mistake("unknown-name", "inception", "size"):
        open_features("inception?size=64")


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        ({"fc.weight": torch.zeros(1000, 2)}, "1000 classes"),
        ({"down.0.weight": torch.zeros(1)}, "not Inception-v3"),
        ({"fc.weight": torch.zeros(CLASSES, 2)}, "Conv2d_1a_3x3.conv.weight"),
    ],
)
def test_other_weights_are_refused(state: State, fact: str, tmp_path: Path) -> None:
    save_file(state, tmp_path / "net.safetensors")
    with mistake("bad-file", fact):
        open_features(f"inception:{tmp_path / 'net.safetensors'}")
