"""How much is measured: everything, less in ten minutes, or a tiny model in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What is asked, and of how many images.

    Attributes:
        generator, segmenter: what is dissected.
        block: where units are looked for, at every step.
        dissected_at: the steps at which it is dissected.
        windows: steps (first, last) in which units are ablated; the last window is all of them.
        concepts: what the ablations are for; names, as the dissection has them.
        words: a concept, the prompt that says it, and the prompt that denies it.
        attended: concepts whose words' attention is read and taken away.
        layout: concepts that no word names, whose step is asked by new noise.
        inserted: what is inserted, and with how many units; 0 for all of the block.
        top: units of an ablation.
        random: sets of as many random units.
        cell: a place is so many cells of the block's grid a side.
        dissected, swapped, renoised, each, ablated, placed, pool, sampled: images of the dissections, of a swap of
            prompts, of new noise, of the ablation of each unit alone, of the ablations of sets, of the insertions, of
            class constants, and of principal directions.
    """

    generator: str = "bundled:church-words?step=2,4,6,8"
    segmenter: str = "bundled:scenes?size=64"
    block: str = "up2"
    dissected_at: tuple[int, ...] = (2, 4, 6, 8)
    windows: tuple[tuple[int, int], ...] = ((1, 2), (3, 4), (5, 6), (7, 8), (1, 8))
    concepts: tuple[str, ...] = ("sky", "building", "tree", "snow", "cloud", "dome")
    words: tuple[tuple[str, str, str], ...] = (
        ("snow", "a winter church", "a green church"),
        ("tree", "a church with a tree", "a church without a tree"),
        ("cloud", "a church with a cloud", "a church without a cloud"),
        ("dome", "a church with a dome", "a church without a dome"),
    )
    attended: tuple[str, ...] = ("tree", "cloud", "dome", "bush", "door", "window")
    layout: tuple[str, ...] = ("sky", "building", "tree", "cloud")
    inserted: tuple[str, ...] = ("tree", "cloud", "door", "window")
    top: int = 12
    random: int = 3
    cell: int = 2
    dissected: int = 128
    swapped: int = 64
    renoised: int = 64
    each: int = 24
    ablated: int = 64
    placed: int = 24
    pool: int = 256
    sampled: int = 64


PLANS: Mapping[str, Plan] = {
    "full": Plan(),
    "quick": Plan(swapped=27, renoised=18, each=9, ablated=18, placed=8, pool=64),
    "tiny": Plan(
        generator="", windows=((1, 1), (2, 2), (1, 2)), dissected_at=(1, 2), concepts=("sky",), inserted=(),
        words=(("sky", "a church with a tree", "a church without a tree"),), layout=("sky",), attended=("tree",),
        top=2, random=2, dissected=12, swapped=2, renoised=2, each=2, ablated=2, placed=2, pool=4, sampled=8,
    ),
}  # fmt: skip
"""The plans by name."""
