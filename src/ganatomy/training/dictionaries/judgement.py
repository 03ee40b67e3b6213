"""Does an autoencoder say more of a model than other dictionaries of its layer, and than an untrained one?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from ganatomy.core.progress import Progress
from ganatomy.core.vocabulary import Concept
from ganatomy.engines import Engine, local
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.compare.studies import StudyView
from ganatomy.experiments.dissect import run
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.dtype import begin, choose_dtype
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.result import Summarised
from ganatomy.report.charts import Drawing
from ganatomy.training.dictionaries.causes import cause_measures, chosen_concepts
from ganatomy.training.dictionaries.counts import count_measures
from ganatomy.training.dictionaries.measure import Measure, measure_table, separation_table
from ganatomy.training.dictionaries.one_object import one_object
from ganatomy.training.dictionaries.opened import basis, open_dictionaries
from ganatomy.training.dictionaries.rebuilt import fit_measures
from ganatomy.training.dictionaries.single_objects import PairedScenes
from ganatomy.training.dictionaries.spec import OWN, DictionarySpec

DICTIONARIES, STUDIES, PAIRS = "dictionaries", "studies", "pairs"
"""Directories of the other autoencoders, of the dissections, and of inverted scene pairs."""


@dataclass(frozen=True, eq=False, repr=False)
class Judgement(Summarised):
    """An autoencoder beside other dictionaries of its layer, all with equally many active features.

    Attributes:
        spec: what was asked.
        measures: every measure, with what it is in each resample of the images.
        studies: the dissection of each dictionary.
        notes: sentences on what was left out, and why.
        scenes: the pairs that features were compared on; None where they were not.
    """

    TABLES: ClassVar = ("table", "separations")

    spec: DictionarySpec
    measures: tuple[Measure, ...]
    studies: tuple[StudyView, ...]
    notes: tuple[str, ...] = ()
    scenes: PairedScenes | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row for each measure and dictionary.

        Columns: measure, title, dictionary, value, error (standard error over images), low, high (95 % interval),
        spread (over random subsets of the features, where the value is a mean of these).
        """
        return measure_table(list(self.measures))

    @property
    def separations(self) -> pd.DataFrame:
        """The autoencoder against the untrained one, one row for each measure.

        Columns: measure, title, autoencoder, untrained, difference, error, low, high, separates, better (which of
        the two does better, where it separates), sentence.
        """
        return separation_table(list(self.measures))

    @property
    def shared(self) -> tuple[Concept, ...]:
        """The concepts, nothing first."""
        return tuple(self.studies[0].dissection.vocabulary)

    @property
    def layer(self) -> str:
        """The layer of the dictionaries."""
        return next(iter(self.studies[0].layers))

    def chart(self) -> Drawing:
        """Return the first measure of every dictionary."""
        from ganatomy.report.dictionaries import measure_chart

        return measure_chart(self.measures[0])[1]

    def _warnings(self) -> list[str]:
        return list(dict.fromkeys(sentence for each in self.studies for sentence in each.dissection.warnings))

    def _summary(self) -> list[str]:
        return [*self.separations.sentence, *self.notes]

    def __repr__(self) -> str:
        return f"<Judgement of {self.spec.autoencoder}>"


def run_judgement(
    spec: DictionarySpec, directory: Path, device: str, engine: Engine = local, progress: Progress | None = None
) -> Judgement:
    """Set an autoencoder beside other dictionaries; goes on where it was stopped.

    Args:
        spec: what is asked.
        directory: gets the other dictionaries and the dissections of all.
        device: where models compute.
    """
    models = open_dictionaries(spec, directory / DICTIONARIES, device)
    dissections = {
        name: _dissected(spec, pair, directory / STUDIES / name, engine, progress) for name, pair in models.items()
    }
    model = basis(models[OWN])
    sources = {name: DissectedModel(dissections[name], pair) for name, pair in models.items()}
    concepts = chosen_concepts(spec, dissections)
    notes = []
    if len(model.at) > 1:
        notes.append(
            f"Features of {model.layer} are edited at each of these steps; labels and scene pairs are those of "
            f"{model.middle}."
        )
    if not concepts:
        notes.append("Nothing was edited: no dictionary has a feature that goes with a concept better than by chance.")
    dictionaries = {name: basis(pair).directions for name, pair in models.items()}
    measures = [
        *count_measures(dissections, spec.draws, spec.seed),
        *fit_measures(model, dictionaries, spec.draws, spec.seed),
        *(cause_measures(spec, sources, model, concepts, engine, progress) if concepts else ()),
    ]
    compared = one_object(spec, sources[OWN], model, dictionaries, directory / PAIRS, engine, progress)
    measures += compared.measures
    notes += compared.notes
    return Judgement(spec, tuple(measures), _views(dissections), tuple(notes), compared.scenes)


def _dissected(
    spec: DictionarySpec, pair: ModelPair, directory: Path, engine: Engine, progress: Progress | None
) -> Dissection:
    dissect_spec = DissectSpec(
        pair.generator_given if isinstance(pair.generator_given, str) else "",
        spec.segmenter,
        (basis(pair).middle,),
        images=spec.images,
        seed=spec.seed,
    )
    study, choice = begin(choose_dtype(dissect_spec, pair, directory), directory, engine, progress)
    with study:
        return run(choice.spec, study, choice.models)


def _views(dissections: Mapping[str, Dissection]) -> tuple[StudyView, ...]:
    layers = {layer: layer for own in dissections.values() for layer in own.layers}
    return tuple(StudyView(name, own, layers) for name, own in dissections.items())
