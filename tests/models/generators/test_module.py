"""The family ``torch``: modules by name, and the Python door."""

from pathlib import Path

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.models.generators import open_generator
from ganatomy.models.generators.module import as_generator, find_latent

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int = 4, size: int = 9):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.ConvTranspose2d(size, width, 16)
        self.relu = nn.ReLU()
        self.last = nn.Conv2d(width, 3, 1)

    def forward(self, z):
        return torch.sigmoid(self.last(self.relu(self.first(z))))

def function():
    return lambda z: z

def network(width: int = 4):
    return Net(width)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = "mod_" + "".join(c if c.isalnum() else "_" for c in request.node.name)
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return f"torch:{name}:"


@pytest.fixture(autouse=True)
def same_randomness() -> object:
    with torch.random.fork_rng():
        yield


def test_a_module_is_opened_by_name(here: str) -> None:
    for name in ("Net", "network"):
        generator = open_generator(f"{here}{name}?width=5")
        assert dict(generator.layers) == {"first": (5, 16, 16), "relu": (5, 16, 16)}
        z = generator.latents(range(2, 5), seed=1)
        assert z.shape == (3, 9, 1, 1)
        images = generator.observe(z, []).images
        assert images.shape == (3, 3, 16, 16)
        assert -1 <= float(images.min()) < 0, "[0, 1] was not taken for black and white"


def test_options_of_the_family(here: str) -> None:
    generator = open_generator(f"{here}Net?latent=9x2x2&bounds=-1..1&layers=relu&width=6")
    assert dict(generator.layers) == {"relu": (6, 17, 17)}
    z = generator.latents(range(2), seed=0)
    assert z.shape == (2, 9, 2, 2)
    assert float(generator.observe(z, []).images.min()) >= 0


def test_it_computes_in_another_number_format(here: str) -> None:
    plain, half = open_generator(f"{here}Net"), open_generator(f"{here}Net?dtype=bfloat16")
    assert plain.fingerprint != half.fingerprint
    assert open_generator(f"{here}Net?dtype=float32").fingerprint == plain.fingerprint
    z = half.latents(range(3), 0)
    assert torch.equal(z, plain.latents(range(3), 0))
    images, expected = half.observe(z, []).images, plain.observe(z, []).images
    assert images.dtype == torch.float32
    assert not torch.equal(images, expected)
    assert torch.allclose(images, expected, atol=0.05)
    with mistake("unknown-name", "bf16", "bfloat16"):
        open_generator(f"{here}Net?dtype=bf16")


def test_weights_come_from_a_file(here: str) -> None:
    plain = open_generator(f"{here}Net")
    state = {name: value + 1 for name, value in plain.network.state_dict().items()}
    torch.save(state, "weights.pt")
    changed = open_generator(f"{here}Net?weights=weights.pt")
    z = plain.latents(range(1), 0)
    assert not torch.allclose(plain.observe(z, []).images, changed.observe(z, []).images, atol=1e-3)
    assert plain.fingerprint != changed.fingerprint
    with mistake("bad-file", "weights.pt", "first.weight", "[9, 4, 16, 16]"):
        open_generator(f"{here}Net?weights=weights.pt&width=5")


@pytest.mark.parametrize(
    ("spec", "code", "fact"),
    [
        ("function", "bad-model", "torch.nn.Module"),
        ("Net?latent=big", "bad-value", "latent='big'"),
        ("Net?latent=0", "bad-value", "latent=(0,)"),
        ("Net?latent=7", "bad-model", "RuntimeError"),
        ("Net?bounds=1", "bad-value", "bounds=(1.0,)"),
        ("Net?bounds=1..0", "bad-value", "bounds=(1.0, 0.0)"),
        ("Net?layers=frist", "unknown-name", "first"),
        ("Net?layers=last", "bad-model", "layer last"),
        ("Net?widht=3", "unknown-name", "width"),
        ("Net?weights=none.pt", "bad-file", "none.pt"),
    ],
)
def test_mistakes_are_told_in_one_line(here: str, spec: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        open_generator(here + spec)


class Reshaping(nn.Module):
    """Draws from flat latents; says nothing of their size but in `attributes`."""

    def __init__(self, size: int, **attributes: object) -> None:
        super().__init__()
        self.first = nn.Linear(size, 3)
        self.size = size
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, z: Tensor) -> Tensor:
        r = self.first(z.reshape(len(z), self.size))
        return nn.functional.interpolate(r[:, :, None, None], (16, 16))


def test_the_latent_is_found() -> None:
    assert find_latent(Reshaping(7), "net") == (7,)
    assert find_latent(Reshaping(6, z_dim=6), "net") == (6,)
    assert find_latent(Reshaping(6, latent_shape=(2, 3)), "net") == (2, 3)
    assert find_latent(Reshaping(6, nz=5), "net") == (6,)
    assert find_latent(nn.Conv2d(7, 3, 4, padding=10), "net") == (7, 1, 1)
    assert find_latent(nn.Sequential(nn.ConvTranspose2d(7, 5, 16), nn.Conv2d(5, 3, 1)), "net") == (7, 1, 1)


def test_a_latent_that_is_not_found_must_be_said() -> None:
    """A decoder of maps draws images of any size: one of a few pixels is no sign of the right latent."""
    with mistake("bad-model", "net", "7x1x1, 7, 3x1x1, 3", "latent=128"):
        find_latent(nn.Conv2d(7, 3, 1), "net")
    with mistake("bad-model", "net", "none"):
        find_latent(nn.Identity(), "net")


class Maps(nn.Module):
    """Brings its own latents."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Upsample(scale_factor=8)

    def latents(self, ids: range, seed: int) -> Tensor:
        return torch.stack([torch.full((4, 2, 2), (seed + i) / 100) for i in ids])

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z)[:, :3].tanh()


class Encoded(Maps):
    """Its latents are computed by weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(4, 4, 1)
        nn.init.dirac_(self.encoder.weight)
        self.register_buffer("count", torch.tensor(300))

    @torch.no_grad()
    def latents(self, ids: range, seed: int) -> Tensor:
        return self.encoder(super().latents(ids, seed))


def test_a_copy_computes_in_the_number_format_and_its_latents_stay() -> None:
    net = Encoded()
    plain, half = as_generator(net), as_generator(net, dtype=torch.bfloat16)
    z = half.latents(range(3), 1)
    assert torch.equal(z, plain.latents(range(3), 1))
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    assert {value.dtype for value in half.network.state_dict().values()} == {torch.bfloat16, torch.int64}
    assert torch.allclose(half.observe(z, []).images, plain.observe(z, []).images, atol=0.01)
    assert as_generator(net.bfloat16(), latents=Maps().latents).layers == plain.layers


def test_latents_may_come_from_elsewhere() -> None:
    own = as_generator(Maps())
    given = as_generator(Maps(), latents=lambda ids, seed: torch.ones(len(ids), 4, 2, 2))
    assert float(own.latents(range(3, 5), 10)[1].mean()) == pytest.approx(0.14)
    assert float(given.latents(range(3, 5), 10).mean()) == 1.0
    assert own.fingerprint != given.fingerprint
    assert as_generator(Maps()).fingerprint == own.fingerprint
