"""What each accumulator is fed with, and what it must then hold: the cases of `test_accumulators.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganatomy.experiments.causal.ace import ConceptShares
from ganatomy.experiments.causal.caption_words import Texts
from ganatomy.experiments.causal.captions import UnitTexts
from ganatomy.experiments.causal.context import Inserted
from ganatomy.experiments.causal.effect_tally import EffectTally
from ganatomy.experiments.causal.locations import Candidates
from ganatomy.experiments.causal.pool import PlaceMeans, Pool
from ganatomy.experiments.causal.setting_places import FreeImages
from ganatomy.experiments.causal.trace import Strength, Traced
from ganatomy.experiments.causal.trials import GainTable
from ganatomy.experiments.causal.unit_effects import FirstOrder
from ganatomy.experiments.causal.word_scores import UnitWords, WordTable
from ganatomy.experiments.inversion.edit import EditedImages
from ganatomy.experiments.inversion.found import FoundLatents
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.stats.images import COMPARED, ImageSample, Presence
from ganatomy.stats.levels import ActivationLevels
from ganatomy.stats.mentioned import PixelShares, SaidDrawn
from ganatomy.stats.paired import PairedChange
from ganatomy.stats.pairs import PairCounts, PairLevels
from ganatomy.stats.predictions import Predictions
from ganatomy.stats.topk import TopImages
from ganatomy.stats.wasserstein import Patches
from ganatomy.training.dictionaries.edits import EditedPixels
from ganatomy.training.dictionaries.inverted_pairs import FoundPairs

IMAGES = 12
UNITS, CONCEPTS = 3, 4
GENERATOR = torch.Generator().manual_seed(0)
SHIFT = torch.arange(IMAGES, dtype=torch.float32).view(-1, 1, 1, 1)
"""Later images have greater activations, so that no batch is like another."""
FEATURES = torch.randn(IMAGES, UNITS, 2, 2, generator=GENERATOR) + SHIFT
LABELS = torch.randint(CONCEPTS, (IMAGES, 2, 4, 4), generator=GENERATOR)
VALUES = FEATURES.amax((2, 3)).round()
"""Rounded, so that there are ties."""
LEVELS = torch.linspace(-1, 11, 5, dtype=torch.float64).expand(UNITS, -1) + torch.rand(UNITS, 1, generator=GENERATOR)
CUTS = torch.rand(IMAGES, 5, generator=GENERATOR, dtype=torch.float64).sort(1).values


@dataclass(frozen=True)
class Case:
    """How to feed one accumulator with a part of the sample, and what it must then hold, to the bit.

    Sums must be exact in any order: what is summed is of whole numbers, of `HALVES`, or of `GREAT`.

    Attributes:
        empty: takes nothing, returns an accumulator that has seen no image.
        batch: takes the images, a slice of range(IMAGES), returns the arguments of ``update`` for them.
        reference: takes nothing, returns every field over the whole sample, in a line or two of numpy.
        misfit: takes nothing, returns an empty accumulator of another shape, which the first refuses to merge.
        step: a part must begin and end at a multiple of this.
        before: feeds something else first.
    """

    empty: Callable[[], Any]
    batch: Callable[[slice], Sequence[Any]]
    reference: Callable[[], dict[str, Any]]
    misfit: Callable[[], Accumulator]
    step: int = 1
    before: Callable[[Any, slice], None] = lambda total, images: None

    def feed(self, total: Any, images: slice) -> None:
        """Put a part of the sample into the accumulator."""
        self.before(total, images)
        total.update(*self.batch(images))


def counted(levels: Tensor, images: slice) -> Any:
    """Return pixels by [control, unit, concept, bin]: a mask for each."""
    up = torch.nn.functional.interpolate(FEATURES[images].double(), (4, 4), mode="bilinear").numpy()
    bins = (up[:, :, None] > levels.numpy()[:, :, None, None]).sum(2)
    shown = np.stack([(c == LABELS[images]).any(1).numpy() | (c == 0) for c in range(CONCEPTS)])
    halves = [shown, shown.reshape(CONCEPTS, -1, 2, 4, 4)[:, :, ::-1].reshape(shown.shape)]
    masks = [bins == j for j in range(levels.shape[1] + 1)]
    return np.array([[[[(j[:, u] & m).sum() for j in masks] for m in ms] for u in range(UNITS)] for ms in halves])


def pair_counts() -> dict[str, Any]:
    up = torch.nn.functional.interpolate(FEATURES.double(), (4, 4), mode="bilinear").numpy()
    shown = np.stack([(c == LABELS).any(1).numpy() | (c == 0) for c in WANTED.concepts.tolist()], 1)
    partners = shown.reshape(-1, 2, *shown.shape[1:])[:, ::-1].reshape(shown.shape)

    def on(level: Tensor) -> Any:  # [image, u, c, y, x]
        cut = FINE.gather(1, level.long().clamp(min=0)).where(level >= 0, torch.inf).numpy()
        return up[:, :, None] > cut[:, :, None, None]

    def blocks(pixels: Any) -> Any:  # of two images each; and one for an image without a partner, of which none is
        each = pixels.sum((-1, -2)).reshape(-1, 2, *pixels.shape[1:-2]).sum(1)
        return np.concatenate([each, np.zeros_like(each[:1])])

    pairs = [counted(FINE, slice(i, i + 2))[0] for i in range(0, IMAGES, 2)]
    above = [[pair[..., a:b].sum(-1) for a, b in ((1, 8), (8, 16), (16, 21))] for pair in pairs]
    kept = WANTED.concepts[WANTED.kept.long()].numpy()
    units = np.arange(UNITS)[:, None]
    whole, kinds = counted(FINE, slice(0, IMAGES)), (shown, partners)
    bins = [*(pair[:, 0, 1:].ravel() for pair in pairs), np.zeros(UNITS * FINE.shape[1], int)]
    return {
        **{name: getattr(WANTED, name) for name in ("levels", "concepts", "level", "null_level", "kept")},
        "span": [100, 2],
        "both": [blocks(on(WANTED.level) & own[:, None]) for own in kinds],
        "shown": [blocks(own) for own in kinds],
        "null_both": (on(WANTED.null_level) & partners[:, None]).sum((0, -1, -2)),
        "bins": [bins] * 2,
        "kept_bins": [kind[units, kept, 1:].transpose(1, 0, 2).reshape(kept.shape[1], -1) for kind in whole],
        "group_bins": np.moveaxis(above, 1, -1)[:, units, kept],
    }


def old_pair_counts() -> dict[str, Any]:
    """Return what older versions kept besides, of the same counts."""
    up = torch.nn.functional.interpolate(FEATURES.double(), (4, 4), mode="bilinear").numpy()
    partners = [i ^ 1 for i in range(IMAGES)]
    shown = np.stack([(c == LABELS).any(1).numpy() | (c == 0) for c in WANTED.concepts.tolist()], 1)[partners]

    def on(level: Tensor) -> Any:
        cut = FINE.gather(1, level.long().clamp(min=0)).where(level >= 0, torch.inf).numpy()
        return up[:, :, None] > cut[:, :, None, None]

    pairs = [counted(FINE, slice(i, i + 2))[0] for i in range(0, IMAGES, 2)]
    groups = [[pair[..., a:b].sum(-1) for a, b in ((0, 8), (8, 16), (16, 21))] for pair in pairs]
    rows = np.concatenate([np.zeros((UNITS, 1), int), WANTED.concepts[WANTED.kept.long()].numpy()], 1)
    units, null = np.arange(UNITS)[:, None], on(WANTED.null_level)
    each = on(WANTED.level).sum((-1, -2)).reshape(-1, 2, UNITS, 3).sum(1)
    return {
        "on": [np.concatenate([each, np.zeros_like(each[:1])])] * 2,
        "null": [(null & shown[:, None]).sum((0, -1, -2)), null.sum((0, -1, -2))],
        "curves": counted(FINE, slice(0, IMAGES))[:, units, rows],
        "groups": np.moveaxis(groups, 1, -1)[:, units, rows],
    }


FINE = torch.linspace(-2, 12, 20, dtype=torch.float64).expand(UNITS, -1).contiguous()
"""Enough levels for groups of bins."""
WANTED = PairLevels(
    levels=FINE,
    concepts=torch.tensor([0, 1, 3]),
    level=torch.tensor([[-1, 2, 19], [-1, 7, -1], [-1, 0, 12]], dtype=torch.int16),
    null_level=torch.tensor([[-1, 3, 18], [-1, -1, 5], [-1, 0, 9]], dtype=torch.int16),
    kept=torch.tensor([[2], [1], [1]], dtype=torch.int16),
)
"""Concept 2 is too rare to be scored."""


def top_images() -> dict[str, Any]:
    order = np.argsort(-VALUES.numpy(), axis=0, kind="stable")[:5].T
    return {"values": np.take_along_axis(VALUES.numpy().T, order, 1), "ids": order}


SAID = torch.rand(2, IMAGES, 2, generator=torch.Generator().manual_seed(2)) < 0.5
"""Which of two concepts prompts say, and images show."""


def said_drawn() -> dict[str, Any]:
    mentioned, drawn = SAID.numpy()
    groups = np.stack([mentioned & drawn, mentioned & ~drawn, ~mentioned & drawn, ~mentioned & ~drawn], 2)
    values = np.stack([VALUES.numpy(), -VALUES.numpy()]).astype(float)
    total, squares = (np.einsum("kbu,bsg->kusg", each, groups) for each in (values, values**2))
    return {"concepts": [2, 3], "images": groups.sum(0), "total": total, "squares": squares}


SPARSE = LABELS * (torch.rand(LABELS.shape, generator=GENERATOR) < 0.1)
SPARSE[0] = 1  # an image in which nothing is nowhere


def presence() -> dict[str, Any]:
    shown = [(c == SPARSE.numpy()).any(1) for c in range(1, CONCEPTS)]
    pixels = [SPARSE[:, 0].numel(), *(each.sum() for each in shown)]
    return {"images": [IMAGES, *(each.any((1, 2)).sum() for each in shown)], "pixels": pixels}


MOSTLY_PLAIN = torch.rand(IMAGES, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
MOSTLY_PLAIN[::3] = torch.linspace(-1, 1, 4).view(4, 1, 1, 1)
MOSTLY_PLAIN[1, 0, 0], MOSTLY_PLAIN[2, 1] = -1, 1


def image_sample() -> dict[str, Any]:
    shown = np.rint((MOSTLY_PLAIN.numpy() + 1) * 127.5)
    plain = shown.std((2, 3)).max(1) < 2.55
    counts = {"plain": plain.sum(), "plain_total": shown[plain].sum(), "values": shown.size}
    counts |= {"images": IMAGES, "black": (shown == 0).sum(), "white": (shown == 255).sum(), "step": 2}
    return {**{name: [count] for name, count in counts.items()}, "thumbs": shown[::2]}


COUNTS = torch.randint(0, 16, (2, 2, IMAGES, CONCEPTS), generator=GENERATOR)


def paired_change() -> dict[str, Any]:
    before, after = (counts.numpy() for counts in COUNTS)
    sums = {"before": before, "after": after, "before2": before**2, "after2": after**2, "product": before * after}
    pixels = before[:, :, 0].sum(1)
    return {"images": [IMAGES], "pixels": pixels, **{name: each.sum(1) for name, each in sums.items()}}


HALVES = (FEATURES * 2).round() / 2
"""Sums of these times quarters are exact, in any order."""


def pool() -> dict[str, Any]:
    shown = np.stack([(c == LABELS).any(1).numpy() if c else np.ones((IMAGES, 4, 4)) for c in range(CONCEPTS)], 1)
    shares = shown.reshape(IMAGES, CONCEPTS, 2, 2, 2, 2).mean((3, 5))
    r, flat = HALVES.double().numpy(), shares.reshape(IMAGES, CONCEPTS, 4)
    return {
        "drawn": (shares[:, :, None] * r[:, None]).sum((0, 3, 4)),
        "mass": shares.sum((0, 2, 3)),
        "occupancy": shares.sum(0),
        "best": flat.max(2),
        "place": flat.argmax(2),
    }


PLACES, GAINS = torch.randint(9, (IMAGES,), generator=GENERATOR), torch.rand(IMAGES, generator=GENERATOR)


def other_candidates() -> Candidates:
    other = Candidates()
    other.gain = torch.zeros(0, 2)
    return other


PARTS = torch.rand(IMAGES, 5, dtype=torch.float64, generator=GENERATOR)
GREAT = HALVES + 2.0**22
"""Sums of these, too, are exact in double precision; single precision holds each, but not their sums."""


def strength() -> dict[str, Any]:
    layers = [abs(GREAT.double().numpy()), abs(GREAT.double().numpy()[:, :2, :1])]
    return {"images": [IMAGES], "total": np.concatenate([r.mean((2, 3)).sum(0) for r in layers])}


GAPS = torch.rand(IMAGES, CONCEPTS, generator=GENERATOR)
GAPS[::3, 1] = torch.nan
"""Some images have no place to insert at."""
COVER = torch.randint(3, (IMAGES, 2, 2), generator=GENERATOR) / 4
COVER[:5] = 0


def place_means() -> dict[str, Any]:
    layers = [
        (HALVES.double().numpy(), COVER.double().numpy()),
        (HALVES.double().numpy()[:, :2, :1], COVER.double().numpy().max(1, keepdims=True)),
    ]
    lacking = layers[0][1].sum((1, 2)) == 0

    def joined(*parts: Any) -> Any:
        return np.concatenate([part.ravel() for part in parts])

    return {
        "shown": joined(*((r * m[:, None]).sum(0) for r, m in layers)),
        "mass": joined(*(m.sum(0) for _, m in layers)),
        "without": joined(*(r[lacking].sum(0) for r, _ in layers)),
        "images": [lacking.sum()],
        "free": joined(*((r * (m == 0)[:, None]).sum(0) for r, m in layers)),
        "times": joined(*((m == 0).sum(0) for _, m in layers)),
    }


STORED = torch.randint(256, (IMAGES, 3, 4, 4), dtype=torch.uint8, generator=GENERATOR)
SHOWN = 5
"""The first so many images are kept."""
OWNERS = torch.arange(IMAGES).repeat_interleave(torch.arange(IMAGES) % 4)
"""The image of each row: image i has i mod 4 rows, some have none."""
ROWS = torch.rand(5, len(OWNERS), generator=GENERATOR)


def rows_of(images: slice) -> Tensor:
    return ((images.start <= OWNERS) & (images.stop > OWNERS)).nonzero()[:, 0]


def kept(images: slice) -> Tensor:
    return STORED[images.start : min(images.stop, SHOWN)]


def traced(rows: Tensor) -> Sequence[Tensor]:
    ids = OWNERS[rows]
    return ids, LABELS[ids, :, 0, 0], ids % 2 == 0, ROWS[0, rows], ROWS[1:3, rows].T


def whole_trace() -> dict[str, Any]:
    rows = dict(zip(("ids", "corner", "drawn", "gain", "change"), traced(torch.arange(len(OWNERS))), strict=True))
    return {**rows, "images": STORED[:SHOWN]}


def inserted() -> dict[str, Any]:
    gains = dict(zip(Inserted.ROWS, (OWNERS, *ROWS), strict=True))
    return {**gains, "images": STORED[:SHOWN], "inserted": 255 - STORED[:SHOWN]}


OWN, TOLD = LABELS[:, 0, 0, 0], LABELS[:, 1, 1]


def moments() -> dict[str, Any]:
    x = GREAT.double().flatten(1).numpy()
    apart = x - x[0]
    return {"images": [IMAGES], "origin": x[0], "total": apart.sum(0), "products": apart.T @ apart}


SMALL = torch.rand(IMAGES, 3, 8, 10, generator=GENERATOR)


def patches() -> dict[str, Any]:
    places = [np.random.default_rng([3, i]).integers([2, 4], size=(1, 2, 2))[0] for i in range(IMAGES)]
    cut = [[SMALL[i, :, y : y + 7, x : x + 7].flatten(1) for y, x in own] for i, own in enumerate(places)]
    return {"size": [8, 10], "seed": [3], "values": np.array([[own] for own in cut])}


SIMILAR = torch.rand(IMAGES, 3, 4, generator=GENERATOR)
UNIT_WORDS = dict(
    zip(
        UnitWords.FIELDS,
        (OWN % 3, PARTS[:, 0], LABELS[:, 0, 0, :2], SIMILAR[:, 0], *torch.rand(5, IMAGES, 4, 2, generator=GENERATOR)),
        strict=True,
    )
)

EDITED_SHAPES = ((2, CONCEPTS), (4, CONCEPTS), (4,), (4, CONCEPTS), (2,))
EDITED_PIXELS = dict(
    zip(
        EditedPixels.FIELDS,
        (torch.randint(99, (IMAGES, *shape), dtype=torch.int32, generator=GENERATOR) for shape in EDITED_SHAPES),
        strict=True,
    )
)

CPU, IDS, WHOLE = torch.device("cpu"), torch.arange(IMAGES), slice(0, IMAGES)

LETTERS = torch.arange(97, 97 + IMAGES, dtype=torch.uint8)
CROPS = torch.arange(IMAGES) % 5
FOUND_PAIRS = {
    **{name: torch.rand(IMAGES, UNITS, generator=GENERATOR) for name in ("z", "z_without")},
    **{name: torch.rand(IMAGES, UNITS, 2, 2, generator=GENERATOR) for name in ("offset", "offset_without")},
    **{name: torch.rand(IMAGES, generator=GENERATOR) for name in ("like", "outside")},
}


CASES = [
    Case(
        lambda: Agreement(LEVELS, CONCEPTS, 10**6),
        lambda images: (FEATURES[images], LABELS[images]),
        lambda: {
            "levels": LEVELS,
            "known": [CONCEPTS],
            "concepts": range(CONCEPTS),
            "shown": counted(LEVELS, WHOLE)[:, 0].sum(-1),
            "kept": np.moveaxis(counted(LEVELS, WHOLE)[..., 1:], 1, 2).reshape(2, CONCEPTS, -1),
        },
        lambda: Agreement(LEVELS, CONCEPTS + 1, 10**6),
        step=2,  # neighbours are each other's control
    ),
    Case(
        lambda: PairCounts(WANTED, range(100, 100 + IMAGES), 16),
        lambda images: (FEATURES[images], LABELS[images], 100 + IDS[images]),
        pair_counts,
        lambda: PairCounts(WANTED, range(100, 102 + IMAGES), 16),
        step=2,
    ),
    Case(
        lambda: TopImages(UNITS, 5),
        lambda images: (VALUES[images], IDS[images]),
        top_images,
        lambda: TopImages(UNITS, 6),
    ),
    Case(lambda: Presence(CONCEPTS), lambda images: (SPARSE[images],), presence, lambda: Presence(CONCEPTS + 1)),
    Case(
        lambda: ImageSample((4, 4), 2 * COMPARED),
        lambda images: (MOSTLY_PLAIN[images], IDS[images]),
        image_sample,
        lambda: ImageSample((4, 5), 2 * COMPARED),
    ),
    Case(
        lambda: ActivationLevels(IMAGES, 5),  # its sample is one of units
        lambda images: (IDS[images], CUTS[images]),
        lambda: {"values": CUTS},
        lambda: ActivationLevels(IMAGES, 6),
    ),
    Case(
        lambda: PairedChange(2, CONCEPTS),
        lambda images: (COUNTS[0][:, images], COUNTS[1][:, images]),
        paired_change,
        lambda: PairedChange(3, CONCEPTS),
    ),
    Case(
        lambda: Pool(CONCEPTS, (UNITS, 2, 2)),
        lambda images: (HALVES[images], LABELS[images]),
        pool,
        lambda: Pool(CONCEPTS, (UNITS, 2, 4)),
    ),
    Case(
        Candidates,
        lambda images: (IDS[images], PLACES[images], GAINS[images], torch.tensor([len(IDS[images])])),
        lambda: {"ids": IDS, "place": PLACES, "gain": GAINS, "evaluations": [IMAGES]},
        other_candidates,
    ),
    Case(
        lambda: ConceptShares(2),
        lambda images: (PARTS[images, 0], PARTS[images, 1:3], PARTS[images, 3:]),
        lambda: {"before": PARTS[:, 0], "ablated": PARTS[:, 1:3], "gained": PARTS[:, 3:]},
        lambda: ConceptShares(3),
    ),
    Case(
        lambda: EffectTally(2, 1, CONCEPTS),
        lambda images: (*COUNTS[:, :, images], COUNTS[0, 0, images, 1], COUNTS[:, 1, images, 1].T),
        lambda: {**paired_change(), "shown": COUNTS[0, 0, :, 1], "edited": COUNTS[:, 1, :, 1].T},
        lambda: EffectTally(3, 1, CONCEPTS),
    ),
    Case(
        lambda: SaidDrawn(UNITS, torch.tensor([2, 3])),
        lambda images: (VALUES[images], -VALUES[images], *SAID[:, images]),
        said_drawn,
        lambda: SaidDrawn(UNITS, torch.tensor([2])),
    ),
    Case(
        lambda: PixelShares(CONCEPTS),
        lambda images: (COUNTS[0, 0, images],),
        lambda: {"pixels": COUNTS[0, 0]},
        lambda: PixelShares(CONCEPTS + 1),
    ),
    Case(
        lambda: FirstOrder(UNITS, 4),
        lambda images: (GREAT[images].flatten(2),),
        lambda: {"images": [IMAGES], "total": GREAT.double().numpy().sum(0).reshape(UNITS, 4)},
        lambda: FirstOrder(UNITS, 5),
    ),
    Case(
        lambda: Strength(UNITS + 2, CPU),
        lambda images: (GREAT[images], -GREAT[images, :2, :1]),  # two layers, of grids of their own
        strength,
        lambda: Strength(UNITS + 3, CPU),
    ),
    Case(
        lambda: GainTable(CONCEPTS),
        lambda images: (GAPS[images],),
        lambda: {"gain": GAPS},
        lambda: GainTable(CONCEPTS + 1),
    ),
    Case(
        lambda: EditedImages(SHIFT.shape[1:]),
        lambda images: (SHIFT[images], -SHIFT[images], 2 * SHIFT[images]),
        lambda: {"before": SHIFT, "after": -SHIFT, "change": 2 * SHIFT},
        lambda: EditedImages((UNITS + 1,)),
    ),
    Case(
        lambda: FoundLatents(UNITS, (1, 2, 2), (1, 1, 1)),
        lambda images: (VALUES[images], HALVES[images, :1], SHIFT[images], -SHIFT[images], VALUES[images, 0]),
        lambda: dict(zip(FoundLatents.FIELDS, (VALUES, HALVES[:, :1], SHIFT, -SHIFT, VALUES[:, 0]), strict=True)),
        lambda: FoundLatents(UNITS + 1, (1, 2, 2), (1, 1, 1)),
    ),
    Case(
        lambda: FreeImages(CONCEPTS),
        lambda images: (GAPS[images].isnan(),),
        lambda: {"free": GAPS.isnan()},
        lambda: FreeImages(CONCEPTS + 1),
    ),
    Case(
        lambda: PlaceMeans([(UNITS, 2, 2), (2, 1, 2)]),
        lambda images: (HALVES[images], COVER[images], HALVES[images, :2, :1], COVER[images].amax(1, keepdim=True)),
        place_means,
        lambda: PlaceMeans([(UNITS, 2, 3), (2, 1, 2)]),
    ),
    Case(
        lambda: Traced(STORED[:0], 2),
        lambda images: traced(rows_of(images)),
        whole_trace,
        lambda: Traced(STORED[:0], 3),
        before=lambda total, images: total.show(kept(images)),
    ),
    Case(
        lambda: Inserted(STORED[:0]),
        lambda images: (OWNERS[rows_of(images)], *ROWS[:, rows_of(images)]),
        inserted,
        lambda: Inserted(STORED[:0, :, 1:]),
        before=lambda total, images: total.show(kept(images), 255 - kept(images)),
    ),
    Case(
        lambda: Predictions(CONCEPTS),
        lambda images: (OWN[images], TOLD[images], GAPS[images]),
        lambda: {"truth": OWN, "predicted": TOLD, "likelihood": GAPS},
        lambda: Predictions(CONCEPTS + 1),
    ),
    Case(
        lambda: FeatureMoments(UNITS * 4),
        lambda images: (GREAT[images].flatten(1),),
        moments,
        lambda: FeatureMoments(UNITS),
    ),
    Case(
        lambda: Patches((8, 10), seed=3, patches=2),
        lambda images: (SMALL[images], IDS[images]),
        patches,
        lambda: Patches((8, 10), seed=3, patches=3),
    ),
    Case(
        lambda: WordTable(3, 4),
        lambda images: (SIMILAR[images],),
        lambda: {"similarity": SIMILAR},
        lambda: WordTable(3, 5),
    ),
    Case(
        lambda: UnitWords(2, 4),
        lambda images: tuple(each[images] for each in UNIT_WORDS.values()),
        lambda: UNIT_WORDS,
        lambda: UnitWords(2, 5),
    ),
    Case(
        lambda: EditedPixels(4, CONCEPTS),
        lambda images: tuple(each[images] for each in EDITED_PIXELS.values()),
        lambda: EDITED_PIXELS,
        lambda: EditedPixels(5, CONCEPTS),
    ),
    Case(
        Texts,
        lambda images: (LETTERS[images],),
        lambda: {"letters": LETTERS},
        lambda: WordTable(3, 4),
    ),
    Case(
        UnitTexts,
        lambda images: (LETTERS[images], CROPS[images]),
        lambda: {"letters": LETTERS, "crops": CROPS},
        Texts,
    ),
    Case(
        lambda: FoundPairs(UNITS, (UNITS, 2, 2)),
        lambda images: tuple(each[images] for each in FOUND_PAIRS.values()),
        lambda: FOUND_PAIRS,
        lambda: FoundPairs(UNITS, (UNITS, 1, 1)),
    ),
]
