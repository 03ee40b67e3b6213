"""Broden (Bau et al. 2017, Section 2.1) and datasets of its layout: ``index.csv``, ``label.csv``, ``images/``.

A row of the index names an image, its split, its size, the size of its label maps, and for each category files in which
a pixel is label number red + 256 · green, or label numbers of the whole image, separated by semicolons. ``label.csv``
names the label numbers, and the categories in which they are used.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ganatomy.core.errors import BadFile
from ganatomy.core.files import read_text
from ganatomy.core.fingerprint import file_sha256, fingerprint
from ganatomy.core.vocabulary import NOTHING, Concept, Vocabulary
from ganatomy.datasets.files import LONGEST, Ints, Source, StoredImages, read_map

DIGITS = 7
"""Most digits of a label number; a pixel holds at most five."""
FIRST = ("image", "split", "ih", "iw", "sh", "sw")
"""The columns of the index before those of the categories."""


class Broden(StoredImages):
    """The images of a Broden directory; the fingerprint is of its two tables.

    A category whose images have several maps (parts of parts) has as many planes: ``part``, ``part#2``. Label 0 is
    nothing, and so is a number that `label.csv` does not list.
    """

    def __init__(self, directory: Path) -> None:
        index, names = directory / "index.csv", directory / "label.csv"
        rows = _table(index, FIRST)
        if not rows:
            raise BadFile(f"{index}: lists no images")
        super().__init__(str(directory), [row["split"] for row in rows], (), [-1] * len(rows))
        self._root, self._files = directory / "images", [row["image"] for row in rows]
        columns = [name for name in rows[0] if name not in FIRST]
        self._fields = [[[part for part in row[name].split(";") if part] for name in columns] for row in rows]
        self._depths = [max(map(len, fields)) for fields in zip(*self._fields, strict=True)]
        categories = [_category(name) for name in columns]
        self.planes = tuple(
            name if i == 0 else f"{name}#{i + 1}"
            for name, depth in zip(categories, self._depths, strict=True)
            for i in range(depth)
        )
        self.vocabulary, concepts = _vocabulary(names, categories)
        self._concepts = [_lookup(concepts[name]) for name in categories]
        self.fingerprint = fingerprint({}, "broden", file_sha256(index), file_sha256(names))

    def _sources(self, indices: Sequence[int]) -> list[Source]:
        paths = [self._root / self._files[i] for i in indices]
        return [(str(path), path) for path in paths]

    def _label_planes(self, index: int) -> list[Ints | int]:
        planes: list[Ints | int] = []
        for fields, concepts, depth in zip(self._fields[index], self._concepts, self._depths, strict=True):
            planes += [self._plane(field, concepts) for field in fields] + [0] * (depth - len(fields))
        return planes

    def _plane(self, field: str, concepts: Ints) -> Ints | int:
        if field.isdecimal():
            return int(concepts[min(int(field[:DIGITS]), len(concepts) - 1)])
        colours = read_map(self._root / field)
        numbers = colours if colours.ndim == 2 else colours[..., 0] + 256 * colours[..., 1]
        labels: Ints = concepts[numbers.clip(max=len(concepts) - 1)]
        return labels


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header that has these columns."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, LONGEST), newline=""))
        rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise BadFile(f"{path}: lacks the column {missing[0]}; it must have {', '.join(columns)}, …")
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise BadFile(f"{path}: line {line} has another number of columns than the head")
    return rows


def _category(name: str) -> str:
    """Return a category as it is spelt everywhere else."""
    return "colour" if name == "color" else name


def _vocabulary(path: Path, categories: Sequence[str]) -> tuple[Vocabulary, Mapping[str, Mapping[int, int]]]:
    """Return the concepts, category by category, and for each category the concept of each label number."""
    vocabulary: dict[Concept, int] = {NOTHING: 0}
    concepts: dict[str, dict[int, int]] = {name: {} for name in categories}
    rows = []
    for row in _table(path, ("number", "name", "category")):
        if not row["number"].strip().isdecimal() or len(row["number"].strip()) > DIGITS:
            raise BadFile(f"{path}: {row['number'][:20]!r} is no label number")
        used = {_category(re.sub(r"\(.*", "", each).strip()) for each in row["category"].split(";")}
        rows.append((int(row["number"]), row["name"], used))
    for category in categories:
        for number, name, used in rows:
            if category in used and number:
                concepts[category][number] = vocabulary.setdefault(Concept(name, category), len(vocabulary))
    return tuple(vocabulary), concepts


def _lookup(concepts: Mapping[int, int]) -> Ints:
    """Return a table from label numbers to concepts; its last entry, nothing, is for all numbers beyond."""
    table = np.zeros(max(concepts, default=0) + 2, np.int64)
    table[list(concepts)] = list(concepts.values())
    return table
