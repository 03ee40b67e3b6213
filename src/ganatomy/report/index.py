"""One page that links the results of a directory, each with its question and first finding."""

import contextlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ganatomy.core.errors import GanatomyError
from ganatomy.remote import local_path
from ganatomy.report.formats import count
from ganatomy.report.page import humanize, model_name, template
from ganatomy.report.summary import image_thumbnail, thumbnail
from ganatomy.report.svg import ROW
from ganatomy.study.files import read_record

if TYPE_CHECKING:
    from ganatomy.experiments.catalogue import Entry, Group

MARK = '<meta name="generator" content="ganatomy index">'
"""Stands at the start of every index; what lacks it is not overwritten."""
TALLEST = 260
"""Pixels of the height of a chart that are shown, at most; rows of bars are shown whole."""
_TOPICS = {
    "What units draw": ("dissect", "describe"),
    "What units cause": ("ablate", "unit-effects", "ace", "apply", "accuracy", "unit-accuracy"),
    "What can be inserted, and where": ("insert", "context", "best-setting", "capacity", "trace"),
    "How real the images are": ("quality", "artifacts", "repair"),
    "Photographs": ("invert", "edit-photographs"),
    "Side by side": ("compare", "judge", "monitor"),
}
"""What results are about, by their verbs; those of any other stand under `_OTHERS`."""
_OTHERS = "Others"
_LONGEST = 60
"""Letters of a value that is shown among the options that differ."""
_QUESTION = ("dissection", "generator", "segmenter", "layer", "layers", "concept", "units", "chosen")
"""Fields of a Spec that its question, or the group, names."""


@dataclass(frozen=True)
class _Item:
    """A result as the page shows it: ``notes`` are what it is, and options; ``left_out`` is of its chart, in words."""

    entry: "Entry"
    title: str
    href: str
    answer: str
    warnings: Sequence[str]
    notes: Sequence[str]
    image: str
    height: int
    left_out: str
    images: Sequence[str] = ()

    @property
    def made(self) -> str:
        """When its study was last written, in local time."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.entry.made))


def index_html(groups: Sequence["Group"], path: Path, directory: Path) -> str:
    """Return the index of some results as the text of one HTML page that will lie at `path`."""
    entries = [each for group in groups for each in group.entries]
    alone = len(groups) == 1 and groups[0].dissection is not None
    return template("index.html").render(
        mark=MARK,
        title=f"What was measured on {_model(groups[0])}"
        if alone
        else f"What was measured in {directory.resolve().name}",
        count=count(len(entries), "result"),
        broken=sum(each.state != "finished" for each in entries),
        groups=[
            (f"group-{i}", _model(each), _place(each, directory), _by_topic(_items(each, path)))
            for i, each in enumerate(groups)
        ],
    )


def is_index(path: Path) -> bool:
    """Whether a file is an index that this module wrote."""
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(4096)
    except OSError:
        return False


def dissection_of(study: Path, digest: str, source: str) -> Path | None:
    """Return the directory of the dissection that a study stands on; None where it is no longer found.

    It is looked for where `DissectedModel.sibling_path` would have put the study, and at `source`, where it once was.
    """
    around = str(study.resolve().parent.parent)
    for where in (around.removesuffix("-causal"), source):
        with contextlib.suppress(GanatomyError, OSError):  # not a study, or one that is being made again
            directory = local_path(where).resolve()
            if read_record(directory)["digest"] == digest:
                return directory
    return None


def _model(group: "Group") -> str:
    if group.dissection is None:
        return "Comparisons and others"
    return model_name(str(group.dissection.spec.get("generator", ""))) or group.dissection.directory.name


def _place(group: "Group", directory: Path) -> str:
    return "" if group.dissection is None else os.path.relpath(group.dissection.directory, directory)


def _items(group: "Group", path: Path) -> list[_Item]:
    """Return the results of a group in its order, each with the options in which it differs from others of its kind."""
    items = []
    for _, same in groupby(group.entries, key=lambda each: each.verb):
        own = list(same)
        names = dict.fromkeys(name for each in own for name in each.spec if name not in _QUESTION)
        differing = [name for name in names if len({humanize(each.spec.get(name)) for each in own}) > 1]
        items += [_item(each, differing, path) for each in own]
    return items


def _by_topic(items: Sequence[_Item]) -> list[tuple[str, list[_Item]]]:
    """Return the results by what they are about."""
    topics = {verb: topic for topic, verbs in _TOPICS.items() for verb in verbs}
    found: dict[str, list[_Item]] = {topic: [] for topic in (*_TOPICS, _OTHERS)}
    for item in items:
        found[topics.get(item.entry.verb, _OTHERS)].append(item)
    return [(topic, own) for topic, own in found.items() if own]


def _first_sentence(text: str) -> str:
    """Return the first sentence of a text.

    >>> _first_sentence("tree: −11 ± 4.5 % of the pixels. Measured on 48 images.")
    'tree: −11 ± 4.5 % of the pixels.'
    """
    return re.split(r"(?<=[.?!]) (?=[A-Z])", text, maxsplit=1)[0]


def _item(entry: "Entry", differing: Sequence[str], path: Path) -> _Item:
    there, found = entry.page.is_file(), entry.summary
    notes = [text for text in (entry.verb, *_options(entry.spec, differing)) if text]
    answer, chart = (_first_sentence(found.answer), found.chart) if found else ("", "")
    if entry.state != "finished":
        answer = entry.state if entry.state != "unfinished" else "Unfinished: the same command goes on with it."
    elif not there and entry.measured_again:
        answer = "No page: the same command writes it."
    elif not there:
        answer = f"No page yet: ganatomy report {os.path.relpath(entry.directory, path.resolve().parent)} writes it."
    height, left_out = _fitting(chart)
    return _Item(
        entry,
        title=found.question if found else entry.title,
        href=quote(os.path.relpath(entry.page, path.resolve().parent)) if there else "",
        answer=answer,
        warnings=found.warnings if found else (),
        notes=notes,
        image=thumbnail(chart) if chart else "",
        height=height,
        left_out=left_out,
        images=[image_thumbnail(each) for each in found.images] if found else [],
    )


def _fitting(chart: str) -> tuple[int, str]:
    """Return how many pixels of the height of a chart are shown, and what that leaves out, in words.

    >>> _fitting('<svg class="bars" width="100%" height="294">')
    (252, 'the first 12 of 14 rows')
    """
    found = re.search(r'height="(\d{1,5})"', chart[:200])
    height = int(found[1]) if found else TALLEST
    if height <= TALLEST or not chart.startswith('<svg class="bars"'):
        return min(height, TALLEST), ""
    rows = TALLEST // ROW
    return rows * ROW, f"the first {rows} of {height // ROW} rows"


def _options(spec: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the options of these names that are set, but for long values, which say little in a line."""
    texts = (f"{name} {humanize(spec[name])}" for name in names if spec.get(name) not in (None, [], ""))
    return [text for text in texts if len(text) <= _LONGEST]
