"""The answer of a dissection: tables, curves and images. It opens without any model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from ganatomy.api.methods import Questions
from ganatomy.core.errors import BadFile, BadValue, StudyError, UnknownName, not_a_dissection
from ganatomy.core.tensor_files import SUFFIX
from ganatomy.core.vocabulary import Concept, find_concept
from ganatomy.experiments.choosing import ChosenLevels
from ganatomy.experiments.dissect_spec import RUN, DissectSpec
from ganatomy.experiments.dissection_stats import Tally
from ganatomy.experiments.dissection_tables import TABLES, stored_names, stored_tables
from ganatomy.experiments.emergence import emergence_table
from ganatomy.experiments.prompted import concept_sentences, conclude_prompts
from ganatomy.experiments.result import Summarised, matched_text
from ganatomy.experiments.scoring import PixelCounts, UnitScores, counted, read
from ganatomy.experiments.tables import (
    Scores,
    concept_table,
    layer_table,
    matched_rule,
    pair_table,
    raised_margins,
    unit_table,
)
from ganatomy.experiments.top_images import Strip, Strips, top_ids
from ganatomy.experiments.warnings import concept_warnings, sample_warnings
from ganatomy.experiments.word_map_table import no_words, word_map_table
from ganatomy.models.generators import LayerShape
from ganatomy.report.charts import Drawing
from ganatomy.stats.levels import ActivationLevels
from ganatomy.stats.scores import information_quality, iou, rates
from ganatomy.stats.topk import TopImages
from ganatomy.study import Study, TensorState, as_bad_file, kind_name

if TYPE_CHECKING:
    from ganatomy.experiments.bootstrap import Resampled
    from ganatomy.report.card import UnitCard

A = TypeVar("A", bound="TensorState")
Floats = npt.NDArray[np.float64]
Draw = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], range], Strips]
NAMED = ["label", "category"]


@dataclass(frozen=True, eq=False, repr=False)
class Dissection(Questions, Summarised):
    """What each unit draws. What can be asked about it further are its methods, such as ``ablate("layer4", "tree")``.

    Attributes:
        spec: what was asked.
        facts: what was used: fingerprints, versions; the rule for *matched* pairs (matched_rule), the factors by
            which its margins were raised for some concepts (raised), and the share of units that would be matched to
            some concept by their mismatched counts (false_labels); of the evaluation images, what `ImageSample` says.
        layers: shape of every dissected layer, in forward order.
        vocabulary: the segmenter's concepts.
        units: one row a unit; scores are those of the unit with its label.
        concepts: one row a concept.
        pairs: one row for each unit and concept whose IoU beats chance and control.
        by_layer: one row a layer.
        prompts: of text-to-image models, one row for each prompt and concept; of others empty, as are
            the next three.
        slots: one row for each value of a slot and concept.
        prompt_pairs: one row for each word that pairs of prompts differ in and concept.
        words: one row for each unit, concept that a prompt says, and way to read the unit's map.
        study: the directory that holds it.
        opened: the ``generator`` and the ``segmenter`` that were given open; questions about it use them again. They
            stay behind when it is pickled.
    """

    spec: DissectSpec
    facts: Mapping[str, Any]
    layers: Mapping[str, LayerShape]
    vocabulary: tuple[Concept, ...]
    units: pd.DataFrame
    concepts: pd.DataFrame
    pairs: pd.DataFrame
    by_layer: pd.DataFrame
    study: Study
    prompts: pd.DataFrame = field(default_factory=pd.DataFrame)
    slots: pd.DataFrame = field(default_factory=pd.DataFrame)
    prompt_pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    words: pd.DataFrame = field(default_factory=pd.DataFrame)
    opened: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `units`."""
        return self.units

    @classmethod
    def open(cls, directory: Path) -> "Dissection":
        """Open a finished dissection.

        Raises:
            StudyError: the directory holds no finished dissection.
            BadFile: a file of it is damaged.
        """
        study = Study.open(directory)
        if study.kind != kind_name(DissectSpec):
            raise StudyError(f"{directory} {not_a_dissection(study.kind, study.facts.get('source'))}")
        try:
            spec = DissectSpec(**study.spec_json)
        except TypeError as error:
            raise BadFile(f"{directory} holds no dissection that this version can read ({error})") from error
        with as_bad_file(study.directory):
            layers, vocabulary = stored_names(study)
            tables: dict[str, Any] = dict(stored_tables(study, layers, vocabulary))
        return cls(spec=spec, facts=study.facts, layers=layers, vocabulary=vocabulary, study=study, **tables)

    @classmethod
    def conclude(
        cls,
        spec: DissectSpec,
        study: Study,
        fold: Tally | None,
        evaluation: Tally,
        draw: Draw,
        of_layers: Mapping[str, Any],
    ) -> "Dissection":
        """Read what was counted, draw the top images, and write the tables of the study.

        Args:
            fold: of crossed halves the other one; else None.
            of_layers: what the model says of its layers.
        """
        layers, vocabulary = stored_names(study)
        chosen = study.load_step("chosen", ChosenLevels)
        reading = study.step("scores", UnitScores, lambda: read(spec, evaluation, fold, chosen, layers))
        best = study.step("top", Tally, lambda: _best(evaluation, fold, layers))
        top = {layer: best.top("all", layer) for layer in layers}
        scores = _scores(spec, study, reading, top)
        units = unit_table(scores)
        cuts = {layer: torch.from_numpy(units.threshold[units.layer == layer].to_numpy(copy=True)) for layer in layers}
        shown = {layer: table.ids for layer, table in top.items()}
        shards = study.begun(RUN).shards(range(len(top_ids(shown))))
        study.sharded("strips", Strips, partial(draw, shown, cuts), shards)
        tables = (units, concept_table(scores, units, vocabulary), pair_table(scores), layer_table(scores, units))
        halves = {"evaluation": evaluation, **({} if fold is None else {"validation": fold})}
        ids = spec.halves()
        prompted = conclude_prompts(study, {half: (ids[half], own) for half, own in halves.items()}, scores, vocabulary)
        for name, table in {**dict(zip(TABLES, tables, strict=True)), **prompted}.items():
            study.write_table(name, table)
        study.finish(
            without=["validation"],
            matched_rule=matched_rule(spec, scores),
            raised=raised_margins(scores),
            false_labels=float(scores.false_labels.mean()),
            sample=evaluation.sample("evaluation"),
            **({"layer_facts": of_layers} if of_layers else {}),
        )
        return cls.open(study.directory)

    def candidates(self, layer: str, unit: int) -> pd.DataFrame:
        """Return every scored concept of a unit, best first: iou, chance, control, iqr, level, matched, rank."""
        row = self._row(layer, unit)
        scored = self.concepts.iloc[self.reading.concepts[1:].numpy() - 1].reset_index(drop=True)
        table = scored[["concept", "category"]].assign(
            iou=self.reading.iou[row, 1:].numpy(), chance=scored.share, **self._scores_at(row, slice(1, None))
        )
        own = (self.pairs.layer == layer) & (self.pairs.unit == unit)
        return _ranked(table[~scored.rare], self.pairs[own & self.pairs.matched])

    def ranked(self, concept: str) -> pd.DataFrame:
        """Return every unit for one concept, best first: layer, unit, iou, control, iqr, level, matched, rank.

        Raises:
            BadValue: the concept is too rare in this sample to be scored.
        """
        c = self.column(concept)
        table = self.units[["layer", "unit"]].assign(
            iou=self.reading.iou[:, c].numpy(), **self._scores_at(slice(None), c)
        )
        name, category = self.scored[c]
        own = (self.pairs.concept == name) & (self.pairs.category == category)
        return _ranked(table, self.pairs[own & self.pairs.matched])

    def _scores_at(self, rows: int | slice, columns: int | slice) -> dict[str, npt.NDArray[Any]]:
        found = {name: getattr(self.reading, name)[rows, columns].numpy() for name in ("control", "iqr", "level")}
        return found | {"level": found["level"].astype(np.int64)}

    def column(self, concept: str) -> int:
        """Return the column of a concept in the scores.

        Raises:
            UnknownName: the vocabulary has no such concept.
            BadValue: it is too rare in this sample to be scored.
        """
        c = find_concept(self.vocabulary, concept)
        if self.concepts.rare[c - 1] or c not in self.reading.concepts:
            raise BadValue(f"{concept} covers too little of the sample to be scored; raise images, or lower rare")
        return int(torch.searchsorted(self.reading.concepts, c))

    @cached_property
    def scored(self) -> tuple[Concept, ...]:
        """The concepts that are scored, as the columns of the scores are; "nothing" is the first."""
        return tuple(self.vocabulary[c] for c in self.reading.concepts.tolist())

    def curve(self, layer: str, unit: int, concept: str) -> pd.DataFrame:
        """Return IoU (on the evaluation half) and IQR (on the validation half) of a pair at every level.

        Of a large study the counts of all levels are kept for the concepts that go best with each unit; for others
        both are NaN at all levels but the chosen one.

        Returns:
            Columns level, fraction, threshold, iou, iqr, on; one row a level, thresholds ascending;
            ``attrs["chosen"]`` is the chosen level, None where there is none.
        """
        row, c = self._row(layer, unit), self.column(concept)
        iou, iqr, on = (table[0] for table in self.curves(layer, [unit], [int(self.reading.concepts[c])]))
        tops = self.spec.tops()
        columns = {"level": np.arange(len(tops)), "fraction": tops, "threshold": self._levels.values[row].numpy()}
        table = pd.DataFrame({**columns, "iou": iou, "iqr": iqr, "on": on})
        level = int(self.reading.level[row, c])
        table.attrs["chosen"] = level if level >= 0 else None
        return table

    def curves(self, layer: str, units: Sequence[int], concepts: Sequence[int]) -> tuple[Floats, Floats, Floats]:
        """Return IoU, IQR and share of pixels on, at every level, of pairs given by unit and index of a scored concept.

        Returns:
            Three float64 arrays [pairs, levels], see `curve`.
        """
        start = self._row(layer, 0)
        rows = [start + unit for unit in units]
        columns = torch.searchsorted(self.reading.concepts, torch.tensor(concepts, dtype=torch.long))
        place = (self.chosen.kept[rows] == columns[:, None]).int()
        kept, place = place.any(1), place.argmax(1) + 1
        every = range(len(units))
        evaluation = self.evaluation
        runs = (evaluation.pairs("evaluation", layer, run) for run in evaluation.runs("evaluation", layer))
        counts = torch.cat([table.curves[0] for table in runs])[list(units)], self.chosen.curves[rows]
        scored, chosen_on = (rates(torch.stack([table[:, 0], table[every, place]], 1)) for table in counts)
        at = torch.arange(scored.on_only.shape[-1]) == self.reading.level[rows, columns][:, None]
        tables = []
        for whole, alone in (
            (iou(scored)[:, 1], self.reading.iou[rows, columns]),
            (information_quality(chosen_on)[:, 1], self.reading.iqr[rows, columns]),
        ):
            tables.append(torch.where(kept[:, None], whole, torch.where(at, alone[:, None], torch.nan)))
        on = (scored.on_and_shown + scored.on_only)[:, 0]
        return tuple(table.numpy() for table in (*tables, on))  # type: ignore[return-value]  # three of them

    def levels(self, layer: str) -> tuple[Floats, Tensor]:
        """Return the quantiles of the units of a layer: fractions of the pixels, and what each unit exceeds on them.

        Returns:
            Fractions, descending, float64 [levels]; values, ascending along levels, float64 [u, levels].
        """
        start = self._row(layer, 0)
        return self.spec.tops(), self._levels.values[start : start + self.layers[layer].units]

    def top(self, layer: str, unit: int) -> Strip:
        """Return the top images of a unit, and where it is above its threshold in them."""
        self._row(layer, unit)
        ids = self._top[layer].ids[unit]
        seen = ids >= 0
        return self._strips.strip(layer, unit, ids[seen], self._top[layer].values[unit][seen])

    @property
    def has_images(self) -> bool:
        """Whether the study still holds the top images."""
        return self.study.has_step("strips") and self.study.has_step("top")

    def images(self, count: int) -> npt.NDArray[np.uint8]:
        """Return the first images of the sample that any unit is greatest in, at most so many, uint8 [k, H, W, 3]."""
        return self._strips.images[:count].permute(0, 2, 3, 1).numpy()

    def show(self, layer: str, unit: int) -> "UnitCard":
        """Return the card of a unit; a notebook draws it."""
        from ganatomy.report.card import unit_card  # an import of the report, see architecture.md

        self._row(layer, unit)
        return unit_card(self, layer, unit)

    def chart(self) -> Drawing:
        """Return the matched units of every layer, by category."""
        from ganatomy.report.html import unit_chart

        return unit_chart(self)

    @cached_property
    def emergence(self) -> pd.DataFrame:
        """What each block is matched to at each dissected step, of a model that makes an image in steps.

        One row for each block, step, and concept that the block is matched to at any step: ``units`` matched to it,
        and ``iou``, ``chance`` and ``control`` of the best of them (where there is none, of the unit of greatest IoU).
        """
        return emergence_table(self.layers, self.pairs)

    @cached_property
    def word_maps(self) -> pd.DataFrame:
        """How well the attention to each word marks the concept that the word names, see `word_map_table`."""
        with as_bad_file(self.study.directory):
            return word_map_table(self.unit_names, self.scores) if self.unit_names else no_words()

    @cached_property
    def unit_names(self) -> dict[str, list[str]]:
        """What the units of a layer are called, where they are words."""
        with as_bad_file(self.study.directory):
            return {str(layer): list(map(str, own)) for layer, own in self.facts.get("unit_names", {}).items()}

    def _warnings(self) -> list[str]:
        with as_bad_file(self.study.directory):
            alike = {"alike": 0.0} if self.facts.get("pairs") else {}  # images of one noise are meant to be
            found = sample_warnings({**self.facts["sample"], **alike}) if self.facts.get("sample") else []
        return found + concept_warnings(self.concepts)

    def _summary(self) -> list[str]:
        return [matched_text(self.units, self.facts.get("false_labels")), *self.word_sentences]

    @property
    def word_sentences(self) -> list[str]:
        """Say of the concepts that prompts say whether units follow the word or the thing that is drawn."""
        return list(concept_sentences(self.words)) if len(self.words) else []

    def prompt_of(self, image: int) -> str:
        """Return the prompt of an image, by its id; empty where the model has none, or too many to be kept."""
        prompts = self.facts.get("prompts") or [""]
        return str(prompts[image % len(prompts)])

    def __repr__(self) -> str:
        return f"<Dissection of {self.spec.generator} by {self.spec.segmenter}, {len(self.units)} units>"

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what was read of its steps; elsewhere those are there if the directory is."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__} | {"opened": {}}

    def _row(self, layer: str, unit: int) -> int:
        """Return the row of a unit in the tables over all layers.

        Raises:
            UnknownName: no such layer or unit.
        """
        if layer not in self.layers:
            raise UnknownName("layer", layer, self.layers)
        if not 0 <= unit < self.layers[layer].units:
            raise UnknownName("unit", f"{layer}/{unit}", [f"{layer}/0 … {layer}/{self.layers[layer].units - 1}"])
        names = list(self.layers)
        return sum(self.layers[name].units for name in names[: names.index(layer)]) + unit

    @cached_property
    def reading(self) -> UnitScores:
        """The scores of every unit and concept, and the levels that they are read at."""
        return self._step("scores", UnitScores)

    @cached_property
    def scores(self) -> Scores:
        """All that the tables were made from."""
        return _scores(self.spec, self.study, self.reading, self._top)

    @cached_property
    def errors(self) -> "Resampled | None":
        """How far its counts would differ on another sample, from 200 draws; None for few images, or no counts."""
        from ganatomy.experiments.bootstrap import resampled  # which asks this one

        return resampled(self)

    def counted(self) -> Iterator[PixelCounts]:
        """Yield the pixels that units are scored by, layer by layer."""
        return counted(self.reading, [(name, shape.units) for name, shape in self.layers.items()])

    @cached_property
    def _levels(self) -> ActivationLevels:
        return self._step("levels", ActivationLevels)

    @cached_property
    def chosen(self) -> ChosenLevels:
        """What the validation half decided."""
        return self._step("chosen", ChosenLevels)

    @property
    def has_counts(self) -> bool:
        """Whether the study still holds the counts, not only its tables."""
        return (self.study.directory / "steps" / f"evaluation{SUFFIX}").is_file()

    @property
    def evaluation(self) -> Tally:
        """What was counted of the evaluation half."""
        return self._step("evaluation", Tally)

    @cached_property
    def _strips(self) -> Strips:
        return self._step("strips", Strips)

    @cached_property
    def _top(self) -> dict[str, TopImages]:
        best = self._step("top", Tally)
        return {layer: best.top("all", layer) for layer in self.layers}

    def _step(self, name: str, kind: type[A]) -> A:
        return self.study.load_step(name, kind)


