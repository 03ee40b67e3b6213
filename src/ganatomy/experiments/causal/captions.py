"""Captions of images, each written once; which words they say is counted afterwards."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.progress import report_progress
from ganatomy.core.tensor_types import Images
from ganatomy.experiments.causal.caption_words import Texts, in_captions, vocabulary
from ganatomy.experiments.causal.describe_spec import MOST, DescribeSpec
from ganatomy.experiments.causal.describer import Describer, random_crops, unit_crops
from ganatomy.experiments.causal.image_crops import crops
from ganatomy.experiments.causal.word_scores import Seen, WordTable
from ganatomy.stats.base import concat
from ganatomy.study import Study


class UnitCaptions(NamedTuple):
    """Captions of the images of a unit.

    Attributes:
        crops: int64 [k], the crop of each image.
        texts: of each image: as it is, without the unit, and without each random one.
    """

    crops: Tensor
    texts: list[list[str]]


class UnitTexts(Texts):
    """Captions of the images of units: of each as it is, without the unit, and without each random one.

    Attributes:
        letters: as of `Texts`.
        crops: int64 [images], the crop of each image.
    """

    FIELDS: ClassVar = {**Texts.FIELDS, "crops": concat}

    def __init__(self) -> None:
        super().__init__()
        self.crops = torch.zeros(0, dtype=torch.long)

    crops: Tensor

    def by_unit(self, shown: Sequence[Sequence[int]]) -> list[UnitCaptions]:
        """Return what is written of each unit, given the ids of the images that show it."""
        texts = self.captions()
        each = len(texts) // max(1, len(self.crops))
        images = iter([texts[i * each : (i + 1) * each] for i in range(len(self.crops))])
        parts = torch.split(self.crops, [len(ids) for ids in shown])
        return [UnitCaptions(part, list(islice(images, len(part)))) for part in parts]


@torch.no_grad()
def caption_random(describer: Describer, ids: range) -> Texts:
    """Write captions of every crop of one shard of random images: those of the first image first."""
    found = Texts()
    for every in random_crops(describer, ids):
        found.add(_by_image(describer, every))
        report_progress(len(every[0]))
    return found


@torch.no_grad()
def caption_units(describer: Describer, shown: Sequence[Sequence[int]], places: range) -> UnitTexts:
    """Write captions of the images that show some units, with and without each."""
    found = UnitTexts()
    for place in places:
        for which, every in unit_crops(describer, describer.spec.units[place], shown[place]):
            found.add(_by_image(describer, every), which)
        report_progress(1)
    return found


def _by_image(describer: Describer, every: Sequence[Images]) -> list[str]:
    """Return the captions of several crops of the images of a batch: all of the first image first."""
    texts = [describer.captions(each) for each in every]
    return [text for image in zip(*texts, strict=True) for text in image]


def words_of(spec: DescribeSpec, texts: Sequence[str]) -> Sequence[str]:
    """Return the words to choose from: those that are given, or else those of captions.

    Raises:
        BadModel: no two captions have a word in common.
    """
    words = spec.words or vocabulary(texts, MOST)
    if not words:
        raise BadModel(f"{spec.describer}: no two of its {len(texts):,} captions have a word in common")
    return words


def captioned(texts: Sequence[str], words: Sequence[str], places: int) -> WordTable:
    """Return which words the captions of random images say, given of how many crops each image has them."""
    found = WordTable(places, len(words))
    found.update(in_captions(texts, words).view(-1, places, len(words)))
    return found


def see_captioned(written: Sequence[UnitCaptions], words: Sequence[str], place: int) -> Seen:
    """Return which words the captions of the images of a unit say."""
    which, texts = written[place]
    if not texts:
        return Seen.joined([], len(words))
    before, own, *others = torch.stack([in_captions(each, words) for each in texts]).unbind(1)
    return Seen(which, before, own, torch.stack(others).mean(0))


def read_captions(
    describer: Describer, study: Study, shown: Sequence[Sequence[int]]
) -> tuple[Sequence[str], WordTable, Callable[[int], Seen]]:
    """Write captions of random images and of those of each unit, and look for the words in them.

    Returns:
        The words to choose from; what random images say; and a function that returns what the images of a unit say,
        given its place among those that are described.
    """
    spec, run = describer.spec, describer.source.run
    work = partial(caption_random, describer)
    texts = study.sharded("captions of random images", Texts, work, run.shards(spec.ids())).captions()
    own = partial(caption_units, describer, shown)
    written = study.sharded("captions of each unit", UnitTexts, own, run.shards(range(len(shown)))).by_unit(shown)
    words = words_of(spec, [*texts, *(image[0] for unit in written for image in unit.texts)])
    return words, captioned(texts, words, len(crops(spec.crop))), partial(see_captioned, written, words)
