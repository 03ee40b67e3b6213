"""The images of a page: each one that some unit shows once, on sprite sheets, and each region as bits.

Sheets and regions are cut into pieces that the page unpacks when it shows them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ganatomy.report.binary_packing import (
    Array,
    deflated,
    pack,
    pack_masks,
    reduced,
    sheet_grid,
    short,
    sprite_sheet,
    thinned,
)

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection

SIDES = (128, 64)
"""Longest edges that images may be reduced to, in pixels."""
CARD, LEAST = 7, 3
"""Images that a card shows, and fewest that it makes sense to show."""
MASK_SIDE = 64
CHUNK = 64
"""Units whose regions are unpacked together."""
SAMPLE = 8
"""Units whose images tell how many bytes an image takes."""
TAG = 60
"""Bytes of the element around a piece, about."""


@dataclass(frozen=True)
class Fit:
    """What a page holds: so many top images of each of the first so many units, reduced to `side` pixels."""

    units: int
    each: int
    side: int


def fit(ids: Array, image_bytes: Callable[[int], float], region_bytes: float, room: float) -> Fit:
    """Return what fits.

    Every top image of every unit, at up to 128 pixels a side; if that is more than fits, as many of each unit as do,
    but no fewer than a card shows; then the same at up to 64 pixels, but no fewer than three; and if these do not fit
    either, three of fewer units, the best of each layer. What they take is estimated as ``distinct images x bytes of
    one + units x images of each x bytes of a region``.

    Args:
        ids: int [u, k], the top images of each unit, best first; units whose images matter most come first.
        image_bytes: of an image reduced to a side.
        region_bytes: of a region.
        room: bytes in all.
    """
    units, top = ids.shape
    least = min(LEAST, top)

    def size(units: int, each: int, side: int) -> float:
        images = len(np.unique(ids[:units, :each]))
        return images * image_bytes(side) + units * each * region_bytes

    for side, fewest in zip(SIDES, (min(CARD, top), least), strict=True):
        for each in range(top, fewest - 1, -1):
            if size(units, each, side) <= room:
                return Fit(units, each, side)
    low, high = 0, units - 1  # a binary search: more units never take less
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(middle, least, SIDES[-1]) <= room else (low, middle - 1)
    return Fit(low, least, SIDES[-1])


@dataclass(frozen=True, eq=False)
class Atlas:
    """Images and regions as text.

    Attributes:
        fit: how many of them.
        top: how many images of each unit the study has.
        whole: height and width of these.
        facts: what the page must know to read the rest.
        pieces: by name: packed tables, which have for each shown unit its row, images and values; regions; sheets.
    """

    fit: Fit
    top: int
    whole: tuple[int, int]
    facts: dict[str, Any]
    pieces: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(len(piece) + TAG for piece in self.pieces.values())


@dataclass(frozen=True, eq=False)
class _Tops:
    """The top images of every unit, those first that a page shows first.

    Attributes:
        names: layer and unit, and rows: their row in the table of units, int [u].
        ids, values: [u, k], as in `Strip`.
        bits: uint8 [u, k, h, bytes], see `pack_masks`, of regions on a grid [h, w].
        grid: h and w.
        sample: some of the images, uint8 [n, H, W, 3].
    """

    names: list[tuple[str, int]]
    rows: Array
    ids: Array
    values: Array
    bits: Array
    grid: tuple[int, int]
    sample: Array


def draw_atlas(dissection: "Dissection", room: int) -> Atlas:
    """Return as many images and regions as fit into a number of bytes, see `fit`."""
    tops = _tops(dissection)
    some = tops.bits[:: -(-len(tops.bits) // CHUNK)]
    region = len(deflated(some.tobytes())) / (some.shape[0] * some.shape[1])

    @lru_cache
    def image(side: int) -> float:
        return len(sprite_sheet(reduced(tops.sample, side))) / len(tops.sample)

    target = float(room)
    while True:
        found = fit(tops.ids, image, region, target)
        atlas = _drawn(dissection, tops, found)
        if atlas.size <= room or not found.units:
            return atlas
        target *= min(0.97, room / atlas.size)  # the estimate was too low by about this much


def _order(units: pd.DataFrame) -> Array:
    """Return row numbers: the best of each layer by IoU, the second best, …"""
    rank = units.groupby("layer", sort=False)["iou"].rank(method="first", ascending=False, na_option="bottom")
    return np.argsort(rank.to_numpy(), kind="stable")


def _tops(dissection: "Dissection") -> _Tops:
    units = dissection.units.reset_index(drop=True)
    rows = _order(units)
    names = [(str(layer), int(unit)) for layer, unit in units[["layer", "unit"]].iloc[rows].itertuples(index=False)]
    ids, values, bits, grid = [], [], [], (0, 0)
    for name in names:
        strip = dissection.top(*name)
        masks = thinned(strip.masks, MASK_SIDE)
        grid = masks.shape[1:]
        ids.append(strip.ids)
        values.append(strip.values)
        bits.append(pack_masks(masks))
    sample = np.concatenate([dissection.top(*name).images for name in names[:: -(-len(names) // SAMPLE)]])
    return _Tops(names, rows, np.array(ids), np.array(values), np.array(bits), grid, sample)


def _drawn(dissection: "Dissection", tops: _Tops, found: Fit) -> Atlas:
    shown = tops.ids[: found.units, : found.each]
    tiles = {id_: tile for tile, id_ in enumerate(dict.fromkeys(shown.flatten().tolist()))}
    table = np.array([[tiles[i] for i in row] for row in shown.tolist()], np.uint32).reshape(shown.shape)
    height, width = reduced(tops.sample[:1], found.side).shape[1:3]
    capacity = int(np.prod(sheet_grid(height, width)))
    manifest, strips = pack(
        {
            "strip.unit": tops.rows[: found.units].astype(np.uint32),
            "strip.tile": table,
            "strip.value": short(tops.values[: found.units, : found.each]),
            "strip.id": np.array(list(tiles), np.uint32),
        }
    )
    bits = tops.bits[: found.units, : found.each]
    facts = {
        "strips": manifest,
        "sprites": {"width": width, "height": height, "capacity": capacity},
        "regions": {"height": tops.grid[0], "width": tops.grid[1], "strips": CHUNK},
    }
    regions = (deflated(bits[start : start + CHUNK].tobytes()) for start in range(0, len(bits), CHUNK))
    sheets = _sheets(dissection, tops, shown, found.side, capacity)
    pieces = {"strips-pack": strips}
    pieces |= {f"regions-{i}": text for i, text in enumerate(regions)}
    pieces |= {f"sheet-{i}": text for i, text in enumerate(sheets)}
    return Atlas(found, tops.ids.shape[1], tops.sample.shape[1:3], facts, pieces)


def _sheets(dissection: "Dissection", tops: _Tops, shown: Array, side: int, capacity: int) -> list[str]:
    """Return all images that are shown, in the order of their first unit, as sheets; some are in memory at a time."""
    waiting: list[Array] = []
    sheets, seen = [], set[int]()
    for name, ids in zip(tops.names, shown.tolist(), strict=False):
        fresh = [rank for rank, id_ in enumerate(ids) if id_ not in seen]
        if fresh:
            seen.update(ids)
            waiting.extend(reduced(dissection.top(*name).images[fresh], side))
        while len(waiting) >= capacity:
            sheets.append(sprite_sheet(np.stack(waiting[:capacity])))
            del waiting[:capacity]
    return [*sheets, sprite_sheet(np.stack(waiting))] if waiting else sheets
