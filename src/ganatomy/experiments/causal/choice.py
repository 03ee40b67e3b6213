"""Which units: those that are named, those that rank highest for a concept, or some drawn at random."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadValue, StudyMismatch, UnknownName
from ganatomy.core.layer_steps import nearest_layers, spanned, split_layer
from ganatomy.core.tensor_types import PerUnit
from ganatomy.experiments.causal.dissected_model import DissectedModel, checked_set
from ganatomy.interventions import check_units
from ganatomy.models.generators.latents import standard_normal
from ganatomy.remote import local_path
from ganatomy.study import is_study

RANKINGS = ("iou", "ace", "random")
FIRST = 1 << 20
"""The number of the set that a choice at random takes; those from 0 on are the sets that it is compared with."""
FINEST = 4
"""Without layers given, those with the finest grid whose places are at least so many pixels a side."""


@dataclass(frozen=True)
class UnitQuery:
    """Which units a person asks for.

    Attributes:
        units: the units themselves; None to rank them.
        concept: what they are for; it is also what an effect is read on first. Nothing, if it is not given.
        top: how many of the ranking.
        by: ``iou`` (as dissected), ``ace`` (an optimised α; ACE has to have been run), or ``random``.
        ace: where that ACE study lies; None for its usual place next to the dissection; where there are several, that
            of the default schedule, then the published one.
        seed: of ``random``.
    """

    units: Sequence[int] | None = None
    concept: str | None = None
    top: int = 20
    by: str = "iou"
    ace: Path | None = None
    seed: int = 0

    @classmethod
    def take(cls, options: dict[str, Any]) -> "UnitQuery":
        """Take its fields out of options; `seed` stays there too, as it is also that of the study.

        Raises:
            BadValue: units that are given and a ranking both.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        given = {name: options[name] for name in names if options.get(name) is not None}
        if "ace" in given:
            given["ace"] = local_path(given["ace"])
        ranking = [name for name in ("top", "by", "ace") if name in given]
        if "units" in given and ranking:
            raise BadValue(f"units are given, so {' and '.join(ranking)} would say nothing; give one or the other")
        for name in set(names) - {"seed"}:
            options.pop(name, None)
        return cls(**given)


@dataclass(frozen=True)
class UnitSelection:
    """Which units, and why.

    Attributes:
        units: without repetition; best first where they were ranked.
        chosen: a sentence that says how, for people.
        name: the same for a directory: ``tree-iou-20``, ``units-3-17``.
    """

    units: tuple[int, ...]
    chosen: str
    name: str

    def name_for(self, concept: str | None) -> str:
        """Return the name with the concept in it; units that were named do not say what for."""
        return f"{self.name}-{concept}" if concept and self.name.startswith("units") else self.name


@dataclass(frozen=True)
class Layers:
    """Where the units are.

    Attributes:
        layer: where the units are.
        layers: several at once, in place of `layer`.
    """

    layer: str | None = None
    layers: Sequence[str] | None = None


@dataclass(frozen=True)
class Window:
    """At which steps, of a model that makes an image in steps.

    Attributes:
        at_steps: the first step and the last, ``1..8``: `layer` is then a block, without a step, and the same units are
            edited at each of these steps. At the step of the layer alone, if it is not given.
    """

    at_steps: str | None = None


def take_window(source: DissectedModel, options: dict[str, Any]) -> list[str] | None:
    """Take a window of steps out of options, and the block with it; return its layers, or None where none is given.

    Raises:
        BadValue: several layers, a layer of one step, or no layer is given; the model has no such steps.
        UnknownName: the block was not dissected at any step.
    """
    text = options.pop("at_steps", None)
    if text is None:
        return None
    layer, layers = options.pop("layer", None), options.pop("layers", None) or []
    blocks = [str(name) for name in ([] if layer is None else [layer]) + list(layers)]
    if len(blocks) != 1:
        raise BadValue(f"at_steps={text} goes with one block, such as layer=up1")
    (block,) = blocks
    if split_layer(block).step is not None:
        raise BadValue(f"layer={block} is of one step; name the block alone, {split_layer(block).block}, with at_steps")
    return source.window(block, str(text))


