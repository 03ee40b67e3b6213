"""How far is each unit to be taken for a concept to vanish where it is and to appear where it is not (Eqn 5-7; S-6.4)?

Minimises ``-δ + λ |α|²`` with ``δ = E[s_c(x_i')] / E[s_c(x)] - E[s_c(x_a')] / E[s_c(x)]``. Each ``E[s_c(x)]`` is taken
over the present places, read as its term is read, so that both terms are 1 where the concept is as it is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.layer_steps import split_layer
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.core.tensor_types import Features, Images, Latents, PerUnit, Where
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import RowEdit
from ganatomy.experiments.causal.locations import SALT, Locations, scorer
from ganatomy.experiments.sampling import latents_of
from ganatomy.models.generators.latents import standard_normal
from ganatomy.stats.regions import place_means
from ganatomy.study import Study

PREFIX_BYTES = 1 << 30
"""As much is kept of the features of all samples; of those that do not fit they are computed again for each batch."""

MOMENTS = (0.9, 0.999)
"""How much Adam remembers of the gradient and of its square; 1e-8 keeps it from dividing by zero."""

EVALUATION = ("step", "forward", "gradient", "held_out", "error", "gain", "gain_error")
"""What is noted at each look: updates so far; images segmented, and of these with gradients; held-out δ; by how
much that is more than at the start, with the error of the difference on the same images."""


class Sample:
    """Images at the layer, and where they are edited; features that take no more than `room` bytes are kept."""

    def __init__(self, source: DissectedModel, spec: AceSpec, locations: Locations, room: int) -> None:
        generator = source.models.generator
        self._observe, self._layer, self._batch = generator.observe, spec.layer, source.batch()
        self.where = locations.where.to(generator.device)
        self._z = latents_of(generator, locations.ids.tolist(), spec.seed)
        size = 4 * len(self) * source.shape(spec.layer).units * self.where[0].numel()
        self._kept = self._all_features() if size <= room else None

    def __len__(self) -> int:
        return len(self.where)

    @property
    def nbytes(self) -> int:
        """Bytes of the kept features."""
        return 0 if self._kept is None else self._kept.nbytes

    def take(self, rows: Int64[Tensor, " n"]) -> tuple[Features, Latents, Where]:
        """Return features, latents and places of some of the images."""
        rows = rows.to(self.where.device, non_blocking=True)
        z = self._z[rows]
        return (self._features(z) if self._kept is None else self._kept[rows]), z, self.where[rows]

    def batches(self) -> list[Int64[Tensor, " n"]]:
        """Return the rows of each batch."""
        return list(torch.split(torch.arange(len(self)), self._batch))

    def _all_features(self) -> Features:  # in the order of memory that the generator gives them in
        kept: Tensor | None = None
        for rows in self.batches():
            r = self._features(self._z[rows.to(self._z.device)])
            if kept is None:
                last = r.is_contiguous(memory_format=torch.channels_last) and not r.is_contiguous()
                order = torch.channels_last if last else torch.contiguous_format
                kept = torch.empty((len(self), *r.shape[1:]), dtype=r.dtype, device=r.device, memory_format=order)
            kept[rows.to(r.device)] = r
        assert kept is not None
        return kept

    def _features(self, z: Latents) -> Features:
        return self._observe(z, [self._layer]).features[self._layer]


def open_samples(source: DissectedModel, spec: AceSpec, locations: Sequence[Locations]) -> list[Sample]:
    """Return samples; the features of the first are kept, as many as `PREFIX_BYTES` have room for."""
    found: list[Sample] = []
    for own in locations:
        found.append(Sample(source, spec, own, PREFIX_BYTES - sum(each.nbytes for each in found)))
    return found


class PresentAbsent(NamedTuple):
    """The present places, where units are ablated, and the candidates, where they are inserted."""

    present: Sample
    absent: Sample


@dataclass(frozen=True, eq=False)
class Objective:
    """What α does to the concept, by the image: `train` is optimised on, `held` is out; `values` are k by layer."""

    source: DissectedModel
    spec: AceSpec
    concept: int
    values: Mapping[str, PerUnit]
    train: PresentAbsent
    held: PresentAbsent

    @property
    def value(self) -> PerUnit:
        """The k of the first layer."""
        return self.values[self.spec.layer]

    def ablated(self, alpha: PerUnit, sample: Sample, rows: Tensor, *, whole: bool, binary: bool) -> Tensor:
        """Return s_c(x_a), a number for each image: units ablated on the whole map and read there, or at a place."""
        r, z, where = sample.take(rows)
        everywhere = torch.ones_like(where[:1]) if whole else where
        edits = [RowEdit(layer, alpha[None], torch.zeros_like(k), everywhere) for layer, k in self.values.items()]
        return self._shown(self._drawn(r, z, edits), None if whole else where, binary)

    def inserted(self, alpha: PerUnit, sample: Sample, rows: Tensor, *, binary: bool) -> Tensor:
        """Return s_c(x_i), a number for each image: units inserted at its places, and read there."""
        r, z, where = sample.take(rows)
        edits = [RowEdit(layer, alpha[None], k, where) for layer, k in self.values.items()]
        return self._shown(self._drawn(r, z, edits), where, binary)

    def _drawn(self, r: Features, z: Latents, edits: Sequence[RowEdit]) -> Images:
        """Draw images from features of the layer, with edits of it; of a model that samples, at later steps, too."""
        generator, layer = self.source.models.generator, self.spec.layer
        if split_layer(layer).step is not None:
            return generator.render(r, layer, z, edits)
        return generator.render(edits[0](r), layer, z)  # a gradient that would be lost is refused

    def gain(self, alpha: PerUnit, removed: Tensor, added: Tensor, scale: Float[Tensor, "2"]) -> Tensor:
        """Return δ over some rows of the training places, by soft scores; differentiable in α."""
        whole = self.spec.ablated == "map"
        gone = self.ablated(alpha, self.train.present, removed, whole=whole, binary=False).mean() / scale[0]
        return self.inserted(alpha, self.train.absent, added, binary=False).mean() / scale[1] - gone

    def scale(self, sample: Sample, *, whole: bool, binary: bool) -> Float[Tensor, "2"]:
        """Return E[s_c(x)] over the images as ablation is read, and at their places."""
        alpha, total = torch.zeros_like(self.value), torch.zeros(2, device=self.value.device)
        with torch.no_grad():
            for rows in sample.batches():
                r, z, where = sample.take(rows)
                images = self.source.models.generator.render(r, self.spec.layer, z)
                at = self._shown(images, where, binary)
                all_ = self._shown(images, None, binary) if whole else at
                total += torch.stack([all_.sum(), at.sum()])
        return (total / len(sample)).clamp(min=torch.finfo(alpha.dtype).tiny)

    @torch.no_grad()
    def held_out_terms(self, alpha: PerUnit, scale: Float[Tensor, "2"]) -> tuple[Tensor, Tensor]:
        """Return both terms of δ of a clipped set on the held-out places, by the binary segmentation, image by image.

        Ablation is of the whole map, as S-6.4 has it for evaluation, whatever the training does. No candidate place
        shows the concept before, so what an insertion shows there is what it gains.
        """
        present, absent = self.held
        gone = [self.ablated(alpha, present, rows, whole=True, binary=True) for rows in present.batches()]
        come = [self.inserted(alpha, absent, rows, binary=True) for rows in absent.batches()]
        return torch.cat(gone) / scale[0], torch.cat(come) / scale[1]

    def _shown(self, images: Images, where: Where | None, binary: bool) -> Tensor:
        segmenter = scorer(self.source)
        if binary:
            score = (segmenter(images) == self.concept).any(1).to(images.dtype)
        else:
            score = segmenter.score(images, self.concept)
        if where is None:
            return score.mean((1, 2))
        return (place_means(score, (where.shape[1], where.shape[2])) * where).sum((1, 2)) / where.sum((1, 2))


def effect(gone: Tensor, come: Tensor) -> tuple[Tensor, Tensor]:
    """Return δ and its standard error, from both terms image by image; NaN where a term has one image only."""
    difference = come.mean() - gone.mean()
    if min(len(come), len(gone)) < 2:
        return difference, torch.full_like(difference, torch.nan)
    return difference, (come.var() / len(come) + gone.var() / len(gone)).sqrt()


@dataclass(frozen=True, eq=False)
class OptimizerState(Tensors):
    """How far an optimisation is: a step of a study, from which it goes on to the same bits.

    Attributes:
        start: [u], the α that it began with.
        alpha, mean, square: [u], α and what Adam remembers.
        scales: [2, 2], E[s_c(x)] of training and of held-out places, as ablation and as insertion are read.
        evaluations: float64 [n, 9], the columns of `EVALUATION`.
        alphas: [n, u], α at each evaluation.
        gone, come: [held], both terms of δ at the start, image by image.
    """

    start: PerUnit
    alpha: PerUnit
    mean: PerUnit
    square: PerUnit
    scales: Float[Tensor, "2 2"]
    evaluations: Float[Tensor, "n columns"]
    alphas: Float[Tensor, "n u"]
    gone: Float[Tensor, " present"]
    come: Float[Tensor, " absent"]

    @property
    def step(self) -> int:
        """How many updates were made."""
        return int(self.evaluations[-1, 0])

    def best(self, spec: AceSpec) -> int:
        """Return the look whose α is the answer; the last, if all steps are made.

        It is the one of the greatest held-out effect among those that beat the start by more than the error of the
        difference; where none does, the start.
        """
        if spec.patience == 0:
            return len(self.evaluations) - 1
        effect, gain, error = (
            self.evaluations[:, EVALUATION.index(name)] for name in ("held_out", "gain", "gain_error")
        )
        better = gain > error
        return int(effect.where(better, -torch.inf).argmax()) if better.any() else 0

    def done(self, spec: AceSpec) -> bool:
        """Whether all updates are made, or the held-out effect has not grown for `patience` evaluations."""
        waited = len(self.evaluations) - 1 - self.best(spec)
        return self.step >= spec.steps or 0 < spec.patience <= waited


def ranking(alpha: PerUnit, start: PerUnit) -> Int64[Tensor, " u"]:
    """Return the units from the greatest α on; of equals, the one that began with more."""
    first = start.sort(descending=True, stable=True).indices
    return first[alpha[first].sort(descending=True, stable=True).indices]


def clipped(alpha: PerUnit, start: PerUnit, top: int) -> PerUnit:
    """Return 1 for the top units and 0 for the others."""
    kept = torch.zeros_like(alpha)
    kept[ranking(alpha, start)[:top]] = 1
    return kept


def optimise(objective: Objective, initial: PerUnit, study: Study, progress: Progress | None = None) -> OptimizerState:
    """Optimise α; each look is a step of the study. `initial` is the IoU of each unit, the greatest 1 (Eqn 7)."""
    spec, progress = objective.spec, progress or NullProgress()
    progress.begin("alpha", spec.steps)
    try:
        search = study.step("alpha-0", OptimizerState, partial(begin, objective, initial))
        while not search.done(spec):
            last = search
            search = study.step(f"alpha-{len(last.evaluations)}", OptimizerState, partial(advance, objective, last))
            progress.advance(search.step - last.step)
    finally:
        progress.end()
    return search


def begin(objective: Objective, initial: PerUnit) -> OptimizerState:
    """Return the search before its first update."""
    spec = objective.spec
    train = objective.scale(objective.train.present, whole=spec.ablated == "map", binary=False)
    held = objective.scale(objective.held.present, whole=True, binary=True)
    start, gradients = initial.to(train), 0
    if spec.start == "gradient":
        slope = first_order(objective, train)
        start = (slope / slope.max().clamp(min=1e-12)).clamp(0, 1)
        gradients = len(objective.train.present) + 2 * len(objective.train.absent)
    mean, square = torch.zeros_like(start), torch.zeros_like(start)
    forward = 2 * len(objective.train.present) + len(objective.train.absent) + 2 * len(objective.held.present)
    used = (forward + len(objective.held.absent), gradients)
    evaluations, alphas = torch.zeros(0, len(EVALUATION), dtype=torch.float64), torch.zeros(0, len(start))
    scales, none = torch.stack([train, held]), torch.zeros(0)
    search = OptimizerState(start, start.clone(), mean, square, scales, evaluations, alphas, none, none)
    return evaluate(objective, search, 0, used)


def first_order(objective: Objective, scale: Float[Tensor, "2"]) -> PerUnit:
    """Return the slope of δ in each α: of ablation at α = 0, of insertion the mean of its ends, α = 0 and 1.

    A concept that is not there yet hardly feels the first bit of a unit; one that is there all over feels its loss.
    """
    zero = torch.zeros_like(objective.value)
    whole, (present, absent) = objective.spec.ablated == "map", objective.train
    total = torch.zeros_like(zero)
    for rows in present.batches():
        alpha = zero.clone().requires_grad_(True)
        gone = objective.ablated(alpha, present, rows, whole=whole, binary=False).sum() / scale[0] / len(present)
        total -= torch.autograd.grad(gone, alpha)[0]
    for end in (0.0, 1.0):
        for rows in absent.batches():
            alpha = (zero + end).requires_grad_(True)
            come = objective.inserted(alpha, absent, rows, binary=False).sum() / scale[1] / len(absent)
            total += torch.autograd.grad(come, alpha)[0] / 2
    return total


def advance(objective: Objective, search: OptimizerState) -> OptimizerState:
    """Return the search after its next updates, up to the next look. Nothing leaves the device before the look."""
    spec = objective.spec
    device = objective.value.device
    alpha, mean, square = (tensor.to(device) for tensor in (search.alpha, search.mean, search.square))
    scale = search.scales[0].to(device)
    steps = range(search.step, min(search.step + spec.every, spec.steps))
    used = 0
    for step in steps:
        removed = minibatch(len(objective.train.present), spec, step, 0)
        added = minibatch(len(objective.train.absent), spec, step, 1)
        slope = descent(objective, alpha, removed, added, scale)
        change, mean, square = direction(slope, mean, square, spec, step)
        rate = spec.rate * (1 - step / spec.steps if spec.decay else 1)
        alpha = (alpha.detach() - rate * change).clamp(0, 1)
        used += len(removed) + len(added)
    after = dataclasses.replace(search, alpha=alpha, mean=mean, square=square)
    return evaluate(objective, after, steps.stop, (0, used))


def descent(objective: Objective, alpha: PerUnit, removed: Tensor, added: Tensor, scale: Float[Tensor, "2"]) -> PerUnit:
    """Return the slope of the loss over some pairs, few at a time: all layers are kept of those that a slope is of."""
    alpha = alpha.detach().requires_grad_(True)
    size, total = objective.source.batch(len(removed)), torch.zeros_like(alpha)
    for gone, come in zip(torch.split(removed, size), torch.split(added, size), strict=True):
        loss = penalty(alpha, objective.spec) - objective.gain(alpha, gone, come, scale)
        total += torch.autograd.grad(loss * (len(gone) / len(removed)), alpha)[0]
    return total


def penalty(alpha: PerUnit, spec: AceSpec) -> Tensor:
    """Return λ |α|², or λ |α| where the norm itself is asked for; |0| has no slope."""
    square = alpha.square().sum()
    return spec.penalty * (square if spec.norm == "squared" else square.clamp(min=1e-24).sqrt())


def direction(
    slope: PerUnit, mean: PerUnit, square: PerUnit, spec: AceSpec, step: int
) -> tuple[PerUnit, PerUnit, PerUnit]:
    """Return which way to go, by Adam or by the slope alone, and what Adam then remembers."""
    if spec.optimiser == "sgd":
        return slope, mean, square
    a, b = MOMENTS
    mean, square = a * mean + (1 - a) * slope, b * square + (1 - b) * slope.square()
    return (mean / (1 - a ** (step + 1))) / ((square / (1 - b ** (step + 1))).sqrt() + 1e-8), mean, square


def minibatch(count: int, spec: AceSpec, step: int, kind: int) -> Int64[Tensor, " n"]:
    """Return the rows of an update: all rows in turn, in another order each time round; a function of (seed, step)."""
    places = range(step * spec.pairs, (step + 1) * spec.pairs)
    turns = range(places[0] // count, places[-1] // count + 1)
    keys = standard_normal(turns, spec.seed + SALT + kind, (count,), torch.device("cpu"))
    orders = dict(zip(turns, keys.argsort(stable=True), strict=True))
    return torch.stack([orders[place // count][place % count] for place in places])


def evaluate(objective: Objective, search: OptimizerState, step: int, used: tuple[int, int]) -> OptimizerState:
    """Note the held-out effect of the clipped set, what it took until here, and α.

    No times: a step holds the same bits whenever and wherever it is computed.
    """
    spec, start = objective.spec, search.start.to(objective.value)
    alpha = clipped(search.alpha.to(start), start, spec.top)
    gone, come = (term.double().cpu() for term in objective.held_out_terms(alpha, search.scales[1].to(start)))
    first = (search.gone, search.come) if len(search.evaluations) else (gone, come)
    gain = effect(gone - first[0], come - first[1])
    before = search.evaluations[-1].tolist() if len(search.evaluations) else [0.0] * len(EVALUATION)
    forward = before[1] + used[0] + len(objective.held.present) + len(objective.held.absent)
    row = [step, forward, before[2] + used[1], *(float(number) for number in (*effect(gone, come), *gain))]
    evaluations = torch.cat([search.evaluations, torch.tensor([row], dtype=torch.float64)])
    alphas = torch.cat([search.alphas, search.alpha.cpu()[None]])
    return dataclasses.replace(search, evaluations=evaluations, alphas=alphas, gone=first[0], come=first[1])
