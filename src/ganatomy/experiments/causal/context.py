"""Where does the model accept an object? Units inserted at every place of many pictures (4.4, Figure 11; SPEC 6).

What a place showed before decides what comes of it. Where the grammar of the scenes is known, it says where the object
may be, and the answer can be right or wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.execute import Executor, local
from ganatomy.experiments.causal.expected import Expected, expected
from ganatomy.experiments.causal.places import (
    PlaceSpec,
    Rows,
    as_bytes,
    at_least,
    carriers,
    cell_counts,
    corners,
    insert_at,
    layer_pool,
    majority,
    masks,
    missing,
    pixel_boxes,
    prepared,
    random_units,
    read_at,
    read_spec,
    switched_on,
    usualness,
)
from ganatomy.experiments.causal.shown import Shown
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.causal.trials import Untouched, batches
from ganatomy.progress import Progress
from ganatomy.stats.base import Accumulator, Merge, join
from ganatomy.stats.clusters import clustered_mean, contrast
from ganatomy.study import Study
from ganatomy.types import PerUnit


@dataclass(frozen=True, kw_only=True)
class ContextSpec(PlaceSpec):
    """What is inserted where, and what is expected of it.

    Attributes:
        stride: from one place to the next, in cells of the grid; None for as far as a place is wide.
        usual: `Context.under` and `Context.verdict` tell of places only that, in the pool, show the concept at least so
            often, as a share of the place that shows it most; 0 for all places.
        responsive: a place is responsive if the concept gains at least this share of its pixels.
        show: the first so many pictures are kept, with their maps.
        draws: of the bootstrap of `Context.verdict`.
        grammar: category of scenes whose grammar says where the object may be; None for that of the generator's card,
            if it is a bundled one.
        allowed, forbidden: names of what it may be inserted on, and of what it may not; None for what the grammar says.
    """

    images: int = 48
    shard: int = 10
    stride: int | None = None
    usual: float = 0.0
    responsive: float = 0.2
    show: int = 8
    draws: int = 2000
    grammar: str | None = None
    allowed: tuple[str, ...] | None = None
    forbidden: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        at_least(self, show=0, draws=1)
        if self.stride is not None:
            at_least(self, stride=1)
        if not 0 <= self.usual <= 1:
            raise BadValue(f"usual={self.usual} is no share; give 0 to 1")
        if not 0 < self.responsive <= 1:
            raise BadValue(f"responsive={self.responsive} is no share of a place's pixels; more than 0, at most 1")
        if (self.allowed is None) != (self.forbidden is None):
            raise BadValue("allowed and forbidden go together; give both, or leave both to the grammar")
        if both := set(self.allowed or ()) & set(self.forbidden or ()):
            raise BadValue(f"{', '.join(sorted(both))}: allowed and forbidden at once")

    def corners(self, grid: tuple[int, int]) -> Tensor:
        """Return the top left row and column of every place, int64 [places, 2]."""
        return corners(grid, self.cell, self.stride or self.cell)


class Inserted(Accumulator):
    """Every insertion, one row each, the places of a picture in order; and the pictures that are shown.

    Attributes:
        under: int64 [n], the object that the place showed before.
        before: float32 [n], the share of the place's pixels that showed the concept before.
        gain, image_gain: float32 [n], pixels of the concept gained at the place and in the whole picture, both as
            shares of the place's pixels.
        random_gain, random_image_gain: float32 [n], the same by random units.
        pictures, inserted: uint8 [k, 3, H, W], before, and after the insertion that gained most at its place.
    """

    ROWS = ("under", "before", "gain", "image_gain", "random_gain", "random_image_gain")
    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys((*ROWS, "pictures", "inserted"), join)

    def __init__(self, pictures: Tensor) -> None:
        self.under = torch.zeros(0, dtype=torch.long)
        self.before, self.gain, self.image_gain, self.random_gain, self.random_image_gain = torch.zeros(5, 0)
        self.pictures = self.inserted = pictures

    def update(self, *batch: Tensor) -> None:
        """Take in (under, before, gain, image_gain, random_gain, random_image_gain)."""
        for name, new in zip(self.ROWS, batch, strict=True):
            setattr(self, name, torch.cat([getattr(self, name), new.cpu()]))

    def show(self, pictures: Tensor, inserted: Tensor) -> None:
        """Keep some pictures."""
        self.pictures = torch.cat([self.pictures, pictures])
        self.inserted = torch.cat([self.inserted, inserted])


@dataclass(frozen=True, eq=False, repr=False)
class Context(Shown):
    """Where the model accepts an object.

    Effects are changes of how many pixels show the concept, as shares of the place's pixels: at the place, and in the
    whole picture. Errors take the places of one picture as one draw.

    Attributes:
        spec: what was asked.
        facts: what was used; ``allowed`` and ``forbidden`` are what the verdict is about.
        places: one row an insertion: id, row, column (of the place's top left corner in the grid), under (the object
            that most of the place's pixels showed before), usual (how often the place shows the concept in the pool, as
            a share of the place that shows it most), before (the share of the place's pixels that showed the concept),
            gain, image_gain, random_gain, random_image_gain.
        under: one row an object: object, category, places, images, effect, effect_error, image_effect,
            image_effect_error, responsive (share of its places), random_effect, random_effect_error, allowed (True,
            False, or None where nothing is expected); most places first.
        verdict: two rows, by ``units`` and by ``random`` units: allowed, allowed_error, allowed_places, forbidden,
            forbidden_error, forbidden_places (mean effects), ratio (allowed / forbidden; missing where the effect where
            forbidden is not clearly above zero), low, high, difference, difference_low, difference_high, with 95 %
            bootstrap intervals over images. Of free places only, which show nothing of the concept before.
        boxes: the responsive places of the pictures shown: image (number in `pictures`), id, row, column, gain, under,
            top, left, height, width (in pixels of the picture).
        study: the directory that holds it.
    """

    spec: ContextSpec
    facts: Mapping[str, Any]
    places: pd.DataFrame
    under: pd.DataFrame
    verdict: pd.DataFrame
    boxes: pd.DataFrame
    study: Study

    @classmethod
    def open(cls, directory: Path) -> "Context":
        """Open a finished study.

        Raises:
            StudyError: the directory holds no finished study.
            BadFile: it is of another kind, or a file of it is damaged.
        """
        study = Study.open(directory)
        spec = read_spec(study, ContextSpec)
        places, under, verdict, boxes = map(study.read_table, ("places", "under", "verdict", "boxes"))
        return cls(spec, study.facts, places, under, verdict, boxes, study)

    @property
    def ids(self) -> tuple[int, ...]:
        """Latent ids of the pictures shown."""
        return tuple(self.spec.ids()[: len(self._kept.pictures)])

    @property
    def maps(self) -> npt.NDArray[np.float32]:
        """The gain by place of insertion in the pictures shown, float32 [k, rows, columns]."""
        rows, columns = self.places.row.nunique(), self.places.column.nunique()
        gain = self.places.gain.to_numpy(np.float32).reshape(-1, rows, columns)
        return gain[: len(self._kept.pictures)]

    @property
    def pictures(self) -> npt.NDArray[np.uint8]:
        """The pictures shown, uint8 [k, H, W, 3]."""
        return self._kept.pictures.permute(0, 2, 3, 1).numpy()

    @property
    def inserted(self) -> npt.NDArray[np.uint8]:
        """The same after the insertion that gained most at its place, uint8 [k, H, W, 3]."""
        return self._kept.inserted.permute(0, 2, 3, 1).numpy()

    @cached_property
    def _kept(self) -> Inserted:
        return self.study.step("context", Inserted, missing)


def run_context(
    spec: ContextSpec, source: Source, directory: Path, execute: Executor = local, progress: Progress | None = None
) -> Context:
    """Insert at every place of every picture; what is there already is not measured again.

    Raises:
        UnknownName: no such layer, unit, concept, category or object.
        BadValue: the concept is too rare, or a place does not fit the grid.
    """
    concept = prepared(spec, source)
    belief = expected(source, spec.concept, spec.grammar, spec.allowed, spec.forbidden)
    with Study.create(directory, spec, source.facts() | belief._asdict(), execute, progress) as study:
        if not study.finished:
            pool = layer_pool(source, spec.layer, spec.pool, spec.batch, execute, progress)
            value = pool.constant(concept).cpu() * spec.multiple
            work = partial(insert_shard, source, spec, concept, value)
            found = study.sharded("context", Inserted, work, spec.shards())
            places = place_table(source, spec, found, usualness(pool, concept, spec.cell))
            told = places[places.usual >= spec.usual]
            study.write_table("places", places)
            study.write_table("under", under_table(source, spec, told, belief))
            study.write_table("verdict", verdict_table(spec, told[told.before == 0], belief))
            study.write_table("boxes", box_table(source, spec, places, found))
            study.finish()
    return Context.open(directory)


def insert_shard(source: Source, spec: ContextSpec, concept: int, value: PerUnit, ids: range) -> Inserted:
    """Insert at every place of one shard's pictures, the chosen units and random ones."""
    shape = source.shape(spec.layer)
    grid = (shape.height, shape.width)
    at = spec.corners(grid)
    chosen = switched_on(spec.units, shape.units)[None]
    found: Inserted | None = None
    for given in batches(source, spec, ids):
        found = found or Inserted(as_bytes(given.images[:0]))
        counts = cell_counts(given.labels, source.concepts, grid, spec.cell)
        under = majority(counts, carriers(source))[:, at[:, 0], at[:, 1]].flatten()
        stood = counts[:, concept, at[:, 0], at[:, 1]] / counts[:, 0, at[:, 0], at[:, 1]]
        pairs = torch.cartesian_prod(torch.arange(len(given.ids)), torch.arange(len(at)))
        rows = Rows(pairs[:, 0], masks(grid, at, spec.cell)[pairs[:, 1]])
        alphas = chosen.expand(len(given.ids), -1), random_units(shape.units, spec.units, given.ids, spec.seed)
        gains = [
            torch.cat([_gains(source, spec, given, few, (concept, own, value)) for few in rows.split(spec.batch)])
            for own in alphas
        ]
        found.update(under, stood.flatten(), *gains[0].unbind(1), *gains[1].unbind(1))
        shown = range(max(0, min(len(given.ids), spec.first + spec.show - given.ids.start)))
        if shown:
            best = gains[0][:, 0].view(len(given.ids), len(at)).argmax(1)[shown.start : shown.stop]
            few = Rows(torch.tensor(shown), masks(grid, at[best], spec.cell))
            after = insert_at(source, spec.layer, given, few, chosen, value)
            found.show(as_bytes(given.images[: len(shown)]), as_bytes(after))
    assert found is not None
    return found


def _gains(
    source: Source, spec: ContextSpec, given: Untouched, rows: Rows, what: tuple[int, Tensor, PerUnit]
) -> Tensor:
    """Insert `what` (concept, alpha [b, u], value), a row each; return the gains at the place and in the picture."""
    concept, alpha, value = what
    images = insert_at(source, spec.layer, given, rows, alpha[rows.picture], value)
    before = read_at(given.labels[rows.picture], concept, rows.where)
    after = read_at(source.models.segmenter(images), concept, rows.where)
    gained = torch.stack([after.at - before.at, after.picture - before.picture], 1)
    return (gained / before.area[:, None]).float().cpu()


def place_table(source: Source, spec: ContextSpec, found: Inserted, usual: Tensor) -> pd.DataFrame:
    """Return one row an insertion."""
    shape = source.shape(spec.layer)
    at = spec.corners((shape.height, shape.width))
    table = pd.DataFrame(
        {
            "id": np.repeat(np.array(spec.ids()), len(at)),
            "row": np.tile(at[:, 0].numpy(), spec.images),
            "column": np.tile(at[:, 1].numpy(), spec.images),
        }
    )
    names = np.array([concept.name for concept in source.dissection.vocabulary], dtype=object)
    gains = {name: getattr(found, name).numpy() for name in Inserted.ROWS[1:]}
    often = np.tile(usual[at[:, 0], at[:, 1]].numpy(), spec.images)
    return table.assign(under=names[found.under.numpy()], usual=often, **gains)


def under_table(source: Source, spec: ContextSpec, places: pd.DataFrame, belief: Expected) -> pd.DataFrame:
    """Return the mean effect by the object under the place."""
    vocabulary = [source.named(c) for c in (0, *carriers(source))]
    kinds = {concept.name: concept.category for concept in vocabulary}
    rows = []
    for name, own in places.groupby("under", sort=False):
        row: dict[str, Any] = {"object": name, "category": kinds[str(name)], "places": len(own)}
        row["images"] = own.id.nunique()
        for column, read in (("effect", "gain"), ("image_effect", "image_gain"), ("random_effect", "random_gain")):
            values = own[read].to_numpy(np.float64)
            row[column], row[f"{column}_error"] = clustered_mean(values, own.id.to_numpy())
        row["responsive"] = float((own.gain >= spec.responsive).mean())
        row["allowed"] = belief.verdict(str(name))
        rows.append(row)
    table = pd.DataFrame(rows).astype({"allowed": "boolean"})
    return table.sort_values(["places", "object"], ascending=[False, True]).reset_index(drop=True)


def verdict_table(spec: ContextSpec, places: pd.DataFrame, belief: Expected) -> pd.DataFrame:
    """Compare places where the object is allowed with those where it is forbidden; `places` are free ones."""
    ids = places.id.to_numpy()
    here, there = (places.under.isin(names).to_numpy() for names in (belief.allowed, belief.forbidden))
    rows = []
    for by, read in (("units", "gain"), ("random", "random_gain")):
        values = places[read].to_numpy(np.float64)
        row: dict[str, Any] = {"by": by}
        for kind, own in (("allowed", here), ("forbidden", there)):
            row[kind], row[f"{kind}_error"] = clustered_mean(values[own], ids[own])
            row[f"{kind}_places"] = int(own.sum())
        rows.append({**row, **contrast(values, ids, here, there, spec.draws, spec.seed)._asdict()})
    return pd.DataFrame(rows)


def box_table(source: Source, spec: ContextSpec, places: pd.DataFrame, found: Inserted) -> pd.DataFrame:
    """Return the responsive places of the pictures shown."""
    shape = source.shape(spec.layer)
    image = places.id - spec.first
    own = places[(places.gain >= spec.responsive) & (image < len(found.pictures))]
    at = torch.from_numpy(own[["row", "column"]].to_numpy(np.int64, copy=True))
    size = (found.pictures.shape[2], found.pictures.shape[3])
    boxes = pixel_boxes(at, spec.cell, (shape.height, shape.width), size).numpy()
    table = own[["id", "row", "column", "gain", "under"]].reset_index(drop=True)
    table.insert(0, "image", (own.id - spec.first).to_numpy())
    return table.assign(**dict(zip(("top", "left", "height", "width"), boxes.T, strict=True)))
