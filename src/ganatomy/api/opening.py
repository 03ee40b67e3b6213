"""Studies that are there already: opened, and trusted."""

from pathlib import Path
from typing import Any

from ganatomy.api.calls import public
from ganatomy.core.errors import StudyError
from ganatomy.core.trust import record_trust
from ganatomy.experiments.base import EXPERIMENTS, experiment
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.training_history import TrainingHistory
from ganatomy.remote import local_path
from ganatomy.study import Study, as_bad_file, kind_name


@public
def open(directory: str | Path) -> Any:
    """Open the result of any experiment, such as a `Dissection` or an `Effect`; no model is needed.

    >>> ganatomy.open("study").table  # doctest: +SKIP

    Raises:
        StudyError: the directory holds no finished study, or one that is only an input of others.
        BadFile: what it holds does not fit together.
    """
    directory = local_path(directory)
    with as_bad_file(directory):
        if (directory / "snapshots").is_dir():
            return TrainingHistory.open(directory)
        kind = Study.open(directory).kind
        if kind == "dissect":
            return Dissection.open(directory)
        for name in EXPERIMENTS:
            if kind_name((entry := experiment(name)).spec) == kind:
                return entry.result.open(directory)
    raise StudyError(f"{directory} holds a study of kind {kind}, which other studies read; it has no result of its own")


@public
def open_dissection(directory: str | Path) -> Dissection:
    """Open a finished dissection; no model is needed.

    Raises:
        StudyError: the directory holds no finished dissection.
    """
    return Dissection.open(local_path(directory))


@public
def trust(directory: str | Path) -> list[str]:
    """Allow the code, and the models of the network, that a dissection made elsewhere names to be opened from it.

    What was dissected on this machine needs no such word.

    Returns:
        The names that needed it.

    Raises:
        GanatomyError: there is no finished dissection, or what was said cannot be kept.
    """
    spec = open_dissection(directory).spec
    return record_trust([spec.generator, spec.segmenter])
