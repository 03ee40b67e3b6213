"""Every statistic that an experiment counts shard by shard, by name.

The files of a study name the class of what they hold. As a stranger may have written it, it is looked up here only.
"""

from importlib import import_module

from ganatomy.errors import UnknownName
from ganatomy.study import Mergeable

STATISTICS = {
    "Appeared": "ganatomy.experiments.causal.best_setting",
    "ActivationLevels": "ganatomy.stats.levels",
    "Candidates": "ganatomy.experiments.causal.locations",
    "Described": "ganatomy.experiments.described",
    "EffectTally": "ganatomy.experiments.causal.effects",
    "FeatureMoments": "ganatomy.stats.frechet",
    "FirstOrder": "ganatomy.experiments.causal.unit_effects",
    "Inserted": "ganatomy.experiments.causal.context",
    "PairedChange": "ganatomy.stats.paired",
    "PlaceMeans": "ganatomy.experiments.causal.constants",
    "Pool": "ganatomy.experiments.causal.pool",
    "Shares": "ganatomy.experiments.causal.unit_sets",
    "Strength": "ganatomy.experiments.causal.trace",
    "Strips": "ganatomy.experiments.strips",
    "Tally": "ganatomy.experiments.tally",
    "Traced": "ganatomy.experiments.causal.trace",
    "Tried": "ganatomy.experiments.causal.capacity",
    "Verdicts": "ganatomy.stats.verdicts",
}


def statistic(name: str) -> type[Mergeable]:
    """Return the class of a statistic.

    Raises:
        UnknownName: no experiment counts it.
    """
    if name not in STATISTICS:
        raise UnknownName("statistic", name, STATISTICS)
    found: type[Mergeable] = getattr(import_module(STATISTICS[name]), name)
    return found
