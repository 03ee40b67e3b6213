"""Where settings are tried: free places of images, some where the object may be, some where it may not."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganatomy.core.cache import cache_directory
from ganatomy.core.progress import Progress
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows
from ganatomy.experiments.causal.place_truth import LEAST, scene_boxes, scene_labels, typical_area
from ganatomy.experiments.causal.places import cell_counts, corners, relative_frequency
from ganatomy.experiments.causal.setting_spec import Rounds, SettingSpec
from ganatomy.experiments.causal.trials import Baseline, baselines
from ganatomy.scenes.places import POSSIBLE, open_bank, place_probabilities
from ganatomy.stats.base import concat
from ganatomy.study import Study

LIKELY, UNLIKELY = KINDS = range(2)
"""Kinds of places: where the object may be, and where it may not."""
FREQUENT = 0.25
"""Where no renderer says where an object may be: places that show it so often, as a share of the most frequent one."""


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


class FreeImages(JoinedRows):
    """Which images have a free place, where the object may be and where it may not.

    Attributes:
        free: bool [images, sizes and kinds of places].
    """

    FIELDS: ClassVar = {"free": concat}

    def __init__(self, columns: int) -> None:
        self.free = torch.zeros(0, columns, dtype=torch.bool)


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


def find_images(source: DissectedModel, spec: SettingSpec, study: Study, places: Mapping[int, Places]) -> "ImagesOf":
    """Return, for places of each size and kind, the ids of the first images that have a free one.

    So many are looked through as are needed; where such images are rare, `searched` at most.
    """
    columns = list(itertools.product(places, KINDS))
    free, work = (
        torch.zeros(0, len(columns), dtype=torch.bool),
        partial(find_shard, source, spec, list(places.values())),
    )
    while len(free) < spec.searched and (len(free) == 0 or int(free.sum(0).min()) < spec.images):
        ids = range(spec.first + len(free), spec.first + min(len(free) + spec.images, spec.searched))
        found = study.sharded(f"images-{len(free)}", FreeImages, work, source.run.shards(ids))
        free = torch.cat([free, found.free])
    ids_of = [(own.nonzero()[: spec.images, 0] + spec.first).tolist() for own in free.T]
    return {column: Rounds.of(own) for column, own in zip(columns, ids_of, strict=True)}


ImagesOf = Mapping[tuple[int, int], Rounds]
"""The images that are used, by side and kind of the places."""


def find_shard(source: DissectedModel, spec: SettingSpec, places: list[Places], ids: range) -> FreeImages:
    """Find which images have a free place of each size and kind."""
    found = FreeImages(len(places) * len(KINDS))
    for given in baselines(source, spec, ids):
        own = [kind.flatten(1).any(1) for kinds in free_places(source, places, given) for kind in kinds]
        found.update(torch.stack(own, 1))
    return found


def free_places(source: DissectedModel, places: list[Places], given: Baseline) -> list[tuple[Tensor, Tensor]]:
    """Return the free places of each size where the concept is likely, and where not, bool [b, rows, columns] each."""
    first = places[0]
    free = [(cell_counts(given.labels, [own.concept], own.grid, own.cell)[:, 1] == 0).cpu() for own in places]
    if first.category is None:
        return [(is_free & own.likely, is_free & own.unlikely) for is_free, own in zip(free, places, strict=True)]
    boxes = [scene_boxes(corners(own.grid, own.cell), own.cell, own.grid) for own in places]
    labels = scene_labels(source.dissection.vocabulary, given.labels)
    bank = open_bank(first.category, cache_directory())
    possible = place_probabilities(bank, source.named(first.concept), labels, np.concatenate(boxes))
    ends = np.cumsum([len(own) for own in boxes])[:-1]
    of_size = [
        torch.from_numpy(own).reshape(each.shape) for own, each in zip(np.split(possible, ends, 1), free, strict=True)
    ]
    return [(is_free & (own >= POSSIBLE), is_free & (own == 0)) for is_free, own in zip(free, of_size, strict=True)]
