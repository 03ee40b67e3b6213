"""Images in Parquet files, as the datasets of the Hugging Face hub are kept: one file, or a directory of shards."""

import bisect
import decimal
import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ganatomy.core.errors import BadFile
from ganatomy.core.files import DAMAGE, loads_json
from ganatomy.core.fingerprint import fingerprint
from ganatomy.datasets.files import ClassLabel, Source, StoredImages, number_classes

UNREADABLE = (*DAMAGE, pa.ArrowException)
IMAGES = ("image", "img")
"""Names of the column of images where several hold bytes."""
CLASSES = ("label", "labels", "class", "classes", "category", "target")
"""Names of the column of classes, the first that is there."""


class ParquetImages(StoredImages):
    """The images of a column of ``{bytes, path}``, file after file in the order of their names.

    The class is in the column ``label`` (or another of `CLASSES`, or the only one that the hub marks as classes), under
    the names that the first file gives to the numbers. The split is the file's name before its number
    (``train-00000-of-00012.parquet``), else its folder. A row group is read at once, so images are read fastest in
    their order. The fingerprint is of the files' footers: their columns, and where every part begins and ends.

    Attributes:
        unclassed: why the images are in no classes; empty if they are in some.
    """

    def __init__(self, path: Path) -> None:
        self._files = parquet_files(path)
        footers = [_footer(file) for file in self._files]
        self._ends = [end for end, _ in footers]
        self._columns = [_image_column(end, file) for end, file in zip(self._ends, self._files, strict=True)]
        self._groups = [(f, g) for f, end in enumerate(self._ends) for g in range(end.num_row_groups)]
        rows = (self._ends[f].row_group(g).num_rows for f, g in self._groups)
        self._starts = [0, *itertools.accumulate(rows)]
        self._last: tuple[int, pa.ChunkedArray] | None = None
        if not self._starts[-1]:
            raise BadFile(f"{path}: no images in it; its tables have no rows")
        counts = [end.num_rows for end in self._ends]
        self._firsts = [0, *itertools.accumulate(counts)]
        splits = [_split(file, path) for file in self._files]
        column, self.unclassed = _class_column(self._ends[0])
        classes = ((), [-1] * sum(counts)) if column is None else _classes(self._files, self._ends, column)
        each = [split for split, count in zip(splits, counts, strict=True) for _ in range(count)]
        super().__init__(str(path), each, *classes)
        if column is not None and not self.classes:
            self.unclassed = f"its column {column} says none"
        self.fingerprint = fingerprint({}, "parquet", [digest for _, digest in footers], splits)

    def _sources(self, indices: Sequence[int]) -> list[Source]:
        found = {i: self._source(i) for i in sorted(indices)}
        return [found[i] for i in indices]

    def _source(self, index: int) -> Source:
        g = bisect.bisect_right(self._starts, index) - 1
        f, row = self._groups[g][0], index - self._starts[g]
        if self._last is None or self._last[0] != g:
            try:
                with pq.ParquetFile(self._files[f], metadata=self._ends[f]) as file:
                    self._last = g, file.read_row_group(self._groups[g][1], columns=[self._columns[f]]).column(0)
            except UNREADABLE as error:
                raise _broken(self._files[f], error) from error
        try:  # a path with the bytes may be no text, and rows fewer than the footer says
            item = self._last[1][row].as_py()
        except UNREADABLE as error:
            raise _broken(self._files[f], error) from error
        name = f"{self._files[f]}: image {index - self._firsts[f]}"
        content = item.get("bytes") if isinstance(item, dict) else item
        if not content:
            raise BadFile(f"{name} has no bytes; a data set that names files elsewhere must be saved with them inside")
        if not isinstance(content, bytes):
            raise BadFile(f"{name} is stored as {type(content).__name__}; it must be the bytes of an image file")
        return name, content

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_last": None}


def parquet_files(path: Path) -> list[Path]:
    """Return a Parquet file, or those below a directory, sorted; hidden ones are left out."""
    if path.is_file():
        return [path]
    found = (file.relative_to(path) for file in path.rglob("*.parquet") if file.is_file())
    return [path / file for file in sorted(found) if not any(part.startswith((".", "_")) for part in file.parts)]


def _footer(file: Path) -> tuple[pq.FileMetaData, str]:
    """Return the metadata at a file's end, and the sha256 of its bytes."""
    try:
        with file.open("rb") as opened:
            end = pq.read_metadata(opened)
            opened.seek(-8, 2)
            opened.seek(-8 - int.from_bytes(opened.read(4), "little"), 2)
            return end, hashlib.sha256(opened.read()).hexdigest()
    except UNREADABLE as error:
        raise _broken(file, error) from error


