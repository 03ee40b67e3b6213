"""Where an ablation can be made part of the weights, and where it cannot."""

from collections.abc import Callable

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.core.errors import BadModel
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators import Generator, as_generator, open_generator
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.progan import ProGAN, progan_network
from ganatomy.models.generators.vae import decoder
from ganatomy.models.generators.weight_folding import fold

UNITS = 6


def painted(*parts: nn.Module, units: int = UNITS) -> nn.Module:
    """Parts between a first convolution and the colours."""
    return nn.Sequential(
        nn.Unflatten(1, (8, 1, 1)),
        nn.ConvTranspose2d(8, units, 8),
        nn.ReLU(),
        *parts,
        nn.Conv2d(units, 3, 1),
        nn.Tanh(),
    )


def opened(net: nn.Module) -> HookedGenerator:
    """With biases, scales and running statistics that are not those of a new network."""
    torch.manual_seed(0)
    for name, value in [*net.named_parameters(), *net.named_buffers()]:
        if value.is_floating_point() and value.ndim < 2:
            value.data.uniform_(0.5, 1.5)
            if "bias" in name or "mean" in name:
                value.data -= 1
    return as_generator(net, latent=(8,))


def off(generator: Generator, layer: str, units: tuple[int, ...] = (1, 4), strength: float = 1.0) -> Intervention:
    return Intervention.ablate(layer, generator.layers[layer], units, strength=strength)


def check(generator: Generator, network: nn.Module, edits: list[Intervention]) -> str:
    """Fold; put the weights into the network, and compare images of latents that folding did not see."""
    z = generator.latents(range(500, 520), 1)
    plain, expected = generator.observe(z, []).images, generator.edited(z, edits)
    assert float((plain - expected).abs().max()) > 1e-3, "the edit does nothing"
    folded = fold(generator, edits)
    assert torch.equal(generator.observe(z, []).images, plain), "the generator was changed"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(folded.state)
    assert float((generator.observe(z, []).images - expected).abs().max()) < 2e-6
    network.load_state_dict(before)
    return folded.how


