"""The images of the same latents at every checkpoint: what the network draws of them as it learns."""

from html import escape
from typing import TYPE_CHECKING

from ganatomy.report.causal.section import Block
from ganatomy.report.causal.tiles import tile
from ganatomy.report.causal.top_images import row_of_images
from ganatomy.report.monitor.curves import short
from ganatomy.report.monitor.followed import even_choice

if TYPE_CHECKING:
    from ganatomy.experiments.monitor.training_history import TrainingHistory

MOMENTS = 12
"""Checkpoints that have a row; of more, so many are chosen evenly."""
_SIDE = 96


def fixed_block(history: "TrainingHistory") -> Block | None:
    """Return a row of images for each checkpoint; None where no snapshot kept any."""
    found = history.fixed()
    if not found:
        return None
    shown = even_choice(list(found), MOMENTS)
    rows = []
    for step in shown:
        tiles = [tile(image, f"Latent {i} at step {step}", side=_SIDE) for i, image in enumerate(found[step])]
        rows.append(
            f'<figure class="moment"><figcaption>{escape(short(step))}</figcaption>{row_of_images(tiles)}</figure>'
        )
    some = f" Of {len(history.steps)} checkpoints, {len(shown)} are shown." if len(shown) < len(history.steps) else ""
    lead = f"A row a checkpoint, its step before it: the first {len(found[shown[-1]])} latents, always the same.{some}"
    return Block("The same latents, step by step", lead, "".join(rows))
