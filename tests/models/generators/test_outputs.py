"""Which tensor is the image, which values are black and white, and what is said of what is no image."""

import logging
from collections.abc import Callable

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.models.generators.module import as_generator

Returns = Callable[[Tensor], object]


class Net(nn.Module):
    """8 numbers to an image of 16 x 16 in -1 to 1, returned as the function says."""

    latent_shape = (8, 1, 1)

    def __init__(self, returns: Returns = lambda x: x) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.start, self.up = nn.ConvTranspose2d(8, 6, 4), nn.Upsample(scale_factor=4)
            self.paint = nn.Conv2d(6, 3, 3, padding=1)
            nn.init.normal_(self.paint.weight)
        self.returns = returns

    def forward(self, z: Tensor) -> object:
        return self.returns(torch.tanh(self.paint(self.up(self.start(z)))))


def grey(x: Tensor) -> Tensor:
    return x[:, :1]


@pytest.mark.parametrize(
    ("returns", "taken"),
    [
        (lambda x: x, ""),
        (lambda x: (grey(x), x), "1"),
        (lambda x: {"mask": nn.functional.interpolate(grey(x), scale_factor=2), "colour": x}, "colour"),
        (lambda x: {"logits": x.repeat(1, 7, 1, 1), "depth": grey(x), "out": x}, "out"),
        (lambda x: {"image": x, "features": nn.functional.interpolate(x, scale_factor=2)}, "image"),
        (lambda x: (x, {"again": x}), "0"),
        (lambda x: {"small": x[:, :, ::2, ::2], "large": x}, "large"),
        (lambda x: [[None, "words"], {"sample": x, "other": -x}], "1.sample"),
    ],
)
def test_the_image_is_found_among_several_tensors(returns: Returns, taken: str) -> None:
    generator, plain = as_generator(Net(returns)), as_generator(Net())
    assert generator.output == taken
    z = plain.latents(range(2), 0)
    assert torch.equal(generator.observe(z, []).images, plain.observe(z, []).images)


def test_the_image_can_be_chosen() -> None:
    both = as_generator(Net(lambda x: (x, -x)), output="1")
    z = both.latents(range(2), 0)
    assert torch.equal(both.observe(z, []).images, -as_generator(Net()).observe(z, []).images)
    assert both.output == "1"
    mask = as_generator(Net(lambda x: {"mask": grey(x), "image": x}), output="mask").observe(z, []).images
    assert torch.equal(mask[:, 0], mask[:, 2])
    prints = [as_generator(Net(lambda x: (x, -x)), output=path).fingerprint for path in "01"]
    assert prints[0] != prints[1]


CHANNELS_LAST = "x.permute(0, 3, 1, 2)"


@pytest.mark.parametrize(
    ("returns", "output", "code", "fact"),
    [
        (lambda x: (x, -x), "", "bad-model", "output=0"),
        (lambda x: {"a": grey(x), "b": -grey(x)}, "", "bad-model", "output=a"),
        (lambda x: (x, -x), "2", "unknown-name", "0, 1"),
        (lambda x: x, "image", "bad-value", "output=image"),
        (lambda x: {"logits": x.repeat(1, 7, 1, 1)}, "", "bad-model", "logits [2, 21, 16, 16]"),
        (lambda x: (x * 127).byte(), "", "bad-model", "bounds=0..255"),
        (lambda x: x > 0, "", "bad-model", "bool"),
        (lambda x: x + 0j, "", "bad-model", "complex64"),
        (lambda x: x.permute(0, 2, 3, 1), "", "bad-model", CHANNELS_LAST),
        (lambda x: (x * 127).byte().permute(0, 2, 3, 1), "", "bad-model", CHANNELS_LAST),
        (lambda x: torch.cat([x, grey(x)], 1), "", "bad-model", "x[:, :3]"),
        (lambda x: torch.cat([x, grey(x)], 1).permute(0, 2, 3, 1), "", "bad-model", f"{CHANNELS_LAST}[:, :3]"),
        (lambda x: x.flatten(1), "", "bad-model", "x.view(-1, 3, 16, 16)"),
        (lambda x: grey(x).flatten(1), "", "bad-model", "x.view(-1, 1, 16, 16)"),
        (lambda x: x[:, :, None], "", "bad-model", "[2, 3, 1, 16, 16]"),
        (lambda x: x[:, 0], "", "bad-model", "x[:, None]"),
        (lambda x: x[0], "", "bad-model", "x[None]"),
        (lambda x: x[:, :, :0], "", "bad-model", "[2, 3, 0, 16]"),
        (lambda x: x * float("nan"), "", "bad-model", "NaN"),
        (lambda x: None, "", "bad-model", "NoneType"),
        (lambda x: x.numpy(), "", "bad-model", "ndarray"),
    ],
)
def test_what_is_no_image_is_named(returns: Returns, output: str, code: str, fact: str) -> None:
    with mistake(code, fact) as caught:
        as_generator(Net(returns), output=output)
    assert "cannot find the latent size" not in str(caught.value)


