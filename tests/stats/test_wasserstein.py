"""The sliced Wasserstein distance beside a plain restatement, and what it must not depend on."""

import numpy as np
import pytest
import torch
from mistakes import mistake
from numpy.typing import NDArray
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.stats import wasserstein
from ganatomy.stats.wasserstein import Patches, laplacian_pyramid, pyramid_sizes, sliced_wasserstein

SIDE = 32


def random_images(images: int, seed: int) -> Tensor:
    """Noise, rougher and of more contrast for greater seeds."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, 3, 8, 8, generator=source)
    fine = torch.randn(images, 3, SIDE, SIDE, generator=source)
    return (torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear") + 0.2 * seed * fine) / 3


def patches(images: Tensor, seed: int = 0) -> Patches:
    found = Patches((images.shape[2], images.shape[3]), seed, patches=16)
    found.update(images, torch.arange(len(images)))
    return found


# ---------------------------------------------------------------- the restatement


def plain_blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = np.pad(x, 2, mode="reflect")
    weights = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    h, w = x.shape
    return sum(a * b * filled[i : i + h, j : j + w] for i, a in enumerate(weights) for j, b in enumerate(weights))


def plain_pyramid(x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    if len(x) < 32:
        return [x]
    small = plain_blur(x)[::2, ::2]
    spread = np.zeros_like(x)
    spread[::2, ::2] = small
    return [x - 4 * plain_blur(spread), *plain_pyramid(small)]


def plain_patches(images: Tensor, level: int) -> NDArray[np.float64]:
    """Return the normalised patches of a level, one a row."""
    rows = []
    for i, image in enumerate(images.double().numpy()):
        places = np.random.default_rng([0, i]).integers([[[26, 26]], [[10, 10]]], size=(2, 16, 2))[level]
        channels = [plain_pyramid(channel)[level] for channel in image]
        rows += [[channel[y : y + 7, x : x + 7] for channel in channels] for y, x in places]
    found = np.array(rows)
    found = found - found.mean((0, 2, 3), keepdims=True)
    return (found / found.std((0, 2, 3), keepdims=True)).reshape(len(found), -1)


def test_it_is_the_distance_of_the_restatement() -> None:
    a, b = random_images(10, 1), random_images(10, 3)
    found = sliced_wasserstein(patches(a), patches(b), projections=40, seed=5)
    directions = torch.randn(147, 40, generator=torch.Generator().manual_seed(5)).double().numpy()
    directions /= np.sqrt((directions**2).sum(0))
    for level in range(2):
        one, two = (np.sort(plain_patches(x, level) @ directions, 0) for x in (a, b))
        assert float(found[level]) == pytest.approx(1000 * np.abs(one - two).mean(), rel=1e-4)


def test_the_levels_of_a_pyramid_add_up_to_the_image() -> None:
    images = random_images(2, 1).double()
    fine, coarse = laplacian_pyramid(images)
    spread = torch.zeros_like(images)
    spread[:, :, ::2, ::2] = coarse
    for i in range(2):
        for colour in range(3):
            again = fine[i, colour].numpy() + 4 * plain_blur(spread[i, colour].numpy())
            np.testing.assert_allclose(again, images[i, colour].numpy(), atol=1e-12)
    flat = laplacian_pyramid(torch.full((1, 3, 64, 48), 0.5))
    assert [level.shape[2:] for level in flat] == [(64, 48), (32, 24)]
    torch.testing.assert_close(flat[0], torch.zeros_like(flat[0]), atol=1e-6, rtol=0)


def test_a_set_is_no_way_from_itself_and_brightness_and_contrast_do_not_count() -> None:
    a = patches(random_images(10, 1))
    assert sliced_wasserstein(a, a, 16).tolist() == [0, 0]
    brighter = patches(random_images(10, 1) * 0.5 + 0.25)
    assert sliced_wasserstein(a, brighter, 16).abs().max() < 0.01


def test_rougher_images_are_farther_away() -> None:
    images, noise = random_images(120, 1), torch.randn(60, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    real, others = patches(images[:60]), images[60:]
    near, middle, far = (
        sliced_wasserstein(real, patches(others + roughness * noise), 64) for roughness in (0, 0.2, 0.8)
    )
    assert near[0] < middle[0] < far[0]
    assert near[1] < far[1]


def test_the_order_and_the_batches_of_the_projections_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = random_images(10, 1), random_images(10, 3)
    expected = sliced_wasserstein(patches(a), patches(b), 20)
    shuffled = Patches((SIDE, SIDE), patches=16)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    shuffled.update(a[order], order)
    monkeypatch.setattr(wasserstein, "WORKSPACE", 3 * 8 * 160)  # three directions
    torch.testing.assert_close(sliced_wasserstein(shuffled, patches(b), 20), expected, rtol=1e-6, atol=0)


def test_places_and_directions_are_those_of_the_seed() -> None:
    images = random_images(4, 1)
    assert torch.equal(patches(images, 7).values, patches(images, 7).values)
    assert not torch.equal(patches(images, 7).values, patches(images, 8).values)
    found = patches(images[:1].expand(2, -1, -1, -1))
    assert not torch.equal(found.values[0], found.values[1])  # of one image under two ids
    a, b = patches(images), patches(random_images(4, 2))
    assert torch.equal(sliced_wasserstein(a, b, 4, seed=1), sliced_wasserstein(a, b, 4, seed=1))
    assert not torch.equal(sliced_wasserstein(a, b, 4, seed=1), sliced_wasserstein(a, b, 4, seed=2))


def test_patches_reach_every_border() -> None:
    corners = torch.zeros(1, 3, 8, 9)
    corners[:, :, 0, 0] = corners[:, :, 0, -1] = corners[:, :, -1, 0] = corners[:, :, -1, -1] = 1
    found = patches(corners).values[0, 0, :, 0].view(-1, 7, 7)
    assert [int(found[:, y, x].max()) for y in (0, -1) for x in (0, -1)] == [1, 1, 1, 1]


def test_images_without_contrast_have_a_distance_too() -> None:
    grey = patches(torch.zeros(4, 3, SIDE, SIDE))
    assert sliced_wasserstein(grey, grey, 4).tolist() == [0, 0]
    assert sliced_wasserstein(grey, patches(random_images(4, 1)), 4).isfinite().all()


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        ((256, 256), [256, 128, 64, 32, 16]),
        ((20, 20), [20]),
        ((300, 300), [300, 150, 75]),
        ((31, 31), [31]),
        ((1024, 32), [1024, 512]),
    ],
)
def test_images_are_halved_while_they_can_be(size: tuple[int, int], levels: list[int]) -> None:
    assert [height for height, _ in pyramid_sizes(size)] == levels


def test_sets_that_cannot_be_compared_are_refused() -> None:
    a = patches(random_images(4, 1))
    with mistake("bad-value", "4 images", "16 patches", "3 of 32 × 32"):
        sliced_wasserstein(a, patches(random_images(3, 2)))
    with mistake("bad-value", "4 of 16 × 16", 16):
        sliced_wasserstein(a, patches(random_images(4, 2)[:, :, ::2, ::2]))
    with mistake("bad-value", "0 images"):
        sliced_wasserstein(Patches((32, 32)), Patches((32, 32)))
    with mistake("bad-value", "16 × 16", "32 × 32"):
        a.update(torch.zeros(1, 3, 16, 16), torch.tensor([9]))
    with mistake("bad-value", "6 × 9", 128):
        Patches((6, 9))
    with mistake("bad-value", "NaN"):
        a.update(torch.full((1, 3, SIDE, SIDE), torch.nan), torch.tensor([9]))
    with mistake("bad-value", "seed=-1", 0):
        Patches((32, 32), seed=-1)
    with pytest.raises(BadValue, match="not gathered alike"):
        a.merge(patches(random_images(4, 1), seed=1))
