"""Images on the page: each an SVG of whole multiples of its pixels, so that boxes and heat lie on it sharply."""

import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from ganatomy.report.binary_packing import Array, base64_text, jpeg, png, reduced
from ganatomy.report.card import whole_zoom

YELLOW, CYAN = "#ffe14d", "#63e6ff"
"""Of what is edited or found, and of where something may be."""
WIDE = 880
"""Width of a figure with images, in pixels."""
_SIDE, _MOST = 128, 256
_GAP, _CAPTION = 8, 28
_ZOOM, _WIDEST = 6, 240
"""How many times a crop is enlarged, and how wide it may become by that, in pixels."""
_DARKEN = 120
"""How dark the rest is where a region is shown, of 255."""
_HEAT = np.array([[46, 22, 96], [202, 62, 92], [255, 222, 72]])
"""Colours of no heat, half and all, as red, green and blue."""
_GREY = np.array([0.299, 0.587, 0.114])


Card = Sequence[tuple[str, str]]
"""Tiles that belong together, each with its caption."""


class Box(NamedTuple):
    """A rectangle, as shares of the image's height and width."""

    top: float
    left: float
    height: float
    width: float


def tile(image: Array, title: str, boxes: Sequence[Box] = (), side: int = _SIDE) -> str:
    """Return an image uint8 [h, w, 3] as an SVG element about `side` pixels wide, with yellow boxes on it."""
    image = reduced(image[None], _MOST)[0]
    return _svg(image, _embedded(image), title, "".join(_rectangle(box, image.shape[:2]) for box in boxes), side)


def crop_tile(image: Array, box: Box, title: str) -> str:
    """Return a place of an image uint8 [h, w, 3], boxed, six times as large, with what is around it.

    That is half as much to either side, or as much as makes a quarter of the image.
    """
    height, width = image.shape[:2]
    exact = box.top * height, box.left * width, box.height * height, box.width * width
    around = [max(size / 2, (n / 4 - size) / 2) for size, n in zip(exact[2:], (height, width), strict=True)]
    top, left = (max(0, int(start - room)) for start, room in zip(exact[:2], around, strict=True))
    bottom, right = (math.ceil(exact[i] + exact[2 + i] + around[i]) for i in range(2))
    part = image[top:bottom, left:right]
    tall, wide = part.shape[:2]
    own = Box((exact[0] - top) / tall, (exact[1] - left) / wide, exact[2] / tall, exact[3] / wide)
    part = reduced(part[None], _WIDEST)[0]
    return _svg(part, _embedded(part), title, _rectangle(own, part.shape[:2]), min(_ZOOM * wide, _WIDEST))


def region_tile(image: Array, region: Array, title: str, side: int = _SIDE) -> str:
    """Return an image uint8 [h, w, 3] with a region of it, bool [rows, columns], outlined, the rest darker."""
    image = reduced(image[None], side)[0]
    dark = np.zeros((*region.shape, 4), np.uint8)
    dark[..., 3] = np.where(region, 0, _DARKEN)
    return _svg(image, _embedded(image), title, _over(png(dark), image) + outline(region, image.shape[:2]), side)


def outline(cells: Array, size: tuple[int, ...], colour: str = YELLOW) -> str:
    """Return the border of cells, bool [rows, columns], over an image of a size as an SVG path."""
    down, across = size[0] / cells.shape[0], size[1] / cells.shape[1]
    around = np.pad(cells, 1)
    flat, upright = around[1:, 1:-1] ^ around[:-1, 1:-1], (around[1:-1, 1:] ^ around[1:-1, :-1]).T
    path = "".join(f"M{start * across:g} {at * down:g}H{end * across:g}" for at, start, end in _stretches(flat))
    path += "".join(f"M{at * across:g} {start * down:g}V{end * down:g}" for at, start, end in _stretches(upright))
    style = 'fill="none" vector-effect="non-scaling-stroke"'
    return f'<path d="{path}" {style} stroke="{colour}" stroke-width="1.5"/>'


def _stretches(edges: Array) -> Iterator[tuple[int, int, int]]:
    """Yield (row, start, end) of what is set without a break in each row of a bool array."""
    changes = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    ends = (np.argwhere(changes == step).tolist() for step in (1, -1))
    for (row, start), (_, end) in zip(*ends, strict=True):
        yield row, start, end


def heat_tile(
    image: Array, heat: Array, greatest: float, title: str, side: int = _SIDE, marked: Array | None = None
) -> str:
    """Return an image in the dark with heat over it: the brighter, the stronger.

    Args:
        image: uint8 [h, w, 3].
        heat: [rows, columns] over the image, from 0 on; NaN is left dark and grey.
        greatest: what is as bright as can be.
        title: what a screen reader says of it.
        side: about how wide.
        marked: bool [rows, columns], what has an outline.
    """
    image = reduced(image[None], _MOST)[0]
    dark = (np.repeat(image @ _GREY, 3, axis=-1).reshape(image.shape) * 0.5).astype(np.uint8)
    above = _over(png(_heat(heat, greatest)), image)
    above += "" if marked is None else outline(marked, image.shape[:2], CYAN)
    return _svg(dark, _embedded(dark), title, above, side)


