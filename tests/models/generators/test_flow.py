"""RealNVP: it inverts to rounding, its log-determinant is autograd's, and its latents enter where they should."""

import math
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from torch import Tensor

from ganatomy.models.generators import LayerShape, open_generator
from ganatomy.models.generators.flow import Coupling, RealNVP, plan


def some_flow(side: int = 8, widths: tuple[int, ...] = (6, 5, 4), steps: int = 2) -> RealNVP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = RealNVP(side, widths, steps)
        for weight in flow.parameters():
            weight.data.normal_(std=0.1)
    return flow.requires_grad_(False)


def spec(flow: RealNVP, directory: Path, **changed: Tensor) -> str:
    torch.save(flow.state_dict() | changed, directory / "f.pth")
    return f"realnvp:{directory / 'f.pth'}"


def noise(count: int, flow: RealNVP) -> Tensor:
    return torch.randn(count, flow.latent, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_images_have_their_latents_and_latents_their_images() -> None:
    flow = some_flow().double()
    z = noise(3, flow)
    images = flow(z)
    assert images.shape == (3, 3, 8, 8)
    assert float((flow.inverse(images)[0] - z).abs().max()) < 1e-12
    others = torch.rand(3, 3, 8, 8, dtype=torch.float64) * 2 - 1
    assert float((flow(flow.inverse(others)[0]) - others).abs().max()) < 1e-12


@pytest.mark.parametrize("scales", [1, 2])
def test_the_determinant_is_that_of_autograd(scales: int) -> None:
    flow = some_flow(4, (6, 5)[:scales]).double()
    images = flow(noise(2, flow))
    _, log_det = flow.inverse(images)
    for image, own in zip(images, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow.inverse(x[None])[0][0], image).reshape(48, 48)
        assert float(own) == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-9)


@pytest.mark.parametrize("checkered", [True, False])
@pytest.mark.parametrize("odd", [True, False])
def test_a_coupling_keeps_one_half_and_changes_the_other(checkered: bool, odd: bool) -> None:
    coupling = Coupling(6, 4, checkered, odd)
    coupling.out.weight.data.normal_()
    x = torch.randn(2, 6, 4, 4)
    same = (coupling(x) == x).all(0)
    rows, columns = torch.arange(4)[:, None], torch.arange(4)
    kept = (rows + columns) % 2 == odd if checkered else (torch.arange(6)[:, None, None] >= 3) == odd
    assert torch.equal(same, kept.expand(6, 4, 4))


def test_a_fresh_flow_only_squashes() -> None:
    """All couplings begin as the identity, so the latents are the pixels, before the squashing, in another order."""
    flow = RealNVP(8, (4, 4, 4), 2).requires_grad_(False)
    z = torch.randn(2, flow.latent)
    pixels = (torch.sigmoid(z) - 0.5) / 0.45
    assert torch.equal(flow(z).flatten(1).sort().values, pixels.sort().values)


def test_a_later_layer_still_takes_its_own_latents(tmp_path: Path) -> None:
    """`render` continues with the latents of the finer scales: others give another image from the same features."""
    generator = open_generator(spec(some_flow(), tmp_path))
    z = generator.latents(range(2), 0)
    coarse, fine = z.clone(), z.clone()
    coarse[:, : 12 * 4] = 0
    fine[:, -96:] = 0
    r = generator.observe(z, ["layer2"]).features["layer2"]
    assert torch.equal(generator.render(r, "layer2", coarse), generator.render(r, "layer2", z))
    assert float((generator.render(r, "layer2", fine) - generator.render(r, "layer2", z)).abs().max()) > 0.1


def test_layers_are_the_couplings_in_order_and_their_networks_when_asked_for(tmp_path: Path) -> None:
    name = spec(some_flow(), tmp_path)
    shapes = [LayerShape(channels, side, side) for (channels, _), side in zip(plan(3), (2, 2, 4, 4), strict=False)]
    layers = open_generator(name).layers
    assert list(layers) == [f"layer{i}" for i in range(1, 9)], "layer9 and layer10 have the shape of the image"
    assert list(layers.values()) == [shape for shape in shapes for _ in range(2)]
    with_networks = open_generator(f"{name}?networks=yes").layers
    assert list(with_networks)[:4] == ["layer1.net", "layer1", "layer2.net", "layer2"]
    assert list(with_networks)[-2:] == ["layer9.net", "layer10.net"]
    assert with_networks["layer9.net"] == LayerShape(4, 8, 8)


def test_the_temperature_is_the_spread_of_the_latents(tmp_path: Path) -> None:
    name = spec(some_flow(), tmp_path)
    plain, cold = open_generator(name), open_generator(f"{name}?temperature=0.5")
    torch.testing.assert_close(cold.latents(range(3), 1), 0.5 * plain.latents(range(3), 1))
    assert cold.fingerprint != plain.fingerprint
    for wrong in ("0", "-1", "nan", "inf"):
        with mistake("bad-value", f"temperature={wrong}"):
            open_generator(f"{name}?temperature={wrong}")


def test_files_that_are_no_flow_are_refused(tmp_path: Path) -> None:
    flow = some_flow()
    no_flow = "RealNVP"
    with mistake("bad-file", no_flow):
        open_generator(spec(flow, tmp_path, **{"layer3.reach": torch.ones(7, 1, 1)}))
    with mistake("bad-file", no_flow):
        open_generator(spec(flow, tmp_path, **{"layer11.reach": torch.ones(3, 1, 1)}))
    with mistake("bad-file", no_flow):
        open_generator(spec(flow, tmp_path, side=torch.tensor([8, 8])))
    with mistake("bad-file", "side of 10", "3 scales"):
        open_generator(spec(flow, tmp_path, side=torch.tensor(10)))
    with mistake("bad-file", "side of 1048576"):
        open_generator(spec(flow, tmp_path, side=torch.tensor(1 << 20)))
    with mistake("bad-file", "layer2.out.bias", [3], [24]):
        open_generator(spec(flow, tmp_path, **{"layer2.out.bias": torch.zeros(3)}))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "f.pth")
    with mistake("bad-file", no_flow):
        open_generator(f"realnvp:{tmp_path / 'f.pth'}")


def test_likelihoods_are_those_of_the_change_of_variables() -> None:
    """The density of one pixel, the others held grey, integrates to 1."""
    flow = RealNVP(2, (4,), 1).double().requires_grad_(False)
    grid = torch.linspace(-1.11, 1.11, 20001, dtype=torch.float64)
    images = torch.zeros(len(grid), 3, 2, 2, dtype=torch.float64)
    images[:, 0, 0, 0] = grid
    z, log_det = flow.inverse(images)
    rest = flow.inverse(torch.zeros(1, 3, 2, 2, dtype=torch.float64))
    others = float(rest[1]) * 11 / 12 - 11 / 2 * math.log(2 * math.pi)  # pixels in the middle have z = 0
    log_p = log_det - z.square().sum(1) / 2 - 6 * math.log(2 * math.pi) - others
    assert float(torch.trapezoid(log_p.exp(), grid)) == pytest.approx(1, abs=1e-3)
