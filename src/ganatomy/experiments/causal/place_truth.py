"""Where an object may be, so that what a model accepts can be judged (4.4, Figure 11; SPEC 6).

A grammar, or a person, says on which objects it may be. For rendered scenes the renderer says more: the probability
that it would put the object at a place of a generated image, whose scene is read from its labels.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.cache import cache_directory
from ganatomy.core.progress import Progress
from ganatomy.core.resample import labels_at
from ganatomy.core.tensor_types import Labels
from ganatomy.core.vocabulary import Concept, Vocabulary, find_concept
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.experiments.causal.places import cell_counts, pixel_boxes
from ganatomy.experiments.causal.trials import baselines
from ganatomy.models.generators.inner_model import innermost_model
from ganatomy.models.segmenters.part_quadrants import regions
from ganatomy.models.weights import bundled_names, card
from ganatomy.scenes.grammar import INDEX, PLANES, Grammar, Rule, grammar
from ganatomy.scenes.places import ALIKE, POSSIBLE, Bank, exact, hosts, open_bank, place_probabilities
from ganatomy.scenes.redraw import DRAWS, SIZE
from ganatomy.stats.clusters import clustered_mean, contrast, proportion

LEAST = 0.25
"""An object appears where it newly covers so large a share of a place, or half its usual area if that is less."""
MEASURED = 300
"""Scenes on which the usual area of an object is measured."""
EDGES = (0.0, POSSIBLE, 0.2, 0.5, 1.0)
"""Effects are shown at P = 0, and for P up to each of these."""


class PlacementRules(NamedTuple):
    """Names of the objects that something may be inserted on, and of those that it may not; of others nothing is known.

    Attributes:
        category: of the scenes whose grammar says so; None if a person did, or nobody.
        allowed, forbidden: the names.
    """

    category: str | None
    allowed: list[str]
    forbidden: list[str]

    def verdict(self, under: str) -> bool | None:
        """Return whether it may be inserted on an object; None if nothing is known of that."""
        if under in self.allowed:
            return True
        return False if under in self.forbidden else None


def placement_rules(
    source: DissectedModel,
    concept: str,
    category: str | None = None,
    allowed: Sequence[str] | None = None,
    forbidden: Sequence[str] | None = None,
) -> PlacementRules:
    """Return where a concept may be: what is given, else what a grammar says, else nothing."""
    vocabulary = source.dissection.vocabulary
    if allowed is not None and forbidden is not None:
        for name in (*allowed, *forbidden):
            if name != vocabulary[0].name:
                find_concept(vocabulary, name)
        return PlacementRules(None, list(allowed), list(forbidden))
    category = category or category_of(source.dissection.spec.generator)
    if category is None:
        return PlacementRules(None, [], [])
    return by_grammar(grammar(category), vocabulary[find_concept(vocabulary, concept)])


def category_of(generator: str) -> str | None:
    """Return the category of scenes that a bundled generator was trained on, whatever its options; None for any other.

    Directions in place of its units change nothing about that.

    >>> category_of("bundled:church-words?steps=4"), category_of("sae:bundled:church?layer=layer5&file=any")
    ('varied-church', 'church')
    """
    family, _, name = innermost_model(generator).partition("?")[0].partition(":")
    if family != "bundled" or name not in bundled_names():
        return None
    category = card(name).get("category")
    return None if category is None else str(category)


def by_grammar(rules: Grammar, concept: Concept) -> PlacementRules:
    """Return where a grammar allows an object, a part or a material, and where it forbids it.

    *Allowed* is what carries it (for parts and materials: what has it, and what carries that). *Forbidden* is what the
    grammar excludes for certain. Nothing is said of the object itself; of what is carried by the very same objects, as
    windows and doors are, since one may take the other's place; and of what it may stand in front of, if that stands on
    the same ground: the foot of a tree before a building is on the grass below. A tree in the midst of the sky is
    forbidden, though the crown of one that stands on grass may reach there.

    >>> from ganatomy.scenes import grammar
    >>> by_grammar(grammar("church"), Concept("door", "object")).allowed
    ['building', 'tower']
    """
    hosts = [name for name, rule in rules.rules.items() if _has(rule, concept)]
    allowed = [u for u in rules.rules if any(u in (*rules.rule(host).on, *_own(host, concept)) for host in hosts)]
    silent = {u for u in rules.rules for host in hosts if _silent(rules, rules.rule(host), u)}
    known = hosts != []
    forbidden = [u for u in rules.rules if known and u not in allowed and u not in silent]
    return PlacementRules(rules.category, allowed, forbidden)


def _has(rule: Rule, concept: Concept) -> bool:
    """Whether an object is the concept, or has it as a part or a material."""
    held = {"object": (rule.name,), "part": rule.parts, "material": rule.materials}
    return concept.name in held.get(concept.category, ())


def _own(host: str, concept: Concept) -> tuple[str, ...]:
    """Return the host of a part or a material, which may get more of it; an object is not its own host."""
    return () if concept.category == "object" else (host,)


def _silent(rules: Grammar, rule: Rule, under: str) -> bool:
    """Whether the grammar leaves open if an object may be seen in the place of another."""
    other = rules.rule(under)
    in_front = under in rule.hides and _stands_on(rules, other, rule.on)
    return under == rule.name or (bool(rule.on) and other.on == rule.on) or in_front


def _stands_on(rules: Grammar, rule: Rule, ground: Sequence[str]) -> bool:
    """Whether an object is carried by some ground, directly or by what is carried by it."""
    return any(host in ground or _stands_on(rules, rules.rule(host), ground) for host in rule.on)


@dataclass(frozen=True, eq=False)
class PlaceTruth(Tensors):
    """What is known of every place of every image: a step of a study.

    Attributes:
        possible: float64 [images, places], with which probability the renderer would put the concept there.
        free: bool [images, places], whether the place shows nothing of it before.
        area: float64 [1], usual area of one object of it, as a share of the image.
    """

    possible: Tensor
    free: Tensor
    area: Tensor


def truth_category(source: DissectedModel, concept: str, category: str | None) -> str | None:
    """Return the category of rendered scenes whose renderer says where a concept may be; None where none does.

    That takes a bundled generator of such scenes, or a category that is named, a concept of its grammar, and a
    segmenter that knows every object of it.
    """
    category = category or category_of(source.dissection.spec.generator)
    if category is None:
        return None
    rules, known = grammar(category), set(source.dissection.vocabulary)
    own = source.named(source.concept(concept))
    whole = all(Concept(name, "object") in known for name in rules.rules)
    return category if whole and own in INDEX and hosts(rules, own) else None


def truth_facts(category: str | None, own: Concept) -> dict[str, Any]:
    """Return what a study keeps of the truth that it is judged by; nothing of a category where there is none."""
    if category is None:
        return {"truth": None}
    way = {"exact": True, "draws": DRAWS} if exact(category, own) else {"exact": False, "draws": ALIKE}
    return {"truth": {"category": category, "allowed": POSSIBLE, **way}}


def read_truth(
    source: DissectedModel,
    spec: SampleSpec,
    concept: int,
    places: tuple[Tensor, int, str],
    progress: Progress | None = None,
) -> PlaceTruth:
    """Ask of every place of every image with which probability the renderer would put the concept there."""
    at, cell, layer = places
    own, grid = source.named(concept), source.grid(layer)
    category = getattr(spec, "grammar", None) or category_of(source.dissection.spec.generator)
    assert category is not None, "`truth_category` found one"
    bank = open_bank(category, cache_directory(), progress=progress)
    boxes = scene_boxes(at, cell, grid)
    possible, free = [], []
    for given in baselines(source, spec, spec.ids()):
        labels = scene_labels(source.dissection.vocabulary, given.labels)
        possible.append(torch.from_numpy(place_probabilities(bank, own, labels, boxes)))
        counts = cell_counts(given.labels, [concept], grid, cell)[:, 1]
        free.append(counts[:, at[:, 0], at[:, 1]].cpu() == 0)
    area = torch.tensor([typical_area(bank, own)], dtype=torch.float64)
    return PlaceTruth(torch.cat(possible), torch.cat(free), area)


def scene_boxes(at: Tensor, cell: int, grid: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return places of a grid as top, left, height and width in pixels of a scene of 64, at least one each way."""
    boxes = pixel_boxes(at, cell, grid, (SIZE, SIZE)).numpy().astype(np.float64)
    first = np.minimum(np.floor(boxes[:, :2] + 0.5), SIZE - 1)
    last = np.floor(boxes[:, :2] + boxes[:, 2:] + 0.5)
    return np.concatenate([first, np.maximum(last - first, 1)], 1).astype(np.int64)


