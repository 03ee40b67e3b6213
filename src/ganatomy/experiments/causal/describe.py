"""What do units draw, in words? By a model that compares images with words, or writes captions; tested by ablation.

A word describes a unit if the images in which the unit is greatest, there where it is, are more similar to it than the
same crops of random images, and more than random sets of as many images are to the best word for them. Whether the
unit draws what the word names is another question: in these images it is ablated, and beside it random units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.layer_steps import spanned
from ganatomy.core.progress import Progress, report_progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner, Tensors
from ganatomy.experiments.causal.captions import caption_random, caption_units, read_captions
from ganatomy.experiments.causal.choice import Window, random_sets
from ganatomy.experiments.causal.describe_spec import DescribeSpec, Question, named
from ganatomy.experiments.causal.describer import Describer, open_describer, random_crops, unit_crops
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.image_crops import crops
from ganatomy.experiments.causal.shown import draw_pairs
from ganatomy.experiments.causal.word_scores import Seen, UnitWords, WordTable, word_tables
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.interventions import Intervention
from ganatomy.report.causal.describe import describe_section, describe_tables
from ganatomy.study import Study, spec_digest

EACH = 4
"""Images of a unit that are kept to be shown."""
PROBE = 4


@dataclass(frozen=True, eq=False)
class UnitImages(Tensors):
    """Images of some units, before and after each is ablated.

    Attributes:
        units: int64 [n], the units.
        ids: int64 [n, k], latent ids.
        boxes: float64 [n, k, 4], what of each is compared with words: top, left, height and width, as shares of it.
        before, after, random: uint8 [n, k, H, W, 3]: as they are, without the unit, and without a random one.
    """

    units: Tensor
    ids: Tensor
    boxes: Tensor
    before: Tensor
    after: Tensor
    random: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Descriptions(Result):
    """Units of a layer in words.

    Attributes:
        table: one row a unit, in the order that was asked for.
        best_words: the best words of each unit, one row each.
        strips: images of the units that are described best.
    """

    FILES: ClassVar = {"table": "descriptions"}

    spec: DescribeSpec
    table: pd.DataFrame
    best_words: pd.DataFrame
    strips: UnitImages


def run_describe(
    spec: DescribeSpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> Descriptions:
    """Describe units, and ablate each in its images; goes on where it was stopped."""
    describer = open_describer(source, spec)
    inputs = {**source.facts()["inputs"], "feature network": describer.network.fingerprint}
    with source.begin(directory, spec, engine, progress, inputs=inputs) as (study, source):
        if not study.finished:
            describer = replace(describer, source=source)
            shown = [describer.shown_by(unit) for unit in spec.units]  # a worker may not have the study
            read = read_captions if describer.vectors is None else compare
            words, given, see = read(describer, study, shown)
            work = partial(describe_units, spec, describer.least, given, see)
            found = study.sharded("each unit", UnitWords, work, source.run.shards(range(len(spec.units))))
            table, best = word_tables(spec.units, words, found, given, spec.chance)
            study.write_table("descriptions", table)
            study.write_table("best_words", best)
            study.step("strips", UnitImages, lambda: draw_units(describer, table, found))
            study.finish()
    return Descriptions.open(directory)


def compare(
    describer: Describer, study: Study, shown: Sequence[Sequence[int]]
) -> tuple[Sequence[str], WordTable, Callable[[int], Seen]]:
    """Compare random images with the words; return what `read_captions` does, by a network that compares."""
    spec, work = describer.spec, partial(describe_random, describer)
    given = study.sharded("random images", WordTable, work, describer.source.run.shards(spec.ids()))
    return spec.words, given, partial(see_ablated, describer, shown)


@torch.no_grad()
def describe_random(describer: Describer, ids: range) -> WordTable:
    """Compare every crop of one shard of random images with the words."""
    found = WordTable(len(crops(describer.spec.crop)), len(describer.spec.words))
    for every in random_crops(describer, ids):
        found.update(torch.stack([describer.similarity(each) for each in every], 1))
        report_progress(len(every[0]))
    return found


def describe_units(
    spec: DescribeSpec, least: float, given: WordTable, see: Callable[[int], Seen], places: range
) -> UnitWords:
    """Judge by some units' images how well words fit each, and what an ablation leaves of that.

    Args:
        spec: what is asked.
        least: the spread of a word at least.
        given: what random images say.
        see: returns what the images of a unit say, as they are, without the unit, and without random ones.
        places: of the units among those that are asked for.
    """
    found = UnitWords(spec.top, given.similarity.shape[2])
    sets = cache(lambda size: torch.tensor(random_sets(spec.images + size, size, range(spec.draws), spec.seed)).long())
    for place in places:
        seen = see(place)
        found.add(seen, given, sets(len(seen.crops)), least)
        report_progress(1)
    return found


@torch.no_grad()
def see_ablated(describer: Describer, shown: Sequence[Sequence[int]], place: int) -> Seen:
    """Compare a unit's images with the words: as they are, without it, and without random units."""
    parts = []
    for which, images in unit_crops(describer, describer.spec.units[place], shown[place]):
        before, own, *others = map(describer.similarity, images)
        parts.append(Seen(which, before, own, torch.stack(others).mean(0)))
    return Seen.joined(parts, len(describer.spec.words))


