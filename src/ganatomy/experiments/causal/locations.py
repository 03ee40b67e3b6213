"""Where to ablate and where to insert a concept, to learn which units cause it (S-6.4; SPEC 5).

*Present* places show the concept. *Candidates* do not, and come to show it when all units are set to its constant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.tensor_types import PerUnit, Where
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows
from ganatomy.experiments.causal.insertion import RowEdit
from ganatomy.experiments.causal.places import maps
from ganatomy.experiments.causal.pool import Pool, pooling
from ganatomy.experiments.causal.trials import baselines
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.segmenters.protocol import Scorer
from ganatomy.stats.base import add, concat
from ganatomy.stats.regions import only, place_counts, place_means
from ganatomy.study import Study

SALT = 0x9A7E
"""Added to the seed, so that what is drawn about an image has nothing to do with its latent."""

UNIFORM = 0.1
"""How many candidates are drawn uniformly; the others are drawn where the concept occurs (SPEC 5)."""


@dataclass(frozen=True, eq=False)
class Locations(Tensors):
    """Images and the places of each at which something is done: a step of a study.

    Attributes:
        ids: int64 [n], of the images.
        where: [n, h, w], 1 at their places.
        held: bool [n], kept out of the optimisation.
    """

    ids: Int64[Tensor, " n"]
    where: Where
    held: Tensor

    def part(self, held: bool) -> "Locations":
        """Return those that are held out, or the others."""
        rows = (self.held == held).nonzero()[:, 0]
        return Locations(self.ids[rows], self.where[rows], self.held[rows])


class Candidates(JoinedRows):
    """What came of inserting the concept with all units at places that did not show it.

    Attributes:
        ids: int64 [n], the image of each place.
        place: int64 [n], row-major.
        gain: float32 [n], mean score of the concept at the place once it is inserted.
        evaluations: int64 [1], images that were drawn and segmented for it.
    """

    FIELDS: ClassVar = {**dict.fromkeys(("ids", "place", "gain"), concat), "evaluations": add}

    def __init__(self) -> None:
        self.ids = torch.zeros(0, dtype=torch.long)
        self.place = torch.zeros(0, dtype=torch.long)
        self.gain = torch.zeros(0)
        self.evaluations = torch.zeros(1, dtype=torch.long)

    def update(self, *batch: Tensor) -> None:
        """Take in (ids [n], places [n], gains [n]) and how many images that took."""
        super().update(*batch[:3])
        self.evaluations = self.evaluations + batch[3]


def scorer(source: DissectedModel) -> Scorer:
    """Return the segmenter, if it can say how sure it is."""
    segmenter = source.models.segmenter
    if not isinstance(segmenter, Scorer):
        name = source.dissection.spec.segmenter
        raise BadModel(f"segmenter {name} gives labels without scores; α is optimised by scores: dissect with another")
    return segmenter


def check_scores(source: DissectedModel) -> None:
    """Refuse a segmenter without scores before anything is written: some have the method, and say so when called."""
    generator = source.models.generator
    scorer(source).score(generator.observe(generator.latents(range(1), 0), ()).images, source.scored()[0])


def present(spec: AceSpec, pool: Pool, concept: int) -> Locations:
    """Return the images of the pool that show most of a concept at one place, and that place."""
    best, place = pool.best[:, concept].cpu(), pool.place[:, concept].cpu().long()
    rows = best.argsort(descending=True, stable=True)[: spec.train + spec.held]
    rows = rows[best[rows] > 0]
    ids = rows + spec.pool_spec().first
    return _hold_out(spec, ids, maps(place[rows], pool.occupancy.shape[1:]), "show")


def candidates(
    source: DissectedModel, spec: AceSpec, pool: Pool, values: Mapping[str, PerUnit], study: Study
) -> tuple[Locations, int]:
    """Find places for a concept; return the images with the best, and how many images were segmented for it.

    `values` has k of each layer that is edited.
    """
    concept, sample = source.concept(spec.concept), spec.pool_spec()
    occupied = pool.occupancy[concept].flatten()
    weights = (1 - UNIFORM) * occupied / occupied.sum() + UNIFORM / len(occupied)
    work = partial(try_places, source, spec, values, weights.float().cpu())
    shards = pooling(source).run.shards(sample.ids()[: spec.candidates])
    tried = study.sharded("candidates", Candidates, work, shards)
    ids, where = _best(tried, spec, pool.occupancy.shape[1:])
    return _hold_out(spec, ids, where, "have room for"), int(tried.evaluations)


@torch.no_grad()
def try_places(
    source: DissectedModel, spec: AceSpec, values: Mapping[str, PerUnit], weights: Float[Tensor, " places"], ids: range
) -> Candidates:
    """Set all units to their values at some places of each image that do not show the concept; see what comes of it."""
    generator, segmenter, found = source.models.generator, scorer(source), Candidates()
    concept, grid = source.concept(spec.concept), source.grid(spec.layer)
    for given in baselines(source, spec, ids):
        shown = place_counts(only(given.labels, [concept], source.concepts), 2, grid)[:, 1].flatten(1).cpu()
        used = len(given.ids)
        for turn in range(max(1, spec.candidates // spec.pool)):
            drawn = draw_places(weights * (shown == 0), given.ids, spec.seed + SALT + turn, grid, spec)
            where = maps(drawn, grid).to(given.features)
            edits = [RowEdit(layer, torch.ones_like(k)[None], k, where) for layer, k in values.items()]
            images = generator.render(given.features, spec.layer, given.z, edits)
            gains = place_means(segmenter.score(images, concept), grid).flatten(1).cpu()
            image, column = (drawn >= 0).nonzero(as_tuple=True)
            place, used = drawn[image, column], used + len(given.ids)
            found.update(torch.tensor(given.ids)[image], place, gains[image, place], torch.tensor([used]))
            used = 0
    return found


def draw_places(
    weights: Float[Tensor, "b places"], ids: Sequence[int], seed: int, grid: tuple[int, int], spec: AceSpec
) -> Int64[Tensor, "b together"]:
    """Draw places of each image by their weights, one after the other, away from each other; -1 where none is left.

    Row i depends on (seed, ids[i]) only: the greatest of log-weight + Gumbel noise is a draw.
    """
    noise = torch.special.ndtr(standard_normal(ids, seed, weights.shape[1:], weights.device).double())
    keys = weights.double().log() - (-noise.clamp(1e-12, 1 - 1e-12).log()).log()
    rows, columns = torch.arange(weights.shape[1]) // grid[1], torch.arange(weights.shape[1]) % grid[1]
    drawn = []
    for _ in range(spec.together):
        key, place = keys.max(1)
        drawn.append(torch.where(key > -torch.inf, place, -1))
        far = ((rows - rows[place, None]).abs() >= spec.apart) | ((columns - columns[place, None]).abs() >= spec.apart)
        keys = keys.masked_fill(~far, -torch.inf)
    return torch.stack(drawn, 1)


def _best(tried: Candidates, spec: AceSpec, grid: Sequence[int]) -> tuple[Tensor, Where]:
    """Return as many images as are needed, the best places first, with all their places that are as good."""
    order = tried.gain.argsort(descending=True, stable=True)
    order = order[tried.gain[order] > 0]
    kept: dict[int, list[int]] = {}
    for image, place in zip(tried.ids[order].tolist(), tried.place[order].tolist(), strict=True):
        if image not in kept and len(kept) == spec.train + spec.held:
            break
        kept.setdefault(image, []).append(place)
    most = max(map(len, kept.values()), default=1)
    places = torch.tensor([own + [-1] * (most - len(own)) for own in kept.values()], dtype=torch.long).view(-1, most)
    return torch.tensor(list(kept), dtype=torch.long), maps(places, grid)


def _hold_out(spec: AceSpec, ids: Tensor, where: Where, what: str) -> Locations:
    """Hold out every so manieth image, from best to worst; where there are too few, as large a share of them."""
    if len(ids) < 4:
        raise BadValue(
            f"only {len(ids)} of {spec.pool} images {what} {spec.concept} at a place of {spec.layer}; raise pool and "
            "candidates, or choose another layer"
        )
    share = spec.held / (spec.train + spec.held)
    rank = torch.arange(len(ids), dtype=torch.float64)
    held = ((rank + 1) * share + 0.5).floor() > (rank * share + 0.5).floor()
    return Locations(ids, where, held)


def uniform_places(ids: Sequence[int], seed: int, grid: tuple[int, int], count: int) -> Float[Tensor, "b places h w"]:
    """Return maps that are 1 at one place: `count` different places of each image, all being equally likely.

    Row i depends on (seed, ids[i]) only. A grid of fewer places gives all of them.
    """
    size = grid[0] * grid[1]
    keys = standard_normal(ids, seed + SALT, (size,), torch.device("cpu"))
    drawn = keys.argsort(descending=True, stable=True)[:, :count]
    return maps(drawn.flatten(), grid).view(*drawn.shape, *grid)
