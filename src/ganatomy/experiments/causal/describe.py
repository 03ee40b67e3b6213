"""What do units draw, in words? By a model that compares images with words, or writes captions; tested by ablation.

A word describes a unit if the images in which the unit is greatest, there where it is, are more similar to it than the
same crops of random images, and more than random sets of as many images are to the best word for them. Whether the
unit draws what the word names is another question: in these images it is ablated, and beside it random units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.progress import Progress, report_progress
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner, Tensors
from ganatomy.experiments.causal.caption_words import FEW, Texts, in_captions, vocabulary
from ganatomy.experiments.causal.choice import alpha_of, random_sets
from ganatomy.experiments.causal.describe_spec import MOST, DescribeSpec, Question, checked_words, named
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.image_crops import crop_means, cropped, crops
from ganatomy.experiments.causal.insertion import RowEdit
from ganatomy.experiments.causal.shown import draw_pairs
from ganatomy.experiments.causal.word_scores import LEAST, Seen, UnitWords, WordTable, word_tables
from ganatomy.experiments.real_comparison import known_network
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.experiments.sampling import latents_of
from ganatomy.interventions import Intervention
from ganatomy.models.features import CaptionNetwork, WordNetwork, checked_texts, checked_vectors, open_features
from ganatomy.report.causal.describe import describe_section, describe_tables
from ganatomy.study import spec_digest

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


@dataclass(frozen=True)
class Describer:
    """A dissected model, and the network that compares its images with words; the network stays behind when it travels.

    Attributes:
        spec: what is asked; its words are those of the captions where none were given.
        vectors: float32 [w, d], of the words, of length 1; None where the network writes captions.
    """

    source: DissectedModel
    spec: DescribeSpec
    network: WordNetwork | CaptionNetwork
    vectors: Float[Tensor, "w d"] | None

    @property
    def least(self) -> float:
        """The least spread of a word over random images."""
        return LEAST if self.vectors is not None else FEW

    def captions(self, images: Images) -> list[str]:
        """Return the captions of images, by a network that writes them."""
        assert isinstance(self.network, CaptionNetwork)
        return self.network.captions(images.clamp(-1, 1))

    def similarity(self, images: Images) -> Float[Tensor, "b w"]:
        """Return the cosine of images with every word, on the CPU; or whether their captions say it, 1 or 0."""
        if self.vectors is None:
            return in_captions(self.captions(images), self.spec.words)
        assert isinstance(self.network, WordNetwork)
        found = checked_vectors(self.network.features(images.clamp(-1, 1)), images, self.spec.describer)
        if found.shape[1] != self.vectors.shape[1]:
            lengths = f"{found.shape[1]} numbers and words by {self.vectors.shape[1]}"
            raise BadModel(f"{self.spec.describer} describes images by {lengths}; they cannot be compared")
        return (F.normalize(found, dim=1) @ self.vectors.T).cpu()

    def shown_by(self, unit: int) -> list[int]:
        """Return the ids of the images that show a unit: where it is greatest, and above its least value."""
        dissection = self.source.dissection
        strip, least = dissection.top(self.spec.layer, unit), dissection.levels(self.spec.layer)[1][unit].min()
        above = strip.values > float(least)
        return [int(i) for i in strip.ids[above][: self.spec.top]]

    def latents(self, ids: Sequence[int]) -> Latents:
        """Return the latents of images of the dissection."""
        return latents_of(self.source.models.generator, ids, self.source.dissection.spec.seed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.source, self.spec, self.network.fingerprint)


def _arrived(source: DissectedModel, spec: DescribeSpec, network: str) -> Describer:
    opened = known_network(spec.describer, source.models.device, network)
    assert isinstance(opened, WordNetwork | CaptionNetwork)
    return _describer(source, spec, opened)


def open_describer(source: DissectedModel, spec: DescribeSpec) -> Describer:
    """Open the network, and describe the words.

    Raises:
        BadModel: it does not describe words, nor write captions.
        BadValue: no words are given to one that compares images with words.
    """
    network = open_features(spec.describer, source.models.device)
    if not isinstance(network, WordNetwork | CaptionNetwork):
        raise BadModel(f"{spec.describer} describes images and no words; give clip:DIR, or see docs/describe.md")
    return _describer(source, spec, network)


def _describer(source: DissectedModel, spec: DescribeSpec, network: WordNetwork | CaptionNetwork) -> Describer:
    if isinstance(network, CaptionNetwork):
        return Describer(source, spec, network, None)
    checked_words(spec.words)
    vectors = checked_texts(network.words(spec.words), spec.words, spec.describer)
    return Describer(source, spec, network, F.normalize(vectors.to(source.models.generator.device), dim=1))


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
            random, units = (source.run.shards(each) for each in (spec.ids(), range(len(spec.units))))
            if describer.vectors is None:
                work = partial(caption_random, describer)
                texts = study.sharded("captions of random images", Texts, work, random).captions()
                if not spec.words:
                    work = partial(caption_units, describer, shown)
                    others = study.sharded("captions of each unit", Texts, work, units).captions()
                    describer = with_words(describer, [*texts, *others])
                given = captioned(describer, texts)
            else:
                given = study.sharded("random images", WordTable, partial(describe_random, describer), random)
            ablate = partial(describe_units, describer, given, shown)
            found = study.sharded("each unit", UnitWords, ablate, units)
            table, words = word_tables(spec.units, describer.spec.words, found, given, spec.chance)
            study.write_table("descriptions", table)
            study.write_table("best_words", words)
            study.step("strips", UnitImages, lambda: draw_units(describer, table, found))
            study.finish()
    return Descriptions.open(directory)


@torch.no_grad()
def describe_random(describer: Describer, ids: range) -> WordTable:
    """Compare every crop of one shard of random images with the words."""
    found = WordTable(len(crops(describer.spec.crop)), len(describer.spec.words))
    for every in random_crops(describer, ids):
        found.update(torch.stack([describer.similarity(each) for each in every], 1))
        report_progress(len(every[0]))
    return found


def random_crops(describer: Describer, ids: range) -> Iterator[list[Images]]:
    """Yield every crop of the random images of each batch."""
    source, spec, grid = describer.source, describer.spec, crops(describer.spec.crop)
    for part in source.parts(ids):
        images = source.models.generator.observe(latents_of(source.models.generator, part, spec.seed), []).images
        yield [cropped(images, grid, torch.full((len(part),), place)) for place in range(len(grid))]


@torch.no_grad()
def caption_random(describer: Describer, ids: range) -> Texts:
    """Write captions of every crop of one shard of random images: those of the first image first."""
    found = Texts()
    for every in random_crops(describer, ids):
        texts = [describer.captions(each) for each in every]
        found.add(text for image in zip(*texts, strict=True) for text in image)
        report_progress(len(every[0]))
    return found


@torch.no_grad()
def caption_units(describer: Describer, shown: Sequence[Sequence[int]], places: range) -> Texts:
    """Write captions of the crops that show some units."""
    spec, found = describer.spec, Texts()
    generator, grid = describer.source.models.generator, crops(spec.crop)
    for place in places:
        for part in describer.source.parts(shown[place]):
            seen = generator.observe(describer.latents(part), [spec.layer])
            which = crop_means(seen.features[spec.layer][:, [spec.units[place]]], grid)[:, 0].argmax(1).cpu()
            found.add(describer.captions(cropped(seen.images, grid, which)))
        report_progress(1)
    return found


def with_words(describer: Describer, texts: Sequence[str]) -> Describer:
    """Return a describer that chooses from the words of captions.

    Raises:
        BadModel: no two captions have a word in common.
    """
    words = vocabulary(texts, MOST)
    if not words:
        raise BadModel(f"{describer.spec.describer}: no two of its {len(texts):,} captions have a word in common")
    return replace(describer, spec=replace(describer.spec, words=words))


def captioned(describer: Describer, texts: Sequence[str]) -> WordTable:
    """Return which words the captions of random images say."""
    words, places = describer.spec.words, len(crops(describer.spec.crop))
    found = WordTable(places, len(words))
    found.update(in_captions(texts, words).view(-1, places, len(words)))
    return found


@torch.no_grad()
def describe_units(describer: Describer, given: WordTable, shown: Sequence[Sequence[int]], places: range) -> UnitWords:
    """Compare the images of some units with the words: as they are, without the unit, and without random ones.

    Args:
        describer: the models, and what is asked.
        given: what random images say.
        shown: ids of the images that show each unit that is asked for.
        places: of the units among those.
    """
    spec, found = describer.spec, UnitWords(describer.spec.top, len(describer.spec.words))
    sets = cache(lambda size: torch.tensor(random_sets(spec.images + size, size, range(spec.draws), spec.seed)).long())
    for place in places:
        seen = see_ablated(describer, spec.units[place], shown[place])
        found.add(seen, given, sets(len(seen.crops)), describer.least)
        report_progress(1)
    return found


def see_ablated(describer: Describer, unit: int, ids: Sequence[int]) -> Seen:
    """Compare a unit's images with the words: as they are, without it, and without random units."""
    source, spec = describer.source, describer.spec
    generator, grid = source.models.generator, crops(spec.crop)
    empty = torch.zeros(0, len(spec.words))
    found = [Seen(torch.zeros(0, dtype=torch.long), empty, empty, empty)]
    for part in source.parts(ids):
        z = describer.latents(part)
        seen = generator.observe(z, [spec.layer])
        r = seen.features[spec.layer]
        which = crop_means(r[:, [unit]], grid)[:, 0].argmax(1).cpu()
        edits = [ablation(spec.layer, units, r) for units in random_units(spec, unit, part, r)]
        drawn = (generator.render(r, spec.layer, z, [edit]) for edit in edits)
        own, *others = (describer.similarity(cropped(images, grid, which)) for images in drawn)
        before = describer.similarity(cropped(seen.images, grid, which))
        found.append(Seen(which, before, own, torch.stack(others).mean(0)))
    return Seen(*(torch.cat(each) for each in zip(*found, strict=True)))


