"""Which units: those that are named, those that rank highest for a concept, or some drawn at random."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganatomy.edit import Intervention, check_units
from ganatomy.errors import BadValue, StudyMismatch, UnknownName
from ganatomy.experiments.causal.source import Source
from ganatomy.generators.latents import standard_normal
from ganatomy.remote import local_path
from ganatomy.study import is_study

RANKINGS = ("iou", "ace", "random")
FIRST = 1 << 20
"""The number of the set that a choice at random takes; those from 0 on are the sets that it is compared with."""


@dataclass(frozen=True)
class Wanted:
    """What a person asks for.

    Attributes:
        units: the units themselves; None to rank them.
        concept: what they are for; it is also what an effect is read on first.
        top: how many of the ranking.
        by: ``iou`` (as dissected), ``ace`` (an optimised α; ACE has to have been run), or ``random``.
        ace: where that ACE study lies; None for its usual place beside the dissection; where there are several, that of
            the default schedule, then the published one.
        seed: of ``random``.
    """

    units: Sequence[int] | None = None
    concept: str | None = None
    top: int = 20
    by: str = "iou"
    ace: Path | None = None
    seed: int = 0

    @classmethod
    def take(cls, options: dict[str, Any]) -> "Wanted":
        """Take its fields out of options; `seed` stays there too, as it is also that of the study.

        Raises:
            BadValue: units that are given and a ranking both.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        given = {name: options[name] for name in names if options.get(name) is not None}
        if "ace" in given:
            given["ace"] = local_path(given["ace"])
        ranking = [name for name in ("top", "by", "ace") if name in given]
        if "units" in given and ranking:
            raise BadValue(f"units are given, so {' and '.join(ranking)} would say nothing; give one or the other")
        for name in names:
            if name != "seed":
                options.pop(name, None)
        return cls(**given)


@dataclass(frozen=True)
class Choice:
    """Which units, and why.

    Attributes:
        units: without repetition; best first where they were ranked.
        chosen: a sentence that says how, for people.
        name: the same for a directory: ``tree-iou-20``, ``units-3-17``.
    """

    units: tuple[int, ...]
    chosen: str
    name: str


def choose(source: Source, layer: str, wanted: Wanted) -> Choice:
    """Return the units of a layer that are asked for.

    Raises:
        UnknownName: no such layer, unit, concept or ranking.
        BadValue: more units than the layer has, a concept that is too rare, or nothing to choose by.
        StudyError: there is no finished ACE study to rank by; says how to make one.
    """
    count = source.shape(layer).units
    if wanted.by not in RANKINGS:
        raise UnknownName("ranking", wanted.by, RANKINGS)
    if wanted.concept is not None:
        source.concept(wanted.concept)
    if wanted.units is not None:
        return _named(layer, count, wanted.units)
    n, concept = wanted.top, wanted.concept
    if concept is None and wanted.by != "random":
        raise BadValue("no units to act on; name some, or a concept to rank the units of the layer for")
    if not 1 <= n <= count:
        raise BadValue(f"top={n}: {layer} has {count} units; give 1 to {count}")
    if wanted.by == "random":
        (units,) = random_sets(count, n, range(FIRST, FIRST + 1), wanted.seed)
        return Choice(units, f"{n} units at random (seed {wanted.seed})", f"{concept or 'units'}-random-{n}")
    assert concept is not None
    by = wanted.by
    if by == "ace":
        units, by = _by_ace(source, layer, wanted)
    else:
        order = source.ious(layer, concept).sort(descending=True, stable=True).indices
        units = tuple(order[:n].tolist())
    return Choice(units, f"top {n} for {concept} by {by}", f"{concept}-{wanted.by}-{n}")


def random_sets(count: int, size: int, numbers: range, seed: int, avoid: Sequence[int] = ()) -> list[tuple[int, ...]]:
    """Draw sets of units, each a function of (seed, its number) alone.

    Args:
        count: units of the layer.
        size: of each set.
        numbers: of the sets.
        seed: of the study.
        avoid: units that are drawn only when there are no others left.

    >>> random_sets(6, 2, range(3), 0, avoid=[0, 1, 2, 3])
    [(4, 5), (4, 5), (4, 5)]
    """
    keys: Tensor = standard_normal(numbers, seed, (count,), torch.device("cpu"))
    keys[:, list(avoid)] += 1000.0
    return [tuple(sorted(row)) for row in keys.argsort(stable=True)[:, :size].tolist()]