class Functional(nn.Module):
    """A layer of functions and bare parameters, in the manner of equalised learning rates."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(UNITS, UNITS, 3, 3))
        self.gain, self.bias = nn.Parameter(torch.rand(UNITS)), nn.Parameter(torch.randn(1, UNITS, 1, 1))
        self.noise = nn.Parameter(torch.randn(UNITS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight * 0.1, padding=1) * self.gain.view(1, -1, 1, 1) + self.bias
        x = x + torch.linspace(-1, 1, 8, device=x.device) * self.noise
        return F.interpolate(F.leaky_relu(x, 0.2), scale_factor=2.0)


def conv(**options: int) -> nn.Module:
    return nn.Conv2d(UNITS, UNITS, 3, padding=1, **options)


MAKERS: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "a convolution": (lambda: painted(conv()), "3", "3.weight and 3.bias"),
    "before an in-place ReLU": (lambda: painted(conv(), nn.ReLU(inplace=True)), "3", "3.weight and 3.bias"),
    "after it": (lambda: painted(conv(), nn.ReLU(inplace=True)), "4", "3.weight and 3.bias"),
    "transposed": (lambda: painted(nn.ConvTranspose2d(UNITS, UNITS, 3)), "3", "3.weight and 3.bias"),
    "without bias": (lambda: painted(nn.Conv2d(UNITS, UNITS, 3, bias=False), nn.LeakyReLU(0.1)), "4", "3.weight"),
    "batch norm": (
        lambda: painted(nn.Sequential(conv(), nn.BatchNorm2d(UNITS), nn.ReLU(inplace=True))),
        "3",
        "3.1.weight and 3.1.bias",
    ),
    "before batch norm": (
        lambda: painted(nn.Sequential(conv(), nn.BatchNorm2d(UNITS), nn.ReLU())),
        "3.0",
        "3.0.weight and 3.0.bias",
    ),
    "group norm": (lambda: painted(conv(), nn.GroupNorm(2, UNITS), nn.SiLU()), "5", "4.weight and 4.bias"),
    "before group norm": (lambda: painted(conv(), nn.GroupNorm(2, UNITS)), "3", "3.weight and 3.bias"),
    "instance norm": (lambda: painted(conv(), nn.InstanceNorm2d(UNITS, affine=True)), "4", "4.weight and 4.bias"),
    "plain instance norm": (lambda: painted(conv(), nn.InstanceNorm2d(UNITS)), "4", "3.weight and 3.bias"),
    "grouped": (lambda: painted(conv(groups=2)), "3", "3.weight and 3.bias"),
    "depthwise": (lambda: painted(conv(groups=UNITS)), "3", "3.weight and 3.bias"),
    "functions": (lambda: painted(Functional()), "3", "3.gain and 3.bias and 3.noise"),
    "pixel shuffle": (
        lambda: painted(nn.Sequential(nn.Conv2d(UNITS, 4 * UNITS, 1), nn.PixelShuffle(2), nn.ReLU())),
        "3",
        "3.0.weight and 3.0.bias",
    ),
    "weight norm": (
        lambda: painted(nn.utils.parametrizations.weight_norm(conv())),
        "3",
        "3.bias and 3.parametrizations.weight.original0",
    ),
    "pixel norm next": (lambda: painted(conv(), PixelNorm(), conv()), "3", "3.weight and 3.bias"),
}


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


@pytest.mark.parametrize("case", MAKERS)
def test_the_weights_that_make_a_unit_are_set_to_zero(case: str) -> None:
    build, layer, weights = MAKERS[case]
    net = build()
    generator = opened(net)
    how = check(generator, net, [off(generator, layer)])
    assert how == f"{layer}: {weights}, which make its units"
    state = fold(generator, [off(generator, layer)]).state
    net.load_state_dict(state)
    r = generator.observe(generator.latents(range(4), 3), [layer]).features[layer]
    assert not r[:, [1, 4]].any()
    assert r[:, [0, 2, 3, 5]].any()


READERS: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "pixel norm within": (lambda: painted(nn.Sequential(conv(), nn.ReLU(), PixelNorm())), "3", "4.weight"),
    "sigmoid": (lambda: painted(conv(), nn.Sigmoid(), nn.Upsample(scale_factor=2), conv()), "4", "6.weight"),
    "two readers": (lambda: painted(conv(), nn.Softplus(), TwoWays()), "4", "5.one.weight and 5.two.weight"),
    "transposed": (lambda: painted(conv(), nn.Softplus(), nn.ConvTranspose2d(UNITS, UNITS, 3)), "4", "5.weight"),
}


class TwoWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(), nn.Conv2d(UNITS, UNITS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two(x)


@pytest.mark.parametrize("case", READERS)
def test_else_those_that_read_it(case: str) -> None:
    """A unit after a sigmoid is one half without weights; one after a normalisation of its layer changes the others."""
    build, layer, weights = READERS[case]
    net = build()
    generator = opened(net)
    assert check(generator, net, [off(generator, layer)]) == f"{layer}: {weights}, which read its units"


def test_a_unit_whose_weights_are_folded_is_zero_even_where_nothing_reads_it() -> None:
    net = painted(conv(), nn.Sigmoid(), conv())
    generator = opened(net)
    net[5].weight.data[:, [1, 4]] = 0
    assert fold(generator, [off(generator, "4")]).how == "4: 5.weight, which read its units"


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(torch.relu(self.conv(x))))


class Beside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.joined = conv(), nn.Conv2d(2 * UNITS, UNITS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.joined(torch.cat([x, self.conv(x)], 1)))


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def spectral() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(conv())


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "residual sum": (
        lambda: painted(Residual(), Residual()),
        "3",
        "3: its units come of a sum of branches, such as a residual; they are read by a sum of branches",
    ),
    "residual, then group norm": (
        lambda: painted(Residual(), nn.GroupNorm(2, UNITS)),
        "3",
        "such as a residual; they are read by a normalisation over units",
    ),
    "residual, then batch norm": (
        lambda: painted(Residual(), nn.BatchNorm2d(UNITS)),
        "3",
        "such as a residual; they are read by a batch or instance normalisation",
    ),
    "residual, then pixel norm": (
        lambda: painted(Residual(), PixelNorm()),
        "3",
        "they are read by a product of what depends on the image, such as a normalisation over units",
    ),
    "used twice": (
        lambda: painted(Twice()),
        "3.conv",
        "3.conv: the weights are used in 2 places; without the weights which read its units it draws other images|"
        "3.conv: the weights are used in 2 places; the weights are used in 2 places",
    ),
    "second use": (lambda: painted(Twice(), nn.Sigmoid(), PixelNorm()), "3.conv#2", "the weights are used in 2 places"),
    "beside others": (
        lambda: painted(nn.ReLU(), Beside(), conv(), nn.Sigmoid(), Beside()),
        "6",
        "draws other images; they are read by several branches side by side",
    ),
    "spectral norm": (lambda: painted(spectral(), PixelNorm()), "3", "3: the weights are used in|draws other images"),
    "cut off": (
        lambda: painted(conv(), Detached(), PixelNorm()),
        "4",
        "autograd does not follow its units to the latents",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_folded_is_told(case: str) -> None:
    build, layer, says = REFUSED[case]
    net = build()
    generator = opened(net)
    z = generator.latents(range(4), 0)
    before = generator.observe(z, []).images
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(BadModel) as caught:
        fold(generator, [off(generator, layer)])
    assert any(part in str(caught.value) for part in says.split("|")), str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.equal(generator.observe(z, []).images, before)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())


def test_a_unit_of_a_linear_layer_is_several_rows() -> None:
    net = nn.Sequential(
        nn.Linear(8, UNITS * 16), nn.Unflatten(1, (UNITS, 4, 4)), conv(), nn.Conv2d(UNITS, 3, 1), nn.Tanh()
    )
    generator = opened(net)
    assert check(generator, net, [off(generator, "1")]) == "1: 0.weight and 0.bias, which make its units"


def test_progressive_gans_fold_at_every_layer() -> None:
    torch.manual_seed(0)
    network = progan_network(8, [8, 6, 6, 5, 5, 5])
    for name, value in network.named_parameters():
        if name.endswith(".b"):
            value.data.normal_()
    generator = ProGAN(network)
    for layer in ("layer1", "layer2", "layer5"):
        how = check(generator, network, [off(generator, layer)])
        assert how == f"{layer}: {layer}.conv.weight and {layer}.wscale.b, which make its units"
    both = [off(generator, "layer5", (0,)), off(generator, "layer2"), off(generator, "layer5", (3,))]
    assert check(generator, network, both).split("; ")[1].startswith("layer5: layer5.conv.weight")
    network = progan_network(8, [8, 8, 4, 4], pixelnorm=False)
    generator = ProGAN(network)
    check(generator, network, [off(generator, "layer3", (1, 2))])


def test_units_can_be_weakened_where_nothing_but_a_leaky_relu_follows() -> None:
    net = decoder(8, [UNITS] * 4)
    generator = opened(net)
    twice = off(generator, "layer3", (1, 2), strength=0.75).then(off(generator, "layer3", (2,), strength=0.5))
    check(generator, net, [twice])
    net = painted(conv(), nn.Softplus(), PixelNorm())
    generator = opened(net)
    with mistake("bad-model", 4, "product"):
        fold(generator, [off(generator, "4", strength=0.5)])


def test_only_ablations_everywhere_are_folded() -> None:
    net = painted(conv())
    generator = opened(net)
    shape = generator.layers["3"]
    for edit, fact in (
        (Intervention.insert("3", shape, [1], torch.ones(UNITS)), "values"),
        (Intervention.ablate("3", shape, [1], place((8, 8), 0, 0, 4, 8)), "places"),
    ):
        with mistake("bad-model", "edit of 3", fact):
            fold(generator, [off(generator, "3"), edit])
    planted = open_generator("planted:")
    with mistake("bad-model", "PlantedGenerator"):
        fold(planted, [off(planted, "layer1")])


def test_a_module_in_training_is_folded_as_it_is_used_and_left_in_training() -> None:
    net = painted(nn.Sequential(conv(), nn.BatchNorm2d(UNITS), nn.ReLU()))
    generator = opened(net)
    net.train()
    running = net[3][1].running_mean.clone()
    check(generator, net, [off(generator, "3")])
    assert all(part.training for part in net.modules())
    assert torch.equal(net[3][1].running_mean, running)


def test_folding_stays_on_the_device_of_the_weights_and_gives_the_state_for_a_file() -> None:
    net = painted(conv()).to(memory_format=torch.channels_last)
    folded = fold(opened(net), [off(opened(net), "3")])
    assert all(value.is_contiguous() and value.device.type == "cpu" for value in folded.state.values())
    assert list(folded.state) == list(net.state_dict())
