"""Rendered scenes with what can be said of them in words, on disk: files that grow while the training goes on."""

import os
from pathlib import Path

import numpy as np
import torch
from gan.images import RenderedImages
from torch import Tensor

from ganatomy.models.generators.words import ABSENT, OBJECTS, PRESENT, UNSAID, WORDS
from ganatomy.scenes import VOCABULARY, grammar, render
from ganatomy.scenes.palette import Lighting
from ganatomy.scenes.seeded_random import SeededRandom

CATEGORY, SIZE = "varied-church", 64
PIECE = 2560
"""Scenes between two savings of their words."""
TRIED = 64
"""Scenes looked at for one of which a word is true."""
SEEN, TRACE = 24, 4
"""Pixels of 64 x 64 from which an object counts as present, and up to which as absent; between, nothing is said."""


def word_states(ids: range, labels: np.ndarray, seed: int) -> np.ndarray:
    """What is known of every word in rendered scenes, uint8 [n, words]."""
    lighting = Lighting.of(SeededRandom(seed, ids), grammar(CATEGORY))
    season, time = (np.arange(3) == each[:, 0] for each in (lighting.season, lighting.time))
    index = {concept.name: i for i, concept in enumerate(VOCABULARY) if concept.category == "object"}
    pixels = np.stack([(labels[:, 0] == index[name]).sum((1, 2)) for name in OBJECTS], 1)
    objects = np.select([pixels >= SEEN, pixels <= TRACE], [PRESENT, ABSENT], UNSAID)
    return np.concatenate([season, time, objects], 1).astype(np.uint8)


class WordScenes:
    """Scenes 0, 1, … as images, and the states of their words."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.seed, self.path = seed, directory / "words.u8"
        self._kept: list[np.ndarray] = []
        self.images = RenderedImages(directory / "images.u8", SIZE, self._render)
        self.path.touch()
        os.truncate(self.path, self.path.stat().st_size // len(WORDS) * len(WORDS))  # a kill may have left part of one
        self.states = np.fromfile(self.path, np.uint8).reshape(-1, len(WORDS))

    def grow(self, count: int) -> None:
        """Render until there are `count` scenes; the words of scenes that a kill left without are made again."""
        if len(self.states) < len(self.images):
            self._render(range(len(self.states), len(self.images)))
            self._save()
        for start in range(len(self.images), count, PIECE):
            self.images.grow(min(start + PIECE, count))
            self._save()

    def _save(self) -> None:
        with self.path.open("ab") as file:
            np.concatenate(self._kept).tofile(file)
        self.states = np.concatenate([self.states, *self._kept])
        self._kept = []

    def sample(self, count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images, [-1, 1], channels last, and what is said of their words [count, words].

        Three fifths of the prompts say one word, and up to two others. Of that word it is as often said that its object
        is there as that it is not, whatever is rare. Which scenes go with a prompt depends on nothing but the prompt,
        so none is learned with others than it has. The rest say any share of all words, or none.
        """
        few = 3 * count // 5
        words = torch.randint(len(WORDS), (few, 1), generator=source)
        target = torch.where(torch.rand(few, 1, generator=source) < 0.5, PRESENT, ABSENT)
        tried = torch.randint(len(self.images), (few, TRIED), generator=source)
        fits = torch.from_numpy(self.states[tried.numpy(), words.numpy()]) == target
        ids = torch.cat(
            [
                tried[torch.arange(few), fits.int().argmax(1)],
                torch.randint(len(self.images), (count - few,), generator=source),
            ]
        )
        order = torch.rand(count, len(WORDS), generator=source)
        order[:few].scatter_(1, words, -1)
        most = torch.randint(1, 4, (few, 1), generator=source)
        share = (1 - torch.rand(count - few, 1, generator=source) ** 1.5) * len(WORDS)
        share[torch.rand(count - few, 1, generator=source) < 0.2] = 0
        mentioned = order.argsort(1).argsort(1) < torch.cat([most, share])
        states = torch.from_numpy(self.states[ids.numpy()]).long().masked_fill(~mentioned, UNSAID)
        return self.images.rows(ids.numpy()), states

    def _render(self, ids: range) -> np.ndarray:
        images = []
        for start in range(ids.start, ids.stop, 256):
            part = range(start, min(start + 256, ids.stop))
            scenes = render(CATEGORY, part, SIZE, self.seed)
            images.append(scenes.images)
            self._kept.append(word_states(part, scenes.labels, self.seed))
        return np.concatenate(images)
