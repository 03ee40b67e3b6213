"""How well words fit the images of a unit, how well they would by chance, and what an ablation leaves of that.

A similarity is less its mean over the same crop of random images, in standard deviations of the word over these: so
words can be compared, and a random image has 0 on average.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.experiments.causal.dissected_model import JoinedRows
from ganatomy.stats.base import concat
from ganatomy.stats.paired import SURE

LEAST = 1e-6
"""Smaller spreads of a similarity are rounding."""
ROOM = 1 << 24
"""Numbers of random sets that are in memory at once."""
BEST = 10
"""Words of each unit that the table of words has."""
GOES, WEAKENS, OTHERS, STAYS = "goes", "weakens", "with other words", "stays"
"""What an ablation does to the thing that the description names."""
HALF = 0.5


class WordTable(JoinedRows):
    """Similarities of random images with words.

    Attributes:
        similarity: float32 [images, crops, words], cosines; or 1 where the caption says the word, and 0 elsewhere.
    """

    FIELDS: ClassVar = {"similarity": concat}

    def __init__(self, crops: int, words: int) -> None:
        self.similarity = torch.zeros(0, crops, words)

    @cached_property
    def mean(self) -> Float[Tensor, "n w"]:
        """The mean of each crop and word over the images."""
        return self.similarity.mean(0, dtype=torch.float64).float()  # to the same bits wherever it is computed

    @cached_property
    def spread(self) -> Float[Tensor, " w"]:
        """The standard deviation of each word over the images, of the mean of its variances in every crop."""
        return self.similarity.double().var(0).mean(0).sqrt().float().clamp(min=LEAST)

    def scaled(self, found: Float[Tensor, "k w"], which: Int64[Tensor, " k"], least: float) -> Float[Tensor, "k w"]:
        """Return the similarities of images, given their crops, beside these; no spread is less than the least."""
        return (found - self.mean[which]) / self.spread.clamp(min=least)

    def chance(
        self,
        found: Float[Tensor, "k w"],
        which: Int64[Tensor, " k"],
        sets: Int64[Tensor, "draws k"],
        least: float = LEAST,
    ) -> float:
        """Return the share of random sets of images whose best word is as similar to them as that of a unit's images.

        The sets are drawn from all these images and the unit's: were they images like others, each of the sets would be
        as likely to be theirs, whatever the distribution of similarities.

        Args:
            found: similarities of the unit's images.
            which: their crops; the random images of a set are seen in the same.
            sets: numbers of images, those of the unit after the others.
            least: the spread of a word at least.
        """
        count, crops, words = self.similarity.shape
        images = torch.full((crops, 1), count).index_add(0, which, torch.ones_like(which)[:, None])
        mean = self.similarity.sum(0).index_add(0, which, found) / images
        rows = torch.cat([(self.similarity - mean).flatten(0, 1), found - mean[which]])
        others, own = torch.split(rows.square(), [count * crops, len(found)])
        spread = ((others.sum(0) / crops + own.sum(0)) / (count + len(found) - 1)).sqrt().clamp(min=least)
        places = torch.where(sets < count, sets * crops + which, sets + count * (crops - 1))
        parts = torch.split(places, max(1, ROOM // (len(found) * words)))
        best = torch.cat([(rows[part].mean(1) / spread).amax(1) for part in parts])
        score = (rows[count * crops :].mean(0) / spread).max()
        return (1 + int((best >= score).sum())) / (1 + len(best))


class UnitWords(JoinedRows):
    """What each unit's images say of each word, one row a unit.

    Attributes:
        images: int64 [u], images that show the unit.
        chance: float64 [u], see `WordTable.chance`; 1 where fewer than two images show it.
        crops: int64 [u, top], the crop of each image; -1 for none.
        similarity: float32 [u, w], mean cosine.
        score: float32 [u, w, 2], mean similarity in these images, and its standard error over them.
        change: the same of what ablating the unit changes.
        random: the same of what ablating random units changes in the same images, each alone.
        beyond: `change` less `random`.
        apart: `change` less what ablating the unit changes of all other words; NaN where there are none.
    """

    PAIRS = ("score", "change", "random", "beyond", "apart")
    FIELDS: ClassVar = dict.fromkeys(("images", "chance", "crops", "similarity", *PAIRS), concat)

    def __init__(self, top: int, words: int) -> None:
        self.images = torch.zeros(0, dtype=torch.long)
        self.chance = torch.zeros(0, dtype=torch.float64)
        self.crops = torch.zeros(0, top, dtype=torch.long)
        self.similarity = torch.zeros(0, words)
        for name in self.PAIRS:
            setattr(self, name, torch.zeros(0, words, 2))

    score: Tensor
    change: Tensor
    random: Tensor
    beyond: Tensor
    apart: Tensor

    def add(self, seen: "Seen", given: WordTable, sets: Int64[Tensor, "draws k"], least: float = LEAST) -> None:
        """Take in a unit.

        Args:
            seen: what its images say.
            given: what random images say.
            sets: random sets of images, see `WordTable.chance`.
            least: the spread of a word at least.
        """
        k, words = seen.before.shape
        before, after, random = (
            given.scaled(each, seen.crops, least) for each in (seen.before, seen.after, seen.random)
        )
        change = after - before
        others = (change.sum(1, keepdim=True) - change) / (words - 1) if words > 1 else change * math.nan
        pairs = (before, change, random - before, after - random, change - others)
        chance = given.chance(seen.before, seen.crops, sets, least) if k > 1 else 1.0
        which = torch.full(self.crops.shape[1:], -1)
        which[:k] = seen.crops
        rows = (torch.tensor(k), torch.tensor(chance).double(), which, seen.before.mean(0))
        self.update(*(each[None] for each in (*rows, *map(_mean_and_error, pairs))))


class Seen(NamedTuple):
    """Cosines of one unit's images with words.

    Attributes:
        crops: int64 [k], the crop of each image.
        before, after, random: float32 [k, w], as they are, without the unit, and without random ones (the mean).
    """

    crops: Tensor
    before: Tensor
    after: Tensor
    random: Tensor

    @classmethod
    def joined(cls, parts: "Sequence[Seen]", words: int) -> "Seen":
        """Return what several batches of images say, or none."""
        empty = torch.zeros(0, words)
        none = cls(torch.zeros(0, dtype=torch.long), empty, empty, empty)
        return cls(*(torch.cat(each) for each in zip(none, *parts, strict=True)))


def _mean_and_error(rows: Float[Tensor, "k w"]) -> Float[Tensor, "w 2"]:
    """Return means and standard errors over rows; NaN for none, and for the error of one."""
    if len(rows) < 2:  # of which torch warns
        return torch.stack([rows.mean(0), torch.full_like(rows[0] if len(rows) else rows.sum(0), math.nan)], 1)
    return torch.stack([rows.mean(0), rows.std(0) / math.sqrt(len(rows))], 1)


def word_tables(
    units: Sequence[int], words: Sequence[str], found: UnitWords, given: WordTable, level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of units, and that of the best words of each.

    Args:
        units: their numbers, in the order of the rows of `found`.
        words: as they were given.
        found: what their images say.
        given: what random images say.
        level: which share of random sets may be as similar to their best word as a unit to its description.
    """
    descriptions, best_words = [], []
    for row, (unit, images, chance) in enumerate(
        zip(units, *(each.tolist() for each in (found.images, found.chance)), strict=True)
    ):
        one: dict[str, Any] = {"unit": unit, "description": None, "images": images, "chance": chance, "ablated": None}
        descriptions.append(one)
        if images < 2:
            continue
        order = found.score[row, :, 0].argsort(descending=True, stable=True)[:BEST].tolist()
        own = [_numbers(found, row, word, given) for word in order]
        for rank, (word, numbers) in enumerate(zip(order, own, strict=True), 1):
            best_words.append({"unit": unit, "rank": rank, "word": words[word], **numbers})
        margin = own[0]["score"] - own[1]["score"] if len(own) > 1 else math.nan
        one.update({"best": words[order[0]], **own[0], "margin": margin})
        if chance <= level:
            one.update(description=words[order[0]], ablated=_ablated(own[0]))
    return _typed(pd.DataFrame(descriptions, columns=COLUMNS)), _typed(pd.DataFrame(best_words, columns=WORDS))


