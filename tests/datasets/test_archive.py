"""Zips of images: what is shown, in which order, in which classes; and what is refused."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from PIL import Image

from ganatomy.datasets import CropSpec, ImageDataset, archive, open_images

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
FRAME = CropSpec(4)


def png(colour: tuple[int, int, int], size: tuple[int, int] = (6, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = {"00000/img1.png": png(GREEN), "00000/img0.png": png(RED), "00001/img2.png": png(BLUE)}


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


def colours(dataset: ImageDataset, count: int) -> list[list[float]]:
    return dataset.images(range(count), FRAME)[:, :, 0, 0].tolist()


def test_images_come_by_name(tmp_path: Path) -> None:
    hidden = {".hidden.png": b"", "__MACOSX/img.png": b"", "notes.txt": b"", "00000/": b""}
    dataset = open_images(str(packed(tmp_path / "toys.zip", IMAGES | hidden)))
    assert isinstance(dataset, ImageDataset)
    assert colours(dataset, 3) == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert sorted(dataset.sample_indices(range(3), 0)) == [0, 1, 2]
    assert dataset.labels([0, 1], FRAME).shape == (2, 0, 4, 4)
    assert dataset.images([], FRAME).shape == (0, 3, 4, 4)
    assert dataset.sample_indices(range(1), 0, "00001") == [2]


def test_without_a_list_folders_are_the_classes(tmp_path: Path) -> None:
    dataset = open_images(str(packed(tmp_path / "toys.zip", IMAGES)))
    assert (dataset.classes, dataset.class_ids([0, 1, 2])) == (("00000", "00001"), [0, 0, 1])


@pytest.mark.parametrize("where", ["zip", "folder"])
@pytest.mark.parametrize(
    ("labels", "classes", "truth"),
    [
        ([["00000/img0.png", 10], ["00001/img2.png", 9]], ("9", "10"), [1, -1, 0]),
        ([["00000/img0.png", [0.5, 1.0]]], (), [-1, -1, -1]),
        (None, (), [-1, -1, -1]),
    ],
)
def test_a_list_says_the_classes(
    tmp_path: Path, where: str, labels: object, classes: tuple[str, ...], truth: list[int]
) -> None:
    files = {**IMAGES, "dataset.json": json.dumps({"labels": labels}).encode()}
    place = packed(tmp_path / "toys.zip", files)
    if where == "folder":
        with zipfile.ZipFile(place) as source:
            source.extractall(tmp_path / "toys")
        place = tmp_path / "toys"
    dataset = open_images(str(place))
    assert (dataset.classes, dataset.class_ids([0, 1, 2])) == (classes, truth)


def test_the_fingerprint_is_of_names_and_content(tmp_path: Path) -> None:
    def of(files: Mapping[str, bytes]) -> str:
        return open_images(str(packed(tmp_path / "toys.zip", files))).fingerprint

    before = of(IMAGES)
    assert of(dict(reversed(IMAGES.items()))) == before
    assert of({**IMAGES, "00001/img2.png": png((0, 0, 254))}) != before
    assert of({name.replace("2", "3"): content for name, content in IMAGES.items()}) != before
    assert of({**IMAGES, "dataset.json": b"{}"}) != before


def test_it_travels_and_is_read_by_several_processes(tmp_path: Path) -> None:
    dataset = open_images(str(packed(tmp_path / "toys.zip", IMAGES)))
    before = dataset.images(range(3), FRAME)
    assert torch.equal(pickle.loads(pickle.dumps(dataset)).images(range(3), FRAME), before)  # noqa: S301
    assert isinstance(dataset, archive.ImageZip)
    own, pid = dataset._archive(), os.getpid()
    dataset._opened = (pid + 1, own)  # as after a fork
    assert dataset._archive() is not own


def refused(path: Path, *facts: object) -> None:
    with mistake("bad-file", *facts):
        open_images(str(path)).images(range(1), FRAME)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "toys.zip", IMAGES)
    whole = path.read_bytes()
    refused(packed(tmp_path / "empty.zip", {"a.txt": b""}), tmp_path / "empty.zip", "no images")
    refused(packed(tmp_path / "nothing.zip", {}), tmp_path / "nothing.zip", "no images")
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, path, "whole zip")
    path.write_bytes(b"PK\3\4" + bytes(40))
    refused(path, path, "whole zip")
    for listed in (b"[1]", b"{", b'{"labels": [1]}', b'{"labels": 5}'):
        packed(path, {**IMAGES, "dataset.json": listed})
        refused(path, path, "dataset.json")
    packed(path, {"a.png": b"no image"})
    refused(path, path, "a.png", "whole image")
    packed(path, {"a.png": png(RED)[:40]})
    refused(path, path, "a.png", "whole image")
    path.write_bytes(whole.replace(png(RED)[40:50], bytes(10)))
    refused(path, "00000/img0.png", "Bad CRC-32")
    path.write_bytes(whole)
    monkeypatch.setattr(archive, "LARGEST", 10)
    refused(path, path, "too large")
    (tmp_path / "a.txt").write_text("text")
    refused(tmp_path / "a.txt", tmp_path / "a.txt", "zip", "Parquet")


def test_what_is_locked_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "toys.zip", {"a.png": png(RED)})
    content = bytearray(path.read_bytes())
    for mark, flag in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + flag] |= 1
    path.write_bytes(content)
    refused(path, path, "encrypted")


def test_names_that_windows_wrote_part_folders_too(tmp_path: Path) -> None:
    names = {name.replace("/", "\\"): content for name, content in IMAGES.items()}
    files = {**names, "00000\\": b"", "__MACOSX\\00000\\._img0.png": b"no image"}
    dataset = open_images(str(packed(tmp_path / "toys.zip", files)))
    assert colours(dataset, 3) == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert (dataset.classes, dataset.class_ids([0, 1, 2])) == (("00000", "00001"), [0, 0, 1])
    listed = {**files, "dataset.json": b'{"labels": [["00000/img0.png", "cat"]]}'}
    assert open_images(str(packed(tmp_path / "toys.zip", listed))).class_ids([0, 1, 2]) == [0, -1, -1]


@pytest.mark.parametrize("where", ["zip", "folder"])
def test_how_many_files_are_not_read_is_told_once(tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture) -> None:
    others = {"a.heic": b"", "00000/b.HEIC": b"", "notes": b"", "00000/._img0.png": b"", ".DS_Store": b""}
    place = packed(tmp_path / f"{where}.zip", {**IMAGES, **others, "dataset.json": b"{}"})
    if where == "folder":
        with zipfile.ZipFile(place) as source:
            source.extractall(tmp_path / "toys")
        place = tmp_path / "toys"
    for _ in range(2):
        assert colours(open_images(str(place)), 3) == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    said = f"{place}: 4 files were not read: 2 .heic, 1 without an ending, 1 hidden"
    assert sorted(caplog.messages[0].split(": ")[-1].split(", ")) == sorted(said.split(": ")[-1].split(", "))
    assert len(caplog.messages) == 1


def test_what_is_there_is_told_where_no_image_is(tmp_path: Path) -> None:
    path = packed(tmp_path / "empty.zip", {"a.heic": b"", "b.txt": b""})
    refused(path, path, ".avif", "2 files", "1 .heic, 1 .txt")


@pytest.mark.parametrize("name", ["a.GIF", "a.jfif", "a.JPE", "a.Webp", "a.BMP", "a.TIF", "a.avif", "a.pgm"])
def test_every_ending_of_a_image_is_known(tmp_path: Path, name: str) -> None:
    """What a file is called says that it is an image, and its content, which."""
    assert colours(open_images(str(packed(tmp_path / "toys.zip", {name: png(RED)}))), 1) == [[1, -1, -1]]
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / name).write_bytes(png(RED))
    assert colours(open_images(str(tmp_path / "toys")), 1) == [[1, -1, -1]]


def test_label_maps_are_not_taken_for_images(tmp_path: Path) -> None:
    files = {"images/a.png": png(RED), "labels/object/a.png": png(RED), "vocabulary.json": b"[]"}
    place = packed(tmp_path / "toys.zip", files)
    refused(place, place, "label maps", "folder")
    with zipfile.ZipFile(place) as source:
        source.extractall(tmp_path / "toys")
    (tmp_path / "toys" / "images" / "a.png").rename(tmp_path / "toys" / "a.png")
    (tmp_path / "toys" / "images").rmdir()
    refused(tmp_path / "toys", tmp_path / "toys", "folder images")


def test_a_list_of_other_files_is_refused(tmp_path: Path) -> None:
    files = {**IMAGES, "dataset.json": b'{"labels": [["img0.png", 1]]}'}
    refused(packed(tmp_path / "toys.zip", files), "dataset.json", "img0.png")
