"""What becomes of an insertion in the layers after it: amplified, or suppressed? (S-6.5, Figure 17; SPEC 6.)"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress, report_progress
from ganatomy.core.tensor_types import Features
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Tensors
from ganatomy.experiments.causal.choice import Layers, UnitQuery, Window
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows, at_least
from ganatomy.experiments.causal.insertion import (
    Part,
    PlaceSpec,
    check_places,
    constant_edits,
    draw_edited,
    measured_parts,
)
from ganatomy.experiments.causal.places import Rows, as_bytes, corners, gained_at, masks
from ganatomy.experiments.causal.plans import BY_SETTING, PLACED, place_plan
from ganatomy.experiments.causal.trials import baselines
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.experiments.warnings import insertion_warnings
from ganatomy.models.generators import Generator
from ganatomy.models.generators.protocol import forward_order, listed_layers
from ganatomy.report.causal.trace import trace_chart, trace_section, trace_tables
from ganatomy.stats.base import Accumulator, Merge, add, concat
from ganatomy.stats.clusters import clustered_mean
from ganatomy.study import Study


@dataclass(frozen=True, kw_only=True)
class TraceSpec(PlaceSpec):
    """What is inserted, and where.

    Attributes:
        places: how many places are drawn from each image; 0 for all.
        visible: an edit was visible if the concept gained at least this share of the place's pixels.
        show: the first so many images get a map: every place of theirs is tried.
    """

    images: int = 100
    places: int = 16
    visible: float = 0.2
    show: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, places=0, show=0)
        if not 0 < self.visible <= 1:
            raise BadValue(f"visible={self.visible} is no share of a place's pixels; give more than 0, at most 1")


class Strength(Accumulator):
    """How strong each channel of several layers is, in untouched images.

    Attributes:
        images: int64 [1].
        total: float64 [channels], Σ over images of the mean |r| over positions; the channels of all layers in order.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"images": add, "total": add}

    def __init__(self, channels: int, device: torch.device) -> None:
        self.images = torch.zeros(1, dtype=torch.long, device=device)
        self.total = torch.zeros(channels, dtype=torch.float64, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in the features of every layer, each [b, u, h, w]."""
        self.images += len(batch[0])
        self.total += torch.cat([r.double().abs().mean((2, 3)).sum(0) for r in batch])

    def by_layer(self, units: Sequence[int]) -> list[Tensor]:
        """Return the mean |r| of each layer's channels, given how many each layer has."""
        return list(torch.split(self.total / self.images, list(units)))


@dataclass(frozen=True, eq=False)
class Inserted(Tensors):
    """The images shown, each after the insertion that gained most, uint8 [k, H, W, 3]."""

    images: Tensor


class Traced(JoinedRows):
    """Every insertion, one row each, and the images that are shown.

    Attributes:
        ids: int64 [n], of the image.
        corner: int64 [n, 2], top left row and column of the place.
        drawn: bool [n], whether the place belongs to the sample; the others are there for the maps.
        gain: float32 [n], change of the share of the place's pixels that shows the concept.
        change: float32 [n, layers].
        images: uint8 [k, 3, H, W].
    """

    FIELDS: ClassVar = dict.fromkeys(("ids", "corner", "drawn", "gain", "change", "images"), concat)

    def __init__(self, images: Tensor, layers: int) -> None:
        self.ids = torch.zeros(0, dtype=torch.long)
        self.corner = torch.zeros(0, 2, dtype=torch.long)
        self.drawn = torch.zeros(0, dtype=torch.bool)
        self.gain = torch.zeros(0)
        self.change = torch.zeros(0, layers)
        self.images = images

    def show(self, images: Tensor) -> None:
        """Keep some images."""
        self.images = torch.cat([self.images, images])


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Result):
    """How far each later layer is changed by an insertion.

    The change of a layer is the mean over its channels and positions of ``|Δr|`` over the channel's mean ``|r|`` in
    untouched images; channels that are zero in all of these are left out. The edited layer itself is the first.

    Attributes:
        lines: one row for each layer, and for edits that were visible and that were not. Errors take places of one
            image as one draw.
        places: one row an insertion, with the change of every layer under the layer's name.
        maps: by layer, float32 [k, rows, columns], the change by place of insertion in the images shown.
        ids: of the images shown.
        images: uint8 [k, H, W, 3].
        inserted: uint8 [k, H, W, 3], each after the insertion that gained most; None by an earlier version.
    """

    spec: TraceSpec
    lines: pd.DataFrame
    places: pd.DataFrame
    maps: Mapping[str, npt.NDArray[np.float32]]
    ids: tuple[int, ...]
    images: npt.NDArray[np.uint8]
    inserted: npt.NDArray[np.uint8] | None = None

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `lines`."""
        return self.lines

    @classmethod
    def _fields(cls, study: Study) -> dict[str, Any]:
        found = super()._fields(study)
        images = study.load_step("trace", Traced).images.permute(0, 2, 3, 1).numpy()
        ids, places = tuple(found["spec"].ids()[: len(images)]), found["places"]
        shown = places[places.id.isin(ids)]
        size = (len(ids), places.row.max() + 1, places.column.max() + 1)
        maps = {layer: shown[layer].to_numpy(np.float32).reshape(size) for layer in study.facts["traced"]}
        if study.has_step("inserted"):
            found["inserted"] = study.load_step("inserted", Inserted).images.numpy()
        return found | {"maps": maps, "ids": ids, "images": images}

    @property
    def best(self) -> pd.DataFrame:
        """Those rows of `places` that gained most in each of the images that are shown."""
        own = self.places[self.places.id.isin(self.ids)]
        return own.loc[own.groupby("id").gain.idxmax()]

    def _warnings(self) -> list[str]:
        drawn = self.places[self.places.drawn.astype(bool)]
        return insertion_warnings(self.spec.concept, drawn, drawn.visible)

    @property
    def details(self) -> dict[str, Any]:
        """How many insertions were visible."""
        places = self.lines[self.lines.layer == self.spec.layer].set_index("visible").places
        seen = int(places[True])
        return {"visible": f"{seen:,} of {int(places.sum()):,} insertions" + ("" if seen else ": no effect")}


def run_trace(
    spec: TraceSpec, source: DissectedModel, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> Trace:
    """Trace an insertion through every later layer; what is there already is not measured again."""
    concept = check_places(spec, source)
    layers = later_layers(source.models.generator, spec.layers())
    with source.begin(directory, spec, engine, progress, traced=layers) as (study, source):
        if not study.finished:
            parts = measured_parts(source, spec, spec.concept, engine, progress)
            measure, shards = partial(measure_strength, source, spec, layers), source.run.shards(spec.ids())
            strength = study.sharded("strength", Strength, measure, shards)
            work = partial(trace_shard, source, spec, concept, parts, strength)
            traced = study.sharded("trace", Traced, work, shards)
            places = _place_table(spec, traced, layers)
            study.write_table("places", places)
            study.write_table("lines", _line_table(places, layers))
            study.step("inserted", Inserted, lambda: draw_best(source, spec, parts, places))
            study.finish()
    return Trace.open(directory)


def later_layers(generator: Generator, edited: Sequence[str]) -> list[str]:
    """Return the first edited layer and those after it, in forward order.

    Of a model that makes an image in steps, only the edited ones and those that are listed: all would be very many.
    """
    order, followed = forward_order(generator.layers), {*edited, *listed_layers(generator)}
    return [name for name in sorted(followed, key=order) if order(name) >= order(edited[0])]


def measure_strength(source: DissectedModel, spec: TraceSpec, layers: Sequence[str], ids: range) -> Strength:
    """Measure the channels of one shard's untouched images."""
    generator = source.models.generator
    strength = Strength(sum(generator.layers[layer].units for layer in layers), generator.device)
    for part in source.parts(ids):
        strength.update(*generator.observe(generator.latents(part, spec.seed), layers).features.values())
        report_progress(len(part))
    return strength


