"""What is shown of a snapshot on TensorBoard, or on anything that takes scalars and images as it does."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.experiments.bootstrap import ALL
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.snapshots import Snapshot
from ganatomy.experiments.monitor.training_history import Unit
from ganatomy.report.card import whole_zoom
from ganatomy.report.images import outlined, side_by_side

SHOWN = 5
"""Images of a unit."""
_SIDE = 96


@runtime_checkable
class Board(Protocol):
    """What scalars and images are sent to; `torch.utils.tensorboard.SummaryWriter` is one."""

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any) -> Any:
        """Take a number."""
        ...

    def add_image(self, tag: str, img_tensor: Any, global_step: Any, *, dataformats: str) -> Any:
        """Take an image."""
        ...


def open_board(board: Any, out: Path) -> Board | None:
    """Return the board that is meant: an open one, one that writes to a directory, or (True) to one in `out`."""
    if board is None or board is False:
        return None
    if board is True or isinstance(board, str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise BadModel("TensorBoard is not installed; run: pip install tensorboard") from None
        opened: Board = SummaryWriter(str(out / "tensorboard" if board is True else board))
        return opened
    if not isinstance(board, Board):
        raise BadValue(
            f"board is a {type(board).__name__}; it must have add_scalar and add_image, as SummaryWriter has"
        )
    return board


def log_snapshot(
    board: Board, snapshot: Snapshot, dissection: Dissection, units: Sequence[Unit], seconds: float
) -> None:
    """Send a snapshot: its numbers by layer, how long it took, top images of units, and where each is on in them."""
    for tag, value in (*scalars(snapshot), ("ganatomy/seconds", seconds)):
        board.add_scalar(tag, value, snapshot.step)
    for layer, unit in units:
        image = unit_image(dissection, layer, unit)
        board.add_image(f"ganatomy/{layer}/unit {unit}", image, snapshot.step, dataformats="HWC")


def scalars(snapshot: Snapshot) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a snapshot, each with the name under which it is shown."""
    for row in snapshot.numbers:
        where = f"ganatomy/{row['layer']}"
        if row["category"] == ALL:
            for name in ("interpretable", "matched", "concepts", "matched_iou"):
                if row[name] is not None and math.isfinite(row[name]):
                    yield f"{where}/{name}", row[name]
        else:
            yield f"{where}/concepts/{row['category']}", row["concepts"]
    yield "ganatomy/images", snapshot.images


def unit_image(dissection: Dissection, layer: str, unit: int, count: int = SHOWN) -> npt.NDArray[np.uint8]:
    """Return the first top images of a unit side by side, uint8 [h, w, 3]: bright where it is on."""
    strip = dissection.top(layer, unit)
    return side_by_side(outlined(strip, whole_zoom(strip.images, _SIDE))[:count])
