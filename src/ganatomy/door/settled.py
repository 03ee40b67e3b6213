"""What every function of the door takes beside the fields of its Spec."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganatomy.execute import Executor, local
from ganatomy.execute.engines import engine_of
from ganatomy.experiments.causal.source import Source, open_source
from ganatomy.experiments.dissection import Dissection
from ganatomy.progress import Progress
from ganatomy.remote import local_path


@contextlib.contextmanager
def settled(
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
        yield source, None if out is None else local_path(out), (execute, progress)