def ranked_layers(source: DissectedModel, window: Sequence[str]) -> list[str]:
    """Return where the units of a window are ranked: at its dissected steps, or else the nearest one to its middle."""
    return nearest_layers(source.dissection.layers, window)


def take_layers(source: DissectedModel, options: dict[str, Any], default: bool = False) -> list[str]:
    """Take the layers that are meant out of options, `layer` or `layers`; in the order of the network.

    Where none is named, they are those of `default_layers`, if there is a default.
    """
    layer, layers = options.pop("layer", None), options.pop("layers", None)
    if layer is not None and layers is not None:
        raise BadValue(f"layer={layer} and layers={','.join(layers)} are both given; give one or the other")
    if layer is None and layers is None:
        if default and any(split_layer(name).step for name in source.dissection.layers):
            raise BadValue("this model makes an image in steps: name a block and steps, layer=up1 and at_steps=1..8")
        if default:
            return default_layers(source)
        raise BadValue("no layer is given; name one, or several: layers=layer5,layer6")
    named = [str(name) for name in ([layer] if layers is None else layers)]
    for name in named:
        source.shape(name)
    if not named or len(set(named)) < len(named):
        raise BadValue(f"layers={','.join(named)}: give at least one, each once")
    return source.in_order(named)


def default_layers(source: DissectedModel) -> list[str]:
    """Return the layers that are set where none are named: the first two with the finest grid that can make an object.

    A place of it is at least `FINEST` pixels a side; of networks without such, it is the first layer. Of a model that
    makes an image in steps, they are the block of the first such layer, from its step to the last.
    """
    generator, layers = source.models.generator, source.dissection.layers
    height = generator.observe(generator.latents(range(1), 0), ()).images.shape[-2]
    apt = {name: shape.height for name, shape in layers.items() if 1 < shape.height <= height // FINEST}
    finest = [name for name, side in apt.items() if side == max(apt.values())][:2] or [next(iter(layers))]
    return onward(source, finest[0]) or finest


def onward(source: DissectedModel, layer: str) -> list[str]:
    """Return the block of a layer from its step to the last that has its units; nothing, where it has no steps."""
    alike = source.alike(layer)
    return [] if split_layer(layer).step is None else alike[alike.index(layer) :]


def select_units(source: DissectedModel, layer: str, query: UnitQuery, window: Sequence[str] = ()) -> UnitSelection:
    """Return the units of a layer that are asked for; of a block, where its layers at some steps are given."""
    count, n, by, concept = source.shape(layer).units, query.top, query.by, query.concept
    if by not in RANKINGS:
        raise UnknownName("ranking", by, RANKINGS)
    if concept is not None:
        source.concept(concept)
    if query.units is not None:
        return _named_units(layer, count, query.units)
    if concept is None and by != "random":
        raise BadValue("no units to act on; give units (--units), or a concept to rank units for (--concept)")
    if not 1 <= n <= count:
        raise BadValue(f"top={n}: {layer} has {count} units; give 1 to {count}")
    if by == "random":
        (units,) = random_sets(count, n, range(FIRST, FIRST + 1), query.seed)
        return UnitSelection(units, f"{n} units at random (seed {query.seed})", f"{concept or 'units'}-random-{n}")
    assert concept is not None
    if by == "ace":
        units, by = _by_ace(source, window or [layer], concept, query)
    else:
        ranked_at = ranked_layers(source, window) if window else []
        ious = torch.stack([source.ious(each, concept) for each in ranked_at or [layer]]).mean(0)
        units = tuple(ious.sort(descending=True, stable=True).indices[:n].tolist())
        by += f" at {', '.join(ranked_at)}" if ranked_at else ""
    return UnitSelection(units, f"top {n} for {concept} by {by}", f"{concept}-{query.by}-{n}")


def select_in_window(
    source: DissectedModel, window: Sequence[str], query: UnitQuery, constant: str | None = None
) -> tuple[UnitSelection, dict[str, Any]]:
    """Return units of a block, the same at each step of a window, and the fields of a Spec that name them."""
    chosen = select_units(source, window[0], query, window)
    name = chosen.name + ("-at-k-of-the-place" if constant == "place" else "")
    more = tuple((layer, chosen.units) for layer in window[1:])
    return dataclasses.replace(chosen, name=name), {"layer": window[0], "units": chosen.units, "more": more}


def select_in_layers(
    source: DissectedModel, layers: Sequence[str], query: UnitQuery, constant: str | None = None
) -> tuple[UnitSelection, dict[str, Any]]:
    """Return the units of several layers that are asked for, and the fields of a Spec that name them."""
    if len(layers) > 1 and query.units is not None:
        raise BadValue(f"units are numbered within one layer, {', '.join(layers)} are several; rank them, or give one")
    first, *others = (select_units(source, layer, query) for layer in layers)
    more = tuple((layer, own.units) for layer, own in zip(layers[1:], others, strict=True))
    chosen = f"{first.chosen}, each of {', '.join(layers)}" if more else first.chosen
    name = first.name + ("-at-k-of-the-place" if constant == "place" else "")
    return UnitSelection(first.units, chosen, name), {"layer": layers[0], "units": first.units, "more": more}


def random_sets(
    count: int, size: int, numbers: Sequence[int], seed: int, avoid: Sequence[int] = ()
) -> list[tuple[int, ...]]:
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


def alpha_of(units: Sequence[int], count: int) -> PerUnit:
    """Return alpha: 1 for these units, 0 for the others of a layer."""
    alpha = torch.zeros(count)
    alpha[list(units)] = 1
    return alpha


def random_alpha(count: int, units: Sequence[int], ids: Sequence[int], seed: int) -> Float[Tensor, "b u"]:
    """Return alpha of as many units as in `units`, others where there are enough, drawn anew for each image.

    Row i depends on (seed, ids[i]) only.
    """
    return torch.stack([alpha_of(own, count) for own in random_sets(count, len(units), ids, seed, units)])


def ace_path(source: DissectedModel, layers: Sequence[str], concept: str, schedule: str = "fast") -> Path:
    """Return the default directory of the ACE study of a concept."""
    layer = "+".join(spanned(layers))
    return source.sibling_path(layer, f"ace-{concept}" if schedule == "fast" else f"ace-{concept}-{schedule}")


def _named_units(layer: str, count: int, units: Sequence[int]) -> UnitSelection:
    check_units(layer, count, units)
    checked_set(units)
    listed = ", ".join(map(str, units)) if len(units) <= 8 else f"{units[0]}, {units[1]} … {units[-1]}"
    name = "-".join(map(str, units)) if len(units) <= 8 else f"{len(units)}-from-{units[0]}-to-{units[-1]}"
    return UnitSelection(tuple(units), f"units {listed}", f"units-{name}")


def _by_ace(
    source: DissectedModel, layers: Sequence[str], concept: str, query: UnitQuery
) -> tuple[tuple[int, ...], str]:
    """Rank by an ACE study, of the same dissection, layers and concept; also say what ranked its units."""
    defaults = [ace_path(source, layers, concept, schedule) for schedule in ("fast", "published", "quick")]
    directory = query.ace or next(filter(is_study, defaults), defaults[0])
    if not is_study(directory):
        raise BadValue(
            f"no ACE study of {concept} in {directory}; make it: "
            f"ganatomy ace {source.directory} {layer_options(layers)} --concept {shlex.quote(concept)}"
        )
    from ganatomy.experiments.causal.ace import Ace  # only who ranks by it loads it

    ace = Ace.open(directory)
    own = ace.spec
    expected = {"dissection": source.dissection.study.digest, "layer": "+".join(spanned(layers)), "concept": concept}
    found = {"dissection": own.dissection, "layer": "+".join(spanned(own.layers())), "concept": own.concept}
    for name, given in expected.items():
        if found[name] != given:
            raise StudyMismatch(f"the ACE study in {directory} is of another {name}: {found[name]}, not {given}")
    return tuple(ace.top(query.top)), "ace" if ace.updates else ace.called


def layer_options(layers: Sequence[str]) -> str:
    """Return the options of a command that name a layer, or a block at several steps."""
    first, last = split_layer(layers[0]), split_layer(layers[-1])
    return f"--layer {layers[0]}" if len(layers) == 1 else f"--layer {first.block} --at-steps {first.step}..{last.step}"
