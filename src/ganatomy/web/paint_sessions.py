"""A brush of units: strokes become interventions, and interventions images."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ganatomy.core.errors import BadValue
from ganatomy.core.layer_steps import is_window, split_layer
from ganatomy.core.resample import pooled
from ganatomy.core.tensor_types import Constant, Features, Images, Labels, Latents, Where
from ganatomy.experiments.causal.choice import ranked_layers
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.interventions import Intervention, edits_from_json, everywhere
from ganatomy.models.generators import LayerShape
from ganatomy.models.generators.protocol import Edit, applied, forward_order
from ganatomy.report.palette import concept_colours
from ganatomy.web.brush_facts import brush_settings, describe_brush
from ganatomy.web.brush_schemas import Brush, BrushSettings, Start
from ganatomy.web.brush_values import BrushValues, RankedBy
from ganatomy.web.examples import Examples
from ganatomy.web.joint_passes import AT_ONCE, PIXELS, Drawing, JointPasses, RecentTensors, each_alone
from ganatomy.web.model_thread import Together
from ganatomy.web.photographs import Photographs
from ganatomy.web.png import png
from ganatomy.web.raster import rasterized, softened
from ganatomy.web.readers import ImageBytes, Reader, Seen, pixels
from ganatomy.web.schemas import Changes, Painting, Ranking, Stroke
from ganatomy.web.what_changed import Before, list_changes, place_jobs

KEPT, KEPT_CLONES = 1024, 64
"""Strokes whose edits are cached, those of dozens of people; one that clones holds features of its layers."""
IMAGE_BYTES, FEATURE_BYTES = 1 << 24, 1 << 26
"""Of recent images, and of features before their last stroke."""


class Painter(Reader):
    """A finished dissection with its models open, to draw with.

    Attributes:
        together: how strokes of several people are drawn at once; one by one until the size of the images is known.
    """

    def __init__(self, source: DissectedModel) -> None:
        super().__init__(source)
        self.values = BrushValues(source)
        self._examples = Examples(self)
        self.photographs = Photographs(self)
        self.together = Together(self.paint_all, 1)
        self._passes = JointPasses(self.generator)
        self._recent, self._begun = RecentTensors(IMAGE_BYTES), RecentTensors(FEATURE_BYTES)
        self._mask = lru_cache(maxsize=256)(self._pooled_mask)
        self._laid_out = lru_cache(maxsize=64)(self._as_features)
        self._kept = lru_cache(maxsize=KEPT)(self._edits_of)
        self._kept_clones = lru_cache(maxsize=KEPT_CLONES)(self._edits_of)

    def paint(self, id: int, seed: int, strokes: Sequence[Stroke]) -> ImageBytes:
        """Return an image with strokes on it.

        Raises:
            GanatomyError: a stroke names what is not there.
        """
        return self.edited(id, seed, self._edits_in_order(strokes))

    def paint_all(self, paintings: Sequence[Painting]) -> list[bytes | Exception]:
        """Return for each painting what `paint` returns, to the bit, as a PNG file; or the error that it raises."""
        planned = each_alone(lambda own: self._planned(own.id, own.seed, self._edits_in_order(own.strokes)), paintings)
        drawn = self._drawn([each for each in planned if not isinstance(each, Exception)])
        found = iter(drawn)
        answers = [each if isinstance(each, Exception) else next(found) for each in planned]
        return [each if isinstance(each, Exception) else png(pixels(each)) for each in answers]

    def edited(self, id: int, seed: int, edits: Sequence[Intervention]) -> ImageBytes:
        """Return an image with interventions."""
        return pixels(self._edited(id, seed, edits))

    def edited_labels(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Labels:
        """Return the labels of an image with strokes on it, [1, plane, H, W]."""
        return self.source.models.segmenter(self._edited(id, seed, self._edits_in_order(strokes)))

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
        for edit in self._edits_in_order(strokes):
            earlier = by_layer.get(edit.layer)
            by_layer[edit.layer] = edit if earlier is None else earlier.then(edit)
        return list(by_layer.values())

    def changes(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Changes:
        """Return what strokes did: to the concepts that they are of, then to all others, the greatest change first."""
        return self.describe(self.seen(id, seed, strokes), strokes)

    def seen(self, id: int, seed: int, strokes: Sequence[Stroke]) -> Seen:
        """Return an image before and after strokes, and those that are copied from."""
        taken = [(each.source.id, each.source.seed) for each in strokes if each.source is not None]
        copied = {own: self._observe(*own) for own in taken}
        return Seen(self._observe(id, seed), self._edited(id, seed, self._edits_in_order(strokes)), copied)

    def describe(self, seen: Seen, strokes: Sequence[Stroke]) -> Changes:
        """Return the changes that the segmenter sees; another thread may do it than that of the generator."""
        after = self.source.models.segmenter(seen.after)
        before = Before(self._labels(seen.before), lambda each: self._labels(seen.copied[each.id, each.seed]))
        difference = (as_bytes(seen.after).float() - as_bytes(seen.before.images).float()).abs().mean()
        return Changes(changes=list_changes(self.source, before, after, strokes), pixels=float(difference))

    def brushes(self, layer: str) -> list[Brush]:
        """Return what can be painted at a layer: every scored concept for which a unit has any IoU.

        First those with a measured setting, then those that are shown first, then the others as in `BrushValues.names`.
        """
        self.source.shape(layer)
        dissection, first = self.source.dissection, set(self.values.first)
        colours, found = concept_colours(dissection.vocabulary), []
        for name in self.values.names:
            try:
                units, ranked_by = self.values.ranked(layer, name, None, 20)
            except BadValue:
                continue  # no unit of the layer has any IoU with it
            concept = self.source.named(self.source.concept(name))
            by, setting, radius = describe_brush(self.values, layer, name, ranked_by)
            brush = Brush(
                concept=name,
                category=concept.category,
                colour=colours[concept],
                by=by,
                setting=setting,
                units=list(units),
                iou=float(self.source.ious(layer, name).max()),
                radius=radius,
                first=name in first,
            )
            found.append(brush)
        return sorted(found, key=lambda brush: (brush.by != "best", not brush.first))

    def best_layer(self) -> str:
        """Return where painting starts: the last default layer if it has brushes, else the best matched one."""
        return self._best_layer

    @cached_property
    def _best_layer(self) -> str:
        """The best matched layer is the one whose brushes overlap their concepts most.

        Its grid is neither too coarse to aim nor too fine to make an object (4 places to a quarter of the image's
        side), if there are such.
        """
        defaults = self.values.default_layers
        default = defaults[0] if is_window(defaults) else defaults[-1]
        if self.brushes(default):
            return default
        layers = self.source.dissection.layers
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
        units, used = self.values.ranked(layer, concept, by, top)
        ious = self.source.ious(layer, concept)
        return Ranking(layer=layer, concept=concept, by=used, units=list(units), ious=[float(ious[u]) for u in units])

    def warmup_jobs(self) -> Iterator[Callable[[], object]]:
        """Yield what the first stroke would have to wait for, in jobs between which others may run.

        Each is to be done before the next is asked for.
        """

        def draw() -> None:
            layer = self.best_layer()
            cached = self._observe(0, 0, layer)
            self.generator.render(cached.features[layer], layer, cached.z)
            self._labels(cached)

        yield self._measure_size
        yield lambda: self.brushes(self.best_layer())
        yield draw
        yield from self.example_jobs()
        yield from self.values.pool_jobs(self.best_layer())
        yield from place_jobs(self.source, [brush.concept for brush in self.brushes(self.best_layer())])

    def start_jobs(self) -> Iterator[Callable[[], object]]:
        """Yield what `start` takes, as `warmup_jobs` does."""
        yield from self._examples.jobs()

    def example_jobs(self) -> Iterator[Callable[[], object]]:
        """Yield what `example` takes: the images of `start`, and what its brushes are made of."""
        yield from self.start_jobs()
        while self.values.sample.batches:
            yield self.values.sample.draw

    def _measure_size(self) -> None:
        height, width = self.size
        self.together = Together(self.paint_all, max(1, min(AT_ONCE, PIXELS // (height * width))))

    def settings(self) -> BrushSettings:
        """Return how far the measuring of the brushes is, and what was found."""
        return brush_settings(self.values)

    def start(self) -> Start:
        """Return a good image to start with, and a brush that works."""
        return self._examples.start()

    def example(self, layer: str, concept: str) -> ImageBytes:
        """Return an image before and after one dab of a brush, side by side.

        Raises:
            GanatomyError: no such layer, or no such brush.
        """
        return self._examples.example(layer, concept)

    def candidates(self) -> tuple[Latents, Images]:
        """Return latents and images of the model, of which `start` is one."""
        return self._examples.candidates()

    def snippet(self, id: int, seed: int) -> str:
        """Return a Python program that draws an image with the interventions of a file."""
        generator = self.source.dissection.spec.generator
        return (
            "from pathlib import Path\n\nimport ganatomy\nfrom ganatomy.interventions import read_edits\n\n"
            f"generator = ganatomy.open_generator({generator!r})\n"
            f'edits = read_edits(Path("edits-{id}.json"), generator.layers, generator.fingerprint)\n'
            f"images = generator.edited(generator.latents(range({id}, {id + 1}), seed={seed}), edits)  # in [-1, 1]\n"
        )

    def _edits_in_order(self, strokes: Sequence[Stroke]) -> list[Intervention]:
        """Return the interventions of each stroke, one after the other."""
        found: list[Intervention] = []
        for stroke in strokes:
            whole = None
            if stroke.layer is not None and stroke.concept is not None:
                whole = self.values.measured(stroke.layer, stroke.concept)
            # what it sets changes when its brush is measured
            kept = self._kept_clones if stroke.action == "clone" else self._kept
            found += kept(stroke.model_dump_json(exclude_unset=True), whole is not None)
        return found

    def _edits_of(self, stroke: str, _: bool) -> list[Intervention]:
        return self._stroke_edits(Stroke.model_validate_json(stroke))

    def _stroke_edits(self, stroke: Stroke) -> list[Intervention]:
        if stroke.action == "clone":
            return self._clones(stroke)
        if stroke.layer is None:
            raise BadValue("a stroke needs a layer")
        window = self.values.window(stroke.layer, stroke.at_steps)
        if stroke.units is not None or stroke.concept is None:
            return self._own_units(stroke, window)
        ranked = stroke.by in ("ace", "iou") or (stroke.by is None and "top" in stroke.model_fields_set)
        whole = [] if ranked else self._whole_places(stroke, stroke.layer, stroke.concept)
        if split_layer(stroke.layer).step is not None:
            whole = [edit for edit in whole if edit.layer in window]
        return whole or self._ranked_units(stroke, stroke.concept, window)

    def _whole_places(self, stroke: Stroke, layer: str, concept: str) -> list[Intervention]:
        """Return the measured setting of a concept, else all units at k(place); to remove, at what they are without it.

        The whole image is not set to what places are without the concept: it would be the mean of all images.
        """
        if stroke.action == "draw" and stroke.by != "all":
            found = (
                self.values.required(layer, concept) if stroke.by == "best" else self.values.measured(layer, concept)
            )
            if found is not None:
                taken = stroke.model_copy(update={"strength": stroke.strength * found.setting.best.strength})
                return [self._insert(taken, *part[:3], part.value) for part in found.parts]
        if stroke.action == "remove" and not stroke.points:
            return []
        parts = self.values.all_units(layer, concept)
        if stroke.by == "all" and not parts:
            raise BadValue(f"all units are set in {', '.join(self.values.default_layers)}; {layer} is none of them")
        drawn = stroke.action == "draw"
        return [
            self._insert(stroke, *part[:3], part.value if drawn or part.without is None else part.without)
            for part in parts
        ]

    def _own_units(self, stroke: Stroke, window: Sequence[str]) -> list[Intervention]:
        """Return the edits of the units that a stroke names, at each layer of a window."""
        if stroke.units is None:
            raise BadValue("a stroke needs a concept, or units")
        self.check(window[0], stroke.units)
        return self._at_each(stroke, stroke.units, window)

    def _ranked_units(self, stroke: Stroke, concept: str, window: Sequence[str]) -> list[Intervention]:
        """Return the edits of the units that rank highest for a concept at the stroke's layer, at each of a window."""
        by: RankedBy | None = "ace" if stroke.by == "ace" else "iou" if stroke.by == "iou" else None
        units, _ = self.values.ranked(stroke.layer or window[0], concept, by, stroke.top)
        return self._at_each(stroke, units, window)

    def _at_each(self, stroke: Stroke, units: Sequence[int], window: Sequence[str]) -> list[Intervention]:
        shapes = {layer: self.source.shape(layer) for layer in window}
        return [self._insert(stroke, layer, own, units, self._constant(stroke, layer)) for layer, own in shapes.items()]

    def _constant(self, stroke: Stroke, layer: str) -> Constant:
        if stroke.action == "remove":
            return torch.zeros(self.source.shape(layer).units)
        return self.values.strong(layer) if stroke.concept is None else self.values.constant(layer, stroke.concept)

    def _insert(
        self, stroke: Stroke, layer: str, shape: LayerShape, units: Sequence[int], value: Constant
    ) -> Intervention:
        grid = (shape.height, shape.width)
        points = tuple(stroke.points)
        where = self._mask(points, stroke.radius, grid, stroke.pooling) if points else everywhere(grid)
        multiple = stroke.multiple if stroke.action == "draw" else 1.0
        value = self._laid_out(layer, value, multiple) if value.ndim == 3 else multiple * value
        return Intervention.insert(layer, shape, units, value, where, stroke.strength)

    def _as_features(self, layer: str, value: Constant, multiple: float) -> Constant:
        """Return so many times a value, in memory as the layer's features are: or `blend` must copy it every time."""
        (known,) = ranked_layers(self.source, [layer])  # another step of the block is laid out alike
        features = self._observe(0, 0, known).features[known][0]
        return torch.empty_like(features, device=value.device).copy_(value).mul_(multiple)

    def _pooled_mask(
        self, points: tuple[tuple[float, float], ...], radius: float, grid: tuple[int, int], how: str
    ) -> Where:
        return pooled(torch.from_numpy(rasterized(points, radius, self.size))[None], grid, how)

    def _clones(self, stroke: Stroke) -> list[Intervention]:
        """Return the features of the source at the places of a stroke, in each layer."""
        source = stroke.source
        if source is None:
            raise BadValue("a stroke that clones needs a source")
        offset = np.subtract(stroke.points[0], source.at)[::-1]
        mask = torch.from_numpy(softened(stroke.points, stroke.radius, self.size))[None, None]
        edits = []
        layers = self.values.clone_layers
        if stroke.at_steps is not None:
            layers = self.values.window(layers[0], stroke.at_steps)
        for layer in stroke.layers or layers:
            features = self._observe(source.id, source.seed, layer).features[layer][0]
            grid = (features.shape[1], features.shape[2])
            rows, columns = (round(float(each)) for each in offset * grid)
            where = F.adaptive_avg_pool2d(mask, grid)[0].clamp(0, 1)
            edits.append(Intervention.clone(layer, features, where, (rows, columns), stroke.strength))
        return edits

    def _edited(self, id: int, seed: int, edits: Sequence[Edit]) -> Images:
        (drawn,) = self._drawn([self._planned(id, seed, edits)])
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    def _planned(self, id: int, seed: int, edits: Sequence[Edit]) -> Drawing | Images:
        """Return what is to be drawn, or the image if it is there."""
        recent = self._recent.get((id, seed, *edits)) if edits else self._observe(id, seed).images
        if recent is not None:
            return recent
        first = min((edit.layer for edit in edits), key=forward_order(self.source.models.generator.layers))
        if split_layer(first).step is not None:  # drawing begins with its step, of which it is a part
            return Drawing(first, None, self._observe(id, seed).z, edits, (id, seed, *edits))
        later = [edit for edit in edits if edit.layer != first]
        cached = self._observe(id, seed, first)
        r = self._begin(id, seed, cached.features[first], [edit for edit in edits if edit.layer == first])
        return Drawing(first, r, cached.z, later, (id, seed, *edits))

    def _begin(self, id: int, seed: int, r: Features, edits: Sequence[Edit]) -> Features:
        """Return features after edits; what the last stroke does not change, as it grows, is done once."""
        *before, last = edits
        if before:
            key = (id, seed, *before)
            begun = self._begun.get(key)
            r = applied(before, r) if begun is None else begun
            self._begun.put(key, r)
        return last(r)

    def _drawn(self, planned: Sequence[Drawing | Images]) -> list[Images | Exception]:
        """Return images, or the errors in their place: one that cannot be drawn harms no other."""
        drawings = [each for each in planned if isinstance(each, Drawing)]
        try:
            drawn: Sequence[Images | Exception] = self._passes(drawings)
        except Exception:
            drawn = each_alone(lambda own: self._passes([own])[0], drawings)
        for drawing, images in zip(drawings, drawn, strict=True):
            if not isinstance(images, Exception):
                self._recent.put(drawing.key, images)
        found = iter(drawn)
        return [next(found) if isinstance(each, Drawing) else each for each in planned]
