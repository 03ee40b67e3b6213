"""The response to one object: of a model that takes images with noise as they are, of any other by inversion."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganatomy.core.errors import BadModel
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.place_truth import category_of
from ganatomy.experiments.inversion.invert import RUN
from ganatomy.experiments.model_pair import ModelPair, Opened
from ganatomy.models.generators import Generator, Subject
from ganatomy.models.generators.basis import BasisSubject
from ganatomy.models.generators.directions import Directions
from ganatomy.models.inversion import inverter_of
from ganatomy.training.dictionaries.inverted_pairs import OPTIMISED, PairSpec, invert_pairs
from ganatomy.training.dictionaries.measure import Measure
from ganatomy.training.dictionaries.opened import generator_of
from ganatomy.training.dictionaries.single_objects import (
    PairedScenes,
    joined,
    no_pairs,
    noised_pairs,
    open_pairs,
    pair_measure,
    takes_noised,
)
from ganatomy.training.dictionaries.spec import DictionarySpec


@dataclass(frozen=True, eq=False)
class OneObject:
    """The measure, if there is one, what is to be said of it, and the scene pairs."""

    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()
    scenes: PairedScenes | None = None


def one_object(
    spec: DictionarySpec,
    source: DissectedModel,
    model: BasisSubject,
    dictionaries: Mapping[str, Directions],
    directory: Path,
    engine: Engine,
    progress: Progress | None,
) -> OneObject:
    """Return how far features respond to one kind of object; inversions go on where they were stopped.

    Args:
        spec: what is asked.
        source: any dissection of the layer.
        model: whose layer it is.
        dictionaries: by name.
        directory: of the inversions.
    """
    subject, category = model.subject, spec.grammar or category_of(generator_of(spec))
    if (sentence := no_pairs(subject, category)) or not category:
        return OneObject(notes=(sentence,))
    measured = partial(pair_measure, layer=model.middle, dictionaries=dictionaries, draws=spec.draws, seed=spec.seed)
    size = subject.observe(subject.latents(range(1), spec.seed), ()).images.shape[-1]
    if takes_noised(subject):
        scenes = open_pairs(category, spec.pairs, size, spec.seed)
        return OneObject((measured(noised_pairs(subject, model.middle, scenes, spec.seed), scenes=scenes),), (), scenes)
    assert isinstance(subject, Generator)
    try:
        optimised = inverter_of(subject, None).way == "optimisation"
    except BadModel as error:
        return OneObject(notes=(f"Scene pairs were not compared: {error}.",))
    count = min(spec.pairs, OPTIMISED) if optimised else spec.pairs
    scenes, layer = open_pairs(category, count, size, spec.seed), model.middle
    pair_spec = PairSpec(
        **source.names(), layer=layer if optimised else "", seed=spec.seed, category=category, pairs=count
    )
    itself = _of_model(source, generator_of(spec), subject)
    found = invert_pairs(itself, pair_spec, joined(scenes), directory, engine, progress)
    if refusal := found.refusal():
        return OneObject(notes=(refusal,))
    fewer = f"At most {count} pairs of each kind were taken, as each takes an optimisation."
    notes = (str(found), *([fewer] if count < spec.pairs else ()))
    return OneObject((measured(partial(found.features, subject, layer), scenes=scenes),), notes, scenes)


def _of_model(source: DissectedModel, name: str, subject: Subject) -> DissectedModel:
    """Return the dissection with the model itself, which is open, without directions."""
    given = source.models
    own = ModelPair(name, given.segmenter_given, given.device, opened=Opened(subject))
    return dataclasses.replace(source, models=own, run=RUN)