def scene_labels(vocabulary: Vocabulary, labels: Labels) -> npt.NDArray[np.uint8]:
    """Return labels [b, plane, H, W] in the vocabulary, the planes and the size of rendered scenes."""
    small = labels_at(labels, (SIZE, SIZE)).cpu().numpy()
    planes = []
    for kind in PLANES:
        table = np.zeros(len(vocabulary), np.uint8)
        for c, concept in enumerate(vocabulary):
            table[c] = INDEX[concept] if c and concept in INDEX and concept.category == kind else 0
        planes.append(table[small].max(1))
    return np.stack(planes, 1)


@lru_cache(maxsize=1024)  # it is asked for at every stroke
def typical_area(bank: Bank, concept: Concept) -> float:
    """Return the median area of one connected region of a concept in rendered scenes, as a share of the image."""
    shown = torch.from_numpy(bank.labels[:MEASURED, PLANES.index(concept.category)] == INDEX[concept])
    sizes = torch.bincount(regions(shown.long())[shown.flatten()])
    sizes = sizes[sizes > 0]
    return float(sizes.double().median()) / SIZE**2 if len(sizes) else 1.0


def with_truth(places: pd.DataFrame, truth: PlaceTruth, share: float) -> pd.DataFrame:
    """Return the places with what the truth says of each, and whether the object appears there."""
    least = min(LEAST, 0.5 * float(truth.area) / share) - 1e-6
    free = truth.free.flatten().numpy()
    return places.assign(
        possible=truth.possible.flatten().numpy(),
        free=free,
        appears=free & (places.gain.to_numpy() >= least),
        random_appears=free & (places.random_gain.to_numpy() >= least),
    )


