"""The studies that are compared, and what they share: only that is compared, and what is left out is said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ganatomy.core.errors import BadValue, GanatomyError, UnknownName
from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.compare.spec import CompareSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.result import Result
from ganatomy.remote import listdir

R = TypeVar("R", bound=Result)

SAMPLED = ("images", "seed", "validation")
THRESHOLDS = ("threshold", "levels", "smallest", "rare", "interpretable_iou", "interpretable_accuracy")
RULED = (*THRESHOLDS, "label", "over_control", "over_chance", "false_labels")
MOST = 12
"""Things that a sentence lists."""


@dataclass(frozen=True, eq=False)
class StudyView:
    """One of the studies.

    Attributes:
        name: what it is called here.
        dissection: what was found.
        layers: the layers that are compared: name here -> its own name.
    """

    name: str
    dissection: Dissection
    layers: Mapping[str, str]

    def rows(self, layer: str) -> slice:
        """Return where the units of a layer (its own name) stand among all units."""
        start = 0
        for name, shape in self.dissection.layers.items():
            if name == layer:
                return slice(start, start + shape.units)
            start += shape.units
        raise UnknownName(f"layer of {self.name}", layer, self.dissection.layers)


def default_names(directories: Sequence[Path]) -> tuple[str, ...]:
    """Return the shortest ends of paths that tell them apart.

    >>> default_names([Path("runs/a/study"), Path("runs/b/study"), Path("church")])
    ('a/study', 'b/study', 'church')
    """
    parts = [path.absolute().parts for path in directories]  # not resolved: a link has a name, too

    def end(own: tuple[str, ...]) -> str:
        sizes = range(1, len(own) + 1)
        single = (n for n in sizes if sum(other[-n:] == own[-n:] for other in parts) == 1)
        return "/".join(own[-next(single, len(own)) :])

    return tuple(map(end, parts))


def open_studies(directories: Sequence[Path], spec: CompareSpec) -> tuple[StudyView, ...]:
    """Open the dissections, each with the layers that are compared."""
    dissections = [Dissection.open(path) for path in directories]
    layers = _aligned(dissections, spec)
    return tuple(map(StudyView, spec.names, dissections, layers))


def shared_concepts(studies: Sequence[StudyView]) -> tuple[Concept, ...]:
    """Return the concepts that every study knows, nothing first, in the order of the first study."""
    first, *others = (study.dissection.vocabulary for study in studies)
    shared = tuple(c for c in first if all(c in other for other in others))
    if len(shared) < 2:
        raise BadValue(f"{', '.join(s.name for s in studies)} share no concept; dissect them through one segmenter")
    return shared


def differences(studies: Sequence[StudyView], concepts: Sequence[Concept], layer_given: bool = False) -> list[str]:
    """Return one sentence for each way in which the studies differ, and what of them is left out."""
    sentences = [*_segmenters(studies), *_vocabularies(studies, concepts), *([] if layer_given else _apart(studies))]
    alike: dict[tuple[str, ...], list[str]] = {}
    for here in studies[0].layers:
        widths = tuple(str(study.dissection.layers[study.layers[here]].units) for study in studies)
        alike.setdefault(widths, []).append(here)
    for widths, layers in alike.items():
        sentences += _differing(studies, f"units of {', '.join(layers)}", widths)
    for name in SAMPLED:
        sentences += _differing(studies, name, [str(getattr(s.dissection.spec, name)) for s in studies])
    sentences += _differing(studies, "label resolution", [_resolution(s.dissection) for s in studies])
    for rule in RULED:
        sentences += _differing(studies, rule, [f"{getattr(s.dissection.spec, rule)}" for s in studies], counted=True)
    return sentences


def same_sample(one: Dissection, other: Dissection) -> bool:
    """Tell whether two dissections saw the images of the same latents."""
    return all(getattr(one.spec, name) == getattr(other.spec, name) for name in SAMPLED)


def results_beside(study: StudyView, kind: type[R], prefix: str, place: str | None = None) -> Iterator[R]:
    """Yield the finished results of a study that lie where they do by default, ``STUDY-causal/PLACE/PREFIX…``."""
    home = Path(f"{study.dissection.study.directory.resolve()}-causal")
    for folder in listdir(home) if place is None else [home / place]:
        for directory in listdir(folder):
            if not directory.name.startswith(prefix):
                continue
            try:
                result = kind.open(directory)
            except GanatomyError:  # not finished, or of another version
                continue
            if result.facts["inputs"]["dissection"] == study.dissection.study.digest:
                yield result


def _aligned(dissections: Sequence[Dissection], spec: CompareSpec) -> list[dict[str, str]]:
    own = [list(d.layers) for d in dissections]
    shared = [layer for layer in own[0] if all(layer in others for others in own)]
    if spec.layer:
        chosen = list(spec.layer) * (len(own) if len(spec.layer) == 1 else 1)
        for name, layer, known in zip(spec.names, chosen, own, strict=True):
            if layer not in known:
                raise UnknownName(f"layer of {name}", layer, known)
    elif shared:
        return [{layer: layer for layer in shared}] * len(own)
    elif all(len(names) == 1 for names in own):
        chosen = [names[0] for names in own]
    else:
        shared_layers = "; ".join(
            f"{name} has {', '.join(names[:MOST])}" for name, names in zip(spec.names, own, strict=True)
        )
        raise BadValue(
            f"the studies share no layer ({shared_layers}); give the layer of each, with commas between them"
        )
    return [{" / ".join(dict.fromkeys(chosen)): layer} for layer in chosen]


def _segmenters(studies: Sequence[StudyView]) -> list[str]:
    used = [s.dissection.facts["inputs"]["segmenter"] for s in studies]
    if len(set(used)) == 1:
        return []
    names = [study.dissection.spec.segmenter for study in studies]
    if len(set(names)) < len(set(used)):  # one name has stood for different weights
        names = [f"{name} {digest[:8]}" for name, digest in zip(names, used, strict=True)]
    return [f"Pixels were named by different segmenters, so counts are not comparable: {_grouped(studies, names)}."]


def _vocabularies(studies: Sequence[StudyView], concepts: Sequence[Concept]) -> list[str]:
    sentences = []
    for study in studies:
        own = [c for c in study.dissection.vocabulary if c not in concepts]
        if own:
            matched = study.dissection.units[study.dissection.units.matched]
            labelled = sum(pair in own for pair in zip(matched.label, matched.category, strict=True))
            sentences.append(
                f"{study.name} also knows {_listed([c.name for c in own])}, which not all know: "
                f"{labelled} of its matched units are left out of every count."
            )
    return sentences


def _apart(studies: Sequence[StudyView]) -> list[str]:
    sentences = []
    for study in studies:
        apart = [name for name in study.dissection.layers if name not in study.layers.values()]
        if apart:
            sentences.append(f"{study.name} has layers that are not compared with the others: {_listed(apart)}.")
    return sentences


def _resolution(dissection: Dissection) -> str:
    if dissection.spec.resolution is not None:
        return str(dissection.spec.resolution)
    return str(dissection.top(next(iter(dissection.layers)), 0).images.shape[1])


def _differing(studies: Sequence[StudyView], what: str, values: Sequence[str], counted: bool = False) -> list[str]:
    """Say that a number is not the same everywhere; `counted` if units are counted by it."""
    if len(set(values)) == 1:
        return []
    consequence = "; units are counted by different rules" if counted else ""
    return [f"Not the same everywhere: {what} – {_grouped(studies, values)}{consequence}."]


def _grouped(studies: Sequence[StudyView], values: Sequence[str]) -> str:
    groups: dict[str, list[str]] = {}
    for study, value in zip(studies, values, strict=True):
        groups.setdefault(value, []).append(study.name)
    return ", ".join(f"{value} ({_listed(names)})" for value, names in groups.items())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
