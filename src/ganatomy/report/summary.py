"""What a page says of itself in its head, so that an index shows it without opening what the page was made of."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ganatomy.report.page import script_json

HEAD = 1 << 17
"""Bytes at the start of a page in which its summary is looked for."""
LARGEST = 1 << 14
"""Letters of a chart that an index shows; it leaves out larger ones."""
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
    """

    question: str
    answer: str
    warnings: tuple[str, ...] = ()
    chart: str = ""

    @property
    def json(self) -> str:
        """It as JSON that may stand in a script element."""
        return script_json(vars(self))


def summary_of(question: str, answer: str, warnings: Sequence[str], parts: Iterable[str]) -> Summary:
    """Return the summary of a page whose parts are HTML."""
    charts = (found[0] for part in parts for found in _CHART.finditer(part))
    return Summary(question, answer, tuple(warnings), next((each for each in charts if len(each) <= LARGEST), ""))


def read_summary(page: Path) -> Summary | None:
    """Return what a page says of itself; None where there is no page, or one that says nothing."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
        with page.open("rb") as file:
            found = _SUMMARY.search(file.read(HEAD).decode("utf-8", errors="replace"))
        if found:
            held = json.loads(found[1])
            texts = [str(held[name]) for name in ("question", "answer", "chart")]
            return Summary(texts[0], texts[1], tuple(map(str, held["warnings"])), texts[2])
    return None


def thumbnail(chart: str) -> str:
    """Return the address of a chart as an image: one that a stranger's page brought along can run and load nothing."""
    if chart.startswith('<svg class="lines"'):  # names of values and lines stand outside of the plot
        chart = chart.replace('width="100%"', 'x="5%" width="82%"', 1)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>{chart}</svg>'
    return f"data:image/svg+xml,{quote(svg, safe=' =:/;,.()')}"
