"""What units cause: one function a question, each about a finished dissection."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganatomy.door.settled import settled
from ganatomy.experiments.causal.accuracy import Accuracy, plan_accuracy, run_accuracy
from ganatomy.experiments.causal.ace import Ace, run_ace
from ganatomy.experiments.causal.ace_spec import scheduled
from ganatomy.experiments.causal.best_setting import BestSetting, known_setting, run_setting, setting_home
from ganatomy.experiments.causal.capacity import Capacity, run_capacity
from ganatomy.experiments.causal.choice import ace_home
from ganatomy.experiments.causal.chosen import Measure, named_layers
from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.effects import Effect, run_effect
from ganatomy.experiments.causal.plans import home, plan_capacity, plan_effect, plan_places
from ganatomy.experiments.causal.settings import setting_spec
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.causal.trace import Trace, TraceSpec, run_trace
from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy, plan_unit_accuracy, run_unit_accuracy
from ganatomy.experiments.causal.unit_effects import UnitEffects, UnitEffectSpec, run_unit_effects
from ganatomy.experiments.dissection import Dissection


def ablate(
    study: str | Path | Dissection,
    *,
    layer: str | None = None,
    units: Sequence[int] | None = None,
    concept: str | None = None,
    **options: Any,
) -> Effect:
    """Switch units off, and see what changes, of every concept.

    >>> import ganatomy
    >>> effect = ganatomy.ablate("study", layer="layer4", concept="tree", top=20)  # doctest: +SKIP
    >>> effect = ganatomy.ablate("study", layer="layer4", units=[3, 17], at=(2, 5))  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are; or `layers`, several at once.
        units: which; None for those that rank highest for `concept`.
        concept: what they are for; the effect on it is told first.
        options: of the ranking, `top` (20) and `by` (``iou``, ``ace`` or ``random``). Where: `at`, (row, column), with
            `cell` × `cell` places from there, or (top, left, bottom, right), counted from 0; everywhere if it is not
            given. Any other field of `EffectSpec`: images, seed, strength, random … And of every causal function: `out`
            (the study directory; beside the dissection if it is not given), `device`, `engine`, `progress`, and,
            where an open model was dissected, `generator` and `segmenter`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    return _effect("ablate", study, layer, {"units": units, "concept": concept, **options})


