"""Where does the model accept an object? Units inserted at every place of many images (4.4, Figure 11; SPEC 6).

What a place showed before decides what comes of it. Where the grammar of the scenes is known, it says where the object
may be, and the answer can be right or wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment
from ganatomy.experiments.causal.choice import Layers, UnitQuery, Window
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows, at_least
from ganatomy.experiments.causal.insertion import (
    Part,
    PlaceSpec,
    check_places,
    constant_edits,
    control_edits,
    draw_edited,
    measured_parts,
    sets_all,
)
from ganatomy.experiments.causal.place_truth import (
    PlacementRules,
    PlaceTruth,
    by_probability,
    placement_rules,
    read_truth,
    truth_category,
    truth_facts,
    verdict_table,
    with_truth,
)
from ganatomy.experiments.causal.places import (
    Rows,
    as_bytes,
    cell_counts,
    corners,
    gained_at,
    host_concepts,
    majority,
    masks,
    pixel_boxes,
    relative_frequency,
)
from ganatomy.experiments.causal.plans import BY_SETTING, PLACED, place_plan
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.causal.trials import Baseline, baselines
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.experiments.warnings import insertion_warnings
from ganatomy.models.generators.protocol import Edit
from ganatomy.report.causal.context import context_section, context_tables, main_chart
from ganatomy.stats.base import concat
from ganatomy.stats.clusters import clustered_mean
from ganatomy.study import Study


@dataclass(frozen=True, kw_only=True)
class ContextSpec(PlaceSpec):
    """What is inserted where, and what is expected of it.

    Attributes:
        stride: from one place to the next, in cells of the grid; None for as far as a place is wide.
        min_frequency: `Context.under` and `Context.verdict` are of the places only that, in the pool, show the concept
            at least so often, as a share of the place that shows it most; 0 for all places.
        responsive: a place is responsive if the concept gains at least this share of its pixels.
        show: the first so many images are kept, with their maps.
        draws: of the bootstrap of `Context.verdict`.
        grammar: category of scenes whose grammar says where the object may be; None for that of the generator's card,
            if it is a bundled one.
        allowed, forbidden: names of what it may be inserted on, and of what it may not; None for what the grammar says.
    """

    images: int = 48
    stride: int | None = None
    min_frequency: float = 0.0
    responsive: float = 0.2
    show: int = 8
    draws: int = 2000
    grammar: str | None = None
    allowed: tuple[str, ...] | None = None
    forbidden: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, show=0, draws=1)
        if self.stride is not None:
            at_least(self, stride=1)
        if not 0 <= self.min_frequency <= 1:
            raise BadValue(f"min_frequency={self.min_frequency} is no share; give 0 to 1")
        if not 0 < self.responsive <= 1:
            raise BadValue(f"responsive={self.responsive} is no share of a place's pixels; more than 0, at most 1")
        if (self.allowed is None) != (self.forbidden is None):
            raise BadValue("allowed and forbidden go together; give both, or leave both to the grammar")
        if both := set(self.allowed or ()) & set(self.forbidden or ()):
            raise BadValue(f"{', '.join(sorted(both))}: allowed and forbidden at once")

    def corners(self, grid: tuple[int, int]) -> Tensor:
        """Return the top left row and column of every place, int64 [places, 2]."""
        return corners(grid, self.cell, self.stride or self.cell)


class Inserted(JoinedRows):
    """Every insertion, one row each, the places of an image in order; and the images that are shown.

    Attributes:
        under: int64 [n], the object that the place showed before.
        before: float32 [n], the share of the place's pixels that showed the concept before.
        gain, image_gain: float32 [n], pixels of the concept gained at the place and in the whole image, both as
            shares of the place's pixels.
        random_gain, random_image_gain: float32 [n], the same by random units.
        images, inserted: uint8 [k, 3, H, W], before, and after the insertion that gained most at its place.
    """

    ROWS = ("under", "before", "gain", "image_gain", "random_gain", "random_image_gain")
    FIELDS: ClassVar = dict.fromkeys((*ROWS, "images", "inserted"), concat)

    def __init__(self, images: Tensor) -> None:
        self.under = torch.zeros(0, dtype=torch.long)
        self.before, self.gain, self.image_gain, self.random_gain, self.random_image_gain = torch.zeros(5, 0)
        self.images = self.inserted = images

    def show(self, images: Tensor, inserted: Tensor) -> None:
        """Keep some images."""
        self.images = torch.cat([self.images, images])
        self.inserted = torch.cat([self.inserted, inserted])


@dataclass(frozen=True, eq=False, repr=False)
class Context(Result):
    """Where the model accepts an object.

    Effects are changes of how many pixels show the concept, as shares of the place's pixels: at the place, and in the
    whole image. Errors take the places of one image as one draw.

    Attributes:
        facts: ``allowed`` and ``forbidden`` are what the verdict is about.
        places: one row an insertion.
        under: one row an object, most places first.
        verdict: two rows, for the units and for random ones, with 95 % bootstrap intervals over images. Of free places
            only, which show nothing of the concept before.
        possible: where the truth about each place is known (SPEC 6), the effect at free places by the probability that
            the renderer would put the object there; see `by_probability`. `verdict` is then about free places with
            P ≥ 5 % and with P = 0. Empty for any other generator.
        boxes: the responsive places of the images shown.
    """

    spec: ContextSpec
    places: pd.DataFrame
    under: pd.DataFrame
    verdict: pd.DataFrame
    boxes: pd.DataFrame
    possible: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `under`."""
        return self.under

    def _warnings(self) -> list[str]:
        own = self.places
        if "possible" in own:  # where the renderer would never put it, it is right that nothing appears
            may = own[own.free & (own.possible >= self.facts["truth"]["allowed"])]
            own = may if len(may) else own
        return insertion_warnings(self.spec.concept, own, own.gain >= self.spec.responsive)

    @classmethod
    def _fields(cls, study: Study) -> dict[str, Any]:
        known = study.facts.get("truth") is not None
        return super()._fields(study) | ({"possible": study.read_table("possible")} if known else {})

    @property
    def ids(self) -> tuple[int, ...]:
        """Latent ids of the images shown."""
        return tuple(self.spec.ids()[: len(self._kept.images)])

    @property
    def maps(self) -> npt.NDArray[np.float32]:
        """The gain by place of insertion in the images shown, float32 [k, rows, columns]."""
        rows, columns = self.places.row.nunique(), self.places.column.nunique()
        gain = self.places.gain.to_numpy(np.float32).reshape(-1, rows, columns)
        return gain[: len(self._kept.images)]

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """The images shown, uint8 [k, H, W, 3]."""
        return self._kept.images.permute(0, 2, 3, 1).numpy()

    @property
    def inserted(self) -> npt.NDArray[np.uint8]:
        """The same after the insertion that gained most at its place, uint8 [k, H, W, 3]."""
        return self._kept.inserted.permute(0, 2, 3, 1).numpy()

    @cached_property
    def _kept(self) -> Inserted:
        return self.study.load_step("context", Inserted)


