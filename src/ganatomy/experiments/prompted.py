"""What a text-to-image model's prompts say of its sample: concepts by prompt and by slot, pairs, words and things."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.dissection_stats import SaidConcepts, Tally
from ganatomy.experiments.tables import Scores
from ganatomy.experiments.warnings import exceeds
from ganatomy.models.generators import Subject
from ganatomy.models.generators.protocol import in_pairs, prompts_of
from ganatomy.models.generators.sampling.prompts import mentioned, slots_of, word_change
from ganatomy.stats.base import Accumulator
from ganatomy.stats.groups import means_by
from ganatomy.stats.mentioned import GROUPS, READS, SaidMeans
from ganatomy.study import Study

KEPT = 10_000
"""Prompts that a study keeps at least; of more than these and than its images none is kept."""
BEST = 20
"""Units of each layer that are asked whether they follow the word or the thing: as many as an edit takes."""
FOLLOWS = ("thing", "word", "both", "neither", "unknown")


def said_concepts(prompts: Sequence[str], vocabulary: Sequence[Concept]) -> SaidConcepts:
    """Return which concepts of a vocabulary each prompt says, and does not deny."""
    names: dict[tuple[str, ...], list[int]] = {}
    for number, concept in enumerate(vocabulary[1:], 1):
        names.setdefault(tuple(re.findall(r"[^\W\d_]+", concept.name.lower())), []).append(number)
    names.pop((), None)
    found = [mentioned(prompt, names) for prompt in prompts]
    concepts = sorted(set().union(*found))
    by_prompt = torch.tensor([[c in own for c in concepts] for own in found]).reshape(len(found), len(concepts))
    return SaidConcepts(torch.tensor(concepts, dtype=torch.long), by_prompt.bool())


def prompt_facts(generator: Subject, images: int) -> dict[str, Any]:
    """Return what a study keeps of the prompts of its sample: of other models nothing."""
    prompts = prompts_of(generator)
    if not any(prompts) or len(prompts) > max(images, KEPT):
        return {}
    names = dict.fromkeys(name for prompt in prompts for name in slots_of(prompt))
    slots = {name: [slots_of(prompt).get(name) for prompt in prompts] for name in names}
    kept: dict[str, Any] = {"slots": slots} if slots else {}
    return {"prompts": list(map(str, prompts)), **kept, **({"pairs": True} if in_pairs(generator) else {})}


class Grouping(NamedTuple):
    """Images by their prompt, or by what a slot of it holds.

    Attributes:
        slot: its name; None of whole prompts.
        values: what the groups are called.
        group: int64 [images], the number of the group; -1 for none.
    """

    slot: str | None
    values: Sequence[str]
    group: Int64[Tensor, " images"]


def groupings(facts: Mapping[str, Any], ids: Sequence[int]) -> list[Grouping]:
    """Return how prompts group these images; by whole prompts only where there are no more of them than images."""
    prompts = facts.get("prompts", [])
    labels: dict[str | None, Sequence[str | None]] = {None: prompts} if 0 < len(set(prompts)) <= len(ids) else {}
    found = []
    for slot, of_prompt in {**labels, **facts.get("slots", {})}.items():
        values = [each for each in dict.fromkeys(of_prompt) if each is not None]
        number = {value: i for i, value in enumerate(values)}
        group = torch.tensor([number.get(of_prompt[i % len(prompts)], -1) for i in ids])
        found.append(Grouping(slot, values, group))
    return found


def paired_rows(facts: Mapping[str, Any], ids: Sequence[int]) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """Return the rows of images that share their noise, by (what one prompt says, what the other says instead)."""
    row, prompts = {i: n for n, i in enumerate(ids)}, facts.get("prompts", [])
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for i in ids if facts.get("pairs") else ():
        if i % 4 < 2 and i + 2 in row:
            change = word_change(prompts[i % len(prompts)], prompts[(i + 2) % len(prompts)])
            found.setdefault(change, []).append((row[i], row[i + 2]))
    return {change: tuple(torch.tensor(rows).unbind(1)) for change, rows in found.items()}  # type: ignore[misc]  # two


def share_tables(
    facts: Mapping[str, Any], shares: Float64[Tensor, "images concepts"], ids: Sequence[int], names: Sequence[Concept]
) -> dict[str, pd.DataFrame]:
    """Return tables of each concept's share of the pixels: ``prompts``, ``slots`` and ``prompt_pairs``.

    Args:
        facts: of the study, see `prompt_facts`.
        shares: of each image, by concept.
        ids: of the images.
        names: of the concepts, "nothing" first; those that no image shows have no row.
    """
    seen = [c for c in shares.mean(0).argsort(descending=True, stable=True).tolist() if c and shares[:, c].any()]
    concepts = {name: [getattr(names[c], own) for c in seen] for name, own in (("concept", "name"), ("category",) * 2)}
    tables: dict[str, list[pd.DataFrame]] = {}
    for slot, values, group in groupings(facts, ids):
        means = means_by(shares[:, seen], group, len(values))
        for i in means.images.nonzero().flatten().tolist():
            named = {"prompt": values[i]} if slot is None else {"slot": slot, "value": values[i]}
            own = {"images": int(means.images[i]), "share": means.mean[i], "share_error": means.error[i]}
            tables.setdefault("prompts" if slot is None else "slots", []).append(_rows(named, concepts, own))
    for (word, instead), (one, other) in paired_rows(facts, ids).items():
        both = torch.cat([shares[one], shares[other], shares[other] - shares[one]], 1)
        means = means_by(both, torch.zeros(len(one), dtype=torch.long), 1)
        first, second, change = (part[seen] for part in means.mean[0].chunk(3))
        error = means.error[0].chunk(3)[2][seen]
        own = {"pairs": len(one), "share": first, "instead_share": second, "change": change, "change_error": error}
        tables.setdefault("prompt_pairs", []).append(_rows({"word": word, "instead": instead}, concepts, own))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def _rows(named: Mapping[str, str], concepts: Mapping[str, Sequence[str]], own: Mapping[str, Any]) -> pd.DataFrame:
    columns = {name: each.numpy() if isinstance(each, Tensor) else each for name, each in own.items()}
    return pd.DataFrame({**concepts, **columns}).assign(**named)[[*named, *concepts, *columns]]


def said_rows(means: SaidMeans, concept: int, units: Sequence[int]) -> pd.DataFrame:
    """Return what units do where a word is said and a thing is drawn: a row for each unit and way to read its map.

    Args:
        means: of the layer.
        concept: its place among those that are said.
        units: which.
    """
    found = []
    images = dict(zip((f"{group}_images" for group in GROUPS), means.images[concept].tolist(), strict=True))
    for k, read in enumerate(READS):
        for unit in units:
            mean, error = means.mean[k, unit, concept], means.error[k, unit, concept]
            row: dict[str, Any] = {"unit": unit, "read": read}
            for g, group in enumerate(GROUPS):
                row |= {group: float(mean[g]), f"{group}_error": float(error[g])}
            for name, (one, other) in {"thing": (0, 1), "word": (1, 3)}.items():
                row[name] = float(mean[one] - mean[other])
                row[f"{name}_error"] = float(error[[one, other]].square().sum().sqrt())
            found.append(row | {"follows": _follows(row)} | images)
    return pd.DataFrame(found)


def _follows(row: Mapping[str, float]) -> str:
    """Return what a unit follows, by two standard errors."""
    if not all(np.isfinite(row[f"{name}_error"]) for name in ("thing", "word")):
        return "unknown"
    thing, word = (exceeds(row[name], row[f"{name}_error"]) for name in ("thing", "word"))
    return FOLLOWS[2 if thing and word else 0 if thing else 1 if word else 3]


def word_table(scores: Scores, mentioned: Tally, names: Sequence[Concept]) -> pd.DataFrame:
    """Return `said_rows` of the units that go best with each concept that a prompt says, and of those called so."""
    parts, start = [], 0
    for layer, shape in scores.layers.items():
        counted = mentioned.mentioned("all", layer)
        for place, c in enumerate([] if counted is None else counted.concepts.tolist()):
            column = int((scores.reading.concepts == c).int().argmax())
            if counted is None or scores.reading.concepts[column] != c or scores.rare[column]:
                continue
            own = slice(start, start + shape.units)
            iou, labelled = np.nan_to_num(scores.iou[own, column]), scores.label[own] == column
            order = np.argsort(-iou, kind="stable")
            units = [int(u) for rank, u in enumerate(order) if rank < BEST or labelled[u]]
            rows = said_rows(counted.read(), place, units)
            rows.insert(2, "iou", iou[rows.unit])
            rows.insert(3, "matched", scores.matched[own, column][rows.unit])
            parts.append(rows.assign(concept=names[c].name, category=names[c].category, layer=layer))
        start += shape.units
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    keys = ["concept", "category", "layer"]
    return table[[*keys, *(name for name in table if name not in keys)]] if parts else table


def conclude_prompts(
    study: Study, halves: Mapping[str, tuple[Sequence[int], Tally]], scores: Scores, names: Sequence[Concept]
) -> dict[str, pd.DataFrame]:
    """Return the tables of a dissection that prompts have, and keep what units do where a word is said.

    Args:
        study: of the dissection.
        halves: ids of each half that was counted, and what was counted of it.
        scores: of all units.
        names: of the concepts.
    """
    counted = [(ids, tally.shares(half)) for half, (ids, tally) in halves.items()]
    ids = [i for own, shares in counted if shares is not None for i in own]
    if not ids:
        return {}
    tables = share_tables(study.facts, torch.cat([each.read() for _, each in counted if each is not None]), ids, names)
    merged: dict[str, Accumulator] = {}
    for half, (_, tally) in halves.items():
        for layer in scores.layers:
            if (own := tally.mentioned(half, layer)) is not None:
                name = f"said/all/{layer}"
                merged[name] = merged[name].merge(own) if name in merged else own
    if not merged:
        return tables
    said_by = study.step("said", Tally, lambda: Tally(merged))
    words = word_table(scores, said_by, names)
    return tables | ({"words": words} if len(words) else {})


def said_sentence(concept: str, table: pd.DataFrame) -> str:
    """Say whether units follow the word or the thing, given the rows of one concept."""
    own = table[table["read"] == READS[0]]
    n, found = len(own), own["follows"].value_counts()
    units = f"{n} unit{'s' if n != 1 else ''}"
    first = own.iloc[0]
    drawn, absent, neither = (int(first[f"{group}_images"]) for group in ("said_drawn", "said_absent", "unsaid_absent"))
    where = (
        f"prompts say {concept} in {drawn + absent} images, {absent} of these do not show it; {neither} have neither"
    )
    if found.get("unknown", 0) == n:
        return f"Word or thing? {where[0].upper()}{where[1:]}: too few to tell what {units} for it follow."
    kinds = (
        ("thing", "the thing that is drawn, not the word"),
        ("word", "the word of the prompt, drawn or not"),
        ("both", "both"),
        ("neither", "neither clearly"),
        ("unknown", "unknown"),
    )
    counts = ", ".join(f"{found[name]} {text}" for name, text in kinds if found.get(name, 0))
    return f"Word or thing? Of {units} for {concept}: {counts} ({where})."


def concept_sentences(table: pd.DataFrame, most: int = 5) -> Iterator[str]:
    """Yield `said_sentence` of the concepts with the most images that say it without showing it."""
    order = table.groupby("concept", sort=False)["said_absent_images"].max().sort_values(ascending=False, kind="stable")
    for concept in order.index[:most]:
        yield said_sentence(str(concept), table[table.concept == concept])
