"""Pictures in Parquet files as the hub has them."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_archive import BLUE, FRAME, GREEN, RED, colours, png

from ganatomy.errors import BadFile, UnknownName
from ganatomy.pictures import PictureSet, open_pictures

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


def test_pictures_come_shard_by_shard(shards: Path) -> None:
    pictures = open_pictures(str(shards))
    assert isinstance(pictures, PictureSet)
    assert colours(pictures, 6) == [[-1, -1, 1], *CORNERS]
    assert pictures.images([4, 0, 2], FRAME)[:, :, 0, 0].tolist() == [CORNERS[3], [-1, -1, 1], CORNERS[1]]
    assert sorted(pictures.numbers(range(5), 0, "train")) == [1, 2, 3, 4, 5]
    assert pictures.numbers(range(1), 3, "test") == [0]
    with pytest.raises(UnknownName, match="test, train"):
        pictures.numbers(range(1), 0, "validation")


def test_classes_are_numbered_as_the_data_set_numbers_them(shards: Path) -> None:
    pictures = open_pictures(str(shards))
    assert pictures.classes == ("tench", "apple")
    assert pictures.truth(range(6)) == [1, 0, 1, -1, 1, 0]


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
    pictures = open_pictures(str(path))
    assert (pictures.classes, pictures.truth(range(5))) == (classes, truth)


@pytest.mark.parametrize(
    "table",
    [
        {"image": [png(colour) for colour in COLOURS]},
        {"mask": cells([BLUE] * 5), "image": cells(COLOURS)},
        {"thumbnail": [b"?"] * 5, "photo": cells(COLOURS)},
    ],
)
def test_the_column_of_pictures_is_found(tmp_path: Path, table: dict[str, Any]) -> None:
    pictures = open_pictures(str(written(tmp_path / "a.parquet", table)))
    assert colours(pictures, 5) == CORNERS
    assert pictures.classes == ()


def test_a_row_group_is_read_once_for_pictures_in_order(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    whole = pq.ParquetFile.read_row_group

    def watch(self: Any, i: int, **options: Any) -> Any:
        read.append(i)
        return whole(self, i, **options)

    pictures = open_pictures(str(shards))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watch)
    for numbers in ([5, 0, 1], [1, 2]):
        pictures.images(numbers, FRAME)
    assert read == [0, 0, 0, 0]  # of the test file, of both of training, and again for 1
    pictures.images([2, 1], FRAME)
    assert len(read) == 4


def test_it_travels(shards: Path) -> None:
    pictures = open_pictures(str(shards))
    before = pictures.images(range(6), FRAME)
    other = pickle.loads(pickle.dumps(pictures))  # noqa: S301
    assert torch.equal(other.images(range(6), FRAME), before)
    assert other.fingerprint == pictures.fingerprint


def test_the_fingerprint_is_of_the_files(shards: Path) -> None:
    before = open_pictures(str(shards)).fingerprint
    assert open_pictures(str(shards)).fingerprint == before
    path = shards / "data" / "test-00000-of-00001.parquet"
    path.rename(path.with_name("held-00000-of-00001.parquet"))
    assert open_pictures(str(shards)).fingerprint != before
    written(path, {"image": cells([GREEN])})
    path.with_name("held-00000-of-00001.parquet").unlink()
    assert open_pictures(str(shards)).fingerprint != before


def refused(path: Path) -> str:
    with pytest.raises(BadFile) as caught:
        open_pictures(str(path)).images([0, 1], FRAME)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_refused(shards: Path, tmp_path: Path) -> None:
    path = shards / "data" / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-20], b"PAR1" + bytes(30), whole[:-8] + bytes(4) + b"PAR1"):
        path.write_bytes(content)
        assert refused(shards).startswith(f"{path}: not a whole Parquet file")
    path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    assert str(path) in refused(shards)
    assert "no column of pictures among text" in refused(written(tmp_path / "a.parquet", {"text": ["a"]}))
    two = {"left": cells([RED]), "right": cells([RED])}
    assert "no column of pictures among left, right" in refused(written(tmp_path / "a.parquet", two))
    cell = [{"bytes": None, "path": "/elsewhere/a.png"}] * 2
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    assert "picture 0 has no bytes" in refused(written(tmp_path / "a.parquet", {"image": pa.array(cell, kind)}))
    broken = {"image": [*cells([RED]), {"bytes": b"no picture", "path": "a.png"}]}
    assert f"{tmp_path / 'a.parquet'}: picture 1: not a whole picture" in refused(
        written(tmp_path / "a.parquet", broken, group=1)
    )
    assert "no pictures in it" in refused(written(tmp_path / "a.parquet", {"image": pa.array([], kind)}))


def test_directories_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "lsun").mkdir()
    (tmp_path / "lsun" / "data.mdb").write_bytes(b"")
    assert "an LMDB database; export its pictures" in refused(tmp_path / "lsun")
    (tmp_path / "none").mkdir()
    assert "no pictures in it" in refused(tmp_path / "none")
