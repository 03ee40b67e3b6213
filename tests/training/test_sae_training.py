"""Sparse autoencoders: planted features are found, dead ones revive, and a training that was killed goes on."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sparse_worlds import SparseWorld
from torch import Tensor, nn

import ganatomy
from ganatomy.models.generators import open_subject
from ganatomy.models.generators.basis import BasisSubject
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.latents import standard_normal
from ganatomy.training.sae import directory
from ganatomy.training.sae.autoencoder import Scores, greatest, measured
from ganatomy.training.sae.places import BATCH, Places
from ganatomy.training.sae.training import Training

SMALL = {"features": 20, "sparsity": 3, "images": 90}
COMMAND = ["sae", "planted:", "--layer", "layer3", "--features", "20", "--sparsity", "3", "--images", "90"]


def trained(world: SparseWorld, features: int, begin: Callable[[Training], None], revival: bool = True) -> Training:
    training = Training(Places(world, "a", 6144, 0), features, 3, revival)
    begin(training)
    training.run()
    return training


def scores(training: Training) -> Scores:
    return measured(training.model.weights(), training.model.sparsity, training.places.held_out())


def similarity(training: Training, world: SparseWorld) -> Tensor:
    """Return of each planted feature the cosine of the decoder's direction that is most like it."""
    return (world.features @ training.model.weights()["W_dec"].T).amax(1)


def test_planted_features_are_recovered_and_beat_principal_directions() -> None:
    world = SparseWorld()
    training = trained(world, 120, lambda _: None)
    assert (similarity(training, world) >= 0.9).double().mean() >= 0.95
    places = training.places.held_out()
    centred = places - places.mean(0)
    best = torch.linalg.eigvalsh((centred.T @ centred).double()).flip(0)
    assert scores(training).variance_explained > float(best[:3].sum() / best.sum()) + 0.3


@pytest.mark.parametrize("revival", [True, False])
def test_dead_features_revive(revival: bool) -> None:
    def starve(training: Training) -> None:
        with torch.no_grad():
            training.model.b_enc[20:] = -30.0  # so that 60 of 80 are active nowhere, and 20 are too few for the world

    world = SparseWorld()
    training = trained(world, 80, starve, revival)
    found, recovered = scores(training), float((similarity(training, world) >= 0.9).double().mean())
    if revival:
        assert found.dead_share <= 0.1
        assert recovered >= 0.9
    else:
        assert found.dead_share >= 0.7
        assert recovered <= 0.5


def test_weights_in_plain_torch_are_those_that_were_scored(tmp_path: Path) -> None:
    found = ganatomy.train_sae("planted:", "layer3", out=tmp_path / "a", **SMALL)
    w = load_file(tmp_path / "a/sae.safetensors")
    assert torch.equal(w["W_dec"], found.weights["W_dec"])
    x = Places(open_subject("planted:"), "layer3", 90, 0).held_out()
    read = torch.relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    best = read.topk(3, dim=1)
    c = torch.zeros_like(read).scatter(1, best.indices, best.values)
    missed = (x - c @ w["W_dec"] - w["b_dec"]).square().sum() / (x - x.mean(0)).square().sum()
    assert found.scores["variance explained"] == pytest.approx(1 - float(missed), abs=1e-3)
    assert found.scores["L0"] == pytest.approx(float((c > 0).sum(1).double().mean()), abs=1e-3)
    assert torch.allclose(w["W_dec"].norm(dim=1), torch.ones(20), atol=1e-5)
    opened = open_subject(f"sae:planted:?layer=layer3&file={tmp_path / 'a'}")
    assert isinstance(opened, BasisSubject)
    assert torch.allclose(opened.directions.encode(x.T[None, :, :, None])[0, :, :, 0].T, c, atol=1e-5)