def _image_column(end: pq.FileMetaData, file: Path) -> str:
    """Return the name of the column of images: of ``{bytes, path}``, else of bytes."""
    types = pa.types
    schema = end.schema.to_arrow_schema()
    kinds = {field.name: _value_type(field.type) for field in schema}
    structs = [name for name, kind in kinds.items() if types.is_struct(kind) and kind.get_field_index("bytes") >= 0]
    binary = types.is_binary, types.is_large_binary, types.is_binary_view
    found = structs or [name for name, kind in kinds.items() if any(test(kind) for test in binary)]
    name = found[0] if len(found) == 1 else _first_named(found, IMAGES)
    if name is None:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise BadFile(
            f"{file}: no column of images among {columns}; it must be called image, and hold their files as bytes, "
            "not as paths"
        )
    return name


def _class_column(end: pq.FileMetaData) -> tuple[str | None, str]:
    """Return the name of the column of classes; or None, and why there is none."""
    schema = end.schema.to_arrow_schema()
    features = _features(end)
    marked = [name for name, each in features.items() if isinstance(each, dict) and each.get("_type") == "ClassLabel"]
    hub = marked[0] if len(marked) == 1 and marked[0] in schema.names else None
    name = _first_named(schema.names, CLASSES) or hub
    if name is None:
        return None, f"of its columns {', '.join(schema.names)} none is called {', '.join(CLASSES)}"
    if not _may_be_classes(schema, name):
        return None, f"its column {name} holds {schema.field(name).type}, not one class for each"
    return name, ""


def _features(end: pq.FileMetaData) -> dict[str, Any]:
    """Return the Hugging Face hub's description of the columns."""
    try:
        features = loads_json((end.schema.to_arrow_schema().metadata or {})[b"huggingface"])["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _first_named(names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the name that comes first among the known ones, in letters of either case."""
    spelt = {name.lower(): name for name in names}
    return next((spelt[name] for name in known if name in spelt), None)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _may_be_classes(schema: pa.Schema, column: str) -> bool:
    """Return whether the values of a column may be one class for each image."""
    kind, types = _value_type(schema.field(column).type), pa.types
    texts = types.is_string, types.is_large_string, types.is_string_view
    numbers = types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null
    return any(test(kind) for test in (*texts, *numbers))


def _classes(files: Sequence[Path], ends: Sequence[pq.FileMetaData], column: str) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of the classes in a column, and the class of every image."""
    feature = _features(ends[0]).get(column)
    listed = feature.get("names") if isinstance(feature, dict) else None
    names = list(map(str, listed)) if isinstance(listed, list) else []
    labels = [
        _named_class(label, names, f"{file}: {column}") if names else label
        for file, end in zip(files, ends, strict=True)
        for label in _stored_classes(file, end, column)
    ]
    if names:
        return tuple(names), [label if isinstance(label, int) else -1 for label in labels]
    return number_classes([None if label == -1 else label for label in labels])  # -1 is the hub's for not known


def _named_class(label: ClassLabel | None, names: Sequence[str], source: str) -> int:
    """Return the index of a label among the names, -1 for none."""
    if label in (None, "", -1):
        return -1
    if isinstance(label, str) and label in names:
        return names.index(label)
    if not isinstance(label, int) or not 0 <= label < len(names):
        raise BadFile(f"{source} has the class {label!r}; the data set names {len(names)}, 0 to {len(names) - 1}")
    return label


def _stored_classes(file: Path, end: pq.FileMetaData, column: str) -> list[ClassLabel | None]:
    """Return the class of every image of a file as a number or a word, None where it is missing.

    Whole numbers may be stored as floats, as they are where some are missing; where other floats are, nothing is.
    """
    schema = end.schema.to_arrow_schema()
    nothing: list[ClassLabel | None] = [None] * end.num_rows
    if column not in schema.names or not _may_be_classes(schema, column):
        return nothing  # as in files of a split whose classes are not published
    try:
        with pq.ParquetFile(file, metadata=end) as opened:
            values = opened.read(columns=[column]).column(0).to_pylist()
    except UNREADABLE as error:
        raise _broken(file, error) from error
    if len(values) != end.num_rows:
        raise BadFile(f"{file}: its column {column} has {len(values)} rows of {end.num_rows}; fetch it again")
    labels: list[ClassLabel | None] = []
    for value in values:
        if isinstance(value, float | decimal.Decimal):
            if not math.isnan(value) and (not math.isfinite(value) or value != int(value)):
                return nothing
            labels.append(None if math.isnan(value) else int(value))
        else:
            labels.append(str(value) if isinstance(value, bool) else value)
    return labels


def _split(file: Path, root: Path) -> str:
    if found := re.match(r"(.+?)-\d+-of-\d+", file.stem):
        return found[1]
    return "" if file in (root, root / file.name) else file.parent.name


def _broken(file: Path, error: Exception) -> BadFile:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BadFile(f"{file}: not a whole Parquet file ({reason}); fetch it again")
