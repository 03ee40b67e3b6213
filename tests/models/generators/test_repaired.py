"""Generators with edits made for good: what is written, what opens it, and what is refused."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from mistakes import mistake
from stylegan_files import stylegan2, write
from torch import Tensor

from ganatomy.core.errors import GanatomyError
from ganatomy.interventions import Intervention, edits_from_json, edits_json, place
from ganatomy.models.generators import GENERATORS, Generator, open_generator
from ganatomy.models.generators.progan import progan_network
from ganatomy.models.generators.repaired import RECORD, WEIGHTS, RepairedGenerator, Written, with_files, write_repaired
from ganatomy.models.generators.vae import decoder


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with a ProGAN, a VAE and a StyleGAN, named relative to it."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(progan_network(8, [8, 6, 6, 5]).state_dict(), "gan.pth")
    safetensors.torch.save_file(decoder(8, [8, 6, 6, 5]).state_dict(), "vae.safetensors")
    write(tmp_path / "style.pkl", G_ema=stylegan2(0))
    return tmp_path


def off(generator: Generator, layer: str, units: tuple[int, ...] = (1, 3)) -> Intervention:
    return Intervention.ablate(layer, generator.layers[layer], units)


def on(generator: Generator, layer: str, value: float = 2.0) -> Intervention:
    units, height, width = generator.layers[layer]
    return Intervention.insert(
        layer, (units, height, width), [2], torch.full((units,), value), place((height, width), 0, 0, 2), 0.5
    )


def repaired(name: str, *edits: Callable[[Generator], Intervention], to: str = "out") -> Written:
    generator = open_generator(name)
    return write_repaired(Path(to), name, generator, [edit(generator) for edit in edits])


def images(generator: Generator, *edits: Intervention) -> Tensor:
    return generator.edited(generator.latents(range(100, 105), 3), edits)


def farthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("progan:gan.pth", "layer3"),
        ("progan:gan.pth?pixelnorm=no", "layer3"),
        ("progan:gan.pth?dtype=bfloat16", "layer2"),
        ("vae:vae.safetensors", "layer1"),
    ],
)
def test_an_ablation_is_written_as_plain_weights_of_the_family(name: str, layer: str) -> None:
    generator = open_generator(name)
    written = write_repaired(Path("out"), name, generator, [off(generator, layer)])
    assert written.folded
    assert written.file == Path("out") / WEIGHTS
    assert written.name == "repaired:out"
    assert written.reason.startswith(f"{layer}: {layer}.")
    family, _, query = name.partition(":")
    opened = [open_generator("repaired:out"), open_generator(f"{family}:{written.file}?{query.partition('?')[2]}")]
    for each in opened:
        assert type(each) is type(generator)
        assert farthest(images(each), images(generator, off(generator, layer))) < 2e-6
        assert each.fingerprint == opened[0].fingerprint != generator.fingerprint
    assert farthest(images(opened[0]), images(generator)) > 1e-3
    state = safetensors.torch.load_file(written.file)
    assert all(value.dtype == torch.float32 for value in state.values()), "not as precise as the file was"


def test_the_weights_need_nothing_else(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = open_generator("progan:gan.pth")
    write_repaired(Path("out"), "progan:gan.pth", generator, [off(generator, "layer2")])
    expected = images(generator, off(generator, "layer2"))
    shutil.move("out", "elsewhere")
    Path("gan.pth").unlink()
    monkeypatch.chdir("/")
    assert torch.equal(images(open_generator(f"repaired:{directory / 'elsewhere'}")), expected)


@pytest.mark.parametrize("name", ["progan:gan.pth", "stylegan:style.pkl", "planted:", "vae:vae.safetensors"])
def test_what_cannot_be_folded_is_drawn_with_the_edits(name: str) -> None:
    generator = open_generator(name)
    layers = list(generator.layers)
    edits = [on(generator, layers[-1]), off(generator, layers[1]), on(generator, layers[-1], -3.0)]
    written = write_repaired(Path("out"), name, generator, edits)
    assert not written.folded
    assert written.file is None
    again = open_generator(written.name)
    assert isinstance(again, RepairedGenerator)
    z = generator.latents(range(3), 0)
    assert torch.equal(again.latents(range(3), 0), z)
    plain, seen = generator.observe(z, layers, edits), again.observe(z, layers)
    assert torch.equal(seen.images, plain.images)
    assert all(torch.equal(seen.features[layer], plain.features[layer]) for layer in layers)
    later = off(generator, layers[-1], (2,))
    assert torch.equal(again.edited(z, [later]), generator.edited(z, [*edits, later])), "their order is lost"
    assert torch.equal(again.observe(z, [], [later]).images, generator.edited(z, [*edits, later]))
    for layer in layers:
        assert farthest(again.render(seen.features[layer], layer, z), seen.images) < 1e-5, layer
        assert farthest(again.render(seen.features[layer], layer, z, [later]), again.edited(z, [later])) < 1e-5, layer
    assert again.fingerprint not in (generator.fingerprint, open_generator("planted:").fingerprint)


def test_what_a_layer_is_given_is_taken_as_it_is() -> None:
    """As in weights where the unit is off: whoever replaces the layer's output, replaces all of it."""
    generator = open_generator("progan:gan.pth")
    folded = open_generator(repaired("progan:gan.pth", lambda g: off(g, "layer3")).name)
    z = generator.latents(range(3), 0)
    edits = [off(generator, "layer3")]
    made = RepairedGenerator(generator, edits, "")
    for layer in generator.layers:
        r = torch.randn(3, *generator.layers[layer], requires_grad=True)
        assert farthest(made.render(r, layer, z), folded.render(r, layer, z)) < 2e-6, layer
        (gradient,) = torch.autograd.grad(made.render(r, layer, z).square().sum(), r)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stylegan:style.pkl", "stylegan: noise of one strength goes into every unit"),
        ("planted:", "planted: it has no weights"),
    ],
)
def test_why_a_family_is_not_folded_is_told(name: str, says: str) -> None:
    layer = list(open_generator(name).layers)[1]
    assert repaired(name, lambda g: off(g, layer)).reason.startswith(says)
    assert json.loads((Path("out") / RECORD).read_text())["reason"].startswith(says)