def insert(
    study: str | Path | Dissection,
    *,
    concept: str,
    layer: str | None = None,
    units: Sequence[int] | None = None,
    **options: Any,
) -> Effect:
    """Set units to what they are where a concept is, and see what changes.

    Where nothing is said of units and constant, they are those of the measured `best_setting` of these layers.

    >>> import ganatomy
    >>> ganatomy.insert("study", concept="door", at=(9, 6)).table  # doctest: +SKIP
    >>> ganatomy.insert("study", layer="layer4", concept="door", top=20, at=(5, 3)).table  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        concept: the one whose constant they are set to, `multiple` times.
        layer: where the units are; or `layers`, several at once, each with a constant of its own; or neither, for the
            last layers that can be aimed at.
        units: which; None for those that rank highest for the concept.
        options: as of `ablate`; `constant`, ``k`` (one value a unit) or ``place`` (one a unit at each place).

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    return _effect("insert", study, layer, {"units": units, "concept": concept, **options})


def unit_effects(study: str | Path | Dissection, *, layer: str, **options: Any) -> UnitEffects:
    """Ablate every unit of a layer, one at a time; beside it, the first-order estimate.

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        options: any other field of `UnitEffectSpec`; out, device, engine, progress, generator, segmenter as of
            `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        spec = UnitEffectSpec(**source.names(), layer=layer, **options)
        return run_unit_effects(spec, source, out or home(source, spec, "ablate-each"), *how)


def ace(study: str | Path | Dissection, *, layer: str, concept: str, schedule: str = "fast", **options: Any) -> Ace:
    """Find the units that make a concept appear and vanish: their average causal effect, and an optimised α.

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        concept: its name.
        schedule: ``fast``, ``quick``, or ``published``.
        options: any other field of `AceSpec`; out, device, engine, progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        spec = scheduled(source, schedule, layer=layer, concept=concept, **options)
        return run_ace(spec, source, out or ace_home(source, layer, concept, schedule), None, *how)


def context(study: str | Path | Dissection, *, concept: str, layer: str | None = None, **options: Any) -> Context:
    """Insert units at one place at a time, at every place of many pictures: where does the model accept the concept?

    Args:
        study: a finished dissection, or its directory.
        concept: what is inserted.
        layer: where the units are, as of `insert`.
        options: which units, as of `insert`; any other field of `ContextSpec`; out, device, engine, progress,
            generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        layers, measure = _inserted(source, layer, options, how)
        spec, usual = plan_places(source, "context", ContextSpec, layers, {"concept": concept, **options}, measure)
        return run_context(spec, source, out or usual, *how)


def trace(study: str | Path | Dissection, *, concept: str, layer: str | None = None, **options: Any) -> Trace:
    """Insert units at one place at a time, and follow the change through every later layer.

    Args:
        study: a finished dissection, or its directory.
        concept: what is inserted.
        layer: where the units are, as of `insert`.
        options: which units, as of `insert`; any other field of `TraceSpec`; out, device, engine, progress, generator,
            segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        layers, measure = _inserted(source, layer, options, how)
        spec, usual = plan_places(source, "trace", TraceSpec, layers, {"concept": concept, **options}, measure)
        return run_trace(spec, source, out or usual, *how)


def capacity(study: str | Path | Dissection, *, layers: Sequence[str], concept: str, **options: Any) -> Capacity:
    """Insert a concept in every way there is, at one place a picture: what could a layer do at best?

    >>> import ganatomy
    >>> ganatomy.capacity("study", layers=["layer4", "layer6"], concept="door", on=("building",)).table
    ... # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layers: which to try.
        concept: what is inserted.
        options: which units, the first so many of a ranking: `by` (``iou``; ``ace`` once it has been run; or several)
            and `tops` (``(20, 40)``). Any other field of `CapacitySpec`: cells, multiples, on, images …; out, device,
            progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        spec, usual = plan_capacity(source, layers, concept, options)
        return run_capacity(spec, source, out or usual, *how)


def accuracy(study: str | Path | Dissection, *, layer: str, **options: Any) -> Accuracy:
    """Switch units of a classifier off, and tell the classes of the same pictures again.

    >>> import ganatomy
    >>> ganatomy.accuracy("study", layer="layer3", concept="water", top=20).classes  # doctest: +SKIP

    Args:
        study: a finished dissection of a classifier, or its directory.
        layer: where the units are.
        options: which units, as of `ablate`. Any other field of `AccuracySpec`: images, seed, random …; out, device,
            progress, generator (the classifier), segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options, draws=False) as (source, out, how):
        spec, usual = plan_accuracy(source, layer, options)
        return run_accuracy(spec, source, out or usual, *how)


def unit_accuracy(study: str | Path | Dissection, *, layer: str, **options: Any) -> UnitAccuracy:
    """Switch every unit of a classifier's layer off alone, then those that each class needs most together.

    Args:
        study: a finished dissection of a classifier, or its directory.
        layer: where the units are.
        options: any other field of `UnitAccuracySpec`; out, device, engine, progress, generator (the classifier),
            segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options, draws=False) as (source, out, how):
        spec, usual = plan_unit_accuracy(source, layer, options)
        return run_unit_accuracy(spec, source, out or usual, *how)


def best_setting(
    study: str | Path | Dissection, *, concept: str, layers: Sequence[str] | None = None, **options: Any
) -> BestSetting:
    """Find the setting that inserts a concept best: units, constant and multiple, for some layers at once.

    It is found on half of the pictures and measured on the other half, beside a control; `insert`, `context`, `trace`
    and the studio use it from then on.

    >>> import ganatomy
    >>> ganatomy.best_setting("study", concept="door", layers=["layer5", "layer6"]).measured  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        concept: what is inserted.
        layers: all set at once; None for the last that can be aimed at.
        options: any other field of `SettingSpec`; out, device, engine, progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        named = named_layers(source, None, layers, default=True)
        spec = setting_spec(source, named, concept, **options)
        return run_setting(spec, source, out or setting_home(source, named, concept), *how)


def _effect(kind: str, study: str | Path | Dissection, layer: str | None, options: dict[str, Any]) -> Effect:
    with settled(study, options) as (source, out, how):
        layers, measure = _inserted(source, layer, options, how, default=kind == "insert")
        spec, usual = plan_effect(source, kind, layers, options, measure)
        return run_effect(spec, source, out or usual, *how)


def _inserted(
    source: Source, layer: str | None, options: dict[str, Any], how: tuple[Any, Any], default: bool = True
) -> tuple[list[str], Measure]:
    """Return the layers that are edited, and what finds the best setting of an insertion there."""

    def measure(layers: Sequence[str], concept: str) -> BestSetting:
        known = known_setting(source, layers, concept)
        return known or run_setting(
            setting_spec(source, layers, concept), source, setting_home(source, layers, concept), *how
        )

    return named_layers(source, layer, options.pop("layers", None), default), measure
