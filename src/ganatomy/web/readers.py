"""The models behind the pages: draw images, and read the activations of their units.

A `Reader`, and the `Painter` that extends it, is used by one thread at a time, the `ModelThread`; but for
`Painter.describe`, which labels images in another. What was computed of an image is cached, so the next question about
it costs only what is new.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images, Labels, Latents, PerUnit
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.interventions import check_units
from ganatomy.report.html import report_facts
from ganatomy.web.photographs import PaintedGenerator
from ganatomy.web.raster import rasterized
from ganatomy.web.schemas import Active, ActiveUnit, FeaturesFound, FeaturesRequest, Region, UnitRow

CACHE_BYTES = 1 << 28
REPORT_BYTES = 1 << 50
"""Size of a report that is served piece by piece: no limit."""
MAX_NUMBERS = 1 << 18
"""Numbers of an answer."""
Points = Sequence[tuple[float, float]]
ImageBytes = npt.NDArray[np.uint8]
"""[H, W, 3]."""
M = TypeVar("M", bound=BaseModel)


@dataclass
class CachedImage:
    """An image, its latent, its labels once asked for, and features of layers."""

    z: Latents
    images: Images
    labels: Labels | None = None
    features: dict[str, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        tensors = [self.z, self.images, *self.features.values(), *([] if self.labels is None else [self.labels])]
        return sum(t.nbytes for t in tensors)


class Seen(NamedTuple):
    """An image before and after strokes, and those that its clones copy from, by id and seed."""

    before: CachedImage
    after: Images
    copied: Mapping[tuple[int, int], CachedImage]


class Reader:
    """A finished dissection with its models open."""

    def __init__(self, source: DissectedModel) -> None:
        self.source = source
        self._cache: OrderedDict[tuple[int, int], CachedImage] = OrderedDict()

    @cached_property
    def generator(self) -> PaintedGenerator:
        """The generator, and the photographs that were opened."""
        return PaintedGenerator(self.source.models.generator)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self._observe(0, 0).images.shape[-2:]
        return height, width

    @cached_property
    def report(self) -> dict[str, Any]:
        """Contents of the report of the dissection, with all its images; browsing is the report over live models."""
        return report_facts(self.source.dissection, REPORT_BYTES)

    def check(self, layer: str, units: Sequence[int]) -> None:
        """Raise UnknownName where there is no such layer or unit."""
        check_units(layer, self.source.shape(layer).units, units)

    def image(self, id: int, seed: int) -> ImageBytes:
        """Return an image without edits."""
        return pixels(self._observe(id, seed).images)

    def units(self, layer: str, concept: str | None, sort: Literal["iou", "unit"]) -> list[UnitRow]:
        """Return the units of a layer, with the IoU of their label or of a concept; missing where it has no score."""
        self.source.shape(layer)
        table = self.source.dissection.units
        if concept is not None:
            self.source.concept(concept)
            ranked = self.source.dissection.ranked(concept)[["layer", "unit", "iou", "control", "matched"]]
            table = table.drop(columns=["iou", "control", "matched"]).merge(ranked, on=["layer", "unit"])
        table = table[table.layer == layer].sort_values("unit")
        if sort == "iou":
            table = table.sort_values("iou", ascending=False, kind="stable", na_position="last")
        return as_models(UnitRow, table)

    def active(self, request: Region) -> Active:
        """Return the units that explain a part of an image, and what the segmenter finds there.

        First those that are matched to a concept that is there and are on there, by the IoU of that pair; then the
        others, the most unusually active first.
        """
        cached = self._observe(request.id, request.seed, request.layer)
        weight = self._weight(request.points, request.radius, request.layer).to(cached.z.device)
        means = (cached.features[request.layer][0] * weight).sum((1, 2)) / weight.sum()
        mask = torch.from_numpy(rasterized(request.points, request.radius, self.size)).bool().to(cached.z.device)
        labels = self._labels(cached)[0][:, mask].mode(1).values.tolist()
        concepts = [self.source.named(c) for c in labels if c]
        units = self._by_quantile(request.layer, means)
        pairs = self.source.dissection.pairs
        pairs = pairs[(pairs.layer == request.layer) & pairs.matched]
        present = [pair in concepts for pair in zip(pairs.concept, pairs.category, strict=True)]
        pairs = pairs[present].sort_values("iou", ascending=False, kind="stable").drop_duplicates("unit")
        on = pairs.merge(units[["unit", "activation", "quantile"]], on="unit")
        on = on[on.activation > on.threshold].rename(columns={"concept": "label"})
        others = units[~units.unit.isin(on.unit)]
        found = as_models(ActiveUnit, on[: request.top]) + as_models(ActiveUnit, others[: request.top])
        return Active(units=found[: request.top], concepts=[concept.name for concept in concepts])

    def features(self, request: FeaturesRequest) -> FeaturesFound:
        """Return activations of units in a part of an image, and their whole maps where they are asked for.

        Raises:
            GanatomyError: what is asked for is not there, or too much.
        """
        self.check(request.layer, request.units)
        grid = self._grid(request.layer)
        if request.maps and len(request.units) * grid[0] * grid[1] > MAX_NUMBERS:
            raise BadValue(
                f"{len(request.units)} maps of {grid[0]} × {grid[1]} are over {MAX_NUMBERS} numbers; ask for fewer"
            )
        r = self._observe(request.id, request.seed, request.layer).features[request.layer][0, request.units]
        weight = self._weight(request.points, request.radius, request.layer).to(r)
        return FeaturesFound(
            layer=request.layer,
            height=grid[0],
            width=grid[1],
            means=((r * weight).sum((1, 2)) / weight.sum()).tolist(),
            greatest=r.where(weight > 0, -torch.inf).amax((1, 2)).tolist(),
            maps=r.tolist() if request.maps else None,
        )

    def common(self, ids: Sequence[int], seed: int, layer: str, top: int) -> list[ActiveUnit]:
        """Return the units that are active somewhere in every one of these images, by the image of least activation."""
        greatest = [self._observe(id, seed, layer).features[layer][0].amax((1, 2)) for id in ids]
        return as_models(ActiveUnit, self._by_quantile(layer, torch.stack(greatest).amin(0))[:top])

    def unit_map(self, id: int, seed: int, layer: str, unit: int) -> npt.NDArray[np.uint8]:
        """Return where a unit is active in an image: [H, W], 255 for the greatest activation of the whole sample."""
        self.check(layer, [unit])
        r = self._observe(id, seed, layer).features[layer][:, unit : unit + 1]
        units = self.source.dissection.units
        greatest = float(units[(units.layer == layer) & (units.unit == unit)].greatest.iloc[0])
        upsampled = F.interpolate(r, self.size, mode="bilinear")[0, 0]
        heat: npt.NDArray[np.uint8] = (upsampled / max(greatest, 1e-9)).clamp(0, 1).mul(255).byte().cpu().numpy()
        return heat

    def _observe(self, id: int, seed: int, layer: str | None = None) -> CachedImage:
        """Return an image, with the features of a layer if one is named."""
        layers = [] if layer is None else [layer]
        for name in layers:
            self.source.shape(name)
        cached = self._cache.pop((id, seed), None)
        if cached is None or not cached.features.keys() >= set(layers):
            generator = self.generator
            z = generator.latents(range(id, id + 1), seed) if cached is None else cached.z
            observed = generator.observe(z, layers)
            cached = cached or CachedImage(z, observed.images)
            cached.features.update(observed.features)
        self._cache[id, seed] = cached
        while len(self._cache) > 1 and sum(own.nbytes for own in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return cached

    def _labels(self, cached: CachedImage) -> Labels:
        if cached.labels is None:
            cached.labels = self.source.models.segmenter(cached.images)
        return cached.labels

    def _grid(self, layer: str) -> tuple[int, int]:
        shape = self.source.shape(layer)
        return shape.height, shape.width

    def _weight(self, points: Points, radius: float, layer: str) -> Float[Tensor, "h w"]:
        """Return how much of each place of a layer's grid a path covers; without points, all of it."""
        grid = self._grid(layer)
        if not points:
            return torch.ones(grid)
        return F.adaptive_avg_pool2d(torch.from_numpy(rasterized(points, radius, self.size))[None], grid)[0]

    def _by_quantile(self, layer: str, activations: PerUnit) -> pd.DataFrame:
        """Return the units of a layer with activations and their quantiles in the sample, the most unusual first."""
        fractions, values = self.source.dissection.levels(layer)
        rank = (values <= activations.cpu()[:, None]).sum(1).numpy()  # levels ascend
        quantile = np.concatenate([[0.0], 1 - fractions])[rank]
        table = self.source.dissection.units
        table = table[table.layer == layer].sort_values("unit")
        table = table.assign(activation=activations.cpu().double().numpy(), quantile=quantile)
        return table.sort_values(["quantile", "activation"], ascending=False, kind="stable")


def pixels(images: Images) -> ImageBytes:
    """Return the first image of a batch as bytes [H, W, 3]."""
    image: ImageBytes = as_bytes(images)[0].permute(1, 2, 0).numpy()
    return image


def as_models(kind: type[M], table: pd.DataFrame) -> list[M]:
    """Return the rows of a table as objects; what is missing, or an empty text, is None."""
    fields = list(kind.model_fields)
    rows = table[fields].to_dict("records")
    return [
        kind(**{str(name): None if pd.isna(value) or value == "" else value for name, value in row.items()})
        for row in rows
    ]
