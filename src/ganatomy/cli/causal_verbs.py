"""The causal commands, one function each: from arguments to a Spec, an experiment, and its answer.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.cli.causal_runs import check_options, concepts_in, deliver, opened, options_of, stated_bar
from ganatomy.errors import BadValue

if TYPE_CHECKING:
    from ganatomy.experiments.causal.best_setting import BestSetting
    from ganatomy.experiments.causal.chosen import Measure
    from ganatomy.experiments.causal.settings import SettingSpec
    from ganatomy.experiments.causal.source import Source

GRADIENT = 4
"""A picture with its gradient takes as long as about so many without."""


def ablate(arguments: Namespace) -> None:
    """Switch units off."""
    if "each" in arguments:
        _each(arguments)
    else:
        _effect("ablate", arguments)


def insert(arguments: Namespace) -> None:
    """Set units to what they are where a concept is: in all places at once, or in one at a time."""
    if getattr(arguments, "at", None) == "each":
        from ganatomy.experiments.causal.context import ContextSpec, run_context

        def trials(spec: ContextSpec, grid: tuple[int, int]) -> int:
            return 2 * len(spec.corners(grid))  # random units too

        _at_places("context", ContextSpec, (run_context, trials), arguments)
    elif "stride" in arguments:
        raise BadValue(f"--stride {arguments.stride} is for --at each; give that, or leave --stride out")
    else:
        _effect("insert", arguments)


def trace(arguments: Namespace) -> None:
    """Follow an insertion through every later layer."""
    from ganatomy.experiments.causal.places import corners
    from ganatomy.experiments.causal.trace import TraceSpec, run_trace

    def trials(spec: TraceSpec, grid: tuple[int, int]) -> int:
        return spec.places or len(corners(grid, spec.cell))

    _at_places("trace", TraceSpec, (run_trace, trials), arguments)


def apply(arguments: Namespace) -> None:
    """Make the edits of a file."""
    from ganatomy.edit import read_edits
    from ganatomy.experiments.causal.effects import run_edits
    from ganatomy.experiments.causal.plans import edit_spec, edits_home

    source, file = opened(arguments), arguments.edit
    generator = source.models.generator
    edits = read_edits(file, generator.layers, generator.fingerprint)
    spec = edit_spec(source, edits, f"edits of {file.name}", **options_of(arguments))
    directory = getattr(arguments, "out", None) or edits_home(source, spec, file.stem)
    bar = stated_bar(arguments, source, spec, directory, (f"apply {spec.chosen}", 1 + spec.random))
    deliver(arguments, [run_edits(spec, edits, source, directory, arguments.execute, bar)])


def ace(arguments: Namespace) -> None:
    """Find the units that make each of some concepts appear and vanish."""
    from ganatomy.experiments.causal.ace import run_ace
    from ganatomy.experiments.causal.ace_spec import scheduled
    from ganatomy.experiments.causal.choice import ace_home

    source, out = opened(arguments), getattr(arguments, "out", None)
    schedule = getattr(arguments, "schedule", "quick" if "quick" in arguments else "fast")
    if "quick" in arguments and schedule != "quick":
        raise BadValue(f"--quick and --schedule {schedule} are two schedules; give one")
    options = options_of(arguments)
    concepts = concepts_in(source, options.pop("concept"))
    specs = [scheduled(source, schedule, layer=arguments.layer, concept=each, **options) for each in concepts]
    for spec in specs:
        source.concept(spec.concept)
        spec.check_units(source.shape(spec.layer).units)
    results = []
    for spec in specs:
        directory = ace_home(source, spec.layer, spec.concept, schedule)
        if out is not None:
            directory = out if len(specs) == 1 else out / directory.name
        drawn = spec.candidates + 2 * GRADIENT * spec.steps * spec.pairs
        trials = drawn // spec.images + (2 + spec.random) * (len(spec.sizes) + 1 + spec.places)
        bar = stated_bar(arguments, source, spec, directory, (f"{schedule} search for {spec.concept}", trials))
        results.append(run_ace(spec, source, directory, None, arguments.execute, bar))
    deliver(arguments, results)


def capacity(arguments: Namespace) -> None:
    """Try every way to insert a concept."""
    from ganatomy.experiments.causal.capacity import run_capacity
    from ganatomy.experiments.causal.plans import plan_capacity

    source = opened(arguments)
    options = options_of(arguments)
    if "on" in options:
        options["on"] = concepts_in(source, options["on"])
    spec, home = plan_capacity(source, arguments.layers, options.pop("concept"), options)
    directory = getattr(arguments, "out", None) or home
    bar = stated_bar(arguments, source, spec, directory, (f"insert {spec.concept} in every way", len(spec.settings())))
    deliver(arguments, [run_capacity(spec, source, directory, arguments.execute, bar)])


def setting(arguments: Namespace) -> None:
    """Find the setting that inserts each of some concepts best."""
    from ganatomy.experiments.causal.best_setting import setting_home
    from ganatomy.experiments.causal.chosen import named_layers
    from ganatomy.experiments.causal.settings import setting_spec

    source, out = opened(arguments), getattr(arguments, "out", None)
    options = options_of(arguments)
    concepts = concepts_in(source, options.pop("concept"))
    layers = named_layers(source, None, getattr(arguments, "layers", None), default=True)
    specs = [setting_spec(source, layers, each, **options) for each in concepts]
    results = []
    for spec in specs:
        directory = setting_home(source, layers, spec.concept)
        if out is not None:
            directory = out if len(specs) == 1 else out / directory.name
        results.append(_find_setting(arguments, source, spec, directory))
    deliver(arguments, results)


def accuracy(arguments: Namespace) -> None:
    """Switch units of a classifier off: the chosen ones, or each alone."""
    from ganatomy.experiments.causal.accuracy import (
        AccuracySpec,
        accuracy_seconds,
        classifier_of,
        plan_accuracy,
        run_accuracy,
    )
    from ganatomy.experiments.causal.choice import Wanted
    from ganatomy.experiments.causal.unit_accuracy import UnitAccuracySpec, plan_unit_accuracy, run_unit_accuracy

    source, options = opened(arguments, draws=False), options_of(arguments)
    directory = getattr(arguments, "out", None)
    result: Any
    if "each" in arguments:
        check_options("--each", options, (UnitAccuracySpec,))
        spec, home = plan_unit_accuracy(source, arguments.layer, options)
        units, classes = source.shape(spec.layer).units, len(classifier_of(source).classes)
        work = (f"switch each unit off, then the best of {spec.followed(classes)} classes", spec.trials(units, classes))
        bar = stated_bar(arguments, source, spec, directory or home, work, accuracy_seconds)
        result = run_unit_accuracy(spec, source, directory or home, arguments.execute, bar)
    else:
        check_options("accuracy without --each", options, (AccuracySpec, Wanted))
        chosen, home = plan_accuracy(source, arguments.layer, options)
        work = (f"switch off {chosen.chosen}", 1 + chosen.random)
        bar = stated_bar(arguments, source, chosen, directory or home, work, accuracy_seconds)
        result = run_accuracy(chosen, source, directory or home, arguments.execute, bar)
    deliver(arguments, [result])


def artifacts(arguments: Namespace) -> None:
    """Rank the units of a layer by how far their pictures are from real ones."""
    from ganatomy.experiments.artifacts import check_threshold, plan_artifacts, run_artifacts
    from ganatomy.experiments.described import describing_seconds

    source, options = opened(arguments), options_of(arguments)
    threshold = options.pop("threshold", None)
    if threshold is not None:
        check_threshold(threshold)
    spec, home, flagged = plan_artifacts(source, arguments.layer, options)
    directory = getattr(arguments, "out", None) or home
    work = (f"distances of all units from {spec.reals} pictures of {spec.real}", 0)
    bar = stated_bar(
        arguments,
        source,
        spec,
        directory,
        work,
        lambda *_: describing_seconds(source, spec, source.shape(spec.layer).units),
    )
    result = run_artifacts(spec, source, directory, arguments.execute, bar)
    result = result if flagged is None else result.against(flagged)
    deliver(arguments, [result if threshold is None else result.realistic(threshold)])


def quality(arguments: Namespace) -> None:
    """Measure how far a model's pictures are from real ones."""
    from ganatomy.experiments.described import describing_seconds
    from ganatomy.experiments.quality import plan_quality, run_quality

    source = opened(arguments)
    spec, home = plan_quality(source, options_of(arguments))
    directory = getattr(arguments, "out", None) or home
    work = (f"distance from {spec.reals} pictures of {spec.real}", 0)
    bar = stated_bar(arguments, source, spec, directory, work, lambda *_: describing_seconds(source, spec, 0))
    deliver(arguments, [run_quality(spec, source, directory, arguments.execute, bar)])


