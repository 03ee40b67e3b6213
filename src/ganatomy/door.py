"""The functions that most people need: one an experiment."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganatomy.consent import agree
from ganatomy.execute import Executor, local
from ganatomy.execute.engines import engine_of
from ganatomy.experiments.artifacts import Artifacts, check_threshold, plan_artifacts, run_artifacts
from ganatomy.experiments.causal.accuracy import Accuracy, plan_accuracy, run_accuracy
from ganatomy.experiments.causal.ace import Ace, run_ace
from ganatomy.experiments.causal.ace_spec import scheduled
from ganatomy.experiments.causal.capacity import Capacity, run_capacity
from ganatomy.experiments.causal.choice import ace_home
from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.effects import Effect, run_effect
from ganatomy.experiments.causal.plans import home, plan_capacity, plan_effect, plan_places
from ganatomy.experiments.causal.source import Source, open_source
from ganatomy.experiments.causal.trace import Trace, TraceSpec, run_trace
from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy, plan_unit_accuracy, run_unit_accuracy
from ganatomy.experiments.causal.unit_effects import UnitEffects, UnitEffectSpec, run_unit_effects
from ganatomy.experiments.compare.comparison import Comparison, planned, run_compare
from ganatomy.experiments.described import ArtifactSpec
from ganatomy.experiments.dissect import facts, run
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.models import Models, name_of
from ganatomy.experiments.monitor.checkpoints import run_monitor
from ganatomy.experiments.monitor.monitoring import Monitoring
from ganatomy.experiments.monitor.steps import plan_checkpoints
from ganatomy.experiments.quality import Quality, plan_quality, run_quality
from ganatomy.experiments.repair import Repair, plan_repair, run_repair
from ganatomy.generators import Subject
from ganatomy.progress import Progress
from ganatomy.report import write_comparison
from ganatomy.segmenters import Segmenter
from ganatomy.store import place
from ganatomy.study import Study


def dissect(
    generator: str | Subject,
    *,
    segmenter: str | Segmenter = "bundled:scenes",
    out: str | Path | None = None,
    device: str = "cpu",
    engine: str | Executor = local,
    progress: Progress | None = None,
    **options: Any,
) -> Dissection:
    """Find what each unit of a generator draws.

    >>> import ganatomy
    >>> result = ganatomy.dissect("bundled:church", images=200)                   # doctest: +SKIP
    >>> result = ganatomy.dissect("progan:church.pth", segmenter="colors", layers=("layer4",), out="study")
    ... # doctest: +SKIP

    Args:
        generator: a name, as in `open_generator`, or an open model, such as `as_generator` makes of a module.
        segmenter: a name, as in `open_segmenter`, or an open segmenter.
        out: the study directory; the same call resumes there, or finds its answer at once. None: a new temporary one.
        device: where to compute.
        engine: where shards are counted: a name, as in `open_engine`, or what that opened.
        progress: who shows how far it is.
        options: any other field of `DissectSpec`: layers, images, seed, threshold, …

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    spec = DissectSpec(name_of(generator), name_of(segmenter), **options)
    directory = Path(tempfile.mkdtemp(prefix="ganatomy-")) if out is None else place(out)
    models = Models(generator, segmenter, device)
    with (
        engine_of(engine, device) as execute,
        Study.create(directory, spec, facts(spec, models), execute, progress) as study,
    ):
        return run(spec, study, models)


def open_dissection(directory: str | Path) -> Dissection:
    """Open a finished dissection; no model is needed.

    Raises:
        StudyError: the directory holds no finished dissection.
    """
    return Dissection.open(place(directory))


def trust(directory: str | Path) -> list[str]:
    """Allow the code, and the models of the network, that a dissection made elsewhere names to be opened from it.

    What was dissected on this machine needs no such word.

    Returns:
        The names that needed it.

    Raises:
        GanatomyError: there is no finished dissection, or what was said cannot be kept.
    """
    spec = open_dissection(directory).spec
    return agree([spec.generator, spec.segmenter])


