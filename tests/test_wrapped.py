"""Modules as people hold them: wrapped, compiled, scripted, checkpointed, with weights of every kind, or none yet."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.generators.module import as_generator
from ganatomy.models.segmenters.module import as_segmenter


class Net(nn.Module):
    """8 numbers to an image of 16 x 16."""

    latent_shape = (8, 1, 1)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.start, self.up = nn.ConvTranspose2d(8, 6, 4), nn.Upsample(scale_factor=4)
            self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.ReLU())
            self.paint = nn.Conv2d(6, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.paint(self.block(self.up(self.start(z)))))


def compiled_in_place() -> nn.Module:
    net = Net()
    net.compile(backend="eager")
    return net


class Decorated(Net):
    @torch.compile(backend="eager")
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z)


WRAPPED: dict[str, Callable[[], nn.Module]] = {
    "compiled": lambda: torch.compile(Net(), backend="eager"),
    "in place": compiled_in_place,
    "decorated": Decorated,
    "parallel": lambda: nn.DataParallel(Net()),
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(Net()),
    "all of them": lambda: torch.compile(nn.DataParallel(torch.optim.swa_utils.AveragedModel(Net())), backend="eager"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRAPPED)
def test_the_network_inside_is_opened(kind: str) -> None:
    generator, plain = as_generator(WRAPPED[kind](), name="Net"), as_generator(Net())
    assert generator.layers == plain.layers
    assert generator.fingerprint == plain.fingerprint
    z = plain.latents(range(3), 0)
    seen, expected = generator.observe(z, ["block.1"]), plain.observe(z, ["block.1"])
    assert torch.equal(seen.features["block.1"], expected.features["block.1"])
    r = torch.ones(3, 6, 16, 16)
    assert torch.equal(generator.render(r, "block.1", z), plain.render(r, "block.1", z))


@pytest.mark.slow
def test_a_compiled_block_is_opened() -> None:
    net = Net()
    net.block = torch.compile(net.block, backend="eager")
    generator, plain = as_generator(net), as_generator(Net())
    z = plain.latents(range(3), 0)
    inside = generator.observe(z, ["block._orig_mod.1"]).features["block._orig_mod.1"]
    assert torch.equal(inside, plain.observe(z, ["block.1"]).features["block.1"])


def lazy() -> nn.Module:
    net = Net()
    net.paint = nn.LazyConv2d(3, 1)
    return net


class FullyShardedDataParallel(nn.Sequential):
    pass


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.ConvTranspose2d(8, 4, 16), nn.ReLU(), nn.Conv2d(4, 3, 1)))


REFUSED = [
    (lambda: Net().to("meta"), "module.to_empty(device='cpu')"),
    (lazy, "paint.weight"),
    (lambda: FullyShardedDataParallel(Net()), "FullyShardedDataParallel"),
]


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning", "ignore:.*jit.script:DeprecationWarning")
@pytest.mark.parametrize(("make", "fact"), [*REFUSED, (scripted, "torchscript:FILE")])
def test_what_cannot_be_opened_is_named_in_a_line(make: Callable[[], Any], fact: str) -> None:
    with mistake("bad-model", fact):
        as_generator(make())


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")
def test_a_scripted_block_is_no_layer() -> None:
    net = Net()
    net.block = torch.jit.script(net.block)
    generator = as_generator(net)
    assert list(generator.layers) == ["start", "up"]
    with mistake("bad-model", "layer block of Net", "TorchScript"):
        generator.observe(generator.latents(range(1), 0), ["block"])


class Checkpointed(Net):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, z: Tensor) -> Tensor:
        r = self.up(self.start(z))
        return torch.tanh(self.paint(checkpoint(self.block, r, use_reentrant=self.reentrant)))


class InPieces(Net):
    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.paint(checkpoint_sequential(self.block, 2, self.up(self.start(z)), use_reentrant=False)))


class Ungraded(Net):
    @torch.no_grad()
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z)


class Inferring(Net):
    @torch.inference_mode()
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z)


class Cut(Net):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).detach()


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (lambda: Checkpointed(True), "block.1"),
        (lambda: Checkpointed(False), "block.1"),
        (InPieces, "disable_gradient_checkpointing"),
        (Ungraded, "torch.no_grad"),
        (Inferring, "block.1"),
        (Cut, "from block.1"),
    ],
)
def test_no_gradient_is_lost_or_wrong(make: Callable[[], nn.Module], fact: str) -> None:
    generator, plain = as_generator(make()), as_generator(Net())
    z = plain.latents(range(2), 0)
    r = plain.observe(z, ["block.1"]).features["block.1"]
    assert torch.allclose(generator.render(r, "block.1", z), plain.render(r, "block.1", z), atol=1e-6)
    with mistake("bad-model", fact):
        generator.render(r.clone().requires_grad_(), "block.1", z)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_that_only_pass_through_a_checkpoint_are_right(reentrant: bool) -> None:
    grads = []
    for net in (Checkpointed(reentrant), Net()):
        generator = as_generator(net)
        z = generator.latents(range(2), 0)
        r = generator.observe(z, ["up"]).features["up"].requires_grad_()
        generator.render(r, "up", z).square().sum().backward()
        grads.append(r.grad)
    assert torch.allclose(*grads, atol=1e-6)
    assert bool(grads[0].any())


def with_weight(weight: Tensor) -> Net:
    net = Net()
    net.more = nn.Parameter(weight, requires_grad=False)
    return net


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_any_kind_have_fingerprints(dtype: torch.dtype) -> None:
    prints = [as_generator(with_weight(torch.full((3,), value).to(dtype))).fingerprint for value in (1.0, 1.0, 2.0)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_weights_of_any_kind_that_are_no_numbers_are_refused(dtype: torch.dtype) -> None:
    with mistake("bad-file", "Net", "more", "NaN"):
        as_generator(with_weight(torch.tensor([1.0, float("nan")]).to(dtype)))


def test_complex_weights_are_not_cut_to_their_real_part() -> None:
    net = with_weight(torch.ones(2, dtype=torch.complex64))
    with mistake("bad-model", "Net", "more", "torch.bfloat16", "dtype"):
        as_generator(net, dtype=torch.bfloat16)
    assert net.more.is_complex()


def test_eight_bits_are_no_format_to_compute_in() -> None:
    class Scaled(nn.Module):
        latent_shape = (8, 1, 1)

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1).to(torch.float8_e4m3fn), requires_grad=False)
            self.net = Net()

        def forward(self, z: Tensor) -> Tensor:
            return self.net(z) * self.scale.float()

    assert "net.block.1" in as_generator(Scaled()).layers


def test_tied_weights_have_a_fingerprint() -> None:
    net, plain = Net(), Net()
    net.block[2].weight = nn.Parameter(net.block[2].weight.detach().clone())
    assert as_generator(net).fingerprint == as_generator(plain).fingerprint
    net.tied = net.block[0]
    assert as_generator(net).fingerprint != as_generator(plain).fingerprint


class Remembering(Net):
    def __init__(self, extra: object) -> None:
        super().__init__()
        self.extra = extra

    def get_extra_state(self) -> object:
        return self.extra

    def set_extra_state(self, state: object) -> None:
        self.extra = state


class Judge(Remembering):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], -x[:, :1]], 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"scale": torch.ones(1)}, {"scale": torch.zeros(1)}),
        ({"levels": [1, 2, {"name": "a"}]}, {"levels": [1, 2, {"name": "b"}]}),
        (torch.ones(2), torch.ones(3)),
        (b"bytes", b"other"),
        (None, 1),
    ],
)
def test_extra_state_is_part_of_a_fingerprint(one: object, other: object) -> None:
    words = [NOTHING, Concept("dark", "object")]
    opened = [(as_generator(Remembering(each)), as_segmenter(Judge(each), words)) for each in (one, one, other)]
    for same, again, changed in zip(*opened, strict=True):
        assert same.fingerprint == again.fingerprint != changed.fingerprint
    assert opened[0][1](torch.zeros(1, 3, 8, 8)).shape == (1, 1, 8, 8)


def test_extra_state_of_unknown_kinds_is_the_same_in_every_process() -> None:
    first, second = (as_generator(Remembering({"object": object(), "order": {"b": 1, "a": 2}})) for _ in range(2))
    turned = as_generator(Remembering({"order": {"a": 2, "b": 1}, "object": object()}))
    assert first.fingerprint == second.fingerprint == turned.fingerprint


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning", "ignore:.*jit.script:DeprecationWarning")
def test_segmenters_are_opened_in_their_wrappers_too() -> None:
    words = [NOTHING, Concept("dark", "object")]
    for make in (lambda: nn.DataParallel(nn.Conv2d(3, 2, 1)), lambda: torch.jit.script(nn.Conv2d(3, 2, 1))):
        assert as_segmenter(make(), words)(torch.zeros(1, 3, 8, 8)).shape == (1, 1, 8, 8)
    for module, fact in ((nn.Conv2d(3, 2, 1, device="meta"), "meta"), (nn.LazyConv2d(2, 1), "lazy")):
        with mistake("bad-model", "weight", fact):
            as_segmenter(module, words)