def random_edits(edits: Sequence[Intervention], numbers: range, seed: int) -> list[list[Intervention]]:
    """Return the same edits of random units, once for each number: as many of each layer, other ones if there are any.

    What was done to a unit, how far, where and to what value, is done to the one that is drawn for it.
    """
    drawn = {
        layer: _stand_ins([edit for edit in edits if edit.layer == layer], numbers, seed)
        for layer in {edit.layer for edit in edits}
    }
    return [[_moved(edit, drawn[edit.layer][i]) for edit in edits] for i in range(len(numbers))]


def _stand_ins(edits: Sequence[Intervention], numbers: range, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return the units that edits of a layer touch, and those drawn for them, once for each number."""
    touched = torch.stack([stroke.alpha for edit in edits for stroke in edit.strokes()]).amax(0).nonzero()[:, 0]
    sets = random_sets(edits[0].shape[0], len(touched), numbers, seed, touched.tolist())
    return [(touched, torch.tensor(own, dtype=torch.long)) for own in sets]


def _moved(edit: Intervention, units: tuple[Tensor, Tensor]) -> Intervention:
    """Return an edit of other units: `units` are those that it touches, and those in their place."""
    old, new = units
    strokes = []
    for stroke in edit.strokes():
        alpha, value = torch.zeros_like(stroke.alpha), torch.zeros_like(stroke.value)
        alpha[new], value[new] = stroke.alpha[old], stroke.value[old]
        strokes.append(dataclasses.replace(stroke, alpha=alpha, value=value))
    return dataclasses.replace(strokes[-1], before=tuple(strokes[:-1]))


def ace_home(source: Source, layer: str, concept: str, schedule: str = "fast") -> Path:
    """Return where the ACE study of a concept lies unless told otherwise."""
    return source.beside(layer, f"ace-{concept}" if schedule == "fast" else f"ace-{concept}-{schedule}")


def _named(layer: str, count: int, units: Sequence[int]) -> Choice:
    check_units(layer, count, units)
    if not units or len(set(units)) != len(units):
        raise BadValue(f"units {', '.join(map(str, units))}: give different ones, at least one")
    listed = ", ".join(map(str, units)) if len(units) <= 8 else f"{units[0]}, {units[1]} … {units[-1]}"
    name = "-".join(map(str, units)) if len(units) <= 8 else f"{len(units)}-from-{units[0]}-to-{units[-1]}"
    return Choice(tuple(units), f"units {listed}", f"units-{name}")


def _by_ace(source: Source, layer: str, wanted: Wanted) -> tuple[tuple[int, ...], str]:
    """Rank by an ACE study, which must be of the same dissection, layer and concept; also say what ranked its units."""
    assert wanted.concept is not None
    usual = [ace_home(source, layer, wanted.concept, schedule) for schedule in ("fast", "published", "quick")]
    made = [home for home in usual if is_study(home)]
    directory = wanted.ace or (made or usual)[0]
    if not is_study(directory):
        raise BadValue(
            f"no ACE study of {wanted.concept} in {directory}; make it: "
            f"ganatomy ace {source.directory} --layer {layer} --concept {shlex.quote(wanted.concept)}"
        )
    from ganatomy.experiments.causal.ace import Ace  # only who ranks by it loads it

    ace = Ace.open(directory)
    for name, found, given in (
        ("dissection", ace.spec.dissection, source.dissection.study.digest),
        ("layer", ace.spec.layer, layer),
        ("concept", ace.spec.concept, wanted.concept),
    ):
        if found != given:
            raise StudyMismatch(f"the ACE study in {directory} is of another {name}: {found}, not {given}")
    return tuple(ace.top(wanted.top)), "ace" if ace.updates else ace.called
