"""What is asked of an effect: what is done to which units of which layers, and beside what."""

import math
from dataclasses import dataclass

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.experiments.causal.dissected_model import at_least
from ganatomy.experiments.causal.insertion import InsertionSpec, LayerUnits
from ganatomy.experiments.causal.places import Region
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.causal.windows import check_windows

KINDS = ("ablate", "insert", "apply")


@dataclass(frozen=True)
class EffectSpec(InsertionSpec):
    """What is done to which units.

    Attributes:
        kind: ``ablate`` (set to 0), ``insert`` (set to what they are where the concept is), or ``apply`` (given edits).
        units: which; none for ``apply``.
        concept: what they are for, listed first; for ``insert`` the one whose class constant k they are set to.
        strength: α, from 0 to 1.
        more: later layers of which units are edited, too; each is set to its own constant.
        region: where: top row, left column, height and width, in places of the layer's grid (of several layers, of the
            last one's); None for everywhere.
        random: how many random sets of as many units it is compared with; none of the chosen ones is in them, unless
            the layer has too few others. Of given edits, the units drawn are set to the values of those that are given.
            Where all units of every layer are inserted, it is compared once with what they are at that place in
            images without the concept.
        show: how many images are kept: of an ablation those that show most of the concept, else the first.
        windows: into how many consecutive windows the steps of ``at_steps`` are cut, in each of which the effect is
            measured as well; 1 for the whole alone.
        edits: sha256 of the edits that are given, as JSON.
    """

    kind: str = "ablate"
    units: tuple[int, ...] = ()
    chosen: str = ""
    concept: str | None = None
    strength: float = 1.0
    multiple: float = 1.0
    constant: str = "k"
    more: tuple[LayerUnits, ...] = ()
    region: Region | None = None
    random: int = 5
    show: int = 8
    pool: int = PoolSpec.images
    windows: int = 1
    edits: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise UnknownName("kind of effect", self.kind, KINDS)
        if (self.kind == "apply") == bool(self.units) or (self.kind == "apply") != bool(self.edits):
            raise BadValue(f"{self.kind} takes {'edits and no units' if self.kind == 'apply' else 'units'}")
        if self.kind == "insert" and self.concept is None:
            raise BadValue("insertion sets units to what they are where a concept is; give the concept")
        if not 0 <= self.strength <= 1:
            raise BadValue(f"strength={self.strength} is not between 0 and 1")
        if not math.isfinite(self.multiple) or (self.kind != "insert" and self.multiple != 1):
            raise BadValue(f"multiple={self.multiple}: give a number, and only where something is inserted")
        if self.kind != "insert" and self.constant != "k":
            raise BadValue(f"constant={self.constant}: {self.kind} takes none; give it where something is inserted")
        at_least(self, random=0, show=0, pool=2)
        check_windows(self.windows, self.layers(), self.concept)
