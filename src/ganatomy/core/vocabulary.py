"""Vocabularies: the concepts of a segmenter."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from ganatomy.core.errors import BadFile, UnknownName
from ganatomy.core.files import read_json

CATEGORIES = ("object", "part", "material", "colour")
"""The usual categories, in the order in which they are listed; a vocabulary may have others, which come after them."""


class Concept(NamedTuple):
    """A name and a category: ``Concept("tree", "object")``. The first concept of a vocabulary is always `NOTHING`."""

    name: str
    category: str

    def __str__(self) -> str:
        return self.name


NOTHING = Concept("nothing", "nothing")
Vocabulary = Sequence[Concept]
UNLABELLED = frozenset(
    ("background", "ignore", "none", "nothing", "other", "others", "unknown", "unlabeled", "unlabelled", "void")
)
"""Names of the background in other datasets."""


def find_concept(vocabulary: Vocabulary, name: str) -> int:
    """Return the index of ``tree``, or of ``material:glass`` where a name has several categories.

    Raises:
        UnknownName: no such concept, or several categories have one; lists them.
    """
    category, _, bare = name.rpartition(":")
    hits = [i for i, c in enumerate(vocabulary) if i and c.name == bare and category in ("", c.category)]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise UnknownName("concept", name, [f"{vocabulary[i].category}:{bare}" for i in hits])
    raise UnknownName("concept", name, [c.name for c in vocabulary[1:]])


def read_vocabulary(path: Path) -> tuple[Concept, ...]:
    """Read a vocabulary file: a JSON list of ``[name, category]`` pairs, the first one nothing.

    Raises:
        BadFile: not such a list.
    """
    try:
        rows = read_json(path)
        if not isinstance(rows, list) or any(
            type(row) is not list or list(map(type, row)) != [str, str] for row in rows
        ):
            raise ValueError(f"found {shorten(str(rows), 60)}")
        concepts = tuple(Concept(*row) for row in rows)
    except FileNotFoundError:
        raise BadFile(f"{path}: no such vocabulary file") from None
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(f"{path}: not a vocabulary, a JSON list of [name, category] pairs ({error})") from error
    return checked_vocabulary(concepts, str(path))


def checked_vocabulary(concepts: Iterable[Concept], source: str) -> tuple[Concept, ...]:
    """Return the concepts if they are a vocabulary: nothing first (or a name of `UNLABELLED`), none twice."""
    concepts = tuple(concepts)
    if concepts and concepts[0].name.strip("_ ").lower() in UNLABELLED:
        concepts = (NOTHING, *concepts[1:])
    if not concepts or concepts[0] != NOTHING:
        found = f", not {list(concepts[0])}" if concepts else ""
        raise BadFile(f'{source}: the first concept must be ["nothing", "nothing"] or background{found}')
    twice = {c for c in concepts if concepts.count(c) > 1}
    if twice:
        raise BadFile(f"{source}: listed twice: {', '.join(sorted(c.name for c in twice))}")
    return concepts


def vocabulary_json(vocabulary: Vocabulary) -> str:
    """Return the text of a vocabulary file, which `read_vocabulary` reads back."""
    return json.dumps([list(c) for c in vocabulary], ensure_ascii=False)


def addresses(vocabulary: Vocabulary) -> dict[tuple[str, str], str]:
    """Return for (name, category) what `find_concept` takes: a name, or category:name where two share it.

    >>> from ganatomy.core.vocabulary import NOTHING, Concept
    >>> words = (NOTHING, Concept("tree", "object"), Concept("glass", "object"), Concept("glass", "material"))
    >>> list(addresses(words).values())
    ['nothing', 'tree', 'object:glass', 'material:glass']
    """
    names = [c.name for c in vocabulary]
    return {c: c.name if names.count(c.name) == 1 else f"{c.category}:{c.name}" for c in vocabulary}
