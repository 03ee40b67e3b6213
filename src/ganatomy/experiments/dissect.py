"""Which unit draws what? Dissection (Bau et al. 2019, 3.1; SPEC 1-2): one pass over a sample, every layer at once."""

import contextlib
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, cast

from ganatomy.core.devices import free_share
from ganatomy.core.errors import StudyError
from ganatomy.core.trust import record_trust
from ganatomy.experiments.choosing import ChosenLevels, choose
from ganatomy.experiments.dissect_spec import RUN, DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.dissection_stats import Tally
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.prompted import prompt_facts
from ganatomy.experiments.sampling import chosen_layers
from ganatomy.experiments.shards import calibration_parts, draw_strips, measure_levels, tally_shard
from ganatomy.models.generators import Generator
from ganatomy.models.generators.protocol import layer_facts
from ganatomy.stats.levels import ActivationLevels
from ganatomy.stats.pairs import PairLevels
from ganatomy.study import Study


def facts(spec: DissectSpec, models: ModelPair) -> dict[str, Any]:
    """Return what is used: the models' fingerprints, their layers and words, and the versions of the software.

    A segmenter whose concepts are shown from thresholds on, its `thresholds`, has them listed by concept.
    """
    generator, segmenter = models.subject, models.segmenter
    layers = chosen_layers(generator, spec.layers)
    for ids in spec.halves().values():
        generator.latents(ids[-1:], spec.seed)
    names = {layer: list(own) for layer, own in getattr(generator, "unit_names", {}).items() if layer in layers}
    concepts = (concept.name for concept in segmenter.vocabulary[1:])
    thresholds = dict(zip(concepts, getattr(segmenter, "thresholds", ()), strict=False))
    return {
        "inputs": {"generator": generator.fingerprint, "segmenter": segmenter.fingerprint},
        "layers": {name: list(shape) for name, shape in layers.items()},
        "vocabulary": [list(concept) for concept in segmenter.vocabulary],
        **({"thresholds": thresholds} if thresholds else {}),
        **({"unit_names": names} if names else {}),
        "draws": isinstance(generator, Generator),
        **prompt_facts(generator, spec.images),
        **({"label_size": list(generator.label_size)} if hasattr(generator, "label_size") else {}),
        "directions": set(layers) <= set(getattr(generator, "rotated", ())),
        "versions": {name: version(name) for name in ("ganatomy", "torch", "numpy", "numba")},
        "machine": {"python": platform.python_version(), "system": platform.system(), "device": models.device},
    }


def run(spec: DissectSpec, study: Study, models: ModelPair, memory: int | None = None) -> Dissection:
    """Dissect a generator in a study directory; what is there already is not measured again.

    Args:
        spec, study, models: what is dissected, and where it is kept, with the options of the run.
        memory: how many bytes one process may take, see `tally_shard`; None for half of what is free.
    """
    with contextlib.suppress(StudyError):  # it is only asked for again
        record_trust([spec.generator, spec.segmenter])  # which stand in a file from now on, and were typed here
    if study.finished:
        return Dissection.open(study.directory)
    how = study.begun(RUN)
    memory, layers = memory or free_share(), chosen_layers(models.subject, spec.layers)
    parts = calibration_parts(spec, layers)
    levels = study.sharded("levels", ActivationLevels, partial(measure_levels, spec, models, how.batch), parts)

    cuts = dict(zip(layers, levels.by_layer([shape.units for shape in layers.values()]), strict=True))

    def tally(half: str, pair_levels: Mapping[str, PairLevels] | None) -> Tally:
        work = partial(tally_shard, spec, models, how.batch, cuts, pair_levels, memory)
        return study.sharded(half, Tally, work, how.shards(spec.halves()[half]))

    fold = None
    if spec.validation == "cross" or not study.has_step("chosen"):
        fold = tally("validation", None)
    chosen = study.step("chosen", ChosenLevels, lambda: choose(spec, cast(Tally, fold), layers))
    if spec.validation == "separate":  # where it only chooses levels
        fold = None
        study.drop_step("validation")
    evaluation = tally("evaluation", chosen.pair_levels(cuts))
    draw = partial(draw_strips, spec, models, how.batch)
    of_layers = {layer: own for layer, own in layer_facts(models.subject).items() if layer in layers}
    return Dissection.conclude(spec, study, fold, evaluation, draw, of_layers)
