"""A good image to start with, and what each brush does at a place that is good for it."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.core.errors import UnknownName
from ganatomy.core.tensor_types import Images, Labels, Latents
from ganatomy.stats.regions import concept_counts
from ganatomy.web.brush_schemas import Start
from ganatomy.web.readers import ImageBytes
from ganatomy.web.schemas import Stroke

if TYPE_CHECKING:
    from ganatomy.web.paint_sessions import Painter

CANDIDATES, BATCH = 64, 16
"""Images among which a good one is looked for, and how many are drawn at once."""
TRIED = 8
"""Images in which a brush is tried for its example."""
SHOWS = 0.005
"""An image shows a concept on at least this share of its pixels."""
SIDE = 96
"""Greatest height of an image of an example."""


class _Seen(NamedTuple):
    z: Latents
    images: Images
    labels: Labels


class Examples:
    """Images of a study that show what painting does."""

    def __init__(self, painter: "Painter") -> None:
        self._painter = painter
        self._seen: list[_Seen] = []
        self._example = lru_cache(maxsize=256)(self._best_dab)

    def jobs(self) -> Iterator[Callable[[], object]]:
        """Yield jobs that draw the candidates, each when the one before is done."""
        while len(self._seen) * BATCH < CANDIDATES:
            yield self._draw

    def start(self) -> Start:
        """Return the image that shows the most matched concepts, among the sharper half, and a brush that works."""
        painter, seen = self._painter, self._candidates()
        values, source = painter.values, painter.source
        matched = [name for name in values.names if name in values.matched]
        counts = concept_counts(seen.labels, source.concepts).double()
        shown = counts[:, [source.concept(name) for name in matched]] / counts[:, :1] >= SHOWS
        sharp = _sharpness(seen.images)
        apt = (sharp >= sharp.median()).to(shown.device)
        best = int((shown.sum(1).double() - 1e6 * ~apt).argmax())
        layer = painter.best_layer()
        brushes = painter.brushes(layer)
        return Start(
            id=best,
            seed=0,
            layer=layer,
            concept=max(brushes, key=lambda brush: self._works(layer, brush.concept)).concept if brushes else None,
            concepts=[name for name, own in zip(matched, shown[best].tolist(), strict=True) if own],
        )

    def example(self, layer: str, concept: str) -> ImageBytes:
        """Return an image before and after one dab of a brush, side by side.

        Raises:
            UnknownName: there is no such brush.
        """
        brushes = {brush.concept: brush for brush in self._painter.brushes(layer)}
        if concept not in brushes:
            raise UnknownName("brush", concept, brushes)
        return self._example(layer, concept, brushes[concept].setting, brushes[concept].radius)

    def _works(self, layer: str, concept: str) -> float:
        """Return how much more often a brush works where it should; 0 if it is not measured."""
        found = self._painter.values.measured(layer, concept)
        if found is None:
            return 0.0
        picked = found.setting.measured.iloc[0]
        return float(np.nan_to_num(picked.likely) - np.nan_to_num(picked.unlikely))

    def _best_dab(self, layer: str, concept: str, _: str, radius: float) -> ImageBytes:
        """Dab at the place where the concept is most usual and is not yet, in several images; keep the clearest."""
        painter, c, seen = self._painter, self._painter.source.concept(concept), self._candidates()
        shown = F.adaptive_avg_pool2d((seen.labels == c).any(1)[:, None].double().cpu(), _GRID)[:, 0]
        frequent = shown.mean(0)
        score = torch.where(shown == 0, frequent, -1.0).flatten(1)
        order = score.max(1).values.argsort(descending=True, stable=True)[:TRIED]
        best, gained = (0, (0.5, 0.5)), -1.0
        for i in order.tolist():
            row, column = divmod(int(score[i].argmax()), _GRID[1])
            at = ((column + 0.5) / _GRID[1], (row + 0.5) / _GRID[0])
            after = painter.edited_labels(i, 0, [_dab(layer, concept, at, radius)])
            gain = float((after == c).any(1).double().mean()) - float((seen.labels[i] == c).any(0).double().mean())
            if gain > gained:
                best, gained = (i, at), gain
        images = [painter.image(best[0], 0), painter.paint(best[0], 0, [_dab(layer, concept, best[1], radius)])]
        return np.concatenate([_small(image) for image in images], 1)

    def candidates(self) -> tuple[Latents, Images]:
        """Return the latents and images of the candidates."""
        seen = self._candidates()
        return seen.z, seen.images

    def _candidates(self) -> _Seen:
        for job in self.jobs():
            job()
        return _Seen(*(torch.cat(own) for own in zip(*self._seen, strict=True)))

    def _draw(self) -> None:
        """Draw the next of the candidates."""
        first = len(self._seen) * BATCH
        if first < CANDIDATES:
            models = self._painter.source.models
            z = models.generator.latents(range(first, first + BATCH), 0)
            images = models.generator.observe(z, ()).images
            self._seen.append(_Seen(z, images, models.segmenter(images)))


_GRID = (16, 16)
"""Places at which a dab is tried."""


def _dab(layer: str, concept: str, at: tuple[float, float], radius: float) -> Stroke:
    return Stroke(action="draw", layer=layer, concept=concept, points=[at], radius=radius)


def _sharpness(images: Images) -> Tensor:
    """Return the mean square of the Laplacian of each image: small for a blurred one."""
    grey = images.mean(1, keepdim=True).cpu()
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(grey, kernel).square().mean((1, 2, 3))


def _small(image: ImageBytes) -> ImageBytes:
    """Return an image no higher than `SIDE`."""
    step = max(1, -(-image.shape[0] // SIDE))
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    small: ImageBytes = F.avg_pool2d(tensor, step).round().byte()[0].permute(1, 2, 0).numpy()
    return small