def draw_units(describer: Describer, table: pd.DataFrame, found: UnitWords) -> UnitImages:
    """Draw the images of the units that are described best, before and after each is ablated."""
    source, spec = describer.source, describer.spec
    best = table[table.description.notna()].nlargest(spec.show, "score")
    shape, count = source.shape(spec.layer), min([EACH, *best.images.tolist()])
    of_dissection = replace(spec, seed=source.dissection.spec.seed)
    drawn = []
    for unit in best.unit.tolist():
        (other,) = random_sets(shape.units, 1, [unit], spec.seed, [unit])
        trials = [[Intervention.ablate(layer, shape, own) for layer in spec.layers()] for own in ([unit], other)]
        drawn.append(draw_pairs(source, of_dissection, trials, describer.shown_by(unit)[:count]))
    nothing = draw_pairs(source, of_dissection, [[], []], [])
    columns = zip(*(vars(each).values() for each in drawn or [nothing]), strict=True)
    ids, *images = (torch.stack(each)[: len(drawn)] for each in columns)
    grid = torch.tensor([[own.top, own.left, own.side, own.side] for own in crops(spec.crop)], dtype=torch.float64)
    boxes = grid[found.crops[best.index.tolist(), :count]]
    return UnitImages(torch.tensor(best.unit.tolist(), dtype=torch.long), ids, boxes, *images)


def _seconds(source: DissectedModel, spec: DescribeSpec) -> float:
    """Return about how long it takes, from a few images and a unit."""
    describer = open_describer(source, spec)
    few, shown = spec.ids()[:PROBE], [describer.shown_by(spec.units[0])]
    written = describer.vectors is None
    for _ in range(2):  # the first time includes set-up
        start = perf_counter()
        (caption_random if written else describe_random)(describer, few)
        between = perf_counter()
        caption_units(describer, shown, range(1)) if written else see_ablated(describer, shown, 0)
        done = perf_counter()
    return spec.images * (between - start) / len(few) + len(spec.units) * (done - between)


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Descriptions]:
    fields = named(source, options)
    spec = DescribeSpec(**source.names(), **fields, **options)
    name = Path(spec.describer.partition("?")[0].partition(":")[2]).name
    directory = source.sibling_path("+".join(spanned(spec.layers())), f"describe-{name}-{spec_digest(spec)[:8]}")
    words = f"{len(spec.words):,} words" if spec.words else "the words of captions"
    work = f"describe {len(spec.units)} units by {words}"
    return Plan(spec, directory, partial(run_describe, spec, source), work, 0, partial(_seconds, source, spec))


DESCRIBE = Experiment(
    name="describe",
    verb="describe",
    summary="describe units in words, and test by ablation whether what is described goes",
    spec=DescribeSpec,
    groups=(Question, Window),
    filled=frozenset({"layer", "units", "words", "edited"}),
    plan=_plan,
    result=Descriptions,
    tables=describe_tables,
    section=describe_section,
    run=RunOptions(shard=50),
    example='ganatomy.describe("study", "layer4", describer="clip:DIR", words="tree,door,sky").table',
)
