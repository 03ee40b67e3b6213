"""What an inversion finds, and what every way of finding it has in common."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ganatomy.core.tensor_types import Images, Latents

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Inverted:
    """Photographs as a generator draws them; every tensor has one row a photograph.

    Attributes:
        z: latents.
        offset: what is added to the output of `layer`; of no units where the latents are enough.
        images: what the generator draws with both: the reconstructions.
        layer: where the offset is added; empty where there is none.
    """

    z: Latents
    offset: Float[Tensor, "b u h w"]
    images: Images
    layer: str = ""


@runtime_checkable
class Inverter(Protocol):
    """A way to find the latents of photographs.

    Attributes:
        way: ``encoder``, ``steps`` or ``optimisation``.
        layer: where it adds an offset; empty where it adds none.
    """

    way: str
    layer: str

    def pieces(self, photographs: Images, start: Latents) -> Generator[float, None, Inverted]:
        """Invert photographs of the size of the generator's images: yield the share that is done, return what is found.

        Between two pieces others may use the generator.

        Args:
            photographs: [b, 3, H, W] in [-1, 1]; the result of each depends on it and its start alone.
            start: latents [b, …] of images that are near them, whose prompts are those of the photographs.
        """
        ...


def inverted(inverter: Inverter, photographs: Images, start: Latents) -> Inverted:
    """Return what an inverter finds, all pieces at once."""
    return finished(inverter.pieces(photographs, start))


def finished(pieces: Generator[float, None, Found]) -> Found:
    """Do all pieces of some work at once, and return what it finds."""
    while True:
        try:
            next(pieces)
        except StopIteration as done:
            found: Found = done.value
            return found