def repair(arguments: Namespace) -> None:
    """Switch units off, and measure whether that brings the pictures nearer to real ones."""
    from ganatomy.experiments.artifacts import Artifacts, run_artifacts
    from ganatomy.experiments.described import ArtifactSpec, describing_seconds, open_setting
    from ganatomy.experiments.repair import plan_repair, run_repair
    from ganatomy.experiments.repaired_pictures import repairing_seconds

    source = opened(arguments)

    def rank(spec: ArtifactSpec, directory: Path) -> Artifacts:
        units = source.shape(spec.layer).units
        work = (f"first the distances of all units from {spec.reals} pictures of {spec.real}", 0)
        bar = stated_bar(arguments, source, spec, directory, work, lambda *_: describing_seconds(source, spec, units))
        return run_artifacts(spec, source, directory, arguments.execute, bar)

    spec, home = plan_repair(source, arguments.layer, options_of(arguments), rank)
    directory = getattr(arguments, "out", None) or home
    trials = [units for _, units in spec.trials(source.shape(spec.layer).units)]
    work = (f"switch off {', '.join(name for name, _ in spec.sets)}, and {spec.random} random sets", 0)
    bar = stated_bar(
        arguments,
        source,
        spec,
        directory,
        work,
        lambda *_: repairing_seconds(*open_setting(spec, source), trials, spec.textures),
    )
    result = run_repair(spec, source, directory, arguments.execute, bar)
    written = result.facts["repaired"]
    deliver(arguments, [result], {"opens": result.opens, "folded": written["folded"], "reason": written["reason"]})


