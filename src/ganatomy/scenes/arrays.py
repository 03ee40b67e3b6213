"""The arrays that scenes are made of. Axes: n scenes, 3 colours or label planes, h w pixels; any axis may be 1."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.floating[Any]]
"""Numbers [n, h, w], or colours [n, 3, h, w] in [0, 1]; float32."""
Mask: TypeAlias = NDArray[np.bool_]
"""Yes or no [n, h, w]."""
Bytes: TypeAlias = NDArray[np.uint8]
"""Labels or images."""
Indices: TypeAlias = NDArray[np.intp]
"""A choice for each scene [n]."""
Value: TypeAlias = Plane | float


def where(mask: Mask, yes: Value, no: Value) -> Plane:
    """One number or the other, in float32."""
    return np.where(mask, yes, no).astype(np.float32)


def select(index: Indices, choices: Sequence[Plane]) -> Plane:
    """For each scene one of the choices [n, ...]."""
    chosen: Plane = np.stack(choices)[index, np.arange(len(index))]
    return chosen