@pytest.mark.slow
def test_bundled_generators_are_written_in_the_layout_of_their_family() -> None:
    written = repaired("bundled:church?dtype=float16", lambda g: off(g, "layer4", (7, 30)))
    assert written.folded
    state = safetensors.torch.load_file(Path("out") / WEIGHTS)
    assert not state["layer4.conv.weight"][[7, 30]].any()
    assert state["layer4.conv.weight"][8].any()
    church = open_generator("bundled:church?dtype=float16")
    assert torch.equal(images(open_generator(written.name)), images(church, off(church, "layer4", (7, 30))))


def test_a_study_that_holds_one_is_opened_like_it() -> None:
    written = repaired("progan:gan.pth", lambda g: off(g, "layer2"))
    Path("study").mkdir()
    shutil.move("out", "study/repaired")
    opened = open_generator("repaired:study")
    assert opened.fingerprint == open_generator("repaired:study/repaired").fingerprint
    again = write_repaired(Path("twice"), "repaired:study", opened, [off(opened, "layer3")])
    assert written.folded
    assert again.folded
    with mistake("bad-file", "repaired.json"):
        open_generator("repaired:.")


CODE = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=6):
        super().__init__(nn.ConvTranspose2d(8, width, 16), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 1))
"""


def test_a_module_by_name_gets_its_weights_from_the_directory(directory: Path) -> None:
    Path("net_to_repair.py").write_text(CODE)
    sys.modules.pop("net_to_repair", None)
    first = open_generator("torch:net_to_repair:Net?width=7&latent=8x1x1")
    state = {f"inner.{name}": value for name, value in first.network.state_dict().items()}  # type: ignore[attr-defined]
    torch.save(state, "net.pt")
    name = "torch:net_to_repair:Net?width=7&latent=8x1x1&weights=net.pt&prefix=inner."
    generator = open_generator(name)
    written = write_repaired(Path("out"), name, generator, [off(generator, "2")])
    assert written.reason == "2: 1.weight and 1.bias, which make its units"
    assert written.name == "repaired:out?trust=yes"
    Path("net.pt").unlink()
    assert farthest(images(open_generator(written.name)), images(generator, off(generator, "2"))) < 2e-6


def test_code_is_not_run_unless_somebody_says_so(directory: Path) -> None:
    Path("net_to_repair.py").write_text(CODE)
    repaired("progan:gan.pth", lambda g: on(g, "layer3"))
    for name in ("torch:trap:net", "basis:torch:trap:net?layer=a", "repaired:other?trust=yes"):
        Path("trap.py").write_text("from pathlib import Path\nPath('sprung').touch()")
        for key in ("generator", "near"):
            tampered("out", **{key: name})
            with mistake("bad-value", "repaired:out?trust=yes") as caught:
                open_generator("repaired:out")
            assert "repaired:out?trust=yes" in str(caught.value)
            repaired("progan:gan.pth", lambda g: on(g, "layer3"))
    assert not Path("sprung").exists()


def test_a_repair_of_a_repair() -> None:
    generator = open_generator("progan:gan.pth")
    first, second, third = off(generator, "layer3"), off(generator, "layer3", (0,)), on(generator, "layer2")
    assert repaired("progan:gan.pth", lambda _: first, to="one").folded
    assert repaired("repaired:one", lambda _: second, to="two").folded
    assert not repaired("repaired:two", lambda _: third, to="three").folded
    assert "could not be folded either" in repaired("repaired:three", lambda _: second, to="four").reason
    z = generator.latents(range(3), 0)
    for name, edits in (("two", [first, second]), ("three", [first, second, third]), ("four", [first, second, third])):
        assert farthest(open_generator(f"repaired:{name}").edited(z, []), generator.edited(z, edits)) < 2e-6


def test_the_generator_is_found_where_it_was_or_beside(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "a").mkdir()
    shutil.move("gan.pth", "a/gan.pth")
    generator = open_generator("progan:a/gan.pth")
    write_repaired(Path("a/out"), "progan:a/gan.pth", generator, [on(generator, "layer3")])
    expected = images(generator, on(generator, "layer3"))
    monkeypatch.chdir("/")
    assert torch.equal(images(open_generator(f"repaired:{directory}/a/out")), expected)
    shutil.copytree(directory / "a/out", directory / "far/away")
    assert torch.equal(images(open_generator(f"repaired:{directory}/far/away")), expected)
    shutil.move(directory / "a", directory / "b")
    assert torch.equal(images(open_generator(f"repaired:{directory}/b/out")), expected)
    with mistake("bad-file", directory / "a/gan.pth"):
        open_generator(f"repaired:{directory}/far/away")


def test_only_files_that_are_there_are_made_absolute(directory: Path) -> None:
    (directory / "church").mkdir()
    (directory / "with=").mkdir()
    changed = {
        "bundled:church?dtype=float16": "bundled:church?dtype=float16",
        "progan:gan.pth?dtype=float16": "progan:/gan.pth?dtype=float16",
        "progan:progan-church": "progan:progan-church",
        "torch:church:net?weights=gan.pth&width=3": "torch:church:net?weights=/gan.pth&width=3",
        "basis:progan:gan.pth?layer=layer1&directions=vae.safetensors": (
            "basis:progan:/gan.pth?layer=layer1&directions=/vae.safetensors"
        ),
        "diffusers:org/model?images=scenes:church": "diffusers:org/model?images=scenes:church",
        "planted:": "planted:",
    }
    assert {name: with_files(name, lambda path: f"/{path}") for name in changed} == changed


def test_what_was_repaired_may_not_change() -> None:
    repaired("progan:gan.pth", lambda g: on(g, "layer3"))
    torch.save(progan_network(8, [8, 6, 6, 5]).state_dict(), "gan.pth")
    with mistake("bad-file", "out/repaired.json", "gan.pth", "weights"):
        open_generator("repaired:out")


def test_an_edit_that_replaces_another_leaves_no_stale_weights() -> None:
    assert repaired("progan:gan.pth", lambda g: off(g, "layer3")).folded
    assert not repaired("progan:gan.pth", lambda g: on(g, "layer3")).folded
    assert sorted(path.name for path in Path("out").iterdir()) == [RECORD]


def test_weights_that_were_touched_are_refused() -> None:
    written = repaired("progan:gan.pth", lambda g: off(g, "layer3"))
    assert written.file is not None
    content = bytearray(written.file.read_bytes())
    content[-1] ^= 1
    written.file.write_bytes(content)
    with mistake("bad-file", "generator.safetensors"):
        open_generator("repaired:out")
    written.file.unlink()
    with mistake("bad-file", "generator.safetensors"):
        open_generator("repaired:out")


def tampered(directory: str, **changes: Any) -> None:
    path = Path(directory) / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"generator": 3},
        {"generator": "bundled:../church", "near": "bundled:nothing"},
        {"generator": "", "near": "nothing"},
        {"generator": "progan:\0", "near": "progan:\0"},
        {"near": None},
        {"fingerprint": "0" * 64},
        {"weights": 7},
        {"weights": "0" * 64},
        {"edits": []},
        {"edits": {}},
        {"edits": {"format": 1, "generator": "x", "edits": []}},
        {"reason": None},
    ],
    ids=str,
)
def test_damaged_records_are_refused_in_a_line(changes: dict[str, Any]) -> None:
    repaired("progan:gan.pth", lambda g: on(g, "layer3"))
    tampered("out", **changes)
    with pytest.raises(GanatomyError) as caught:
        open_generator("repaired:out")
    assert "out" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_that_names_itself_or_edits_nothing_is_refused() -> None:
    fingerprint = open_generator("progan:gan.pth").fingerprint
    repaired("progan:gan.pth", lambda g: on(g, "layer3"))
    tampered("out", generator="repaired:out", near="repaired:out")
    with mistake("bad-file", "out/repaired.json", "repaired:out"):
        open_generator("repaired:out")
    tampered("out", generator="progan:gan.pth", edits={"format": 1, "generator": fingerprint, "edits": []})
    with mistake("bad-file", "out/repaired.json", "edits"):
        open_generator("repaired:out")
    tampered("out", generator="repaired:out", weights="0" * 64)
    (Path("out") / WEIGHTS).touch()
    with mistake("bad-file", "out/generator.safetensors"):
        open_generator("repaired:out")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\xff", '{"format": NaN}'])
def test_files_that_are_no_records_are_refused_in_a_line(text: str) -> None:
    repaired("progan:gan.pth", lambda g: on(g, "layer3"))
    (Path("out") / RECORD).write_text(text, encoding="latin-1")
    with mistake("bad-file", "out/repaired.json"):
        open_generator("repaired:out")


def test_a_directory_that_holds_none_is_refused() -> None:
    for name in ("nowhere", "gan.pth"):
        with mistake("bad-file", name):
            open_generator(f"repaired:{name}")
    with mistake("unknown-name", "repaired", "dtype"):
        open_generator("repaired:nowhere?dtype=bfloat16")


def test_edits_that_cannot_be_permanent_are_refused() -> None:
    generator = open_generator("progan:gan.pth")
    shape = generator.layers["layer3"]
    with mistake("bad-value", "no edits"):
        write_repaired(Path("out"), "progan:gan.pth", generator, [])
    edit = off(generator, "layer3")
    several = dataclasses.replace(edit, where=edit.where.expand(2, -1, -1))
    with mistake("bad-value", "several images"):
        write_repaired(Path("out"), "progan:gan.pth", generator, [several])
    with mistake("bad-file", "layer9"):
        write_repaired(Path("out"), "progan:gan.pth", generator, [dataclasses.replace(edit, layer="layer9")])
    with mistake("bad-file", "gone.pth"):
        write_repaired(Path("out"), "progan:gone.pth", generator, [Intervention.ablate("layer3", shape, [1])])
    assert not (Path("out") / RECORD).exists()


def test_a_family_of_a_plug_in_is_edited_as_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(_: str, *, device: torch.device) -> Generator:
        return open_generator("planted:", device)

    monkeypatch.setattr(GENERATORS, "_openers", {**GENERATORS._openers, "own": opened})
    written = repaired("own:", lambda g: off(g, "layer2"))
    assert written.reason == "own: its family is not known to take other weights"
    generator = open_generator(written.name)
    z = generator.latents(range(2), 0)
    seen = generator.observe(z, ["layer2", "layer1"])
    assert torch.equal(generator.render(seen.features["layer2"], "layer2", z), seen.images)
    assert torch.equal(generator.render(seen.features["layer1"], "layer1", z), seen.images)


def test_the_edits_are_kept_for_other_tools() -> None:
    generator = open_generator("progan:gan.pth")
    edits = [off(generator, "layer3"), on(generator, "layer2")]
    write_repaired(Path("out"), "progan:gan.pth", generator, edits)
    kept = json.dumps(json.loads((Path("out") / RECORD).read_text())["edits"])
    found = edits_from_json(kept, generator.layers, generator.fingerprint)
    assert edits_json(found, "") == edits_json(edits, "")