def verdict_table(places: pd.DataFrame, rules: PlacementRules, draws: int, seed: int) -> pd.DataFrame:
    """Compare free places where the object may be with those where it may not: by the truth, or else by the rules."""
    truth = "possible" in places
    if truth:
        sides = places.free & (places.possible >= POSSIBLE), places.free & (places.possible == 0)
    else:
        places = places[places.before == 0]
        sides = places.under.isin(rules.allowed), places.under.isin(rules.forbidden)
    ids, (here, there) = places.id.to_numpy(), (side.to_numpy() for side in sides)
    rows = []
    for by, prefix in (("units", ""), ("random", "random_")):
        row: dict[str, Any] = {"by": by}
        values = places[f"{prefix}gain"].to_numpy(np.float64)
        shown = places[f"{prefix}appears"].to_numpy(np.float64) if truth else None
        for kind, own in (("allowed", here), ("forbidden", there)):
            row[kind], row[f"{kind}_error"] = clustered_mean(values[own], ids[own])
            row[f"{kind}_places"] = int(own.sum())
            if shown is not None:
                row[f"{kind}_appears"], row[f"{kind}_appears_error"] = _share(shown[own], ids[own])
        row |= contrast(values, ids, here, there, draws, seed)._asdict()
        if shown is not None:
            seen = contrast(shown, ids, here, there, draws, seed)
            row |= {f"appears_{name}": value for name, value in seen._asdict().items()}
        rows.append(row)
    return pd.DataFrame(rows)


def by_probability(places: pd.DataFrame) -> pd.DataFrame:
    """Return the effect at free places by the probability that the renderer would put the object there.

    One row for P = 0, and one for each range up to the next of `EDGES`: low, high, places, images, appears,
    appears_error, effect, effect_error, random_appears, random_appears_error.
    """
    free = places[places.free]
    ranges = [(0.0, 0.0, free.possible == 0)]
    ranges += [
        (low, high, (free.possible > low if low == 0 else free.possible >= low) & (free.possible < high + (high == 1)))
        for low, high in itertools.pairwise(EDGES)
    ]
    rows = []
    for low, high, within in ranges:
        own = free[within]
        ids = own.id.to_numpy()
        appears = _share(own.appears.to_numpy(np.float64), ids)
        random = _share(own.random_appears.to_numpy(np.float64), ids)
        effect = clustered_mean(own.gain.to_numpy(np.float64), ids)
        rows.append((low, high, len(own), own.id.nunique(), *appears, *effect, *random))
    names = ("low", "high", "places", "images", "appears", "appears_error", "effect", "effect_error")
    return pd.DataFrame(rows, columns=[*names, "random_appears", "random_appears_error"])


def _share(shown: npt.NDArray[np.float64], ids: Sequence[int] | npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return a share and its error, the places of one image taken as one draw; never 0 where few were tried."""
    mean, error = clustered_mean(shown, np.asarray(ids, np.int64))
    return mean, float(np.fmax(error, proportion(shown > 0)[1])) if len(shown) else np.nan
