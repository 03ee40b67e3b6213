"""See what each unit of a generative image model draws, prove it, and repair it.

>>> import ganatomy
>>> result = ganatomy.dissect("bundled:church", images=200)      # doctest: +SKIP
>>> result.units                                                 # doctest: +SKIP

Importing this package loads nothing heavy: each public name is fetched when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganatomy.door import ablate as ablate
    from ganatomy.door import accuracy as accuracy
    from ganatomy.door import ace as ace
    from ganatomy.door import artifacts as artifacts
    from ganatomy.door import best_setting as best_setting
    from ganatomy.door import capacity as capacity
    from ganatomy.door import compare as compare
    from ganatomy.door import context as context
    from ganatomy.door import dissect as dissect
    from ganatomy.door import insert as insert
    from ganatomy.door import monitor as monitor
    from ganatomy.door import open_dissection as open_dissection
    from ganatomy.door import quality as quality
    from ganatomy.door import repair as repair
    from ganatomy.door import trace as trace
    from ganatomy.door import trust as trust
    from ganatomy.door import unit_accuracy as unit_accuracy
    from ganatomy.door import unit_effects as unit_effects
    from ganatomy.edit import Intervention as Intervention
    from ganatomy.errors import BadFile as BadFile
    from ganatomy.errors import BadModel as BadModel
    from ganatomy.errors import BadValue as BadValue
    from ganatomy.errors import EngineError as EngineError
    from ganatomy.errors import GanatomyError as GanatomyError
    from ganatomy.errors import PartsMissing as PartsMissing
    from ganatomy.errors import StudyBusy as StudyBusy
    from ganatomy.errors import StudyError as StudyError
    from ganatomy.errors import StudyMismatch as StudyMismatch
    from ganatomy.errors import UnknownName as UnknownName
    from ganatomy.execute import Executor as Executor
    from ganatomy.execute.engines import open_engine as open_engine
    from ganatomy.experiments.artifacts import Artifacts as Artifacts
    from ganatomy.experiments.causal.accuracy import Accuracy as Accuracy
    from ganatomy.experiments.causal.accuracy import AccuracySpec as AccuracySpec
    from ganatomy.experiments.causal.ace import Ace as Ace
    from ganatomy.experiments.causal.ace_spec import AceSpec as AceSpec
    from ganatomy.experiments.causal.best_setting import BestSetting as BestSetting
    from ganatomy.experiments.causal.capacity import Capacity as Capacity
    from ganatomy.experiments.causal.capacity import CapacitySpec as CapacitySpec
    from ganatomy.experiments.causal.context import Context as Context
    from ganatomy.experiments.causal.context import ContextSpec as ContextSpec
    from ganatomy.experiments.causal.effects import Effect as Effect
    from ganatomy.experiments.causal.effects import EffectSpec as EffectSpec
    from ganatomy.experiments.causal.settings import SettingSpec as SettingSpec
    from ganatomy.experiments.causal.trace import Trace as Trace
    from ganatomy.experiments.causal.trace import TraceSpec as TraceSpec
    from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy as UnitAccuracy
    from ganatomy.experiments.causal.unit_accuracy import UnitAccuracySpec as UnitAccuracySpec
    from ganatomy.experiments.causal.unit_effects import UnitEffects as UnitEffects
    from ganatomy.experiments.causal.unit_effects import UnitEffectSpec as UnitEffectSpec
    from ganatomy.experiments.compare.comparison import Comparison as Comparison
    from ganatomy.experiments.compare.spec import CompareSpec as CompareSpec
    from ganatomy.experiments.described import ArtifactSpec as ArtifactSpec
    from ganatomy.experiments.dissect_spec import DissectSpec as DissectSpec
    from ganatomy.experiments.dissection import Dissection as Dissection
    from ganatomy.experiments.monitor.monitoring import Monitoring as Monitoring
    from ganatomy.experiments.quality import Quality as Quality
    from ganatomy.experiments.quality import QualitySpec as QualitySpec
    from ganatomy.experiments.repair import Repair as Repair
    from ganatomy.experiments.repair import RepairSpec as RepairSpec
    from ganatomy.experiments.warnings import warnings_of as warnings_of
    from ganatomy.features import FeatureNetwork as FeatureNetwork
    from ganatomy.features import open_features as open_features
    from ganatomy.generators import Generator as Generator
    from ganatomy.generators import LayerShape as LayerShape
    from ganatomy.generators import Observation as Observation
    from ganatomy.generators import Subject as Subject
    from ganatomy.generators import open_generator as open_generator
    from ganatomy.generators import open_subject as open_subject
    from ganatomy.generators.classifier import as_classifier as as_classifier
    from ganatomy.generators.module import as_generator as as_generator
    from ganatomy.generators.view import View as View
    from ganatomy.live.monitor import Monitor as Monitor
    from ganatomy.progress import Progress as Progress
    from ganatomy.report import write_causal_report as write_causal_report
    from ganatomy.report import write_comparison as write_comparison
    from ganatomy.report import write_monitor_report as write_monitor_report
    from ganatomy.report import write_report as write_report
    from ganatomy.segmenters import Scorer as Scorer
    from ganatomy.segmenters import Segmenter as Segmenter
    from ganatomy.segmenters import open_segmenter as open_segmenter
    from ganatomy.segmenters.module import as_segmenter as as_segmenter
    from ganatomy.study import Part as Part
    from ganatomy.study import Study as Study
    from ganatomy.vocabulary import Concept as Concept

    __version__: str

_HOMES = {
    "door": (
        "ablate",
        "accuracy",
        "ace",
        "artifacts",
        "best_setting",
        "capacity",
        "compare",
        "context",
        "dissect",
        "insert",
        "monitor",
        "open_dissection",
        "quality",
        "repair",
        "trace",
        "trust",
        "unit_accuracy",
        "unit_effects",
    ),
    "edit": ("Intervention",),
    "errors": (
        "BadFile",
        "BadModel",
        "BadValue",
        "EngineError",
        "GanatomyError",
        "PartsMissing",
        "StudyBusy",
        "StudyError",
        "StudyMismatch",
        "UnknownName",
    ),
    "execute": ("Executor",),
    "execute.engines": ("open_engine",),
    "experiments.artifacts": ("Artifacts",),
    "experiments.causal.accuracy": ("Accuracy", "AccuracySpec"),
    "experiments.causal.ace": ("Ace",),
    "experiments.causal.ace_spec": ("AceSpec",),
    "experiments.causal.best_setting": ("BestSetting",),
    "experiments.causal.capacity": ("Capacity", "CapacitySpec"),
    "experiments.causal.context": ("Context", "ContextSpec"),
    "experiments.causal.effects": ("Effect", "EffectSpec"),
    "experiments.causal.settings": ("SettingSpec",),
    "experiments.causal.trace": ("Trace", "TraceSpec"),
    "experiments.causal.unit_accuracy": ("UnitAccuracy", "UnitAccuracySpec"),
    "experiments.causal.unit_effects": ("UnitEffects", "UnitEffectSpec"),
    "experiments.compare.comparison": ("Comparison",),
    "experiments.compare.spec": ("CompareSpec",),
    "experiments.described": ("ArtifactSpec",),
    "experiments.dissect_spec": ("DissectSpec",),
    "experiments.dissection": ("Dissection",),
    "experiments.warnings": ("warnings_of",),
    "features": ("FeatureNetwork", "open_features"),
    "experiments.monitor.monitoring": ("Monitoring",),
    "experiments.quality": ("Quality", "QualitySpec"),
    "experiments.repair": ("Repair", "RepairSpec"),
    "generators": ("Generator", "LayerShape", "Observation", "Subject", "open_generator", "open_subject"),
    "generators.classifier": ("as_classifier",),
    "generators.module": ("as_generator",),
    "generators.view": ("View",),
    "live.monitor": ("Monitor",),
    "progress": ("Progress",),
    "report": ("write_causal_report", "write_comparison", "write_monitor_report", "write_report"),
    "segmenters": ("Scorer", "Segmenter", "open_segmenter"),
    "segmenters.module": ("as_segmenter",),
    "study": (
        "Part",
        "Study",
    ),
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
