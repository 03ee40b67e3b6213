"""Which units of which layers an edit is of: those that are asked for, or the measured best setting (SPEC 6)."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ganatomy.errors import BadValue
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.best_setting import BestSetting, known_setting, run_setting, setting_home
from ganatomy.experiments.causal.choice import Choice, Wanted, choose
from ganatomy.experiments.causal.insertion import in_order
from ganatomy.experiments.causal.settings import SettingSpec, default_layers, setting_spec
from ganatomy.experiments.causal.source import Source
from ganatomy.report.causal.setting import setting_section, setting_tables

BY_HAND = ("units", "top", "by", "ace", "multiple", "constant")
"""Options that say how to insert; where one is given, no setting is measured."""
Measure = Callable[[Sequence[str], str], BestSetting]
"""Finds the best setting of a concept at some layers, or reads it where it was found before."""


@dataclass(frozen=True)
class Layers:
    """Where the units are.

    Attributes:
        layer: where the units are.
        layers: several at once, in place of `layer`.
    """

    layer: str | None = None
    layers: Sequence[str] | None = None


def named_layers(source: Source, layer: str | None, layers: Sequence[str] | None, default: bool = False) -> list[str]:
    """Return the layers that are named, in the order of the network.

    Args:
        source: the dissection.
        layer, layers: one or several, not both.
        default: whether the usual ones are taken where none is named.

    Raises:
        BadValue: none or both are given, or one twice.
        UnknownName: no such layer.
    """
    if layer is not None and layers is not None:
        raise BadValue(f"layer={layer} and layers={','.join(layers)} are both given; give one or the other")
    if layer is None and layers is None:
        if default:
            return default_layers(source)
        raise BadValue("no layer is given; name one, or several: layers=layer5,layer6")
    named = [layer] if layers is None else list(layers)
    for name in named:
        source.shape(str(name))
    if not named or len(set(named)) < len(named):
        raise BadValue(f"layers={','.join(map(str, named))}: give at least one, each once")
    return in_order(source, [str(name) for name in named])


def chosen_units(
    source: Source, layers: Sequence[str], options: dict[str, Any], measure: Measure | None = None
) -> tuple[Choice, Wanted, dict[str, Any]]:
    """Return which units, what was wanted, and the fields of a Spec that say what is edited; takes its own options out.

    Args:
        source: the dissection.
        layers: in the order of the network.
        options: of the edit.
        measure: finds the best setting, which is taken where nothing is said of units and constant; None to rank.

    Raises:
        GanatomyError: what is asked for is not there.
    """
    by_hand = [name for name in BY_HAND if options.get(name) is not None]
    wanted = Wanted.take(options)
    if measure is not None and wanted.concept is not None and not by_hand:
        found = measure(layers, wanted.concept)
        setting = found.best
        options.setdefault("pool", found.spec.pool)
        options.setdefault("cell", found.spec.cell)
        return (
            Choice(setting.units, f"measured best: {found.told()}", f"{wanted.concept}-best"),
            wanted,
            setting.fields(),
        )
    if len(layers) > 1 and wanted.units is not None:
        raise BadValue(f"units are numbered within one layer, {', '.join(layers)} are several; rank them, or give one")
    choices = [choose(source, layer, wanted) for layer in layers]
    first = choices[0]
    more = tuple((layer, choice.units) for layer, choice in zip(layers[1:], choices[1:], strict=True))
    constant = options.get("constant")
    said = f"{first.chosen}, each of {', '.join(layers)}" if more else first.chosen
    name = first.name + ("-at-k-of-the-place" if constant == "place" else "")
    fields = {"layer": layers[0], "units": first.units, "more": more}
    return dataclasses.replace(first, chosen=said, name=name), wanted, fields


def plan_setting(source: Source, layers: Sequence[str], concept: str, **options: Any) -> Plan[BestSetting]:
    """Return the plan of finding the best setting of a concept at some layers.

    Raises:
        GanatomyError: what is asked for is not there.
    """
    spec = setting_spec(source, layers, concept, **options)
    settings = len(spec.settings())
    work = f"find the best of {settings} settings for {concept}"
    return Plan(spec, setting_home(source, layers, concept), partial(run_setting, spec, source), work, settings)


def best_setting_finder(source: Source, runner: Runner) -> Measure:
    """Return what finds the best setting of a concept at some layers, or reads it where it was found before."""

    def find(layers: Sequence[str], concept: str) -> BestSetting:
        return known_setting(source, layers, concept) or runner(plan_setting(source, layers, concept))

    return find


def taken_layers(source: Source, options: dict[str, Any], default: bool = False) -> list[str]:
    """Take out of options which layers are meant, see `named_layers`."""
    return named_layers(source, options.pop("layer", None), options.pop("layers", None), default)


def _plan(source: Source, options: dict[str, Any], _: Runner) -> Plan[BestSetting]:
    layers = named_layers(source, None, options.pop("layers", None), default=True)
    return plan_setting(source, layers, **options)


@dataclass(frozen=True)
class _SettingLayers:
    """Where the units are.

    Attributes:
        layers: all set at once; the last that can be aimed at, if none are given.
    """

    layers: Sequence[str] | None = None


BEST_SETTING = Experiment(
    name="best_setting",
    summary="find the setting that inserts a concept best",
    verb="setting",
    spec=SettingSpec,
    groups=(_SettingLayers,),
    filled=frozenset({"layer", "sets"}),
    planned=frozenset({"cell"}),
    plan=_plan,
    result=BestSetting,
    tables=setting_tables,
    section=setting_section,
    several="concept",
    example='ganatomy.best_setting("study", concept="door", layers=["layer5", "layer6"]).measured',
)