def random_units(spec: DescribeSpec, unit: int, ids: Sequence[int], r: Features) -> list[list[int]]:
    """Return which unit is ablated in each image: of the first list the unit itself, of others one that is active."""
    idle = (r.amax((2, 3)) <= 0).cpu()
    sets = []
    for i, row in zip(ids, idle, strict=True):
        avoid = [unit, *row.nonzero()[:, 0].tolist()]
        number = len(row) * i + unit
        (drawn,) = random_sets(len(row), min(spec.random, len(row) - 1) or 1, [number], spec.seed, avoid)
        sets.append([unit, *drawn])
    return [list(each) for each in zip(*sets, strict=True)]


def ablation(layer: str, units: Sequence[int], r: Features) -> RowEdit:
    """Return the ablation of one unit in each image of a batch."""
    count, *grid = r.shape[1:]
    alpha = torch.stack([alpha_of([unit], count) for unit in units])
    return RowEdit(layer, alpha, torch.zeros(count), torch.ones(1, *grid))


def draw_units(describer: Describer, table: pd.DataFrame, found: UnitWords) -> UnitImages:
    """Draw the images of the units that are described best, before and after each is ablated."""
    source, spec = describer.source, describer.spec
    best = table[table.description.notna()].nlargest(spec.show, "score")
    shape, count = source.shape(spec.layer), min([EACH, *best.images.tolist()])
    of_dissection = replace(spec, seed=source.dissection.spec.seed)
    drawn = []
    for unit in best.unit.tolist():
        (other,) = random_sets(shape.units, 1, [unit], spec.seed, [unit])
        trials = [[Intervention.ablate(spec.layer, shape, own)] for own in ([unit], other)]
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
    few = spec.ids()[:PROBE]
    for _ in range(2):  # the first time includes set-up
        start = perf_counter()
        describe_random(describer, few)
        between = perf_counter()
        see_ablated(describer, spec.units[0], describer.shown_by(spec.units[0]))
        done = perf_counter()
    return spec.images * (between - start) / len(few) + len(spec.units) * (done - between)


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Descriptions]:
    fields = named(source, options)
    spec = DescribeSpec(**source.names(), **fields, **options)
    name = Path(spec.describer.partition("?")[0].partition(":")[2]).name
    directory = source.sibling_path(spec.layer, f"describe-{name}-{spec_digest(spec)[:8]}")
    words = f"{len(spec.words):,} words" if spec.words else "the words of captions"
    work = f"describe {len(spec.units)} units by {words}"
    return Plan(spec, directory, partial(run_describe, spec, source), work, 0, partial(_seconds, source, spec))


DESCRIBE = Experiment(
    name="describe",
    verb="describe",
    summary="describe units in words, and test by ablation whether what is described goes",
    spec=DescribeSpec,
    groups=(Question,),
    filled=frozenset({"layer", "units", "words"}),
    plan=_plan,
    result=Descriptions,
    tables=describe_tables,
    section=describe_section,
    run=RunOptions(shard=50),
    example='ganatomy.describe("study", "layer4", describer="clip:DIR", words="tree,door,sky").table',
)
