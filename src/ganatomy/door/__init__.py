"""The functions that most people need: one an experiment."""

from ganatomy.door.against_real import artifacts, quality, repair
from ganatomy.door.causal import (
    ablate,
    accuracy,
    ace,
    best_setting,
    capacity,
    context,
    insert,
    trace,
    unit_accuracy,
    unit_effects,
)
from ganatomy.door.dissections import compare, dissect, monitor, open_dissection, trust

__all__ = [
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
]
