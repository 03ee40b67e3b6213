"""Dissections: made, opened, compared, repeated over a training, trusted."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganatomy.consent import agree
from ganatomy.execute import Executor, local
from ganatomy.execute.engines import engine_of
from ganatomy.experiments.compare.comparison import Comparison, planned, run_compare
from ganatomy.experiments.dissect import facts, run
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.models import Models, name_of
from ganatomy.experiments.monitor.checkpoints import run_monitor
from ganatomy.experiments.monitor.monitoring import Monitoring
from ganatomy.experiments.monitor.steps import plan_checkpoints
from ganatomy.generators import Subject
from ganatomy.progress import Progress
from ganatomy.remote import local_path
from ganatomy.report import write_comparison
from ganatomy.segmenters import Segmenter
from ganatomy.study import Study


def dissect(
    generator: str | Subject,
    *,
    segmenter: str | Segmenter = "bundled:scenes",
    out: str | Path | None = None,
    device: str = "cpu",
    engine: str | Executor = local,
    progress: Progress | None = None,
    memory: int | None = None,
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
        memory: how many bytes one process may take; tables that do not fit are counted in several passes, to the same
            counts. None for half of what is free.
        options: any other field of `DissectSpec`: layers, images, seed, threshold, …

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    spec = DissectSpec(name_of(generator), name_of(segmenter), **options)
    directory = Path(tempfile.mkdtemp(prefix="ganatomy-")) if out is None else local_path(out)
    models = Models(generator, segmenter, device)
    with (
        engine_of(engine, device) as execute,
        Study.create(directory, spec, facts(spec, models), execute, progress) as study,
    ):
        return run(spec, study, models, memory)


def open_dissection(directory: str | Path) -> Dissection:
    """Open a finished dissection; no model is needed.

    Raises:
        StudyError: the directory holds no finished dissection.
    """
    return Dissection.open(local_path(directory))


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
        return run_monitor(planned, local_path(out), options, device, execute, progress)


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
    directories = [each.study.directory if isinstance(each, Dissection) else local_path(each) for each in studies]
    spec, measured = planned(directories, options)
    with engine_of(engine, device) as execute:
        found = run_compare(spec, directories, measured, device, execute, progress)
    if out is not None:
        write_comparison(found, out)
    return found
