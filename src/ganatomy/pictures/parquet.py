"""Images in Parquet files, as the data sets of the Hugging Face hub are kept: one file, or a directory of shards."""

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
from ganatomy.pictures.columns import CLASSES, cannot_be_classes, class_column, image_column, owners
from ganatomy.pictures.unlabelled import Owned, Owner, Unlabelled, owned_by
from ganatomy.weights import fingerprint

SUFFIX = ".parquet"
UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)


class ParquetPictures(Unlabelled):
    """The images of a column of ``{bytes, path}``, file after file in the order of their names.

    The class of each is what its column ``label`` says (or another of `CLASSES`, or the only one of which the hub says
    so), if there is one, under the names that the first file gives to the numbers. The split is what a file is called
    before its number (``train-00000-of-00012.parquet``), else the folder that it lies in. A row group is read at once,
    so images are had fastest in their order. The fingerprint is of the files' footers: their columns, and where every
    part begins and ends.

    Attributes:
        unclassed: why the images are in no classes; empty if they are in some.

    Raises:
        BadFile: a file cannot be read, or has no column of images.
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
            raise BadFile(f"{path}: no images in it; its tables have no rows")
        counts = [end.num_rows for end in self._ends]
        self._firsts = [0, *itertools.accumulate(counts)]
        splits = [_split(file, path) for file in self._files]
        each = [split for split, count in zip(splits, counts, strict=True) for _ in range(count)]
        column, reason = _classes_in(self._ends[0])
        self.unclassed = reason
        super().__init__(str(path), each, _owned(self._files, self._ends, column))
        if column is not None and not self.classes:
            self.unclassed = f"its column {column} says none"
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
        name = f"{self._files[file]}: image {n - self._firsts[file]}"
        content = item.get("bytes") if isinstance(item, dict) else item
        if not content:
            raise BadFile(f"{name} has no bytes; a data set that names files elsewhere must be saved with them inside")
        if not isinstance(content, bytes):
            raise BadFile(f"{name} is stored as {type(content).__name__}; it must be the bytes of an image file")
        return name, content

    def _group(self, g: int) -> pa.ChunkedArray:
        """Return the images of a row group."""
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
    """Return the name of the column of images."""
    schema = end.schema.to_arrow_schema()
    found = image_column(schema)
    if found is None:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadFile(
            f"{file}: no column of images among {columns}; it must be called image, and hold their files as bytes, "
            "not as paths"
        )
    return found


def _features(end: pq.FileMetaData) -> dict[str, Any]:
    """Return what the Hugging Face hub says of the columns."""
    told = (end.schema.to_arrow_schema().metadata or {}).get(b"huggingface", b"{}")
    try:
        features = parsed(told)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _classes_in(end: pq.FileMetaData) -> tuple[str | None, str]:
    """Return the name of the column of classes; or None, and why there is none."""
    schema = end.schema.to_arrow_schema()
    name = class_column(schema, _features(end))
    if name is None:
        return None, f"of its columns {', '.join(schema.names)} none is called {', '.join(CLASSES)}"
    kind = schema.field(name).type
    return (None, f"its column {name} holds {kind}, not one class for each") if cannot_be_classes(kind) else (name, "")


def _owned(files: Sequence[Path], ends: Sequence[pq.FileMetaData], column: str | None) -> Owned:
    """Return the classes of all images, as a column says them."""
    if column is None:
        return Owned((), [-1] * sum(end.num_rows for end in ends))
    feature = _features(ends[0]).get(column)
    names = feature.get("names") if isinstance(feature, dict) else None
    known = list(map(str, names)) if isinstance(names, list) else []
    labels: list[Owner | None] = []
    for file, end in zip(files, ends, strict=True):
        own = _labels(file, end, column)
        if known:
            own = [_number(label, known, f"{file}: {column}") for label in own]
        labels += own
    labels = [None if label == -1 else label for label in labels]  # as the hub has it where it is not known
    if known:
        return Owned(tuple(known), [label if isinstance(label, int) else -1 for label in labels])
    return owned_by(labels)


def _number(label: Owner | None, names: Sequence[str], source: str) -> int:
    """Return which of the names a label is, -1 for none.

    Raises:
        BadFile: it is none of them.
    """
    if label in (None, "", -1):
        return -1
    if isinstance(label, str) and label in names:
        return names.index(label)
    if not isinstance(label, int) or not 0 <= label < len(names):
        raise BadFile(f"{source} has the class {label!r}; the data set names {len(names)}, 0 to {len(names) - 1}")
    return label


def _labels(file: Path, end: pq.FileMetaData, column: str) -> list[Owner | None]:
    """Return what is said of the class of every image of a file."""
    schema = end.schema.to_arrow_schema()
    if column not in schema.names or cannot_be_classes(schema.field(column).type):
        return [None] * end.num_rows  # as in files of a split whose classes are not published
    try:
        with pq.ParquetFile(file, metadata=end) as opened:
            found = owners(opened.read(columns=[column]).column(0).to_pylist())
    except UNREADABLE as error:
        raise BadFile(_broken(file, error)) from error
    return [None] * end.num_rows if found is None else found


def _split(file: Path, root: Path) -> str:
    if found := re.match(r"(.+?)-\d+-of-\d+", file.stem):
        return found[1]
    return "" if file in (root, root / file.name) else file.parent.name


def _broken(file: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{file}: not a whole Parquet file ({reason}); fetch it again"
