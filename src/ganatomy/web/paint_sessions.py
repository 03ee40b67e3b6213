"""A brush of units: strokes become interventions, and interventions images."""

import json
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ganatomy.core.errors import BadValue, StudyError
from ganatomy.core.resample import pooled
from ganatomy.core.tensor_types import Images, PerUnit, Where
from ganatomy.core.vocabulary import addresses
from ganatomy.experiments.causal.best_setting import BestSetting, known_setting
from ganatomy.experiments.causal.choice import UnitQuery, ace_path, default_layers, select_units
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import Part, measured_parts
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.pool import Pool, PoolSpec, layer_pool, pool_shard
from ganatomy.interventions import Intervention, edits_from_json, everywhere
from ganatomy.models.generators import LayerShape
from ganatomy.models.generators.protocol import applied
from ganatomy.remote import display_path
from ganatomy.report.palette import concept_colours
from ganatomy.stats.regions import concept_counts
from ganatomy.study import Study
from ganatomy.web.brush_schemas import Brush, BrushSettings, Start
from ganatomy.web.raster import rasterized
from ganatomy.web.readers import ImageBytes, Reader, pixels
from ganatomy.web.schemas import Change, Changes, Ranking, Stroke

POOL_IMAGES = 256
"""Images on which class constants are measured, where no study has pooled more."""
STRONG = 0.01
"""A unit that is drawn with, for no concept, is set to what it exceeds on this share of all pixels."""
RankedBy = Literal["ace", "iou"]