def test_coefficients_do_not_change_with_the_scale_of_the_layer() -> None:
    """The number by which places are multiplied is in the weights that are written."""
    world = SparseWorld()
    training = Training(Places(world, "a", 0, 0), 30, 3)
    places, weights = training.places.held_out(), training.model.weights()
    scale = training.model.scale
    read = (places * scale - training.model.b_dec) @ training.model.W_enc + training.model.b_enc
    c = greatest((places - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"], 3)
    assert not math.isclose(float(scale), 1, rel_tol=0.1)
    assert torch.allclose(greatest(read, 3) / scale, c, atol=1e-4)


def test_an_untrained_one_is_that_with_which_a_trained_one_begins(tmp_path: Path) -> None:
    control = ganatomy.train_sae("planted:", "layer3", out=tmp_path / "a", **{**SMALL, "images": 0})
    begun = Training(Places(open_subject("planted:"), "layer3", 90, 0), 20, 3).model.weights()
    assert all(torch.equal(value, begun[name]) for name, value in control.weights.items())
    assert torch.equal(control.weights["W_enc"], control.weights["W_dec"].T)
    trained = ganatomy.train_sae("planted:", "layer3", out=tmp_path / "b", **SMALL)
    assert trained.scores["variance explained"] > control.scores["variance explained"]


def test_every_place_is_seen_once_and_shuffled() -> None:
    subject = open_subject("planted:")
    places = Places(subject, "layer1", 700, 3)  # 64 places an image, 512 images a block
    batches = [batch for block in range(places.blocks) for batch in places.batches(block)]
    assert places.blocks == 2
    assert len(batches) == places.steps()
    assert min(map(len, batches)) >= BATCH
    assert sum(map(len, batches)) == 700 * 64
    ordered = places.of(range(512))
    mixed = torch.cat(places.batches(0))
    assert not torch.equal(mixed, ordered)
    assert torch.equal(mixed.sort(0).values, ordered.sort(0).values)
    other = dataclasses.replace(places, seed=4)
    assert not torch.equal(other.of(range(2)), places.of(range(2)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


def test_updates_are_layers_like_any_other(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.ConvTranspose2d(4, 6, 4, 4), Residual(), nn.Conv2d(6, 3, 1), nn.Tanh()).eval()
    subject = HookedGenerator(
        network, lambda ids, seed: standard_normal(ids, seed, (4, 2, 2), torch.device("cpu")), (-1.0, 1.0), ()
    )
    found = ganatomy.train_sae(subject, "1~update", out=tmp_path, features=12, sparsity=2, images=40)
    assert found.card["layer"] == "1~update"
    places = [Places(subject, layer, 2, 0).of(range(2)) for layer in ("0", "1", "1~update")]
    assert torch.allclose(places[1] - places[0], places[2], atol=1e-6)


@pytest.mark.slow
def test_layers_of_one_step_are_read() -> None:
    subject = open_subject("bundled:church-words")
    found = [Places(subject, layer, 8, 0).of(range(2)) for layer in ("up2@4", "up2@5")]
    assert {each.shape for each in found} == {(2 * 64, 128)}
    assert not torch.equal(found[0], found[1])


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = ganatomy.train_sae("planted:", "layer3", out=tmp_path / "whole", save_every=1e9, **SMALL)
    code = (
        "import os, signal, sys\n"
        "from ganatomy.cli import main\n"
        "from ganatomy.training.sae.training import Training\n"
        "learn, die = Training._learn, int(sys.argv[1])\n"
        "def learn_or_die(self, batch):\n"
        "    if self.step == die: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    learn(self, batch)\n"
        "Training.seconds = lambda self: 0.0\n"
        "Training._learn = learn_or_die\n"
        "sys.exit(main(sys.argv[2:]))\n"
    )
    command = [*COMMAND, "--out", str(tmp_path / "killed"), "--save-every", "0", "--device", "cpu", "--quiet"]
    alike = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on the number of threads
    for step in (7, 15):
        done = subprocess.run([sys.executable, "-c", code, str(step), *command], env=alike, check=False)
        assert done.returncode == -signal.SIGKILL
        assert int(load_file(tmp_path / "killed/training.safetensors")["seen"]) == step
    found = ganatomy.train_sae("planted:", "layer3", out=tmp_path / "killed", **SMALL)
    assert (tmp_path / "killed/sae.safetensors").read_bytes() == (tmp_path / "whole/sae.safetensors").read_bytes()
    assert found.scores == whole.scores
    assert sorted(each.name for each in (tmp_path / "killed").iterdir() if each.name[0] != ".") == [
        "sae.json",
        "sae.safetensors",
    ]


def test_an_estimate_changes_no_number() -> None:
    places = Places(open_subject("planted:"), "layer1", 300, 0)
    plain, estimated = Training(places, 20, 3), Training(places, 20, 3)
    assert estimated.seconds() > 0
    plain.run()
    estimated.run()
    state = plain.state()
    assert all(torch.equal(value, state[name]) for name, value in estimated.state().items())
    assert estimated.seconds() == 0


def test_a_study_gives_generator_and_seed(here: Path) -> None:
    study = ganatomy.open_dissection("study")
    found = ganatomy.train_sae(study, "layer2", out="a", **{**SMALL, "images": 0})
    assert found.card["generator"] == "planted:"
    assert found.card["seed"] == study.spec.seed
    assert found.card["fingerprint"] == study.facts["inputs"]["generator"]
    again = ganatomy.train_sae("study", "layer2", out="b", **{**SMALL, "images": 0})
    assert again.card["sha256"] == found.card["sha256"]


@pytest.mark.parametrize(
    ("value", "fact"), [(math.nan, "layer a is NaN or Inf in images 0"), (0.0, "layer a is the same everywhere")]
)
def test_a_layer_that_cannot_be_learned_is_refused(
    value: float, fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = SparseWorld.observe

    def spoiled(*given: object) -> ganatomy.Observation:
        seen = observe(*given)  # type: ignore[arg-type]
        return dataclasses.replace(seen, features={"a": seen.features["a"] * value})

    monkeypatch.setattr(SparseWorld, "observe", spoiled)
    with pytest.raises(ganatomy.BadModel, match=fact):
        ganatomy.train_sae(SparseWorld(), "a", out=tmp_path / "a", **SMALL)


def test_a_full_disk_is_one_line_and_keeps_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "sae.safetensors" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ganatomy.StudyError, match="No space left on device"):
        ganatomy.train_sae("planted:", "layer1", out=tmp_path, **SMALL)
    monkeypatch.undo()
    state = load_file(tmp_path / directory.STATE)
    found = ganatomy.train_sae("planted:", "layer1", out=tmp_path, **SMALL)
    assert torch.equal(found.weights["W_dec"], state["W_dec"])


def test_a_damaged_state_is_one_line(tmp_path: Path) -> None:
    about = {"facts": json.dumps({"generator": "planted:"})}
    directory.safetensors.torch.save_file({"seen": torch.tensor(1)}, tmp_path / directory.STATE, about)
    with pytest.raises(ganatomy.StudyMismatch, match="another training"):
        ganatomy.train_sae("planted:", "layer1", out=tmp_path, **SMALL)
    for content in (b"", b"\x00" * 100, b"{}"):
        (tmp_path / directory.STATE).write_bytes(content)
        with pytest.raises(ganatomy.BadFile, match="begin anew"):
            ganatomy.train_sae("planted:", "layer1", out=tmp_path, **SMALL)
