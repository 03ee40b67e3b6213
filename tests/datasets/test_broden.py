from pathlib import Path

import numpy as np
import pytest
import torch
from mistakes import mistake
from PIL import Image

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.datasets import CropSpec, open_images

WORDS = """number,name,category,frequency,coverage,syns
0,-,,,,
1,red-c,color(3),3,1.0,
2,sky,object(2),2,0.5,heaven;firmament
3,fabric,material(1);object(1),2,0.2,cloth
300,head,part(1),1,0.1,
301,eye,part(1),1,0.1,
400,beach-s,scene(1),1,1.0,
401,dotted,texture(2),2,1.0,
402,striped,texture(2),2,1.0,
"""
INDEX = """image,split,ih,iw,sh,sw,color,object,part,material,scene,texture
a/one.jpg,train,8,8,4,4,a/one_color.png,a/one_object.png,a/one_part1.png;a/one_part2.png,,400,
a/two.jpg,val,8,8,4,4,,a/two_object.png,,a/two_material.png,,401;402
"""


def encoded(path: Path, numbers: np.ndarray) -> None:
    """Write label numbers as red + 256 · green."""
    Image.fromarray(np.stack([numbers % 256, numbers // 256, 0 * numbers], -1).astype(np.uint8)).save(path)


@pytest.fixture
def broden(tmp_path: Path) -> Path:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "label.csv").write_text(WORDS)
    (tmp_path / "index.csv").write_text(INDEX)
    for name in ("one", "two"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / "images" / "a" / f"{name}.jpg")
    corner = np.zeros((4, 4), np.int64)
    corner[0, 0] = 1
    for name, number in (
        ("one_color", 1), ("one_object", 2), ("one_part1", 300), ("one_part2", 301), ("two_object", 3),
        ("two_material", 3),
    ):  # fmt: skip
        encoded(tmp_path / "images" / "a" / f"{name}.png", number * corner)
    return tmp_path


def test_every_kind_of_label_is_read(broden: Path) -> None:
    dataset = open_images(str(broden))
    assert dataset.planes == ("colour", "object", "part", "part#2", "material", "scene", "texture", "texture#2")
    words = dataset.vocabulary
    assert words[0] == NOTHING
    assert Concept("fabric", "object") in words
    assert Concept("fabric", "material") in words
    labels = dataset.labels([0, 1], CropSpec(8))
    seen = [[words[i] for i in labels[n, :, 1, 1]] for n in range(2)]
    parts = [("head", "part"), ("eye", "part")]
    assert seen[0] == [("red-c", "colour"), ("sky", "object"), *parts, NOTHING, ("beach-s", "scene"), NOTHING, NOTHING]
    assert [str(concept) for concept in seen[1][4:]] == ["fabric", "nothing", "dotted", "striped"]
    assert seen[1][1] == ("fabric", "object")
    assert int((labels[0, 1] > 0).sum()) == 4, "a pixel of a map of half the size is four"
    assert bool((labels[0, 5] > 0).all()), "a scene is all of the image"


def test_splits_are_those_of_the_index(broden: Path) -> None:
    dataset = open_images(str(broden))
    assert dataset.sample_indices(range(1), 0, "val") == [1]
    assert dataset.classes == ()
    assert torch.allclose(dataset.images([1], CropSpec(4))[0, :, 0, 0], torch.tensor([1.0, -1, -1]), atol=0.02)


@pytest.mark.parametrize(
    ("file", "old", "new", "fact"),
    [
        ("index.csv", "image,split", "photo,split", "column image"),
        ("index.csv", ",401;402", "", "line 3"),
        ("index.csv", INDEX[INDEX.index("a/one") :], "", "no images"),
        ("label.csv", "number,name", "nummer,name", "column number"),
        ("label.csv", "401,dotted", "x,dotted", "'x'"),
    ],
)
def test_tables_that_cannot_be_read_are_named(broden: Path, file: str, old: str, new: str, fact: str) -> None:
    path = broden / file
    path.write_text(path.read_text().replace(old, new))
    with mistake("bad-file", path, fact):
        open_images(str(broden))


def test_a_missing_map_is_named(broden: Path) -> None:
    (broden / "images" / "a" / "one_part2.png").unlink()
    with mistake("bad-file", "one_part2.png"):
        open_images(str(broden)).labels([0], CropSpec(8))


def test_an_unlisted_number_is_nothing(broden: Path) -> None:
    encoded(broden / "images" / "a" / "one_object.png", np.full((4, 4), 9999))
    assert int(open_images(str(broden)).labels([0], CropSpec(8))[0, 1].max()) == 0
