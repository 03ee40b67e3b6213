"""Which tensor is the image, which values are black and white, and what is said of what is no image."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, BadValue, GanatomyError, UnknownName
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


CHANNELS_LAST = r"channels come last, return x.permute\(0, 3, 1, 2\)"


@pytest.mark.parametrize(
    ("returns", "output", "error", "says"),
    [
        (lambda x: (x, -x), "", BadModel, r"could be its images: 0 \[2, 3, 16, 16\], 1 \[2, .*; choose one: output=0$"),
        (lambda x: {"a": grey(x), "b": -grey(x)}, "", BadModel, r"a \[2, 1, 16, 16\], b \[2, 1, .*: output=a$"),
        (lambda x: (x, -x), "2", UnknownName, "unknown output of Net '2'; there are: 0, 1$"),
        (lambda x: x, "image", BadValue, "Net returns one tensor and no others; leave out output=image"),
        (
            lambda x: {"logits": x.repeat(1, 7, 1, 1)},
            "",
            BadModel,
            r"logits \[2, 21, 16, 16\] for 2 .*: these have 21 ch",
        ),
        (lambda x: (x * 127).byte(), "", BadModel, "these are uint8, return them as float and give bounds=0..255"),
        (lambda x: x > 0, "", BadModel, "these are bool, return them as float"),
        (lambda x: x + 0j, "", BadModel, "these are complex64"),
        (
            lambda x: x.permute(0, 2, 3, 1),
            "",
            BadModel,
            rf"returns \[2, 16, 16, 3\] for 2 latents; .*: the {CHANNELS_LAST}$",
        ),
        (lambda x: (x * 127).byte().permute(0, 2, 3, 1), "", BadModel, f"uint8, .*; the {CHANNELS_LAST}"),
        (lambda x: torch.cat([x, grey(x)], 1), "", BadModel, r"four channels may be RGBA, return x\[:, :3\]"),
        (lambda x: torch.cat([x, grey(x)], 1).permute(0, 2, 3, 1), "", BadModel, rf"{CHANNELS_LAST}\[:, :3\]"),
        (
            lambda x: x.flatten(1),
            "",
            BadModel,
            r"\[2, 768\] .*: these may be flat images, return x.view\(-1, 3, 16, 16\)",
        ),
        (lambda x: grey(x).flatten(1), "", BadModel, r"flat images, return x.view\(-1, 1, 16, 16\)"),
        (lambda x: x[:, :, None], "", BadModel, r"\[2, 3, 1, 16, 16\] .* may be videos or volumes, return one frame"),
        (lambda x: x[:, 0], "", BadModel, r"\[2, 16, 16\] .*: these have no channels, return x\[:, None\]"),
        (lambda x: x[0], "", BadModel, r"\[3, 16, 16\] .*: this is one image without a batch, return x\[None\]"),
        (lambda x: x[:, :, :0], "", BadModel, "these are empty"),
        (lambda x: x * float("nan"), "", BadModel, "Net draws NaN or Inf"),
        (lambda x: None, "", BadModel, "returns a NoneType without tensors; it must return images"),
        (lambda x: x.numpy(), "", BadModel, "returns a ndarray without tensors"),
    ],
)
def test_what_is_no_image_is_named(returns: Returns, output: str, error: type[GanatomyError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        as_generator(Net(returns), output=output)
    assert "\n" not in str(caught.value)
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
    ("returns", "says"),
    [
        (
            lambda x: (x * 0.5 + 0.05) / 0.225,
            r"Net draws values from -\S+ to 2.44, \d\d\.\d% of them outside of -1..1; ",
        ),
        (lambda x: (x + 1) * 127.5, r"from \S+ to 25\d, \S+ of them outside of 0..1; say what .*: bounds=0..255$"),
        (lambda x: x * 127.5, "outside of -1..1; say what black and white are: bounds=LOW..HIGH$"),
        (beyond(0.03), r"to 1.3, [23]\.\d% of them outside of -1..1; say .*: bounds=LOW..HIGH$"),
    ],
)
def test_other_ranges_are_refused(returns: Returns, says: str) -> None:
    with pytest.raises(BadModel, match=says):
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
    with pytest.raises(BadValue, match="are not two numbers, black and white"):
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
    ("kind", "says"),
    [
        (
            Labelled,
            "^forward of Labelled wants labels beside z; wrap it in a module whose forward takes z alone and fi",
        ),
        (Truncated, "^forward of Truncated wants truncation beside z; "),
        (Named, r"^forward of Named takes no input by position \(it takes z by name\)"),
        (Needing, r"^running Needing raised ValueError: this model needs labels \(for each of the latents 8x1x1, "),
        (Broken, "^running Broken raised AttributeError: 'Broken' object has no attribute 'nothing'"),
    ],
)
def test_a_forward_that_wants_more_is_named(kind: type[Net], says: str) -> None:
    with pytest.raises(BadModel, match=says) as caught:
        as_generator(kind())
    assert "\n" not in str(caught.value)


def test_a_latent_of_another_shape_is_named() -> None:
    with pytest.raises(BadModel, match=r"^running Net raised RuntimeError: .*; it was given latent=7x1x1$"):
        as_generator(Net(), latent=(7, 1, 1))
