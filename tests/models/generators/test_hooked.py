"""Reading and replacing the layers of modules that nobody wrote for this package."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.interventions import Intervention
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.hooks import hooked
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.nested_tensors import replaced, tensors

CPU = torch.device("cpu")


def normal(ids: range, seed: int) -> Tensor:
    return standard_normal(ids, seed, (4,), CPU)


class Net(nn.Module):
    """All that makes layers hard: ReLUs in place, nested containers, a module called twice, a tuple, a flat layer."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.flat = nn.Linear(4, 6 * 16)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.same = nn.Dropout()
        self.pair = Pair()
        self.up = nn.Upsample(scale_factor=4)
        self.relu = nn.ReLU(inplace=True)
        self.grey = nn.Conv2d(6, 1, 1)
        self.squash = nn.Tanh()
        self.fails = fails

    def forward(self, z: Tensor) -> Tensor:
        r = self.same(self.block(self.flat(z).view(-1, 6, 4, 4)))
        r = self.block(r) + self.pair(r)[0]
        r = self.relu(self.up(r))
        if self.fails:
            raise ValueError("first line\nsecond line")
        return self.squash(self.grey(r))


class Pair(nn.Module):
    def forward(self, r: Tensor) -> tuple[Tensor, Tensor]:
        return r.sin(), r.cos()


def build(seed: int = 0, fails: bool = False) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Net(fails)
        for weight in net.parameters():
            nn.init.normal_(weight, std=0.5)
    return net


@pytest.fixture
def net() -> Net:
    return build()


@pytest.fixture
def generator(net: Net) -> HookedGenerator:
    return HookedGenerator(net, normal)


def farthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_layers_are_found_in_forward_order(generator: HookedGenerator) -> None:
    small, large = (6, 4, 4), (6, 16, 16)
    expected = {
        "block.0": small,
        "block.1": small,
        "block": small,
        "block.0#2": small,
        "block.1#2": small,
        "block#2": small,
        "pair": small,
        "up": large,
        "relu": large,
    }
    assert list(generator.layers.items()) == list(expected.items())


def test_what_is_no_layer_says_why(generator: HookedGenerator) -> None:
    z = generator.latents(range(1), 0)
    for name, fact in {
        "flat": "[b, 96]",
        "same": "block",
        "block.2": "block",
        "squash": "image",
        "grey": "image",
    }.items():
        with mistake("bad-model", f"layer {name} of module", fact):
            generator.observe(z, [name])
    with mistake("unknown-name", "blok", "block"):
        generator.render(torch.zeros(1, 6, 4, 4), "blok", z)


