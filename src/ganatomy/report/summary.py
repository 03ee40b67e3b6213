"""What a page says of itself in its head, so that an index shows it without opening what the page was made of."""

import io
import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from ganatomy.core.files import loads_json
from ganatomy.report.binary_packing import base64_text, jpeg, reduced
from ganatomy.report.page import script_json

HEAD = 1 << 17
"""Bytes at the start of a page in which its summary is looked for."""
LARGEST = 1 << 14
"""Letters of a chart that an index shows; it leaves out larger ones."""
IMAGES = 3
"""Images of a page that an index shows."""
IMAGE_SIDE = 64
"""Pixels of the longer edge of such an image."""
_TILE = re.compile(r'<svg class="tile".*?</svg>', re.DOTALL)
_JPEG = re.compile(r"data:image/jpeg;base64,([^\"]+)")
_CHART = re.compile(r'<svg class="(?:bars|lines)".*?</svg>(?=</figure>)', re.DOTALL)
_SUMMARY = re.compile(r'<script type="application/json" id="summary">(.*?)</script>', re.DOTALL)
_STYLE = """
svg { overflow: visible; font: 13px system-ui, sans-serif; color: #1d2127; }
.note { opacity: .75; }
@media (prefers-color-scheme: dark) { svg { color: #e6e8eb; } }
"""


@dataclass(frozen=True)
class Summary:
    """A page in short.

    Attributes:
        question: what it asks.
        answer: its first finding, in a line.
        warnings: why it is no finding.
        chart: SVG of its first chart; empty where it has none.
        images: SVG of some of its images, each small.
    """

    question: str
    answer: str
    warnings: tuple[str, ...] = ()
    chart: str = ""
    images: tuple[str, ...] = ()

    @property
    def json(self) -> str:
        """It as JSON that may stand in a script element."""
        return script_json(vars(self))


def summary_of(
    question: str, answer: str, warnings: Sequence[str], parts: Iterable[str], *, spread: bool = False
) -> Summary:
    """Return the summary of a page whose parts are HTML.

    Args:
        question, answer, warnings: of the page.
        parts: where its first chart and its images are looked for; the images are of the first part that has any.
        spread: take images from the first to the last of these, not the first ones.
    """
    parts = list(parts)
    charts = (found[0] for part in parts for found in _CHART.finditer(part))
    chart = next((each for each in charts if len(each) <= LARGEST), "")
    tiles = next((found for part in parts if (found := _TILE.findall(part))), [])
    if spread and len(tiles) > IMAGES:
        tiles = [tiles[round(i * (len(tiles) - 1) / (IMAGES - 1))] for i in range(IMAGES)]
    small = (_JPEG.sub(_smaller, each) for each in tiles[:IMAGES])
    return Summary(question, answer, tuple(warnings), chart, tuple(each for each in small if len(each) <= LARGEST))


def _smaller(found: re.Match[str]) -> str:
    """Return an image in the text of a page with fewer pixels."""
    with Image.open(io.BytesIO(b64decode(found[1]))) as image:
        return f"data:image/jpeg;base64,{base64_text(jpeg(reduced(np.asarray(image)[None], IMAGE_SIDE)[0]))}"


def read_summary(page: Path) -> Summary | None:
    """Return what a page says of itself; None where there is no page, or one that says nothing."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
        with page.open("rb") as file:
            found = _SUMMARY.search(file.read(HEAD).decode("utf-8", errors="replace"))
        if found:
            held = loads_json(found[1])
            texts = [str(held[name]) for name in ("question", "answer", "chart")]
            warnings, images = (tuple(map(str, held.get(name, ()))) for name in ("warnings", "images"))
            return Summary(texts[0], texts[1], warnings, texts[2], images)
    return None


def thumbnail(chart: str) -> str:
    """Return the address of a chart as an image: one that a stranger's page brought along can run and load nothing."""
    if chart.startswith('<svg class="lines"'):  # names of values and lines stand outside of the plot
        chart = chart.replace('width="100%"', 'x="5%" width="82%"', 1)
    return _as_image(f'<svg xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>{chart}</svg>')


def image_thumbnail(image: str) -> str:
    """Return the address of one of the images of a summary, see `thumbnail`."""
    return _as_image(image.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def _as_image(svg: str) -> str:
    return f"data:image/svg+xml,{quote(svg, safe=' =:/;,.()+')}"