def ablate(
    study: str | Path | Dissection,
    *,
    layer: str,
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
        layer: where the units are.
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
    layer: str,
    concept: str,
    units: Sequence[int] | None = None,
    **options: Any,
) -> Effect:
    """Set units to what they are where a concept is, and see what changes.

    >>> import ganatomy
    >>> ganatomy.insert("study", layer="layer4", concept="door", at=(5, 3)).table  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        concept: the one whose class constant they are set to, `multiple` times.
        units: which; None for those that rank highest for the concept.
        options: as of `ablate`.

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
    with _settled(study, options) as (source, out, how):
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
    with _settled(study, options) as (source, out, how):
        spec = scheduled(source, schedule, layer=layer, concept=concept, **options)
        return run_ace(spec, source, out or ace_home(source, layer, concept, schedule), None, *how)


def context(study: str | Path | Dissection, *, layer: str, concept: str, **options: Any) -> Context:
    """Insert units at one place at a time, at every place of many pictures: where does the model accept the concept?

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        concept: what is inserted.
        options: which units, as of `ablate`; any other field of `ContextSpec`; out, device, engine, progress,
            generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with _settled(study, options) as (source, out, how):
        spec, usual = plan_places(source, "context", ContextSpec, layer, {"concept": concept, **options})
        return run_context(spec, source, out or usual, *how)


def trace(study: str | Path | Dissection, *, layer: str, concept: str, **options: Any) -> Trace:
    """Insert units at one place at a time, and follow the change through every later layer.

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        concept: what is inserted.
        options: which units, as of `ablate`; any other field of `TraceSpec`; out, device, engine, progress, generator,
            segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with _settled(study, options) as (source, out, how):
        spec, usual = plan_places(source, "trace", TraceSpec, layer, {"concept": concept, **options})
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
    with _settled(study, options) as (source, out, how):
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
    with _settled(study, options, draws=False) as (source, out, how):
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
    with _settled(study, options, draws=False) as (source, out, how):
        spec, usual = plan_unit_accuracy(source, layer, options)
        return run_unit_accuracy(spec, source, out or usual, *how)


def artifacts(study: str | Path | Dissection, *, layer: str, real: str, **options: Any) -> Artifacts:
    """Find the units that spoil the pictures: those whose top pictures are farthest from real ones.

    >>> import ganatomy
    >>> ganatomy.artifacts("study", layer="layer4", real="scenes:church").table.head()  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        real: real pictures: a directory, or ``scenes:CATEGORY``.
        options: `annotations`, the database of people's flags to compare with; `threshold`, the distance from which on
            units are left out of the concepts' counts. Any other field of `ArtifactSpec`: images, top, reals,
            features, seed …; out, device, engine, progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with _settled(study, options) as (source, out, how):
        threshold = options.pop("threshold", None)
        if threshold is not None:
            check_threshold(threshold)
        spec, usual, flagged = plan_artifacts(source, layer, {"real": real, **options})
        result = run_artifacts(spec, source, out or usual, *how)
        result = result if flagged is None else result.against(flagged)
        return result if threshold is None else result.realistic(threshold)


def monitor(
    checkpoints: Sequence[str | Path],
    *,
    out: str | Path,
    opening: str | None = None,
    steps: Sequence[int] | None = None,
    **options: Any,
) -> Monitoring:
    """Dissect checkpoints of one training, and follow its units from one to the next.

    >>> import ganatomy
    >>> training = ganatomy.monitor(["run/1000.pth", "run/2000.pth"], out="monitor", opening="progan:{}")
    ... # doctest: +SKIP
    >>> training.follow([("layer4", 17)])                                               # doctest: +SKIP

    Args:
        checkpoints: files, or names of generators.
        out: the directory; checkpoints that it has already are not dissected again.
        opening: what opens a file, with ``{}`` in its place. None: the names are those of generators.
        steps: of each checkpoint; else they are read from the names.
        options: fields of `DissectSpec`: segmenter, layers, images, …; device, engine, progress as of `dissect`.

    Raises:
        GanatomyError: what was given cannot be used, or none of the checkpoints; the message says what to do.
    """
    planned = plan_checkpoints(checkpoints, opening, steps)
    device, progress = options.pop("device", "cpu"), options.pop("progress", None)
    with engine_of(options.pop("engine", local), device) as execute:
        return run_monitor(planned, place(out), options, device, execute, progress)


