"""Photographs of users: what is read, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from ganatomy.core.errors import BadFile
from ganatomy.datasets import CropSpec
from ganatomy.datasets.files import decode_image
from ganatomy.datasets.photographs import digest_of, part_used, photograph_files, whole


def test_a_file_or_the_images_of_a_directory_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        Image.new("RGB", (6, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert [file.name for file in photograph_files(tmp_path)] == ["a.jpg", "b.png"]
    assert photograph_files(tmp_path / "b.png") == [tmp_path / "b.png"]
    before = digest_of(photograph_files(tmp_path))
    Image.new("RGB", (6, 4), "red").save(tmp_path / "b.png")
    assert digest_of(photograph_files(tmp_path)) != before


def test_what_is_no_photograph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such image, and no directory"):
        photograph_files(tmp_path / "missing.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match="no images in it"):
        photograph_files(tmp_path / "empty")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(BadFile, match="not a whole image"):
        whole(tmp_path / "text.png")


def test_grey_transparent_and_turned_photographs_become_upright_and_opaque(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 100).save(tmp_path / "grey.png")
    assert (whole(tmp_path / "grey.png") == 100).all()
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    assert (whole(tmp_path / "clear.png") == 255).all()
    turned = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert whole(tmp_path / "turned.png").shape == (4, 2, 3)


def test_the_part_that_is_used_is_the_one_that_is_decoded(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 20, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "wide.png")
    rows, columns = part_used(8, 20, (8, 8))
    part = decode_image(tmp_path / "wide.png", "wide", CropSpec((8, 8), crop=1))
    assert np.allclose((part.permute(1, 2, 0).numpy() + 1) * 127.5, image[rows, columns], atol=0.01)