def _effect(kind: str, arguments: Namespace) -> None:
    from ganatomy.experiments.causal.effects import run_effect
    from ganatomy.experiments.causal.plans import plan_effect

    source = opened(arguments)
    layers = _named_layers(source, arguments, kind == "insert")
    spec, home = plan_effect(source, kind, layers, options_of(arguments), _measure(arguments, source))
    directory = getattr(arguments, "out", None) or home
    bar = stated_bar(arguments, source, spec, directory, (f"{kind} {spec.chosen}", 1 + spec.random))
    deliver(arguments, [run_effect(spec, source, directory, arguments.execute, bar)])


def _each(arguments: Namespace) -> None:
    from ganatomy.experiments.causal.plans import home
    from ganatomy.experiments.causal.unit_effects import UnitEffectSpec, run_unit_effects

    source = opened(arguments)
    options = options_of(arguments)
    check_options("--each", options, (UnitEffectSpec,))
    (layer, *others) = _named_layers(source, arguments, False)
    if others:
        raise BadValue("--each ablates the units of one layer, one at a time; give one --layer")
    spec = UnitEffectSpec(**source.names(), layer=layer, **options)
    units, concepts = source.shape(spec.layer).units, len(source.scored())
    directory = getattr(arguments, "out", None) or home(source, spec, "ablate-each")
    bar = stated_bar(arguments, source, spec, directory, (f"ablate each of {units} units", units + GRADIENT * concepts))
    deliver(arguments, [run_unit_effects(spec, source, directory, arguments.execute, bar)])


def _at_places(kind: str, spec_of: Any, how: tuple[Any, Any], arguments: Namespace) -> None:
    """Run an experiment that inserts at one place at a time; `how` also says how many it inserts a picture."""
    from ganatomy.experiments.causal.choice import Wanted
    from ganatomy.experiments.causal.plans import plan_places

    source = opened(arguments)
    options = {name: value for name, value in options_of(arguments).items() if name != "at"}
    check_options(f"{kind} one place at a time", options, (spec_of, Wanted))
    layers = _named_layers(source, arguments, True)
    spec, home = plan_places(source, kind, spec_of, layers, options, _measure(arguments, source))
    directory = getattr(arguments, "out", None) or home
    run, trials = how
    shape = source.shape(spec.place_layer)
    bar = stated_bar(arguments, source, spec, directory, (f"{kind} of {spec.chosen}", trials(spec, shape[1:])))
    deliver(arguments, [run(spec, source, directory, arguments.execute, bar)])


def _find_setting(arguments: Namespace, source: "Source", spec: "SettingSpec", directory: Path) -> "BestSetting":
    from ganatomy.experiments.causal.best_setting import run_setting

    settings = len(spec.settings())
    bar = stated_bar(
        arguments, source, spec, directory, (f"find the best of {settings} settings for {spec.concept}", settings)
    )
    return run_setting(spec, source, directory, arguments.execute, bar)


def _measure(arguments: Namespace, source: "Source") -> "Measure":
    """Return what finds the best setting of a concept at some layers, or reads it where it was found."""
    from ganatomy.experiments.causal.best_setting import known_setting, setting_home
    from ganatomy.experiments.causal.settings import setting_spec

    def measure(layers: Sequence[str], concept: str) -> "BestSetting":
        known = known_setting(source, layers, concept)
        if known is not None:
            return known
        return _find_setting(
            arguments, source, setting_spec(source, layers, concept), setting_home(source, layers, concept)
        )

    return measure


def _named_layers(source: "Source", arguments: Namespace, default: bool) -> list[str]:
    from ganatomy.experiments.causal.chosen import named_layers

    layer, layers = getattr(arguments, "layer", None), getattr(arguments, "layers", None)
    return named_layers(source, layer, layers, default)
