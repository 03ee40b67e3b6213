"""Modules that take their batch in parts, and images that depend on more than their own latent."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.interventions import Intervention
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.module import as_generator

Forward = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """8 numbers to an image of 16 x 16; one activation is called three times."""

    latent_shape = (8, 1, 1)

    def __init__(self, through: Forward | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.start, self.act, self.up = nn.ConvTranspose2d(8, 6, 4), nn.ReLU(), nn.Upsample(scale_factor=4)
            self.conv, self.paint = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 3, 1)
            for weight in self.parameters():
                nn.init.normal_(weight, std=0.3)
        self.through = through

    def features(self, z: Tensor) -> Tensor:
        return self.up(self.act(self.start(z)))

    def rest(self, r: Tensor) -> Tensor:
        return torch.tanh(0.5 * self.paint(self.act(self.conv(self.act(r)) + 0.5)))

    def draw(self, z: Tensor) -> Tensor:
        return self.rest(self.features(z))

    def forward(self, z: Tensor) -> Tensor:
        return self.through(self, z) if self.through else self.draw(z)


def looped(net: Net, z: Tensor) -> Tensor:
    return torch.cat([net.draw(z[i : i + 1]) for i in range(len(z))])


def unequal(net: Net, z: Tensor) -> Tensor:
    return net.draw(z) if len(z) < 3 else torch.cat([net.draw(z[:1]), net.draw(z[1:])])


def backwards(net: Net, z: Tensor) -> Tensor:
    return torch.cat([net.draw(part) for part in z.split(2)[::-1]][::-1])


PARTS: dict[str, Forward] = {
    "split": lambda net, z: torch.cat([net.draw(part) for part in z.split(2)]),
    "split of five": lambda net, z: torch.cat([net.draw(part) for part in z.split(5)]),
    "chunk": lambda net, z: torch.cat([net.draw(part) for part in z.chunk(2)]),
    "loop over rows": looped,
    "unequal": unequal,
    "backwards": backwards,
    "only the end": lambda net, z: torch.cat([net.rest(part) for part in net.features(z).split(2)]),
}
LAYERS = ["start", "act", "up", "act#2", "conv", "act#3"]


@pytest.fixture(scope="module")
def whole() -> HookedGenerator:
    return as_generator(Net())


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("layer", ["act", "act#2", "conv"])
def test_batches_in_parts_are_joined_and_edited_row_by_row(whole: HookedGenerator, kind: str, layer: str) -> None:
    generator = as_generator(Net(PARTS[kind]))
    assert list(generator.layers) == list(whole.layers) == LAYERS
    z = whole.latents(range(7), 0)
    seen, expected = generator.observe(z, [layer]), whole.observe(z, [layer])
    assert torch.allclose(seen.features[layer], expected.features[layer], atol=1e-6)
    assert torch.allclose(seen.images, expected.images, atol=1e-6)
    units, height, width = whole.layers[layer]
    where = torch.rand(7, height, width, generator=torch.Generator().manual_seed(0))
    edits = [
        Intervention.insert(layer, (units, height, width), [0, 3], torch.full((units,), 2.0), where=where),
        Intervention.ablate("act#3", whole.layers["act#3"], [1], where=torch.rand(7, 16, 16).round()),
    ]
    before = whole.edited(z, edits)
    assert torch.allclose(generator.edited(z, edits), before, atol=1e-6)
    assert not torch.allclose(before, expected.images, atol=1e-3)
    r = torch.randn(7, units, height, width, generator=torch.Generator().manual_seed(1)).requires_grad_()
    images, plain = generator.render(r, layer, z, edits), whole.render(r, layer, z, edits)
    assert torch.allclose(images, plain, atol=1e-6)
    grads = [torch.autograd.grad(each.square().sum(), r)[0] for each in (images, plain)]
    assert torch.allclose(*grads, atol=1e-5)


def test_an_edit_that_reads_its_batch_sees_all_rows_that_came(whole: HookedGenerator) -> None:
    """Directions of a layer remember the coefficients that an edit left."""
    from ganatomy.models.generators.basis import in_basis
    from ganatomy.models.generators.directions import Directions

    turn = Directions.linear(torch.eye(6)[[1, 0, 2, 3, 4, 5]])
    models = [in_basis(as_generator(Net(through)), "conv", turn) for through in (PARTS["split"], None)]
    z = whole.latents(range(5), 0)
    edit = Intervention.ablate("conv", models[0].layers["conv"], [1])
    parts, plain = (model.observe(z, ["conv"], [edit]).features["conv"] for model in models)
    assert torch.allclose(parts, plain, atol=1e-5)


def guided(net: Net, z: Tensor) -> Tensor:
    with_class, without = net.draw(torch.cat([z, torch.zeros_like(z)])).chunk(2)
    return without + 1.5 * (with_class - without)


def guided_one_by_one(net: Net, z: Tensor) -> Tensor:
    return torch.cat([guided(net, z[i : i + 1]) for i in range(len(z))])


def padded(net: Net, z: Tensor) -> Tensor:
    return net.draw(torch.cat([z, z.new_zeros(-len(z) % 4, *z.shape[1:])]))[: len(z)]


@pytest.mark.parametrize(
    ("through", "fact"),
    [(guided, "2 maps"), (guided_one_by_one, "2 maps"), (padded, "[4, 6, 16, 16]")],
)
def test_other_rows_than_latents_are_no_layers(through: Forward, fact: str) -> None:
    with mistake("bad-model", "Net", fact):
        as_generator(Net(through))


def tiled(net: Net, z: Tensor) -> Tensor:
    r = net.features(z)
    rows = [[net.rest(r[:, :, i : i + 8, j : j + 8]) for j in (0, 8)] for i in (0, 8)]
    return torch.cat([torch.cat(row, 3) for row in rows], 2)


def test_tiles_are_no_layers() -> None:
    generator = as_generator(Net(tiled))
    assert list(generator.layers) == ["start", "act", "up"]
    with mistake("bad-model", "layer conv of Net", "tiling"):
        generator.observe(generator.latents(range(2), 0), ["conv"])


def turned(net: Net, z: Tensor) -> Tensor:
    return net.rest(net.features(z).flip(0)).flip(0)


def besides(net: Net, z: Tensor) -> Tensor:
    r = net.features(z)
    net.conv(r * r.std(0, unbiased=False).mean() * 3)
    return net.paint(r).tanh()


@pytest.mark.parametrize("through", [turned, besides])
def test_layers_with_rows_of_other_latents_are_none(through: Forward) -> None:
    generator = as_generator(Net(through))
    assert list(generator.layers) == ["start", "act", "up"]
    with mistake("bad-model", "layer conv of Net", "batch"):
        generator.observe(generator.latents(range(2), 0), ["conv"])


def noisy(net: Net, z: Tensor) -> Tensor:
    r = net.features(z)
    return net.rest(r + 0.1 * torch.randn(1, *r.shape[1:], dtype=r.dtype))


def seeded(net: Net, z: Tensor) -> Tensor:
    r = net.features(z)
    return net.rest(r + 0.1 * torch.randn(r.shape, generator=torch.Generator().manual_seed(0), dtype=r.dtype))


def constant(net: Net, z: Tensor) -> Tensor:
    r = net.features(z)
    return net.rest(r + 0.1 * torch.randn(1, *r.shape[1:], generator=torch.Generator().manual_seed(0), dtype=r.dtype))


def spread(net: Net, z: Tensor) -> Tensor:
    r = net.features(z)
    return net.rest(r + 3 * r.std(0, keepdim=True, unbiased=False).mean())


def stretched(net: Net, z: Tensor) -> Tensor:
    x = net.draw(z)
    return (x - x.min()) / (x.max() - x.min()) * 2 - 1


def attending(net: Net, z: Tensor) -> Tensor:
    r = net.features(z).flatten(2).permute(0, 2, 1)  # [b, places, units] where it should be [places, b, units]
    return net.rest(F.scaled_dot_product_attention(*[r.transpose(0, 1)] * 3).permute(1, 2, 0).unflatten(2, (16, 16)))


def normalised(net: Net, z: Tensor) -> Tensor:
    return net.rest(F.batch_norm(net.features(z), None, None, training=True))


@pytest.mark.parametrize(
    ("through", "facts"),
    [
        (noisy, ("dropout", "act#2 (ReLU)")),
        (lambda net, z: net.rest(F.dropout(net.features(z), 0.1)), ("dropout", "act#2")),
        (lambda net, z: net.draw(z) + 0.02 * torch.rand(1), ("dropout",)),
        (seeded, ("batch", "act#2")),
        (spread, ("batch", "act#2 (ReLU)")),
        (normalised, ("batch",)),
        (attending, ("batch",)),
        (stretched, ("batch",)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_images_that_depend_on_more_than_their_latents(
    through: Forward, facts: tuple[str, ...], dtype: torch.dtype
) -> None:
    with torch.random.fork_rng(), mistake("bad-model", "Net", *facts):
        as_generator(Net(through).to(dtype), latent=(8, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("through", [None, constant])
def test_images_that_do_not(through: Forward | None, dtype: torch.dtype) -> None:
    assert list(as_generator(Net(through).to(dtype)).layers) == LAYERS


def test_batch_norm_without_running_statistics_is_named() -> None:
    net = Net()
    net.conv = nn.Sequential(net.conv, nn.BatchNorm2d(6, track_running_stats=False))
    with mistake("bad-model", "conv.1", "BatchNorm2d"):
        as_generator(net)
    net.conv[1] = nn.BatchNorm2d(6)
    as_generator(net.train())  # which is used in evaluation mode


def test_rounding_that_grows_is_no_dependence() -> None:
    """Another order of sums for another batch, and a network that makes much of it."""

    class Shaky(Net):
        def forward(self, z: Tensor) -> Tensor:
            r = self.features(z)
            r = r * (1 + 2e-7 * len(z))
            return self.rest(r + torch.sin(3e4 * r))

    as_generator(Shaky())
