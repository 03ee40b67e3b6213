"""Parquet files of classes as every writer keeps them, which a description lays out."""

import json
from pathlib import Path
from typing import Any

from mutations import Tree
from seed_files import described, image_file, tree_of

BRIEF = 100
ROWS = 4


def seeds() -> list[Tree]:
    """Return descriptions, columns as [name, type, values] and what the hub says of them; and the files of these."""
    names = {"label": {"_type": "ClassLabel", "names": ["church", "barn"]}}
    words, numbers = ["a", "b", None, "a"], [0, 1, -1, 0]
    columns: list[tuple[list[Any], Any]] = [
        (["label", "large_string", words], {}),
        (["label", "string_view", words], {}),
        (["label", "dictionary", words], {}),
        (["label", "double", [0.0, 1.0, None, 1.0]], names),
        (["labels", "bool", [True, False, None, True]], {}),
        (["Category", "int64", numbers], {"other": names["label"]}),
        (["label", "int8", numbers], names),
        (["label", "decimal", ["1", "2", None, "1"]], {}),
        (["target", "list", [[0], [1], [], None]], {}),
        (["label", "null", [None] * ROWS], names),
    ]
    laid_out = [json.dumps([[column], features]) for column, features in columns]
    files = [tree_of(lambda root, each=each: _written(json.loads(each), root)) for each in laid_out]
    return [*({"table.json": each.encode()} for each in laid_out), *files]


def read(root: Path) -> None:
    """Write the table that is described, if one is; open it, and look at its images and their classes."""
    import pyarrow as pa

    from ganatomy.datasets import open_images
    from ganatomy.datasets.protocol import CropSpec

    path = root / "table.parquet"
    try:
        if (root / "table.json").is_file():
            path = _written(described(root / "table.json"), root)
    except (ValueError, TypeError, LookupError, AttributeError, OSError, ArithmeticError, RecursionError):
        return  # a description of nothing that could be written
    except pa.ArrowException:
        return
    found = open_images(str(path))
    numbers = found.sample_indices(range(2), 0)
    found.images(numbers, CropSpec(8))
    found.class_ids(numbers)
    assert all(isinstance(name, str) for name in found.classes)
    assert all(-1 <= own < max(1, len(found.classes)) for own in found.class_ids(range(ROWS)))


def _written(description: Any, root: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        **{name: getattr(pa, name)() for name in ("large_string", "string_view", "string", "int64", "int8", "null")},
        "double": pa.float64(),
        "bool": pa.bool_(),
        "list": pa.list_(pa.int64()),
        "decimal": pa.decimal128(9, 2),
    }
    columns, features = description
    image = [{"bytes": image_file(seed=i, side=8), "path": "a.png"} for i in range(ROWS)]
    arrays, names = [pa.array(image)], ["image"]
    for name, kind, values in columns:
        arrays.append(_array(kinds.get(kind), kind, [*values, *[None] * ROWS][:ROWS]))
        names.append(name)
    metadata = json.dumps({"info": {"features": features}})
    path = root / "table.parquet"
    pq.write_table(pa.table(arrays, names).replace_schema_metadata({"huggingface": metadata}), path, row_group_size=2)
    return path


def _array(kind: Any, word: Any, values: list[Any]) -> Any:
    """Return a column of that type; where the values are none of it, of whatever type they are, or their words."""
    import pyarrow as pa

    values = [_decimal(value) for value in values] if word == "decimal" else values
    for form in (kind, None):
        try:
            array = pa.array(values, form)
            return array.dictionary_encode() if word == "dictionary" else array
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            continue
    return pa.array(list(map(str, values)))


def _decimal(value: Any) -> Any:
    import decimal

    try:
        return None if value is None else decimal.Decimal(value)
    except (ArithmeticError, TypeError, ValueError):
        return value
