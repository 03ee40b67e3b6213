"""Tensors in a file: each is read alone, and damage is found."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ganatomy.core import tensor_files
from ganatomy.core.tensor_files import BROKEN, Archive, packed, write

STATE = {
    "agreement/evaluation/layer 1:counts": torch.arange(24, dtype=torch.int32).view(2, 3, 4),
    "on": torch.tensor([True, False]),
    "none": torch.zeros(0, 3, dtype=torch.uint8),
    "half": torch.tensor(0.5, dtype=torch.float16),
    "view": torch.arange(6.0).view(2, 3).T,
}


def test_every_tensor_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", STATE, 7)
    for found in (Archive(tmp_path / "a.npz"), Archive(packed(STATE))):
        assert list(found) == list(STATE)
        for name, tensor in STATE.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)
    assert Archive(tmp_path / "a.npz").shards == 7
    assert np.load(tmp_path / "a.npz")["on"].tolist() == [True, False], "numpy opens it"


@pytest.mark.parametrize("shape", [(2, 3, 40, 101), (70000, 2, 3), (0, 5, 500), (1, 200, 400)])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_large_tables_are_kept_byte_by_byte(shape: tuple[int, ...], kind: torch.dtype) -> None:
    counts = torch.randint(-300, 300, shape).to(kind) * 97
    content = packed({"counts": counts})
    found = Archive(content)["counts"]
    assert found.dtype == kind
    assert torch.equal(found, counts)
    if counts.nbytes >= tensor_files.PLANES:
        assert np.load(io.BytesIO(content))["counts"].dtype == np.uint8
        assert len(content) < 0.9 * counts.nbytes


def test_bytes_of_another_kind_are_refused() -> None:
    content = packed({"counts": torch.zeros(2, 100, 200, dtype=torch.int32)})
    with pytest.raises(BROKEN):
        Archive(content.replace(b'"<i4"', b'"<i8"'))["counts"]


def test_the_same_tensors_make_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", STATE)
    assert (tmp_path / "a.npz").read_bytes() == packed(dict(STATE))


def test_counts_are_packed_small() -> None:
    counts = {"counts": torch.randint(50, (100, 1000), dtype=torch.int32)}
    assert len(packed(counts)) < 0.4 * counts["counts"].nbytes
    assert Archive(packed(counts)).nbytes == pytest.approx(counts["counts"].nbytes, abs=200)


@pytest.mark.parametrize("place", range(0, 900, 31))
def test_a_changed_byte_is_found_or_changes_nothing(tmp_path: Path, place: int) -> None:
    content = bytearray(packed(STATE))
    content[place] ^= 0xFF
    try:
        found = dict(Archive(bytes(content)))
    except (*BROKEN, RuntimeError):
        return
    assert all(torch.equal(found[name], STATE[name]) for name in found)


def test_an_array_larger_than_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed({"zeros": torch.zeros(10**6)})
    assert len(content) < 20_000
    monkeypatch.setattr(tensor_files, "available", lambda: 3 * 10**6)
    monkeypatch.setattr(tensor_files, "LARGE", 10**6)
    with pytest.raises(MemoryError, match="zeros takes 4000128 bytes, and 3000000 are free"):
        Archive(content)["zeros"]


def test_objects_are_not_unpickled() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.comment = b'{"shards": 0}'
        with file.open("a.npy", "w") as member:
            np.lib.format.write_array(member, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        Archive(content.getvalue())["a"]
