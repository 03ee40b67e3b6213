"""What a comparison is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ganatomy.core.errors import BadValue

SURE = 0.95
"""What holds in so large a share of the resamples is said without a perhaps."""


@dataclass(frozen=True)
class CompareSpec:
    """How dissections are set side by side.

    Attributes:
        names: of the studies, in their order, each once; those of their directories, if none are given.
        layer: the one that is compared, or one of each study; empty for all that they share.
        against: name of the study that the others are set against; empty for the first.
        follow: whether the studies are of one network at several moments, so that unit 5 of one is unit 5 of another.
        draws: resamples of the images that errors are taken from.
        seed: of the resamples.
    """

    names: Sequence[str]
    layer: Sequence[str] = ()
    against: str = ""
    follow: bool = False
    draws: int = 200
    seed: int = 0
    SURE: ClassVar[float] = SURE

    def __post_init__(self) -> None:
        for field in ("names", "layer"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice or not all(self.names):
            raise BadValue(f"names {', '.join(self.names)}: give every study a name of its own")
        if len(self.layer) not in (0, 1, len(self.names)):
            raise BadValue(
                f"{len(self.layer)} layers for {len(self.names)} studies; give one that all have, or one of each study"
            )
        if self.against and self.against not in self.names:
            raise BadValue(f"against={self.against} is none of the studies {', '.join(self.names)}")
        if self.draws < 2:
            raise BadValue(f"draws={self.draws} is too few to tell an error; give at least 2")
