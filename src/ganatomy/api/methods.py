"""What can be asked about a dissection, as its methods.

Written by recipes/api_signatures.py.
"""

from ganatomy.api import experiments


class Questions:
    """What can be asked about a dissection: each method is the public function of its name, given this dissection."""

    ablate = experiments.ablate
    unit_effects = experiments.unit_effects
    insert = experiments.insert
    context = experiments.context
    apply_edits = experiments.apply_edits
    ace = experiments.ace
    capacity = experiments.capacity
    best_setting = experiments.best_setting
    trace = experiments.trace
    accuracy = experiments.accuracy
    unit_accuracy = experiments.unit_accuracy
    artifacts = experiments.artifacts
    describe = experiments.describe
    quality = experiments.quality
    repair = experiments.repair
    invert = experiments.invert
    edit_photographs = experiments.edit_photographs
