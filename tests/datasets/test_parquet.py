"""Images in Parquet files as the hub has them."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mistakes import mistake
from test_archive import BLUE, FRAME, GREEN, RED, colours, png

from ganatomy.datasets import ImageDataset, open_images
from ganatomy.models.generators.classifier import View, as_classifier

COLOURS = [RED, GREEN, BLUE, GREEN, RED]
CORNERS = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]


def cells(colours: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    return [{"bytes": png(colour), "path": f"{i}.png"} for i, colour in enumerate(colours)]


def written(path: Path, table: dict[str, Any], names: Sequence[str] = (), group: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    features = {"label": {"names": names, "_type": "ClassLabel"}} if names else {}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(table).replace_schema_metadata(told), path, row_group_size=group)
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    names = ["tench", "apple"]
    for i, part in enumerate((slice(0, 3), slice(3, 5))):
        table = {"image": cells(COLOURS[part]), "label": [0, 1, -1, 1, 0][part]}
        written(tmp_path / "toys" / "data" / f"train-{i:05}-of-00002.parquet", table, names)
    written(tmp_path / "toys" / "data" / "test-00000-of-00001.parquet", {"image": cells([BLUE]), "label": [1]}, names)
    (tmp_path / "toys" / "README.md").write_text("A card.")
    return tmp_path / "toys"


def test_images_come_shard_by_shard(shards: Path) -> None:
    dataset = open_images(str(shards))
    assert isinstance(dataset, ImageDataset)
    assert colours(dataset, 6) == [[-1, -1, 1], *CORNERS]
    assert dataset.images([4, 0, 2], FRAME)[:, :, 0, 0].tolist() == [CORNERS[3], [-1, -1, 1], CORNERS[1]]
    assert sorted(dataset.sample_indices(range(5), 0, "train")) == [1, 2, 3, 4, 5]
    assert dataset.sample_indices(range(1), 3, "test") == [0]
    with mistake("unknown-name", "validation", "test, train"):
        dataset.sample_indices(range(1), 0, "validation")


def test_classes_are_numbered_as_the_data_set_numbers_them(shards: Path) -> None:
    dataset = open_images(str(shards))
    assert dataset.classes == ("tench", "apple")
    assert dataset.class_ids(range(6)) == [1, 0, 1, -1, 1, 0]


@pytest.mark.parametrize(
    ("labels", "classes", "truth"),
    [
        ([10, 9, -1, 9, None], ("9", "10"), [1, 0, -1, 0, -1]),
        (list("babab"), ("a", "b"), [1, 0, 1, 0, 1]),
        ([0.5] * 5, (), [-1] * 5),
    ],
)
def test_classes_without_names(tmp_path: Path, labels: list[Any], classes: tuple[str, ...], truth: list[int]) -> None:
    path = written(tmp_path / "a.parquet", {"image": cells(COLOURS), "label": labels})
    dataset = open_images(str(path))
    assert (dataset.classes, dataset.class_ids(range(5))) == (classes, truth)


@pytest.mark.parametrize(
    "table",
    [
        {"image": [png(colour) for colour in COLOURS]},
        {"mask": cells([BLUE] * 5), "image": cells(COLOURS)},
        {"thumbnail": [b"?"] * 5, "photo": cells(COLOURS)},
    ],
)
def test_the_column_of_images_is_found(tmp_path: Path, table: dict[str, Any]) -> None:
    dataset = open_images(str(written(tmp_path / "a.parquet", table)))
    assert colours(dataset, 5) == CORNERS
    assert dataset.classes == ()


WORDS, NUMBERS = list("babab"), [10, 9, None, 9, 10]
WORD_TRUTH, NUMBER_TRUTH = (("a", "b"), [1, 0, 1, 0, 1]), (("9", "10"), [1, 0, -1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        *((pa.array(WORDS, kind), WORD_TRUTH) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        (pa.array(WORDS).dictionary_encode(), WORD_TRUTH),
        (pa.array(WORDS, pa.large_string()).dictionary_encode(), WORD_TRUTH),
        *((pa.array(NUMBERS, kind), NUMBER_TRUTH) for kind in (pa.uint8(), pa.int64(), pa.float32(), pa.float64())),
        (pa.array([10, 9, float("nan"), 9, 10], pa.float64()), NUMBER_TRUTH),
        (pa.array(NUMBERS).dictionary_encode(), NUMBER_TRUTH),
        (pa.array([True, False, None, False, True]), (("False", "True"), [1, 0, -1, 0, 1])),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
@pytest.mark.parametrize("column", ["label", "labels", "class", "Category"])
def test_classes_however_they_are_stored(
    tmp_path: Path, labels: pa.Array, expected: tuple[tuple[str, ...], list[int]], column: str
) -> None:
    dataset = open_images(str(written(tmp_path / "a.parquet", {"image": cells(COLOURS), column: labels})))
    assert (dataset.classes, dataset.class_ids(range(5))) == expected


def test_what_pandas_writes(tmp_path: Path) -> None:
    files = [png(colour) for colour in COLOURS]
    for kind, labels in (("words", WORDS), ("numbers", NUMBERS), ("category", pd.Categorical(WORDS))):
        pd.DataFrame({"image": files, "label": labels}).to_parquet(tmp_path / f"{kind}.parquet")
        dataset = open_images(str(tmp_path / f"{kind}.parquet"))
        expected = NUMBER_TRUTH if kind == "numbers" else WORD_TRUTH
        assert (dataset.classes, dataset.class_ids(range(5))) == expected, kind
        assert colours(dataset, 5) == CORNERS


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view", "dictionary"])
@pytest.mark.parametrize("struct", [True, False])
def test_images_however_their_bytes_are_stored(tmp_path: Path, kind: str, struct: bool) -> None:
    files = [png(colour) for colour in COLOURS]
    column = pa.array(files).dictionary_encode() if kind == "dictionary" else pa.array(files, getattr(pa, kind)())
    if struct and kind in ("binary", "large_binary"):  # others pyarrow does not write
        column = pa.StructArray.from_arrays([column, pa.array(["a.png"] * 5)], ["bytes", "path"])
    for name in ("image", "image"):
        assert colours(open_images(str(written(tmp_path / "a.parquet", {"n": [0] * 5, name: column}))), 5) == CORNERS


def test_a_column_that_the_hub_calls_classes(tmp_path: Path) -> None:
    feature = {"names": ["x", "y"], "_type": "ClassLabel"}
    for features, expected in (({"kind": feature}, ("x", "y")), ({"kind": feature, "other": feature}, ())):
        told = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pa.table({"image": cells(COLOURS), "kind": [0, 1, 0, 1, 0], "other": [0] * 5})
        pq.write_table(table.replace_schema_metadata(told), tmp_path / "a.parquet")
        assert open_images(str(tmp_path / "a.parquet")).classes == expected


@pytest.mark.parametrize(
    ("table", "fact"),
    [
        ({"breed": ["a"] * 5}, "image, breed"),
        ({"label": [["a"]] * 5}, "list<element: string>"),
        ({"label": [0.5] * 5}, "column label"),
    ],
)
def test_why_there_are_no_classes(tmp_path: Path, table: dict[str, Any], fact: str) -> None:
    path = written(tmp_path / "a.parquet", {"image": cells(COLOURS), **table})
    view = View.open(str(path), size=4)
    classifier = as_classifier(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), Means()), view)
    with mistake("bad-value", fact):
        classifier.truth(classifier.latents(range(2), 0))


class Means(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def test_classes_that_the_data_set_does_not_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"image": cells(COLOURS), "label": [0, 1, 2, -1, 0]}, ["x", "y"])
    refused(path, path, "class 2", "0 to 1")
    written(path, {"image": cells(COLOURS), "label": list("xyxyx")}, ["y", "x"])
    assert open_images(str(path)).class_ids(range(5)) == [1, 0, 1, 0, 1]


def test_images_that_are_not_bytes(tmp_path: Path) -> None:
    table = {"image": ["a.png"] * 2, "label": [0, 1]}
    refused(written(tmp_path / "a.parquet", table), "image (string), label (int64)", "paths")


def test_a_row_group_is_read_once_for_images_in_order(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    whole = pq.ParquetFile.read_row_group

    def watch(self: Any, i: int, **options: Any) -> Any:
        read.append(i)
        return whole(self, i, **options)

    dataset = open_images(str(shards))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watch)
    for numbers in ([5, 0, 1], [1, 2]):
        dataset.images(numbers, FRAME)
    assert read == [0, 0, 0, 0]  # of the test file, of both of training, and again for 1
    dataset.images([2, 1], FRAME)
    assert len(read) == 4


def test_it_travels(shards: Path) -> None:
    dataset = open_images(str(shards))
    before = dataset.images(range(6), FRAME)
    other = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert torch.equal(other.images(range(6), FRAME), before)
    assert other.fingerprint == dataset.fingerprint


def test_the_fingerprint_is_of_the_files(shards: Path) -> None:
    before = open_images(str(shards)).fingerprint
    assert open_images(str(shards)).fingerprint == before
    path = shards / "data" / "test-00000-of-00001.parquet"
    path.rename(path.with_name("held-00000-of-00001.parquet"))
    assert open_images(str(shards)).fingerprint != before
    written(path, {"image": cells([GREEN])})
    path.with_name("held-00000-of-00001.parquet").unlink()
    assert open_images(str(shards)).fingerprint != before


def refused(path: Path, *facts: object) -> None:
    with mistake("bad-file", *facts):
        open_images(str(path)).images([0, 1], FRAME)


def test_what_is_refused(shards: Path, tmp_path: Path) -> None:
    path = shards / "data" / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-20], b"PAR1" + bytes(30), whole[:-8] + bytes(4) + b"PAR1"):
        path.write_bytes(content)
        refused(shards, path, "whole Parquet file")
    path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    refused(shards, path)
    text = written(tmp_path / "a.parquet", {"text": ["a"]})
    refused(text, "text (string)", "called image")
    two = {"left": cells([RED]), "right": cells([RED])}
    refused(written(tmp_path / "a.parquet", two), "left (struct<")
    cell = [{"bytes": None, "path": "/elsewhere/a.png"}] * 2
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    refused(written(tmp_path / "a.parquet", {"image": pa.array(cell, kind)}), "image 0", "bytes")
    broken = {"image": [*cells([RED]), {"bytes": b"no image", "path": "a.png"}]}
    refused(written(tmp_path / "a.parquet", broken, group=1), tmp_path / "a.parquet", "image 1", "whole image")
    refused(written(tmp_path / "a.parquet", {"image": pa.array([], kind)}), "no images")


def test_directories_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "lsun").mkdir()
    (tmp_path / "lsun" / "data.mdb").write_bytes(b"")
    refused(tmp_path / "lsun", tmp_path / "lsun", "LMDB")
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", tmp_path / "none", "no images")
