"""A brush of units: strokes become interventions, and interventions images."""

import json
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ganatomy.edit import Intervention, check_units, edits_from_json, edits_json, everywhere
from ganatomy.errors import BadValue, StudyError
from ganatomy.experiments.causal.best_setting import BestSetting, known_setting
from ganatomy.experiments.causal.choice import UnitQuery, ace_home, default_layers, select_units
from ganatomy.experiments.causal.insertion import Part, measured_parts
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.pool import Pool, PoolSpec, layer_pool, pool_shard
from ganatomy.experiments.causal.source import Source
from ganatomy.generators import LayerShape
from ganatomy.generators.protocol import applied
from ganatomy.remote import display_path
from ganatomy.report.palette import concept_colours
from ganatomy.resample import pooled
from ganatomy.stats.regions import concept_counts
from ganatomy.study import Study
from ganatomy.types import Images, PerUnit, Where
from ganatomy.vocabulary import addresses
from ganatomy.web.raster import rasterised
from ganatomy.web.reader import Picture, Reader, pixels
from ganatomy.web.schemas import Brush, Change, Changes, Ranking, Stroke

POOLED = 256
"""Images on which class constants are measured, where no study has pooled more."""
STRONG = 0.01
"""A unit that is drawn with, for no concept, is set to what it exceeds on this share of all pixels."""