def trace_shard(
    source: DissectedModel, spec: TraceSpec, concept: int, parts: Sequence[Part], strength: Strength, ids: range
) -> Traced:
    """Insert at places of one shard's images, and see what each layer makes of it."""
    generator, segmenter = source.models.generator, source.models.segmenter
    layers = later_layers(generator, spec.layers())
    scale = strength.by_layer([generator.layers[layer].units for layer in layers])
    grid = source.grid(spec.place_layer)
    at = corners(grid, spec.cell)
    traced: Traced | None = None
    for given in baselines(source, spec, ids, layers):
        shown = sum(i < spec.first + spec.show for i in given.ids)
        traced = traced or Traced(as_bytes(given.images[:0]), len(layers))
        traced.show(as_bytes(given.images[:shown]))
        image, chosen, drawn = draw_places(spec, given.ids, len(at))
        rows = Rows(image, masks(grid, at[chosen], spec.cell))
        done = 0
        for few in rows.split(source.batch()):
            edited = generator.observe(given.z[few.image], layers, constant_edits(parts, few.where, spec.strength))
            gained = gained_at(given.labels[few.image], segmenter(edited.images), concept, few.where)
            change = [
                normalised_change(given.layers[layer][few.image], edited.features[layer], own)
                for layer, own in zip(layers, scale, strict=True)
            ]
            own = slice(done, done := done + len(few.image))
            gain = (gained.at / gained.area).float()
            traced.update(image[own] + given.ids[0], at[chosen[own]], drawn[own], gain, torch.stack(change, 1))
    assert traced is not None
    return traced


