"""Which units a brush sets, and to what: as measured, else all units at k(place), else those that rank highest."""

import contextlib
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np

from ganatomy.core.errors import BadValue, StudyError
from ganatomy.core.layer_steps import at_step, is_window, split_layer
from ganatomy.core.tensor_types import PerUnit
from ganatomy.core.vocabulary import CATEGORIES, Concept, addresses
from ganatomy.experiments.causal.best_setting import known_setting, wider_layers
from ganatomy.experiments.causal.choice import (
    UnitQuery,
    ace_path,
    default_layers,
    layer_options,
    onward,
    ranked_layers,
    select_units,
)
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import Part, measured_parts
from ganatomy.experiments.causal.pool import (
    Pool,
    PoolSpec,
    layer_pool,
    open_pool,
    pool_path,
    pool_shard,
    pooling,
)
from ganatomy.remote import display_path
from ganatomy.study import Study
from ganatomy.web.brush_search import BrushSearch, Measured
from ganatomy.web.constants_sample import ConstantsSample

POOL_IMAGES = 256
"""Images on which class constants are measured, where no study has pooled more."""
STRONG = 0.01
"""A unit that is drawn with, for no concept, is set to what it exceeds on this share of all pixels."""
FIRST = 8
"""Brushes that are measured, and shown first."""
LOOK_AGAIN = 2.0
"""Seconds until the disk is searched again for the setting of a brush that another command may have measured."""
RankedBy = Literal["ace", "iou"]


