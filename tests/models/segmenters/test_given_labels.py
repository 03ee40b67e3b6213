import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from mistakes import mistake
from PIL import Image
from toy_classifier import SIDE, write_images

from ganatomy.datasets import CropSpec, ImageRefs
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import Observation
from ganatomy.models.segmenters import Segmenter, open_segmenter
from ganatomy.models.segmenters.labels import DatasetLabels


def labels_of(directory: Path) -> DatasetLabels:
    opened = open_segmenter(f"labels:{directory}")
    assert isinstance(opened, DatasetLabels)
    assert isinstance(opened, Segmenter)
    return opened


def test_labels_are_those_of_the_set(tmp_path: Path) -> None:
    labels = labels_of(write_images(tmp_path, 6))
    frame = CropSpec(SIDE)
    shown = ImageRefs(labels.images.fingerprint, (4, 0), frame)
    assert torch.equal(labels.of(shown), labels.images.labels([4, 0], frame))
    seen = Observation(torch.zeros(2, 3, SIDE, SIDE), {}, shown)
    assert torch.equal(ModelPair("planted", labels, "cpu").labels(seen), labels.of(shown))
    assert ModelPair("planted", "colors", "cpu").labels(seen).shape == (2, 1, SIDE, SIDE)


def test_other_images_have_no_labels(tmp_path: Path) -> None:
    labels = labels_of(write_images(tmp_path, 6))
    with mistake("bad-model", f"labels:{tmp_path}", "segmenter"):
        labels(torch.zeros(1, 3, SIDE, SIDE))
    with mistake("bad-model", f"labels:{tmp_path}", "segmenter"):
        labels.of(None)
    with mistake("bad-value", f"labels:{tmp_path}", "images="):
        labels.of(ImageRefs("0" * 64, (0,), CropSpec(SIDE)))


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    with mistake("bad-file", "labels/PLANE"):
        labels_of(write_images(tmp_path, 6, labels=False))


def with_label(folder: Path, value: int) -> Path:
    """Write another label in a corner of one map; return the map."""
    path = sorted((folder / "labels" / "object").rglob("*.png"))[0]
    values = np.array(Image.open(path))
    values[0, 0] = value
    Image.fromarray(values).save(path)
    return path


def test_a_label_of_pixels_that_nobody_labelled(tmp_path: Path) -> None:
    path, frame = with_label(write_images(tmp_path, 6), 255), CropSpec(SIDE)
    plain = labels_of(tmp_path)
    shown = ImageRefs(plain.images.fingerprint, tuple(range(6)), frame)
    with mistake("bad-file", "label 255", "0 to 3", "?ignore=255") as caught:
        plain.of(shown)
    assert str(caught.value).startswith(f"{path}: ")
    ignoring = open_segmenter(f"labels:{tmp_path}?ignore=255")
    assert isinstance(ignoring, DatasetLabels)
    found = ignoring.of(shown)
    assert ignoring.fingerprint != plain.fingerprint
    several = open_segmenter(f"labels:{tmp_path}?ignore=255, 3")
    assert isinstance(several, DatasetLabels)
    assert torch.equal(several.of(shown), torch.where(found == 3, 0, found))
    with_label(tmp_path, 0)
    again = labels_of(tmp_path)
    assert torch.equal(found, again.of(shown._replace(fingerprint=again.images.fingerprint)))


@pytest.mark.parametrize("ignore", ["-1", "255.0", "void", "1,,2"])
def test_what_is_no_number_of_a_label(tmp_path: Path, ignore: str) -> None:
    write_images(tmp_path, 6)
    with mistake("bad-value", f"ignore={ignore}", 255):
        open_segmenter(f"labels:{tmp_path}?ignore={ignore}")
    with mistake("bad-value", "ignore=255", "scenes:church"):
        open_segmenter("labels:scenes:church?ignore=255")


def test_label_maps_of_few_bits_and_other_endings(tmp_path: Path) -> None:
    write_images(tmp_path, 6)
    frame = CropSpec(SIDE)
    plain = labels_of(tmp_path)
    shown = ImageRefs(plain.images.fingerprint, tuple(range(6)), frame)
    expected = plain.of(shown)
    for path in sorted((tmp_path / "labels" / "object").rglob("*.png")):
        path.with_suffix(".PNG").write_bytes(grey_png(np.array(Image.open(path))))
        path.unlink()
    again = labels_of(tmp_path)
    assert torch.equal(again.of(shown._replace(fingerprint=again.images.fingerprint)), expected)


def grey_png(values: np.ndarray) -> bytes:
    """A PNG file of grey values of 2 bits, which Pillow reads but does not write."""
    height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, -width % 4))).reshape(height, -1, 4)
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in padded @ [64, 16, 4, 1])

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 2, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