def run_context(
    spec: ContextSpec, source: DissectedModel, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> Context:
    """Insert at every place of every image; what is there already is not measured again."""
    concept = check_places(spec, source)
    category = truth_category(source, spec.concept, spec.grammar) if spec.allowed is None else None
    rules = PlacementRules(category, [], [])
    if category is None:
        rules = placement_rules(source, spec.concept, spec.grammar, spec.allowed, spec.forbidden)
    facts = rules._asdict() | truth_facts(category, source.named(concept))
    facts["control"] = "without" if sets_all(source, spec) else "random"
    with source.begin(directory, spec, engine, progress, **facts) as (study, source):
        if not study.finished:
            parts = measured_parts(source, spec, spec.concept, engine, progress)
            pool = layer_pool(source, spec.place_layer, spec.pool, engine, progress)
            work = partial(insert_shard, source, spec, concept, parts)
            found = study.sharded("context", Inserted, work, source.run.shards(spec.ids()))
            places = place_table(source, spec, found, relative_frequency(pool.occupancy[concept], spec.cell))
            if category is not None:
                grid = parts[-1].grid
                where = (spec.corners(grid), spec.cell, spec.place_layer)
                truth = study.step("truth", PlaceTruth, lambda: read_truth(source, spec, concept, where, progress))
                places = with_truth(places, truth, spec.cell**2 / (grid[0] * grid[1]))
            read = places[places.frequency >= spec.min_frequency]
            study.write_table("places", places)
            study.write_table("under", under_table(source, spec, read, rules))
            if category is not None:
                study.write_table("possible", by_probability(read))
            study.write_table("verdict", verdict_table(read, rules, spec.draws, spec.seed))
            study.write_table("boxes", box_table(source, spec, places, found))
            study.finish()
    return Context.open(directory)


def insert_shard(
    source: DissectedModel, spec: ContextSpec, concept: int, parts: Sequence[Part], ids: range
) -> Inserted:
    """Insert at every place of one shard's images, the chosen units and their control."""
    grid = parts[-1].grid
    at = spec.corners(grid)
    found: Inserted | None = None
    for given in baselines(source, spec, ids):
        found = found or Inserted(as_bytes(given.images[:0]))
        under = majority(given.labels, host_concepts(source), grid, spec.cell)[:, at[:, 0], at[:, 1]].flatten()
        pixels, own = cell_counts(given.labels, [concept], grid, spec.cell)[:, :, at[:, 0], at[:, 1]].unbind(1)
        before = own / pixels
        pairs = torch.cartesian_prod(torch.arange(len(given.ids)), torch.arange(len(at)))
        gains = []
        for own in torch.split(pairs, source.batch()):  # a map a row: of all rows they would fill the memory
            few = Rows(own[:, 0], masks(grid, at[own[:, 1]], spec.cell))
            control = control_edits(parts, few.where, few.image, given.ids, spec.seed, spec.strength)
            edits: list[Sequence[Edit]] = [constant_edits(parts, few.where, spec.strength), control]
            gains.append(torch.cat([_gains(source, given, few, concept, each) for each in edits], 1))
        gained = torch.cat(gains)
        found.update(under, before.flatten(), *gained.unbind(1))
        shown = range(sum(i < spec.first + spec.show for i in given.ids))
        if shown:
            best = gained[:, 0].view(len(given.ids), len(at)).argmax(1)[shown.start : shown.stop]
            few = Rows(torch.tensor(shown), masks(grid, at[best], spec.cell))
            after = draw_edited(source, given, few, constant_edits(parts, few.where, spec.strength))
            found.show(as_bytes(given.images[: len(shown)]), as_bytes(after))
    assert found is not None
    return found


def _gains(source: DissectedModel, given: Baseline, rows: Rows, concept: int, edits: Sequence[Edit]) -> Tensor:
    """Make the edits, a row each; return the gains of the concept at the place and in the image."""
    labels = source.models.segmenter(draw_edited(source, given, rows, edits))
    gained = gained_at(given.labels[rows.image], labels, concept, rows.where)
    return (torch.stack([gained.at, gained.image], 1) / gained.area[:, None]).float().cpu()


def place_table(source: DissectedModel, spec: ContextSpec, found: Inserted, frequency: Tensor) -> pd.DataFrame:
    """Return one row an insertion."""
    shape = source.shape(spec.place_layer)
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
    often = np.tile(frequency[at[:, 0], at[:, 1]].numpy(), spec.images)
    return table.assign(under=names[found.under.numpy()], frequency=often, **gains)


def under_table(
    source: DissectedModel, spec: ContextSpec, places: pd.DataFrame, belief: PlacementRules
) -> pd.DataFrame:
    """Return the mean effect by the object under the place."""
    vocabulary = [source.named(c) for c in (0, *host_concepts(source))]
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


def box_table(source: DissectedModel, spec: ContextSpec, places: pd.DataFrame, found: Inserted) -> pd.DataFrame:
    """Return the responsive places of the images shown."""
    shape = source.shape(spec.place_layer)
    image = places.id - spec.first
    own = places[(places.gain >= spec.responsive) & (image < len(found.images))]
    at = torch.from_numpy(own[["row", "column"]].to_numpy(np.int64, copy=True))
    size = (found.images.shape[2], found.images.shape[3])
    boxes = pixel_boxes(at, spec.cell, (shape.height, shape.width), size).numpy()
    table = own[["id", "row", "column", "gain", "under"]].reset_index(drop=True)
    table.insert(0, "image", (own.id - spec.first).to_numpy())
    return table.assign(**dict(zip(("top", "left", "height", "width"), boxes.T, strict=True)))


def _trials(spec: ContextSpec, grid: tuple[int, int]) -> int:
    return 2 * len(spec.corners(grid))  # the control too


CONTEXT = Experiment(
    name="context",
    verb="insert",
    switch=("at", "each"),
    summary="insert a concept at every place of many images: where does the model accept it?",
    spec=ContextSpec,
    groups=(Layers, Window, UnitQuery),
    filled=PLACED,
    planned=BY_SETTING,
    plan=place_plan("context", ContextSpec, run_context, _trials),
    result=Context,
    tables=context_tables,
    section=context_section,
    chart=main_chart,
    run=RunOptions(shard=10),
    example='ganatomy.context("study", concept="door").under',
)
