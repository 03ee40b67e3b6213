"""The models behind the pages: draw, edit, read. The only file of the web app that touches torch.

A `Painter` is used by one thread at a time: that of the `Worker`. What was seen of a picture is kept for a while, so a
stroke costs only what follows the edited layer.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.edit import Intervention, check_units, edits_json, everywhere
from ganatomy.errors import BadValue, StudyError
from ganatomy.experiments.causal.choice import Wanted, ace_home, choose
from ganatomy.experiments.causal.places import as_bytes, layer_pool
from ganatomy.experiments.causal.pool import Pool, PoolSpec, pool_shard
from ganatomy.experiments.causal.source import Source
from ganatomy.generators import LayerShape
from ganatomy.report.html import report_facts
from ganatomy.report.palette import concept_colours
from ganatomy.report.tables import addresses, rows
from ganatomy.resample import pooled
from ganatomy.stats.regions import concept_counts
from ganatomy.study import Study
from ganatomy.types import Images, Labels, Latents, PerUnit, Where
from ganatomy.web.raster import rasterised
from ganatomy.web.schemas import ActiveUnit, Brush, Change, Changes, Stroke, UnitRow

POOLED = 256
"""Pictures on which class constants are measured, where no study has pooled more."""
STRONG = 0.01
"""A unit that is drawn with, for no concept, is set to what it exceeds on this share of all pixels."""
KEPT_BYTES = 1 << 28
Picture = npt.NDArray[np.uint8]
"""[H, W, 3]."""


@dataclass
class Seen:
    """What is known of a picture: its latent, itself, its labels once asked for, and features of layers."""

    z: Latents
    images: Images
    labels: Labels | None = None
    features: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes held."""
        held = [self.z, self.images, *self.features.values(), *([] if self.labels is None else [self.labels])]
        return sum(t.numel() * t.element_size() for t in held)


