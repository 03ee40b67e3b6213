"""Which columns of a table hold images and classes, and what the classes are, however they are stored."""

import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ganatomy.pictures.unlabelled import Owner

IMAGES = ("image", "img")
"""What the column of images is called where there are several, or where several hold bytes."""
CLASSES = ("label", "labels", "class", "classes", "category", "target")
"""What the column of classes is called, the first that is there."""


def image_column(schema: pa.Schema) -> str | None:
    """Return the name of the column of images: of ``{bytes, path}``, or of bytes; None if it cannot be told."""
    structs = [each.name for each in schema if _is_struct_of_bytes(_plain(each.type))]
    if len(structs) == 1:
        return str(structs[0])
    found = structs or [each.name for each in schema if _is_bytes(_plain(each.type))]
    return found[0] if len(found) == 1 else _called(found, IMAGES)


def class_column(schema: pa.Schema, features: Mapping[str, Any]) -> str | None:
    """Return the name of the column of classes: by its name, else the one of which the hub says so; None for none.

    Args:
        schema: of the table.
        features: what the Hugging Face hub says of its columns.
    """
    told = [name for name, each in features.items() if isinstance(each, dict) and each.get("_type") == "ClassLabel"]
    return _called(schema.names, CLASSES) or (told[0] if len(told) == 1 and told[0] in schema.names else None)


def cannot_be_classes(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds something else than one class for each image."""
    kind, types = _plain(kind), pa.types
    texts = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    return not (texts or numbers or types.is_null(kind))


def owners(values: Sequence[Any]) -> list[Owner | None] | None:
    """Return classes as they are stored as numbers or words, None for those that are missing.

    Whole numbers may be stored as floats, as they are where some are missing. Other floats are no classes: None then.

    >>> owners([1.0, None, float("nan"), 3.0]), owners([True, False]), owners(["a", ""]), owners([0.5])
    ([1, None, None, 3], ['True', 'False'], ['a', ''], None)
    >>> owners([1.0, float("inf")]) is None
    True
    """
    found: list[Owner | None] = []
    for value in values:
        if isinstance(value, bool):
            found.append(str(value))
        elif not isinstance(value, float | decimal.Decimal):
            found.append(value)
        elif math.isnan(value):
            found.append(None)
        elif not math.isfinite(value) or value != int(value):
            return None
        else:
            found.append(int(value))
    return found


def _called(names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the name that is the earliest of those that are known, in letters of either case."""
    spelt = {name.lower(): name for name in names}
    return next((spelt[name] for name in known if name in spelt), None)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column that may be stored as places in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_struct_of_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))
