"""Every setting tried at places of some images: where the object may be, and where it may not."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.layer_steps import spanned
from ganatomy.core.tensor_types import Images
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import (
    Part,
    constant_edits,
    control_edits,
    draw_edited,
    sets_all,
)
from ganatomy.experiments.causal.places import Rows, as_bytes, draw_place, masks, read_at
from ganatomy.experiments.causal.setting_places import KINDS, LIKELY, UNLIKELY, Places, free_places
from ganatomy.experiments.causal.setting_spec import SettingSpec
from ganatomy.experiments.causal.trials import Baseline, GainTable, baselines
from ganatomy.models.generators.protocol import Edit
from ganatomy.stats.clusters import clustered_mean, proportion

SALT = 0x5E77
DRAWN = (LIKELY, LIKELY, UNLIKELY, UNLIKELY)
"""The places that are tried, by kind, two in each image that has so many."""
EXAMPLES = 6
"""Images of each kind that are shown."""
WRONG = 2
"""An object where it should not be counts so much against a setting as one where it may be counts for it."""


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

    def edits(self, where: Tensor, image: Tensor, ids: Sequence[int], seed: int) -> Sequence[Edit]:
        """Return the edits of each row of a batch: at its map, in one of the images of these ids."""
        if self.control:
            return control_edits(self.parts, where, image, ids, seed, self.strength)
        return constant_edits(self.parts, where, self.strength)


def try_shard(
    source: DissectedModel,
    spec: SettingSpec,
    trials: Sequence[Trial],
    images: Mapping[tuple[int, int], Sequence[int]],
    rows: range,
) -> GainTable:
    """Insert in every way at places of those images that have these positions among the images for that place."""
    found = torch.full((len(rows), len(trials), len(DRAWN)), torch.nan)
    for cell, kind in itertools.product(dict.fromkeys(trial.places.cell for trial in trials), KINDS):
        own = [i for i, trial in enumerate(trials) if trial.places.cell == cell]
        ids, done = images[cell, kind][rows.start : rows.stop], 0
        for given in baselines(source, spec, ids, spec.layers()):
            gain = _gains(source, spec, [trials[i] for i in own], given, kind)
            batch = slice(done, done := done + len(given.ids))
            found[batch, own] = torch.where(gain.isnan(), found[batch, own], gain)
    table = GainTable(len(trials), len(DRAWN))
    table.update(found)
    return table


def _gains(source: DissectedModel, spec: SettingSpec, trials: Sequence[Trial], given: Baseline, kind: int) -> Tensor:
    """Return the gains of a batch by trials at places of one size and kind: float32 [b, trials, drawn]."""
    places = trials[0].places
    gain = torch.full((len(given.ids), len(trials), len(DRAWN)), torch.nan)
    for turn, rows, _ in _drawn_places(source, spec, places, given, kind):
        for i, trial in enumerate(trials):
            gain[rows.image, i, turn], _ = _inserted(source, spec, trial, given, rows)
    return gain


def _drawn_places(
    source: DissectedModel, spec: SettingSpec, places: Places, given: Baseline, kind: int
) -> Iterator[tuple[int, Rows, Tensor]]:
    """Yield the number of a turn, the rows of the images that have a place of a kind left, and that place [rows, 2]."""
    free = free_places(source, [places], given)[0][kind]
    for turn in [turn for turn, own in enumerate(DRAWN) if own == kind]:
        at = draw_place(free, given.ids, spec.seed + SALT + turn)
        image = (at[:, 0] >= 0).nonzero()[:, 0]
        free[image, at[image, 0], at[image, 1]] = False  # each place once
        if len(image):
            yield turn, Rows(image, masks(places.grid, at[image], places.cell)), at[image]


def _inserted(
    source: DissectedModel, spec: SettingSpec, trial: Trial, given: Baseline, rows: Rows
) -> tuple[Tensor, Images]:
    """Insert at one place of each row; return what share of it shows the concept, which none did, and the images."""
    edits = trial.edits(rows.where, rows.image, given.ids, spec.seed)
    images = draw_edited(source, given._replace(features=given.layers[edits[0].layer]), rows, edits)
    shown = read_at(source.models.segmenter(images), trial.places.concept, rows.where)
    return (shown.at / shown.area).float().cpu(), images


@dataclass(frozen=True, eq=False)
class SettingImages(Tensors):
    """Images before and after, with the picked setting at one place each.

    Attributes:
        ids: int64 [n].
        kinds: int64 [n], whether the object may be there.
        boxes: float64 [n, 4], top, left, height and width of the place, as shares of the image.
        gain: float32 [n], the share of the place that shows the concept after.
        images: uint8 [n, 2, H, W, 3].
    """

    ids: Tensor
    kinds: Tensor
    boxes: Tensor
    gain: Tensor
    images: Tensor


def draw_examples(
    source: DissectedModel, spec: SettingSpec, trial: Trial, images: Mapping[tuple[int, int], Sequence[int]]
) -> SettingImages:
    """Insert by the picked setting at one place of the first images that have one of a kind, for each kind."""
    places, found = trial.places, list[tuple[Any, ...]]()
    size = torch.tensor(places.grid).repeat(2)
    for kind in KINDS:
        for given in baselines(source, spec, images[places.cell, kind][:EXAMPLES], spec.layers()):
            _, rows, at = next(_drawn_places(source, spec, places, given, kind))
            gain, after = _inserted(source, spec, trial, given, rows)
            pairs = torch.stack([as_bytes(own.cpu()) for own in (given.images[rows.image], after)], 1)
            ids = torch.tensor([given.ids[i] for i in rows.image.tolist()])
            boxes = torch.cat([at, torch.full_like(at, places.cell)], 1) / size
            found.append((ids, torch.full_like(ids, kind), boxes.double(), gain, pairs.permute(0, 1, 3, 4, 2)))
    return SettingImages(*map(torch.cat, zip(*found, strict=True)))


def setting_table(
    source: DissectedModel, spec: SettingSpec, tried: GainTable, places: dict[int, Places]
) -> pd.DataFrame:
    """Return one row a setting: at what share of places the object appears, and the score by which one is picked."""
    rows = []
    for i, setting in enumerate(spec.settings()):
        row: dict[str, Any] = {
            "by": setting.by,
            "layers": "+".join(spanned(setting.layers())),
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
