"""Programs of torch.export: the same layers and images as the module that was exported, and nothing that runs."""

import copy
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.models.generators import as_generator, open_generator
from ganatomy.models.weights.archives import ArchiveReader


class Block(nn.Module):
    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, 3, padding=1)
        self.norm = nn.BatchNorm2d(units)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = nn.functional.interpolate(x, scale_factor=2.0)
        x = self.act(self.norm(self.conv(x)))
        return x, x.mean((2, 3))


class Net(nn.Module):
    """In-place steps, a tuple, a module called twice, a list of chunks, sizes that are computed, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 8 * 16)
        self.blocks = nn.ModuleList([Block(8, 6), Block(6, 6)])
        self.mixed = nn.Conv2d(6, 6, 1)
        self.paint = nn.Conv2d(6, 3, 1)
        self.register_buffer("tint", torch.tensor([1.0, 0.9, 0.8])[:, None, None])

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).reshape(z.shape[0], 8, 4, 4)
        for block in self.blocks:
            x, mean = block(x)
            x = x + mean[:, :, None, None]
        a, b = self.mixed(x).chunk(2, 1)
        x = self.blocks[1].act(torch.cat([b, a], 1) - 0.1)
        pad = torch.zeros(z.shape[0], 3, 1, x.shape[3], device=z.device)
        return torch.cat([torch.tanh(self.paint(x)) * self.tint, pad], 2)[:, :, :-1]


@pytest.fixture(scope="module")
def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net().eval()
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.normal_(std=0.3).abs_() if value.ndim == 1 else value.normal_(std=0.3)
    return net


def program_of(net: nn.Module, batch: int | None = None) -> torch.export.ExportedProgram:
    """Export for any batch, or for one size."""
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    return torch.export.export(net, (torch.randn(batch or 2, 6),), dynamic_shapes=shapes)


def exported(net: nn.Module, path: Path, batch: int | None = None) -> str:
    torch.export.save(program_of(net, batch), path)
    return f"exported:{path}"


@pytest.fixture(scope="module")
def program(net: Net) -> torch.export.ExportedProgram:
    return program_of(net)


@pytest.fixture(scope="module")
def whole(program: torch.export.ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("exported") / "g.pt2"
    torch.export.save(program, path)
    return path.read_bytes()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    """A whole file, to do with as one likes."""
    (tmp_path / "g.pt2").write_bytes(whole)
    return tmp_path / "g.pt2"


def farthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def test_layers_images_and_replacements_are_those_of_the_module(net: Net, path: Path) -> None:
    own, given = open_generator(f"exported:{path}"), as_generator(net, latent=(6,))
    named = list(given.layers)
    assert list(own.layers.items()) == list(given.layers.items())
    assert own.others == given.others
    assert "blocks.1.act#2" in own.layers
    assert "blocks.0" in own.layers
    z = own.latents(range(5), 0)
    a, b = own.observe(z, named), given.observe(z, named)
    assert farthest(a.images, b.images) < 1e-6
    for layer in named:
        assert farthest(a.features[layer], b.features[layer]) < 1e-6, layer
        r = torch.randn_like(a.features[layer])
        assert farthest(own.render(r, layer, z), given.render(r, layer, z)) < 1e-6, layer


@pytest.mark.slow
def test_a_decomposed_program_draws_the_same(net: Net, program: torch.export.ExportedProgram, tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.export.save(program.run_decompositions(), tmp_path / "d.pt2")
    own, given = open_generator(f"exported:{tmp_path / 'd.pt2'}"), as_generator(net, latent=(6,))
    z = own.latents(range(3), 0)
    assert farthest(own.observe(z, []).images, given.observe(z, []).images) < 1e-5


def test_the_layout_before_torch_2_8_opens_too(
    program: torch.export.ExportedProgram, path: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings(action="ignore"):
        from torch._export.serde.serialize import serialize

        parts = serialize(program)
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("version", "8.0")
        archive.writestr("serialized_exported_program.json", parts.exported_program)
        archive.writestr("serialized_state_dict.pt", parts.state_dict)
        archive.writestr("serialized_constants.pt", parts.constants)
        archive.writestr("serialized_example_inputs.pt", parts.example_inputs)
    old, new = open_generator(f"exported:{tmp_path / 'old.pt2'}"), open_generator(f"exported:{path}")
    z = new.latents(range(2), 0)
    assert torch.equal(old.observe(z, []).images, new.observe(z, []).images)


def test_half_precision_stays_inside(tmp_path: Path) -> None:
    half = nn.Sequential(
        nn.Linear(6, 48), nn.Unflatten(1, (3, 4, 4)), nn.Conv2d(3, 5, 1), nn.Conv2d(5, 3, 1)
    ).bfloat16()
    z = torch.randn(2, 6, dtype=torch.bfloat16)
    program = torch.export.export(half, (z,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "half.pt2")
    generator = open_generator(f"exported:{tmp_path / 'half.pt2'}")
    seen = generator.observe(generator.latents(range(3), 0), ["2"])
    assert seen.images.dtype == seen.features["2"].dtype == torch.float32


def test_tensors_are_made_where_the_latents_are(path: Path) -> None:
    from ganatomy.models.generators.exported import Network
    from ganatomy.models.weights.exported import read_program

    network = Network(read_program(path), "g").to("meta")
    assert network(torch.zeros(4, 6, device="meta")).device.type == "meta"


def test_a_batch_size_that_is_written_into_the_program_is_refused(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 4, 1)
            self.paint = nn.Conv2d(4, 3, 1)

        def forward(self, z: Tensor) -> Tensor:
            return self.paint(self.conv(z[:, :, None, None].expand(len(z), 6, 4, 4).reshape(len(z), 6, 4, 4)))

    with mistake("bad-model", "Dim('batch')"):
        open_generator(exported(Fixed(), tmp_path / "fixed.pt2", batch=2))


@pytest.mark.slow
def test_a_batch_norm_that_still_trains_is_refused(net: Net, tmp_path: Path) -> None:
    with mistake("bad-model", "net.eval()"):
        open_generator(exported(copy.deepcopy(net).train(), tmp_path / "training.pt2"))


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], entry: str = "models/model.json") -> str:
    """Change a JSON entry of an archive."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in content if name.endswith(entry))
    facts = json.loads(content[name])
    change(facts)
    content[name] = json.dumps(facts).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for each, raw in content.items():
            archive.writestr(each, raw)
    return f"exported:{path}"


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.__class__.default",
        "torch.ops.aten._dir.append",
        "torch.ops.profiler._record_function_enter_new.default",
        "torch.ops.higher_order.cond",
        "builtins.eval",
        "_operator.call",
        "os.system",
        "torch.ops.aten.tanh.no_such_overload",
    ],
)
def test_other_operators_are_refused_by_name(path: Path, target: str) -> None:
    def change(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["nodes"][-1]["target"] = target

    with mistake("bad-file", target):
        open_generator(rewritten(path, change))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a file ran code",))


@pytest.mark.parametrize("kind", ["weight", "opaque"])
def test_no_pickle_in_the_archive_runs(path: Path, tmp_path: Path, kind: str) -> None:
    """torch.export.load would run both."""
    bomb = tmp_path / "bomb"
    torch.save(Bomb(), bomb)
    raw = bomb.read_bytes() if kind == "weight" else pickle.dumps(Bomb())
    where = "weights" if kind == "weight" else "constants"
    entry = {"path_name": "weight_bomb" if kind == "weight" else "opaque_obj_0", "is_param": False, "use_pickle": True}

    def change(config: dict[str, Any]) -> None:
        config["config"]["paint.bias"] = entry | {"tensor_meta": None}

    name = rewritten(path, change, f"data/{where}/model_{where}_config.json")
    with zipfile.ZipFile(path) as archive:
        content = {each: archive.read(each) for each in archive.namelist()}
    content[f"g/data/{where}/{entry['path_name']}"] = raw
    with zipfile.ZipFile(path, "w") as archive:
        for each, kept in content.items():
            archive.writestr(each, kept)
    with mistake("bad-file", path, "paint.bias" if kind == "opaque" else "pickles"):
        open_generator(name)


@pytest.mark.parametrize("pickled", [False, True])
def test_a_small_file_takes_little_memory(path: Path, pickled: bool) -> None:
    """A tensor that repeats one number."""
    huge = io.BytesIO()
    torch.save(torch.ones(1).expand(1 << 40), huge)

    def repeat(config: dict[str, Any]) -> None:
        meta = config["config"]["paint.bias"]["tensor_meta"]
        meta["sizes"], meta["strides"] = [{"as_int": 1 << 40}], [{"as_int": 0}]
        config["config"]["paint.bias"]["use_pickle"] = pickled

    weights = "data/weights/model_weights_config.json"
    with zipfile.ZipFile(path) as archive:
        content = {each: archive.read(each) for each in archive.namelist()}
    if pickled:
        file = json.loads(content[f"g/{weights}"])["config"]["paint.bias"]["path_name"]
        content[f"g/data/weights/{file}"] = huge.getvalue()
        with zipfile.ZipFile(path, "w") as archive:
            for each, kept in content.items():
                archive.writestr(each, kept)
    with mistake("bad-file", path, "contiguous()"):
        open_generator(rewritten(path, repeat, weights))


def test_the_same_bytes_are_not_read_again_and_again(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/b", bytes(1 << 20))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        entries = ArchiveReader(archive)
        with pytest.raises(ValueError, match="asks for b and others again and again"):
            list(map(entries.read, ["b"] * 30))


def test_expressions_and_guards_in_the_file_are_never_read(path: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(ran)!r}).touch()"

    def change(program: dict[str, Any]) -> None:
        program["guards_code"] = [code]
        sizes = program["graph_module"]["graph"]["tensor_values"]["z"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": code, "hint": None}}

    generator = open_generator(rewritten(path, change))
    generator.observe(generator.latents(range(2), 0), [])
    assert not ran.exists()


def test_damaged_and_foreign_files_are_refused_in_one_line(net: Net, whole: bytes, path: Path) -> None:
    name = f"exported:{path}"
    messages = []
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with mistake("bad-file", path, "not a whole program of torch.export") as caught:
            open_generator(name)
        messages.append(str(caught.value))
    torch.save(net.state_dict(), path)
    with mistake("bad-file", path, "torch.export") as caught:
        open_generator(name)
    messages.append(str(caught.value))
    with mistake("bad-file", f"{path}.none"):
        open_generator(f"exported:{path}.none")
    for change in (
        lambda p: p["graph_module"]["graph"]["nodes"][3].pop("inputs"),
        lambda p: p["graph_module"]["signature"].pop("input_specs"),
        lambda p: p["graph_module"]["graph"]["tensor_values"].clear(),
        lambda p: p["graph_module"]["graph"]["nodes"].pop(0),
        lambda p: p.pop("graph_module"),
        lambda p: p["graph_module"]["signature"]["input_specs"][0]["parameter"]["arg"].update(name=3),
        lambda p: p["graph_module"]["graph"]["nodes"][3]["outputs"].__setitem__(0, {}),
        lambda p: p["graph_module"]["graph"]["nodes"][1]["inputs"][1]["arg"].update(as_sym_ints=[{"as_int": 0}] * 4),
    ):
        path.write_bytes(whole)
        with pytest.raises((BadFile, BadModel)) as either:
            open_generator(rewritten(path, change))
        messages.append(str(either.value))
    assert all("g.pt2" in message and "\n" not in message for message in messages)


def test_torchscript_is_sent_to_its_own_family(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "s.pt")
    with mistake("bad-file", "s.pt", "torchscript:FILE"):
        open_generator(f"exported:{tmp_path / 's.pt'}")


def test_two_inputs_are_one_too_many(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, z: Tensor, label: Tensor) -> Tensor:
            return torch.tanh(z + label)[:, :, None, None].expand(-1, 3, 4, 4)

    path = tmp_path / "two.pt2"
    torch.export.save(torch.export.export(Two(), (torch.randn(2, 3), torch.randn(2, 3))), path)
    with mistake("bad-model", path, "z, label"):
        open_generator(f"exported:{path}")


def test_the_fingerprint_is_of_weights_and_graph_not_of_the_path(path: Path, tmp_path: Path) -> None:
    plain = open_generator(f"exported:{path}").fingerprint
    assert open_generator(f"exported:{path.rename(tmp_path / 'moved.pt2')}").fingerprint == plain
    assert open_generator(f"exported:{tmp_path / 'moved.pt2'}?bounds=0..1").fingerprint != plain

    def flip(program: dict[str, Any]) -> None:
        nodes = program["graph_module"]["graph"]["nodes"]
        tanh = next(node for node in nodes if node["target"] == "torch.ops.aten.tanh.default")
        tanh["target"] = "torch.ops.aten.sin.default"

    assert open_generator(rewritten(tmp_path / "moved.pt2", flip)).fingerprint != plain