class Odd(nn.Module):
    """Hands on what its first part made after its second has run; has maps of another batch, and of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Module()
        self.outer.first, self.outer.second = nn.Upsample(scale_factor=8), nn.Upsample(scale_factor=2)
        self.outer.forward = self.run_outer
        self.whole, self.folded, self.flat = nn.Identity(), nn.Identity(), nn.Identity()

    def run_outer(self, r: Tensor) -> Tensor:
        first: Tensor = self.outer.first(r)
        self.outer.second(first)
        return first

    def forward(self, z: Tensor) -> Tensor:
        r: Tensor = self.outer(z.view(-1, 4, 1, 1))
        self.whole(r.int())
        self.folded(r[:1])
        self.flat({"tokens": z, "none": None})
        return r[:, :3].tanh()


def test_layers_of_odd_modules() -> None:
    generator = HookedGenerator(Odd(), normal)
    assert dict(generator.layers) == {"outer.first": (4, 8, 8), "outer.second": (4, 16, 16)}
    z = generator.latents(range(1), 0)
    for name, fact in {
        "outer": "outer.first",
        "whole": "[b, 4, 8, 8] of torch.int32",
        "folded": "[1, 4, 8, 8]",
        "flat": "dict",
    }.items():
        with mistake("bad-model", f"layer {name} of module", fact):
            generator.observe(z, [name])


def test_observe_sees_what_a_layer_returned_not_what_was_written_over_it(net: Net, generator: HookedGenerator) -> None:
    z = generator.latents(range(3), 0)
    net.eval()
    with torch.no_grad():
        first = net.block[0](net.flat(z).view(-1, 6, 4, 4))
        normed = net.block[1](first)
        again = net.block(normed.relu())
        up = net.up(again + normed.relu().sin())
        images = net(z).expand(-1, 3, -1, -1)
    seen = generator.observe(z, ["up", "block.1", "block#2", "block"])
    assert list(seen.features) == ["up", "block.1", "block#2", "block"]
    assert torch.equal(seen.features["block.1"], normed)
    assert torch.equal(seen.features["block"], normed.relu())
    assert torch.equal(seen.features["block#2"], again)
    assert torch.equal(seen.features["up"], up)
    assert torch.equal(seen.images, images)
    assert bool((normed < 0).any())
    assert bool((up < 0).any())


def test_render_replaces_one_call_and_leaves_r_alone(net: Net, generator: HookedGenerator) -> None:
    z = generator.latents(range(3), 0)
    r = torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    net.eval()
    with torch.no_grad():
        first = net.block(net.flat(z).view(-1, 6, 4, 4))
        expected_second = net.squash(net.grey((net.up(r) + net.up(first.sin())).relu()))
        expected_first = net.squash(net.grey(net.up(net.block(r.relu()) + r.relu().sin()).relu()))
    given = r.clone()
    assert torch.allclose(generator.render(r, "block#2", z), expected_second.expand(-1, 3, -1, -1), atol=1e-6)
    assert torch.allclose(generator.render(r, "block.1", z), expected_first.expand(-1, 3, -1, -1), atol=1e-6)
    assert torch.equal(r, given)


@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_as_it_was(training: bool) -> None:
    net = build().train(training)
    net.block[1].train(not training)
    net.flat.weight.requires_grad_(False)
    modes = [part.training for part in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = HookedGenerator(net, normal)
    z = generator.latents(range(2), 0)
    generator.observe(z, list(generator.layers))
    generator.render(torch.zeros(2, 6, 4, 4), "block", z)
    assert hooks(net) == 0
    assert [part.training for part in net.modules()] == modes
    assert [name for name, weight in net.named_parameters() if not weight.requires_grad] == ["flat.weight"]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_failure_leaves_the_module_as_it_was(net: Net, generator: HookedGenerator) -> None:
    net.train().fails = True
    z = generator.latents(range(2), 0)
    for use in (lambda: generator.observe(z, ["up"]), lambda: generator.render(torch.zeros(2, 6, 4, 4), "block", z)):
        with mistake("bad-model", "ValueError: first line"):
            use()
        assert hooks(net) == 0
        assert all(part.training for part in net.modules())
        assert all(weight.requires_grad for weight in net.parameters())
    with pytest.raises(AttributeError), hooked(net, ["block", "nowhere"], lambda *_: None):
        pytest.fail("the block should not run")
    assert hooks(net) == 0


def ablate(generator: HookedGenerator, layer: str, units: list[int]) -> Intervention:
    return Intervention.ablate(layer, generator.layers[layer], units)


def test_edits_reach_each_call_and_are_shown_before_they_are_written_over(net: Net, generator: HookedGenerator) -> None:
    z = generator.latents(range(3), 0)
    edits = [ablate(generator, "block#2", [1]), ablate(generator, "up", [0, 3]), ablate(generator, "block.1", [4])]
    net.eval()
    with torch.no_grad():
        normed = edits[2](net.block[1](net.block[0](net.flat(z).view(-1, 6, 4, 4))))
        again = edits[0](net.block(normed.relu()))
        up = edits[1](net.up(again + normed.relu().sin()))
        expected = net.squash(net.grey(up.relu())).expand(-1, 3, -1, -1)
    seen = generator.observe(z, ["block.1", "up", "block#2"], edits)
    assert torch.equal(seen.features["block.1"], normed)
    assert torch.equal(seen.features["block#2"], again)
    assert torch.equal(seen.features["up"], up)
    assert bool((normed < 0).any())
    assert torch.equal(seen.images, expected)
    assert torch.equal(generator.edited(z, edits), expected)
    assert torch.equal(
        generator.render(generator.observe(z, ["block.1"]).features["block.1"], "block.1", z, edits), expected
    )


def test_edits_leave_no_hook_whether_they_fit_or_not(net: Net, generator: HookedGenerator) -> None:
    net.train()
    z = generator.latents(range(2), 0)
    good, wide = ablate(generator, "block", [0]), Intervention.ablate("up", (6, 4, 4), [0])
    generator.edited(z, [good])
    generator.observe(z, ["up"], [good])
    generator.render(torch.zeros(2, 6, 4, 4), "block", z, [good])
    assert hooks(net) == 0
    for use in (
        lambda: generator.edited(z, [good, wide]),
        lambda: generator.observe(z, ["up"], [wide, good]),
        lambda: generator.render(torch.zeros(2, 6, 4, 4), "block", z, [good, wide]),
    ):
        with mistake("bad-value", "up", [2, 6, 16, 16]):
            use()
        assert hooks(net) == 0
        assert all(part.training for part in net.modules())
        assert all(weight.requires_grad for weight in net.parameters())
    for layer, code, fact in (("blok", "unknown-name", "block"), ("flat", "bad-model", "[b, 96]")):
        with mistake(code, fact):
            generator.edited(z, [good, Intervention.ablate(layer, (6, 4, 4), [0])])
        assert hooks(net) == 0


class Draw(nn.Module):
    """Draws what the function says, past one layer."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)
        self.function = function

    def forward(self, z: Tensor) -> object:
        self.layer(z.view(-1, 1, 2, 2))
        return self.function(z)  # type: ignore[operator]


