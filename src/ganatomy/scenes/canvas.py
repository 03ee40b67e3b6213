"""A batch of images and their label planes, painted one layer at a time for all scenes at once."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ganatomy.core.vocabulary import Concept
from ganatomy.scenes.arrays import Bytes, Mask, Plane, Value
from ganatomy.scenes.grammar import INDEX, PLANES, VOCABULARY, Grammar, Rule
from ganatomy.scenes.palette import Lighting
from ganatomy.scenes.seeded_random import SeededRandom

MARGIN = 3
"""Pixels that a window adds around its box, for edges that fade beyond it."""


@dataclass(frozen=True)
class Canvas:
    """Images [n, 3, h, w] in [0, 1], labels [n, 3, h, w], and the coordinates of their pixel centres.

    x [1, 1, w] and y [1, h, 1] run from 0 to 1 over the whole image, y down. `rough` and `fine` are textures
    [n, h, w] about 0, the same at every size. A canvas may be a view on a part of another (`rows`, `window`).
    Objects of the kind `without` are not drawn.
    """

    grammar: Grammar
    draws: SeededRandom
    size: int
    x: Plane
    y: Plane
    image: Plane
    labels: Bytes
    rough: Plane
    fine: Plane
    without: str = ""

    @classmethod
    def empty(cls, grammar: Grammar, draws: SeededRandom, size: int, without: str = "") -> "Canvas":
        """A black canvas without labels."""
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        image = np.zeros((len(draws), 3, size, size), np.float32)
        labels = np.zeros((len(draws), len(PLANES), size, size), np.uint8)
        rough, fine = _noise(draws, "rough", 12, centres), _noise(draws, "fine", 32, centres)
        return cls(
            grammar, draws, size, centres[None, None, :], centres[None, :, None], image, labels, rough, fine, without
        )

    @cached_property
    def light(self) -> Lighting:
        """Time of day, season, and the colours that follow."""
        return Lighting.of(self.draws, self.grammar)

    def rows(self, rows: slice) -> "Canvas":
        """A view on some of the scenes."""
        return replace(self._part(rows, slice(None), slice(None)), draws=self.draws.rows(rows))

    def window(self, left: Value, top: Value, right: Value, bottom: Value) -> "Canvas":
        """A view on the smallest rectangle of pixels that holds these boxes of all scenes, with a margin."""
        return self._part(slice(None), _pixels(top, bottom, self.y), _pixels(left, right, self.x))

    def _part(self, rows: slice, down: slice, across: slice) -> "Canvas":
        return replace(
            self,
            x=self.x[:, :, across],
            y=self.y[:, down],
            image=self.image[rows, :, down, across],
            labels=self.labels[rows, :, down, across],
            rough=self.rough[rows, down, across],
            fine=self.fine[rows, down, across],
        )

    def paint(
        self,
        name: str,
        distance: Plane,
        colour: Plane,
        *,
        part: str = "",
        material: str | Bytes | np.uint8 = "",
        present: Mask | bool = True,
    ) -> None:
        """Draw an object, or a part of it, where `distance` is negative and the grammar lets it stand.

        Args:
            name: an object of the grammar.
            distance: signed distance [n, h, w] in units of the image's side.
            colour: [n, 3, 1, 1] or [n, 3, h, w].
            part: one of the object's parts.
            material: one of the object's materials, or their labels (see `made_of`).
            present: which scenes have it [n, 1, 1].
        """
        rule = self.grammar.rule(name)
        assert not part or part in rule.parts, f"{name} has no part {part}"
        if name == self.without:
            return
        alpha = self._cover(distance) * (self._free(rule) & present)
        inside = alpha >= 0.5
        change = colour - self.image
        change *= alpha[:, None]
        self.image[:] += change
        if isinstance(material, str):
            material = self.made_of(name, material) if material else np.uint8(0)
        values = (np.uint8(INDEX[Concept(name, "object")]), np.uint8(INDEX.get(Concept(part, "part"), 0)), material)
        for plane, value in enumerate(values):
            np.copyto(self.labels[:, plane], value, where=inside)

    def shade(self, distance: Plane, strength: Value, *names: str) -> None:
        """Darken the named objects where `distance` is negative; labels stay. A negative strength lightens."""
        alpha = self._cover(distance) * self.seen(*names)
        self.image[:] *= (1 - alpha * strength)[:, None]

    def made_of(self, name: str, material: str, other: str = "", where: Mask | bool = False) -> Bytes:
        """Labels [n, 1, 1] of an object's material, which is another one in some scenes."""
        labels = [np.uint8(INDEX[Concept(m, "material")]) for m in (material, other or material)]
        assert {material, other or material} <= set(self.grammar.rule(name).materials), f"{name} is never made of these"
        return np.where(where, labels[1], labels[0])

    def softened(self, distance: Plane, width: float) -> Plane:
        """The same shape with an edge as wide as this share of the image, whatever its size."""
        return distance / (width * self.size)

    def seen(self, *names: str) -> Mask:
        """Where one of the named objects is seen."""
        table = np.zeros(len(VOCABULARY), np.bool_)
        table[[INDEX[Concept(name, "object")] for name in names]] = True
        return table[self.labels[:, 0]]

    def _cover(self, distance: Plane) -> Plane:
        """How much of each pixel a shape covers."""
        cover: Plane = np.clip(0.5 - distance * self.size, 0, 1)
        return cover

    def _free(self, rule: Rule) -> Mask:
        """Where the grammar lets an object be drawn; the stage may be drawn over nothing."""
        free = self.seen(*rule.on, *rule.hides, rule.name)
        return free if rule.on else free | (self.labels[:, 0] == 0)


def _pixels(low: Value, high: Value, centres: Plane) -> slice:
    """The pixels between two coordinates, and a margin."""
    first, last = np.searchsorted(centres.ravel(), [float(np.min(low)), float(np.max(high))])
    return slice(max(int(first) - MARGIN, 0), min(int(last) + MARGIN, centres.size))


def _noise(draws: SeededRandom, name: str, cells: int, centres: Plane) -> Plane:
    """Smooth random texture: a lattice of values, interpolated linearly."""
    position = centres * (cells - 1)
    weights = np.maximum(1 - np.abs(position[:, None] - np.arange(cells, dtype=np.float32)), 0)
    return np.ascontiguousarray(weights @ draws.lattice(name, cells) @ weights.T)