def beyond(share: float) -> Returns:
    """Some values of each image lie beyond white, at the same places."""
    places = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) < share
    return lambda x: torch.where(places, 1.3, x)


@pytest.mark.parametrize(
    ("returns", "bounds"),
    [
        (lambda x: x, (-1.0, 1.0)),
        (lambda x: 1.05 * x, (-1.0, 1.0)),
        (lambda x: (x + 1) / 2, (0.0, 1.0)),
        (lambda x: (x + 1) / 2 * 1.05 - 0.025, (0.0, 1.0)),
        (beyond(0.003), (-1.0, 1.0)),
    ],
)
def test_black_and_white_are_found_in_silence(
    returns: Returns, bounds: tuple[float, float], caplog: pytest.LogCaptureFixture
) -> None:
    assert as_generator(Net(returns))._bounds == bounds
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("returns", "facts"),
    [
        (lambda x: (x * 0.5 + 0.05) / 0.225, ("to 2.44", "-1..1")),
        (lambda x: (x + 1) * 127.5, ("0..1", "bounds=0..255")),
        (lambda x: x * 127.5, ("-1..1", "bounds=LOW..HIGH")),
        (beyond(0.03), ("to 1.3", "-1..1", "bounds=LOW..HIGH")),
    ],
)
def test_other_ranges_are_refused(returns: Returns, facts: tuple[str, ...]) -> None:
    with mistake("bad-model", "Net", *facts):
        as_generator(Net(returns))


def test_a_few_clipped_values_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            as_generator(Net(beyond(0.01)), name="a few")
        as_generator(Net(lambda x: x * 255), bounds=(0, 255), name="half")
    few, half = [record.getMessage() for record in caplog.records]
    assert few.startswith("a few draws values from -1 to 1.3; 0.8% of them lie outside of -1..1 and are clipped; ")
    assert few.endswith("if black and white are others, give bounds=LOW..HIGH")
    assert "of them lie outside of 0..255 and are clipped" in half


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, float("nan")), (0, float("inf")), (0,), (0, 1, 2)])
def test_bounds_that_cannot_be_meant(bounds: tuple[float, ...]) -> None:
    with mistake("bad-value", f"bounds={bounds}"):
        as_generator(Net(), bounds=bounds)


class Labelled(Net):
    def forward(self, z: Tensor, labels: Tensor, scale: float = 1.0) -> object:
        return super().forward(z)


class Truncated(Net):
    def forward(self, z: Tensor, *, truncation: float) -> object:
        return super().forward(z)


class Named(Net):
    def forward(self, *, z: Tensor) -> object:
        return super().forward(z)


class Needing(Net):
    def forward(self, z: Tensor, labels: object = None) -> object:
        if labels is None:
            raise ValueError("this model needs labels")
        return super().forward(z)


class Broken(Net):
    def forward(self, z: Tensor) -> object:
        return self.nothing


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        (Labelled, "labels"),
        (Truncated, "truncation"),
        (Named, "z by name"),
        (Needing, "ValueError: this model needs labels"),
        (Broken, "AttributeError: 'Broken' object has no attribute 'nothing'"),
    ],
)
def test_a_forward_that_wants_more_is_named(kind: type[Net], fact: str) -> None:
    with mistake("bad-model", kind.__name__, fact):
        as_generator(kind())


def test_a_latent_of_another_shape_is_named() -> None:
    with mistake("bad-model", "Net", "RuntimeError", "latent=7x1x1"):
        as_generator(Net(), latent=(7, 1, 1))