def interpretable_with(dissection: Dissection) -> pd.DataFrame:
    """Return columns label and category, in the order of `Dissection.units`: what each unit is interpretable with.

    That is its label where it has one, else the concept of greatest IoU among its interpretable pairs that beat chance
    and control; missing where there is none. `label_units` does so from scores.
    """
    own, pairs = dissection.units, dissection.pairs
    best = pairs[pairs.interpretable].sort_values("rank", kind="stable").drop_duplicates(["layer", "unit"])
    best = best[["layer", "unit", "concept", "category"]].rename(columns={"concept": "label"})
    found = own[["layer", "unit"]].merge(best, "left", ["layer", "unit"])[NAMED].set_index(own.index)
    return own[NAMED].astype(object).where(own.label.notna(), found.astype(object).replace({np.nan: None}))


def _best(evaluation: Tally, fold: Tally | None, layers: Iterable[str]) -> Tally:
    best = {f"top/all/{layer}": evaluation.top("evaluation", layer) for layer in layers}
    if fold is not None:
        best = {name: top.merge(fold.top("validation", name.split("/", 2)[2])) for name, top in best.items()}
    return Tally(best)


def _scores(spec: DissectSpec, study: Study, reading: UnitScores, top: Mapping[str, TopImages]) -> Scores:
    layers, vocabulary = stored_names(study)
    chosen = study.load_step("chosen", ChosenLevels)
    pixels = reading.shown[reading.concepts].double()
    share = (
        (chosen.pixels[reading.concepts].double() / chosen.pixels[0])
        if spec.validation == "separate"
        else pixels / pixels[0]
    )
    return Scores(
        spec=spec,
        layers=layers,
        vocabulary=tuple(vocabulary[c] for c in reading.concepts.tolist()),
        reading=reading,
        levels=study.load_step("levels", ActivationLevels).values.numpy(),
        greatest=torch.cat([top[layer].values[:, 0] for layer in layers]).double().numpy(),
        pixels=pixels.numpy(),
        validation_share=share.numpy(),
    )


def _ranked(table: pd.DataFrame, matched: pd.DataFrame) -> pd.DataFrame:
    """Say which rows are matched pairs, sort by IoU, ties as they stand, and number from 1."""
    names = list(table.columns[:2])
    found = set(matched[names].itertuples(index=False, name=None))
    table = table.assign(matched=[pair in found for pair in table[names].itertuples(index=False, name=None)])
    table = table.sort_values("iou", ascending=False, kind="stable").reset_index(drop=True)
    return table.assign(rank=np.arange(1, len(table) + 1))
