"""With which probability would the renderer put an object over these pixels of this scene? (SPEC 6)

An object that is drawn independently of the rest of a scene is drawn anew many times (`redraw`). Of any other, such as
a door, whose place depends on the building, the scenes are taken from a bank of rendered ones that look most alike
apart from it.
"""

import contextlib
import hashlib
import itertools
import zipfile
from collections.abc import Callable, Collection, Iterator
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ganatomy.core.files import atomic_write
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.core.vocabulary import Concept
from ganatomy.scenes.arrays import Bytes, Mask
from ganatomy.scenes.grammar import INDEX, PLANES, VOCABULARY, Grammar, grammar
from ganatomy.scenes.redraw import HORIZON_ROWS, PARTS, SIZE, drawn_alone, horizon_rows, redraws
from ganatomy.scenes.render import render

BANK = 12_000
"""Scenes of a bank."""
ALIKE = 60
"""Look-alikes of a scene."""
COVERED = 0.2
"""An object is at a place if it covers at least this share of it."""
POSSIBLE = 0.05
"""A place is allowed from this probability on, forbidden at 0; of those between nothing is said."""
SEED = 4242
"""Of the scenes of every bank."""
CHUNK = 500

Boxes = npt.NDArray[np.int64]
"""Top, left, height and width of places [places, 4], in pixels of a scene of 64."""


class Bank:
    """Labels of rendered scenes of one category.

    Attributes:
        category: of the scenes.
        labels: uint8 [scenes, planes, 64, 64].
    """

    def __init__(self, category: str, labels: Bytes) -> None:
        self.category, self.labels = category, labels
        self._objects = np.ascontiguousarray(labels[:, 0, 1::2, 1::2]).reshape(len(labels), -1)
        self._without = cache(self._pixels_without)

    def alike(self, scene: Bytes, concept: Concept) -> npt.NDArray[np.intp]:
        """Return the numbers of the scenes whose objects differ least from those of a scene [planes, 64, 64].

        Pixels that show the concept, or the object that has it, are left out in both scenes; of equals the first.
        """
        own = scene[0, 1::2, 1::2].ravel()
        elsewhere, pixels = self._without(concept)
        read = pixels & np.packbits(elsewhere[own])
        different = np.packbits(self._objects != own, axis=1) & read
        share = _ONES[different].sum(1) / np.maximum(_ONES[read].sum(1), 1)
        return np.argsort(share, kind="stable")[:ALIKE]

    def _pixels_without(self, concept: Concept) -> tuple[Mask, Bytes]:
        """Return which labels are none of a concept's objects, and, a bit each, which pixels have such a label."""
        table = np.ones(len(VOCABULARY), np.bool_)
        table[[INDEX[Concept(name, "object")] for name in hosts(grammar(self.category), concept)]] = False
        return table, np.packbits(table[self._objects], axis=1)


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1).astype(np.uint16)
"""How many bits of a byte are set."""


def hosts(rules: Grammar, concept: Concept) -> list[str]:
    """Return the objects that are a concept, or have it as a part or a material.

    >>> hosts(grammar("church"), Concept("crown", "part")), hosts(grammar("church"), Concept("door", "object"))
    (['tree'], ['door'])
    """
    return [rule.name for rule in rules.rules.values() if concept.name in rule.words.get(concept.category, ())]


def exact(category: str, concept: Concept) -> bool:
    """Return whether all that shows a concept is drawn independently of the rest of a scene."""
    found = hosts(grammar(category), concept)
    return bool(found) and set(found) <= set(redraws(category))


def place_probabilities(bank: Bank, concept: Concept, labels: Bytes, boxes: Boxes) -> npt.NDArray[np.float64]:
    """Return the probability that a concept, drawn anew in each scene, covers a fifth of each place: [n, places].

    It is the share of 800 draws where the concept is drawn independently of the rest of a scene (`exact`), else that
    of the 60 scenes of the bank that look most alike.

    Args:
        bank: scenes of the category.
        concept: an object of the category, or a part or a material of its objects.
        labels: of the scenes [n, planes, 64, 64], in the planes and the vocabulary of rendered ones.
        boxes: the places.
    """
    inside = _inside(boxes)
    found = np.zeros((len(labels), len(boxes)))
    rows = horizon_rows(labels[:, 0])
    for i, scene in enumerate(labels):
        if exact(bank.category, concept):
            masks = _drawn_anew(bank, concept, scene, rows[i])
        else:
            masks = bank.labels[bank.alike(scene, concept), PLANES.index(concept.category)] == INDEX[concept]
        shares = masks.reshape(len(masks), -1).astype(np.float32) @ inside
        found[i] = (shares >= COVERED - 1e-6).mean(0)
    return found


