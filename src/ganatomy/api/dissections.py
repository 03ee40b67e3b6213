"""Dissections that are there already: opened, and trusted."""

from pathlib import Path

from ganatomy.api.calls import public
from ganatomy.consent import agree
from ganatomy.experiments.dissection import Dissection
from ganatomy.store import place


@public
def open_dissection(directory: str | Path) -> Dissection:
    """Open a finished dissection; no model is needed.

    Raises:
        StudyError: the directory holds no finished dissection.
    """
    return Dissection.open(place(directory))


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
    return agree([spec.generator, spec.segmenter])
