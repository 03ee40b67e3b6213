"""What each accumulator is fed with, and what it must then hold: the cases of `test_accumulators.py`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganatomy.experiments.causal.ace import ConceptShares
from ganatomy.experiments.causal.context import Inserted
from ganatomy.experiments.causal.effects import EffectTally
from ganatomy.experiments.causal.locations import Candidates
from ganatomy.experiments.causal.pool import PlaceMeans, Pool
from ganatomy.experiments.causal.trace import Strength, Traced
from ganatomy.experiments.causal.trials import GainTable
from ganatomy.experiments.causal.unit_effects import FirstOrder
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.stats.images import COMPARED, ImageSample
from ganatomy.stats.levels import ActivationLevels
from ganatomy.stats.paired import PairedChange
from ganatomy.stats.pairs import PairCounts, Wanted
from ganatomy.stats.presence import Presence
from ganatomy.stats.topk import TopImages
from ganatomy.stats.verdicts import Verdicts
from ganatomy.stats.wasserstein import Patches

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


class Case(ABC):
    """How to feed one accumulator with a part of the sample, and what it must then hold."""

    step = 1
    """A part must begin and end at a multiple of this."""

    @abstractmethod
    def empty(self) -> Accumulator: ...

    @abstractmethod
    def batch(self, images: slice) -> Sequence[Tensor]: ...

    def feed(self, total: Accumulator, images: slice) -> None:
        """Put a part of the sample into the accumulator."""
        total.update(*self.batch(images))

    @abstractmethod
    def reference(self) -> dict[str, Any]:
        """Return the fields over the whole sample, in a line or two of numpy."""

    @abstractmethod
    def misfit(self) -> Accumulator:
        """Return one of another shape."""


def counted(levels: Tensor, images: slice) -> Any:
    """Return pixels by [control, unit, concept, bin]: a mask for each."""
    up = torch.nn.functional.interpolate(FEATURES[images].double(), (4, 4), mode="bilinear").numpy()
    bins = (up[:, :, None] > levels.numpy()[:, :, None, None]).sum(2)
    shown = np.stack([(c == LABELS[images]).any(1).numpy() | (c == 0) for c in range(CONCEPTS)])
    halves = [shown, shown.reshape(CONCEPTS, -1, 2, 4, 4)[:, :, ::-1].reshape(shown.shape)]
    masks = [bins == j for j in range(levels.shape[1] + 1)]
    return np.array([[[[(j[:, u] & m).sum() for j in masks] for m in ms] for u in range(UNITS)] for ms in halves])


class OfAgreement(Case):
    step = 2  # neighbours are each other's control

    def empty(self) -> Accumulator:
        return Agreement(LEVELS, CONCEPTS, 10**6)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return FEATURES[images], LABELS[images]

    def reference(self) -> dict[str, Any]:
        counts = counted(LEVELS, slice(0, IMAGES))
        return {"levels": LEVELS, "known": [CONCEPTS], "concepts": range(CONCEPTS), "counts": counts}

    def misfit(self) -> Accumulator:
        return Agreement(LEVELS, CONCEPTS + 1, 10**6)


class OfPairCounts(OfAgreement):
    def empty(self) -> Accumulator:
        return PairCounts(WANTED, range(100, 100 + IMAGES), 16)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return FEATURES[images], LABELS[images], torch.arange(100, 100 + IMAGES)[images]

    def reference(self) -> dict[str, Any]:
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
        groups = [[pair[..., a:b].sum(-1) for a, b in ((0, 8), (8, 16), (16, 21))] for pair in pairs]
        rows = np.concatenate([np.zeros((UNITS, 1), int), WANTED.concepts[WANTED.kept.long()].numpy()], 1)
        units = np.arange(UNITS)[:, None]
        kinds, null = (shown, partners), on(WANTED.null_level)
        return {
            **{name: getattr(WANTED, name) for name in ("levels", "concepts", "level", "null_level", "kept")},
            "span": [100, 2],
            "both": [blocks(on(WANTED.level) & own[:, None]) for own in kinds],
            "on": [blocks(on(WANTED.level))] * 2,
            "shown": [blocks(own) for own in kinds],
            "null": [(null & partners[:, None]).sum((0, -1, -2)), null.sum((0, -1, -2))],
            "curves": counted(FINE, slice(0, IMAGES))[:, units, rows],
            "groups": np.moveaxis(groups, 1, -1)[:, units, rows],
        }

    def misfit(self) -> Accumulator:
        return PairCounts(WANTED, range(100, 102 + IMAGES), 16)


FINE = torch.linspace(-2, 12, 20, dtype=torch.float64).expand(UNITS, -1).contiguous()
"""Enough levels for groups of bins."""
WANTED = Wanted(
    levels=FINE,
    concepts=torch.tensor([0, 1, 3]),
    level=torch.tensor([[-1, 2, 19], [-1, 7, -1], [-1, 0, 12]], dtype=torch.int16),
    null_level=torch.tensor([[-1, 3, 18], [-1, -1, 5], [-1, 0, 9]], dtype=torch.int16),
    kept=torch.tensor([[2], [1], [1]], dtype=torch.int16),
)
"""Concept 2 is too rare to be scored."""


class OfTopImages(Case):
    def empty(self) -> Accumulator:
        return TopImages(UNITS, 5)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return VALUES[images], torch.arange(IMAGES)[images]

    def reference(self) -> dict[str, Any]:
        order = np.argsort(-VALUES.numpy(), axis=0, kind="stable")[:5].T
        return {"values": np.take_along_axis(VALUES.numpy().T, order, 1), "ids": order}

    def misfit(self) -> Accumulator:
        return TopImages(UNITS, 6)


class OfPresence(Case):
    def empty(self) -> Accumulator:
        return Presence(CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return (SPARSE[images],)

    def reference(self) -> dict[str, Any]:
        shown = [(c == SPARSE.numpy()).any(1) for c in range(1, CONCEPTS)]
        pixels = [SPARSE[:, 0].numel(), *(each.sum() for each in shown)]
        return {"images": [IMAGES, *(each.any((1, 2)).sum() for each in shown)], "pixels": pixels}

    def misfit(self) -> Accumulator:
        return Presence(CONCEPTS + 1)


SPARSE = LABELS * (torch.rand(LABELS.shape, generator=GENERATOR) < 0.1)
SPARSE[0] = 1  # an image in which nothing is nowhere


class OfImageSample(Case):
    def empty(self) -> Accumulator:
        return ImageSample((4, 4), 2 * COMPARED)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return MOSTLY_PLAIN[images], torch.arange(IMAGES)[images]

    def reference(self) -> dict[str, Any]:
        shown = np.rint((MOSTLY_PLAIN.numpy() + 1) * 127.5)
        plain = shown.std((2, 3)).max(1) < 2.55
        counts = {"plain": plain.sum(), "plain_total": shown[plain].sum(), "values": shown.size}
        counts |= {"images": IMAGES, "black": (shown == 0).sum(), "white": (shown == 255).sum(), "step": 2}
        return {**{name: [count] for name, count in counts.items()}, "thumbs": shown[::2]}

    def misfit(self) -> Accumulator:
        return ImageSample((4, 5), 2 * COMPARED)


MOSTLY_PLAIN = torch.rand(IMAGES, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
MOSTLY_PLAIN[::3] = torch.linspace(-1, 1, 4).view(4, 1, 1, 1)
MOSTLY_PLAIN[1, 0, 0], MOSTLY_PLAIN[2, 1] = -1, 1


class OfLevels(Case):
    def empty(self) -> Accumulator:
        return ActivationLevels(IMAGES, 5)  # its sample is one of units

    def batch(self, images: slice) -> Sequence[Tensor]:
        return torch.arange(IMAGES)[images], CUTS[images]

    def reference(self) -> dict[str, Any]:
        return {"values": CUTS}

    def misfit(self) -> Accumulator:
        return ActivationLevels(IMAGES, 6)


class OfPairedChange(Case):
    def empty(self) -> Accumulator:
        return PairedChange(2, CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return COUNTS[0][:, images], COUNTS[1][:, images]

    def reference(self) -> dict[str, Any]:
        before, after = (counts.numpy() for counts in COUNTS)
        sums = {"before": before, "after": after, "before2": before**2, "after2": after**2, "product": before * after}
        pixels = before[:, :, 0].sum(1)
        return {"images": [IMAGES], "pixels": pixels, **{name: each.sum(1) for name, each in sums.items()}}

    def misfit(self) -> Accumulator:
        return PairedChange(3, CONCEPTS)


COUNTS = torch.randint(0, 16, (2, 2, IMAGES, CONCEPTS), generator=GENERATOR)


class OfPool(Case):
    def empty(self) -> Accumulator:
        return Pool(CONCEPTS, (UNITS, 2, 2))

    def batch(self, images: slice) -> Sequence[Tensor]:
        return HALVES[images], LABELS[images]

    def reference(self) -> dict[str, Any]:
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

    def misfit(self) -> Accumulator:
        return Pool(CONCEPTS, (UNITS, 2, 4))


HALVES = (FEATURES * 2).round() / 2
"""Sums of these times quarters are exact, in any order."""


class OfCandidates(Case):
    def empty(self) -> Accumulator:
        return Candidates()

    def batch(self, images: slice) -> Sequence[Tensor]:
        return torch.arange(IMAGES)[images], PLACES[images], GAINS[images], torch.tensor([len(PLACES[images])])

    def reference(self) -> dict[str, Any]:
        return {"ids": np.arange(IMAGES), "place": PLACES, "gain": GAINS, "evaluations": [IMAGES]}

    def misfit(self) -> Accumulator:
        other = Candidates()
        other.gain = torch.zeros(0, 2)
        return other


PLACES, GAINS = torch.randint(9, (IMAGES,), generator=GENERATOR), torch.rand(IMAGES, generator=GENERATOR)


class OfShares(Case):
    def empty(self) -> Accumulator:
        return ConceptShares(2)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return PARTS[images, 0], PARTS[images, 1:3], PARTS[images, 3:]

    def reference(self) -> dict[str, Any]:
        return {"before": PARTS[:, 0], "ablated": PARTS[:, 1:3], "gained": PARTS[:, 3:]}

    def misfit(self) -> Accumulator:
        return ConceptShares(3)


PARTS = torch.rand(IMAGES, 5, dtype=torch.float64, generator=GENERATOR)


class OfEffectTally(OfPairedChange):
    def empty(self) -> Accumulator:
        return EffectTally(2, CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return *super().batch(images), COUNTS[0, 0, images, 1]

    def reference(self) -> dict[str, Any]:
        return {**super().reference(), "shown": COUNTS[0, 0, :, 1]}

    def misfit(self) -> Accumulator:
        return EffectTally(3, CONCEPTS)


class OfFirstOrder(Case):
    def empty(self) -> Accumulator:
        return FirstOrder(UNITS, 4)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return (GREAT[images].flatten(2),)

    def reference(self) -> dict[str, Any]:
        return {"images": [IMAGES], "total": GREAT.double().numpy().sum(0).reshape(UNITS, 4)}

    def misfit(self) -> Accumulator:
        return FirstOrder(UNITS, 5)


GREAT = HALVES + 2.0**22
"""Sums of these, too, are exact in double precision; single precision holds each, but not their sums."""


class OfStrength(Case):
    def empty(self) -> Accumulator:
        return Strength(UNITS + 2, torch.device("cpu"))

    def batch(self, images: slice) -> Sequence[Tensor]:
        return GREAT[images], -GREAT[images, :2, :1]  # two layers, of grids of their own

    def reference(self) -> dict[str, Any]:
        layers = [abs(GREAT.double().numpy()), abs(GREAT.double().numpy()[:, :2, :1])]
        return {"images": [IMAGES], "total": np.concatenate([r.mean((2, 3)).sum(0) for r in layers])}

    def misfit(self) -> Accumulator:
        return Strength(UNITS + 3, torch.device("cpu"))


class OfTried(Case):
    def empty(self) -> Accumulator:
        return GainTable(CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return (GAPS[images],)

    def reference(self) -> dict[str, Any]:
        return {"gain": GAPS}

    def misfit(self) -> Accumulator:
        return GainTable(CONCEPTS + 1)


GAPS = torch.rand(IMAGES, CONCEPTS, generator=GENERATOR)
GAPS[::3, 1] = torch.nan
"""Some images have no place to insert at."""


class OfPlaceMeans(Case):
    def empty(self) -> Accumulator:
        return PlaceMeans([(UNITS, 2, 2), (2, 1, 2)])

    def batch(self, images: slice) -> Sequence[Tensor]:
        return HALVES[images], COVER[images], HALVES[images, :2, :1], COVER[images].amax(1, keepdim=True)

    def reference(self) -> dict[str, Any]:
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

    def misfit(self) -> Accumulator:
        return PlaceMeans([(UNITS, 2, 3), (2, 1, 2)])


COVER = torch.randint(3, (IMAGES, 2, 2), generator=GENERATOR) / 4
COVER[:5] = 0


class OfTraced(Case):
    def empty(self) -> Accumulator:
        return Traced(PICTURES[:0], 2)

    def batch(self, images: slice) -> Sequence[Tensor]:
        ids = OWNERS[rows := rows_of(images)]
        return ids, LABELS[ids, :, 0, 0], ids % 2 == 0, ROWS[0, rows], ROWS[1:3, rows].T

    def feed(self, total: Accumulator, images: slice) -> None:
        assert isinstance(total, Traced)
        total.show(PICTURES[images.start : min(images.stop, SHOWN)])
        super().feed(total, images)

    def reference(self) -> dict[str, Any]:
        ids = np.repeat(np.arange(IMAGES), np.arange(IMAGES) % 4)
        rows = {"corner": LABELS.numpy()[ids, :, 0, 0], "drawn": ids % 2 == 0, "gain": ROWS[0], "change": ROWS[1:3].T}
        return {"ids": ids, **rows, "pictures": PICTURES[:SHOWN]}

    def misfit(self) -> Accumulator:
        return Traced(PICTURES[:0], 3)


class OfInserted(Case):
    def empty(self) -> Accumulator:
        return Inserted(PICTURES[:0])

    def batch(self, images: slice) -> Sequence[Tensor]:
        return OWNERS[rows := rows_of(images)], *ROWS[:, rows]

    def feed(self, total: Accumulator, images: slice) -> None:
        assert isinstance(total, Inserted)
        shown = PICTURES[images.start : min(images.stop, SHOWN)]
        total.show(shown, 255 - shown)
        super().feed(total, images)

    def reference(self) -> dict[str, Any]:
        gains = dict(zip(Inserted.ROWS, (np.repeat(np.arange(IMAGES), np.arange(IMAGES) % 4), *ROWS), strict=True))
        return {**gains, "pictures": PICTURES[:SHOWN], "inserted": 255 - PICTURES[:SHOWN]}

    def misfit(self) -> Accumulator:
        return Inserted(PICTURES[:0, :, 1:])


PICTURES = torch.randint(256, (IMAGES, 3, 4, 4), dtype=torch.uint8, generator=GENERATOR)
SHOWN = 5
"""The first so many images are kept."""
OWNERS = torch.arange(IMAGES).repeat_interleave(torch.arange(IMAGES) % 4)
"""The image of each row: image i has i mod 4 rows, some have none."""
ROWS = torch.rand(5, len(OWNERS), generator=GENERATOR)


def rows_of(images: slice) -> Tensor:
    return ((images.start <= OWNERS) & (images.stop > OWNERS)).nonzero()[:, 0]


class OfVerdicts(Case):
    def empty(self) -> Accumulator:
        return Verdicts(CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return OWN[images], TOLD[images], GAPS[images]

    def reference(self) -> dict[str, Any]:
        return {"truth": OWN, "said": TOLD, "likelihood": GAPS}

    def misfit(self) -> Accumulator:
        return Verdicts(CONCEPTS + 1)


OWN, TOLD = LABELS[:, 0, 0, 0], LABELS[:, 1, 1]


class OfFeatureMoments(Case):
    def empty(self) -> Accumulator:
        return FeatureMoments(UNITS * 4)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return (GREAT[images].flatten(1),)

    def reference(self) -> dict[str, Any]:
        x = GREAT.double().flatten(1).numpy()
        apart = x - x[0]
        return {"images": [IMAGES], "origin": x[0], "total": apart.sum(0), "products": apart.T @ apart}

    def misfit(self) -> Accumulator:
        return FeatureMoments(UNITS)


class OfPatches(Case):
    def empty(self) -> Accumulator:
        return Patches((8, 10), seed=3, patches=2)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return SMALL[images], torch.arange(IMAGES)[images]

    def reference(self) -> dict[str, Any]:
        places = [np.random.default_rng([3, i]).integers([2, 4], size=(1, 2, 2))[0] for i in range(IMAGES)]
        cut = [[SMALL[i, :, y : y + 7, x : x + 7].flatten(1) for y, x in own] for i, own in enumerate(places)]
        return {"size": [8, 10], "seed": [3], "values": np.array([[own] for own in cut])}

    def misfit(self) -> Accumulator:
        return Patches((8, 10), seed=3, patches=3)


SMALL = torch.rand(IMAGES, 3, 8, 10, generator=GENERATOR)

CASES = [
    *(
        OfAgreement(),
        OfPairCounts(),
        OfTopImages(),
        OfPresence(),
        OfImageSample(),
        OfLevels(),
    ),
    *(OfPairedChange(), OfPool(), OfCandidates(), OfShares()),
    *(OfEffectTally(), OfFirstOrder(), OfStrength(), OfTried(), OfTraced(), OfInserted()),
    OfPlaceMeans(),
    *(OfVerdicts(), OfFeatureMoments(), OfPatches()),
]
