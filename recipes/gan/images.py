"""Rendered images on disk: a file that grows while the training goes on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Render = Callable[[range], np.ndarray]
"""Images of these ids, uint8 [n, 3, size, size]."""


class RenderedImages:
    """Images 0, 1, … of a category, as raw bytes in one file; what was rendered once is there after a restart."""

    def __init__(self, path: Path, size: int, render: Render) -> None:
        self.path, self.size, self.render = path, size, render
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._map()

    def __len__(self) -> int:
        return len(self._images)

    def grow(self, count: int, chunk: int = 256) -> None:
        """Render until there are `count` images."""
        if len(self) >= count:
            return
        with self.path.open("r+b") as file:
            file.truncate(len(self) * 3 * self.size**2)  # a kill may have left part of an image
            file.seek(0, 2)
            for start in range(len(self), count, chunk):
                file.write(self.render(range(start, min(start + chunk, count))).tobytes())
        self._map()

    def sample(self, count: int, source: torch.Generator) -> Tensor:
        """Return random images, [-1, 1], channels last."""
        return self.rows(torch.randint(len(self), (count,), generator=source).numpy())

    def rows(self, ids: np.ndarray) -> Tensor:
        """Return these images, [-1, 1], channels last."""
        batch = torch.from_numpy(self._images[ids]).float().div_(127.5).sub_(1)
        return batch.contiguous(memory_format=torch.channels_last)

    def _map(self) -> None:
        count = self.path.stat().st_size // (3 * self.size**2)
        shape = (count, 3, self.size, self.size)
        self._images = np.memmap(self.path, np.uint8, "r", shape=shape) if count else np.empty(shape, np.uint8)
