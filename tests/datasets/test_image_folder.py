import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mistakes import mistake
from PIL import Image
from toy_classifier import CLASSES, SIDE, write_images

from ganatomy.core.errors import BadValue
from ganatomy.datasets import CropSpec, ImageDataset, open_images
from ganatomy.scenes import render, write_scenes

WHOLE = CropSpec(SIDE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "toys", 12)


def everything(dataset: ImageDataset, count: int = 12) -> list[int]:
    return sorted(dataset.sample_indices(range(count), 0))


def test_images_classes_and_labels_belong_together(folder: Path) -> None:
    dataset = open_images(str(folder))
    numbers = everything(dataset)
    assert (dataset.classes, dataset.planes) == (tuple(CLASSES), ("object",))
    images, labels = dataset.images(numbers, WHOLE), dataset.labels(numbers, WHOLE)
    for image, label, truth in zip(images, labels[:, 0], dataset.class_ids(numbers), strict=True):
        colour = {"red": 0, "green": 1, "blue": 2}[CLASSES[truth]]
        assert torch.equal(label == truth + 1, image[colour] == 1), "labels of half the size lie where the square is"


def test_what_the_scenes_command_writes_is_read_to_the_bit(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", "church", range(4), 32)
    drawn = render("church", range(4), 32)
    dataset = open_images(str(tmp_path / "scenes"))
    assert dataset.planes == ("object", "part", "material")
    assert dataset.classes == ()
    assert torch.equal(dataset.images(range(4), CropSpec(32)), torch.from_numpy(drawn.images).float() / 127.5 - 1)
    assert torch.equal(dataset.labels(range(4), CropSpec(32)), torch.from_numpy(drawn.labels).long())


def test_a_sample_shuffles_the_split_and_takes_no_image_twice(tmp_path: Path) -> None:
    dataset = open_images(str(write_images(tmp_path / "toys", 12, splits=("train", "val"))))
    assert everything(dataset) == list(range(12))
    first, again, other = (dataset.sample_indices(range(12), seed) for seed in (0, 0, 1))
    assert first == again != other
    assert dataset.sample_indices(range(3, 7), 0) == first[3:7]
    parts = [set(dataset.sample_indices(range(6), 0, split)) for split in ("train", "val")]
    assert parts[0] | parts[1] == set(range(12))
    with mistake("bad-value", 7, 6, "val"):
        dataset.sample_indices(range(7), 0, "val")
    with mistake("unknown-name", "test", "train, val"):
        dataset.sample_indices(range(1), 0, "test")


def test_a_crop_shows_the_middle_of_image_and_labels_alike(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels" / "object").mkdir(parents=True)
    (tmp_path / "vocabulary.json").write_text(
        json.dumps([["nothing", "nothing"], *([str(i), "object"] for i in range(9))])
    )
    columns = np.repeat(np.arange(8, dtype=np.uint8), 8)  # 64 wide, 32 high, eight stripes
    Image.fromarray(np.tile(30 * columns, (32, 1))).save(tmp_path / "images" / "stripes.png")
    Image.fromarray(np.tile(columns[::2], (16, 1))).save(tmp_path / "labels" / "object" / "stripes.png")
    dataset = open_images(str(tmp_path))
    for crop, seen in ((0.0, range(8)), (1.0, range(2, 6)), (0.5, range(3, 5))):
        frame = CropSpec(8, crop)
        labels, grey = dataset.labels([0], frame)[0, 0, 0], dataset.images([0], frame)[0, 0, 4]
        assert labels.tolist() == [each for each in seen for _ in range(8 // len(seen))]
        assert torch.allclose((grey + 1) * 127.5 / 30, labels.double().float(), atol=0.45), crop


def test_sixteen_bits_and_palettes_are_indices(folder: Path) -> None:
    plane = folder / "labels" / "object" / "red"
    path = sorted(plane.iterdir())[0]
    values = np.array(Image.open(path))
    expected = None
    for kind in ("8", "16", "palette"):
        image = Image.fromarray(values.astype(np.uint16) if kind == "16" else values)
        if kind == "palette":
            image.putpalette([7] * 768)
        image.save(path)
        dataset = open_images(str(folder))
        labels = dataset.labels(everything(dataset), WHOLE)
        assert expected is None or torch.equal(labels, expected), kind
        expected = labels


def test_sixteen_bit_grey_images_are_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 128 * 257, np.uint16)).save(tmp_path / "grey.png")
    assert float(open_images(str(tmp_path)).images([0], CropSpec(2)).mean()) == pytest.approx(128 / 127.5 - 1, abs=1e-6)


def test_images_without_labels_have_none(tmp_path: Path) -> None:
    dataset = open_images(str(write_images(tmp_path / "toys", 6, labels=False)))
    assert dataset.planes == ()
    assert dataset.labels([0, 1], WHOLE).shape == (2, 0, SIDE, SIDE)
    assert open_images(str(tmp_path / "toys" / "images")).classes == tuple(CLASSES)


def test_the_fingerprint_is_of_files_and_words(folder: Path) -> None:
    before = open_images(str(folder)).fingerprint
    assert open_images(str(folder)).fingerprint == before
    words = json.loads((folder / "vocabulary.json").read_text())
    words[1][0] = "azure"
    (folder / "vocabulary.json").write_text(json.dumps(words))
    changed = open_images(str(folder)).fingerprint
    assert changed != before
    next((folder / "images" / "red").iterdir()).unlink()
    assert open_images(str(folder)).fingerprint != changed


def use(folder: Path) -> None:
    dataset = open_images(str(folder))
    numbers = everything(dataset)
    dataset.images(numbers, WHOLE)
    dataset.labels(numbers, WHOLE)


def refused(folder: Path, *facts: object) -> None:
    """Check what is said of a folder whose first red image, or its label map, is not right."""
    with mistake("bad-file", *facts):
        use(folder)


def test_broken_images_are_named(folder: Path) -> None:
    path = sorted((folder / "images" / "red").iterdir())[0]
    whole = path.read_bytes()
    for kept in (0, 20, len(whole) - 30):
        path.write_bytes(whole[:kept])
        refused(folder, path, "whole image")
    path.write_text("no image")
    refused(folder, path, "whole image")


def test_label_maps_that_cannot_be_meant_are_named(folder: Path) -> None:
    path = sorted((folder / "labels" / "object" / "red").iterdir())[0]
    for image, fact in (
        (Image.new("L", (12, 12), 9), "label 9"),
        (Image.new("RGB", (12, 12)), "colour"),
        (Image.new("L", (12, 6)), "shape"),
    ):
        image.save(path)
        refused(folder, fact)
    path.unlink()
    refused(folder, path)


@pytest.mark.parametrize("missing", ["vocabulary.json", "images", "labels"])
def test_what_is_missing_is_named(folder: Path, missing: str) -> None:
    (folder / missing).rename(folder / "elsewhere")
    if missing == "labels":
        (folder / "labels").mkdir()
        refused(folder, folder / "labels", "label maps")
    elif missing == "images":
        (folder / "images").mkdir()
        refused(folder, folder / "images")
    else:
        refused(folder, folder / "vocabulary.json")


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    with mistake("bad-file", tmp_path / "nowhere"):
        open_images(str(tmp_path / "nowhere"))


def test_photographs_are_cut_to_the_shape_of_the_frame_and_never_squeezed(tmp_path: Path) -> None:
    columns = np.repeat(np.arange(8, dtype=np.uint8), 8)
    Image.fromarray(np.tile(30 * columns, (32, 1))).save(tmp_path / "wide.png")
    dataset = open_images(str(tmp_path))
    for shape, seen in (
        ((8, 16), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]),
        ((16, 8), [3, 3, 3, 3, 4, 4, 4, 4]),
    ):
        found = dataset.images([0], CropSpec(shape, 1.0))
        assert found.shape == (1, 3, *shape)
        assert dataset.labels([0], CropSpec(shape, 1.0)).shape == (1, 0, *shape)
        assert torch.allclose((found[0, 0, 4] + 1) * 127.5 / 30, torch.tensor(seen).float(), atol=0.45)


def test_a_square_is_the_same_frame_however_it_is_given() -> None:
    assert repr(CropSpec((64, 64), 1.0)) == "CropSpec(size=64, crop=1.0)"
    assert CropSpec((64, 64)) == CropSpec(64)
    assert CropSpec((64, 32)) != CropSpec((32, 64))
    assert CropSpec((64, 32), 0.5).box(100, 100) == (37.5, 25, 62.5, 75)


@pytest.mark.parametrize(("size", "crop"), [(0, 0.0), ((8, 0), 0.0), (8, -0.1), (8, 1.5)])
def test_frames_that_cannot_be_meant(size: int | tuple[int, int], crop: float) -> None:
    with pytest.raises(BadValue, match=r"size=|crop="):
        CropSpec(size, crop)
