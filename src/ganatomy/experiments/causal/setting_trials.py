"""Every setting tried at places of some images: where the object may be, and where it may not."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.cache import cache_directory
from ganatomy.core.progress import Progress
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import (
    Part,
    constant_edits,
    control_edits,
    draw_edited,
    sets_all,
)
from ganatomy.experiments.causal.place_truth import (
    LEAST,
    scene_boxes,
    scene_labels,
    typical_area,
)
from ganatomy.experiments.causal.places import (
    Rows,
    cell_counts,
    corners,
    draw_place,
    masks,
    read_at,
    relative_frequency,
)
from ganatomy.experiments.causal.setting_spec import SettingSpec
from ganatomy.experiments.causal.trials import Baseline, GainTable, baselines
from ganatomy.models.generators.protocol import Edit
from ganatomy.scenes.places import POSSIBLE, open_bank, place_probabilities
from ganatomy.stats.clusters import clustered_mean, proportion

FREQUENT = 0.25
"""Where no renderer says where an object may be: places that show it so often, as a share of the most frequent one."""
SALT = 0x5E77
LIKELY, UNLIKELY = range(2)
DRAWN = (LIKELY, LIKELY, LIKELY, UNLIKELY)
"""The places of each image that are tried, by kind: where an object may be there is often little room for it."""


WRONG = 2
"""An object where it should not be counts so much against a setting as one where it may be counts for it."""


class Places(NamedTuple):
    """Where a concept is inserted.

    Attributes:
        concept: its index.
        grid: of the layer whose places they are.
        cell: so many of them high and wide.
        category: of the scenes whose renderer says where it may be; None where none does.
        likely, unlikely: bool [rows, columns], places that usually show it and that never do, by top left corner.
        least: it appears where it newly covers so large a share of the place.
    """

    concept: int
    grid: tuple[int, int]
    cell: int
    category: str | None
    likely: Tensor
    unlikely: Tensor
    least: float


class Trial(NamedTuple):
    """One way to insert, and where.

    Attributes:
        parts: what is set.
        strength: how far.
        places: at which.
        control: whether the control of it is made in its place.
    """

    parts: Sequence[Part]
    places: Places
    strength: float = 1.0
    control: bool = False

    def edits(self, where: Tensor, image: Tensor, ids: range, seed: int) -> Sequence[Edit]:
        """Return the edits of each row of a batch: at its map, in one of the images of these ids."""
        if self.control:
            return control_edits(self.parts, where, image, ids, seed, self.strength)
        return constant_edits(self.parts, where, self.strength)


def find_places(
    source: DissectedModel, spec: SettingSpec, category: str | None, shown: Tensor, progress: Progress | None
) -> dict[int, Places]:
    """Return where the concept is usual and where it never is, for every cell; for `shown` see `relative_frequency`."""
    layer, concept, area = spec.places, source.concept(spec.concept), None
    grid, found = source.grid(layer), {}
    for cell in spec.cells:
        corners(grid, cell)
    if category is not None:
        area = typical_area(open_bank(category, cache_directory(), progress=progress), source.named(concept))
    for cell in spec.cells:
        often = relative_frequency(shown, cell).cpu()
        least = LEAST if area is None else min(LEAST, 0.5 * area * grid[0] * grid[1] / cell**2)
        found[cell] = Places(concept, grid, cell, category, often >= FREQUENT, often == 0, least - 1e-6)
    return found


def try_shard(source: DissectedModel, spec: SettingSpec, trials: Sequence[Trial], ids: range) -> GainTable:
    """Insert at the places of each image in every way."""
    found = GainTable(len(trials), len(DRAWN))
    for given in baselines(source, spec, ids, spec.layers()):
        gain = torch.full((len(given.ids), len(trials), len(DRAWN)), torch.nan)
        for cell in dict.fromkeys(trial.places.cell for trial in trials):
            own = [i for i, trial in enumerate(trials) if trial.places.cell == cell]
            gain[:, own] = _gains(source, spec, [trials[i] for i in own], given)
        found.update(gain)
    return found


def _gains(source: DissectedModel, spec: SettingSpec, trials: Sequence[Trial], given: Baseline) -> Tensor:
    """Return the gains of a batch by trials at places of one size: float32 [b, trials, drawn]."""
    places = trials[0].places
    gain = torch.full((len(given.ids), len(trials), len(DRAWN)), torch.nan)
    kinds = _kinds(source, places, given)
    for turn, kind in enumerate(DRAWN):
        at = draw_place(kinds[kind], given.ids, spec.seed + SALT + turn)
        image = (at[:, 0] >= 0).nonzero()[:, 0]
        kinds[kind][image, at[image, 0], at[image, 1]] = False  # each place once
        if not len(image):
            continue
        rows = Rows(image, masks(places.grid, at[image], places.cell))
        for i, trial in enumerate(trials):
            edits = trial.edits(rows.where, image, given.ids, spec.seed)
            base = given._replace(features=given.layers[edits[0].layer])
            shown = read_at(source.models.segmenter(draw_edited(source, base, rows, edits)), places.concept, rows.where)
            gain[image, i, turn] = (shown.at / shown.area).float().cpu()  # none was there before
    return gain


def _kinds(source: DissectedModel, places: Places, given: Baseline) -> list[Tensor]:
    """Return the free places where the concept is likely, and those where it is not, bool [b, rows, columns] each."""
    free = (cell_counts(given.labels, [places.concept], places.grid, places.cell)[:, 1] == 0).cpu()
    if places.category is None:
        return [free & places.likely, free & places.unlikely]
    bank = open_bank(places.category, cache_directory())
    boxes = scene_boxes(corners(places.grid, places.cell), places.cell, places.grid)
    labels = scene_labels(source.dissection.vocabulary, given.labels)
    possible = torch.from_numpy(place_probabilities(bank, source.named(places.concept), labels, boxes))
    possible = possible.reshape(free.shape)
    return [free & (possible >= POSSIBLE), free & (possible == 0)]


def setting_table(
    source: DissectedModel, spec: SettingSpec, tried: GainTable, places: dict[int, Places]
) -> pd.DataFrame:
    """Return one row a setting: at what share of places the object appears, and the score by which one is picked."""
    rows = []
    for i, setting in enumerate(spec.settings()):
        row: dict[str, Any] = {
            "by": setting.by,
            "layers": "+".join(setting.layers()),
            "units": len(setting.units),
            "constant": setting.constant,
            "multiple": setting.multiple,
            "strength": setting.strength,
            "cell": setting.cell,
            "control": "without" if sets_all(source, setting) else "random",
        }
        for kind, name in enumerate(("likely", "unlikely")):
            row[name], _, row[f"{name}_places"] = _share(_of_kind(tried.gain[:, i], kind), places[setting.cell].least)
        row["gain"] = float(_of_kind(tried.gain[:, i], LIKELY).nanmean())
        rows.append(row)
    return pd.DataFrame(rows)


def scores(table: pd.DataFrame) -> "pd.Series[float]":
    """Return how good each setting is: where it shows the object, less where it should not, which counts more."""
    score: pd.Series[float] = table.likely.fillna(0) - WRONG * table.unlikely.fillna(0) + 1e-3 * table.gain.fillna(0)
    return score


def measured_table(tried: GainTable, least: float) -> pd.DataFrame:
    """Return what the picked setting does, its control, and the paper's setting."""
    rows = []
    for i, name in enumerate(("picked", "control", "paper")):
        row: dict[str, Any] = {"setting": name}
        for kind, where in enumerate(("likely", "unlikely")):
            row[where], row[f"{where}_error"], row[f"{where}_places"] = _share(_of_kind(tried.gain[:, i], kind), least)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_kind(gain: Float[Tensor, "images places"], kind: int) -> Float[Tensor, "images own"]:
    return gain[:, [i for i, own in enumerate(DRAWN) if own == kind]]


def _share(gain: Float[Tensor, "images places"], least: float) -> tuple[float, float, int]:
    """Return the share of places where the object appears, its error over images, and how many places there were."""
    known = ~gain.isnan()
    shown, image = (gain[known] >= least).numpy(), known.nonzero()[:, 0].numpy()
    share, error = clustered_mean(shown.astype(np.float64), image)
    return share, float(np.fmax(error, proportion(shown)[1])) if len(shown) else math.nan, len(shown)
