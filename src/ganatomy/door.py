"""The functions that most people need: one an experiment."""

import tempfile
from pathlib import Path
from typing import Any

from ganatomy.experiments.dissect import facts, run
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.models import Models, name_of
from ganatomy.generators import Generator
from ganatomy.progress import Progress
from ganatomy.segmenters import Segmenter
from ganatomy.study import Study


def dissect(
    generator: str | Generator,
    *,
    segmenter: str | Segmenter = "bundled:scenes",
    out: str | Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **options: Any,
) -> Dissection:
    """Find what each unit of a generator draws.

    >>> import ganatomy
    >>> result = ganatomy.dissect("bundled:church", images=200)                   # doctest: +SKIP
    >>> result = ganatomy.dissect("progan:church.pth", segmenter="colors", layers=("layer4",), out="study")
    ... # doctest: +SKIP

    Args:
        generator: a name, as in `open_generator`, or an open generator, such as `as_generator` makes of a module.
        segmenter: a name, as in `open_segmenter`, or an open segmenter.
        out: the study directory; the same call resumes there, or finds its answer at once. None: a new temporary one.
        device: where to compute.
        progress: who shows how far it is.
        options: any other field of `DissectSpec`: layers, images, seed, threshold, …

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    spec = DissectSpec(name_of(generator), name_of(segmenter), **options)
    directory = Path(tempfile.mkdtemp(prefix="ganatomy-")) if out is None else Path(out)
    models = Models(generator, segmenter, device)
    with Study.create(directory, spec, facts(spec, models)) as study:
        return run(spec, study, models, progress=progress)


def open_dissection(directory: str | Path) -> Dissection:
    """Open a finished dissection; no model is needed.

    Raises:
        StudyError: the directory holds no finished dissection.
    """
    return Dissection.open(Path(directory))