class Painter:
    """A finished dissection with its models open, to draw with."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._seen: OrderedDict[tuple[int, int], Seen] = OrderedDict()
        self._pools: dict[str, Pool] = {}
        self._ranked = lru_cache(maxsize=4096)(self._rank)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        height, width = self._look(0, 0, None).images.shape[-2:]
        return height, width

    @cached_property
    def report(self) -> dict[str, Any]:
        """What the report of the dissection shows; browsing is the report over live models."""
        return report_facts(self.source.dissection)

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
        """Return a picture as it is."""
        return _pixels(self._look(id, seed, None).images)

    def paint(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Picture:
        """Return a picture with strokes on it.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        return _pixels(self._painted(id, seed, self.edits(strokes)))

    def edits(self, strokes: Sequence[Stroke]) -> list[Intervention]:
        """Return the interventions that strokes mean, one for each layer; the layer that was painted first comes first.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        by_layer: dict[str, Intervention] = {}
        for stroke in strokes:
            edit = self._edit(stroke)
            known = by_layer.get(stroke.layer)
            by_layer[stroke.layer] = edit if known is None else known.then(edit)
        return list(by_layer.values())

    def edits_text(self, strokes: Sequence[Stroke]) -> str:
        """Return the interventions as a file of edits, which ``ganatomy apply`` reads."""
        return edits_json(self.edits(strokes), self.source.models.generator.fingerprint)

    def changes(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Changes:
        """Return what strokes did to every concept, the greatest change first."""
        seen = self._look(id, seed, None)
        images = self._painted(id, seed, self.edits(strokes))
        before, after = (
            concept_counts(labels, self.source.concepts)[0].double()
            for labels in (self._labels(seen), self.source.models.segmenter(images))
        )
        shares = zip((before / before[0]).tolist(), (after / after[0]).tolist(), strict=True)
        found = [
            Change(concept=concept.name, category=concept.category, before=b, after=a)
            for concept, (b, a) in zip(self.source.dissection.vocabulary, shares, strict=True)
            if concept.category != "nothing" and max(a, b) > 0
        ]
        found.sort(key=lambda row: -abs(row.after - row.before))
        difference = (as_bytes(images).float() - as_bytes(seen.images).float()).abs().mean()
        return Changes(changes=found, pixels=float(difference))

    def brushes(self, layer: str) -> list[Brush]:
        """Return what can be painted at a layer: every scored concept for which a unit has any IoU, the best first."""
        dissection = self.source.dissection
        self.source.shape(layer)
        colours, names = concept_colours(dissection.vocabulary), addresses(dissection.vocabulary)
        found = []
        for concept in map(self.source.named, self.source.scored()):
            name = names[concept]
            try:
                units, by = self._ranked(layer, name, None, 20)
            except BadValue:
                continue  # no unit of the layer has any IoU with it
            best = float(self.source.ious(layer, name).max())
            found.append(
                Brush(
                    concept=name, category=concept.category, colour=colours[concept], by=by, units=list(units), iou=best
                )
            )
        return sorted(found, key=lambda brush: -brush.iou)

    def best_layer(self) -> str:
        """Return where painting starts: a layer with ACE studies, else that whose brushes overlap their concepts most.

        Of grids that are neither too coarse to aim nor too fine to make an object (4 places to a quarter of the
        picture's side), where there are any.
        """
        layers, names = self.source.dissection.layers, addresses(self.source.dissection.vocabulary)
        scored = [names[self.source.named(c)] for c in self.source.scored()]
        by_ace = [layer for layer in layers if any(self._has_ace(layer, name) for name in scored)]
        if by_ace:
            return by_ace[0]
        apt = [name for name, shape in layers.items() if 4 <= shape.height <= self.size[0] // 4]
        units = self.source.dissection.units
        matched = units[units.matched & units.layer.isin(apt or list(layers))]
        if matched.empty:
            return (apt or list(layers))[0]
        best = matched.groupby(["layer", "label"]).iou.max().groupby("layer").sum()
        return str(best.idxmax())

    def listed(self, layer: str, concept: str | None, sort: Literal["iou", "unit"]) -> list[UnitRow]:
        """Return the units of a layer, with the IoU of their label or of a concept; missing where it has no score."""
        self.source.shape(layer)
        table = self.source.dissection.units
        if concept is not None:
            self.source.concept(concept)
            ranked = self.source.dissection.ranked(concept)[["layer", "unit", "iou", "control"]]
            table = table.drop(columns=["iou", "control"]).merge(ranked, on=["layer", "unit"])
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
        """Return the units that are most unusually active in a part of a picture, and what the segmenter sees there.

        Args:
            id, seed: of the picture.
            layer: whose units.
            where: a path of the brush, and its radius.
            top: how many units.
        """
        seen = self._look(id, seed, layer)
        mask = torch.from_numpy(rasterised(*where, self.size))
        weight = F.adaptive_avg_pool2d(mask[None], self._grid(layer))[0].to(seen.z.device)
        means = (seen.features[layer][0] * weight).sum((1, 2)) / weight.sum()
        labels = self._labels(seen)[0][:, mask.bool().to(seen.z.device)].mode(1).values.tolist()
        concepts = [self.source.named(c).name for c in labels if c]
        return self._described(layer, means, top), concepts

    def common(self, ids: Sequence[int], seed: int, layer: str, top: int) -> list[ActiveUnit]:
        """Return the units that light up somewhere in every one of these pictures, judged by where they do least."""
        greatest = [self._look(id, seed, layer).features[layer][0].amax((1, 2)) for id in ids]
        return self._described(layer, torch.stack(greatest).amin(0), top)

    def unit_map(self, id: int, seed: int, layer: str, unit: int) -> npt.NDArray[np.uint8]:
        """Return where a unit is active in a picture: [H, W], 255 for the greatest activation of the whole sample."""
        check_units(layer, self.source.shape(layer).units, [unit])
        r = self._look(id, seed, layer).features[layer][:, unit : unit + 1]
        units = self.source.dissection.units
        greatest = float(units[(units.layer == layer) & (units.unit == unit)].greatest.iloc[0])
        upsampled = F.interpolate(r, self.size, mode="bilinear")[0, 0]
        heat: npt.NDArray[np.uint8] = (upsampled / max(greatest, 1e-9)).clamp(0, 1).mul(255).byte().cpu().numpy()
        return heat

    def warm(self, layer: str) -> None:
        """Do what the first stroke at a layer would have to wait for."""
        self._pool(layer)
        self.brushes(layer)
        seen = self._look(0, 0, layer)
        self.source.models.generator.render(seen.features[layer], layer, seen.z)
        self._labels(seen)

    def _edit(self, stroke: Stroke) -> Intervention:
        shape = self.source.shape(stroke.layer)
        where = self._where(stroke, shape)
        units = self._units(stroke)
        if stroke.action == "remove":
            return Intervention.ablate(stroke.layer, shape, units, where, stroke.strength)
        k = self._value(stroke) * stroke.multiple
        return Intervention.insert(stroke.layer, shape, units, k, where, stroke.strength)

    def _where(self, stroke: Stroke, shape: LayerShape) -> Where:
        grid = (shape.height, shape.width)
        if not stroke.points:
            return everywhere(grid)
        mask = torch.from_numpy(rasterised(stroke.points, stroke.radius, self.size))
        return pooled(mask[None], grid, stroke.pooling)

    def _units(self, stroke: Stroke) -> Sequence[int]:
        if stroke.units is not None:
            check_units(stroke.layer, self.source.shape(stroke.layer).units, stroke.units)
            return stroke.units
        if stroke.concept is None:
            raise BadValue("a stroke needs a concept, or units")
        return self._ranked(stroke.layer, stroke.concept, stroke.by, stroke.top)[0]

    def _value(self, stroke: Stroke) -> PerUnit:
        if stroke.concept is not None:
            return self._pool(stroke.layer).constant(self.source.concept(stroke.concept)).cpu()
        fractions, values = self.source.dissection.levels(stroke.layer)
        return values[:, int(np.abs(fractions - STRONG).argmin())].float()

    def _rank(
        self, layer: str, concept: str, by: Literal["ace", "iou"] | None, top: int
    ) -> tuple[tuple[int, ...], Literal["ace", "iou"]]:
        """Return the best units for a concept, and by which ranking: ACE if it is there, unless one is asked for."""
        used = by or ("ace" if self._has_ace(layer, concept) else "iou")
        top = min(top, self.source.shape(layer).units)
        return choose(self.source, layer, Wanted(concept=concept, by=used, top=top)).units, used

    def _has_ace(self, layer: str, concept: str) -> bool:
        homes = (ace_home(self.source, layer, concept, schedule) for schedule in ("fast", "published", "quick"))
        return any(_finished(home) for home in homes)

    def _pool(self, layer: str) -> Pool:
        """Return the layer's pool: that of other studies if there is one, else a small one."""
        if layer not in self._pools:
            whole = self.source.beside(layer, "pool")
            images = PoolSpec.images if _finished(whole) else POOLED
            try:
                self._pools[layer] = layer_pool(self.source, layer, images)
            except StudyError:  # nothing can be written there, or another process is at it
                spec = PoolSpec(**self.source.names(), layer=layer, images=POOLED)
                self._pools[layer] = pool_shard(self.source, spec, spec.ids())
        return self._pools[layer]

    def _painted(self, id: int, seed: int, edits: Sequence[Intervention]) -> Images:
        if not edits:
            return self._look(id, seed, None).images
        generator = self.source.models.generator
        if len(edits) > 1:
            return generator.edited(self._look(id, seed, None).z, edits)
        (edit,) = edits
        seen = self._look(id, seed, edit.layer)
        with torch.no_grad():
            return generator.render(edit(seen.features[edit.layer]), edit.layer, seen.z)

    def _look(self, id: int, seed: int, layer: str | None) -> Seen:
        """Return what is known of a picture, with the features of a layer if one is named."""
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

    def _described(self, layer: str, activations: PerUnit, top: int) -> list[ActiveUnit]:
        """Return the units whose activation is the most unusual, with their labels."""
        fractions, values = self.source.dissection.levels(layer)
        rank = (values <= activations.cpu()[:, None]).sum(1)  # levels ascend
        shares = np.concatenate([[0.0], 1 - fractions])[rank.numpy()]
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
            )
            for u, row in zip(order, rows(chosen), strict=True)
        ]


def _finished(directory: Path) -> bool:
    try:
        Study.open(directory)
    except StudyError:
        return False
    return True


def _pixels(images: Images) -> Picture:
    picture: Picture = as_bytes(images)[0].permute(1, 2, 0).numpy()
    return picture


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
