from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.models.generators.suffix_runner import SuffixRunner


class Counting(nn.Conv2d):
    """A convolution that counts how often it is computed."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes, padding=1)
        self.computed = 0

    def forward(self, x: Tensor) -> Tensor:
        self.computed += 1
        return super().forward(x)


class Skips(nn.Module):
    """Two blocks, each of which adds its input to its output; one activation for all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = Counting(3, 4, 3), Counting(4, 4, 3), Counting(4, 4, 3)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        x = self.act(x + self.one(x))
        x = self.act(x + self.two(x))
        return self.head(x.mean((2, 3)))


class Spoils(Skips):
    """A later step writes into what an earlier one returned."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.one(x)
        x += self.two(y)
        return self.head(x.mean((2, 3)))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Counting(3, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        r = self.conv(x)
        return r, {"skip": r}


class Tuples(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = Pair(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        r, others = self.pair(x)
        return self.head((r * others["skip"]).mean((2, 3)))


X = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def replay(net: nn.Module, layer: str) -> SuffixRunner:
    net.eval().requires_grad_(False)
    return SuffixRunner(net, layer, lambda: net(X))


def expected(net: nn.Module, layer: str, r: Tensor) -> Tensor:
    """What a hook makes of it."""
    path, _, number = layer.partition("#")
    calls = 0

    def put(_module: nn.Module, _given: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != int(number or 1):
            return None
        return (r.clone(), {"skip": r.clone()}) if isinstance(output, tuple) else r.clone()

    handle = net.get_submodule(path).register_forward_hook(put)
    try:
        return net(X)
    finally:
        handle.remove()


@pytest.mark.parametrize("layer", ["stem", "act", "one", "act#2", "two", "act#3"])
def test_the_rest_is_what_a_hook_would_give_and_what_comes_before_is_not_computed(layer: str) -> None:
    net = Skips()
    rest = replay(net, layer)
    assert rest.short
    r = torch.randn_like(rest.features)
    wanted = expected(net, layer, r)
    before = [net.stem.computed, net.one.computed, net.two.computed]
    given = r.clone()
    for _ in range(2):
        assert torch.allclose(rest(r), wanted, atol=1e-6)
    assert torch.equal(given, r), "it wrote into the features that it was given"
    computed = [part.computed - b for part, b in zip((net.stem, net.one, net.two), before, strict=True)]
    place = {"stem": 1, "act": 1, "one": 2, "act#2": 2, "two": 3, "act#3": 3}[layer]
    assert computed == [0] * place + [2] * (3 - place)


@pytest.mark.parametrize("layer", ["stem", "one", "two"])
def test_a_network_that_spoils_what_is_kept_is_run_whole(layer: str) -> None:
    net = Spoils()
    rest = replay(net, layer)
    r = torch.randn_like(rest.features)
    assert rest.short == (layer == "stem"), "only the layer itself is written into, and that is new each time"
    for _ in range(3):
        assert torch.allclose(rest(r), expected(net, layer, r), atol=1e-6)
    assert torch.allclose(rest(rest.features), rest.output, atol=1e-6)


class Shares(Skips):
    """An activation is called inside of a block, and again by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(self.stem, self.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.one(self.block(x))).mean((2, 3)))


def test_calls_inside_of_what_is_kept_do_not_count() -> None:
    net = Shares()
    rest = replay(net, "one")
    r = torch.randn_like(rest.features)
    assert rest.short
    assert torch.allclose(rest(r), expected(net, "one", r), atol=1e-6)


def test_of_a_structure_the_feature_map_is_replaced_wherever_it_stands() -> None:
    net = Tuples()
    rest = replay(net, "pair")
    r = torch.randn_like(rest.features)
    assert rest.short
    assert torch.allclose(rest(r), expected(net, "pair", r), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_scripted_networks_are_run_whole() -> None:
    scripted = torch.jit.trace(nn.Conv2d(4, 4, 1), torch.zeros(1, 4, 6, 6))
    net = nn.Sequential(Counting(3, 4, 3), scripted, nn.Flatten(), nn.Linear(144, 2))
    rest = replay(net, "0")
    r = torch.randn_like(rest.features)
    assert not rest.short
    assert torch.allclose(rest(r), expected(net, "0", r), atol=1e-6)


def test_nothing_is_left_behind_not_even_after_an_error() -> None:
    net = Skips()
    own = net.two.forward
    net.two.forward = lambda x: own(x)  # type: ignore[method-assign]  # somebody had wrapped it before
    theirs = net.two.forward
    rest = replay(net, "one")
    with pytest.raises(RuntimeError):
        rest(torch.zeros(3, 5, 6, 6))
    assert net.two.forward is theirs
    assert [name for name, part in net.named_modules() if "forward" in vars(part)] == ["two"]


def test_a_layer_that_is_not_computed_is_refused() -> None:
    with mistake("bad-model", "act#9"):
        replay(Skips(), "act#9")