class BrushValues:
    """What the brushes of a study set; used by one thread at a time.

    Attributes:
        measures: whether this server measures the first brushes, now or once it has warmed up.
        search: measures them, once it runs.
    """

    def __init__(self, source: DissectedModel) -> None:
        self.source = source
        self.measures = False
        self.search: BrushSearch | None = None
        self._pools: dict[str, Pool] = {}
        self._measured: dict[tuple[str, str], Measured] = {}
        self._look_again: dict[tuple[str, str], float] = {}
        self._samples: dict[str, ConstantsSample] = {}
        self.ranked = lru_cache(maxsize=4096)(self._rank)
        self._constants = lru_cache(maxsize=256)(self._constants_of)
        self._all_units = lru_cache(maxsize=256)(self._parts_of_all)

    @cached_property
    def default_layers(self) -> list[str]:
        """The layers that are set where none are named."""
        return default_layers(self.source)

    @cached_property
    def clone_layers(self) -> list[str]:
        """The layers that a clone copies where none are named: the default ones, and a coarser one before them."""
        return next(iter(wider_layers(self.source, self.default_layers)), self.default_layers)

    @cached_property
    def sample(self) -> ConstantsSample:
        """Of the default layers; of a model that makes an image in steps, of their block at all steps."""
        block, step = split_layer(self.default_layers[0])
        return ConstantsSample(self.source, self.default_layers) if step is None else self._block_sample(block)

    def window(self, layer: str, at_steps: str | None) -> list[str]:
        """Return where a stroke at a layer edits: there; or its block at some steps, by default from its own on.

        Raises:
            BadValue: it is no layer of a step, or there are no such steps.
        """
        block, step = split_layer(layer)
        if at_steps is None:
            return onward(self.source, layer) or [layer]
        if step is None:
            raise BadValue(f"at_steps={at_steps}: {layer} is no layer of a step")
        return self.source.window(block, at_steps)

    @cached_property
    def names(self) -> list[str]:
        """The scored concepts as addresses have them, by kind, the kind and then the concept of greatest IoU first."""
        names, best = addresses(self.source.dissection.vocabulary), self._matched
        concepts = [self.source.named(c) for c in self.source.scored()]
        order = [*CATEGORIES, *dict.fromkeys(concept.category for concept in concepts)]
        concepts.sort(key=lambda own: (own not in best, order.index(own.category), -best.get(own, 0)))
        return [names[concept] for concept in concepts]

    @cached_property
    def matched(self) -> set[str]:
        """Those of `names` that a unit of any layer is matched to."""
        names = addresses(self.source.dissection.vocabulary)
        return {names[Concept(*own)] for own in self._matched}

    @cached_property
    def _matched(self) -> dict[tuple[str, str], float]:
        pairs = self.source.dissection.pairs
        best = pairs[pairs.matched].groupby(["concept", "category"]).iou.max()
        return dict(zip(best.index, best.tolist(), strict=True))

    @cached_property
    def first(self) -> list[str]:
        """The brushes that people are shown first: studied by ACE, then matched ones, objects before all others."""
        layers = self.source.dissection.layers
        ace = {name for name in self.names if any(self.has_ace(layer, name) for layer in layers)}
        return sorted(self.names, key=lambda name: name not in ace)[:FIRST]

    def measured(self, layer: str, concept: str) -> Measured | None:
        """Return the measured setting of a concept at a layer: alone, or with the others that are set by default."""
        if self.search is not None and concept in self.search.states and layer in self.default_layers:
            return self.search.states[concept].measured
        brush = layer, concept
        if brush not in self._measured and monotonic() >= self._look_again.get(brush, 0):
            self._look_for(layer, concept)
            self._look_again[brush] = monotonic() + LOOK_AGAIN
        return self._measured.get(brush)

    def required(self, layer: str, concept: str) -> Measured:
        """Return the measured setting of a concept at a layer.

        Raises:
            BadValue: there is none.
        """
        found = self.measured(layer, concept)
        if found is None:
            at = f"{layer_options(self.default_layers)} " if is_window(self.default_layers) else ""
            raise BadValue(
                f"no setting that inserts {concept} at {layer} is measured; measure it: "
                f"ganatomy setting {display_path(self.source.directory)} {at}--concept {shlex.quote(concept)}"
            )
        return found

    def all_units(self, layer: str, concept: str) -> list[Part]:
        """Return all units of the default layers at k(place), and without the concept; nothing for other layers.

        Of a model that makes an image in steps, those of the block at all steps.
        """
        return self._all_units(concept) if self.sets_all(layer) else []

    def sets_all(self, layer: str) -> bool:
        """Return whether all units are set at a layer until its brushes are measured."""
        return layer in self.default_layers or split_layer(layer).block == split_layer(self.default_layers[0]).block

    def constant(self, layer: str, concept: str) -> PerUnit:
        """Return k of a concept at a layer; at a layer of a step from one pass that measures all steps of its block."""
        block, step = split_layer(layer)
        if step is None:
            return self.pool(layer).constant(self.source.concept(concept)).cpu()
        return self._constants(block, concept)[layer]

    def strong(self, layer: str) -> PerUnit:
        """Return what each unit of a layer exceeds on a small share of all pixels."""
        known = layer in self.source.dissection.layers
        fractions, values = self.source.dissection.levels(layer if known else ranked_layers(self.source, [layer])[0])
        return values[:, int(np.abs(fractions - STRONG).argmin())].float()

    def has_ace(self, layer: str, concept: str) -> bool:
        """Return whether ACE was run for a concept at a layer."""
        homes = (ace_path(self.source, [layer], concept, schedule) for schedule in ("fast", "published", "quick"))
        return any(_finished(home) for home in homes)

    def pool(self, layer: str) -> Pool:
        """Return the layer's pool: that of other studies if there is one, else a small one."""
        for job in self.pool_jobs(layer):
            job()
        return self._pools[layer]

    def pool_jobs(self, layer: str) -> list[Callable[[], object]]:
        """Return jobs that measure the layer's pool, a batch each: strokes go between.

        None if it is there, or the layer is of a step, where `constant` needs the sample alone.
        """
        if layer in self._pools or split_layer(layer).step is not None:
            return []
        for images in (PoolSpec.images, POOL_IMAGES):
            if _finished(pool_path(self.source, layer, images)):
                self._pools[layer] = layer_pool(self.source, layer, images)
                return []
        spec = PoolSpec(**self.source.names(), layer=layer, images=POOL_IMAGES)
        pool = pool_shard(self.source, spec, ())
        drawing = [partial(pool_shard, self.source, spec, part, pool) for part in self.source.parts(spec.ids())]
        return [*drawing, partial(self._keep_pool, spec, pool)]

    def _keep_pool(self, spec: PoolSpec, pool: Pool) -> None:
        """Keep a pool that was measured, here and next to the study."""
        self._pools[spec.layer] = pool
        path = pool_path(self.source, spec.layer, spec.images)
        with contextlib.suppress(StudyError):  # nothing can be written there, or another process writes
            open_pool(
                pooling(self.source),
                spec,
                path,
                lambda _, shards: iter([(len(shards), pool)]),  # type: ignore[arg-type]  # of this work alone
            )

    def _look_for(self, layer: str, concept: str) -> None:
        """Find the setting that another command measured for a concept, at a layer alone rather than with others."""
        for layers in ([layer], self.default_layers):
            if (layer, concept) not in self._measured and layer in layers:
                found = known_setting(self.source, layers, concept)
                if found is not None:
                    parts = measured_parts(self.source, found.best, concept)
                    self._measured[layer, concept] = Measured(found, parts)

    def _block_sample(self, block: str) -> ConstantsSample:
        if block not in self._samples:
            dissected = at_step(block, self.source.dissected_steps(block)[0])
            self._samples[block] = ConstantsSample(self.source, self.source.alike(dissected))
        return self._samples[block]

    def _constants_of(self, block: str, concept: str) -> dict[str, PerUnit]:
        return self._block_sample(block).constants(self.source.concept(concept))

    def _parts_of_all(self, concept: str) -> list[Part]:
        try:
            return self.sample.parts(self.source.concept(concept))
        except BadValue:  # no image of the sample shows it
            return []

    def _rank(self, layer: str, concept: str, by: RankedBy | None, top: int) -> tuple[Sequence[int], RankedBy]:
        """Return the best units for a concept, and by which ranking: ACE if it is there, unless one is asked for."""
        used = by or ("ace" if self.has_ace(layer, concept) else "iou")
        top = min(top, self.source.shape(layer).units)
        return select_units(self.source, layer, UnitQuery(concept=concept, by=used, top=top)).units, used


def _finished(directory: Path) -> bool:
    try:
        Study.open(directory)
    except StudyError:
        return False
    return True
