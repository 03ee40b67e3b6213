"""What every registered family must do that looks at images and draws none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mistakes import mistake
from torch import Tensor

from ganatomy.interventions import Intervention
from ganatomy.models.generators import Generator, Subject, open_generator, open_subject
from ganatomy.models.generators.classifier import Classifier
from ganatomy.models.generators.discriminator import discriminator_network

MODULE = """
import torch

class Block(torch.nn.Module):
    def __init__(self, u):
        super().__init__()
        self.conv, self.norm, self.act = torch.nn.Conv2d(u, u, 3, 1, 1), torch.nn.BatchNorm2d(u), torch.nn.ReLU(True)

    def forward(self, x):
        return self.act(x + self.norm(self.conv(x)))

def net():
    stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(True))
    return torch.nn.Sequential(stem, Block(8), Block(8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                               torch.nn.Dropout(), torch.nn.Linear(8, 4))
"""


def classifier_spec(directory: Path, seed: int) -> str:
    (directory / "net_that_looks.py").write_text(MODULE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = {key: torch.rand(shape) - 0.4 for key, shape in SHAPES.items()}
    for layer in (1, 2):
        state |= {f"{layer}.norm.running_mean": torch.zeros(8), f"{layer}.norm.running_var": torch.ones(8)}
    safetensors.torch.save_file(state, directory / f"{seed}.safetensors")
    return f"classifier:net_that_looks:net?images=scenes:church&size=32&weights={directory}/{seed}.safetensors"


SHAPES: dict[str, tuple[int, ...]] = {"0.0.weight": (8, 3, 3, 3), "0.0.bias": (8,)}
for _block in (1, 2):
    SHAPES |= {f"{_block}.conv.weight": (8, 8, 3, 3), f"{_block}.conv.bias": (8,)}
    SHAPES |= {f"{_block}.norm.weight": (8,), f"{_block}.norm.bias": (8,)}
SHAPES |= {"6.weight": (4, 8), "6.bias": (4,)}


def discriminator_spec(directory: Path, seed: int) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        safetensors.torch.save_file(
            discriminator_network([4, 8, 8, 8]).state_dict(), directory / f"d{seed}.safetensors"
        )
    return f"discriminator:{directory}/d{seed}.safetensors?images=scenes:livingroom"


EXAMPLES: dict[str, Callable[[Path, int], str]] = {
    "bundled": lambda directory, seed: "bundled:church-discriminator",
    "classifier": classifier_spec,
    "discriminator": discriminator_spec,
}


@pytest.fixture(scope="module", params=[pytest.param("bundled", marks=pytest.mark.slow), "classifier", "discriminator"])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    directory = tmp_path_factory.mktemp("subjects")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        yield lambda seed: EXAMPLES[request.param](directory, seed)


@pytest.fixture(scope="module")
def subject(spec: Callable[[int], str]) -> Classifier:
    opened = open_subject(spec(0))
    assert isinstance(opened, Classifier)
    return opened


@pytest.fixture(scope="module")
def z(subject: Classifier) -> Tensor:
    return subject.latents(range(5), 0)


def some(subject: Classifier) -> list[str]:
    return list(subject.layers)[::3] + list(subject.layers)[-1:]


def test_it_is_a_subject_and_no_generator(subject: Classifier, spec: Callable[[int], str]) -> None:
    assert isinstance(subject, Subject)
    assert not isinstance(subject, Generator)
    with mistake("bad-model", spec(0)):
        open_generator(spec(0))


def test_one_pass_shows_images_and_layers_of_the_stated_shapes(subject: Classifier, z: Tensor) -> None:
    seen = subject.observe(z, list(subject.layers))
    assert {layer: tuple(r.shape[1:]) for layer, r in seen.features.items()} == dict(subject.layers)
    assert all(r.dtype == torch.float32 and not r.requires_grad for r in seen.features.values())
    assert seen.images.shape[:2] == (5, 3)
    assert float(seen.images.abs().max()) <= 1
    assert seen.shown is not None
    assert len(set(seen.shown.indices)) == 5


def test_latents_depend_on_seed_and_id_only(subject: Classifier) -> None:
    z = subject.latents(range(6), 3)
    assert torch.equal(subject.latents(range(2, 5), 3), z[2:5])
    assert not torch.equal(subject.latents(range(6), 4), z)
    assert len(subject.latents(range(0), 3)) == 0


def test_a_image_is_seen_as_if_alone(subject: Classifier, z: Tensor) -> None:
    names = some(subject)
    together, alone = subject.observe(z, names), subject.observe(z[2:3], names)
    assert torch.equal(alone.images, together.images[2:3])
    for name in names:
        assert torch.allclose(alone.features[name], together.features[name][2:3], atol=1e-4), name


def test_edits_change_later_layers_and_scores_and_no_image(subject: Classifier, z: Tensor) -> None:
    first, *_, last = subject.layers
    edit = Intervention.insert(first, subject.layers[first], [0, 1], torch.full((subject.layers[first].units,), 9.0))
    plain, seen = subject.observe(z, [first, last]), subject.observe(z, [first, last], [edit])
    assert torch.equal(seen.images, plain.images)
    assert torch.equal(seen.features[first], edit(plain.features[first]))
    assert not torch.allclose(seen.features[last], plain.features[last], atol=1e-3)


def test_the_rest_gives_the_scores_of_edited_features_and_leaves_nothing(subject: Classifier, z: Tensor) -> None:
    before = subject.observe(z, some(subject))
    for layer in subject.layers:
        rest = subject.rest(z, layer)
        assert rest.short, layer
        assert rest.output.shape == (5, subject.scores)
        assert torch.equal(rest.features, subject.observe(z, [layer]).features[layer]), layer
        assert torch.allclose(rest(rest.features), rest.output, atol=1e-5), layer
        other = rest.features.clone()
        other[2] = 3 * other[2].flip(0) + 1
        changed = (rest(other) - rest.output).abs().amax(1)
        assert float(changed[2]) > 1e-4, layer
        assert float(changed[[0, 1, 3, 4]].max()) < 1e-5, layer
    after = subject.observe(z, some(subject))
    assert all(torch.equal(after.features[name], r) for name, r in before.features.items())


def test_what_is_no_layer_is_refused_in_one_line(subject: Classifier, z: Tensor) -> None:
    for use in (lambda: subject.observe(z, ["no such layer"]), lambda: subject.rest(z, "no such layer")):
        with mistake("unknown-name", "no such layer"):
            use()
    for layer in subject.others:
        with mistake("bad-model", layer):
            subject.observe(z, [layer])


def test_images_without_classes_have_no_accuracy(subject: Classifier, z: Tensor) -> None:
    with mistake("bad-value", "folder"):
        subject.truth(z)


def test_the_fingerprint_is_of_the_weights(spec: Callable[[int], str], subject: Classifier) -> None:
    again = open_subject(spec(0))
    assert again.fingerprint == subject.fingerprint
    if spec(1) != spec(0):
        assert open_subject(spec(1)).fingerprint != subject.fingerprint


def test_half_precision_takes_and_gives_float32(spec: Callable[[int], str], subject: Classifier, z: Tensor) -> None:
    name = spec(0)
    half = open_subject(name + ("&" if "?" in name else "?") + "dtype=bfloat16")
    assert isinstance(half, Classifier)
    assert half.fingerprint != subject.fingerprint
    for layer in some(subject):
        rest, full = half.rest(z, layer), subject.rest(z, layer)
        assert (rest.features.dtype, rest.output.dtype) == (torch.float32, torch.float32)
        assert torch.equal(rest(rest.features), rest.output), layer
        assert torch.allclose(rest.features, full.features, atol=0.05 * float(full.features.abs().max())), layer