def quality(study: str | Path | Dissection, *, real: str, **options: Any) -> Quality:
    """Measure how far a model's pictures are from real ones.

    >>> import ganatomy
    >>> ganatomy.quality("study", real="scenes:church").table  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        real: real pictures, as of `artifacts`.
        options: any other field of `QualitySpec`: images, reals, textures, features, seed …; out, device, engine,
            progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with _settled(study, options) as (source, out, how):
        spec, usual = plan_quality(source, {"real": real, **options})
        return run_quality(spec, source, out or usual, *how)


def compare(
    studies: Sequence[str | Path | Dissection],
    *,
    out: str | Path | None = None,
    device: str = "cpu",
    engine: str | Executor = local,
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Set dissections side by side: what do they draw, and what does only one of them, beyond the error of the sample?

    >>> import ganatomy
    >>> found = ganatomy.compare(["church", "livingroom"], layer=["layer4"], out="both")  # doctest: +SKIP
    >>> found.changes[found.changes.sure]  # doctest: +SKIP

    Args:
        studies: finished dissections, or their directories.
        out: a directory for the page, the tables and the figures; None to write nothing.
        device: where models compute; none are opened unless `real` is given.
        engine: where shards are counted, as of `dissect`.
        progress: who shows how far it is.
        options: fields of `CompareSpec`: names, layer, against, follow, draws, seed. To measure the pictures, too:
            `real` (real pictures, as of `artifacts`), `reals`, `images`, `features`, as of `quality`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    directories = [each.study.directory if isinstance(each, Dissection) else place(each) for each in studies]
    spec, measured = planned(directories, options)
    with engine_of(engine, device) as execute:
        found = run_compare(spec, directories, measured, device, execute, progress)
    if out is not None:
        write_comparison(found, out)
    return found


def repair(study: str | Path | Dissection, *, layer: str, real: str, **options: Any) -> Repair:
    """Switch units off, measure whether that brings the pictures nearer to real ones, and write the generator so.

    >>> import ganatomy
    >>> found = ganatomy.repair("study", layer="layer4", real="scenes:church", worst=20)  # doctest: +SKIP
    >>> ganatomy.open_generator(found.opens)  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        real: real pictures, as of `artifacts`.
        options: which units, one or several of: `worst`, so many of the ranking by `artifacts`, which is run if it was
            not (or of that in the directory `ranking`); `flagged=True`, with `annotations`, the database of people's
            flags; `units`. Any other field of `RepairSpec`: images, top, reals, random, textures, features, seed …;
            out, device, engine, progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with _settled(study, options) as (source, out, how):

        def rank(asked: ArtifactSpec, where: Path) -> Artifacts:
            return run_artifacts(asked, source, where, *how)

        spec, usual = plan_repair(source, layer, {"real": real, **options}, rank)
        return run_repair(spec, source, out or usual, *how)


def _effect(kind: str, study: str | Path | Dissection, layer: str, options: dict[str, Any]) -> Effect:
    with _settled(study, options) as (source, out, how):
        spec, usual = plan_effect(source, kind, layer, options)
        return run_effect(spec, source, out or usual, *how)


@contextlib.contextmanager
def _settled(
    study: str | Path | Dissection, options: dict[str, Any], draws: bool = True
) -> Iterator[tuple[Source, Path | None, tuple[Executor, Progress | None]]]:
    """Take what is no field of a Spec out of options: the models, opened, the directory, the engine and the progress.

    An engine that is given by its name is closed when the block ends.
    """
    directory = study.study.directory if isinstance(study, Dissection) else study
    models = {name: options.pop(name) for name in ("device", "generator", "segmenter") if name in options}
    out, progress, engine = options.pop("out", None), options.pop("progress", None), options.pop("engine", local)
    source = open_source(directory, **models, draws=draws)
    with engine_of(engine, source.models.device) as execute:
        yield source, None if out is None else place(out), (execute, progress)
