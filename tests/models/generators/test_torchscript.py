"""Traces of TorchScript: the same layers and images as the module that was traced, and nothing that runs."""

import itertools
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.models.generators import as_generator, open_generator


class Block(nn.Module):
    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, 3, padding=1)
        self.skip = nn.Conv2d(inputs, units, 1)
        self.norm = nn.BatchNorm2d(units)
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(x, scale_factor=2.0)
        y = self.act(self.norm(self.conv(x))) + self.skip(x)
        return y, y.mean((2, 3))


class Net(nn.Module):
    """In-place steps, a tuple, a module called twice, chunks, sizes that are computed, constants, resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 8 * 16)
        self.blocks = nn.ModuleList([Block(8, 6), Block(6, 6)])
        self.constant = nn.Conv2d(6, 6, 1)
        self.paint = nn.Conv2d(6, 3, 1)
        self.register_buffer("tint", torch.tensor([1.0, 0.9, 0.8])[:, None, None])

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).reshape(z.shape[0], 8, 4, 4)
        for block in self.blocks:
            x, mean = block(x)
            x = x + mean[:, :, None, None]
        a, b = self.constant(x).chunk(2, 1)
        x = self.blocks[1].act(torch.cat([b, a], 1) - torch.full((1, 6, 1, 1), 0.1, device=z.device))
        x = F.interpolate(x, size=(20, 20), mode="bilinear", align_corners=False)
        x = x + 0.1 * torch.arange(x.shape[3], device=z.device)
        pad = torch.zeros(z.shape[0], 3, 1, x.shape[3], device=z.device)
        return torch.cat([torch.tanh(self.paint(x)) * self.tint, pad], 2)[:, :, :-1]


def dcgan() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(6, 8, 4),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 6, 4, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(True),
        nn.ConvTranspose2d(6, 3, 4, 2, 1),
        nn.Tanh(),
    )


def stirred(net: nn.Module) -> nn.Module:
    """Give all weights and running means values of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.normal_(std=0.3).abs_() if value.ndim == 1 else value.normal_(std=0.3)
    return net.eval()


def traced(net: nn.Module, path: Path, *size: int) -> str:
    with warnings.catch_warnings(action="ignore"):  # deprecated, but its files are not gone
        torch.jit.trace(net, torch.randn(2, *(size or (6,))), check_trace=False).save(str(path))
    return f"torchscript:{path}"


def scripted(net: nn.Module, path: Path) -> str:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(net).save(str(path))
    return f"torchscript:{path}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("traced") / "g.pt"
    traced(stirred(dcgan()), path, 6, 1, 1)
    return path.read_bytes()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    """A whole file, to do with as one likes."""
    (tmp_path / "g.pt").write_bytes(whole)
    return tmp_path / "g.pt"


@pytest.mark.parametrize(("make", "size"), [(Net, (6,)), (dcgan, (6, 1, 1))])
def test_layers_images_and_replacements_are_those_of_the_module(
    make: Callable[[], nn.Module], size: tuple[int, ...], tmp_path: Path
) -> None:
    net = stirred(make())
    own, given = open_generator(traced(net, tmp_path / "g.pt", *size)), as_generator(net, latent=size)
    assert list(own.layers.items()) == list(given.layers.items())
    assert own.others == given.others
    z, named = own.latents(range(5), 0), list(given.layers)
    assert len(named) > 3
    a, b = own.observe(z, named), given.observe(z, named)
    assert torch.equal(a.images, b.images)
    for layer in named:
        assert torch.equal(a.features[layer], b.features[layer]), layer
        r = torch.randn_like(a.features[layer])
        assert torch.equal(own.render(r, layer, z), given.render(r, layer, z)), layer


def test_the_latent_is_that_of_the_trace_or_of_the_option(tmp_path: Path) -> None:
    name = traced(stirred(dcgan()), tmp_path / "g.pt", 6, 2, 2)
    assert open_generator(name).latents(range(2), 0).shape == (2, 6, 2, 2)
    small = open_generator(f"{name}?latent=6x1x1")
    assert small.observe(small.latents(range(2), 0), []).images.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("written", ['torch.device("cpu")', "None"])
def test_tensors_are_made_where_the_weights_are(tmp_path: Path, written: str) -> None:
    from ganatomy.models.generators.torchscript import build_modules
    from ganatomy.models.weights.torchscript import read_script

    traced(stirred(Net()), tmp_path / "g.pt")
    rewritten(tmp_path / "g.pt", 'device=torch.device("cpu")', f"device={written}")
    network = build_modules(read_script(tmp_path / "g.pt"), "g").to("meta")
    assert network(torch.zeros(4, 6, device="meta")).device.type == "meta"


