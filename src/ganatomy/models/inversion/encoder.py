"""Inversion by a generator that finds latents itself: the inverse of a flow, the encoder of an autoencoder."""

from collections.abc import Callable
from collections.abc import Generator as Pieces

import torch

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.models.generators import Generator
from ganatomy.models.inversion.protocol import Inverted


class EncoderInverter:
    """The latents are what `encode` returns; see `Inverter`."""

    way, layer = "encoder", ""

    def __init__(self, generator: Generator, encode: Callable[[Images], Latents]) -> None:
        self._generator, self._encode = generator, encode

    def pieces(self, photographs: Images, start: Latents) -> Pieces[float, None, Inverted]:
        """Invert photographs; see `Inverter`.

        Raises:
            BadModel: the encoder returns NaN or Inf.
        """
        yield 0.0
        with torch.no_grad():
            z = self._encode(photographs).to(start)
        if not bool(z.isfinite().all()):
            raise BadModel("the encoder of the generator returns NaN or Inf for a photograph")
        return Inverted(z, z.new_zeros(len(z), 0, 1, 1), self._generator.observe(z, ()).images)
