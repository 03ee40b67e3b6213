"""Broden (Bau et al. 2017, Section 2.1) and what is laid out like it: ``index.csv``, ``label.csv``, ``images/``.

A row of the index names an image, its split, its size, the size of its label maps, and for each category what is seen:
files in which a pixel is label number red + 256 · green, or label numbers of the whole image, with semicolons between
several. ``label.csv`` says what the numbers mean, and in which categories they are used.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ganatomy.errors import BadFile
from ganatomy.files import read_text
from ganatomy.pictures.files import Ints, PictureFiles, read_map
from ganatomy.vocabulary import NOTHING, Concept, Vocabulary
from ganatomy.weights import file_sha256, fingerprint

LONGEST = 1 << 28
"""Bytes of a table."""
LONG = 7
"""Digits of a label number; a pixel holds at most five."""
FIRST = ("image", "split", "ih", "iw", "sh", "sw")
"""The columns of the index before those of the categories."""


class Broden(PictureFiles):
    """The images of a Broden directory; their fingerprint is of its two tables.

    A category whose images have several maps (parts of parts) has as many planes: ``part``, ``part#2``. Label 0 is
    nothing, and so is a number that `label.csv` does not list.

    Raises:
        BadFile: a table is missing, or not what it should be.
    """

    def __init__(self, directory: Path) -> None:
        index, words = directory / "index.csv", directory / "label.csv"
        rows = _table(index, FIRST)
        if not rows:
            raise BadFile(f"{index}: lists no images")
        super().__init__(
            str(directory), directory / "images", [row["image"] for row in rows], [row["split"] for row in rows]
        )
        self.classes: tuple[str, ...] = ()
        categories = [name for name in rows[0] if name not in FIRST]
        self._fields = [[_parts(row[name]) for name in categories] for row in rows]
        self._depths = [max(len(fields[i]) for fields in self._fields) for i in range(len(categories))]
        named = [_category(name) for name in categories]
        self.planes = tuple(
            name if i == 0 else f"{name}#{i + 1}"
            for name, depth in zip(named, self._depths, strict=True)
            for i in range(depth)
        )
        self.vocabulary, numbered = _vocabulary(words, named)
        self._concepts = [_lookup(numbered[name]) for name in named]
        self.fingerprint = fingerprint({}, "broden", file_sha256(index), file_sha256(words))

    def truth(self, numbers: Sequence[int]) -> list[int]:
        """Return -1 for each image: they are in no classes."""
        return [-1] * len(numbers)

    def _planes(self, number: int) -> list[Ints | int]:
        planes: list[Ints | int] = []
        for fields, concepts, depth in zip(self._fields[number], self._concepts, self._depths, strict=True):
            planes += [self._plane(field, concepts) for field in fields] + [0] * (depth - len(fields))
        return planes

    def _plane(self, field: str, concepts: Ints) -> Ints | int:
        if field.isdecimal():
            return int(concepts[min(int(field[:LONG]), len(concepts) - 1)])
        colours = read_map(self._root / field)
        numbers = colours if colours.ndim == 2 else colours[..., 0] + 256 * colours[..., 1]
        labels: Ints = concepts[numbers.clip(max=len(concepts) - 1)]
        return labels


def is_broden(directory: Path) -> bool:
    """Return whether a directory is laid out like Broden."""
    return (directory / "index.csv").is_file()


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a head line.

    Raises:
        BadFile: it is missing, has other columns, or a row of another length.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, LONGEST), newline=""))
        rows = list(reader)
        head = reader.fieldnames or ()
    except (OSError, ValueError, csv.Error) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    missing = [name for name in columns if name not in head]
    if missing:
        raise BadFile(f"{path}: lacks the column {missing[0]}; it must have {', '.join(columns)}, …")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise BadFile(f"{path}: line {number} has another number of columns than the head")
    return rows


def _parts(field: str) -> tuple[str, ...]:
    return tuple(part for part in field.split(";") if part)


def _category(name: str) -> str:
    """Return a category as it is spelt everywhere else."""
    return "colour" if name == "color" else name


def _vocabulary(path: Path, categories: Sequence[str]) -> tuple[Vocabulary, Mapping[str, Mapping[int, int]]]:
    """Return the concepts, category by category, and which of them each label number is in each category."""
    vocabulary: dict[Concept, int] = {NOTHING: 0}
    numbered: dict[str, dict[int, int]] = {name: {} for name in categories}
    rows = _table(path, ("number", "name", "category"))
    for category in categories:
        for row in rows:
            used = [_category(re.sub(r"\(.*", "", each).strip()) for each in row["category"].split(";")]
            if not row["number"].strip().isdecimal() or len(row["number"].strip()) > LONG:
                raise BadFile(f"{path}: {row['number'][:20]!r} is no label number")
            if category in used and int(row["number"]):
                concept = Concept(row["name"], category)
                numbered[category][int(row["number"])] = vocabulary.setdefault(concept, len(vocabulary))
    return tuple(vocabulary), numbered


def _lookup(numbered: Mapping[int, int]) -> Ints:
    """Return a table from label numbers to concepts; its last entry, nothing, is for all numbers beyond."""
    table = np.zeros(max(numbered, default=0) + 2, np.int64)
    table[list(numbered)] = list(numbered.values())
    return table
