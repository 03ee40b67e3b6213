"""What is asked of a search for causal units: how places are found, alpha is optimised, and the effect is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, at_least
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.option_groups import Sample

START_NAMES = {"gradient": "first-order attribution", "iou": "IoU (Eqn 7)"}
"""How a ranking by the start alone is called."""
STARTS = tuple(START_NAMES)
ABLATED = ("map", "place")
NORMS = ("squared", "norm")
OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True)
class AceSpec(SampleSpec):
    """Which units cause a concept, and how to find out (Eqn 4-7; S-6.4; SPEC 4-5). The defaults are the fast schedule.

    `images` from `first` on are what the chosen units are measured on; nothing that chose units has seen them.

    Attributes:
        concept: its name.
        pool: images in which places are looked for, shared by all concepts of the layer.
        train, held: images in which the concept is ablated, and as many in which it is inserted, to optimise on and
            to decide when to stop.
        candidates: how often it is tried to insert the concept with all units, to find where it can be.
        together, apart: places of one image that are tried at once, and how far apart they are at least.
        ablated: in training, units are ablated on the whole "map", as when they are measured, or at one "place".
        start: alpha begins as the "gradient" of the effect, or as the "iou" of units and concept (Eqn 7).
        steps, pairs: updates at most, and images of each kind for each.
        optimiser, rate, decay: "adam" or "sgd"; its learning rate; whether that falls to 0 over the steps.
        penalty, norm: weight of the "squared" norm of alpha in the loss, or of the "norm" as Eqn 6 prints it.
        every, patience: updates between two evaluations of the held-out effect, and evaluations without a gain until
            the end. The answer is α of the best evaluation that beats the start by more than its error, or else the
            start. With patience 0 all updates are made and α of the last is the answer.
        top: units that are kept; the others' alpha is set to 0.
        sizes: of the sets whose ablation is measured (Figure 4).
        random, controls: how many sets of random units are measured as controls, and of which sizes.
        places: of each image at which a set is inserted, one at a time, to measure its effect.
        more: later steps of the block, for a model that samples in steps: the same units are edited at each of them.
    """

    concept: str = field(kw_only=True)
    images: int = 100
    pool: Sample[int] = PoolSpec.images
    train: Sample[int] = 160
    held: Sample[int] = 80
    candidates: Sample[int] = 320
    together: int = 4
    apart: int = 4
    ablated: str = "map"
    start: str = "gradient"
    steps: int = 60
    pairs: int = 8
    optimiser: str = "adam"
    rate: float = 0.05
    decay: bool = True
    penalty: float = 0.005
    norm: str = "squared"
    every: int = 10
    patience: int = 6
    top: int = 20
    sizes: tuple[int, ...] = tuple(range(1, 31))
    random: int = 3
    controls: tuple[int, ...] = (5, 10, 20, 30)
    places: int = 8
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "more", tuple(self.more))
        for name in ("sizes", "controls"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            sizes = list(getattr(self, name))
            if sorted(set(sizes)) != sizes or min(sizes, default=0) < 1:
                raise BadValue(f"{name}={sizes}: give different whole numbers from 1 on, in ascending order")
        for name, allowed in (("ablated", ABLATED), ("start", STARTS), ("norm", NORMS), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in allowed:
                raise UnknownName(name, getattr(self, name), allowed)
        counts = ("candidates", "together", "apart", "pairs", "every", "top", "random", "places")
        least = {"pool": 2, "train": 1, "held": 2, "steps": 0, "patience": 0, **dict.fromkeys(counts, 1)}
        at_least(self, **least)
        for name in ("rate", "penalty"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadValue(f"{name}={getattr(self, name)} is no {name}; give a number that is not negative")

    def check_units(self, units: int) -> None:
        """Refuse sets that are larger than the layer."""
        for name, size in (("top", self.top), ("sizes", self.sizes[-1]), ("controls", self.controls[-1])):
            if size > units:
                raise BadValue(f"{name}={size} units, but {self.layer} has {units}; choose fewer, or another layer")

    def layers(self) -> list[str]:
        """Return every layer that is edited, the first one first."""
        return [self.layer, *self.more]

    @property
    def corrected(self) -> tuple[str, ...]:
        """What is done otherwise than in the published run, if its schedule is asked for."""
        published = {"norm": "squared", **PUBLISHED}
        return CORRECTED if all(getattr(self, name) == own for name, own in published.items()) else ()

    def pool_spec(self) -> PoolSpec:
        """Return the Spec of the pool."""
        names = ("dissection", "generator", "segmenter", "layer", "seed")
        return PoolSpec(**{name: getattr(self, name) for name in names}, images=self.pool)


PUBLISHED: Mapping[str, Any] = {"ablated": "place", "start": "iou", "patience": 0}
"""How the published run goes about it, whatever its numbers."""

SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    "quick": {
        "images": 64,
        "pool": 320,
        "train": 64,
        "held": 32,
        "candidates": 96,
        "steps": 20,
        "patience": 1,
        "sizes": (1, 2, 4, 8, 14, 20, 30),
        "random": 1,
        "controls": (20,),
    },
    "published": {
        "pool": 10_000,
        "train": 1000,
        "held": 200,
        "candidates": 60_000,
        "together": 1,
        "steps": 500,
        "pairs": 20,
        "rate": 0.01,
        "decay": False,
        **PUBLISHED,
    },
}
"""What differs from the defaults, by the name of the schedule."""

CORRECTED = (
    "an insertion is read at the place where it is made; the published code reads it at the place where units are "
    "ablated in another image, an index slip",
    "both terms are divided by E[s_c(x)], as in Eqn 4; the published code adds plain scores",
    "the penalty is λ|α|², as in the published code; Eqn 6 prints λ|α|",
    "units are ablated on the whole map when they are judged, as S-6.4 says; the published code ablates one place",
    "the insertion term is paired with the untouched image, over several places of each image",
)
"""What the published schedule corrects of the published run, or takes from its code and not from the paper."""


@dataclass(frozen=True)
class Schedule:
    """How thorough a search is.

    Attributes:
        schedule: ``fast``, ``quick``, or ``published``, the numbers of the published run.
    """

    schedule: str = "fast"


def scheduled(source: DissectedModel, schedule: str = "fast", **options: Any) -> AceSpec:
    """Return the Spec of a schedule, its sets cut to the layer's size; options are its other fields."""
    if schedule not in SCHEDULES:
        raise UnknownName("schedule", schedule, SCHEDULES)
    fields = {**source.names(), **SCHEDULES[schedule], **options}
    units = source.shape(fields["layer"]).units
    for name in {"sizes", "controls"} - options.keys():
        fields[name] = tuple(n for n in fields.get(name, getattr(AceSpec, name)) if n <= units) or (units,)
    return AceSpec(**fields)
