"""What a dissection is asked to do."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.experiments.option_groups import Run, Sample
from ganatomy.experiments.run_options import RunOptions
from ganatomy.stats.levels import fractions

HALVES = ("evaluation", "validation")
RULES = ("pair", "unit", "max-iou")
LABELS = ("matched", "iou", "iqr")


@dataclass(frozen=True)
class DissectSpec:
    """What to dissect, and how; every field changes the numbers, and the digest.

    Attributes:
        generator, segmenter: names, as in `open_generator` and `open_segmenter`.
        layers: names of layers; empty for all.
        images: N, the evaluation sample: ids 0 … N-1. Levels are chosen on ids N … 2N-1.
        validation: ``separate``, or ``cross``: N images in two folds, each scored at the level chosen on the other.
        seed: of the latents.
        calibration: how many images the candidate levels are measured on, from the start of the validation half.
        resolution: height of the label maps that are compared; None for the images' own.
        threshold: ``pair``, ``unit`` or ``max-iou``, see `choose_levels`; ``quantile:q``, the top q of a unit's raw
            activations (Network Dissection); ``upsampled-quantile:q``, of its upsampled ones.
        label: which concept names a unit: ``matched``, of its matched pairs that of greatest IoU, none if there is no
            such pair; ``iou``, of all concepts that of greatest IoU; ``iqr``, of greatest IQR (published).
        levels, smallest: how many candidate levels a unit has, and the top fraction of the highest.
        rare: concepts on a smaller share of the validation pixels get no score.
        interpretable_iou, interpretable_accuracy: a pair of unit and concept is interpretable above both (Figure 5).
        over_control, over_chance: an interpretable pair is matched if its IoU is more than so many times its control,
            and more than so many times its chance level, see `required_iou`;
        false_labels: both are raised by one factor where else a greater share of the units would be matched to some
            concept by their mismatched counts.
        top: how many images to show of each unit.
    """

    generator: str
    segmenter: str = "bundled:scenes"
    layers: Sequence[str] = ()
    images: Sample[int] = 1000
    validation: Sample[str] = "separate"
    seed: Sample[int] = 0
    calibration: Sample[int] = 256
    resolution: int | None = None
    threshold: str = "pair"
    label: str = "matched"
    levels: int = 100
    smallest: float = 0.001
    rare: float = 0.001
    interpretable_iou: float = 0.05
    interpretable_accuracy: float = 0.75
    over_control: float = 1.5
    over_chance: float = 2.0
    false_labels: float = 0.005
    top: int = 10

    def __post_init__(self) -> None:
        if isinstance(self.layers, str):
            raise BadValue(f"layers={self.layers!r} is one name; give a list of names")
        object.__setattr__(self, "layers", tuple(self.layers))
        for name in ("calibration", "top"):
            _at_least(name, getattr(self, name), 1)
        _at_least("images", self.images, 2)
        if self.resolution is not None:
            _at_least("resolution", self.resolution, 1)
        for name in ("smallest", "rare", "interpretable_iou", "interpretable_accuracy", "false_labels"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadValue(f"{name}={getattr(self, name)} is not between 0 and 1")
        if not 0 < self.smallest < 1 or not 2 <= self.levels <= 120:
            raise BadValue(f"levels={self.levels}, smallest={self.smallest}: give 2 to 120 levels, a fraction below 1")
        if self.validation not in ("separate", "cross"):
            raise UnknownName("validation", self.validation, ("separate", "cross"))
        if self.validation == "cross" and self.images < 4:
            raise BadValue(f"images={self.images} is too few; validation=cross needs at least 4, a pair in each fold")
        for name in ("over_control", "over_chance"):
            if not 1 <= getattr(self, name) < math.inf:
                raise BadValue(f"{name}={getattr(self, name)} is not 1 or more; a matched pair exceeds both")
        if self.label not in LABELS:
            raise UnknownName("label rule", self.label, LABELS)
        if self.quantile is None and self.threshold not in RULES:
            raise UnknownName("threshold rule", self.threshold, (*RULES, "quantile:0.005", "upsampled-quantile:0.005"))

    @property
    def quantile(self) -> float | None:
        """The top fraction q of the rules ``quantile:q`` and ``upsampled-quantile:q``, None for other rules."""
        match = re.fullmatch(r"(?:upsampled-)?quantile:(0?\.\d+|\d(?:\.\d+)?e-\d+)", self.threshold)
        if match is None:
            return None
        q = float(match[1])
        if not 0 < q < 1:
            raise BadValue(f"threshold={self.threshold}: the fraction must lie between 0 and 1")
        return q

    @property
    def raw_level(self) -> int | None:
        """Index of the level that is a quantile of the raw activations (``quantile:q``), None for other rules."""
        if self.quantile is None or self.threshold.startswith("upsampled"):
            return None
        return int(abs(self.tops() - self.quantile).argmin())

    def tops(self) -> npt.NDArray[np.float64]:
        """Return the top fractions of the candidate levels, descending."""
        return fractions(self.levels, self.smallest, () if self.quantile is None else (self.quantile,))

    def halves(self) -> dict[str, range]:
        """Return the ids of each half of the sample."""
        if self.validation == "separate":
            return dict(zip(HALVES, (range(self.images), range(self.images, 2 * self.images)), strict=True))
        middle = (self.images + 1) // 2
        return dict(zip(HALVES, (range(middle), range(middle, self.images)), strict=True))

    def calibration_ids(self) -> range:
        """Return the ids that the levels are measured on."""
        ids = self.halves()["validation"] if self.validation == "separate" else range(self.images)
        return ids[: self.calibration]


@dataclass(frozen=True)
class DissectRun(RunOptions):
    """`RunOptions` of a dissection, even numbers."""

    LEAST = 2

    shard: Run[int] = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in vars(self).items():
            if value % 2:
                raise BadValue(f"{name}={value} is odd; the control pairs images, so give an even number")


RUN = DissectRun()
"""Of a dissection, by default."""


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise BadValue(f"{name}={value} is too few; give at least {least}")