def test_the_fingerprint_is_of_weights_and_source_not_of_the_path(path: Path, tmp_path: Path) -> None:
    plain = open_generator(f"torchscript:{path}").fingerprint
    moved = f"torchscript:{path.rename(tmp_path / 'moved.pt')}"
    assert open_generator(moved).fingerprint == plain
    assert open_generator(f"{moved}?bounds=0..1").fingerprint != plain
    rewritten(tmp_path / "moved.pt", "torch.tanh(", "torch.sin(")
    assert open_generator(moved).fingerprint != plain


def test_control_flow_and_functions_of_scripts_are_refused(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            if z.shape[0] > 2:
                z = z + 1
            return z

    with mistake("bad-file", "s.pt", "torch.jit.trace("):
        open_generator(scripted(Branching(), tmp_path / "s.pt"))
    with mistake("bad-file", "s.pt", "_0"):
        open_generator(scripted(nn.LeakyReLU(), tmp_path / "s.pt"))


def test_a_trace_in_training_or_for_one_size_of_batch_is_refused(tmp_path: Path) -> None:
    with mistake("bad-model", "torch.jit.trace(net.eval()"):
        open_generator(traced(stirred(dcgan()).train(), tmp_path / "t.pt", 6, 1, 1))

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 3, 1)

        def forward(self, z: Tensor) -> Tensor:
            return self.conv(z[:, :, None, None].reshape(2, 6, 1, 1).expand(2, 6, 16, 16))

    with mistake("bad-model", "any batch", "torch.jit.trace("):
        open_generator(traced(Fixed(), tmp_path / "t.pt"))


def rewritten(path: Path, old: str, new: str, suffix: str = ".py") -> str:
    """Change the text of the entries of an archive that hold it."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert any(old.encode() in raw for name, raw in content.items() if name.endswith(suffix))
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in content.items():
            archive.writestr(name, raw.replace(old.encode(), new.encode()) if name.endswith(suffix) else raw)
    return f"torchscript:{path}"


@pytest.mark.parametrize(
    "call",
    [
        "torch.from_file('{ran}', True, 4)",
        "torch.save(argument_1, '{ran}')",
        "torch._dir",
        "torch.__class__",
        "torch.no_such_operator",
        "ops.profiler._record_function_enter",
        "ops.prim.Print",
        "open",
        "eval",
        "__import__('os').system",
        "(lambda: 0)",
        "().__class__.forward.__globals__.clear",
    ],
)
def test_other_calls_are_refused_and_nothing_runs(path: Path, tmp_path: Path, call: str) -> None:
    code = call.format(ran=tmp_path / "ran") if "{" in call else f"{call}(argument_1)"
    name = rewritten(path, "torch.tanh(argument_1)", code)
    with mistake("bad-file", path, "forward"):
        open_generator(name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ("torch._utils\n_rebuild_tensor_v2", "os\nsystem", "'os.system'"),
        ("__torch__.torch", "builtins.torch", "'builtins.torch"),
    ],
)
def test_no_pickle_in_the_archive_runs(path: Path, old: str, new: str, fact: str) -> None:
    with mistake("bad-file", fact):
        open_generator(rewritten(path, old, new, "data.pkl"))


def test_modules_within_themselves_are_refused(path: Path) -> None:
    from ganatomy.models.weights import StubObject
    from ganatomy.models.weights.pickle_interpreter import Refused
    from ganatomy.models.weights.torchscript import tensors_in

    root = StubObject("a", {})
    root.state["self"] = root
    shared = [StubObject("a", {}) for _ in range(40)]
    for part, inner in itertools.pairwise(shared):
        part.state.update(left=inner, right=inner)
    for each in (root, shared[0]):
        with pytest.raises(Refused, match="unfolds to many times its size"):
            list(tensors_in(each))


def test_damaged_and_foreign_files_are_refused_in_one_line(whole: bytes, path: Path) -> None:
    name = f"torchscript:{path}"
    messages = []
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with mistake("bad-file", path, "not a whole TorchScript file") as caught:
            open_generator(name)
        messages.append(str(caught.value))
    torch.save(dcgan().state_dict(), path)
    with mistake("bad-file", path, "TorchScript") as caught:
        open_generator(name)
    messages.append(str(caught.value))
    with mistake("bad-file", f"{path}.none"):
        open_generator(f"{name}.none")
    for old, new, suffix in (
        ("torch.tanh(", "torch.tanh((", ".py"),
        ("torch.tanh(argument_1", "torch.tanh(no_such_name", ".py"),
        ("self.weight", "self.no_such_weight", ".py"),
        ("def forward", "def backward", ".py"),
        ("class ", "class Other", ".py"),
        ("torch.tanh(", "-" * 9999 + "torch.tanh(", ".py"),
        ("FloatStorage", "QInt8Storage", "data.pkl"),
        ("FloatStorage", "HalfStorage", "data.pkl"),
    ):
        path.write_bytes(whole)
        with pytest.raises((BadFile, BadModel)) as either:
            open_generator(rewritten(path, old, new, suffix))
        messages.append(str(either.value))
    assert all("g.pt" in message and "\n" not in message for message in messages)