NUMBERS = (
    *("similarity", "random_similarity", "score", "error", "change", "change_error"),
    *("random_change", "random_change_error", "left"),
    *("beyond_random", "beyond_random_error", "beyond_words", "beyond_words_error"),
)
COLUMNS = ["unit", "description", "best", "images", *NUMBERS, "margin", "chance", "ablated"]
WORDS = ["unit", "rank", "word", *NUMBERS]


def _numbers(found: UnitWords, row: int, word: int, given: WordTable) -> dict[str, float]:
    """Return the numbers of a unit and a word."""
    pairs = {name: getattr(found, name)[row, word].tolist() for name in UnitWords.PAIRS}
    which = found.crops[row, : int(found.images[row])]
    score, error = pairs["score"]
    change, change_error = pairs["change"]
    return {
        "similarity": float(found.similarity[row, word]),
        "random_similarity": float(given.mean[which, word].mean()),
        "score": score,
        "error": math.hypot(error, 1 / math.sqrt(len(given.similarity))),
        "change": change,
        "change_error": change_error,
        "random_change": pairs["random"][0],
        "random_change_error": pairs["random"][1],
        "left": 1 + change / score if score > 0 else math.nan,
        "beyond_random": pairs["beyond"][0],
        "beyond_random_error": pairs["beyond"][1],
        "beyond_words": pairs["apart"][0],
        "beyond_words_error": pairs["apart"][1],
    }


def _ablated(own: Mapping[str, float]) -> str:
    """Say in a word whether what is described goes: beyond random units, and more than what other words name."""

    def falls(name: str) -> bool:
        return own[name] < -SURE * own[f"{name}_error"]

    if not falls("beyond_random"):
        return STAYS
    if not math.isnan(own["beyond_words"]) and not falls("beyond_words"):
        return OTHERS
    return GOES if own["left"] < HALF else WEAKENS


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns have one type each, also where nothing is known."""
    texts = [name for name in ("description", "best", "ablated", "word") if name in table]
    kinds: dict[str, Any] = dict.fromkeys(texts, object) | dict.fromkeys(set(NUMBERS) & set(table), np.float64)
    return table.astype(kinds)
