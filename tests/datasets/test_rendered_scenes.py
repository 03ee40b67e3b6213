import torch
from mistakes import mistake

from ganatomy.datasets import CropSpec, open_images
from ganatomy.scenes import render


def test_scenes_are_drawn_by_seed_and_number() -> None:
    scenes = open_images("scenes:livingroom")
    numbers = [*scenes.sample_indices(range(2, 4), 7), *scenes.sample_indices(range(4, 5), 0)]
    drawn = [render("livingroom", range(2, 4), 32, 7), render("livingroom", range(4, 5), 32, 0)]
    images = torch.cat([torch.from_numpy(each.images) for each in drawn]).float() / 127.5 - 1
    assert torch.equal(scenes.images(numbers, CropSpec(32)), images)
    labels = torch.cat([torch.from_numpy(each.labels) for each in drawn]).long()
    assert torch.equal(scenes.labels(numbers, CropSpec(32)), labels)
    assert scenes.images([], CropSpec(32)).shape == (0, 3, 32, 32)


def test_what_scenes_do_not_have_is_refused() -> None:
    scenes = open_images("scenes:church")
    with mistake("unknown-name", "scenes:church", "val"):
        scenes.sample_indices(range(1), 0, "val")
    with mistake("bad-value", "crop=0.5"):
        scenes.images([0], CropSpec(32, 0.5))
    with mistake("bad-value", "seeds", 16777215):
        scenes.sample_indices(range(1), -1)
    for name, fact in (("scenes:beach", "beach"), ("scenes", "church, livingroom")):
        with mistake("unknown-name", fact):
            open_images(name)


def test_what_is_no_square_is_the_middle_of_one() -> None:
    scenes = open_images("scenes:church")
    whole, low, slim = (CropSpec(size) for size in (32, (16, 32), (32, 20)))
    assert torch.equal(scenes.images([3], low), scenes.images([3], whole)[:, :, 8:24])
    assert torch.equal(scenes.labels([3], slim), scenes.labels([3], whole)[..., 6:26])
