"""Which results lie in a directory, what each stands on, and the index of them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile, BadValue, GanatomyError, StudyError
from ganatomy.core.files import DAMAGE, read_json, write_text
from ganatomy.experiments.base import EXPERIMENTS, experiment
from ganatomy.remote import display_path, listed, local_path, url_of
from ganatomy.report.index import dissection_of, index_html, is_index
from ganatomy.report.summary import Summary, read_summary
from ganatomy.study import kind_name
from ganatomy.study.files import INDEX, read_record

DEEP = 6
"""Directories below the one that is asked for in which results are looked for."""
DISSECTION, COMPARISON, JUDGEMENT, TRAINING = "dissect", "compare", "judge", "monitor"
_PAGES = {COMPARISON: "compare.html", JUDGEMENT: "judge.html", TRAINING: "monitor.html"}
_MEASURED_AGAIN = (COMPARISON, JUDGEMENT)
"""Kinds whose command alone writes their page."""
_STUDIES_INSIDE = (JUDGEMENT, TRAINING)
"""Kinds whose directory has the dissections that they are made of, in ``studies``."""

RECORDS, SNAPSHOTS = ("study.json", "compare.json", "judge.json"), "snapshots"
"""Files and the directory by which results are found."""


@dataclass(frozen=True)
class Entry:
    """A result, or what there is of one.

    Attributes:
        directory: where it lies.
        kind: as in ``study.json``; ``compare``, ``judge`` or ``monitor`` of what is no study; '' where that cannot be
            read.
        state: ``finished``, ``unfinished``, or why it cannot be read.
        spec: what was asked; empty where that cannot be read.
        digest: of a study, that of its Spec.
        dissections: digests of the dissections that it stands on.
        places: where these were.
        made: seconds since 1970 at which its record was last written; 0 where it has none.
        summary: what its page says of itself; None without a page.
    """

    directory: Path
    kind: str = ""
    state: str = "finished"
    spec: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    dissections: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    made: float = 0.0
    summary: Summary | None = None

    @property
    def page(self) -> Path:
        """Its page, whether it is there or not."""
        return self.directory / _PAGES.get(self.kind, "report.html")

    @property
    def verb(self) -> str:
        """The command that made it; as several make effects, these say which."""
        return str(self.spec.get("kind") or _results().get(self.kind, self.kind))

    @property
    def measured_again(self) -> bool:
        """Whether its page cannot be written from what lies there, but only by its command."""
        return self.kind in _MEASURED_AGAIN

    @property
    def model(self) -> str:
        """The name of the model that it is of; '' where it is of several."""
        return str(self.spec.get("generator") or self.spec.get("autoencoder") or "")

    @property
    def about(self) -> str:
        """The concept and the layers that it is about, as far as it is about any."""
        layers = self.spec.get("layer") or self.spec.get("layers") or ()
        texts = (self.spec.get("concept"), layers if isinstance(layers, str) else ", ".join(map(str, layers)))
        return " at ".join(str(text) for text in texts if text)

    @property
    def title(self) -> str:
        """What it is called where it has no page that asks its question."""
        return ": ".join(filter(None, (self.verb, self.about))) or self.directory.name


@dataclass(frozen=True)
class Group:
    """A dissection and the results that stand on it, itself the first; or those whose dissection is not among them."""

    dissection: Entry | None
    entries: Sequence[Entry]


def entries_below(directory: Path, deep: int = DEEP) -> Iterator[Entry]:
    """Yield what lies in a directory, each before what lies within it; not the studies that another is made of."""
    found = read_entry(directory)
    if found is not None:
        yield found
    if deep and (found is None or found.kind not in _PAGES):
        for path in _folders(directory):
            yield from entries_below(path, deep - 1)


def listed_entries(directory: Path) -> dict[str, Entry]:
    """Return what lies in a directory, or at its URL, by name; of a URL records alone are brought.

    Raises:
        StudyError: the URL does not answer.
    """
    with listed(directory, RECORDS, (SNAPSHOTS,), DEEP) as here:
        found = {}
        for each in entries_below(here):
            name = directory.name if each.directory == here else str(each.directory.relative_to(here))
            found[name] = replace(each, state=each.state.replace(str(here), display_path(directory)))
        return found


def read_entry(directory: Path) -> Entry | None:
    """Return what lies in a directory itself; None where it holds no result."""
    record = directory / "study.json"
    if record.is_file():
        return _study(directory, record)
    if (directory / "compare.json").is_file():
        return _comparison(directory, directory / "compare.json")
    if (directory / "judge.json").is_file():
        return _judgement(directory, directory / "judge.json")
    if (directory / SNAPSHOTS).is_dir():
        page = directory / _PAGES[TRAINING]
        return Entry(directory, TRAINING, made=(directory / SNAPSHOTS).stat().st_mtime, summary=read_summary(page))
    return None


def is_result(entry: Entry) -> bool:
    """Whether it answers a question: not an intermediate result, which only other studies read."""
    return entry.kind in _results()


def lacking_page(directory: Path) -> list[Entry]:
    """Return the finished results in a directory that have no page yet, dissections first: others link to theirs."""
    found = (each for each in entries_below(directory) if is_result(each) and not each.measured_again)
    lacking = (each for each in found if each.state == "finished" and each.summary is None)
    return sorted(lacking, key=lambda each: each.kind != DISSECTION)


def write_index(directory: str | Path, path: str | Path | None = None) -> Path:
    """Write one page that links what was measured, with relative links, whole or not at all; return where it is.

    Args:
        directory: a dissection: the results below and next to it that are based on it. Else all results below it.
        path: of the page; ``index.html`` in the directory if not given.

    Raises:
        BadValue: the directory holds another study, or is the copy of a URL.
        StudyError: there are no results.
        BadFile: there is an ``index.html`` that is none of results.
    """
    directory = local_path(directory)
    if url_of(directory) is not None:
        raise BadValue(f"{directory} is the copy of a URL; an index is of a directory of this machine")
    target = directory / INDEX if path is None else local_path(path)
    if path is None and target.exists() and not is_index(target):
        raise BadFile(f"{target} is no index of results, and is not overwritten; give another file with --out")
    written: list[Group] | None = None
    while (found := groups_of(directory)) != written:  # until nothing was added by another process meanwhile
        write_text(target, index_html(found, target, directory))
        written = found
    return target


def groups_of(directory: Path) -> list[Group]:
    """Return what an index of a directory shows.

    Raises:
        BadValue: the directory holds a study that is no dissection.
        StudyError: there are no results.
    """
    own = read_entry(directory)
    if own is not None and own.kind != DISSECTION:
        raise BadValue(f"{directory} is no dissection; give one, or a directory that holds several results")
    found = list(filter(is_result, entries_below(directory) if own is None else _around(own)))
    if not found:
        raise StudyError(f"{directory} holds no study, and nothing below it does")
    groups: dict[Path, list[Entry]] = {each.directory: [each] for each in found if each.kind == DISSECTION}
    others: list[Entry] = []
    for entry in sorted((each for each in found if each.kind != DISSECTION), key=_order):
        stands_on = [each.directory for each in found if each.kind == DISSECTION and each.digest in entry.dissections]
        if own is not None:
            groups[own.directory.resolve()].append(entry)
        elif stands_on and len(entry.dissections) == 1:
            groups[_own_copy(stands_on, entry)].append(entry)
        else:
            others.append(entry)
    made = [Group(own[0], own) for own in groups.values()]
    return [*made, Group(None, others)] if others else made


def indexes_around(directory: Path) -> list[Path]:
    """Return the directories whose indexes show the result in a directory: its dissections, and any above it."""
    if url_of(directory) is not None:
        return []
    entry, whole = read_entry(directory), directory.resolve()
    above = [each for each in (whole, *whole.parents[:DEEP]) if is_index(each / INDEX)]
    return list(dict.fromkeys([*([] if entry is None else dissections_of(entry)), *above]))


def dissections_of(entry: Entry) -> list[Path]:
    """Return where the dissections of a result are on this machine."""
    if entry.kind == DISSECTION:
        return [entry.directory.resolve()]
    stands_on = zip(entry.dissections, entry.places, strict=True)
    found = (dissection_of(entry.directory, digest, place) for digest, place in stands_on)
    return [directory for directory in found if directory is not None and url_of(directory) is None]


def _around(dissection: Entry) -> Iterator[Entry]:
    """Yield a dissection and what is of it below it, in its neighbour ``NAME-causal``, and next to it."""
    whole = dissection.directory.resolve()
    neighbour = whole.with_name(f"{whole.name}-causal")
    places = [entries_below(whole), entries_below(neighbour) if neighbour.is_dir() else ()]
    others = (read_entry(path) for path in _folders(whole.parent) if path not in (whole, neighbour))
    made_of_it = read_entry(whole.parent.parent) if whole.parent.name == "studies" else None
    if made_of_it is not None and made_of_it.kind in _STUDIES_INSIDE:
        yield made_of_it
    for place in (*places, others):
        for entry in place:
            if entry is not None and (entry.directory == whole or dissection.digest in entry.dissections):
                yield entry


def _folders(directory: Path) -> list[Path]:
    """Return the directories in a directory in which results may lie; none where it cannot be read."""
    try:
        paths = sorted(directory.iterdir())
        return [
            p for p in paths if not p.name.startswith(".") and p.name != "steps" and p.is_dir() and not p.is_symlink()
        ]
    except OSError:
        return []


def _study(directory: Path, path: Path) -> Entry:
    try:
        record, made = read_record(directory), path.stat().st_mtime
        facts, state = record["facts"], "finished" if record["finished"] else "unfinished"
        inputs = facts.get("inputs")
        below = inputs.get("dissection") if isinstance(inputs, Mapping) else None
    except (GanatomyError, OSError) as error:
        return Entry(directory, state=str(error))
    return Entry(
        directory,
        str(record["experiment"]),
        state,
        record["spec"],
        str(record["digest"]),
        (str(below),) if below else (),
        (str(facts.get("source", "")),) if below else (),
        made,
        read_summary(directory / "report.html"),
    )


def _comparison(directory: Path, path: Path) -> Entry:
    try:
        record = read_json(path)
        studies = [(str(each["digest"]), str(each["directory"])) for each in record["studies"]]
        spec, made = dict(record["spec"]), path.stat().st_mtime
    except DAMAGE as error:
        return Entry(directory, COMPARISON, f"{path}: no record of a comparison ({error})")
    digests, places = zip(*studies, strict=True) if studies else ((), ())
    page = directory / _PAGES[COMPARISON]
    return Entry(directory, COMPARISON, "finished", spec, "", digests, places, made, read_summary(page))


def _judgement(directory: Path, path: Path) -> Entry:
    try:
        spec, made = dict(read_json(path)["spec"]), path.stat().st_mtime
    except DAMAGE as error:
        return Entry(directory, JUDGEMENT, f"{path}: no record of a judgement ({error})")
    return Entry(directory, JUDGEMENT, spec=spec, made=made, summary=read_summary(directory / _PAGES[JUDGEMENT]))


def _own_copy(copies: Sequence[Path], entry: Entry) -> Path:
    """Return that of several copies of a dissection which a result was made from, or else lies nearest to."""
    made_from = dissections_of(entry)
    return max(copies, key=lambda each: (each.resolve() in made_from, len(os.path.commonpath([each, entry.directory]))))


def _order(entry: Entry) -> tuple[int, str, str, float]:
    return (list(_results()).index(entry.kind), entry.verb, entry.about, entry.made)


@cache
def _results() -> dict[str, str]:
    """Return the verb of each kind of result in the order of the page; '' is the kind of what cannot be read."""
    verbs = {kind_name(experiment(name).spec): name.replace("_", "-") for name in EXPERIMENTS}
    return {each: each for each in (DISSECTION, *verbs, COMPARISON, JUDGEMENT, TRAINING, "")} | verbs