def _drawn_anew(bank: Bank, concept: Concept, scene: Bytes, row: int) -> Mask:
    """Return where the concept is in each of many draws of its objects in a scene, [draws, 64, 64]."""
    masks = []
    for name in hosts(grammar(bank.category), concept):
        for which, redraw in enumerate(redraws(bank.category)[name]):
            seen = np.isin(scene[0], [INDEX[Concept(other, "object")] for other in redraw.over])
            packed = np.concatenate([_packed(bank.category, name, which, row, p, concept) for p in range(PARTS)])
            masks.append(np.unpackbits(packed, axis=-1).astype(np.bool_) & seen)
    drawn: Mask = np.logical_or.reduce(masks)
    return drawn


def drawing_jobs(category: str, concepts: Collection[Concept]) -> Iterator[Callable[[], object]]:
    """Yield what `place_probabilities` of such concepts would have to draw first, in jobs of 20 to 70 ms of a core."""
    rules = grammar(category)
    for name, found in redraws(category).items():
        own = [concept for concept in concepts if exact(category, concept) and name in hosts(rules, concept)]
        for which, row, part in itertools.product(range(len(found)), HORIZON_ROWS, range(PARTS)):
            for concept in own:
                yield partial(_packed, category, name, which, row, part, concept)


@lru_cache(maxsize=2048)
def _packed(category: str, name: str, which: int, row: int, part: int, concept: Concept) -> Bytes:
    """Return where a concept is in scenes with one thing on the stage, a bit each: 0.05 MB, of 1.6 MB of labels."""
    labels = drawn_alone(category, name, which, row, part)[:, PLANES.index(concept.category)]
    return np.packbits(labels == INDEX[concept], axis=-1)


def _inside(boxes: Boxes) -> npt.NDArray[np.float32]:
    """Return the matrix [pixels, places] that takes masks to the share of each place that they cover."""
    rows, columns = np.arange(SIZE)[:, None, None], np.arange(SIZE)[None, :, None]
    top, left, height, width = boxes.T
    inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    shares: npt.NDArray[np.float32] = (inside / (height * width)).reshape(SIZE * SIZE, -1).astype(np.float32)
    return shares


def open_bank(category: str, directory: Path, scenes: int | None = None, progress: Progress | None = None) -> Bank:
    """Return the bank of a category: read from a directory where it is kept, or rendered and kept there.

    12,000 scenes, the default, take about 25 seconds of a core, once, and 6 MB. A file that was made by another
    renderer, or is damaged, is made again; where nothing can be written, the bank is rendered each time.
    """
    count = scenes or BANK
    path = directory / f"scenes-{category}-{count}-{_renderer(category)}.npz"
    if path not in _BANKS:
        labels = _kept(path, count)
        if labels is None:
            labels = _rendered(category, count, progress or NullProgress())
            # there may be no room, or no right to write there
            with contextlib.suppress(OSError), atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, labels=labels)
        _BANKS[path] = Bank(category, labels)
    return _BANKS[path]


def kept_bank(category: str, directory: Path) -> Bank | None:
    """Return the bank of a category if it is kept in a directory, or open; nothing is rendered."""
    path = directory / f"scenes-{category}-{BANK}-{_renderer(category)}.npz"
    if path not in _BANKS and (labels := _kept(path, BANK)) is not None:
        _BANKS[path] = Bank(category, labels)
    return _BANKS.get(path)


_BANKS: dict[Path, Bank] = {}
"""Those that this process has open."""


def _rendered(category: str, scenes: int, progress: Progress) -> Bytes:
    labels = np.empty((scenes, len(PLANES), SIZE, SIZE), np.uint8)
    progress.begin(f"render {scenes:,} {category} scenes, once, to look places up in", scenes)
    try:
        for start in range(0, scenes, CHUNK):
            ids = range(start, min(start + CHUNK, scenes))
            labels[ids.start : ids.stop] = render(category, ids, SIZE, SEED).labels
            progress.advance(len(ids))
    finally:
        progress.end()
    return labels


def _kept(path: Path, scenes: int) -> Bytes | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            labels: Bytes = kept["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = labels.shape == (scenes, len(PLANES), SIZE, SIZE) and labels.dtype == np.uint8
    return labels if whole and int(labels.max(initial=0)) < len(VOCABULARY) else None


@cache
def _renderer(category: str) -> str:
    """Return what tells apart renderers that draw other scenes."""
    names = "|".join(concept.name for concept in VOCABULARY)
    return hashlib.sha256(render(category, range(16), SIZE, SEED).labels.tobytes() + names.encode()).hexdigest()[:12]