def scale_bar(greatest: str) -> str:
    """Return what the colours of heat mean, from 0 to `greatest`."""
    ends = ",".join(f"rgb({c[0]},{c[1]},{c[2]})" for c in _HEAT)
    return f'<p class="small scale">0 <i style="background:linear-gradient(90deg,{ends})"></i> {escape(greatest)}</p>'


def rows_of_tiles(cards: Sequence[Card]) -> str:
    """Return cards, as many in a row as fit; on a card each tile stands above its caption."""
    shown = []
    for card in cards:
        figures = "".join(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in card)
        shown.append(f'<article class="card tiles"><div>{figures}</div></article>')
    return f'<div class="tilerows">{"".join(shown)}</div>'


def grouped(groups: Sequence[tuple[str, Sequence[Card]]]) -> str:
    """Return groups of cards, each under its heading; nothing for a group without any."""
    return "".join(f"<h4>{escape(heading)}</h4>{rows_of_tiles(cards)}" for heading, cards in groups if cards)


def sheet(cards: Sequence[Card], width: int) -> str:
    """Return cards as one SVG element, for a file: as many in a row as fit into `width`, captions below."""
    x = y = tallest = 0
    parts = []
    for card in cards:
        sizes = [_size_in_pixels(svg) for svg, _ in card]
        own = sum(size[0] + _GAP for size in sizes)
        if x and x + own > width:
            x, y, tallest = 0, y + tallest + _CAPTION, 0
        for (svg, caption), (wide, tall) in zip(card, sizes, strict=True):
            parts.append(svg.replace('class="tile"', f'x="{x}" y="{y}"', 1))
            parts.append(f'<text x="{x}" y="{y + tall + 15}">{escape(caption)}</text>')
            x, tallest = x + wide + _GAP, max(tallest, tall)
        x += 3 * _GAP
    return f'<svg width="100%" height="{y + tallest + _CAPTION}">{"".join(parts)}</svg>'


def _size_in_pixels(svg: str) -> tuple[int, int]:
    found = re.search(r'width="(\d+)" height="(\d+)"', svg)
    assert found
    return int(found[1]), int(found[2])


def _svg(image: Array, inner: str, title: str, above: str, side: int) -> str:
    height, width = image.shape[:2]
    zoom = whole_zoom(image[None], side)
    shown = f'width="{zoom * width}" height="{zoom * height}" viewBox="0 0 {width} {height}"'
    return f'<svg class="tile" {shown} role="img" aria-label="{escape(title)}">{inner}{above}</svg>'


def _embedded(image: Array) -> str:
    height, width = image.shape[:2]
    source = f"data:image/jpeg;base64,{base64_text(jpeg(image))}"
    return f'<image href="{source}" {_size(width, height)} style="image-rendering:pixelated"/>'


def _over(layer: bytes, image: Array) -> str:
    """Return a PNG file as an element that covers an image."""
    height, width = image.shape[:2]
    place = f'{_size(width, height)} preserveAspectRatio="none" style="image-rendering:pixelated"'
    return f'<image href="data:image/png;base64,{base64_text(layer)}" {place}/>'


def _size(width: int, height: int) -> str:
    return f'width="{width}" height="{height}"'


def _rectangle(box: Box, size: tuple[int, ...]) -> str:
    height, width = size[:2]
    place = f'x="{box.left * width:g}" y="{box.top * height:g}" {_size_of(box, height, width)}'
    outline = 'fill="none" vector-effect="non-scaling-stroke"'
    return (
        f'<rect {place} {outline} stroke="#000" stroke-opacity=".55" stroke-width="4"/>'
        f'<rect {place} {outline} stroke="{YELLOW}" stroke-width="2"/>'
    )


def _size_of(box: Box, height: int, width: int) -> str:
    return f'width="{box.width * width:g}" height="{box.height * height:g}"'


def _heat(heat: Array, greatest: float) -> Array:
    """Return heat as uint8 [rows, columns, 4]."""
    share = np.clip(np.nan_to_num(heat) / (greatest or 1), 0, 1)
    colour = np.stack([np.interp(share, [0, 0.5, 1], part) for part in _HEAT.T], -1)
    opacity = np.where(np.isfinite(heat), 50 + 190 * np.sqrt(share), 0)[..., None]
    return np.concatenate([colour, opacity], axis=-1).round().astype(np.uint8)
