"""The effect of an edit by prompt, of a text-to-image model: the same pixels, by prompt, by slot, and pair by pair."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.experiments.causal.choice import ranked_layers
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import InsertionSpec
from ganatomy.experiments.dissection_stats import Tally
from ganatomy.experiments.prompted import groupings, paired_rows, said_rows, said_sentence
from ganatomy.stats.groups import GroupMeans, means_by


def effects_by_prompt(
    facts: Mapping[str, Any], shares: Float64[Tensor, "images trials"], ids: Sequence[int]
) -> dict[str, pd.DataFrame]:
    """Return the effect on a concept by prompt (``prompts``), by what a slot holds (``slots``), and pair by pair.

    Of pairs of one noise, ``prompt_pairs``, it is the change of the second image less that of the first.

    >>> shares = torch.tensor([[0.5, 0.25], [0.0, 0.0], [0.25, 0.0]], dtype=torch.float64)  # before, after
    >>> found = effects_by_prompt({"prompts": ["a tree", "a door"]}, shares, range(3))["prompts"]
    >>> found[["prompt", "images", "before", "change", "change_error"]].values.tolist()
    [['a tree', 2, 0.375, -0.25, 0.0], ['a door', 1, 0.0, 0.0, nan]]

    Args:
        facts: of the study, see `prompt_facts`.
        shares: of each image's edited pixels, those that show the concept: before, after the edit, and after that of
            each random set.
        ids: of the images.
    """
    before, change = shares[:, :1], shares[:, 1:] - shares[:, :1]
    values = torch.cat([before, shares[:, 1:2], change], 1)
    tables: dict[str, list[pd.DataFrame]] = {}
    for slot, names, group in groupings(facts, ids):
        means = means_by(values, group, len(names))
        columns = {"prompt": list(names)} if slot is None else {"slot": slot, "value": list(names)}
        numbers = {"images": means.images, "before": means.mean[:, 0], "after": means.mean[:, 1], **_changes(means, 2)}
        table = pd.DataFrame({**columns, **{name: each.numpy() for name, each in numbers.items()}})
        tables.setdefault("prompts" if slot is None else "slots", []).append(table[table.images > 0])
    for (word, instead), (one, other) in paired_rows(facts, ids).items():
        rows = torch.cat([change[one][:, :1], change[other][:, :1], change[other] - change[one]], 1)
        means = means_by(rows, torch.zeros(len(one), dtype=torch.long), 1)
        own = {"first_change": means.mean[:, 0], "second_change": means.mean[:, 1], **_changes(means, 2)}
        named = {"word": word, "instead": instead, "pairs": len(one)}
        table = pd.DataFrame({**named, **{name: each.numpy() for name, each in own.items()}})
        tables.setdefault("prompt_pairs", []).append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def _changes(means: GroupMeans, first: int) -> dict[str, Tensor]:
    """Return what stands in a column and after it: the change by the edit, and those by each random set."""
    sets = means.mean[:, first + 1 :]
    missing = torch.full_like(means.mean[:, 0], torch.nan)
    return {
        "change": means.mean[:, first],
        "change_error": means.error[:, first],
        "random_change": sets.mean(1) if sets.shape[1] else missing,
        "random_spread": sets.std(1) if sets.shape[1] > 1 else missing,
    }


def said_of_units(source: DissectedModel, spec: InsertionSpec, named: str | None) -> str:
    """Say whether the edited units follow the word of a prompt or the thing, at the dissected layer of the edit.

    Nothing, where no prompt says the concept, or units of the layer were not counted so.

    Args:
        source: the dissection.
        spec: which units of which layers are edited.
        named: the concept, as the user gave it.
    """
    study, (layer, *_) = source.dissection.study, spec.layers()
    if not named or not spec.units or not study.has_step("said"):
        return ""
    if layer not in source.dissection.layers:
        layer = ranked_layers(source, spec.layers())[0]
    counted, concept = study.load_step("said", Tally).mentioned("all", layer), source.concept(named)
    if counted is None or concept not in counted.concepts:
        return ""
    rows = said_rows(counted.read(), counted.concepts.tolist().index(concept), spec.units)
    return f"{said_sentence(named.rpartition(':')[2], rows)} Read at {layer}."