def draw_best(source: DissectedModel, spec: TraceSpec, parts: Sequence[Part], places: pd.DataFrame) -> Inserted:
    """Draw each image that is shown after the insertion that gained most in it."""
    drawn, grid = [], source.grid(spec.place_layer)
    for given in baselines(source, spec, spec.ids()[: spec.show]):
        own = places[places.id.isin(given.ids)]
        best = own.loc[own.groupby("id").gain.idxmax()]
        at = torch.from_numpy(best[["row", "column"]].to_numpy(np.int64, copy=True))
        few = Rows(torch.arange(len(at)), masks(grid, at, spec.cell))
        drawn.append(as_bytes(draw_edited(source, given, few, constant_edits(parts, few.where))).permute(0, 2, 3, 1))
    return Inserted(torch.cat(drawn) if drawn else torch.zeros(0, 1, 1, 3, dtype=torch.uint8))


def draw_places(
    spec: TraceSpec, ids: Sequence[int], places: int
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Tensor]:
    """Draw the places to insert at: number of the image, number of the place, whether it belongs to the sample.

    An image's places depend on (seed, id) only. Images that are shown get all.
    """
    images, chosen, drawn = [], [], []
    for image, i in enumerate(ids):
        count = min(spec.places or places, places)
        own = np.random.default_rng([spec.seed, i]).permutation(places)[:count]
        tried = np.arange(places) if i < spec.first + spec.show else np.sort(own)
        images.append(np.full(len(tried), image))
        chosen.append(tried)
        drawn.append(np.isin(tried, own))
    return tuple(torch.from_numpy(np.concatenate(each)) for each in (images, chosen, drawn))  # type: ignore[return-value]


def normalised_change(before: Features, after: Features, scale: Float64[Tensor, " u"]) -> Float[Tensor, " b"]:
    """Return the mean over channels and positions of |Δr| / the channel's usual |r|; channels without any are left out.

    >>> before, after = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    >>> normalised_change(before, after, torch.tensor([0.5, 0.25, 0.0], dtype=torch.float64))
    tensor([3.])
    """
    alive = scale > 0
    return ((after - before).abs().double().mean((2, 3))[:, alive] / scale[alive]).mean(1).float()


def _place_table(spec: TraceSpec, traced: Traced, layers: Sequence[str]) -> pd.DataFrame:
    columns = {
        "id": traced.ids,
        "row": traced.corner[:, 0],
        "column": traced.corner[:, 1],
        "gain": traced.gain,
        "visible": traced.gain >= spec.visible,
        "drawn": traced.drawn,
        **dict(zip(layers, traced.change.unbind(1), strict=True)),
    }
    return pd.DataFrame({name: tensor.numpy() for name, tensor in columns.items()})


def _line_table(places: pd.DataFrame, layers: Sequence[str]) -> pd.DataFrame:
    rows = []
    for layer in layers:
        for visible in (True, False):
            own = places[places.drawn & (places.visible == visible)]
            change, error = clustered_mean(own[layer].to_numpy(np.float64), own.id.to_numpy())
            rows.append((layer, visible, change, error, len(own), own.id.nunique()))
    return pd.DataFrame(rows, columns=["layer", "visible", "change", "error", "places", "images"])


def _trials(spec: TraceSpec, grid: tuple[int, int]) -> int:
    return spec.places or len(corners(grid, spec.cell))


TRACE = Experiment(
    name="trace",
    verb="trace",
    summary="insert a concept at one place at a time, and follow the change through every later layer",
    spec=TraceSpec,
    groups=(Layers, Window, UnitQuery),
    filled=PLACED,
    planned=BY_SETTING,
    plan=place_plan("trace", TraceSpec, run_trace, _trials),
    result=Trace,
    tables=trace_tables,
    section=trace_section,
    chart=trace_chart,
    run=RunOptions(shard=20),
    example='ganatomy.trace("study", concept="door").lines',
)
