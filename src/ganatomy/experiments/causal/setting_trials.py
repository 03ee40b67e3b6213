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
from ganatomy.engines import Engine
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
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.causal.setting_spec import Setting, SettingSpec
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


class Places(NamedTuple):
    """Where a concept is inserted.

    Attributes:
        concept: its index.
        grid: of the last layer, whose places they are.
        category: of the scenes whose renderer says where it may be; None where none does.
        likely, unlikely: bool [rows, columns], places that usually show it and that never do, by top left corner.
        least: it appears where it newly covers so large a share of the place.
    """

    concept: int
    grid: tuple[int, int]
    category: str | None
    likely: Tensor
    unlikely: Tensor
    least: float


def find_places(
    source: DissectedModel, spec: SettingSpec, category: str | None, engine: Engine, progress: Progress | None
) -> Places:
    """Return where the concept is usual and where it never is; the last layer's pool is drawn if it is not there."""
    layer, concept = spec.layers()[-1], source.concept(spec.concept)
    grid, least = source.grid(layer), LEAST
    corners(grid, spec.cell)
    pool = layer_pool(source, layer, spec.pool, engine, progress)
    often = relative_frequency(pool, concept, spec.cell).cpu()
    if category is not None:
        area = typical_area(open_bank(category, cache_directory(), progress=progress), source.named(concept))
        least = min(least, 0.5 * area * grid[0] * grid[1] / spec.cell**2)
    return Places(concept, grid, category, often >= FREQUENT, often == 0, least - 1e-6)


def try_shard(
    source: DissectedModel,
    spec: SettingSpec,
    places: Places,
    trials: Sequence[Sequence[Part]],
    controlled: Sequence[int],
    ids: range,
) -> GainTable:
    """Insert at the places of each image in every way; after the trials come the controls of those in `controlled`."""
    count = len(trials) + len(controlled)
    found = GainTable(count, len(DRAWN))
    for given in baselines(source, spec, ids):
        gain = torch.full((len(given.ids), count, len(DRAWN)), torch.nan)
        kinds = _kinds(source, spec, places, given)
        for turn, kind in enumerate(DRAWN):
            at = draw_place(kinds[kind], given.ids, spec.seed + SALT + turn)
            image = (at[:, 0] >= 0).nonzero()[:, 0]
            kinds[kind][image, at[image, 0], at[image, 1]] = False  # each place once
            if not len(image):
                continue
            rows = Rows(image, masks(places.grid, at[image], spec.cell))
            edits: list[Sequence[Edit]] = [constant_edits(parts, rows.where) for parts in trials]
            edits += [control_edits(trials[i], rows.where, image, given.ids, spec.seed) for i in controlled]
            for i, own in enumerate(edits):
                images = draw_edited(source, given, rows, own)
                shown = read_at(source.models.segmenter(images), places.concept, rows.where)
                gain[image, i, turn] = (shown.at / shown.area).float().cpu()  # none was there before
        found.update(gain)
    return found


def _kinds(source: DissectedModel, spec: SettingSpec, places: Places, given: Baseline) -> list[Tensor]:
    """Return the free places where the concept is likely, and those where it is not, bool [b, rows, columns] each."""
    free = (cell_counts(given.labels, [places.concept], places.grid, spec.cell)[:, 1] == 0).cpu()
    if places.category is None:
        return [free & places.likely, free & places.unlikely]
    bank = open_bank(places.category, cache_directory())
    boxes = scene_boxes(corners(places.grid, spec.cell), spec.cell, places.grid)
    labels = scene_labels(source.dissection.vocabulary, given.labels)
    possible = torch.from_numpy(place_probabilities(bank, source.named(places.concept), labels, boxes))
    possible = possible.reshape(free.shape)
    return [free & (possible >= POSSIBLE), free & (possible == 0)]


def setting_table(source: DissectedModel, settings: Sequence[Setting], tried: GainTable, least: float) -> pd.DataFrame:
    """Return one row a setting, and which is picked: where the object appears most, less where it should not."""
    rows = []
    for i, setting in enumerate(settings):
        row: dict[str, Any] = {
            "by": setting.by,
            "units": len(setting.units),
            "constant": setting.constant,
            "multiple": setting.multiple,
            "control": "without" if sets_all(source, setting) else "random",
        }
        for kind, name in enumerate(("likely", "unlikely")):
            row[name], _, row[f"{name}_places"] = _share(_of_kind(tried.gain[:, i], kind), least)
        row["gain"] = float(_of_kind(tried.gain[:, i], LIKELY).nanmean())
        rows.append(row)
    table = pd.DataFrame(rows)
    score = (
        table.likely.fillna(0) - table.unlikely.fillna(0) + 1e-3 * table.gain.fillna(0)
    )  # of equals, what shows most
    return table.assign(picked=table.index == score.idxmax())


def measured_table(tried: GainTable, least: float) -> pd.DataFrame:
    """Return what the picked setting does, its control, and the paper's setting."""
    rows = []
    for i, name in ((0, "picked"), (2, "control"), (1, "paper")):
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
