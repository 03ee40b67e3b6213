"""See what each unit of a generative image model draws, prove it, and repair it.

>>> import ganatomy
>>> result = ganatomy.dissect("bundled:church", images=200)      # doctest: +SKIP
>>> result.units                                                 # doctest: +SKIP

Importing this package loads nothing heavy: each public name is fetched when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganatomy.door import dissect as dissect
    from ganatomy.door import open_dissection as open_dissection
    from ganatomy.edit import Intervention as Intervention
    from ganatomy.errors import BadFile as BadFile
    from ganatomy.errors import BadModel as BadModel
    from ganatomy.errors import BadValue as BadValue
    from ganatomy.errors import GanatomyError as GanatomyError
    from ganatomy.errors import StudyBusy as StudyBusy
    from ganatomy.errors import StudyError as StudyError
    from ganatomy.errors import StudyMismatch as StudyMismatch
    from ganatomy.errors import UnknownName as UnknownName
    from ganatomy.experiments.dissect_spec import DissectSpec as DissectSpec
    from ganatomy.experiments.dissection import Dissection as Dissection
    from ganatomy.generators import Generator as Generator
    from ganatomy.generators import LayerShape as LayerShape
    from ganatomy.generators import Observation as Observation
    from ganatomy.generators import open_generator as open_generator
    from ganatomy.generators.module import as_generator as as_generator
    from ganatomy.progress import Progress as Progress
    from ganatomy.report import write_report as write_report
    from ganatomy.segmenters import Scorer as Scorer
    from ganatomy.segmenters import Segmenter as Segmenter
    from ganatomy.segmenters import open_segmenter as open_segmenter
    from ganatomy.segmenters.module import as_segmenter as as_segmenter
    from ganatomy.study import Study as Study
    from ganatomy.vocabulary import Concept as Concept

    __version__: str

_HOMES = {
    "door": ("dissect", "open_dissection"),
    "edit": ("Intervention",),
    "errors": (
        "BadFile",
        "BadModel",
        "BadValue",
        "GanatomyError",
        "StudyBusy",
        "StudyError",
        "StudyMismatch",
        "UnknownName",
    ),
    "experiments.dissect_spec": ("DissectSpec",),
    "experiments.dissection": ("Dissection",),
    "generators": ("Generator", "LayerShape", "Observation", "open_generator"),
    "generators.module": ("as_generator",),
    "progress": ("Progress",),
    "report": ("write_report",),
    "segmenters": ("Scorer", "Segmenter", "open_segmenter"),
    "segmenters.module": ("as_segmenter",),
    "study": ("Study",),
    "vocabulary": ("Concept",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ganatomy")
    if name in _HOME:
        return getattr(import_module(f"ganatomy.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ganatomy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