def image(z: Tensor, low: float, high: float, channels: int = 3) -> Tensor:
    flat = low + (high - low) * torch.sigmoid(3 * z)
    return flat.view(-1, 1, 2, 2).repeat(1, channels, 8, 8)


@pytest.mark.parametrize(
    ("function", "fact"),
    [
        (lambda z: [z], "[3, 4]"),
        (lambda z: torch.rand(len(z), 3, 8, 8), "dropout"),
        (lambda z: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_what_draws_no_images_is_refused(function: object, fact: str) -> None:
    with mistake("bad-model", fact):
        HookedGenerator(Draw(function), normal)


def test_a_module_without_layers_is_refused() -> None:
    net = Draw(lambda z: image(z, 0, 1))
    net.layer = nn.Identity()
    net.layer.forward = lambda r: r.flatten(1)
    with mistake("bad-model", "module", "[b, u, h, w]"):
        HookedGenerator(net, normal)


def test_latents_that_do_not_fit_the_ids_are_refused() -> None:
    with mistake("bad-model", "latents", [3, 4], "16 ids"):
        HookedGenerator(Draw(lambda z: image(z, 0, 1)), lambda ids, seed: torch.zeros(3, 4))
    with mistake("bad-model", "latents", "list", "16 ids"):
        HookedGenerator(Draw(lambda z: image(z, 0, 1)), lambda ids, seed: [1.0])


def test_black_and_white_can_be_said() -> None:
    generator = HookedGenerator(Draw(lambda z: image(z, 0, 255)), normal, bounds=(0.0, 255.0))
    z = generator.latents(range(8), 0)
    assert torch.allclose(generator.observe(z, []).images, image(z, -1, 1), atol=1e-5)


def test_prints_do_not_reach_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    def loud(z: Tensor) -> Tensor:
        print("hello")  # noqa: T201
        return image(z, 0, 1)

    generator = HookedGenerator(Draw(loud), normal)
    generator.observe(generator.latents(range(1), 0), ["layer"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


def test_a_layer_that_is_skipped_this_time_is_named() -> None:
    class Moody(Draw):
        def forward(self, z: Tensor) -> Tensor:
            if len(z) < 5:
                self.layer(z.view(-1, 1, 2, 2))
            return image(z, 0, 1)

    generator = HookedGenerator(Moody(None), normal)
    with mistake("bad-model", "layer layer"):
        generator.observe(generator.latents(range(5), 0), ["layer"])
    with mistake("bad-model", "layer layer"):
        generator.edited(generator.latents(range(5), 0), [ablate(generator, "layer", [0])])


class Named(NamedTuple):
    count: int
    sample: Tensor


@dataclass(frozen=True)
class Record:
    name: str
    sample: Tensor


@dataclass(slots=True)
class Slots:
    skips: list[Tensor]


RETURNS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "tuple": lambda r, other: (r, other),
    "list": lambda r, other: [None, r, 3],
    "nested": lambda r, other: ((other.mean(), (r,)), r),
    "mapping": lambda r, other: OrderedDict(scores=other[:, 0], sample=r),
    "named tuple": lambda r, other: Named(2, r),
    "dataclass": lambda r, other: Record("r", r),
    "slots": lambda r, other: Slots([r, other]),
    "namespace": lambda r, other: SimpleNamespace(ids=r.long(), sample=r),
    "shared first": lambda r, other: (torch.ones(1, 5, 2, 2), r),  # not of the batch, unless that is of one image
}


class Wrapping(nn.Module):
    """A block that returns a structure; what it is made of is used through every way that leads to it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1)
        self.block = nn.Identity()
        self.block.forward = lambda r: RETURNS[kind](r, r.cos())
        self.returned: object = None

    def forward(self, z: Tensor) -> Tensor:
        self.returned = self.block(self.first(z.view(-1, 1, 2, 2)).sin())
        return torch.stack([self.last(r) for r in maps(self.returned)]).sum(0)


def maps(structure: object) -> list[Tensor]:
    return [t for t in tensors(structure) if t.shape[1:] == (2, 2, 2) and t.is_floating_point()]


@pytest.mark.parametrize("kind", sorted(RETURNS))
@pytest.mark.parametrize("count", [1, 3])
def test_a_block_that_returns_a_structure_is_a_layer(kind: str, count: int) -> None:
    net = Wrapping(kind)
    generator = HookedGenerator(net, normal, bounds=(-1.0, 1.0))
    assert list(generator.layers.items()) == [("first", (2, 2, 2)), ("block", (2, 2, 2))]
    z = generator.latents(range(count), 0)
    seen = generator.observe(z, ["first", "block"])
    own = seen.features["first"].sin()
    assert torch.equal(seen.features["block"], own)
    before = net.returned
    images = generator.render(own + 1, "block", z)
    after = net.returned
    assert type(after) is type(before)
    assert len(list(tensors(after))) == len(list(tensors(before)))
    others = [t for t in maps(before) if not torch.equal(t, own)]
    expected = [t for t in maps(after) if not torch.equal(t, own + 1)]
    assert len(others) == len(expected) < len(maps(after))
    assert all(torch.equal(a, b) for a, b in zip(others, expected, strict=True)), "another tensor was replaced"
    assert torch.allclose(images, sum(net.last(t) for t in maps(after)), atol=1e-6)
    assert farthest(images, seen.images) > 1e-2
    assert farthest(generator.edited(z, [ablate(generator, "block", [0, 1])]), seen.images) > 1e-2


@pytest.mark.parametrize("kind", sorted(RETURNS))
def test_what_a_block_returned_is_copied_not_written_over(kind: str) -> None:
    """It may have kept it, to use it again."""
    r, new = torch.zeros(3, 2, 2, 2), torch.ones(3, 2, 2, 2)
    returned = RETURNS[kind](r, r.cos())
    held = list(tensors(returned))
    made = replaced(returned, r, new)
    assert [t is new for t in tensors(made)] == [t is r for t in held]
    assert all(a is b for a, b in zip(tensors(returned), held, strict=True))
    assert replaced(returned, new, r) is returned


def test_an_object_that_holds_itself_is_looked_into_so_far() -> None:
    loop = SimpleNamespace(sample=torch.zeros(1))
    loop.again = loop
    assert {id(t) for t in tensors(loop)} == {id(loop.sample)}
    assert replaced(loop, loop.sample, torch.ones(1)).sample.item() == 1


class Skips(nn.Module):
    """The down block of a U-net: its output is the last of the skips, and what its last child returned."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Module()
        self.down.a, self.down.b = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)
        self.down.forward = self.run_down
        self.last = nn.Conv2d(2, 3, 1)

    def run_down(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        a = self.down.a(x)
        b = self.down.b(a)
        return b, (a, b)

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        hidden, skips = self.down(z.view(-1, 1, 2, 2))
        images = self.last(hidden + 2 * skips[0] + 3 * skips[1])
        return {"small": images[:, :, :1, :1], "loss": images.mean(), "sample": images, "again": images + 1}


def test_the_output_of_a_block_is_replaced_among_its_skips_too() -> None:
    net = Skips()
    generator = HookedGenerator(net, normal, bounds=(-1.0, 1.0))
    assert list(generator.layers) == ["down.a", "down"]
    assert generator.others["down.b"] == "returns what down returns; ask for that"
    z = generator.latents(range(2), 0)
    r = torch.randn(2, 2, 2, 2)
    with torch.no_grad():
        expected = net.last(r + 2 * net.down.a(z.view(-1, 1, 2, 2)) + 3 * r)
    assert torch.allclose(generator.render(r, "down", z), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_outside_is_float32_whatever_the_module_computes_in(dtype: torch.dtype) -> None:
    plain = HookedGenerator(build(), normal)
    net = build().to(dtype)
    generator = HookedGenerator(net, normal, bounds=plain._bounds)
    assert generator.layers == plain.layers
    assert generator.fingerprint != plain.fingerprint
    z = generator.latents(range(4), 0)
    assert z.dtype == torch.float32
    seen, expected = generator.observe(z, list(plain.layers)), plain.observe(z, list(plain.layers))
    assert seen.images.dtype == torch.float32
    assert farthest(seen.images, expected.images) < 0.1
    for layer, r in seen.features.items():
        assert r.dtype == torch.float32
        assert torch.allclose(generator.render(r, layer, z), seen.images, atol=1e-6), layer
        edit = ablate(generator, layer, [0])
        edited = generator.observe(z, [layer], [edit])
        assert torch.equal(edited.features[layer], edit(r))
        assert torch.allclose(generator.render(edit(r), layer, z), edited.images, atol=1e-6), layer
    r = seen.features["pair"].requires_grad_()
    generator.render(r, "pair", z).square().sum().backward()
    assert r.grad is not None
    assert r.grad.dtype == torch.float32
    assert bool(r.grad.any())


def test_a_function_may_run_the_module() -> None:
    net = Draw(None).bfloat16()

    def run(z: Tensor) -> Tensor:
        assert z.dtype == torch.float32
        net.layer(z.view(-1, 1, 2, 2).bfloat16())
        return image(z, 0, 1)

    generator = HookedGenerator(net, normal, forward=run)
    z = generator.latents(range(3), 0)
    seen = generator.observe(z, ["layer"])
    assert torch.allclose(seen.images, 2 * image(z, 0, 1) - 1)
    assert seen.features["layer"].dtype == torch.float32
    with mistake("bad-model", "TypeError", "NoneType"):
        HookedGenerator(net, normal)
