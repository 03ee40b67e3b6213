"""Pictures in Parquet files, as the data sets of the Hugging Face hub are kept: one file, or a directory of shards."""

import bisect
import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ganatomy.errors import BadFile
from ganatomy.files import parsed
from ganatomy.pictures.unlabelled import Owned, Unlabelled, owned_by
from ganatomy.weights import fingerprint

SUFFIX = ".parquet"
NAMES = ("image", "img")
"""What the column of pictures is called where there are several, or where it holds bytes alone."""
LABEL = "label"
UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)


class ParquetPictures(Unlabelled):
    """The pictures of a column of ``{bytes, path}``, file after file in the order of their names.

    The class of each is what its column ``label`` says, if there is one, under the names that the first file gives to
    the numbers. The split is what a file is called before its number (``train-00000-of-00012.parquet``), else the
    folder that it lies in. A row group is read at once, so pictures are had fastest in their order. The fingerprint is
    of the files' footers: their columns, and where every part begins and ends.

    Raises:
        BadFile: a file cannot be read, or has no column of pictures.
    """

    def __init__(self, path: Path) -> None:
        self._files = parquet_files(path)
        footers = [_footer(file) for file in self._files]
        self._ends = [end for end, _ in footers]
        self._columns = [_column(end, file) for end, file in zip(self._ends, self._files, strict=True)]
        self._groups = [(f, g) for f, end in enumerate(self._ends) for g in range(end.num_row_groups)]
        rows = (self._ends[f].row_group(g).num_rows for f, g in self._groups)
        self._starts = [0, *itertools.accumulate(rows)]
        self._last: tuple[int, pa.ChunkedArray] | None = None
        if not self._starts[-1]:
            raise BadFile(f"{path}: no pictures in it; its tables have no rows")
        counts = [end.num_rows for end in self._ends]
        self._firsts = [0, *itertools.accumulate(counts)]
        splits = [_split(file, path) for file in self._files]
        each = [split for split, count in zip(splits, counts, strict=True) for _ in range(count)]
        super().__init__(str(path), each, _owned(self._files, self._ends))
        self.fingerprint = fingerprint({}, "parquet", [digest for _, digest in footers], splits)

    def _contents(self, numbers: Sequence[int]) -> list[tuple[str, bytes]]:
        found = {n: self._content(n) for n in sorted(numbers)}
        return [found[n] for n in numbers]

    def _content(self, n: int) -> tuple[str, bytes]:
        g = bisect.bisect_right(self._starts, n) - 1
        file, row = self._groups[g][0], n - self._starts[g]
        if self._last is None or self._last[0] != g:
            self._last = g, self._group(g)
        item = self._last[1][row].as_py()
        name = f"{self._files[file]}: picture {n - self._firsts[file]}"
        content = item.get("bytes") if isinstance(item, dict) else item
        if not content:
            raise BadFile(f"{name} has no bytes; a data set that names files elsewhere must be saved with them inside")
        return name, content

    def _group(self, g: int) -> pa.ChunkedArray:
        """Return the pictures of a row group."""
        f, group = self._groups[g]
        try:
            with pq.ParquetFile(self._files[f], metadata=self._ends[f]) as file:
                return file.read_row_group(group, columns=[self._columns[f]]).column(0)
        except UNREADABLE as error:
            raise BadFile(_broken(self._files[f], error)) from error

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_last": None}


def parquet_files(path: Path) -> list[Path]:
    """Return a Parquet file, or those below a directory, sorted; hidden ones are left out."""
    if path.is_file():
        return [path]
    found = (file.relative_to(path) for file in path.rglob(f"*{SUFFIX}") if file.is_file())
    return [path / file for file in sorted(found) if not any(part.startswith((".", "_")) for part in file.parts)]


def _footer(file: Path) -> tuple[pq.FileMetaData, str]:
    """Return what a file says at its end, and the sha256 of that."""
    try:
        with file.open("rb") as opened:
            end = pq.read_metadata(opened)
            opened.seek(-8, 2)
            opened.seek(-8 - int.from_bytes(opened.read(4), "little"), 2)
            return end, hashlib.sha256(opened.read()).hexdigest()
    except UNREADABLE as error:
        raise BadFile(_broken(file, error)) from error


def _column(end: pq.FileMetaData, file: Path) -> str:
    """Return the name of the column of pictures."""
    schema = end.schema.to_arrow_schema()
    found = [
        field.name for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    if len(found) != 1:
        binary = [
            field.name for field in schema if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
        ]
        found = [name for name in NAMES if name in found or name in binary][:1]
    if not found:
        raise BadFile(
            f"{file}: no column of pictures among {', '.join(schema.names)}; it must be called image, and hold their "
            "files as bytes"
        )
    return str(found[0])


def _owned(files: Sequence[Path], ends: Sequence[pq.FileMetaData]) -> Owned:
    """Return the classes of all pictures."""
    labels = [label for file, end in zip(files, ends, strict=True) for label in _labels(file, end)]
    told = (ends[0].schema.to_arrow_schema().metadata or {}).get(b"huggingface", b"{}")
    try:
        names = parsed(told)["info"]["features"][LABEL]["names"]
    except (ValueError, KeyError, TypeError):
        return owned_by([None if label == -1 else label for label in labels])  # as the hub has it where it is not known
    known = range(len(names))
    return Owned(tuple(map(str, names)), [label if label in known else -1 for label in labels])


def _labels(file: Path, end: pq.FileMetaData) -> list[Any]:
    """Return what is said of the class of every picture of a file."""
    schema = end.schema.to_arrow_schema()
    kind = schema.field(LABEL).type if LABEL in schema.names else None
    if kind is None or not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
        return [None] * end.num_rows
    try:
        with pq.ParquetFile(file, metadata=end) as opened:
            labels: list[Any] = opened.read(columns=[LABEL]).column(0).to_pylist()
            return labels
    except UNREADABLE as error:
        raise BadFile(_broken(file, error)) from error


def _split(file: Path, root: Path) -> str:
    if found := re.match(r"(.+?)-\d+-of-\d+", file.stem):
        return found[1]
    return "" if file in (root, root / file.name) else file.parent.name


def _broken(file: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{file}: not a whole Parquet file ({reason}); fetch it again"
