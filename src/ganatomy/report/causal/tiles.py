"""Images on the page: each an SVG of whole multiples of its pixels, so that boxes and heat lie on it sharply."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from ganatomy.report.binary_packing import Array, base64_text, jpeg, png, reduced
from ganatomy.report.card import whole_zoom

YELLOW = "#ffe14d"
WIDE = 880
"""Width of a figure with images, in pixels."""
_SIDE, _MOST = 128, 256
_GAP, _CAPTION = 8, 28
_HOT, _COLD = np.array([255, 214, 64]), np.array([24, 26, 60])
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


def heat_tile(image: Array, heat: Array, greatest: float, title: str, side: int = _SIDE) -> str:
    """Return an image in the dark with heat over it: the brighter, the stronger.

    Args:
        image: uint8 [h, w, 3].
        heat: [rows, columns] over the image, from 0 on; NaN is left dark and grey.
        greatest: what is as bright as can be.
        title: what a screen reader says of it.
        side: about how wide.
    """
    image = reduced(image[None], _MOST)[0]
    dark = (np.repeat(image @ _GREY, 3, axis=-1).reshape(image.shape) * 0.45).astype(np.uint8)
    height, width = image.shape[:2]
    layer = f'<image href="data:image/png;base64,{base64_text(png(_heat(heat, greatest)))}" {_size(width, height)} '
    return _svg(
        dark, _embedded(dark), title, layer + 'preserveAspectRatio="none" style="image-rendering:pixelated"/>', side
    )


def scale_bar(greatest: str) -> str:
    """Return what the colours of heat mean, from 0 to `greatest`."""
    ends = ",".join(f"rgb({c[0]},{c[1]},{c[2]})" for c in (_COLD, _HOT))
    return f'<p class="small scale">0 <i style="background:linear-gradient(90deg,{ends})"></i> {escape(greatest)}</p>'


def rows_of_tiles(cards: Sequence[Card]) -> str:
    """Return cards, as many in a row as fit; on a card each tile stands above its caption."""
    shown = []
    for card in cards:
        figures = "".join(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in card)
        shown.append(f'<article class="card tiles"><div>{figures}</div></article>')
    return f'<div class="tilerows">{"".join(shown)}</div>'


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
    share = np.clip(np.nan_to_num(heat) / (greatest or 1), 0, 1)[..., None]
    colour = _COLD + share * (_HOT - _COLD)
    opacity = np.where(np.isfinite(heat)[..., None], 90 + 140 * share, 0)
    return np.concatenate([colour, opacity], axis=-1).round().astype(np.uint8)