class Painter(Reader):
    """A finished dissection with its models open, to draw with."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._pools: dict[str, Pool] = {}
        self._settings: dict[tuple[str, str], BestSetting] = {}
        self._parts: dict[tuple[str, str], list[Part]] = {}
        self._ranked = lru_cache(maxsize=4096)(self._rank)
        self._mask = lru_cache(maxsize=256)(self._masked)

    def paint(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Picture:
        """Return an image with strokes on it.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        return self.edited(id, seed, self.edits(strokes))

    def edited(self, id: int, seed: int, edits: Sequence[Intervention]) -> Picture:
        """Return an image with interventions done."""
        return pixels(self._painted(id, seed, edits))

    def read_edits(self, content: Any) -> list[Intervention]:
        """Return the interventions of a file of edits, given as the JSON object that it holds.

        Raises:
            BadFile: they are none, or not for this generator.
            BadValue: they are for several images at once.
        """
        generator = self.source.models.generator
        found = edits_from_json(json.dumps(content), generator.layers, generator.fingerprint)
        if any(len(stroke.where) > 1 for edit in found for stroke in edit.strokes()):
            raise BadValue("the edits have a map for each of several images; here all get the same")
        return found

    def edits(self, strokes: Sequence[Stroke]) -> list[Intervention]:
        """Return the interventions that strokes mean, one for each layer; the layer that was painted first comes first.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        by_layer: dict[str, Intervention] = {}
        for stroke in strokes:
            for edit in self._edits(stroke):
                known = by_layer.get(edit.layer)
                by_layer[edit.layer] = edit if known is None else known.then(edit)
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
        names = addresses(self.source.dissection.vocabulary)
        shares = zip((before / before[0]).tolist(), (after / after[0]).tolist(), strict=True)
        found = [
            Change(concept=names[concept], category=concept.category, before=b, after=a)
            for concept, (b, a) in zip(self.source.dissection.vocabulary, shares, strict=True)
            if concept.category != "nothing" and max(a, b) > 0
        ]
        found.sort(key=lambda row: -abs(row.after - row.before))
        difference = (as_bytes(images).float() - as_bytes(seen.images).float()).abs().mean()
        return Changes(changes=found, pixels=float(difference))

    def brushes(self, layer: str) -> list[Brush]:
        """Return what can be painted at a layer: every scored concept for which a unit has any IoU.

        First those with a measured setting, then those that units of the layer are matched to, by the greatest IoU.
        """
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
            best, drawn = float(self.source.ious(layer, name).max()), "best" if self._setting(layer, name) else by
            found.append(
                Brush(
                    concept=name,
                    category=concept.category,
                    colour=colours[concept],
                    by=drawn,
                    units=list(units),
                    iou=best,
                )
            )
        pairs = dissection.pairs[(dissection.pairs.layer == layer) & dissection.pairs.matched]
        matched = set(zip(pairs.concept, pairs.category, strict=True))

        first = {names[concept] for concept in matched}

        def place(brush: Brush) -> tuple[bool, bool, float]:
            return brush.by != "best", brush.concept not in first, -brush.iou

        return sorted(found, key=place)

    def best_layer(self) -> str:
        """Return where painting starts: a layer with measured settings, else with ACE studies, else the best matched.

        That is the one whose brushes overlap their concepts most.

        Of grids that are neither too coarse to aim nor too fine to make an object (4 places to a quarter of the
        image's side), where there are any.
        """
        layers, names = self.source.dissection.layers, addresses(self.source.dissection.vocabulary)
        scored = [names[self.source.named(c)] for c in self.source.scored()]
        measured = [layer for layer in self._default_layers if any(self._setting(layer, name) for name in scored)]
        by_ace = [layer for layer in layers if any(self._has_ace(layer, name) for name in scored)]
        if measured or by_ace:
            return measured[-1] if measured else by_ace[0]
        apt = [name for name, shape in layers.items() if 4 <= shape.height <= self.size[0] // 4]
        units = self.source.dissection.units
        matched = units[units.matched & units.layer.isin(apt or list(layers))]
        if matched.empty:
            return (apt or list(layers))[0]
        best = matched.groupby(["layer", "label"]).iou.max().groupby("layer").sum()
        return str(best.idxmax())

    def ranking(self, layer: str, concept: str, by: Literal["ace", "iou"] | None, top: int) -> Ranking:
        """Return the best units of a layer for a concept, the best first, with the IoU of each.

        Raises:
            GanatomyError: no such layer or concept, or nothing to rank by.
        """
        units, used = self._ranked(layer, concept, by, top)
        ious = self.source.ious(layer, concept)
        found = [float(ious[unit]) for unit in units]
        return Ranking(layer=layer, concept=concept, by=used, units=list(units), ious=found)

    def warming(self) -> list[Callable[[], object]]:
        """Return what the first stroke would have to wait for, in jobs between which others may go first."""

        def draw() -> None:
            layer = self.best_layer()
            seen = self._look(0, 0, layer)
            self.source.models.generator.render(seen.features[layer], layer, seen.z)
            self._labels(seen)

        return [
            lambda: self.size,
            lambda: self.brushes(self.best_layer()),
            draw,
            lambda: self._pool(self.best_layer()),
        ]

    def _edits(self, stroke: Stroke) -> list[Intervention]:
        """Return what a stroke means: the measured setting of its concept where it asks for that, else one edit."""
        if stroke.action == "draw" and stroke.units is None and stroke.concept is not None:
            known = None
            if stroke.by == "best" or (stroke.by is None and "top" not in stroke.model_fields_set):
                known = self._setting(stroke.layer, stroke.concept)
            if known is not None:
                return self._set_as_measured(stroke, known)
            if stroke.by == "best":
                raise BadValue(
                    f"no setting that inserts {stroke.concept} at {stroke.layer} is measured; measure it: "
                    f"ganatomy setting {display_path(self.source.directory)} --concept {shlex.quote(stroke.concept)}"
                )
        return [self._edit(stroke)]

    def _set_as_measured(self, stroke: Stroke, setting: BestSetting) -> list[Intervention]:
        assert stroke.concept is not None
        key = (stroke.concept, setting.study.digest)
        if key not in self._parts:
            self._parts[key] = measured_parts(self.source, setting.best, stroke.concept)
        return [
            Intervention.insert(
                part.layer,
                part.shape,
                part.units,
                part.value * stroke.multiple,
                self._where(stroke, part.shape),
                stroke.strength,
            )
            for part in self._parts[key]
        ]

    def _setting(self, layer: str, concept: str) -> BestSetting | None:
        """Return the measured setting of a concept at a layer: alone, or with the others that are set by default."""
        known = self._settings.get((layer, concept))
        for layers in ([layer], self._default_layers):
            if known is None and layer in layers:
                known = known_setting(self.source, layers, concept)
        if known is not None:
            self._settings[layer, concept] = known
        return known

    @cached_property
    def _default_layers(self) -> list[str]:
        return default_layers(self.source)

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
        return self._mask(tuple(stroke.points), stroke.radius, grid, stroke.pooling)

    def _masked(self, points: tuple[tuple[float, float], ...], radius: float, grid: tuple[int, int], how: str) -> Where:
        """Bring a path to a layer's grid; all strokes but the newest have been seen before."""
        return pooled(torch.from_numpy(rasterised(points, radius, self.size))[None], grid, how)

    def _units(self, stroke: Stroke) -> Sequence[int]:
        if stroke.units is not None:
            check_units(stroke.layer, self.source.shape(stroke.layer).units, stroke.units)
            return stroke.units
        if stroke.concept is None:
            raise BadValue("a stroke needs a concept, or units")
        return self._ranked(stroke.layer, stroke.concept, None if stroke.by == "best" else stroke.by, stroke.top)[0]

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
        return select_units(self.source, layer, UnitQuery(concept=concept, by=used, top=top)).units, used

    def _has_ace(self, layer: str, concept: str) -> bool:
        homes = (ace_home(self.source, layer, concept, schedule) for schedule in ("fast", "published", "quick"))
        return any(_finished(home) for home in homes)

    def _pool(self, layer: str) -> Pool:
        """Return the layer's pool: that of other studies if there is one, else a small one."""
        if layer not in self._pools:
            whole = self.source.sibling_path(layer, "pool")
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
        first = min((edit.layer for edit in edits), key=list(generator.layers).index)
        later = [edit for edit in edits if edit.layer != first]
        seen = self._look(id, seed, first)
        r = applied([edit for edit in edits if edit.layer == first], seen.features[first])
        with torch.no_grad():
            return generator.render(r, first, seen.z, later)


def _finished(directory: Path) -> bool:
    try:
        Study.open(directory)
    except StudyError:
        return False
    return True
