"""The models behind the pages: look at images, and read what their units do.

A `Reader`, and the `Painter` that it becomes with a brush, is used by one thread at a time: that of the `Worker`. What
was seen of an image is kept for a while, so whatever is asked next of it costs only what is new.
"""

from base64 import b64decode
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.edit import check_units
from ganatomy.errors import BadValue, UnknownName
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.source import Source
from ganatomy.report.html import report_facts
from ganatomy.report.tables import rows
from ganatomy.types import Images, Labels, Latents, PerUnit
from ganatomy.vocabulary import Concept
from ganatomy.web.raster import rasterised
from ganatomy.web.schemas import ActiveUnit, FeaturesAsked, FeaturesFound, UnitRow

KEPT_BYTES = 1 << 28
ANY_SIZE = 1 << 50
"""Bytes of a report that is served piece by piece."""
NUMBERS = 1 << 18
"""Most numbers of an answer."""
Grid = Float[Tensor, "h w"]
Picture = npt.NDArray[np.uint8]
"""[H, W, 3]."""


@dataclass
class Seen:
    """What is known of an image: its latent, itself, its labels once asked for, and features of layers."""

    z: Latents
    images: Images
    labels: Labels | None = None
    features: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes held."""
        held = [self.z, self.images, *self.features.values(), *([] if self.labels is None else [self.labels])]
        return sum(t.numel() * t.element_size() for t in held)


class Reader:
    """A finished dissection with its models open, to look with."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._seen: OrderedDict[tuple[int, int], Seen] = OrderedDict()

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self._look(0, 0, None).images.shape[-2:]
        return height, width

    @cached_property
    def report(self) -> dict[str, Any]:
        """What the report of the dissection shows, with all its images; browsing is the report over live models."""
        return report_facts(self.source.dissection, ANY_SIZE)

    def piece(self, name: str) -> bytes:
        """Return a piece of the report, which its page asks for when it shows it.

        Raises:
            UnknownName: no such piece.
        """
        pieces = self.report["pieces"]
        if name not in pieces:
            raise UnknownName("piece", name, list(pieces))
        return b64decode(pieces[name])

    def check(self, layer: str, units: Sequence[int]) -> None:
        """Refuse units that are not there.

        Raises:
            UnknownName: no such layer or unit.
        """
        check_units(layer, self.source.shape(layer).units, units)

    def card(self, layer: str, unit: int) -> Picture:
        """Return a unit's top images side by side, with outlines where it is on.

        Raises:
            UnknownName: no such layer or unit.
        """
        return self.source.dissection.show(layer, unit).picture

    def picture(self, id: int, seed: int) -> Picture:
        """Return an image as it is."""
        return pixels(self._look(id, seed, None).images)

    def listed(self, layer: str, concept: str | None, sort: Literal["iou", "unit"]) -> list[UnitRow]:
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
        return [
            UnitRow(
                layer=layer,
                unit=int(row.unit),
                label=_text(row.label),
                category=_text(row.category),
                iou=_number(row.iou),
                control=_number(row.control),
                matched=bool(row.matched),
            )
            for row in rows(table)
        ]

    def active(
        self, id: int, seed: int, layer: str, where: tuple[Sequence[tuple[float, float]], float], top: int
    ) -> tuple[list[ActiveUnit], list[str]]:
        """Return the units that explain a part of an image, and what the segmenter sees there.

        First those that are matched to a concept that is there and are on there, by the IoU of that pair; then the
        others, the most unusually active first.

        Args:
            id, seed: of the image.
            layer: whose units.
            where: a path of the brush, and its radius.
            top: how many units.
        """
        seen = self._look(id, seed, layer)
        weight = self._weight(*where, self._grid(layer)).to(seen.z.device)
        means = (seen.features[layer][0] * weight).sum((1, 2)) / weight.sum()
        mask = torch.from_numpy(rasterised(*where, self.size)).bool().to(seen.z.device)
        labels = self._labels(seen)[0][:, mask].mode(1).values.tolist()
        concepts = [self.source.named(c) for c in labels if c]
        matched = self._matched(layer, concepts, means, top)
        others = [row for row in self._described(layer, means, top) if row.unit not in {own.unit for own in matched}]
        return (matched + others)[:top], [concept.name for concept in concepts]

    def features(self, asked: FeaturesAsked) -> FeaturesFound:
        """Return what some units do in a part of an image, and their whole maps where they are wanted.

        Raises:
            GanatomyError: what is asked for is not there, or too much.
        """
        check_units(asked.layer, self.source.shape(asked.layer).units, asked.units)
        grid = self._grid(asked.layer)
        if asked.maps and len(asked.units) * grid[0] * grid[1] > NUMBERS:
            raise BadValue(
                f"{len(asked.units)} maps of {grid[0]} × {grid[1]} are over {NUMBERS} numbers; ask for fewer"
            )
        r = self._look(asked.id, asked.seed, asked.layer).features[asked.layer][0, asked.units]
        weight = self._weight(asked.points, asked.radius, grid).to(r)
        means = (r * weight).sum((1, 2)) / weight.sum()
        inside = r.where(weight > 0, -torch.inf)
        return FeaturesFound(
            layer=asked.layer,
            height=grid[0],
            width=grid[1],
            means=means.tolist(),
            greatest=inside.amax((1, 2)).tolist(),
            maps=r.tolist() if asked.maps else None,
        )

    def common(self, ids: Sequence[int], seed: int, layer: str, top: int) -> list[ActiveUnit]:
        """Return the units that light up somewhere in every one of these images, judged by where they do least."""
        greatest = [self._look(id, seed, layer).features[layer][0].amax((1, 2)) for id in ids]
        return self._described(layer, torch.stack(greatest).amin(0), top)

    def unit_map(self, id: int, seed: int, layer: str, unit: int) -> npt.NDArray[np.uint8]:
        """Return where a unit is active in an image: [H, W], 255 for the greatest activation of the whole sample."""
        check_units(layer, self.source.shape(layer).units, [unit])
        r = self._look(id, seed, layer).features[layer][:, unit : unit + 1]
        units = self.source.dissection.units
        greatest = float(units[(units.layer == layer) & (units.unit == unit)].greatest.iloc[0])
        upsampled = F.interpolate(r, self.size, mode="bilinear")[0, 0]
        heat: npt.NDArray[np.uint8] = (upsampled / max(greatest, 1e-9)).clamp(0, 1).mul(255).byte().cpu().numpy()
        return heat

    def _look(self, id: int, seed: int, layer: str | None) -> Seen:
        """Return what is known of an image, with the features of a layer if one is named."""
        seen = self._seen.pop((id, seed), None)
        generator = self.source.models.generator
        if layer is not None:
            self.source.shape(layer)
        if seen is None or (layer is not None and layer not in seen.features):
            z = generator.latents(range(id, id + 1), seed) if seen is None else seen.z
            drawn = generator.observe(z, [] if layer is None else [layer])
            seen = seen or Seen(z, drawn.images)
            seen.features.update(drawn.features)
        self._seen[id, seed] = seen
        while len(self._seen) > 1 and sum(kept.size for kept in self._seen.values()) > KEPT_BYTES:
            self._seen.popitem(last=False)
        return seen

    def _labels(self, seen: Seen) -> Labels:
        if seen.labels is None:
            seen.labels = self.source.models.segmenter(seen.images)
        return seen.labels

    def _grid(self, layer: str) -> tuple[int, int]:
        shape = self.source.shape(layer)
        return shape.height, shape.width

    def _weight(self, points: Sequence[tuple[float, float]], radius: float, grid: tuple[int, int]) -> Grid:
        """Return how much of each place of a grid a path covers; without points, all of it."""
        if not points:
            return torch.ones(grid)
        return F.adaptive_avg_pool2d(torch.from_numpy(rasterised(points, radius, self.size))[None], grid)[0]

    def _matched(self, layer: str, concepts: Sequence[Concept], means: PerUnit, top: int) -> list[ActiveUnit]:
        """Return the units that are matched to one of these concepts and are on, by the IoU of that pair."""
        pairs = self.source.dissection.pairs
        pairs = pairs[(pairs.layer == layer) & pairs.matched]
        shown = [pair in concepts for pair in zip(pairs.concept, pairs.category, strict=True)]
        pairs = pairs[shown].sort_values("iou", ascending=False, kind="stable").drop_duplicates("unit")
        on = pairs[means.cpu().numpy()[pairs.unit] > pairs.threshold][:top]
        shares = self._shares(layer, means)
        return [
            ActiveUnit(
                layer=layer,
                unit=int(row.unit),
                activation=float(means[row.unit]),
                quantile=float(shares[row.unit]),
                label=row.concept,
                iou=_number(row.iou),
                matched=True,
            )
            for row in rows(on)
        ]

    def _shares(self, layer: str, activations: PerUnit) -> npt.NDArray[np.float64]:
        """Return the share of the sample's places at which each unit is no more active."""
        fractions, values = self.source.dissection.levels(layer)
        rank = (values <= activations.cpu()[:, None]).sum(1)  # levels ascend
        return np.asarray(np.concatenate([[0.0], 1 - fractions])[rank.numpy()])

    def _described(self, layer: str, activations: PerUnit, top: int) -> list[ActiveUnit]:
        """Return the units whose activation is the most unusual, with their labels."""
        shares = self._shares(layer, activations)
        table = self.source.dissection.units
        table = table[table.layer == layer].sort_values("unit")
        numbers = activations.cpu().tolist()
        order = sorted(range(len(numbers)), key=lambda u: (-shares[u], -numbers[u]))[:top]
        chosen = table.iloc[order]
        return [
            ActiveUnit(
                layer=layer,
                unit=u,
                activation=numbers[u],
                quantile=float(shares[u]),
                label=_text(row.label),
                iou=_number(row.iou),
                matched=bool(row.matched),
            )
            for u, row in zip(order, rows(chosen), strict=True)
        ]


def pixels(images: Images) -> Picture:
    """Return an image as bytes [H, W, 3]."""
    picture: Picture = as_bytes(images)[0].permute(1, 2, 0).numpy()
    return picture


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