class Painter(Reader):
    """A finished dissection with its models open, to draw with."""

    def __init__(self, source: DissectedModel) -> None:
        super().__init__(source)
        self._pools: dict[str, Pool] = {}
        self._settings: dict[tuple[str, str], BestSetting] = {}
        self._parts: dict[tuple[str, str], list[Part]] = {}
        self._ranked = lru_cache(maxsize=4096)(self._rank)
        self._mask = lru_cache(maxsize=256)(self._pooled_mask)

    def paint(self, id: int, seed: int, strokes: Sequence[Stroke]) -> ImageBytes:
        """Return an image with strokes on it.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        return self.edited(id, seed, self.edits(strokes))

    def edited(self, id: int, seed: int, edits: Sequence[Intervention]) -> ImageBytes:
        """Return an image with interventions."""
        return pixels(self._edited(id, seed, edits))

    def read_edits(self, content: Any) -> list[Intervention]:
        """Return the interventions of a file of edits, given as the JSON object that it holds.

        Raises:
            BadFile: they are none, or not for this generator.
            BadValue: they are for several images at once.
        """
        generator = self.source.models.generator
        edits = edits_from_json(json.dumps(content), generator.layers, generator.fingerprint)
        if any(len(stroke.where) > 1 for edit in edits for stroke in edit.strokes()):
            raise BadValue("the edits have a map for each of several images; here all get the same")
        return edits

    def edits(self, strokes: Sequence[Stroke]) -> list[Intervention]:
        """Return the interventions of strokes, one for each layer; the layer that was painted first comes first.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        by_layer: dict[str, Intervention] = {}
        for stroke in strokes:
            for edit in self._stroke_edits(stroke):
                earlier = by_layer.get(edit.layer)
                by_layer[edit.layer] = edit if earlier is None else earlier.then(edit)
        return list(by_layer.values())

    def changes(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Changes:
        """Return what strokes did to every concept, the greatest change first."""
        cached = self._observe(id, seed)
        images = self._edited(id, seed, self.edits(strokes))
        vocabulary = self.source.dissection.vocabulary
        before, after = (
            concept_counts(labels, self.source.concepts)[0].double()
            for labels in (self._labels(cached), self.source.models.segmenter(images))
        )
        names = addresses(vocabulary)
        shares = zip((before / before[0]).tolist(), (after / after[0]).tolist(), strict=True)
        found = [
            Change(
                concept=names[concept],
                category=concept.category,
                before=b,
                after=a,
                points=100 * (a - b),
                painted=names[concept] in {stroke.concept for stroke in strokes},
                sentence=f"{names[concept]}: {100 * (a - b):+.1f} points of the image",
            )
            for concept, (b, a) in zip(vocabulary, shares, strict=True)
            if concept.category != "nothing" and max(a, b) > 0
        ]
        found.sort(key=lambda row: -abs(row.after - row.before))
        difference = (as_bytes(images).float() - as_bytes(cached.images).float()).abs().mean()
        return Changes(changes=found, pixels=float(difference))

    def brushes(self, layer: str) -> list[Brush]:
        """Return what can be painted at a layer: every scored concept for which a unit has any IoU.

        First those with a measured setting, then those that units of the layer are matched to, by the greatest IoU.
        """
        self.source.shape(layer)
        dissection = self.source.dissection
        colours, names = concept_colours(dissection.vocabulary), addresses(dissection.vocabulary)
        pairs = dissection.pairs[(dissection.pairs.layer == layer) & dissection.pairs.matched]
        matched = {names[concept] for concept in set(zip(pairs.concept, pairs.category, strict=True))}
        found: list[Brush] = []
        for concept in map(self.source.named, self.source.scored()):
            name = names[concept]
            try:
                units, by = self._ranked(layer, name, None, 20)
            except BadValue:
                continue  # no unit of the layer has any IoU with it
            brush = Brush(
                concept=name,
                category=concept.category,
                colour=colours[concept],
                by="best" if self._setting(layer, name) else by,
                setting="",
                units=list(units),
                iou=float(self.source.ious(layer, name).max()),
                radius=0.08,
                first=len(found) < 8,
            )
            found.append(brush)
        return sorted(found, key=lambda brush: (brush.by != "best", brush.concept not in matched, -brush.iou))

    def best_layer(self) -> str:
        """Return where painting starts: a layer with measured settings, else with ACE studies, else the best matched.

        The best matched is the one whose brushes overlap their concepts most, of grids that are neither too coarse to
        aim nor too fine to make an object (4 places to a quarter of the image's side), where there are any.
        """
        layers, names = self.source.dissection.layers, addresses(self.source.dissection.vocabulary)
        scored = [names[self.source.named(c)] for c in self.source.scored()]
        measured = [layer for layer in self._default_layers if any(self._setting(layer, name) for name in scored)]
        by_ace = [layer for layer in layers if any(self._has_ace(layer, name) for name in scored)]
        if measured or by_ace:
            return measured[-1] if measured else by_ace[0]
        apt = [name for name, shape in layers.items() if 4 <= shape.height <= self.size[0] // 4] or list(layers)
        units = self.source.dissection.units
        matched = units[units.matched & units.layer.isin(apt)]
        if matched.empty:
            return apt[0]
        return str(matched.groupby(["layer", "label"]).iou.max().groupby("layer").sum().idxmax())

    def ranking(self, layer: str, concept: str, by: RankedBy | None, top: int) -> Ranking:
        """Return the best units of a layer for a concept, the best first, with the IoU of each.

        Raises:
            GanatomyError: no such layer or concept, or nothing to rank by.
        """
        units, used = self._ranked(layer, concept, by, top)
        ious = self.source.ious(layer, concept)
        return Ranking(layer=layer, concept=concept, by=used, units=list(units), ious=[float(ious[u]) for u in units])

    def warmup_jobs(self) -> list[Callable[[], object]]:
        """Return what the first stroke would have to wait for, in jobs between which others may run."""

        def draw() -> None:
            layer = self.best_layer()
            cached = self._observe(0, 0, layer)
            self.source.models.generator.render(cached.features[layer], layer, cached.z)
            self._labels(cached)

        return [
            lambda: self.size,
            lambda: self.brushes(self.best_layer()),
            draw,
            lambda: self._pool(self.best_layer()),
        ]

    def settings(self) -> BrushSettings:
        """Return how far the measuring of the brushes is."""
        return BrushSettings(measuring=False, kept=True, note="", brushes=[])

    def start(self) -> Start:
        """Return a good image to start with, and a brush that works."""
        layer = self.best_layer()
        return Start(id=0, seed=0, layer=layer, concept=self.brushes(layer)[0].concept, concepts=[])

    def example(self, layer: str, concept: str) -> ImageBytes:
        """Return an image before and after one dab of a brush, side by side."""
        dab = Stroke(action="draw", layer=layer, concept=concept, points=[(0.5, 0.5)], radius=0.15)
        return np.concatenate([self.image(0, 0), self.paint(0, 0, [dab])], 1)

    def snippet(self, id: int, seed: int) -> str:
        """Return a Python program that draws an image with the interventions of a file."""
        generator = self.source.dissection.spec.generator
        return (
            "from pathlib import Path\n\nimport ganatomy\nfrom ganatomy.interventions import read_edits\n\n"
            f"generator = ganatomy.open_generator({generator!r})\n"
            f'edits = read_edits(Path("edits-{id}.json"), generator.layers, generator.fingerprint)\n'
            f"images = generator.edited(generator.latents(range({id}, {id + 1}), seed={seed}), edits)  # in [-1, 1]\n"
        )

    def _stroke_edits(self, stroke: Stroke) -> list[Intervention]:
        if stroke.action == "clone":
            return self._clones(stroke)
        return self._measured_edits(stroke) or [self._edit(stroke)]

    def _clones(self, stroke: Stroke) -> list[Intervention]:
        """Return the features of the source at the places of the stroke, in each layer."""
        assert stroke.source is not None
        edits = []
        for layer in stroke.layers or self._default_layers:
            source = self._observe(stroke.source.id, stroke.source.seed, layer).features[layer][0]
            grid = (source.shape[1], source.shape[2])
            offset = np.subtract(stroke.points[0], stroke.source.at)[::-1] * grid
            where = self._mask(tuple(stroke.points), stroke.radius, grid, "mean")
            rows, columns = (round(float(each)) for each in offset)
            edits.append(Intervention.clone(layer, source, where, (rows, columns), stroke.strength))
        return edits

    def _measured_edits(self, stroke: Stroke) -> list[Intervention]:
        """Return the measured setting of a stroke's concept; nothing where it has none and does not ask for it."""
        if stroke.action != "draw" or stroke.units is not None or stroke.concept is None or stroke.layer is None:
            return []
        if stroke.by != "best" and (stroke.by is not None or "top" in stroke.model_fields_set):
            return []
        setting = self._setting(stroke.layer, stroke.concept)
        if setting is None and stroke.by == "best":
            raise BadValue(
                f"no setting that inserts {stroke.concept} at {stroke.layer} is measured; measure it: "
                f"ganatomy setting {display_path(self.source.directory)} --concept {shlex.quote(stroke.concept)}"
            )
        if setting is None:
            return []
        key = (stroke.concept, setting.study.digest)
        if key not in self._parts:
            self._parts[key] = measured_parts(self.source, setting.best, stroke.concept)
        return [self._insert(stroke, part.layer, part.shape, part.units, part.value) for part in self._parts[key]]

    def _edit(self, stroke: Stroke) -> Intervention:
        assert stroke.layer is not None
        shape = self.source.shape(stroke.layer)
        if stroke.units is not None:
            units: Sequence[int] = stroke.units
        elif stroke.concept is not None:
            by = stroke.by if stroke.by in ("ace", "iou") else None
            units = self._ranked(stroke.layer, stroke.concept, by, stroke.top)[0]
        else:
            raise BadValue("a stroke needs a concept, or units")
        self.check(stroke.layer, units)
        value = torch.zeros(shape.units) if stroke.action == "remove" else self._value(stroke)
        return self._insert(stroke, stroke.layer, shape, units, value)

    def _insert(
        self, stroke: Stroke, layer: str, shape: LayerShape, units: Sequence[int], value: PerUnit
    ) -> Intervention:
        grid = (shape.height, shape.width)
        points = tuple(stroke.points)
        where = self._mask(points, stroke.radius, grid, stroke.pooling) if points else everywhere(grid)
        return Intervention.insert(layer, shape, units, value * stroke.multiple, where, stroke.strength)

    def _pooled_mask(
        self, points: tuple[tuple[float, float], ...], radius: float, grid: tuple[int, int], how: str
    ) -> Where:
        return pooled(torch.from_numpy(rasterized(points, radius, self.size))[None], grid, how)

    def _value(self, stroke: Stroke) -> PerUnit:
        assert stroke.layer is not None
        if stroke.concept is not None:
            return self._pool(stroke.layer).constant(self.source.concept(stroke.concept)).cpu()
        fractions, values = self.source.dissection.levels(stroke.layer)
        return values[:, int(np.abs(fractions - STRONG).argmin())].float()

    def _setting(self, layer: str, concept: str) -> BestSetting | None:
        """Return the measured setting of a concept at a layer: alone, or with the others that are set by default."""
        for layers in ([layer], self._default_layers):
            if (layer, concept) not in self._settings and layer in layers:
                setting = known_setting(self.source, layers, concept)
                if setting is not None:
                    self._settings[layer, concept] = setting
        return self._settings.get((layer, concept))

    @cached_property
    def _default_layers(self) -> list[str]:
        return default_layers(self.source)

    def _rank(self, layer: str, concept: str, by: RankedBy | None, top: int) -> tuple[tuple[int, ...], RankedBy]:
        """Return the best units for a concept, and by which ranking: ACE if it is there, unless one is asked for."""
        used = by or ("ace" if self._has_ace(layer, concept) else "iou")
        top = min(top, self.source.shape(layer).units)
        return select_units(self.source, layer, UnitQuery(concept=concept, by=used, top=top)).units, used

    def _has_ace(self, layer: str, concept: str) -> bool:
        homes = (ace_path(self.source, layer, concept, schedule) for schedule in ("fast", "published", "quick"))
        return any(_finished(home) for home in homes)

    def _pool(self, layer: str) -> Pool:
        """Return the layer's pool: that of other studies if there is one, else a small one."""
        if layer not in self._pools:
            images = PoolSpec.images if _finished(self.source.sibling_path(layer, "pool")) else POOL_IMAGES
            try:
                self._pools[layer] = layer_pool(self.source, layer, images)
            except StudyError:  # nothing can be written there, or another process writes
                spec = PoolSpec(**self.source.names(), layer=layer, images=POOL_IMAGES)
                self._pools[layer] = pool_shard(self.source, spec, spec.ids())
        return self._pools[layer]

    def _edited(self, id: int, seed: int, edits: Sequence[Intervention]) -> Images:
        if not edits:
            return self._observe(id, seed).images
        generator = self.source.models.generator
        first = min((edit.layer for edit in edits), key=list(generator.layers).index)
        later = [edit for edit in edits if edit.layer != first]
        cached = self._observe(id, seed, first)
        r = applied([edit for edit in edits if edit.layer == first], cached.features[first])
        with torch.no_grad():
            return generator.render(r, first, cached.z, later)


def _finished(directory: Path) -> bool:
    try:
        Study.open(directory)
    except StudyError:
        return False
    return True
